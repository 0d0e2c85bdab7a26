use proptest::prelude::*;

use super::*;
use crate::{
    domain::roster::{PointKind, Revocation, RosterEntry, SealKey},
    domain::time::Time,
    parcel::settlement::{Outcome, Settled, Word},
};

fn signer(point: &str) -> SigningKey {
    SigningKey::from_bytes(blake3::hash(point.as_bytes()).as_bytes())
}

fn entry(point: &str) -> RosterEntry {
    let mut entry = RosterEntry::new(point.parse().unwrap(), point.into(), PointKind::City);
    let public = signer(point).verifying_key().to_bytes();
    entry.seal_keys.push(SealKey { public, from_epoch: 1, limit: None });
    entry
}

fn roster() -> Roster {
    ["CN-440000", "GB-LON", "HK"].into_iter().map(entry).collect()
}

fn address() -> Address {
    Address {
        network: "gd".into(),
        from: "GB-LON".parse().unwrap(),
        to: "CN-440000".parse().unwrap(),
        sender_epoch: 1,
        manner: Manner::Durable { number: 7, oldest: 5 },
    }
}

fn letter(len: usize) -> Letter {
    let answer = v1::EnrolmentAnswer { response: vec![9; len], refused: String::new() };
    Letter { kind: Some(v1::letter::Kind::EnrolmentAnswer(answer)) }
}

fn sealed(key: &CaseKey) -> Sealed {
    seal(&address(), &letter(10), &key.public(), &signer("GB-LON"), [1; 32]).unwrap()
}

#[test]
fn a_letter_arrives_as_it_was_written() {
    let key = CaseKey::generate();
    let read = Sealed::decode(&sealed(&key).encode()).unwrap();
    assert_eq!(read, sealed(&key));
    assert_eq!(read.address(), &address());
    assert_eq!(read.verify("gd", &roster()), Ok(()));
    assert_eq!(read.open(&key), Ok(letter(10)));
    assert_eq!(read.open(&CaseKey::generate()), Err(OpenError::OtherKey));
}

#[test]
fn any_changed_byte_is_refused() {
    let bytes = sealed(&CaseKey::generate()).encode();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let accepted =
            Sealed::decode(&changed).is_ok_and(|parcel| parcel.verify("gd", &roster()).is_ok());
        assert!(!accepted, "byte {at}");
    }
}

#[test]
fn a_ciphertext_opens_under_no_other_address() {
    let key = CaseKey::generate();
    let original = sealed(&key);
    let durable = |number| Manner::Durable { number, oldest: 1 };
    let others = [
        Address { network: "hn".into(), ..address() },
        Address { from: "HK".parse().unwrap(), ..address() },
        Address { to: "HK".parse().unwrap(), ..address() },
        Address { sender_epoch: 2, ..address() },
        Address { manner: durable(8), ..address() },
        Address { manner: Manner::Ephemeral { deadline_ms: 7, correlation: [0; 16] }, ..address() },
    ];
    for other in others {
        let moved = Sealed { address: other.clone(), ..original.clone() };
        assert_eq!(moved.open(&key), Err(OpenError::OtherKey), "{other:?}");
    }
    let newer = Address { manner: Manner::Durable { number: 7, oldest: 7 }, ..address() };
    assert_eq!(Sealed { address: newer, ..original }.open(&key), Ok(letter(10)));
}

#[test]
fn only_points_of_the_roster_that_are_not_revoked_exchange_parcels() {
    let parcel = sealed(&CaseKey::generate());
    assert_eq!(parcel.verify("hn", &roster()), Err(ReadError::ForeignNetwork));
    for point in ["GB-LON", "CN-440000"] {
        let mut without = roster();
        without.remove(&point.parse().unwrap());
        assert_eq!(parcel.verify("gd", &without), Err(ReadError::NotAdmitted));
        let mut revoked = entry(point);
        revoked.revoked = Some(Revocation { at: Time(1), reason: String::new() });
        let mut with = roster();
        with.put(revoked);
        assert_eq!(parcel.verify("gd", &with), Err(ReadError::NotAdmitted));
    }
    let mut other = entry("GB-LON");
    other.seal_keys[0].public = signer("HK").verifying_key().to_bytes();
    let mut roster = roster();
    roster.put(other);
    assert_eq!(parcel.verify("gd", &roster), Err(ReadError::BadSignature));
}

