//! Heads: what the peer announces, checked; and what is announced to it.

use std::sync::Arc;

use tracing::debug;
use yizhan_proto::v1::{self, frame::Kind};

use super::running::{Ended, Session};
use crate::{
    domain::{
        audience::{Audience, FeedId},
        id::PointCode,
    },
    feed::{seal::Seal, statement},
    link::frame::{HEADS_MAX, frame},
    planted::{self, Fault},
    store::FeedStore,
};

/// Feeds a peer may announce.
const FEEDS_MAX: usize = 40_000;
/// Proofs in one frame.
const PROOFS: usize = 16;
/// Proofs of one peer that wait for a roster.
const UNCHECKED_PROOFS_MAX: usize = 64;

impl<S: FeedStore> Session<S> {
    pub(super) async fn heads(&mut self, heads: v1::Heads) -> Result<(), Ended> {
        if heads.seals.len() > HEADS_MAX {
            return Err(Ended::Protocol("too many heads"));
        }
        for message in heads.seals {
            let known = Seal::read(message.clone())
                .ok()
                .and_then(|seal| self.theirs.get(&seal.statement().feed).cloned())
                .is_some_and(|known| *known.message() == message);
            if known {
                continue;
            }
            if self.theirs.len() + self.unchecked.len() > FEEDS_MAX {
                return Err(Ended::Protocol("too many feeds"));
            }
            self.head(message).await;
        }
        for message in heads.statements.into_iter().take(HEADS_MAX) {
            self.statement(message).await;
        }
        for proof in heads.equivocations.into_iter().take(PROOFS) {
            self.proof(proof).await;
        }
        self.ask().await
    }

    /// Two seals, or one, that speak against their home. Those that no key fits yet wait for the roster:
    /// they are told once.
    async fn proof(&mut self, proof: v1::Equivocation) {
        let halves =
            [&proof.one, &proof.other].map(|half| half.clone().map(|seal| self.check(seal)));
        if halves.iter().any(|half| matches!(half, Some(None)))
            && self.unchecked_proofs.len() < UNCHECKED_PROOFS_MAX
        {
            self.unchecked_proofs.push(proof);
        }
        match halves.map(Option::flatten) {
            [Some(one), Some(other)] if one.contradicts(&other) => {
                self.parts.writer.remember_both(one, other).await;
            }
            halves => {
                for seal in halves.into_iter().flatten() {
                    self.parts.writer.remember(seal).await;
                }
            }
        }
    }

    pub(super) async fn statement(&mut self, message: v1::SignedHeads) {
        let now = self.parts.outside.now();
        if !statement::is_sound(&message) {
            return;
        }
        let Some((home, heard)) = statement::verify(&message, &self.parts.keys, now) else {
            if self.unchecked_statements.len() < HEADS_MAX {
                self.unchecked_statements.push(message);
            }
            return;
        };
        if !self.may_hear(&self.parts.keys.point, &home, heard.audience) {
            // The peer may know a newer roster than this node does.
            if self.unchecked_statements.len() < HEADS_MAX {
                self.unchecked_statements.push(message);
            }
            return;
        }
        self.statements_told.insert((home.clone(), heard.audience), heard.number);
        let may_hold = |feed: &FeedId| self.parts.keys.may_hold(feed);
        if self.parts.heads.hear(&home, heard.clone(), may_hold) {
            self.parts.writer.hear(home, heard).await;
        }
    }

    /// A seal that the peer announces. One that no key fits yet, or of a feed that this node may not hold
    /// yet, is kept for when the roster has come: it is announced together with it, and once.
    async fn head(&mut self, message: v1::Seal) {
        let Ok(seal) = Seal::read(message.clone()) else { return };
        if let Some(seal) = self.check(message) {
            return self.learn(seal).await;
        }
        let statement = seal.statement();
        let feed = statement.feed.clone();
        // Of the roster too: the authority may have appointed another issuer, of whom our next certificate
        // will tell.
        if (feed.audience != Audience::Roster || feed == self.parts.keys.roster_feed())
            && feed.audience.is_shared()
            && statement.network == self.parts.keys.network
            && (self.parts.keys.verify(&seal).is_err() || !self.parts.keys.may_hold(&feed))
        {
            self.unchecked.insert(feed, seal);
        }
    }

