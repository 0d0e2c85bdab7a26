//! Tables for the roster: a province with two nodes under it, hosted points, and the outside.

use super::*;
use crate::domain::time::Time;

fn code(text: &str) -> PointCode {
    text.parse().unwrap()
}

fn feed(home: &str, audience: Audience) -> FeedId {
    FeedId::new(code(home), audience)
}

fn own(text: &str, parent: &str, mark: u8) -> RosterEntry {
    let mut entry = RosterEntry::new(code(text), text.to_owned(), PointKind::City);
    entry.parent = (!parent.is_empty()).then(|| code(parent));
    entry.seal_keys = vec![SealKey { public: [mark; 32], from_epoch: 1, limit: None }];
    entry.case_key = Some([mark; 32]);
    entry.nodes =
        vec![RosterNode { node: NodeId([mark; 8]), spki_sha256: [mark; 32], public_host: None }];
    entry
}

fn hosted(text: &str, parent: &str, host: &str) -> RosterEntry {
    let mut entry = RosterEntry::new(code(text), text.to_owned(), PointKind::City);
    entry.parent = Some(code(parent));
    entry.host = Some(code(host));
    entry
}

/// CN-440000 over CN-440100 (over hosted CN-440106, over GB-LON under that), HK hosted, GB-LON.
fn roster() -> Roster {
    Roster::from_iter([
        own("CN-440000", "", 1),
        own("CN-440100", "CN-440000", 2),
        hosted("CN-440106", "CN-440100", "CN-440100"),
        hosted("HK", "CN-440000", "CN-440000"),
        own("GB-LON", "CN-440106", 3),
        own("GB-EDI", "CN-440000", 4),
    ])
}

fn revoke(roster: &mut Roster, point: &str) {
    let mut entry = roster.get(&code(point)).unwrap().clone();
    entry.revoked = Some(Revocation { at: Time(1), reason: "lost".into() });
    roster.put(entry);
}

#[test]
fn a_hosted_point_is_signed_for_by_its_host() {
    assert_eq!(roster().seal_key(&code("HK"), 1).unwrap().public, [1; 32]);
    assert_eq!(roster().case_key(&code("CN-440106")), Some(&[2; 32]));
}

#[test]
fn an_epoch_is_signed_by_the_last_key_that_began_before_it() {
    let mut entry = own("GB-LON", "CN-440000", 3);
    entry.seal_keys.push(SealKey { public: [9; 32], from_epoch: 4, limit: None });
    let mut roster = roster();
    roster.put(entry);
    for (epoch, mark) in [(1, 3), (3, 3), (4, 9), (7, 9)] {
        assert_eq!(roster.seal_key(&code("GB-LON"), epoch).unwrap().public, [mark; 32]);
    }
    assert_eq!(roster.seal_key(&code("GB-LON"), 0), None);
}

#[test]
fn the_old_epochs_of_a_point_that_was_hosted_keep_its_hosts_key() {
    let mut entry = own("HK", "CN-440000", 5);
    entry.seal_keys = vec![
        SealKey { public: [1; 32], from_epoch: 1, limit: None },
        SealKey { public: [5; 32], from_epoch: 2, limit: None },
    ];
    let mut roster = roster();
    roster.put(entry);
    assert_eq!(roster.seal_key(&code("HK"), 1).unwrap().public, [1; 32]);
    assert_eq!(roster.seal_key(&code("HK"), 2).unwrap().public, [5; 32]);
}

#[test]
fn a_limited_key_counts_up_to_its_last_good_position() {
    let last = Position { epoch: 2, sequence: 10 };
    let limit = Some(Limit::from([(Audience::Public, last)]));
    let key = SealKey { public: [1; 32], from_epoch: 1, limit };
    let at = |epoch, sequence| Position { epoch, sequence };
    for (audience, position, counts) in [
        (Audience::Public, at(2, 10), true),
        (Audience::Public, at(1, 99), true),
        (Audience::Public, at(2, 11), false),
        (Audience::Public, at(3, 1), false),
        (Audience::Network, at(1, 1), false),
    ] {
        assert_eq!(key.vouches_for(audience, position), counts, "{audience:?} {position:?}");
    }
}

