//! A feed store in memory, for the simulator: what is committed survives a crash, what is not does not.
//!
//! One transaction writes at a time, and readers see committed state alone, as with the databases.
//! Committing takes a while now and then, so that crashes fall before, into and after it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::sync::OwnedMutexGuard;
use yizhan_server::{
    domain::{
        audience::{Audience, FeedId},
        entry::Entry,
        id::RecordId,
        position::{Row, Sequence},
    },
    store::{
        Copy, CopyState, FeedStore, FeedTx, FoundEquivocation, Result, Slot, StoreError, StoredPage,
    },
};

use crate::{
    planted::{self, Planted},
    table::{Changes, Table},
};

/// Seals remembered of every feed, as in the databases.
const SEALS_KEPT: u64 = 1_024;
/// Longest that a slow commit takes.
const COMMIT_MAX: Duration = Duration::from_millis(60);
/// One commit in so many is slow.
const SLOW_COMMITS: u32 = 6;

pub type SealKey = (FeedId, u64, u64);

/// What lies on a machine's disk.
#[derive(Clone, Default)]
pub struct Disk {
    pub copies: BTreeMap<Slot, Copy>,
    pub records: Table,
    pub staged: Table,
    pub seals: BTreeMap<SealKey, Vec<u8>>,
    pub equivocations: BTreeMap<(FeedId, u64), FoundEquivocation>,
    statements: BTreeMap<String, (u64, Vec<u8>, i64)>,
    /// Rises with every commit.
    pub revision: u64,
}

/// What a transaction has changed.
#[derive(Default)]
struct Pending {
    copies: BTreeMap<Slot, Option<Copy>>,
    records: Changes,
    staged: Changes,
    seals: BTreeMap<SealKey, Option<Vec<u8>>>,
    equivocations: BTreeMap<(FeedId, u64), FoundEquivocation>,
    statements: BTreeMap<String, (u64, Vec<u8>, i64)>,
    /// Rows of own feeds, for who watches the machine.
    written: Vec<(Slot, Row)>,
}

impl Disk {
    fn apply(&mut self, pending: Pending) {
        for (slot, copy) in pending.copies {
            match copy {
                Some(copy) => self.copies.insert(slot, copy),
                None => self.copies.remove(&slot),
            };
        }
        self.records.apply(pending.records);
        self.staged.apply(pending.staged);
        for (key, seal) in pending.seals {
            match seal {
                Some(seal) => self.seals.insert(key, seal),
                None => self.seals.remove(&key),
            };
        }
        self.equivocations.extend(pending.equivocations);
        self.statements.extend(pending.statements);
        self.revision += 1;
    }

    pub fn own(&self, feed: &FeedId) -> Option<&Copy> {
        self.copies.values().find(|copy| copy.feed == *feed && copy.state == CopyState::Own)
    }
}

/// Told of every durable change of an own feed, and of the rows that made it.
pub trait Witness: Send + Sync {
    fn sealed(&self, copy: &Copy, rows: &[Row]);
    fn disk_was_full(&self);
}

/// A machine's handle on its disk, for one run of its node.
#[derive(Clone)]
pub struct MemoryStore {
    disk: Arc<Mutex<Disk>>,
    turn: Arc<tokio::sync::Mutex<()>>,
    rng: Arc<Mutex<StdRng>>,
    witness: Arc<dyn Witness>,
    /// Commits that still fail for want of room.
    full: Arc<Mutex<u32>>,
    /// What a disk that acknowledges too early has not written yet.
    cache: Arc<Mutex<Option<Disk>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl MemoryStore {
    pub fn new(
        disk: Arc<Mutex<Disk>>,
        full: Arc<Mutex<u32>>,
        seed: u64,
        witness: Arc<dyn Witness>,
    ) -> MemoryStore {
        let rng = Arc::new(Mutex::new(StdRng::seed_from_u64(seed)));
        let cache = planted::is(Planted::AcknowledgeBeforeCommit).then(|| lock(&disk).clone());
        MemoryStore {
            disk,
            turn: Arc::default(),
            rng,
            witness,
            full,
            cache: Arc::new(Mutex::new(cache)),
        }
    }

    /// What readers see.
    fn read<T>(&self, read: impl FnOnce(&Disk) -> T) -> T {
        match &*lock(&self.cache) {
            Some(cached) => read(cached),
            None => read(&lock(&self.disk)),
        }
    }

    async fn pause(&self) {
        let pause = {
            let mut rng = lock(&self.rng);
            (rng.random_range(0..SLOW_COMMITS) == 0)
                .then(|| COMMIT_MAX.mul_f64(rng.random::<f64>()))
        };
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
    }
}

impl FeedStore for MemoryStore {
    type Tx = MemoryTx;

    async fn begin(&self) -> Result<MemoryTx> {
        let turn = self.turn.clone().lock_owned().await;
        Ok(MemoryTx { store: self.clone(), pending: Pending::default(), _turn: turn })
    }

    async fn copies(&self) -> Result<Vec<Copy>> {
        Ok(self.read(|disk| disk.copies.values().cloned().collect()))
    }