    /// A seal that its home has signed and this node may hold the feed of.
    pub(super) fn check(&self, message: v1::Seal) -> Option<Arc<Seal>> {
        let seal = Seal::read(message).ok()?;
        let feed = &seal.statement().feed;
        if !feed.audience.is_shared() {
            return None;
        }
        match self.parts.keys.verify(&seal) {
            Ok(()) => self.parts.keys.may_hold(feed).then(|| Arc::new(seal)),
            Err(error) => {
                debug!(?seal, %error, peer = %self.peer.point, "seal not accepted");
                None
            }
        }
    }

    pub(super) async fn learn(&mut self, seal: Arc<Seal>) {
        let feed = seal.statement().feed.clone();
        let newer = self.theirs.get(&feed).is_none_or(|known| seal.is_after(known));
        // Kept whether it is news or not, unless it is the very one that is known: two seals of one
        // number are found whatever order they come in, also when the feed has long moved on.
        let known = self.parts.heads.find(&feed).is_some_and(|view| {
            let held = view.held.as_ref().and_then(|held| held.seal.as_ref());
            [view.head.as_ref(), held].into_iter().flatten().any(|known| **known == *seal)
        });
        if !known {
            self.parts.heads.raise(&seal);
            self.parts.writer.remember(seal.clone()).await;
        }
        self.recheck(&seal);
        if newer {
            self.theirs.insert(feed, seal);
        }
    }

    /// What came with a backup is held against what the peer has announced.
    pub(super) fn recheck(&self, seal: &Seal) {
        let by_home = self.parts.keys.roster().server_of(&seal.statement().feed.home)
            == Some(&self.peer.point);
        self.parts.heads.check(seal, by_home);
    }

    /// Announces what has changed here, re-checks the peer, and asks for what is missing.
    pub(super) async fn look(&mut self, everything: bool) -> Result<(), Ended> {
        if !self.greeted {
            return Ok(());
        }
        let roster_feed = self.parts.keys.roster_feed();
        if self.out.has_room() {
            let (changed, revision) = self.parts.heads.since(self.revision);
            let roster_changed = changed.iter().any(|(feed, _)| *feed == roster_feed);
            if roster_changed {
                self.roster_changed().await?;
            }
            let all = if roster_changed { self.parts.heads.all() } else { changed };
            self.announce(all).await?;
            self.revision = revision;
            self.announce_statements()?;
        }
        if everything || !self.theirs.is_empty() {
            self.ask().await?;
        }
        Ok(())
    }

    pub(super) async fn roster_changed(&mut self) -> Result<(), Ended> {
        if !(self.peer.admitted)(&self.parts.keys) {
            return Err(Ended::NotAdmitted);
        }
        let roster = self.parts.keys.roster();
        let roster_feed = self.parts.keys.roster_feed();
        // Feeds that the peer may not hold any more are not served to the end.
        let entitled =
            |feed: &FeedId| *feed == roster_feed || roster.may_node_hold(&self.peer.point, feed);
        self.announced.retain(|feed, _| entitled(feed));
        // What it has announced of them it clears away, and is told of again if they are let through again.
        // A former host is not entitled to what it gives back to its home.
        let keys = self.parts.keys.clone();
        self.theirs.retain(|feed, _| entitled(feed) || keys.signer(feed).is_some());
        let withdrawn: Vec<u64> = self
            .served
            .iter()
            .filter(|(_, served)| !entitled(&served.feed))
            .map(|(pull, _)| *pull)
            .collect();
        for pull in withdrawn {
            self.withdraw(pull)?;
        }
        for proof in std::mem::take(&mut self.unchecked_proofs) {
            self.proof(proof).await;
        }
        for message in std::mem::take(&mut self.unchecked_statements) {
            self.statement(message).await;
        }
        for (_, seal) in std::mem::take(&mut self.unchecked) {
            self.head(seal.message().clone()).await;
        }
        Ok(())
    }

