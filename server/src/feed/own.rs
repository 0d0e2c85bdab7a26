//! Our own changes on their way into our own feeds: several callers' changes become one sealed state.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use prost::Message;
use yizhan_proto::v1;

use super::{
    apply,
    change::{Change, CommitError, Committed, Op, WRITES_MAX},
    digest::Sum,
    keyring::Keyring,
    seal::{Seal, Statement},
};
use crate::{
    domain::{
        audience::FeedId,
        id::RecordId,
        position::{Epoch, PAYLOAD_MAX, Row, Sequence},
        time::Time,
    },
    outside::Outside,
    store::{Copy, CopyState, FeedTx, Slot, StoreError},
};

/// What is about to be stored for one record.
struct Pending {
    old: Option<Row>,
    /// Kind, removed, payload; none while nothing has changed.
    new: Option<(crate::domain::kind::Kind, bool, Bytes)>,
}

/// The changes of one group, gathered per feed.
#[derive(Default)]
pub struct Gathering {
    feeds: BTreeMap<FeedId, HashMap<RecordId, Pending>>,
}

/// Refuses what no state of the store could make right.
pub fn check(change: &Change, keys: &Keyring) -> Result<(), CommitError> {
    if change.writes.len() > WRITES_MAX {
        return Err(CommitError::TooMany);
    }
    for write in &change.writes {
        if keys.signer(&write.feed).is_none() {
            return Err(CommitError::NotHome { feed: write.feed.clone() });
        }
        if matches!(&write.op, Op::Put { payload, .. } if payload.len() > PAYLOAD_MAX) {
            return Err(CommitError::TooLarge);
        }
    }
    Ok(())
}

impl Gathering {
    /// Reads the stored versions that a change will meet.
    pub async fn read<T: FeedTx>(
        &mut self,
        tx: &mut T,
        change: &Change,
        slots: &BTreeMap<FeedId, Slot>,
    ) -> Result<(), StoreError> {
        let mut wanted: BTreeMap<&FeedId, Vec<RecordId>> = BTreeMap::new();
        let touched = change.writes.iter().map(|write| (&write.feed, write.id));
        let expected = change.expects.iter().map(|expect| (&expect.feed, expect.id));
        for (feed, id) in touched.chain(expected) {
            let known = self.feeds.get(feed).is_some_and(|records| records.contains_key(&id));
            if !known {
                wanted.entry(feed).or_default().push(id);
            }
        }
        for (feed, mut ids) in wanted {
            ids.sort_unstable();
            ids.dedup();
            let records = self.feeds.entry(feed.clone()).or_default();
            for id in &ids {
                records.insert(*id, Pending { old: None, new: None });
            }
            let Some(slot) = slots.get(feed) else { continue };
            for row in tx.versions(*slot, &ids).await? {
                records.insert(row.id, Pending { old: Some(row), new: None });
            }
        }
        Ok(())
    }

    /// Adds one caller's change, if what it expects still holds. Its versions must have been read.
    pub fn add(&mut self, change: Change) -> Result<Committed, CommitError> {
        for expect in &change.expects {
            let pending = self.feeds.get(&expect.feed).and_then(|feed| feed.get(&expect.id));
            let at = pending.and_then(|pending| match &pending.new {
                // Written by a change of this very group: nobody can have read that.
                Some(_) => Some(Sequence::MAX),
                None => pending.old.as_ref().filter(|row| !row.removed).map(|row| row.sequence),
            });
            if at != expect.at {
                return Err(CommitError::Stale);
            }
        }
        let mut changed = Vec::with_capacity(change.writes.len());
        for write in change.writes {
            let records = self.feeds.entry(write.feed).or_default();
            let pending = records.entry(write.id).or_insert(Pending { old: None, new: None });
            changed.push(pending.write(write.op));
        }
        Ok(Committed { changed })
    }