#[test]
fn a_limited_key_vouches_for_no_parcel() {
    let mut limited = entry("GB-LON");
    limited.seal_keys[0].limit = Some(Default::default());
    let mut roster = roster();
    roster.put(limited);
    let parcel = sealed(&CaseKey::generate());
    assert_eq!(parcel.verify("gd", &roster), Err(ReadError::BadSignature));
}

#[test]
fn a_replaced_key_vouches_for_no_parcel_of_whatever_epoch() {
    let mut replaced = entry("GB-LON");
    let public = signer("the new one").verifying_key().to_bytes();
    replaced.seal_keys.push(SealKey { public, from_epoch: 4, limit: None });
    let mut roster = roster();
    roster.put(replaced);
    let key = CaseKey::generate().public();
    for sender_epoch in [1, 3, 4, 9] {
        let address = Address { sender_epoch, ..address() };
        let signed_by = |name| seal(&address, &letter(1), &key, &signer(name), [1; 32]).unwrap();
        let refused = signed_by("GB-LON").verify("gd", &roster);
        assert_eq!(refused, Err(ReadError::BadSignature), "epoch {sender_epoch}");
        // What was in the outbox is signed again under its number.
        assert_eq!(signed_by("the new one").verify("gd", &roster), Ok(()));
    }
}

#[test]
fn a_letter_beyond_the_limit_is_refused() {
    let key = CaseKey::generate().public();
    let seal = |len| seal(&address(), &letter(len), &key, &signer("GB-LON"), [1; 32]);
    assert_eq!(seal(LETTER_MAX), Err(SealError::TooLarge));
    let largest = seal(LETTER_MAX - 16).unwrap();
    assert!(Sealed::decode(&largest.encode()).is_ok());
}

#[test]
fn a_kept_letter_opens_with_our_own_key_and_under_its_own_address() {
    let own = CaseKey::generate();
    let kept = keep(&address(), &letter(3), &own.public(), [2; 32]).unwrap();
    assert_eq!(open_kept(&address(), &kept, &own), Ok(letter(3)));
    let other = Address { sender_epoch: 2, ..address() };
    assert_eq!(open_kept(&other, &kept, &own), Err(OpenError::OtherKey));
    assert_eq!(open_kept(&address(), &kept[..9], &own), Err(OpenError::NotALetter));
}

#[test]
fn a_settlement_is_the_destinations_word_alone() {
    let word = Word {
        network: "gd".into(),
        from: "GB-LON".parse().unwrap(),
        to: "CN-440000".parse().unwrap(),
        sender_epoch: 1,
        number: 7,
        outcome: Outcome::Refused("NOT_HERE".into()),
    };
    let settled = Settled::sign(word.clone(), &signer("CN-440000"));
    let read = Settled::read(settled.message().clone()).unwrap();
    assert_eq!(read.word(), &word);
    assert_eq!(read.verify("gd", &roster()), Ok(()));
    let forged = Settled::sign(word, &signer("GB-LON"));
    assert_eq!(forged.verify("gd", &roster()), Err(ReadError::BadSignature));
    for at in 0..settled.message().body.len() {
        let mut changed = settled.message().clone();
        changed.body[at] ^= 1;
        let accepted = Settled::read(changed).is_ok_and(|s| s.verify("gd", &roster()).is_ok());
        assert!(!accepted, "byte {at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn a_parcels_size_tells_only_the_bucket(a in 0_usize..5_000, b in 0_usize..5_000) {
        let key = CaseKey::generate().public();
        let size = |len: usize| {
            let parcel = seal(&address(), &letter(len), &key, &signer("GB-LON"), [1; 32]).unwrap();
            parcel.ciphertext.len()
        };
        let bucket = |len: usize| {
            BUCKETS.into_iter().find(|bucket| letter(len).encoded_len() + LENGTH <= *bucket)
        };
        prop_assert_eq!(size(a) == size(b), bucket(a) == bucket(b));
    }

    #[test]
    fn random_bytes_are_no_parcel(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let accepted = Sealed::decode(&bytes).is_ok_and(|p| p.verify("gd", &roster()).is_ok());
        prop_assert!(!accepted);
    }
}
