//! Where copies of a record lie: every point that may hold it, with its receipt once it is removed.
//!
//! Answers for records of this node's own homes alone: only a home has the receipts.

use std::sync::Arc;

use super::error::{Error, Result};
use crate::{
    domain::{
        audience::{Audience, FeedId},
        id::{PointCode, RecordId},
        position::{Epoch, Sequence},
        roster::RosterEntry,
        time::Time,
    },
    feed::{heads::Heads, keyring::Keyring, seal::Seal},
    store::{
        FeedStore, SEALS_KEPT,
        database::Database,
        parcels::{self, Receipt},
        records,
    },
};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// The record lives in the feed, and the point may hold that.
    Held,
    /// It is removed, and the point has not confirmed that.
    Pending,
    /// It is removed, and the point's receipt covers that.
    Scrubbed,
    /// The point was put out of the network before it confirmed a removal: what it has is beyond reach.
    Revoked,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Held => "held",
            State::Pending => "pending",
            State::Scrubbed => "scrubbed",
            State::Revoked => "revoked",
        }
    }
}

/// A record's copy at one point, for one audience.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CopyAt {
    /// A point with a node of its own.
    pub point: PointCode,
    pub home: PointCode,
    pub audience: Audience,
    pub state: State,
    /// Since when it is so: sealed, removed, or carried out there by its own clock. None if nobody
    /// remembers.
    pub since: Option<Time>,
    /// The receipt that covers the removal.
    pub receipt: Option<Receipt>,
}

/// What the use case works with.
#[derive(Clone)]
pub struct Copies {
    pub db: Database,
    pub heads: Arc<Heads>,
    pub keys: Arc<Keyring>,
}

impl Copies {
    /// Copies of a record of one of our homes, the home's own first. Whoever calls has authorised
    /// the caller for that home.
    pub async fn of_record(&self, home: &PointCode, id: RecordId) -> Result<Vec<CopyAt>> {
        if !self.keys.is_home(home) {
            return Err(Error::NotHome { home: home.to_string() });
        }
        let slots = self.heads.readable_slots();
        let versions = records::find(&mut *self.db.reader().await?, id).await?;
        let mut copies = Vec::new();
        for version in versions {
            let Some(feed) = slots.get(&version.slot).filter(|feed| feed.home == *home) else {
                continue;
            };
            let (removed, sequence) = (version.row.removed, version.row.sequence);
            copies.extend(self.of_version(id, feed, removed, sequence).await?);
        }
        if copies.is_empty() {
            return Err(Error::NotFound { noun: "record" });
        }
        copies.sort_by_key(|copy| (copy.point != self.keys.point, copy.audience));
        Ok(copies)
    }

    async fn of_version(
        &self,
        id: RecordId,
        feed: &FeedId,
        removed: bool,
        sequence: Sequence,
    ) -> Result<Vec<CopyAt>> {
        let Some(held) = self.heads.find(feed).and_then(|view| view.held) else {
            return Ok(Vec::new());
        };
        let sealed = self.sealed_at(feed, held.epoch, sequence).await?;
        let receipts = parcels::list_receipts(&mut *self.db.reader().await?, feed).await?;
        let roster = self.keys.roster();
        let with_node = roster.points().filter(|entry| entry.has_node());
        let others = with_node.map(|entry: &RosterEntry| &entry.code);
        let others = others.filter(|point| **point != self.keys.point);
        let holders =
            others.filter(|point| feed.audience.is_shared() && roster.may_node_hold(point, feed));
        let gone = roster.points().filter_map(|entry| Some((entry, entry.revoked.as_ref()?.at)));
        let gone = gone.filter(|(entry, at)| {
            let had_node = entry.host.is_none() && !entry.nodes.is_empty();
            let held = feed.audience.is_shared() && roster.may_have_held(&entry.code, feed);
            // Whoever came later was never shown to it.
            had_node && held && (id.created_ms() as i64) * 1_000 < at.0
        });
        let copy_at = |point: &PointCode| {
            let covers = |receipt: &&Receipt| receipt.extent.covers(held.epoch.counter, sequence);
            let receipt = receipts.iter().find(|receipt| receipt.point == *point).filter(covers);
            let (state, since) = match (removed, receipt) {
                (false, _) => (State::Held, sealed),
                (true, None) => (State::Pending, sealed),
                (true, Some(receipt)) => (State::Scrubbed, Some(receipt.scrubbed)),
            };
            let receipt = receipt.filter(|_| removed).cloned();
            let (point, home) = (point.clone(), feed.home.clone());
            CopyAt { point, home, audience: feed.audience, state, since, receipt }
        };
        let beyond_reach = gone.map(|(entry, at)| {
            let copy = copy_at(&entry.code);
            match copy.state {
                State::Scrubbed => copy,
                _ => CopyAt { state: State::Revoked, since: Some(at), ..copy },
            }
        });
        let within = std::iter::once(&self.keys.point).chain(holders).map(copy_at);
        Ok(within.chain(beyond_reach).collect())
    }

    /// When the seal that first covered a row was made, as far as seals are remembered.
    async fn sealed_at(
        &self,
        feed: &FeedId,
        epoch: Epoch,
        sequence: Sequence,
    ) -> Result<Option<Time>> {
        let mut first = None;
        for bytes in self.db.recent_seals(feed, SEALS_KEPT as usize).await? {
            let Ok(seal) = Seal::decode(&bytes) else { continue };
            let statement = seal.statement();
            if statement.epoch != epoch || statement.sequence < sequence {
                return Ok(first);
            }
            first = Some(statement.sealed_at);
            if statement.number == 1 {
                return Ok(first);
            }
        }
        // The oldest that is remembered covers it already: the one before may have, too.
        Ok(None)
    }
}
