//! What a use case hands to the writer: everything that is to happen together, or not at all.

use yizhan_proto::v1::tombstone::Reason;

use crate::domain::{audience::FeedId, id::RecordId, kind::Kind, position::Sequence};

/// Records of one change. More belong into several changes.
pub const WRITES_MAX: usize = 10_000;

#[derive(Clone, Debug)]
pub enum Op {
    Put { kind: Kind, payload: Vec<u8> },
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

/// A set of writes that become durable and visible together.
#[derive(Clone, Debug, Default)]
pub struct Change {
    pub writes: Vec<Write>,
    pub expects: Vec<Expect>,
}

impl Change {
    pub fn new() -> Change {
        Change::default()
    }

    pub fn put(mut self, feed: FeedId, kind: Kind, id: RecordId, payload: Vec<u8>) -> Change {
        self.writes.push(Write { feed, id, op: Op::Put { kind, payload } });
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
