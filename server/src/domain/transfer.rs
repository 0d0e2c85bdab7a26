//! A copy of a member's card for one destination: the gate that it has to pass, and where it stands.
//!
//! The gate is asked in one order, so that a refusal names the first thing that is missing. It checks
//! declared configuration, and is no legal advice.

use super::{
    basis::{BasisKind, Seat},
    code::named,
    grant::{Grant, Purpose, Scope},
    id::PointCode,
    roster::{Basis, Roster},
    text::Invalid,
    time::Time,
};

/// Why nothing goes to a destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The destination is unknown, put out, or has no key to seal to.
    PeerNotAdmitted,
    /// The person has not agreed to this destination, or not any more.
    NoGrant,
    /// Nobody has declared a basis for these two.
    NoBasis,
    /// The declared basis does not reach from here to there.
    BasisScope,
}

impl Refusal {
    pub fn reason(self) -> &'static str {
        match self {
            Refusal::PeerNotAdmitted => "PEER_NOT_ADMITTED",
            Refusal::NoGrant => "NO_GRANT",
            Refusal::NoBasis => "NO_BASIS",
            Refusal::BasisScope => "BASIS_SCOPE",
        }
    }

    /// What is missing and what to do, in both languages.
    pub fn message(self) -> &'static str {
        match self {
            Refusal::PeerNotAdmitted => {
                "the destination is no admitted point of this network: check its code · \
                 目的联络点未获准入网络,请核对代码"
            }
            Refusal::NoGrant => {
                "the person has not agreed to this destination: record a consent for transfer.to \
                 with the destination as its scope · 本人未同意向该联络点传送,请先登记 \
                 transfer.to 同意"
            }
            Refusal::NoBasis => {
                "no basis is declared between these two points: whoever keeps the founding node \
                 declares one with `yizhand basis` · 两点之间未登记传送依据,请由创始节点登记"
            }
            Refusal::BasisScope => {
                "the declared basis does not reach from this point, by its place of registration, \
                 to that one: another basis is needed · 所登记的依据按注册地不适用于这两点,须有其他依据"
            }
        }
    }
}

/// Which point is asked for, and where both stand in law.
pub struct Way<'a> {
    pub home: &'a PointCode,
    pub from: Seat,
    pub point: &'a PointCode,
    pub to: Seat,
}

/// Steps 1, 4 and 5: an admitted peer, and a declared basis that reaches so far.
pub fn way(roster: &Roster, way: &Way<'_>) -> Result<Basis, Refusal> {
    admitted(roster, way.point)?;
    basis(roster, way)
}

/// All steps: the same, and in between the consent. Answers with the basis and which consent it is.
pub fn gate(
    roster: &Roster,
    way: &Way<'_>,
    grants: &[Grant],
    now: Time,
) -> Result<(Basis, usize), Refusal> {
    admitted(roster, way.point)?;
    let grant = consent(grants, way.point, now).ok_or(Refusal::NoGrant)?;
    Ok((basis(roster, way)?, grant))
}

/// The consent to a destination that holds, the one given last.
pub fn consent(grants: &[Grant], to: &PointCode, now: Time) -> Option<usize> {
    let fits = |grant: &Grant| {
        grant.purpose == Purpose::TransferTo
            && matches!(&grant.scope, Scope::Point(point) if point == to)
            && grant.holds_at(now)
    };
    let held = grants.iter().enumerate().filter(|(_, grant)| fits(grant));
    held.max_by_key(|(_, grant)| grant.given_time).map(|(at, _)| at)
}

fn admitted(roster: &Roster, point: &PointCode) -> Result<(), Refusal> {
    let known = roster.get(point).is_some_and(|entry| entry.revoked.is_none());
    let server = roster.server_of(point).is_some_and(|server| !roster.is_revoked(server));
    match known && server && roster.case_key(point).is_some() {
        true => Ok(()),
        false => Err(Refusal::PeerNotAdmitted),
    }
}

fn basis(roster: &Roster, way: &Way<'_>) -> Result<Basis, Refusal> {
    let entry = roster.get(way.point).ok_or(Refusal::PeerNotAdmitted)?;
    let basis = match entry.basis_for(way.home, way.from.jurisdiction) {
        Some(declared) => declared.clone(),
        // Points under one law need no declaration.
        None if way.from.jurisdiction == way.to.jurisdiction => {
            Basis { kind: BasisKind::SameJurisdiction, reference: String::new() }
        }
        None => return Err(Refusal::NoBasis),
    };
    match basis.kind {
        BasisKind::Denied => Err(Refusal::NoBasis),
        kind if kind.reaches(&way.from, &way.to) => Ok(basis),
        _ => Err(Refusal::BasisScope),
    }
}

named! {
    /// Where a copy stands, as its home knows it.
    TransferState, "unknown_transfer_state";
    /// On its way, or on its way again after the card has changed.
    Sent = 1 "sent",
    Held = 2 "held",
    /// Taken back here; no word from the destination yet.
    Withdrawn = 3 "withdrawn",
    Scrubbed = 4 "scrubbed",
}

/// What happens to a copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TransferMove {
    /// The card has changed: a new version goes.
    Change,
    /// The destination has the newest version.
    Hold,
    /// What it rested on has ended.
    Withdraw,
    /// The destination no longer has it.
    Scrub,
}

impl TransferState {
    /// The only way a copy moves on. What was taken back never comes again: a new consent is a new
    /// copy.
    pub fn after(self, step: TransferMove) -> Result<TransferState, Invalid> {
        use {TransferMove::*, TransferState::*};
        match (self, step) {
            (Sent | Held, Change) => Ok(Sent),
            (Sent | Held, Hold) => Ok(Held),
            (Sent | Held, Withdraw) => Ok(Withdrawn),
            (Withdrawn, Scrub) => Ok(Scrubbed),
            _ => Err(Invalid::new("state", "move_refused").hint(self.ways())),
        }
    }

    /// Where the state can go from here, for people.
    pub fn ways(self) -> &'static str {
        match self {
            TransferState::Sent => "sent -> held, withdrawn",
            TransferState::Held => "held -> sent, withdrawn",
            TransferState::Withdrawn => "withdrawn -> scrubbed",
            TransferState::Scrubbed => "scrubbed -> none",
        }
    }

    /// May the destination have it?
    pub fn is_live(self) -> bool {
        matches!(self, TransferState::Sent | TransferState::Held)
    }
}

#[cfg(test)]
#[path = "transfer_tests.rs"]
mod tests;