#[test]
fn a_node_is_let_in_only_for_its_own_point_and_key() {
    let mut roster = roster();
    let peer = |point: &str, mark: u8, key: u8| {
        roster.check_peer(&code(point), NodeId([mark; 8]), &[key; 32])
    };
    assert_eq!(peer("GB-LON", 3, 3), Ok(()));
    assert_eq!(peer("GB-LON", 3, 4), Err(Refused::OtherKey));
    assert_eq!(peer("GB-LON", 4, 4), Err(Refused::UnknownNode));
    assert_eq!(peer("HK", 1, 1), Err(Refused::Hosted));
    assert_eq!(peer("FR-PAR", 3, 3), Err(Refused::UnknownPoint));
    revoke(&mut roster, "GB-LON");
    let refused = roster.check_peer(&code("GB-LON"), NodeId([3; 8]), &[3; 32]);
    assert_eq!(refused, Err(Refused::Revoked));
    assert!(roster.is_revoked(&code("GB-LON")));
}

#[test]
fn routes_go_up_to_the_common_ancestor_and_down() {
    let roster = roster();
    let next = |point: &str| Route::Next(code(point));
    for (from, to, route) in [
        ("GB-LON", "GB-LON", Route::Here),
        ("CN-440000", "HK", Route::Here),
        ("GB-LON", "GB-EDI", next("CN-440100")),
        ("CN-440100", "GB-EDI", next("CN-440000")),
        ("CN-440000", "GB-EDI", next("GB-EDI")),
        ("CN-440000", "GB-LON", next("CN-440100")),
        ("CN-440100", "GB-LON", next("GB-LON")),
        ("GB-LON", "CN-440106", next("CN-440100")),
        ("GB-EDI", "HK", next("CN-440000")),
        ("GB-EDI", "FR-PAR", Route::Nowhere),
    ] {
        assert_eq!(roster.route(&code(from), &code(to)), route, "{from} to {to}");
    }
}

#[test]
fn a_revoked_point_is_passed_over_and_not_written_to() {
    let mut roster = roster();
    revoke(&mut roster, "CN-440100");
    assert_eq!(roster.uplink(&code("GB-LON")), Some(&code("CN-440000")));
    assert_eq!(roster.route(&code("CN-440000"), &code("CN-440100")), Route::Nowhere);
    assert_eq!(roster.route(&code("CN-440000"), &code("GB-LON")), Route::Next(code("GB-LON")));
}

#[test]
fn a_point_without_node_belongs_under_the_nearest_one_above() {
    let roster = roster();
    assert_eq!(roster.uplink(&code("CN-440106")), Some(&code("CN-440100")));
    assert_eq!(roster.uplink(&code("HK")), Some(&code("CN-440000")));
    assert_eq!(roster.uplink(&code("CN-440000")), None);
    assert_eq!(roster.root().unwrap().code, code("CN-440000"));
    let mut below: Vec<_> =
        roster.children(&code("CN-440000")).map(|entry| entry.code.to_string()).collect();
    below.sort();
    assert_eq!(below, ["CN-440100", "GB-EDI", "HK"]);
}

#[test]
fn a_circle_of_parents_ends() {
    let mut roster = roster();
    roster.put(own("CN-440000", "GB-EDI", 1));
    assert_eq!(roster.route(&code("GB-LON"), &code("FR-PAR")), Route::Nowhere);
    let mut a = hosted("CN-440200", "CN-440300", "CN-440000");
    a.host = None;
    let mut b = hosted("CN-440300", "CN-440200", "CN-440000");
    b.host = None;
    let circle = Roster::from_iter([a, b]);
    assert_eq!(circle.uplink(&code("CN-440200")), None);
}