    /// Feeds that change, with the rows to take out and the rows to put in.
    pub fn finish(self) -> Vec<(FeedId, Vec<Row>, Vec<Row>)> {
        let mut feeds = Vec::new();
        for (feed, records) in self.feeds {
            let mut changed: Vec<(RecordId, Pending)> =
                records.into_iter().filter(|(_, pending)| pending.new.is_some()).collect();
            if changed.is_empty() {
                continue;
            }
            // In the order of ids, so that new records follow each other in the index too.
            changed.sort_unstable_by_key(|(id, _)| *id);
            let mut old = Vec::new();
            let mut new = Vec::with_capacity(changed.len());
            for (id, pending) in changed {
                old.extend(pending.old);
                if let Some((kind, removed, payload)) = pending.new {
                    new.push(Row { sequence: Sequence(0), id, kind, removed, payload });
                }
            }
            feeds.push((feed, old, new));
        }
        feeds
    }
}

impl Pending {
    /// Takes the write over what is there; false if that is what is there already.
    fn write(&mut self, op: Op) -> bool {
        let now = match (&self.new, &self.old) {
            (Some((kind, removed, payload)), _) => Some((*kind, *removed, payload.clone())),
            (None, Some(row)) => Some((row.kind, row.removed, row.payload.clone())),
            (None, None) => None,
        };
        let next = match op {
            Op::Put { kind, payload } => (kind, false, payload),
            Op::Remove { reason, successor } => {
                let Some((kind, false, _)) = now else { return false };
                let tombstone = v1::Tombstone { reason: reason.into(), successor };
                (kind, true, Bytes::from(tombstone.encode_to_vec()))
            }
        };
        if now.as_ref() == Some(&next) {
            return false;
        }
        self.new = Some(next);
        true
    }
}

/// An own feed before its first seal.
pub fn new_copy(feed: FeedId, keys: &Keyring, outside: &Outside) -> Copy {
    let counter = keys.first_epoch(&feed.home);
    Copy {
        slot: Slot(0),
        feed,
        epoch: Epoch { counter, random: outside.random() },
        state: CopyState::Own,
        number: 0,
        sequence: Sequence(0),
        live: 0,
        sum: Sum::empty().to_bytes(),
        seal: Vec::new(),
        target: Vec::new(),
        distinct_to: Sequence(0),
        indexed: Sequence(0),
    }
}

/// Begins the next incarnation of an own feed: the same rows under a new epoch, above every epoch
/// that anyone may have seen, whose first seal names the last one known.
pub fn next_epoch(copy: &mut Copy, seen: u64, last: Option<&Seal>, outside: &Outside) {
    let counter = copy.epoch.counter.max(seen) + 1;
    copy.epoch = Epoch { counter, random: outside.random() };
    copy.number = 0;
    copy.state = CopyState::Own;
    if let Some(last) = last {
        copy.seal = last.encode();
    }
}

/// Numbers the rows, applies them and seals the state they make.
pub async fn store<T: FeedTx>(
    tx: &mut T,
    copy: &mut Copy,
    old: &[Row],
    mut new: Vec<Row>,
    keys: &Keyring,
    now: Time,
) -> Result<Seal, StoreError> {
    for row in &mut new {
        copy.sequence.0 += 1;
        row.sequence = copy.sequence;
    }
    let mut sum = Sum::from_bytes(&copy.sum).ok_or(StoreError::Damaged { what: "sum" })?;
    apply::apply(tx, copy, &mut sum, &new, old).await?;
    let seal = seal(copy, &sum, keys, now)?;
    copy.sum = sum.to_bytes();
    tx.update_copy(copy).await?;
    let statement = seal.statement();
    tx.remember_seal(&copy.feed, copy.epoch.counter, statement.number, &copy.seal).await?;
    Ok(seal)
}

/// Seals a copy as it is, and keeps the seal.
pub async fn reseal<T: FeedTx>(
    tx: &mut T,
    copy: &mut Copy,
    keys: &Keyring,
    now: Time,
) -> Result<Seal, StoreError> {
    let sum = Sum::from_bytes(&copy.sum).ok_or(StoreError::Damaged { what: "sum" })?;
    let seal = seal(copy, &sum, keys, now)?;
    tx.update_copy(copy).await?;
    tx.remember_seal(&copy.feed, copy.epoch.counter, copy.number, &copy.seal).await?;
    Ok(seal)
}

