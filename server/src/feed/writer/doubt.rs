//! Doubt: what has arrived and what is here do not make the state that was sealed. The copy is added up
//! anew, some rows at a time; if it is intact, whoever delivered is to blame, and if it is not, a bit
//! has changed on this disk and the copy is fetched anew.

use tracing::{error, warn};

use super::{
    engine::{Engine, Touched},
    work::Work,
};
use crate::{
    domain::{audience::FeedId, position::Sequence},
    feed::{
        digest::{Elements, Sum},
        seal::Seal,
    },
    store::{Copy, CopyState, FeedStore, FeedTx, Slot, StoreError, StoredPage},
};

/// Rows that are added up in one step, and bytes of their payloads.
const PAGE: usize = 2_000;
const PAGE_BYTES: usize = 16 * 1024 * 1024;

/// A copy that is being added up anew.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Doubt {
    pub(super) feed: FeedId,
    slot: Slot,
    number: u64,
    after: Sequence,
    sum: Sum,
    live: u64,
    /// What the home itself has sealed and delivered: it freezes the feed if the copy is intact.
    blamed: Option<Seal>,
}

impl Doubt {
    pub(super) fn of(copy: &Copy, blamed: Option<Seal>) -> Doubt {
        Doubt {
            feed: copy.feed.clone(),
            slot: copy.slot,
            number: copy.number,
            after: Sequence(0),
            sum: Sum::empty(),
            live: 0,
            blamed,
        }
    }

    /// Does the other check answer this question too?
    fn is_answered_by(&self, other: &Work) -> bool {
        match other {
            Work::Check(other) => {
                other.feed == self.feed
                    && other.number == self.number
                    && (self.blamed.is_none() || other.blamed.is_some())
            }
            _ => false,
        }
    }

    fn add(&mut self, page: &StoredPage) {
        let elements = Elements::of(&self.feed);
        for row in &page.rows {
            self.sum.add(&elements.element(row));
            self.live += u64::from(!row.removed);
            self.after = row.sequence;
        }
    }

    /// Are the rows the ones of which the copy holds the sum and the home's seal?
    fn finds_intact(&self, copy: &Copy) -> bool {
        let digest = Seal::decode(&copy.seal).ok().map(|seal| seal.statement().digest);
        self.sum.to_bytes() == copy.sum
            && self.live == copy.live
            && digest == Some(self.sum.digest())
    }
}

impl<S: FeedStore> Engine<S> {
    /// Has a copy added up anew, unless that is under way or was just done: a neighbour that delivers
    /// nonsense again and again does not make this node read its disk again and again.
    pub(super) fn doubt(&self, touched: &mut Touched, doubt: Doubt) {
        let known = self.intact.get(&doubt.feed) == Some(&doubt.number) && doubt.blamed.is_none();
        if !known && !self.work.iter().any(|work| doubt.is_answered_by(work)) {
            touched.work.push(Work::Check(Box::new(doubt)));
        }
    }

    /// Adds the next rows up; what is left to do.
    pub(super) async fn check(&mut self, mut doubt: Doubt) -> Result<Option<Work>, StoreError> {
        let page = match self.store.page(doubt.slot, doubt.after, PAGE, PAGE_BYTES).await {
            Ok(Some(page)) => page,
            Ok(None) => return Ok(None),
            Err(error @ StoreError::Io(_)) => return Err(error),
            Err(error) => {
                warn!(feed = %doubt.feed, error = &error as &dyn std::error::Error, "cannot be added up");
                return Ok(None);
            }
        };
        let copy = &page.copy;
        let is_same = copy.feed == doubt.feed && copy.number == doubt.number;
        if !is_same || copy.state != CopyState::Current {
            // It has moved on, so it does add up.
            return Ok(None);
        }
        doubt.add(&page);
        if !page.reaches_end {
            return Ok(Some(Work::Check(Box::new(doubt))));
        }
        if !doubt.finds_intact(copy) {
            self.fetch_anew(&doubt.feed, doubt.slot).await?;
            return Ok(None);
        }
        self.intact.insert(doubt.feed.clone(), doubt.number);
        if let Some(blamed) = &doubt.blamed {
            let mut tx = self.store.begin().await?;
            let mut touched = Touched::default();
            self.freeze(&mut tx, &mut touched, blamed, None).await?;
            tx.commit().await?;
            self.show(touched).await;
        }
        Ok(None)
    }

    /// Puts away a copy that is damaged. Nothing of it is shown any more; neighbours have another.
    async fn fetch_anew(&mut self, feed: &FeedId, slot: Slot) -> Result<(), StoreError> {
        error!(%feed, "the copy here is damaged: it is fetched anew");
        let mut tx = self.store.begin().await?;
        let mut touched = Touched::default();
        if let Some(copy) = touched.copy(&mut tx, feed, slot).await? {
            copy.state = CopyState::Retired;
            tx.update_copy(copy).await?;
            touched.work.push(Work::Clear(feed.clone(), slot));
        }
        tx.commit().await?;
        if self.inflows.contains_key(feed) {
            self.end_inflow(feed);
        }
        self.show(touched).await;
        Ok(())
    }
}
