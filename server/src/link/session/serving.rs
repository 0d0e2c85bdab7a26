//! What the peer asks for: pages and kept seals of feeds that it may hold.

use yizhan_proto::v1::{self, frame::Kind};

use super::running::{Ended, Session};
use crate::{
    domain::{
        audience::{Audience, FeedId},
        position::{Epoch, Sequence},
    },
    feed::seal,
    link::{
        frame::frame,
        serving::{Serving, serve},
    },
    planted::{self, Fault},
    store::{FeedStore, Slot},
};

/// Seals handed over when a peer asks after a mismatch.
pub const RECENT_SEALS: usize = 1_024;
/// Pulls a peer may have open with this side.
const SERVED_MAX: usize = 32;

/// A pull of the peer that is being answered.
pub(super) struct Served {
    pub(super) feed: FeedId,
    task: tokio::task::AbortHandle,
}

impl<S: FeedStore> Session<S> {
    pub(super) fn pull_asked(&mut self, pull: v1::Pull) -> Result<(), Ended> {
        if pull.cancel {
            if let Some(served) = self.served.remove(&pull.pull) {
                served.task.abort();
            }
            return Ok(());
        }
        while let Some(done) = self.serving.try_join_next() {
            self.forget_served(done);
        }
        if self.served.contains_key(&pull.pull) {
            return Err(Ended::Protocol("two pulls of one number"));
        }
        // Tasks and not numbers: one that was cancelled a moment ago still holds its page.
        if self.serving.len() >= SERVED_MAX {
            return Err(Ended::Protocol("too many pulls"));
        }
        let parsed = (|| {
            let audience = Audience::from_number(i64::from(pull.audience))?;
            let feed = FeedId::new(pull.home.parse().ok()?, audience);
            Some((feed, seal::epoch(pull.epoch?)?, Sequence(pull.after)))
        })();
        let Some((feed, epoch, after)) = parsed else { return Err(Ended::Protocol("bad pull")) };
        let slot = self.servable(&feed, epoch, after);
        let number = pull.pull;
        let Some(slot) = slot else {
            let page = v1::Page { pull: number, gone: true, ..Default::default() };
            return Ok(self.out.control(frame(Kind::Page(page)))?);
        };
        let pages = match feed.audience {
            Audience::Roster => self.out.roster_pages.clone(),
            _ => self.out.pages.clone(),
        };
        let serving = Serving { pull: number, slot, epoch, after };
        let (store, credit) = (self.parts.store.clone(), self.credit.clone());
        let task = self.serving.spawn(async move {
            serve(store, serving, credit, pages).await;
            number
        });
        self.served.insert(number, Served { feed, task });
        Ok(())
    }

    /// Stops answering a pull of a feed that the peer may not hold any more, whatever of it was sent.
    pub(super) fn withdraw(&mut self, pull: u64) -> Result<(), Ended> {
        if let Some(served) = self.served.remove(&pull) {
            served.task.abort();
            let page = v1::Page { pull, gone: true, ..Default::default() };
            self.out.control(frame(Kind::Page(page)))?;
        }
        Ok(())
    }

    /// A pull has been answered to its end, or was cancelled.
    pub(super) fn forget_served(&mut self, done: Result<u64, tokio::task::JoinError>) {
        if let Ok(pull) = done {
            self.served.remove(&pull);
        }
    }

    /// The copy to serve from: one that the peer may hold, of the epoch it asks for, that can be
    /// relayed, and that is not behind the peer.
    pub(super) fn servable(&self, feed: &FeedId, epoch: Epoch, after: Sequence) -> Option<Slot> {
        let keys = &self.parts.keys;
        let entitled = *feed == keys.roster_feed()
            || (feed.audience.is_shared()
                && (keys.roster().may_node_hold(&self.peer.point, feed)
                    || planted::is(Fault::SkipEntitlement)));
        let held = self.parts.heads.find(feed).filter(|view| !view.is_disowned())?.held?;
        let fits = held.epoch == epoch && held.state.is_relayed() && held.sequence >= after;
        (entitled && fits).then_some(held.slot)
    }

    pub(super) async fn recent_seals_asked(
        &mut self,
        request: v1::RecentSealsRequest,
    ) -> Result<(), Ended> {
        let audience = Audience::from_number(i64::from(request.audience));
        let (Some(audience), Ok(home)) = (audience, request.home.parse()) else {
            return Err(Ended::Protocol("bad request for seals"));
        };
        let feed = FeedId::new(home, audience);
        let keys = &self.parts.keys;
        let entitled = feed.audience.is_shared()
            && (feed == keys.roster_feed()
                || keys.roster().may_node_hold(&self.peer.point, &feed)
                || planted::is(Fault::SkipEntitlement));
        if !entitled {
            return Ok(());
        }
        let kept = self.parts.store.recent_seals(&feed, RECENT_SEALS).await.unwrap_or_default();
        let seals = kept.iter().filter_map(|bytes| prost::Message::decode(&bytes[..]).ok());
        let seals: Vec<v1::Seal> = seals.collect();
        Ok(self.out.control(frame(Kind::RecentSeals(v1::RecentSeals { seals })))?)
    }

    /// The answer to a question of ours.
    pub(super) async fn recent_seals(&mut self, recent: v1::RecentSeals) -> Result<(), Ended> {
        let Some(left) = self.seals_asked.checked_sub(1) else {
            return Err(Ended::Protocol("seals that were not asked for"));
        };
        self.seals_asked = left;
        for message in recent.seals.into_iter().take(RECENT_SEALS) {
            if let Some(seal) = self.check(message) {
                self.parts.writer.remember(seal).await;
            }
        }
        Ok(())
    }
}