    async fn page(
        &self,
        slot: Slot,
        after: Sequence,
        rows: usize,
        bytes: usize,
    ) -> Result<Option<StoredPage>> {
        Ok(self.read(|disk| {
            let copy = disk.copies.get(&slot)?.clone();
            let mut page: Vec<Row> = Vec::new();
            let mut total = 0;
            let mut reaches_end = true;
            for row in disk.records.after(slot, after) {
                let fits = total == 0 || total + row.payload.len() <= bytes;
                if page.len() == rows || !fits {
                    reaches_end = false;
                    break;
                }
                total += row.payload.len();
                page.push(row.clone());
            }
            // The databases cannot tell a full page from the last one.
            reaches_end &= page.len() < rows;
            Some(StoredPage { rows: page, copy, reaches_end })
        }))
    }

    async fn recent_seals(&self, feed: &FeedId, limit: usize) -> Result<Vec<Vec<u8>>> {
        let of_feed = (feed.clone(), 0, 0)..=(feed.clone(), u64::MAX, u64::MAX);
        Ok(self.read(|disk| {
            disk.seals.range(of_feed).rev().take(limit).map(|(_, seal)| seal.clone()).collect()
        }))
    }

    async fn equivocations(&self) -> Result<Vec<FoundEquivocation>> {
        Ok(self.read(|disk| disk.equivocations.values().cloned().collect()))
    }

    async fn statements(&self) -> Result<Vec<(Vec<u8>, i64)>> {
        Ok(self.read(|disk| {
            disk.statements.values().map(|(_, said, at)| (said.clone(), *at)).collect()
        }))
    }
}

/// The one writing transaction.
pub struct MemoryTx {
    store: MemoryStore,
    pending: Pending,
    _turn: OwnedMutexGuard<()>,
}

impl MemoryTx {
    fn with<T>(&mut self, act: impl FnOnce(&Disk, &mut Pending) -> T) -> T {
        let MemoryTx { store, pending, .. } = self;
        store.read(|disk| act(disk, pending))
    }

    fn copy(&mut self, slot: Slot) -> Option<Copy> {
        self.with(|disk, pending| match pending.copies.get(&slot) {
            Some(changed) => changed.clone(),
            None => disk.copies.get(&slot).cloned(),
        })
    }
}

impl FeedTx for MemoryTx {
    async fn copies(&mut self, feed: &FeedId) -> Result<Vec<Copy>> {
        Ok(self.with(|disk, pending| {
            let mut copies = disk.copies.clone();
            for (slot, copy) in &pending.copies {
                match copy {
                    Some(copy) => copies.insert(*slot, copy.clone()),
                    None => copies.remove(slot),
                };
            }
            copies.into_values().filter(|copy| copy.feed == *feed).collect()
        }))
    }

    async fn insert_copy(&mut self, mut copy: Copy) -> Result<Copy> {
        self.with(|disk, pending| {
            let kept =
                disk.copies.keys().filter(|slot| !matches!(pending.copies.get(slot), Some(None)));
            let new = pending.copies.iter().filter(|(_, copy)| copy.is_some()).map(|(s, _)| s);
            copy.slot = Slot(kept.chain(new).map(|slot| slot.0).max().unwrap_or(0) + 1);
            pending.copies.insert(copy.slot, Some(copy.clone()));
        });
        Ok(copy)
    }

    async fn update_copy(&mut self, copy: &Copy) -> Result<()> {
        self.pending.copies.insert(copy.slot, Some(copy.clone()));
        Ok(())
    }

    async fn clear(&mut self, slot: Slot, limit: usize) -> Result<bool> {
        self.unstage(slot, Sequence::MAX, false).await?;
        let sequences: Vec<Sequence> = self.with(|disk, pending| {
            let rows = pending.records.after(&disk.records, slot, Sequence(0));
            rows.take(limit).map(|row| row.sequence).collect()
        });
        self.remove(slot, &sequences).await?;
        if sequences.len() == limit {
            return Ok(false);
        }
        self.pending.copies.insert(slot, None);
        Ok(true)
    }

    async fn versions(&mut self, slot: Slot, ids: &[RecordId]) -> Result<Vec<Row>> {
        Ok(self.with(|disk, pending| {
            let found = ids.iter().filter_map(|id| pending.records.find(&disk.records, slot, *id));
            found.cloned().collect()
        }))
    }

    async fn put(&mut self, slot: Slot, rows: &[Row]) -> Result<()> {
        let own = self.copy(slot).is_some_and(|copy| copy.state == CopyState::Own);
        self.with(|disk, pending| {
            for row in rows {
                if own {
                    pending.written.push((slot, row.clone()));
                    if row.removed && planted::is(Planted::DropTombstone) {
                        continue;
                    }
                }
                pending.records.insert(&disk.records, slot, row)?;
            }
            Ok(())
        })
    }

    async fn remove(&mut self, slot: Slot, rows: &[Sequence]) -> Result<()> {
        self.with(|disk, pending| {
            for sequence in rows {
                pending.records.delete(&disk.records, slot, *sequence);
            }
        });
        Ok(())
    }

