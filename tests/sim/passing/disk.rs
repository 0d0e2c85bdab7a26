//! What a point has made durable. A commit happens as a whole or not at all, and only if the records it
//! expects are still as they were read.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use yizhan_proto::v1;
use yizhan_server::{
    app::{handoffs::Noted, help_requests::stored::sealed_feed},
    domain::{
        handoff::Holding,
        help_request::HelpRequest,
        id::{PointCode, RecordId},
        kind::Kind,
        position::Sequence,
    },
    feed::change::{Change, Op},
};

#[derive(Clone)]
pub struct Kept {
    pub at: Sequence,
    pub kind: Kind,
    pub payload: Vec<u8>,
}

/// A word that has come and waits to be entered; as in the tables, one of a sort of a sender for a
/// handoff.
pub type ArrivedKey = (PointCode, RecordId, i32);

#[derive(Clone)]
pub struct Arrived {
    pub sender: PointCode,
    pub word: Vec<u8>,
}

#[derive(Clone, Default)]
pub struct Disk {
    sequence: u64,
    pub records: BTreeMap<RecordId, Kept>,
    pub arrived: BTreeMap<ArrivedKey, Arrived>,
    /// By destination and number.
    pub outbox: BTreeMap<(usize, u64), Vec<u8>>,
    numbers: BTreeMap<usize, u64>,
    /// Numbers of each sender that were acted upon.
    pub settled: BTreeSet<(usize, u64)>,
    /// Points whose parcels were closed because they have left.
    pub given_up: BTreeSet<usize>,
}

impl Disk {
    /// False if somebody else was faster.
    pub fn commit(&mut self, change: &Change) -> bool {
        let holds = change
            .expects
            .iter()
            .all(|expect| self.records.get(&expect.id).map(|kept| kept.at) == expect.at);
        if holds {
            for write in &change.writes {
                self.sequence += 1;
                let at = Sequence(self.sequence);
                match &write.op {
                    Op::Put { kind, payload } => {
                        let kept = Kept { at, kind: *kind, payload: payload.to_vec() };
                        self.records.insert(write.id, kept);
                    }
                    Op::Remove { .. } => {
                        self.records.remove(&write.id);
                    }
                }
            }
        }
        holds
    }

    /// Writes a word to be sent until it is settled.
    pub fn post(&mut self, to: usize, word: Vec<u8>) {
        let number = self.numbers.entry(to).or_default();
        *number += 1;
        self.outbox.insert((to, *number), word);
    }

    /// Is a word on this request on its way to a point?
    pub fn is_outgoing(&self, to: usize, request: RecordId) -> bool {
        let is_of_it = |word: &Vec<u8>| {
            v1::HandoffWord::decode(&word[..]).is_ok_and(|word| word.request == request.0)
        };
        self.outbox.iter().any(|((other, _), word)| *other == to && is_of_it(word))
    }

    /// Closes what would go to a point that has left.
    pub fn give_up(&mut self, to: usize) {
        let before = self.outbox.len();
        self.outbox.retain(|(other, _), _| *other != to);
        if self.outbox.len() < before {
            self.given_up.insert(to);
        }
    }

    pub fn noted(&self, home: &PointCode, id: RecordId) -> Option<Noted> {
        let kept = self.records.get(&id).filter(|kept| kept.kind == Kind::HANDOFF)?;
        let handoff = v1::Handoff::decode(&kept.payload[..]).expect("BUG: written here");
        Some(Noted { feed: sealed_feed(home), id, at: Some(kept.at), handoff })
    }

    pub fn all_noted(&self, home: &PointCode) -> Vec<Noted> {
        self.records.keys().filter_map(|id| self.noted(home, *id)).collect()
    }

    /// A request that this point owns, and where it is.
    pub fn owned(&self, id: RecordId) -> Option<(HelpRequest, Sequence)> {
        let kept = self.records.get(&id).filter(|kept| kept.kind == Kind::HELP_REQUEST)?;
        let message = v1::HelpRequest::decode(&kept.payload[..]).expect("BUG: written here");
        Some((message.try_into().expect("BUG: written here"), kept.at))
    }

    pub fn all_owned(&self) -> Vec<(RecordId, HelpRequest, Sequence)> {
        let ids = self.records.iter().filter(|(_, kept)| kept.kind == Kind::HELP_REQUEST);
        ids.filter_map(|(id, _)| self.owned(*id).map(|(request, at)| (*id, request, at))).collect()
    }

    pub fn stub(&self, id: RecordId) -> Option<v1::HelpStub> {
        let kept = self.records.get(&id).filter(|kept| kept.kind == Kind::HELP_STUB)?;
        Some(v1::HelpStub::decode(&kept.payload[..]).expect("BUG: written here"))
    }

    pub fn holding(&self, id: RecordId) -> Holding {
        match (self.owned(id), self.stub(id)) {
            (Some((request, _)), _) => Holding::Owner(request.owner_number),
            (None, Some(stub)) => Holding::Stub(stub.owner_number),
            (None, None) => Holding::Nothing,
        }
    }

    /// Nothing is left to be sent, entered or settled.
    pub fn is_quiet(&self, home: &PointCode) -> bool {
        let speaks = |noted: &Noted| noted.handoff.outgoing.is_some() || noted.handoff.unsettled;
        self.outbox.is_empty()
            && self.arrived.is_empty()
            && !self.all_noted(home).iter().any(speaks)
    }
}