#[test]
fn entitlement_follows_audience_jurisdiction_and_basis() {
    let mut roster = roster();
    let mut edi = roster.get(&code("GB-EDI")).unwrap().clone();
    let denied = Basis { kind: BasisKind::Denied, reference: String::new() };
    edi.bases.insert(code("GB-LON"), denied);
    roster.put(edi);
    use Audience::*;
    for (point, home, audience, may) in [
        ("GB-LON", "CN-440100", Public, true),
        ("FR-PAR", "CN-440100", Public, true),
        ("FR-PAR", "CN-440000", Audience::Roster, true),
        ("FR-PAR", "CN-440100", Network, false),
        ("GB-LON", "FR-PAR", Public, false),
        ("GB-LON", "CN-440100", Network, true),
        ("GB-EDI", "GB-LON", Network, false),
        ("GB-EDI", "GB-LON", Domestic, true),
        ("CN-440100", "CN-440000", Domestic, true),
        ("GB-LON", "CN-440000", Domestic, false),
        ("HK", "CN-440000", Domestic, false),
        ("CN-440000", "HK", Domestic, true),
        ("CN-440100", "CN-440000", Home, false),
        ("CN-440100", "CN-440100", Home, true),
        ("CN-440100", "CN-440106", Home, true),
        ("CN-440000", "CN-440106", Home, false),
        ("CN-440100", "CN-440106", Sealed, true),
        ("CN-440000", "CN-440106", Sealed, false),
    ] {
        assert_eq!(
            roster.may_hold(&code(point), &feed(home, audience)),
            may,
            "{point} {home} {audience:?}"
        );
    }
}

#[test]
fn without_a_listed_basis_a_strict_point_gets_no_network_feed() {
    let mut roster = roster();
    let mut edi = roster.get(&code("GB-EDI")).unwrap().clone();
    edi.listed_bases_only = true;
    let contract = Basis { kind: BasisKind::Contract, reference: "SC-7".into() };
    edi.bases.insert(code("CN-440000"), contract);
    roster.put(edi);
    assert!(roster.may_hold(&code("GB-EDI"), &feed("CN-440000", Audience::Network)));
    assert!(!roster.may_hold(&code("GB-EDI"), &feed("CN-440100", Audience::Network)));
}

#[test]
fn what_is_denied_to_a_jurisdiction_is_denied_and_a_home_of_it_may_be_let_through() {
    let mut roster = roster();
    let mut edi = roster.get(&code("GB-EDI")).unwrap().clone();
    let denied = Basis { kind: BasisKind::Denied, reference: String::new() };
    edi.pair_bases.insert("CN".parse().unwrap(), denied);
    let contract = Basis { kind: BasisKind::Contract, reference: "SC-7".into() };
    edi.bases.insert(code("CN-440100"), contract);
    roster.put(edi);
    assert!(!roster.may_hold(&code("GB-EDI"), &feed("CN-440000", Audience::Network)));
    assert!(roster.may_hold(&code("GB-EDI"), &feed("CN-440100", Audience::Network)));
    assert!(roster.may_hold(&code("GB-EDI"), &feed("GB-LON", Audience::Network)));
    assert!(roster.may_hold(&code("GB-EDI"), &feed("CN-440000", Audience::Public)));
}

#[test]
fn a_strict_point_needs_a_basis_that_reaches_it_from_other_jurisdictions_alone() {
    let mut roster = roster();
    let mut edi = roster.get(&code("GB-EDI")).unwrap().clone();
    edi.listed_bases_only = true;
    let bay = Basis { kind: BasisKind::GbaScHk, reference: "SC-7".into() };
    edi.pair_bases.insert("CN".parse().unwrap(), bay);
    roster.put(edi.clone());
    assert!(!roster.may_hold(&code("GB-EDI"), &feed("CN-440000", Audience::Network)));
    assert!(roster.may_hold(&code("GB-EDI"), &feed("GB-LON", Audience::Network)), "one law");
    let scc = Basis { kind: BasisKind::CnScc, reference: "SC-8".into() };
    edi.pair_bases.insert("CN".parse().unwrap(), scc);
    roster.put(edi);
    assert!(roster.may_hold(&code("GB-EDI"), &feed("CN-440000", Audience::Network)));
}

