//! One point's entry in the roster: keys, place in the tree, what it may hold, whether it is out.
//!
//! An entry is checked against itself by the wire conversion; against the others by
//! `Roster::admits`.

use std::{collections::BTreeMap, fmt, str::FromStr};

use super::{audience::Audience, basis::Seat, id::PointCode, text::Invalid, time::Time};
pub use super::{basis::BasisKind, point::PointKind};

/// Longest name of a point in the roster, in characters.
pub const NAME_MAX: usize = 100;
/// Longest region code, in characters.
pub const REGION_MAX: usize = 16;
/// Longest reason or reference, in characters.
pub const REASON_MAX: usize = 300;
/// Longest host name, in bytes (RFC 1035).
pub const HOST_MAX: usize = 253;
pub const SEAL_KEYS_MAX: usize = 64;
pub const NODES_MAX: usize = 16;
pub const BASES_MAX: usize = 4_096;
pub const PAIR_BASES_MAX: usize = 256;
pub const APPROVED_EPOCHS_MAX: usize = 256;

/// The permanent name of one node of a point: 64 random bits, written as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub [u8; 8]);

impl FromStr for NodeId {
    type Err = Invalid;

    /// Reads exactly what `Display` writes, so that one node has one spelling.
    fn from_str(text: &str) -> Result<NodeId, Invalid> {
        let wrong = || Invalid::new("node", "not_a_node_id");
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(wrong());
        }
        let mut id = [0; 8];
        hex::decode_to_slice(text, &mut id).map_err(|_| wrong())?;
        Ok(NodeId(id))
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Whose law binds a point: ISO 3166-1 alpha-2.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Jurisdiction([u8; 2]);

impl Jurisdiction {
    /// The jurisdiction that a point code begins with, which is where the point lies.
    pub fn of(point: &PointCode) -> Jurisdiction {
        let bytes = point.as_str().as_bytes();
        Jurisdiction([bytes[0], bytes[1]])
    }
}

impl FromStr for Jurisdiction {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Jurisdiction, Invalid> {
        match *text.as_bytes() {
            [a, b] if a.is_ascii_uppercase() && b.is_ascii_uppercase() => Ok(Jurisdiction([a, b])),
            _ => Err(Invalid::new("jurisdiction", "not_a_country_code")),
        }
    }
}

impl fmt::Display for Jurisdiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.0[0] as char, self.0[1] as char)
    }
}

impl fmt::Debug for Jurisdiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A position in a feed: epochs are compared first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Position {
    /// Counter of the epoch.
    pub epoch: u64,
    pub sequence: u64,
}

/// What a compromised key still counts for: per audience the last good position. An audience that
/// is missing has none.
pub type Limit = BTreeMap<Audience, Position>;

/// A key that signs a home's feeds from an epoch on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SealKey {
    /// Ed25519.
    pub public: [u8; 32],
    pub from_epoch: u64,
    /// Set after a compromise.
    pub limit: Option<Limit>,
}

impl SealKey {
    /// Does a seal at this position, signed with this key, still count?
    pub fn vouches_for(&self, audience: Audience, position: Position) -> bool {
        match &self.limit {
            None => true,
            Some(limit) => limit.get(&audience).is_some_and(|last| position <= *last),
        }
    }
}

/// A node that may speak for the point on a link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RosterNode {
    pub node: NodeId,
    /// SHA-256 of the SubjectPublicKeyInfo of its TLS key.
    pub spki_sha256: [u8; 32],
    /// Host that its public certificate covers besides `localhost`.
    pub public_host: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Revocation {
    pub at: Time,
    pub reason: String,
}

/// What is declared for a point to have what a home discloses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Basis {
    pub kind: BasisKind,
    /// Where it is written down; may be empty.
    pub reference: String,
}

/// An epoch that may follow an equivocation or a compromise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ApprovedEpoch {
    pub audience: Audience,
    pub counter: u64,
    pub random: [u8; 16],
}

