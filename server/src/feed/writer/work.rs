//! Long work, one step at a time between transactions.

use std::{collections::BTreeSet, time::Duration};

use tracing::info;

use super::{
    doubt::Doubt,
    engine::{Engine, Touched},
};
use crate::{
    domain::{
        audience::{Audience, FeedId},
        position::Sequence,
    },
    feed::{apply, continuity::Mark, heads::Held, inflow},
    store::{Copy, CopyState, FeedStore, FeedTx, Slot, StoreError},
    wire::entry::quarantined,
};

/// Rows cleared away in one step.
const CLEAR: usize = 2_000;

/// Rows entered again in one step, and about how many bytes of them.
const AGAIN: usize = 500;
const AGAIN_BYTES: usize = 8 * 1024 * 1024;

/// How often it is read from a shared database what other nodes have heard.
const HEAR_EVERY: Duration = Duration::from_secs(10);

/// One step of long work.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Work {
    OpenEpochs,
    NextEpochs(BTreeSet<FeedId>),
    Refresh,
    LeaveHomes,
    Retire(FeedId),
    GiveAway(FeedId),
    Index(FeedId, Slot),
    Advance(FeedId, Slot),
    Check(Box<Doubt>),
    Clear(FeedId, Slot),
    /// From after the row of this sequence.
    EnterAgain(FeedId, Slot, Sequence),
}

impl<S: FeedStore> Engine<S> {
    /// One step of long work, in a transaction of its own.
    pub(super) async fn step(&mut self, work: Work) -> Result<(), StoreError> {
        match &work {
            Work::OpenEpochs => self.open_epochs().await?,
            Work::NextEpochs(feeds) => self.next_epochs(feeds).await?,
            Work::Refresh => self.refresh().await?,
            Work::LeaveHomes => self.leave_homes().await?,
            Work::Retire(feed) => self.retire(feed).await?,
            Work::GiveAway(feed) => self.give_away(feed).await?,
            Work::Clear(feed, slot) => {
                let mut tx = self.store.begin().await?;
                // Another node may have cleared it away, and given its slot to something new.
                let copies = tx.copies(feed).await?;
                let is_there = |copy: &Copy| copy.slot == *slot && copy.state == CopyState::Retired;
                let done = !copies.iter().any(is_there) || tx.clear(*slot, CLEAR).await?;
                tx.commit().await?;
                if !done {
                    self.work.push_back(work);
                } else if let Some(view) = self.heads.find(feed)
                    && view.filling.is_some_and(|filling| filling.slot == *slot)
                {
                    self.heads.update(feed, |view| view.filling = None);
                }
            }
            Work::Advance(feed, slot) => {
                let settled = self.settled_state(feed);
                let mut tx = self.store.begin().await?;
                let mut touched = Touched::default();
                let Some(copy) = touched.copy(&mut tx, feed, *slot).await? else { return Ok(()) };
                if copy.state != CopyState::CatchingUp {
                    // Another node has done it.
                    return Ok(());
                }
                let done = inflow::advance(&mut tx, copy, settled).await?;
                tx.commit().await?;
                self.show(touched).await;
                if !done {
                    self.work.push_front(work);
                }
            }
            Work::Check(doubt) => {
                let rest = self.check(Doubt::clone(doubt)).await?;
                self.work.extend(rest);
            }
            Work::EnterAgain(feed, slot, after) => {
                if let Some(last) = self.enter_again(feed, *slot, *after).await? {
                    self.work.push_back(Work::EnterAgain(feed.clone(), *slot, last));
                }
            }
            Work::Index(feed, slot) => {
                if !self.index(feed, *slot).await? {
                    self.work.push_front(work);
                }
            }
        }
        Ok(())
    }

