//! Who signs what: the keys this node holds, and the keys the roster names for everybody else.

use std::sync::Arc;

use arc_swap::ArcSwap;
use ed25519_dalek::{SigningKey, VerifyingKey};

use super::seal::{Seal, SealError};
use crate::{
    domain::{
        audience::{Audience, FeedId},
        id::PointCode,
        roster::{Position, Roster},
    },
    planted::{self, Fault},
};

/// A node's keys for feeds, beside the newest roster it has verified.
pub struct Keyring {
    pub network: String,
    pub point: PointCode,
    /// The point where the issuer sits: the roster's home.
    pub founder: PointCode,
    seal_key: SigningKey,
    /// Held by the founding node alone.
    issuer_key: Option<SigningKey>,
    /// The key that signs the roster, as the authority has it.
    issuer: ArcSwap<VerifyingKey>,
    roster: ArcSwap<Roster>,
}

impl Keyring {
    pub fn new(
        network: String,
        point: PointCode,
        founder: PointCode,
        seal_key: SigningKey,
        issuer: VerifyingKey,
        issuer_key: Option<SigningKey>,
    ) -> Keyring {
        Keyring {
            network,
            point,
            founder,
            seal_key,
            issuer_key,
            issuer: ArcSwap::from_pointee(issuer),
            roster: ArcSwap::from_pointee(Roster::default()),
        }
    }

    pub fn roster(&self) -> Arc<Roster> {
        self.roster.load_full()
    }

    /// Takes a roster that `apply` has just verified.
    pub fn set_roster(&self, roster: Roster) {
        self.roster.store(Arc::new(roster));
    }

    /// Takes the roster's key as the authority has signed it; true if it is another one than before.
    pub fn set_issuer(&self, issuer: VerifyingKey) -> bool {
        let before = self.issuer.swap(Arc::new(issuer));
        *before != issuer
    }

    pub fn roster_feed(&self) -> FeedId {
        FeedId::new(self.founder.clone(), Audience::Roster)
    }

    pub fn seal_key(&self) -> &SigningKey {
        &self.seal_key
    }

    /// The homes whose feeds this node writes: its own point and those it hosts.
    pub fn homes(&self) -> Vec<PointCode> {
        let roster = self.roster();
        let hosted = roster.hosted_by(&self.point).map(|entry| entry.code.clone());
        std::iter::once(self.point.clone()).chain(hosted).collect()
    }

    pub fn is_home(&self, home: &PointCode) -> bool {
        *home == self.point
            || self.roster().get(home).is_some_and(|entry| entry.host.as_ref() == Some(&self.point))
    }

    /// The key to sign a feed with, if this node writes it.
    pub fn signer(&self, feed: &FeedId) -> Option<&SigningKey> {
        match feed.audience {
            Audience::Roster => self.issuer_key.as_ref().filter(|_| feed.home == self.founder),
            _ => self.is_home(&feed.home).then_some(&self.seal_key),
        }
    }

    /// The first epoch that the newest key of a home signs: above 1 where others signed before. The
    /// roster's own feed starts with 1 whatever the founding point's key does.
    pub fn first_epoch(&self, home: &PointCode) -> u64 {
        let roster = self.roster();
        let key = roster.get(home).and_then(|entry| entry.newest_seal_key());
        key.map_or(1, |key| key.from_epoch.max(1))
    }

    /// The key that a home goes over to which this node has hosted.
    pub fn successor(&self, home: &PointCode) -> Option<[u8; 32]> {
        let roster = self.roster();
        if roster.handed_over_by(home) != Some(&self.point) {
            return None;
        }
        Some(roster.get(home)?.newest_seal_key()?.public)
    }

    /// May this node hold a feed?
    pub fn may_hold(&self, feed: &FeedId) -> bool {
        *feed == self.roster_feed() || self.roster().may_node_hold(&self.point, feed)
    }

    /// Has the roster limited the key of this seal to a state before it?
    pub fn is_disowned(&self, seal: &Seal) -> bool {
        let statement = seal.statement();
        let feed = &statement.feed;
        let position = Position { epoch: statement.epoch.counter, sequence: statement.sequence.0 };
        feed.audience != Audience::Roster
            && self
                .roster()
                .seal_key(&feed.home, position.epoch)
                .is_some_and(|key| !key.vouches_for(feed.audience, position))
    }

    /// Checks a seal against the key that the roster names for its home and epoch, and against the
    /// position up to which a compromised key still counts.
    pub fn verify(&self, seal: &Seal) -> Result<(), SealError> {
        if planted::is(Fault::SkipRosterCheck) {
            return Ok(());
        }
        let statement = seal.statement();
        let feed = &statement.feed;
        if feed.audience == Audience::Roster {
            if feed.home != self.founder {
                return Err(SealError::BadSignature);
            }
            return seal.verify(&self.network, &self.issuer.load());
        }
        let roster = self.roster();
        let key =
            roster.seal_key(&feed.home, statement.epoch.counter).ok_or(SealError::BadSignature)?;
        let position = Position { epoch: statement.epoch.counter, sequence: statement.sequence.0 };
        if !key.vouches_for(feed.audience, position) {
            return Err(SealError::BadSignature);
        }
        let public = VerifyingKey::from_bytes(&key.public).map_err(|_| SealError::BadSignature)?;
        seal.verify(&self.network, &public)
    }
}
