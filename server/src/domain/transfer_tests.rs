use super::*;
use crate::domain::{
    grant::{GivenVia, GrantState},
    id::MemberId,
    language::Language,
    point::PointKind,
    roster::{Revocation, RosterEntry},
};

fn code(text: &str) -> PointCode {
    text.parse().unwrap()
}

fn entry(point: &str) -> RosterEntry {
    let mut entry = RosterEntry::new(code(point), point.into(), PointKind::City);
    entry.case_key = Some([1; 32]);
    entry
}

fn seat(point: &str, registered: &str) -> Seat {
    let jurisdiction = crate::domain::roster::Jurisdiction::of(&code(point));
    Seat { jurisdiction, registered: registered.into() }
}

fn grant(to: &str, state: GrantState) -> Grant {
    Grant {
        member: MemberId([1; 16]),
        purpose: Purpose::TransferTo,
        scope: Scope::Point(code(to)),
        text_version: "v2".into(),
        text_language: Language::parse("en", "").unwrap(),
        given_via: GivenVia::Desk,
        given_time: Time(1),
        expire_time: None,
        state,
        end_time: None,
        asserted_by: None,
        source: String::new(),
        text_hash: None,
        evidence_hash: None,
    }
}

fn asked(
    roster: &Roster,
    (home, registered): (&str, &str),
    to: &str,
    grants: &[Grant],
) -> Result<BasisKind, Refusal> {
    let (home, point) = (code(home), code(to));
    let from = seat(home.as_str(), registered);
    let to = seat(to, to);
    let way = Way { home: &home, from, point: &point, to };
    gate(roster, &way, grants, Time(2)).map(|(basis, _)| basis.kind)
}

/// Guangzhou, Yunfu, Hong Kong with the bay area's contract, London with nothing.
fn roster() -> Roster {
    let mut hk = entry("HK");
    let contract = Basis { kind: BasisKind::GbaScHk, reference: "GBA-2024-1".into() };
    hk.pair_bases.insert("CN".parse().unwrap(), contract);
    ["CN-440100", "CN-445300", "GB-LON"].into_iter().map(entry).chain([hk]).collect()
}

#[test]
fn the_first_thing_that_is_missing_is_named() {
    let roster = roster();
    let (guangzhou, yunfu) = (("CN-440100", "440100"), ("CN-445300", "445300"));
    let given = [grant("HK", GrantState::Given), grant("GB-LON", GrantState::Given)];
    assert_eq!(asked(&roster, guangzhou, "HK", &given), Ok(BasisKind::GbaScHk));
    assert_eq!(asked(&roster, yunfu, "HK", &given), Err(Refusal::BasisScope));
    assert_eq!(asked(&roster, guangzhou, "GB-LON", &given), Err(Refusal::NoBasis));
    assert_eq!(asked(&roster, ("HK", "HK"), "GB-LON", &given), Err(Refusal::NoBasis));
    // The consent is asked for before the basis, and after the peer.
    assert_eq!(asked(&roster, yunfu, "HK", &[]), Err(Refusal::NoGrant));
    let ended = [grant("HK", GrantState::Withdrawn)];
    assert_eq!(asked(&roster, guangzhou, "HK", &ended), Err(Refusal::NoGrant));
    assert_eq!(asked(&roster, guangzhou, "US-BOS", &[]), Err(Refusal::PeerNotAdmitted));
    // Under one law nothing needs to be declared.
    let within = [grant("CN-445300", GrantState::Given)];
    assert_eq!(asked(&roster, guangzhou, "CN-445300", &within), Ok(BasisKind::SameJurisdiction));
}

#[test]
fn what_is_declared_for_one_home_counts_before_what_is_for_all() {
    let mut roster = roster();
    let mut hk = roster.get(&code("HK")).unwrap().clone();
    let basis = |kind| Basis { kind, reference: String::new() };
    hk.bases.insert(code("CN-445300"), basis(BasisKind::CnScc));
    hk.bases.insert(code("CN-440100"), basis(BasisKind::Denied));
    roster.put(hk.clone());
    let given = [grant("HK", GrantState::Given)];
    assert_eq!(asked(&roster, ("CN-445300", "445300"), "HK", &given), Ok(BasisKind::CnScc));
    let denied = asked(&roster, ("CN-440100", "440100"), "HK", &given);
    assert_eq!(denied, Err(Refusal::NoBasis));
    hk.revoked = Some(Revocation { at: Time(1), reason: String::new() });
    roster.put(hk);
    let out = asked(&roster, ("CN-445300", "445300"), "HK", &given);
    assert_eq!(out, Err(Refusal::PeerNotAdmitted));
}

#[test]
fn what_was_taken_back_never_comes_again() {
    use {TransferMove::*, TransferState::*};
    assert_eq!(Sent.after(Hold), Ok(Held));
    assert_eq!(Held.after(Change), Ok(Sent));
    assert_eq!(Held.after(Withdraw).unwrap().after(Scrub), Ok(Scrubbed));
    for step in [Change, Hold, Withdraw] {
        assert!(Withdrawn.after(step).is_err() && Scrubbed.after(step).is_err(), "{step:?}");
    }
    assert!(Sent.after(Scrub).is_err());
}
