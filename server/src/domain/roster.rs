//! The roster as a value: who is in, who signs for whom, who lies above whom, who may hold what.
//!
//! Every answer is bounded, whatever the entries say: a parent chain that runs in a circle ends.

use std::collections::BTreeMap;

pub use super::roster_entry::*;
use super::{
    audience::{Audience, FeedId},
    id::PointCode,
    text::Invalid,
};

/// Points in one network.
pub const POINTS_MAX: usize = 10_000;
/// Levels of the tree. A chain longer than this leads nowhere.
pub const DEPTH_MAX: usize = 16;

/// Which way a parcel goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Route {
    /// The asking point's own node serves the destination.
    Here,
    /// To this neighbour.
    Next(PointCode),
    /// The destination is unknown, revoked, or has no node above or at it.
    Nowhere,
}

/// Why a peer is not let in, or not any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    #[error("the roster does not know the point")]
    UnknownPoint,
    #[error("the point is revoked")]
    Revoked,
    #[error("the point is served by another point's node")]
    Hosted,
    #[error("the roster does not know the node")]
    UnknownNode,
    #[error("the node's TLS key is not the one in the roster")]
    OtherKey,
}

impl Refused {
    pub fn reason(self) -> &'static str {
        match self {
            Refused::UnknownPoint => "UNKNOWN_POINT",
            Refused::Revoked => "POINT_REVOKED",
            Refused::Hosted => "POINT_HOSTED",
            Refused::UnknownNode => "UNKNOWN_NODE",
            Refused::OtherKey => "OTHER_TLS_KEY",
        }
    }
}

/// All points of the network, by code.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Roster {
    entries: BTreeMap<PointCode, RosterEntry>,
}

impl FromIterator<RosterEntry> for Roster {
    fn from_iter<I: IntoIterator<Item = RosterEntry>>(entries: I) -> Roster {
        let entries = entries.into_iter().map(|entry| (entry.code.clone(), entry)).collect();
        Roster { entries }
    }
}

impl Roster {
    pub fn get(&self, point: &PointCode) -> Option<&RosterEntry> {
        self.entries.get(point)
    }