/// Everything the network agrees on about one point.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RosterEntry {
    pub code: PointCode,
    pub name: String,
    pub kind: PointKind,
    pub jurisdiction: Jurisdiction,
    pub registered_region: String,
    /// None for the founding point only.
    pub parent: Option<PointCode>,
    /// The point whose node serves this one; None where it runs its own.
    pub host: Option<PointCode>,
    /// By `from_epoch`, rising.
    pub seal_keys: Vec<SealKey>,
    /// X25519; None for a hosted point.
    pub case_key: Option<[u8; 32]>,
    pub nodes: Vec<RosterNode>,
    pub revoked: Option<Revocation>,
    /// By home.
    pub bases: BTreeMap<PointCode, Basis>,
    /// By the jurisdiction of homes that `bases` does not name.
    pub pair_bases: BTreeMap<Jurisdiction, Basis>,
    /// A home of another jurisdiction for which nothing is declared is denied.
    pub listed_bases_only: bool,
    pub approved_epochs: Vec<ApprovedEpoch>,
}

impl RosterEntry {
    /// An entry of a point that has nothing yet but its place.
    pub fn new(code: PointCode, name: String, kind: PointKind) -> RosterEntry {
        RosterEntry {
            jurisdiction: Jurisdiction::of(&code),
            code,
            name,
            kind,
            registered_region: String::new(),
            parent: None,
            host: None,
            seal_keys: Vec::new(),
            case_key: None,
            nodes: Vec::new(),
            revoked: None,
            bases: BTreeMap::new(),
            pair_bases: BTreeMap::new(),
            listed_bases_only: false,
            approved_epochs: Vec::new(),
        }
    }

    /// The point's own key for an epoch: the last one whose first epoch is not above it.
    pub fn seal_key(&self, epoch: u64) -> Option<&SealKey> {
        self.seal_keys.iter().rev().find(|key| key.from_epoch <= epoch)
    }

    /// The key the point signs with today.
    pub fn newest_seal_key(&self) -> Option<&SealKey> {
        self.seal_keys.last()
    }

    /// Does a key sign this epoch that took the place of a limited one? The issuer has let it in since.
    pub fn has_new_key_at(&self, epoch: u64) -> bool {
        let signs = self.seal_keys.iter().rposition(|key| key.from_epoch <= epoch);
        signs.is_some_and(|at| {
            self.seal_keys[at].limit.is_none()
                && self.seal_keys[..at].iter().any(|key| key.limit.is_some())
        })
    }

    /// Runs a node of its own, and is in.
    pub fn has_node(&self) -> bool {
        self.host.is_none() && !self.nodes.is_empty() && self.revoked.is_none()
    }

    pub fn node(&self, node: NodeId) -> Option<&RosterNode> {
        self.nodes.iter().find(|known| known.node == node)
    }

    /// What is declared for a home: for itself, or for all homes of its jurisdiction.
    pub fn basis_for(&self, home: &PointCode, jurisdiction: Jurisdiction) -> Option<&Basis> {
        self.bases.get(home).or_else(|| self.pair_bases.get(&jurisdiction))
    }

    /// May the point hold a home's `network` feed? What is declared for the home itself decides, else what
    /// is declared for its jurisdiction: whom that does not reach has none. Where nothing is declared,
    /// the point's own rule decides.
    pub fn has_basis_for(&self, home: &RosterEntry) -> bool {
        let reaches = |basis: &Basis| basis.kind.reaches(&home.seat(), &self.seat());
        match (self.bases.get(&home.code), self.pair_bases.get(&home.jurisdiction)) {
            (Some(basis), _) => reaches(basis),
            (None, Some(pair)) => reaches(pair),
            (None, None) => home.jurisdiction == self.jurisdiction || !self.listed_bases_only,
        }
    }

    /// Where the point stands in law, by the roster alone.
    pub fn seat(&self) -> Seat {
        Seat { jurisdiction: self.jurisdiction, registered: self.registered_region.clone() }
    }

    pub fn approves(&self, epoch: &ApprovedEpoch) -> bool {
        self.approved_epochs.contains(epoch)
    }
}