    /// Makes the next rows of a verified copy searchable; shows the copy when all are.
    pub(super) async fn index(&mut self, feed: &FeedId, slot: Slot) -> Result<bool, StoreError> {
        let mut tx = self.store.begin().await?;
        let mut touched = Touched::default();
        let Some(copy) = touched.copy(&mut tx, feed, slot).await? else { return Ok(true) };
        if copy.state != CopyState::Indexing {
            // Another node has done it.
            self.indexing.forget(slot);
            return Ok(true);
        }
        let (entries, last) = self.indexing.next(&self.store, copy).await?;
        if let Some(last) = last {
            tx.enter(slot, &entries).await?;
            copy.indexed = last;
            tx.update_copy(copy).await?;
            tx.commit().await?;
            return Ok(false);
        }
        copy.indexed = copy.sequence;
        copy.state = self.settled_state(feed);
        tx.update_copy(copy).await?;
        let counter = copy.epoch.counter;
        // The switch: what the epoch before held is not read any more from this commit on.
        let mut retired = Vec::new();
        for other in touched.copies(&mut tx, feed).await? {
            if other.slot != slot && other.epoch.counter < counter {
                other.state = CopyState::Retired;
                tx.update_copy(other).await?;
                retired.push(Work::Clear(feed.clone(), other.slot));
            }
        }
        touched.work = retired;
        tx.commit().await?;
        info!(%feed, "copy is complete and searchable");
        self.show(touched).await;
        Ok(true)
    }

    /// Enters the next rows of a copy again that the version which entered them could not read; the last
    /// of them, none if there are no more.
    async fn enter_again(
        &mut self,
        feed: &FeedId,
        slot: Slot,
        after: Sequence,
    ) -> Result<Option<Sequence>, StoreError> {
        let mut tx = self.store.begin().await?;
        let copies = tx.copies(feed).await?;
        let copy = copies.into_iter().find(|copy| copy.slot == slot);
        let Some(copy) = copy.filter(|copy| copy.state.is_readable()) else { return Ok(None) };
        let rows = match feed.audience {
            // Earlier versions did not say which rows of the roster they could not read.
            Audience::Roster => {
                let page = self.store.page(slot, after, AGAIN, AGAIN_BYTES).await?;
                page.map(|page| page.rows).unwrap_or_default()
            }
            _ => tx.entered_under(slot, &quarantined(), after, AGAIN).await?,
        };
        let last = rows.last().map(|row| row.sequence);
        match last {
            Some(_) => {
                let sequences: Vec<Sequence> = rows.iter().map(|row| row.sequence).collect();
                tx.remove(slot, &sequences).await?;
                tx.put(slot, &rows).await?;
                tx.enter(slot, &apply::entries(&copy, &rows)).await?;
            }
            None => tx.set_entered(slot).await?,
        }
        tx.commit().await?;
        Ok(last)
    }

    /// Shows what other nodes on the same database have committed. What they have not told anybody
    /// yet is marked here before this node does.
    pub(super) async fn refresh(&mut self) -> Result<(), StoreError> {
        let changed = self.store.changed(self.turn).await?;
        if changed.turn == self.turn {
            return Ok(());
        }
        let mut touched = Touched::default();
        let (mut is_new, mut opened) = (false, Vec::new());
        for copy in changed.copies {
            if copy.state == CopyState::Own {
                // Under another epoch where it lay: only who opens an epoch does that. One that was
                // taken back from a neighbour lies elsewhere.
                let before = self.heads.find(&copy.feed).and_then(|view| view.held);
                let in_place =
                    |held: Held| held.slot == copy.slot && held.epoch.counter < copy.epoch.counter;
                if before.is_some_and(in_place) {
                    opened.push(copy.feed.clone());
                }
                let mark = Mark { epoch: copy.epoch, number: copy.number };
                let newer = |known: &Mark| {
                    (known.epoch.counter, known.number) < (mark.epoch.counter, mark.number)
                };
                if self.marks.get(&copy.feed).is_none_or(newer) {
                    self.marks.insert(copy.feed.clone(), mark);
                    is_new = true;
                }
            }
            touched.copies.entry(copy.feed.clone()).or_default().push(copy);
        }
        if is_new {
            self.write_marks();
        }
        for found in self.store.equivocations().await? {
            let known = self.heads.find(&found.feed).and_then(|view| view.contradicted);
            if known < Some(found.epoch_counter) {
                touched.contradicted.push((found.feed, found.epoch_counter));
            }
        }
        if self.heard.is_none_or(|heard| heard.elapsed() > HEAR_EVERY) {
            self.heard = Some(tokio::time::Instant::now());
            self.hear_kept().await?;
        }
        self.turn = changed.turn;
        self.show(touched).await;
        if !opened.is_empty() {
            self.recovery.send_modify(|recovery| {
                recovery.feeds.retain(|feed, _| !opened.contains(feed));
                recovery.unmarked &= !recovery.feeds.is_empty();
            });
        }
        Ok(())
    }
}
