//! What a use case hands to the writer: everything that is to happen together, or not at all.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use yizhan_proto::v1::tombstone::Reason;

use crate::domain::{
    audience::FeedId,
    audit::{Act, Author, Deed, Forgetting, Notes},
    id::RecordId,
    kind::Kind,
    policy::Operation,
    position::{Sequence, Turn},
};

/// Records of one change. More belong into several changes.
pub const WRITES_MAX: usize = 10_000;

/// What is done even while the disk is short of room: calls for help and what becomes of them, and
/// what people want who want to be gone.
const CANNOT_WAIT: [Operation; 8] = [
    Operation::SubmitHelpRequest,
    Operation::TrackHelpRequest,
    Operation::ReadHelpRequest,
    Operation::ReplyHelpRequest,
    Operation::AssignHelpRequest,
    Operation::WorkHelpRequest,
    Operation::OfferHandoff,
    Operation::EraseMember,
];

#[derive(Clone, Debug)]
pub enum Op {
    Put { kind: Kind, payload: Bytes },
    Remove { reason: Reason, successor: Vec<u8> },
}

#[derive(Clone, Debug)]
pub struct Write {
    pub feed: FeedId,
    pub id: RecordId,
    pub op: Op,
}

/// The record must still be at this sequence; `None`: must not be there.
#[derive(Clone, Debug)]
pub struct Expect {
    pub feed: FeedId,
    pub id: RecordId,
    pub at: Option<Sequence>,
}

/// No other record of the feed may be looked up by the same id.
#[derive(Clone, Debug)]
pub struct Sole {
    pub feed: FeedId,
    pub id: RecordId,
    pub lookup: [u8; 16],
}

/// A set of writes that become durable and visible together.
#[derive(Clone, Debug, Default)]
pub struct Change {
    pub writes: Vec<Write>,
    pub expects: Vec<Expect>,
    pub soles: Vec<Sole>,
    /// Lanes that must not have been passed since.
    pub turns: Vec<Turn>,
    /// Who does it, for the audit; none: the node itself.
    pub deed: Option<Arc<Deed>>,
    /// Lines of the audit that lose their record with this change.
    pub forgetting: Option<Arc<Forgetting>>,
}

impl Change {
    pub fn new() -> Change {
        Change::default()
    }

    pub fn put(mut self, feed: FeedId, kind: Kind, id: RecordId, payload: Vec<u8>) -> Change {
        self.writes.push(Write { feed, id, op: Op::Put { kind, payload: payload.into() } });
        self
    }

    /// Leaves a bare tombstone in the record's place. A record that is not there stays so.
    pub fn remove(mut self, feed: FeedId, id: RecordId, reason: Reason) -> Change {
        self.writes.push(Write { feed, id, op: Op::Remove { reason, successor: Vec::new() } });
        self
    }

    /// Moves a record into another audience in one commit.
    pub fn move_to(
        self,
        from: FeedId,
        to: FeedId,
        kind: Kind,
        id: RecordId,
        payload: Vec<u8>,
    ) -> Change {
        self.remove(from, id, Reason::Moved).put(to, kind, id, payload)
    }

    /// May it be refused while the disk is short of room? Not what the node does by itself, nor what
    /// people do who need help or want to be gone.
    pub fn can_wait(&self) -> bool {
        let deed = self.deed.as_ref().filter(|deed| deed.author != Author::node());
        deed.is_some_and(|deed| !CANNOT_WAIT.iter().any(|kept| kept.name() == deed.operation))
    }

    /// Says who does it. Everything that a person orders says so.
    pub fn by(mut self, deed: Deed) -> Change {
        self.deed = Some(Arc::new(deed));
        self
    }

    /// Erases: lines of the audit lose these records, and name the order in their place.
    pub fn forget(mut self, deed: Deed, order: RecordId, records: Vec<RecordId>) -> Change {
        self.forgetting = Some(Arc::new(Forgetting { deed, order, records }));
        self
    }

    /// What the audit says of the change: a line per record, whichever feeds it lies in.
    pub fn notes(&self, changed: &[bool], notes: &mut Notes) {
        if let Some(forgetting) = &self.forgetting {
            // A line per record would say what the order is to take away.
            notes.forgettings.push(Forgetting::clone(forgetting));
            return;
        }
        let mut records: BTreeMap<RecordId, (Kind, &'static str)> = BTreeMap::new();
        for (write, _) in self.writes.iter().zip(changed).filter(|(_, changed)| **changed) {
            let said = match &write.op {
                Op::Put { kind, .. } => (*kind, "put"),
                Op::Remove { .. } => (Kind(0), "removed"),
            };
            let known = records.entry(write.id).or_insert(said);
            // What lies in the innermost feed names the record: a card follows its member.
            if known.1 == "removed" || (said.1 == "put" && said.0 < known.0) {
                *known = said;
            }
        }
        let node = || Deed::of_node("write");
        let deed = self.deed.clone().unwrap_or_else(|| Arc::new(node()));
        let acts = records.into_iter().map(|(id, (kind, outcome))| deed.act(kind, id, outcome));
        notes.acts.extend(acts.collect::<Vec<Act>>());
    }

    /// Nobody else may have passed these lanes since their turns were read.
    pub fn in_turn(mut self, turns: Vec<Turn>) -> Change {
        self.turns.extend(turns);
        self
    }

    /// Refused as stale if something else is looked up by this id.
    pub fn sole(mut self, feed: FeedId, id: RecordId, lookup: [u8; 16]) -> Change {
        self.soles.push(Sole { feed, id, lookup });
        self
    }

    pub fn expect(mut self, feed: FeedId, id: RecordId, at: Option<Sequence>) -> Change {
        self.expects.push(Expect { feed, id, at });
        self
    }
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// One per write, in order: false where the record was so already.
    pub changed: Vec<bool>,
}

/// Why nothing of a change has happened.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    #[error("changed since it was read")]
    Stale,
    #[error("{feed} is not written here")]
    NotHome { feed: FeedId },
    #[error("record is larger than 64 KiB")]
    TooLarge,
    #[error("more than 10,000 records in one change")]
    TooMany,
    #[error("{feed} is frozen until its next epoch")]
    Frozen { feed: FeedId },
    #[error("writing waits until the own feeds have been taken back from neighbours")]
    Recovering,
    #[error("the disk is full")]
    DiskFull,
    #[error("storage failed")]
    Storage,
    #[error("the node is stopping")]
    Stopping,
}
