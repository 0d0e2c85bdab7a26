//! The writer itself: one transaction after the other, long work in between.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::sync::{mpsc, watch};
use tracing::{error, warn};

use super::{handle::Command, recovery::Recovery, work::Work};
use crate::{
    domain::{
        audience::{Audience, FeedId},
        position::Sequence,
    },
    feed::{
        continuity::{Mark, MarkFile, Marks},
        heads::{Heads, Held},
        indexing::Indexing,
        inflow::Inflow,
        keyring::Keyring,
        seal::Seal,
    },
    outside::Outside,
    store::{Copy, CopyState, FeedStore, FeedTx, Slot, StoreError},
};

/// Commands of one transaction.
pub(super) const GROUP: usize = 512;

/// Seals that could not be kept for want of room, and are tried again with whatever comes next.
pub(super) const UNKEPT_MAX: usize = 1_024;

/// Rest after a failed transaction, so that a full disk is not asked a thousand times a second.
pub(super) const AFTER_FAILURE: Duration = Duration::from_millis(200);

/// EX_IOERR of sysexits.h.
pub(super) const EXIT_DISK_FAILS: i32 = 74;

pub(super) struct Engine<S> {
    pub(super) store: S,
    pub(super) keys: Arc<Keyring>,
    pub(super) heads: Arc<Heads>,
    pub(super) outside: Outside,
    pub(super) mark_file: MarkFile,
    pub(super) marks: Marks,
    pub(super) generation: u64,
    pub(super) recovery: watch::Sender<Recovery>,
    pub(super) inflows: BTreeMap<FeedId, Inflow>,
    pub(super) next_pull: u64,
    pub(super) work: VecDeque<Work>,
    pub(super) indexing: Indexing,
    pub(super) unkept: Vec<(Arc<Seal>, Option<Arc<Seal>>)>,
    /// Numbers of the states in which copies have been added up anew and found intact.
    pub(super) intact: BTreeMap<FeedId, u64>,
    /// Up to here it is known what other nodes have written.
    pub(super) turn: u64,
    /// When it was last read what other nodes have heard.
    pub(super) heard: Option<tokio::time::Instant>,
}

/// What a transaction has touched, to be shown after its commit.
#[derive(Default)]
pub(super) struct Touched {
    pub(super) copies: BTreeMap<FeedId, Vec<Copy>>,
    pub(super) raised: Vec<Arc<Seal>>,
    /// Feeds, and the epochs in which their homes have contradicted themselves.
    pub(super) contradicted: Vec<(FeedId, u64)>,
    pub(super) work: Vec<Work>,
    /// Copies that are not yet written down as they are here.
    pub(super) unwritten: BTreeSet<(FeedId, Slot)>,
}

impl Touched {
    /// Writes down where copies stand that several pages of this transaction have moved on.
    pub(super) async fn write<T: FeedTx>(&mut self, tx: &mut T) -> Result<(), StoreError> {
        for (feed, slot) in std::mem::take(&mut self.unwritten) {
            if let Some(copy) = self.copy(tx, &feed, slot).await? {
                tx.update_copy(copy).await?;
            }
        }
        Ok(())
    }

    /// The copies of a feed, read once per transaction.
    pub(super) async fn copies<T: FeedTx>(
        &mut self,
        tx: &mut T,
        feed: &FeedId,
    ) -> Result<&mut Vec<Copy>, StoreError> {
        if !self.copies.contains_key(feed) {
            let copies = tx.copies(feed).await?;
            self.copies.insert(feed.clone(), copies);
        }
        Ok(self.copies.entry(feed.clone()).or_default())
    }

    pub(super) async fn copy<T: FeedTx>(
        &mut self,
        tx: &mut T,
        feed: &FeedId,
        slot: Slot,
    ) -> Result<Option<&mut Copy>, StoreError> {
        Ok(self.copies(tx, feed).await?.iter_mut().find(|copy| copy.slot == slot))
    }
}

