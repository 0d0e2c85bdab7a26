//! What was hosted here and has a node of its own now: sealed for the last time, and cleared away once
//! it is there. And what of others this node may not hold any more.

use std::sync::Arc;

use tracing::info;

use super::{
    engine::{Engine, Touched, own_copy},
    work::Work,
};
use crate::{
    domain::audience::{Audience, FeedId},
    feed::{own, seal::Seal},
    store::{CopyState, FeedStore, FeedTx, StoreError},
};

impl<S: FeedStore> Engine<S> {
    /// Seals for the last time what was hosted here. From the roster on nothing of it is written any
    /// more.
    pub(super) async fn leave_homes(&mut self) -> Result<(), StoreError> {
        let now = self.outside.now();
        let mut left: Vec<(FeedId, [u8; 32])> = Vec::new();
        for (feed, view) in self.heads.all() {
            let is_own = view.held.is_some_and(|held| held.state == CopyState::Own);
            if is_own && feed.audience != Audience::Roster {
                left.extend(self.keys.successor(&feed.home).map(|successor| (feed, successor)));
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        let mut tx = self.store.begin().await?;
        let mut touched = Touched::default();
        for (feed, successor) in &left {
            let Some(copy) = own_copy(touched.copies(&mut tx, feed).await?) else { continue };
            let last = Seal::decode(&copy.seal).ok();
            if last.is_some_and(|last| last.statement().successor == Some(*successor)) {
                continue;
            }
            let seal = own::seal_last(&mut tx, copy, &self.keys, *successor, now).await?;
            info!(%feed, "sealed for the last time: the point has a node of its own");
            touched.raised.push(Arc::new(seal));
        }
        tx.commit().await?;
        self.marks.retain(|feed, _| self.keys.successor(&feed.home).is_none());
        self.write_marks();
        self.show(touched).await;
        Ok(())
    }

    /// Feeds of others that are here and that the roster does not let this node hold any more. Of a point
    /// that it does not name nothing is known: its entry may be one that this version cannot read.
    pub(super) fn withdrawn(&self) -> Vec<FeedId> {
        let roster = self.keys.roster();
        let views = self.heads.all().into_iter();
        let here = views.filter(|(_, view)| view.held.is_some() || view.filling.is_some());
        here.map(|(feed, _)| feed)
            .filter(|feed| {
                roster.get(&feed.home).is_some()
                    && roster.get(&self.keys.point).is_some()
                    && !self.keys.may_hold(feed)
                    && self.keys.signer(feed).is_none()
                    // Its own node has it from here.
                    && self.keys.successor(&feed.home).is_none()
            })
            .collect()
    }

    /// Clears away the copies of a feed that this node may not hold any more.
    pub(super) async fn give_away(&mut self, feed: &FeedId) -> Result<(), StoreError> {
        if !self.withdrawn().contains(feed) {
            return Ok(());
        }
        let mut tx = self.store.begin().await?;
        let mut touched = Touched::default();
        let mut retired = Vec::new();
        for copy in touched.copies(&mut tx, feed).await? {
            if !matches!(copy.state, CopyState::Own | CopyState::Retired) {
                copy.state = CopyState::Retired;
                tx.update_copy(copy).await?;
                retired.push(Work::Clear(feed.clone(), copy.slot));
            }
        }
        touched.work = retired;
        tx.commit().await?;
        info!(%feed, "cleared away: the roster does not let this node hold it any more");
        if self.inflows.contains_key(feed) {
            self.end_inflow(feed);
        }
        self.show(touched).await;
        Ok(())
    }

    /// Clears away what is written here no more and is at the home's own node.
    pub(super) async fn retire(&mut self, feed: &FeedId) -> Result<(), StoreError> {
        if self.keys.successor(&feed.home).is_none() {
            return Ok(());
        }
        let mut tx = self.store.begin().await?;
        let mut touched = Touched::default();
        let mut retired = Vec::new();
        for copy in touched.copies(&mut tx, feed).await? {
            if copy.state == CopyState::Own {
                copy.state = CopyState::Retired;
                tx.update_copy(copy).await?;
                retired.push(Work::Clear(feed.clone(), copy.slot));
            }
        }
        touched.work = retired;
        tx.commit().await?;
        self.show(touched).await;
        Ok(())
    }
}