/// Seals the copy of a home that was hosted here for the last time: `successor` goes on. What is
/// disclosed is a copy like any other's from now on; the rest stays ours until it is handed over.
pub async fn seal_last<T: FeedTx>(
    tx: &mut T,
    copy: &mut Copy,
    keys: &Keyring,
    successor: [u8; 32],
    now: Time,
) -> Result<Seal, StoreError> {
    let sum = Sum::from_bytes(&copy.sum).ok_or(StoreError::Damaged { what: "sum" })?;
    let seal = sign(copy, &sum, (keys, keys.seal_key()), Some(successor), now)?;
    if copy.feed.audience.is_shared() {
        copy.state = CopyState::Current;
    }
    tx.update_copy(copy).await?;
    tx.remember_seal(&copy.feed, copy.epoch.counter, copy.number, &copy.seal).await?;
    Ok(seal)
}

/// Signs the state a copy is in as the next of its seals.
pub fn seal(copy: &mut Copy, sum: &Sum, keys: &Keyring, now: Time) -> Result<Seal, StoreError> {
    let key = keys.signer(&copy.feed).expect("BUG: changes of feeds not ours are refused before");
    sign(copy, sum, (keys, key), None, now)
}

fn sign(
    copy: &mut Copy,
    sum: &Sum,
    (keys, key): (&Keyring, &SigningKey),
    successor: Option<[u8; 32]>,
    now: Time,
) -> Result<Seal, StoreError> {
    let previous = match copy.seal.is_empty() {
        true => None,
        false => {
            Some(Seal::decode(&copy.seal).map_err(|_| StoreError::Damaged { what: "seal" })?.hash())
        }
    };
    copy.number += 1;
    copy.indexed = copy.sequence;
    let statement = Statement {
        network: keys.network.clone(),
        feed: copy.feed.clone(),
        epoch: copy.epoch,
        number: copy.number,
        sequence: copy.sequence,
        live: copy.live,
        digest: sum.digest(),
        previous,
        sealed_at: now,
        successor,
    };
    let seal = Seal::sign(statement, key);
    copy.seal = seal.encode();
    Ok(seal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{audience::Audience, id::PointCode},
        store::database::Database,
    };

    #[tokio::test]
    async fn seals_name_what_was_before_them_and_who_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let db = Database::open(&Database::address_in(dir.path())).await.unwrap();
        let point: PointCode = "CN-440000".parse().unwrap();
        let key = SigningKey::from_bytes(&[1; 32]);
        let issuer = key.verifying_key();
        let keys = Keyring::new("gd".into(), point.clone(), point.clone(), key, issuer, None);
        let outside = Outside::real();
        let feed = FeedId::new(point, Audience::Public);
        let mut tx = db.begin().await.unwrap();
        let mut copy = tx.insert_copy(new_copy(feed, &keys, &outside)).await.unwrap();

        let first = reseal(&mut tx, &mut copy, &keys, Time(1)).await.unwrap();
        let second = reseal(&mut tx, &mut copy, &keys, Time(2)).await.unwrap();
        let said = |seal: &Seal| {
            let statement = seal.statement().clone();
            (statement.epoch.counter, statement.number, statement.previous, statement.successor)
        };
        assert_eq!(said(&first), (1, 1, None, None));
        assert_eq!(said(&second), (1, 2, Some(first.hash()), None));

        next_epoch(&mut copy, 6, Some(&second), &outside);
        let opened = reseal(&mut tx, &mut copy, &keys, Time(3)).await.unwrap();
        assert_eq!(said(&opened), (7, 1, Some(second.hash()), None));

        let last = seal_last(&mut tx, &mut copy, &keys, [9; 32], Time(4)).await.unwrap();
        assert_eq!(said(&last), (7, 2, Some(opened.hash()), Some([9; 32])));
        assert_eq!(copy.state, CopyState::Current, "a copy like any other's from now on");
    }
}