impl<S: FeedStore> Engine<S> {
    /// Picks up whatever was under way when the node stopped.
    pub(super) async fn resume(&mut self, marks: Option<Marks>) -> Result<(), StoreError> {
        for found in self.store.equivocations().await? {
            self.heads.contradict(&found.feed, found.epoch_counter);
        }
        let mut by_feed: BTreeMap<FeedId, Vec<Copy>> = BTreeMap::new();
        for copy in self.store.copies().await? {
            match copy.state {
                CopyState::Own => {
                    let mark = Mark { epoch: copy.epoch, number: copy.number };
                    self.marks.insert(copy.feed.clone(), mark);
                }
                CopyState::Indexing => {
                    self.work.push_back(Work::Index(copy.feed.clone(), copy.slot));
                }
                CopyState::CatchingUp => {
                    self.work.push_back(Work::Advance(copy.feed.clone(), copy.slot));
                }
                CopyState::Retired => {
                    self.work.push_back(Work::Clear(copy.feed.clone(), copy.slot));
                }
                CopyState::Filling | CopyState::Current => {}
            }
            by_feed.entry(copy.feed.clone()).or_default().push(copy);
        }
        for copy in self.store.entered_otherwise().await? {
            self.work.push_back(Work::EnterAgain(copy.feed, copy.slot, Sequence(0)));
        }
        self.recovery.send_replace(self.behind(marks.clone()));
        let recovery = self.recovery.borrow().clone();
        if let Some(marks) = marks {
            // What was shown once stays marked. What a crash kept from being marked is marked now,
            // before it is shown: an older disk would otherwise pass for this one.
            self.marks.extend(recovery.feeds.clone());
            if self.marks != marks {
                self.write_marks();
            }
        }
        for (feed, mark) in &recovery.feeds {
            warn!(%feed, number = mark.number, "stored state lies behind what was shown");
        }
        if recovery.is_private() {
            self.work.push_back(Work::OpenEpochs);
        }
        for (feed, copies) in &by_feed {
            self.publish(feed, copies);
        }
        if by_feed.contains_key(&self.keys.roster_feed()) {
            self.reload_roster().await?;
            // A home that has a node of its own now gives nothing back to us.
            self.recovery.send_modify(|recovery| {
                recovery.feeds.retain(|feed, _| self.keys.successor(&feed.home).is_none());
            });
        }
        self.hear_kept().await?;
        // Last: what was kept of the homes' words came with the same backup.
        for (feed, copies) in by_feed.iter().filter(|_| recovery.unmarked) {
            let is_own = copies.iter().any(|copy| copy.state == CopyState::Own);
            if !is_own && feed.audience != Audience::Roster {
                self.heads.update(feed, |view| {
                    view.unchecked = view.held.as_ref().and_then(Held::position);
                });
            }
        }
        Ok(())
    }

    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Command>) {
        let mut group = Vec::with_capacity(GROUP);
        loop {
            if self.work.is_empty() {
                if queue.recv_many(&mut group, GROUP).await == 0 {
                    return;
                }
            } else {
                while group.len() < GROUP {
                    match queue.try_recv() {
                        Ok(command) => group.push(command),
                        Err(mpsc::error::TryRecvError::Empty) => break,
                        Err(mpsc::error::TryRecvError::Disconnected) if group.is_empty() => return,
                        Err(mpsc::error::TryRecvError::Disconnected) => break,
                    }
                }
            }
            if !group.is_empty() {
                self.handle(std::mem::take(&mut group)).await;
            }
            if let Some(work) = self.work.pop_front() {
                if let Err(error) = self.step(work.clone()).await {
                    stop_where_disk_fails(&error);
                    warn!(?work, error = &error as &dyn std::error::Error, "will be tried again");
                    self.work.push_back(work);
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
                tokio::task::yield_now().await;
            }
        }
    }

    /// What a copy is once it is whole: ours, or a copy.
    pub(super) fn settled_state(&self, feed: &FeedId) -> CopyState {
        match self.keys.signer(feed) {
            Some(_) => CopyState::Own,
            None => CopyState::Current,
        }
    }
}

/// Fail-stop: after a write or an fsync that failed, nobody knows what is on the disk, and asking it
/// again may get a false yes. Nothing of the transaction was answered or shown; the next start reads
/// what is there.
pub(super) fn stop_where_disk_fails(error: &StoreError) {
    if let StoreError::Io(_) = error {
        error!(error = error as &dyn std::error::Error, "the disk fails: stopping");
        std::process::exit(EXIT_DISK_FAILS);
    }
}

/// The copy that is written here.
pub(super) fn own_copy(copies: &mut [Copy]) -> Option<&mut Copy> {
    copies.iter_mut().find(|copy| copy.state == CopyState::Own)
}