#[test]
fn whom_a_declared_basis_does_not_reach_has_none() {
    let mut roster = roster();
    let mut edi = roster.get(&code("GB-EDI")).unwrap().clone();
    assert!(roster.may_hold(&code("GB-EDI"), &feed("CN-440000", Audience::Network)));
    let bay = Basis { kind: BasisKind::GbaScHk, reference: "SC-7".into() };
    edi.pair_bases.insert("CN".parse().unwrap(), bay);
    roster.put(edi);
    assert!(!roster.may_hold(&code("GB-EDI"), &feed("CN-440000", Audience::Network)));
    assert!(roster.may_hold(&code("GB-EDI"), &feed("CN-440000", Audience::Public)));
}

#[test]
fn a_revoked_point_gets_what_anybody_gets() {
    let mut roster = roster();
    revoke(&mut roster, "GB-EDI");
    assert!(roster.may_have_held(&code("GB-EDI"), &feed("GB-LON", Audience::Network)));
    assert!(roster.may_hold(&code("GB-EDI"), &feed("GB-LON", Audience::Public)));
    assert!(!roster.may_hold(&code("GB-EDI"), &feed("GB-LON", Audience::Network)));
    assert!(!roster.may_hold(&code("GB-EDI"), &feed("GB-EDI", Audience::Home)));
}

#[test]
fn a_node_may_hold_what_a_point_it_hosts_may() {
    let mut roster = roster();
    roster.put(hosted("GB-MAN", "CN-440000", "CN-440000"));
    assert!(!roster.may_hold(&code("CN-440000"), &feed("GB-LON", Audience::Domestic)));
    assert!(roster.may_node_hold(&code("CN-440000"), &feed("GB-LON", Audience::Domestic)));
    assert!(!roster.may_node_hold(&code("CN-440100"), &feed("GB-LON", Audience::Domestic)));
}

#[test]
fn an_entry_that_does_not_fit_is_not_admitted() {
    let roster = roster();
    let refused = |entry: RosterEntry| roster.admits(&entry).unwrap_err().reason;
    assert_eq!(refused(own("FR-PAR", "", 7)), "required");
    assert_eq!(refused(own("FR-PAR", "US-BOS", 7)), "unknown_point");
    assert_eq!(refused(own("CN-440000", "GB-EDI", 7)), "circular");
    assert_eq!(refused(hosted("FR-PAR", "CN-440000", "HK")), "without_node");
    assert_eq!(roster.admits(&own("FR-PAR", "GB-LON", 7)), Ok(()));
    assert_eq!(roster.admits(&own("CN-440000", "", 7)), Ok(()));
}

#[test]
fn one_public_host_belongs_to_one_point() {
    let mut roster = roster();
    let mut lon = own("GB-LON", "CN-440000", 3);
    lon.nodes[0].public_host = Some("help.example.org".into());
    roster.put(lon.clone());
    let mut edi = own("GB-EDI", "CN-440000", 4);
    edi.nodes[0].public_host = Some("help.example.org".into());
    assert_eq!(roster.admits(&edi).unwrap_err().reason, "taken");
    assert_eq!(roster.admits(&lon), Ok(()));
}

#[test]
fn a_node_id_has_one_spelling() {
    let id: NodeId = "00ff10a0b0c0d0e0".parse().unwrap();
    assert_eq!(id.to_string(), "00ff10a0b0c0d0e0");
    for wrong in ["", "00ff10a0b0c0d0e", "00FF10A0B0C0D0E0", "00ff10a0b0c0d0e0f", "zz"] {
        assert!(wrong.parse::<NodeId>().is_err(), "{wrong}");
    }
}