    pub(super) async fn announce(
        &mut self,
        views: Vec<(FeedId, crate::feed::heads::View)>,
    ) -> Result<(), Ended> {
        let roster = self.parts.keys.roster();
        let roster_feed = self.parts.keys.roster_feed();
        let mut seals = Vec::new();
        for (feed, view) in views {
            let entitled = feed == roster_feed
                || roster.may_node_hold(&self.peer.point, &feed)
                || planted::is(Fault::SkipEntitlement);
            if !feed.audience.is_shared() || !entitled {
                continue;
            }
            let is_told = self.contradictions_told.contains_key(&feed) && !view.is_frozen();
            if view.contradicted.is_some() && !is_told {
                self.tell_equivocation(&feed).await?;
            }
            let Some(seal) = view.relayed() else { continue };
            let statement = seal.statement();
            let version = (statement.epoch.counter, statement.number);
            // The peer has said so itself, or we have.
            let known = self.theirs.get(&feed).is_some_and(|theirs| theirs.hash() == seal.hash());
            if self.announced.insert(feed.clone(), version) == Some(version) || known {
                continue;
            }
            if feed == roster_feed {
                seals.insert(0, seal.message().clone());
            } else {
                seals.push(seal.message().clone());
            }
        }
        for chunk in seals.chunks(HEADS_MAX) {
            let heads = v1::Heads { seals: chunk.to_vec(), ..Default::default() };
            self.out.control(frame(Kind::Heads(heads)))?;
        }
        Ok(())
    }

    pub(super) async fn tell_equivocation(&mut self, feed: &FeedId) -> Result<(), Ended> {
        use prost::Message;
        let Ok(found) = self.parts.store.equivocations().await else { return Ok(()) };
        let mut proofs: Vec<Vec<u8>> = found
            .into_iter()
            .filter(|found| found.feed == *feed)
            .map(|found| found.proof)
            .collect();
        proofs.sort();
        // What was half a proof may have become a whole one.
        let told = *blake3::hash(&proofs.concat()).as_bytes();
        if self.contradictions_told.insert(feed.clone(), told) == Some(told) {
            return Ok(());
        }
        let equivocations: Vec<v1::Equivocation> =
            proofs.iter().filter_map(|proof| v1::Equivocation::decode(&proof[..]).ok()).collect();
        for chunk in equivocations.chunks(PROOFS) {
            let heads = v1::Heads { equivocations: chunk.to_vec(), ..Default::default() };
            self.out.control(frame(Kind::Heads(heads)))?;
        }
        Ok(())
    }

    /// A list of heads goes to those who may hold the feeds. One of all heads, as older versions say
    /// it, cannot be cut down, and without it nobody would know that the home is alive.
    fn may_hear(&self, node: &PointCode, home: &PointCode, audience: Option<Audience>) -> bool {
        audience.is_none_or(|audience| {
            let feed = FeedId::new(home.clone(), audience);
            self.parts.keys.roster().may_node_hold(node, &feed)
        })
    }

    pub(super) fn announce_statements(&mut self) -> Result<(), Ended> {
        use prost::Message;
        let roster = self.parts.keys.roster();
        let mut statements = Vec::new();
        for (list, heard) in self.parts.heads.all_heard() {
            let (home, audience) = &list;
            if roster.get(home).is_none()
                || !self.may_hear(&self.peer.point, home, *audience)
                || self.statements_told.get(&list).is_some_and(|told| *told >= heard.number)
            {
                continue;
            }
            self.statements_told.insert(list, heard.number);
            if let Ok(statement) = v1::SignedHeads::decode(&heard.statement[..]) {
                statements.push(statement);
            }
        }
        for chunk in statements.chunks(64) {
            let heads = v1::Heads { statements: chunk.to_vec(), ..Default::default() };
            self.out.control(frame(Kind::Heads(heads)))?;
        }
        Ok(())
    }
}
