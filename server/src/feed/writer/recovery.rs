//! What keeps a node from writing after a start: own feeds that lie behind what was shown of them.

use std::{collections::BTreeSet, sync::Arc};

use tracing::{info, warn};

use super::{
    engine::{Engine, Touched, own_copy},
    work::Work,
};
use crate::{
    domain::{
        audience::{Audience, FeedId},
        position::Sequence,
    },
    feed::{
        continuity::{self, Mark, Marks},
        own,
    },
    planted::{self, Fault},
    store::{Copy, CopyState, FeedStore, FeedTx, StoreError},
};

/// What keeps the node from writing after a start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recovery {
    /// Own feeds that have to be taken back from neighbours, and up to where.
    pub feeds: Marks,
    /// The marks are gone too, as after a restore or with the whole disk: which feeds there were and
    /// how far they had come is not known, and neighbours decide.
    pub unmarked: bool,
    /// Home records are being brought in line with what neighbours have, or will be once `feeds` is
    /// empty.
    pub reconciling: bool,
}

impl Recovery {
    pub fn is_over(&self) -> bool {
        self.is_taken_back() && !self.reconciling
    }

    /// Nothing is expected of neighbours any more.
    pub fn is_taken_back(&self) -> bool {
        self.feeds.is_empty() && !self.unmarked
    }

    /// May a feed of our own come from a neighbour?
    pub(super) fn awaits(&self, feed: &FeedId) -> bool {
        self.unmarked || self.feeds.contains_key(feed)
    }

    /// What is left has never left this node: nobody can give it back, and nobody can contradict.
    pub fn is_private(&self) -> bool {
        !self.feeds.is_empty()
            && !self.unmarked
            && self.feeds.keys().all(|feed| !feed.audience.is_shared())
    }
}

impl<S: FeedStore> Engine<S> {
    /// Which own feeds lie behind what may have been seen of them.
    pub(super) fn behind(&self, marks: Option<Marks>) -> Recovery {
        if planted::is(Fault::WriteWhileBehind) {
            return Recovery::default();
        }
        match marks {
            Some(marks) => {
                let mut feeds = continuity::behind(&marks, &self.marks);
                feeds.retain(|feed, _| self.may_sign(feed));
                Recovery { feeds, ..Recovery::default() }
            }
            None => {
                let mut feeds = self.marks.clone();
                feeds.retain(|feed, _| self.may_sign(feed));
                Recovery { unmarked: true, feeds, reconciling: false }
            }
        }
    }

    /// The founding point's roster is written by the node that holds the issuer, and by no other node
    /// on the same database.
    pub(super) fn may_sign(&self, feed: &FeedId) -> bool {
        feed.audience != Audience::Roster || self.keys.signer(feed).is_some()
    }

    /// An own feed has reached what may have been seen of it.
    pub(super) fn note_taken_back(&mut self, feed: &FeedId, copies: &[Copy]) {
        let recovery = self.recovery.borrow().clone();
        let Some(mark) = recovery.feeds.get(feed).filter(|_| !recovery.unmarked) else { return };
        let reached = copies.iter().find(|copy| {
            copy.state == CopyState::Own
                && (copy.epoch.counter, copy.number) >= (mark.epoch.counter, mark.number)
        });
        let Some(copy) = reached else { return };
        info!(%feed, "taken back from a neighbour");
        self.marks.insert(feed.clone(), Mark { epoch: copy.epoch, number: copy.number });
        self.recovery.send_modify(|recovery| {
            recovery.feeds.remove(feed);
        });
        let recovery = self.recovery.borrow().clone();
        if recovery.is_private() {
            self.work.push_back(Work::OpenEpochs);
        }
    }

    /// Every own feed that is not whole goes on in a new epoch from what is here.
    pub(super) async fn open_epochs(&mut self) -> Result<(), StoreError> {
        let recovery = self.recovery.borrow().clone();
        if recovery.is_taken_back() {
            return Ok(());
        }
        self.next_epochs(&self.to_open(&recovery)).await?;
        // Last: who waits for it finds the new epochs.
        self.recovery.send_modify(|recovery| {
            recovery.feeds.clear();
            recovery.unmarked = false;
        });
        Ok(())
    }

    /// Own feeds go on in an epoch above every one that was heard of, from what is here.
    pub(super) async fn next_epochs(&mut self, feeds: &BTreeSet<FeedId>) -> Result<(), StoreError> {
        let recovery = self.recovery.borrow().clone();
        let now = self.outside.now();
        let mut tx = self.store.begin().await?;
        let mut touched = Touched::default();
        let mut marks = Marks::new();
        for feed in feeds {
            let view = self.heads.find(feed).unwrap_or_default();
            let broken = view.broken().unwrap_or(0);
            let last = view.head;
            let seen = last.as_ref().map_or(0, |seal| seal.statement().epoch.counter);
            let seen = seen.max(broken);
            let copies = touched.copies(&mut tx, feed).await?;
            if own_copy(copies).is_none() {
                let copy = own::new_copy(feed.clone(), &self.keys, &self.outside);
                copies.push(tx.insert_copy(copy).await?);
            }
            let mut retired = Vec::new();
            for copy in copies.iter_mut().filter(|copy| copy.state == CopyState::Filling) {
                copy.state = CopyState::Retired;
                tx.update_copy(copy).await?;
                retired.push(Work::Clear(feed.clone(), copy.slot));
            }
            let copy = own_copy(copies).expect("BUG: was inserted above");
            tx.unstage(copy.slot, Sequence::MAX, false).await?;
            // The newest key of the home signs no epoch before its first.
            let first = self.keys.first_epoch(&feed.home);
            let marked = recovery.feeds.get(feed).map_or(0, |mark| mark.epoch.counter);
            let seen = seen.max(marked).max(first - 1);
            own::next_epoch(copy, seen, last.as_deref(), &self.outside);
            let seal = own::reseal(&mut tx, copy, &self.keys, now).await?;
            marks.insert(feed.clone(), Mark { epoch: copy.epoch, number: copy.number });
            touched.work.extend(retired);
            touched.raised.push(Arc::new(seal));
        }
        tx.commit().await?;
        for feed in marks.keys() {
            warn!(%feed, "goes on in a new epoch");
            self.inflows.remove(feed);
        }
        self.marks.extend(marks);
        self.write_marks();
        self.show(touched).await;
        Ok(())
    }

    /// Own feeds that go on in a new epoch: those that are expected back, and where nobody knows which
    /// there were, all that are here or were heard of.
    fn to_open(&self, recovery: &Recovery) -> BTreeSet<FeedId> {
        let mut feeds: BTreeSet<FeedId> = recovery.feeds.keys().cloned().collect();
        if recovery.unmarked {
            let known = self.heads.all().into_iter().map(|(feed, _)| feed);
            feeds.extend(known.filter(|feed| self.keys.signer(feed).is_some()));
        }
        feeds
    }
}