    pub fn points(&self) -> impl Iterator<Item = &RosterEntry> {
        self.entries.values()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes a point's newest entry in place of the one before.
    pub fn put(&mut self, entry: RosterEntry) {
        self.entries.insert(entry.code.clone(), entry);
    }

    pub fn remove(&mut self, point: &PointCode) {
        self.entries.remove(point);
    }

    // --- who is in

    pub fn is_revoked(&self, point: &PointCode) -> bool {
        self.get(point).is_some_and(|entry| entry.revoked.is_some())
    }

    /// Will nothing reach the point any more: is it revoked, or the node that serves it?
    pub fn has_left(&self, point: &PointCode) -> bool {
        self.is_revoked(point) || self.server_of(point).is_some_and(|node| self.is_revoked(node))
    }

    /// May this node, with this TLS key, speak for this point? Asked on open and on every change.
    pub fn check_peer(
        &self,
        point: &PointCode,
        node: NodeId,
        spki_sha256: &[u8; 32],
    ) -> Result<(), Refused> {
        let entry = self.get(point).ok_or(Refused::UnknownPoint)?;
        if entry.revoked.is_some() {
            return Err(Refused::Revoked);
        }
        if entry.host.is_some() {
            return Err(Refused::Hosted);
        }
        let known = entry.node(node).ok_or(Refused::UnknownNode)?;
        if known.spki_sha256 != *spki_sha256 {
            return Err(Refused::OtherKey);
        }
        Ok(())
    }

    /// Checks a new entry against the others, before the issuer signs it.
    pub fn admits(&self, entry: &RosterEntry) -> Result<(), Invalid> {
        if self.len() >= POINTS_MAX && !self.entries.contains_key(&entry.code) {
            return Err(Invalid::new("code", "too_many_points"));
        }
        match &entry.parent {
            None if self
                .points()
                .any(|other| other.parent.is_none() && other.code != entry.code) =>
            {
                return Err(Invalid::new("parent", "required"));
            }
            None => {}
            Some(parent) if *parent == entry.code || self.get(parent).is_none() => {
                return Err(Invalid::new("parent", "unknown_point"));
            }
            Some(parent) => {
                if self.chain(parent).any(|above| above.code == entry.code) {
                    return Err(Invalid::new("parent", "circular"));
                }
                if self.chain(parent).count() >= DEPTH_MAX {
                    return Err(Invalid::new("parent", "too_deep"));
                }
            }
        }
        if let Some(host) = &entry.host
            && !self.get(host).is_some_and(RosterEntry::has_node)
        {
            return Err(Invalid::new("host", "without_node"));
        }
        for host in entry.nodes.iter().filter_map(|node| node.public_host.as_deref()) {
            if !self.is_host_free(&entry.code, host) {
                return Err(Invalid::new("nodes.public_host", "taken").hint(host));
            }
        }
        Ok(())
    }

    /// May a certificate of this point cover the host? One that another point has may not be.
    pub fn is_host_free(&self, point: &PointCode, host: &str) -> bool {
        let others = self.points().filter(|other| other.code != *point);
        !others.flat_map(|other| &other.nodes).any(|node| node.public_host.as_deref() == Some(host))
    }

    // --- who signs

    /// The key that signs a home's feeds at an epoch: its own, or for a hosted home without one its
    /// host's newest. The roster's own feed is not asked here: the issuer signs it.
    pub fn seal_key(&self, home: &PointCode, epoch: u64) -> Option<&SealKey> {
        let entry = self.get(home)?;
        if let Some(key) = entry.seal_key(epoch) {
            return Some(key);
        }
        let host = entry.host.as_ref()?;
        self.get(host).filter(|host| host.host.is_none())?.newest_seal_key()
    }

    /// The key that parcels and help requests to a point are sealed to: its own, or its host's.
    pub fn case_key(&self, point: &PointCode) -> Option<&[u8; 32]> {
        let server = self.get(self.server_of(point)?)?;
        server.case_key.as_ref()
    }

    /// The host whose key signed a home's feeds before the home's own did. None for a home that is
    /// hosted, never was, or has changed its key since.
    pub fn handed_over_by(&self, home: &PointCode) -> Option<&PointCode> {
        let entry = self.get(home).filter(|entry| entry.host.is_none())?;
        let before = entry.seal_keys.len().checked_sub(2)?;
        let before = &entry.seal_keys[before];
        let is_theirs = |other: &&RosterEntry| {
            other.code != entry.code
                && other.seal_keys.iter().any(|key| key.public == before.public)
        };
        self.points().find(is_theirs).map(|host| &host.code)
    }

    // --- who lies where

    pub fn parent(&self, point: &PointCode) -> Option<&PointCode> {
        self.get(point)?.parent.as_ref()
    }

    pub fn children<'a>(&'a self, point: &'a PointCode) -> impl Iterator<Item = &'a RosterEntry> {
        self.points().filter(move |entry| entry.parent.as_ref() == Some(point))
    }

    /// The points that a point's node serves besides its own.
    pub fn hosted_by<'a>(&'a self, host: &'a PointCode) -> impl Iterator<Item = &'a RosterEntry> {
        self.points().filter(move |entry| entry.host.as_ref() == Some(host))
    }

    /// The founding point.
    pub fn root(&self) -> Option<&RosterEntry> {
        self.points().find(|entry| entry.parent.is_none())
    }

    /// The provincial point that a point belongs to: the nearest one above it, or the founding point.
    pub fn province_of(&self, point: &PointCode) -> Option<&RosterEntry> {
        let is_province =
            |entry: &&RosterEntry| entry.kind == PointKind::Province && entry.revoked.is_none();
        let above = self.chain(point).skip(1).find(is_province);
        above.or_else(|| self.root().filter(|root| root.code != *point))
    }

    /// The point whose node serves this one: itself, or its host.
    pub fn server_of<'a>(&'a self, point: &'a PointCode) -> Option<&'a PointCode> {
        let entry = self.get(point)?;
        Some(entry.host.as_ref().unwrap_or(&entry.code))
    }

    /// The nearest point above that runs a node: who hosts a point without one, and whom a node
    /// dials. Revoked points are passed over.
    pub fn uplink(&self, point: &PointCode) -> Option<&PointCode> {
        let above = self.chain(point).skip(1).find(|entry| entry.has_node())?;
        Some(&above.code)
    }

    /// The neighbour through which `from` reaches `to`, along the tree of nodes.
    pub fn route(&self, from: &PointCode, to: &PointCode) -> Route {
        let Some(target) = self.server_of(to) else { return Route::Nowhere };
        if target == from && !self.is_revoked(to) {
            return Route::Here;
        }
        if self.is_revoked(to) || !self.get(target).is_some_and(RosterEntry::has_node) {
            return Route::Nowhere;
        }
        // Down, if the destination lies under us: through the node just below us on its way up.
        let mut below = target;
        for _ in 0..DEPTH_MAX {
            match self.uplink(below) {
                Some(above) if above == from => return Route::Next(below.clone()),
                Some(above) => below = above,
                None => break,
            }
        }
        self.uplink(from).map_or(Route::Nowhere, |above| Route::Next(above.clone()))
    }

    /// A point and everything above it, nearest first; at most `DEPTH_MAX` and one.
    fn chain(&self, point: &PointCode) -> impl Iterator<Item = &RosterEntry> {
        let first = self.get(point);
        let up = |entry: &&RosterEntry| entry.parent.as_ref().and_then(|code| self.get(code));
        std::iter::successors(first, up).take(DEPTH_MAX + 1)
    }

    // --- who may hold what

    /// May a point hold a feed? The home and its host always may; a revoked or unknown point gets
    /// what anybody gets.
    pub fn may_hold(&self, point: &PointCode, feed: &FeedId) -> bool {
        if feed.audience == Audience::Roster {
            return true;
        }
        if feed.audience == Audience::Public {
            return self.get(&feed.home).is_some();
        }
        self.get(point)
            .is_some_and(|holder| holder.revoked.is_none() && self.entitles(holder, feed))
    }

    /// Would a point hold a feed if nobody had put it out of the network? What came before may still
    /// lie there.
    pub fn may_have_held(&self, point: &PointCode, feed: &FeedId) -> bool {
        self.get(point).is_some_and(|holder| self.entitles(holder, feed))
    }

    fn entitles(&self, holder: &RosterEntry, feed: &FeedId) -> bool {
        let Some(home) = self.get(&feed.home) else { return false };
        if holder.code == home.code || home.host.as_ref() == Some(&holder.code) {
            return true;
        }
        match feed.audience {
            Audience::Sealed | Audience::Home => false,
            Audience::Domestic => holder.jurisdiction == home.jurisdiction,
            Audience::Network => holder.has_basis_for(home),
            Audience::Public | Audience::Roster => true,
        }
    }

    /// May the node of `server` hold a feed? It may what its own point or one that it hosts may;
    /// what people then read there is authorised per point.
    pub fn may_node_hold(&self, server: &PointCode, feed: &FeedId) -> bool {
        self.may_hold(server, feed)
            || self.hosted_by(server).any(|hosted| self.may_hold(&hosted.code, feed))
    }
}

#[cfg(test)]
#[path = "roster_tests.rs"]
mod tests;
