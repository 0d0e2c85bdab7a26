//! What is in a certificate, and what never gets into one.

use x509_parser::extensions::GeneralName;

use super::{super::samples::*, *};
use crate::identity::peer::{Peer, parse};

#[test]
fn a_certificate_says_what_the_issuer_says_and_nothing_else() {
    let network = Network::found();
    let key = TlsKey::generate().unwrap();
    let subject = Subject {
        point: point("GB-LON"),
        node: NodeId([7; 8]),
        public_host: Some("london.example.org".into()),
    };
    let chain = network.issuer.issue(&subject, key.spki(), NOW).unwrap();
    let leaf = parse(&chain.certificates()[0]).unwrap();

    let mut names: Vec<String> = leaf
        .subject_alternative_name()
        .unwrap()
        .unwrap()
        .value
        .general_names
        .iter()
        .map(|name| match name {
            GeneralName::DNSName(name) => (*name).to_owned(),
            GeneralName::IPAddress(address) => hex::encode(address),
            other => panic!("{other:?}"),
        })
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "00000000000000000000000000000001",
            "7f000001",
            "gb-lon.0707070707070707.point.yizhan.internal",
            "localhost",
            "london.example.org",
        ]
    );
    assert!(!leaf.basic_constraints().unwrap().unwrap().value.ca);
    let uses = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(uses.server_auth && uses.client_auth && uses.other.is_empty() && !uses.any);
    assert_eq!(leaf.public_key().raw, key.spki().as_der());
    let validity = chain.validity();
    assert_eq!(validity.not_before.0, NOW.0 - 300_000_000);
    assert_eq!(validity.not_after.0, NOW.0 + 72 * 3_600_000_000);
    assert_eq!(chain.peer().point, point("GB-LON"));
    assert_eq!(chain.peer().node, NodeId([7; 8]));
    assert!(chain.check(&network.authority.fingerprint(), NOW).is_ok());
}

#[test]
fn serial_numbers_are_random() {
    let network = Network::found();
    let serial = || {
        let identity = network.identity("GB-LON", 7);
        parse(&identity.chain.certificates()[0]).unwrap().raw_serial().to_vec()
    };
    let (one, other) = (serial(), serial());
    assert_ne!(one, other);
    assert!(one.len() >= SERIAL_BYTES - 1);
}

#[test]
fn the_issuer_cannot_appoint_another_issuer() {
    let network = Network::found();
    let issuer = parse(network.issuer.certificate()).unwrap();
    let constraints = issuer.basic_constraints().unwrap().unwrap().value;
    assert!(constraints.ca);
    assert_eq!(constraints.path_len_constraint, Some(0));
}

#[test]
fn the_roster_key_comes_with_the_authoritys_signature() {
    let network = Network::found();
    let chain = network.identity("GB-LON", 7).chain;
    assert_eq!(chain.roster_key(), network.roster.verifying_key());
}

#[test]
fn a_chain_of_another_authority_or_time_does_not_pass() {
    let (network, foreign) = (Network::found(), Network::found());
    let chain = network.identity("GB-LON", 7).chain;
    let check = |authority: &Network, now| {
        chain.check(&authority.authority.fingerprint(), now).map_err(|error| error.reason())
    };
    assert_eq!(check(&network, NOW), Ok(()));
    assert_eq!(check(&foreign, NOW), Err("WRONG_AUTHORITY"));
    assert_eq!(check(&network, Time(NOW.0 + 73 * 3_600_000_000)), Err("NOT_VALID_NOW"));
    assert_eq!(check(&network, Time(NOW.0 - 3_600_000_000)), Err("NOT_VALID_NOW"));
}

#[test]
fn a_chain_that_was_put_together_does_not_parse() {
    let (network, foreign) = (Network::found(), Network::found());
    let ours = network.identity("GB-LON", 7).chain;
    let theirs = foreign.identity("GB-LON", 7).chain;
    let [leaf, issuer, authority] = <[_; 3]>::try_from(ours.certificates().to_vec()).unwrap();
    let [other_leaf, other_issuer, other_authority] =
        <[_; 3]>::try_from(theirs.certificates().to_vec()).unwrap();
    for (name, chain) in [
        ("foreign leaf", vec![other_leaf, issuer.clone(), authority.clone()]),
        ("foreign issuer", vec![leaf.clone(), other_issuer, authority.clone()]),
        ("foreign authority", vec![leaf.clone(), issuer.clone(), other_authority]),
        ("wrong order", vec![leaf.clone(), authority.clone(), issuer.clone()]),
        ("too short", vec![leaf.clone(), issuer.clone()]),
        ("leaf as issuer", vec![leaf.clone(), leaf.clone(), authority.clone()]),
        ("too long", vec![leaf, issuer, authority.clone(), authority]),
    ] {
        assert!(Chain::new(chain).is_err(), "{name}");
    }
}

#[test]
fn a_host_that_is_somebody_elses_identity_is_not_certified() {
    let network = Network::found();
    let key = TlsKey::generate().unwrap();
    let subject = Subject {
        point: point("GB-LON"),
        node: NodeId([7; 8]),
        public_host: Some("cn-440000.0101010101010101.point.yizhan.internal".into()),
    };
    assert!(network.issuer.issue(&subject, key.spki(), NOW).is_err());
}

#[test]
fn a_second_identity_in_a_certificate_is_noticed() {
    let network = Network::found();
    let key = TlsKey::generate().unwrap();
    let one = "gb-lon.0707070707070707.point.yizhan.internal";
    for names in [
        vec![],
        vec!["localhost"],
        vec![one, "hk.0101010101010101.point.yizhan.internal"],
        vec![one, "HK.0101010101010101.POINT.yizhan.internal"],
        vec![one, "x.point.yizhan.internal"],
        vec![one, one],
    ] {
        let mut params = blank("two", NOW, CERTIFICATE_LIFE).unwrap();
        params.subject_alt_names = names.iter().map(|name| dns(name).unwrap()).collect();
        let signer =
            Signer::from_ca_cert_der(&network.issuer.certificate, network.issuer.key.pair());
        let leaf = params.signed_by(&public_key(key.spki()).unwrap(), &signer.unwrap()).unwrap();
        assert!(Peer::of(leaf.der()).is_err(), "{names:?}");
    }
}