    async fn enter(&mut self, _: Slot, _: &[Entry]) -> Result<()> {
        Ok(())
    }

    async fn stage(&mut self, slot: Slot, rows: &[Row]) -> Result<()> {
        self.with(|disk, pending| {
            for row in rows {
                let earlier = pending.staged.find(&disk.staged, slot, row.id);
                if let Some(sequence) = earlier.map(|row| row.sequence) {
                    pending.staged.delete(&disk.staged, slot, sequence);
                }
                pending.staged.insert(&disk.staged, slot, row)?;
            }
            Ok(())
        })
    }

    async fn staged(
        &mut self,
        slot: Slot,
        after: Sequence,
        only_removed: bool,
        limit: usize,
    ) -> Result<Vec<Row>> {
        Ok(self.with(|disk, pending| {
            let rows = pending.staged.after(&disk.staged, slot, after);
            rows.filter(|row| row.removed || !only_removed).take(limit).cloned().collect()
        }))
    }

    async fn staged_extent(&mut self, slot: Slot) -> Result<Option<(Sequence, u64)>> {
        Ok(self.with(|disk, pending| {
            let rows = pending.staged.after(&disk.staged, slot, Sequence(0));
            rows.fold(None, |extent: Option<(Sequence, u64)>, row| {
                Some((row.sequence, extent.map_or(0, |(_, count)| count) + 1))
            })
        }))
    }

    async fn unstage(&mut self, slot: Slot, to: Sequence, only_removed: bool) -> Result<()> {
        self.with(|disk, pending| {
            let staged = pending.staged.after(&disk.staged, slot, Sequence(0));
            let gone = staged
                .take_while(|row| row.sequence <= to)
                .filter(|row| row.removed || !only_removed);
            let gone: Vec<Sequence> = gone.map(|row| row.sequence).collect();
            for sequence in gone {
                pending.staged.delete(&disk.staged, slot, sequence);
            }
        });
        Ok(())
    }

    async fn remember_seal(
        &mut self,
        feed: &FeedId,
        epoch_counter: u64,
        number: u64,
        seal: &[u8],
    ) -> Result<Option<Vec<u8>>> {
        Ok(self.with(|disk, pending| {
            let key = (feed.clone(), epoch_counter, number);
            let kept = match pending.seals.get(&key) {
                Some(changed) => changed.as_ref(),
                None => disk.seals.get(&key),
            };
            if let Some(kept) = kept {
                return (kept != seal).then(|| kept.clone());
            }
            pending.seals.insert(key, Some(seal.to_vec()));
            if number.is_multiple_of(128) && number > SEALS_KEPT {
                let last = number - SEALS_KEPT;
                let old = (feed.clone(), epoch_counter, 0)..=(feed.clone(), epoch_counter, last);
                pending.seals.extend(disk.seals.range(old).map(|(key, _)| (key.clone(), None)));
            }
            None
        }))
    }

    async fn insert_equivocation(&mut self, found: &FoundEquivocation, _: i64) -> Result<()> {
        self.with(|disk, pending| {
            let key = (found.feed.clone(), found.epoch_counter);
            let kept = pending.equivocations.get(&key).or_else(|| disk.equivocations.get(&key));
            // A whole proof, of two seals, in place of one that did not add up.
            if kept.is_none_or(|kept| kept.proof.len() < found.proof.len()) {
                pending.equivocations.insert(key, found.clone());
            }
        });
        Ok(())
    }

    async fn put_statement(
        &mut self,
        list: &str,
        number: u64,
        statement: &[u8],
        now_us: i64,
    ) -> Result<()> {
        self.with(|disk, pending| {
            let kept = pending.statements.get(list).or_else(|| disk.statements.get(list));
            if kept.is_none_or(|(kept, ..)| number > *kept) {
                pending.statements.insert(list.to_owned(), (number, statement.to_vec(), now_us));
            }
        });
        Ok(())
    }

    async fn commit(self) -> Result<()> {
        let MemoryTx { store, mut pending, _turn } = self;
        store.pause().await;
        {
            let mut full = lock(&store.full);
            if *full > 0 {
                *full -= 1;
                store.witness.disk_was_full();
                return Err(StoreError::Full(sqlx::Error::PoolTimedOut));
            }
        }
        let mut written: BTreeMap<Slot, Vec<Row>> = BTreeMap::new();
        for (slot, row) in std::mem::take(&mut pending.written) {
            written.entry(slot).or_default().push(row);
        }
        let own: Vec<Copy> = pending
            .copies
            .values()
            .flatten()
            .filter(|copy| copy.state == CopyState::Own && copy.feed.audience != Audience::Sealed)
            .cloned()
            .collect();
        // An early acknowledgement: the disk is one transaction behind what readers are told.
        if let Some(cached) = &mut *lock(&store.cache) {
            *lock(&store.disk) = cached.clone();
            cached.apply(pending);
        } else {
            lock(&store.disk).apply(pending);
        }
        for copy in own {
            store.witness.sealed(&copy, written.get(&copy.slot).map_or(&[], |rows| rows));
        }
        store.pause().await;
        Ok(())
    }
}
