//! A home's word on all its heads at once, every ten minutes: "unchanged" is then not the same as
//! "cut off".

use std::sync::Arc;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use prost::Message;
use yizhan_proto::v1;

use super::{heads::Heard, keyring::Keyring, seal::Seal};
use crate::domain::{id::PointCode, time::Time};

/// Precedes what is signed, so that a signature for one purpose never serves another.
const CONTEXT: &[u8] = b"yizhan heads v1\0";

/// Longest body accepted: a home has six feeds at most.
const BODY_MAX: usize = 1_024;

/// Has the size of a statement, whoever signed it. What cannot be verified yet is kept by its size.
pub fn is_sound(message: &v1::SignedHeads) -> bool {
    message.body.len() <= BODY_MAX && message.signature.len() == Signature::BYTE_SIZE
}

/// Signs the newest seals of one home's feeds.
pub fn sign(
    network: &str,
    home: &PointCode,
    seals: &[Arc<Seal>],
    number: u64,
    now: Time,
    key: &SigningKey,
) -> Vec<u8> {
    let heads = seals.iter().map(|seal| {
        let statement = seal.statement();
        v1::Head {
            audience: statement.feed.audience as u32,
            epoch: Some(statement.epoch.into()),
            number: statement.number,
            sequence: statement.sequence.0,
        }
    });
    let body = v1::HeadsBody {
        network: network.to_owned(),
        home: home.to_string(),
        heads: heads.collect(),
        said_us: now.0,
        number,
    }
    .encode_to_vec();
    let signature = key.sign(&[CONTEXT, &body].concat()).to_bytes().to_vec();
    v1::SignedHeads { body, signature }.encode_to_vec()
}

/// Checks a home's word against the newest key that the roster names for it.
pub fn verify(message: &v1::SignedHeads, keys: &Keyring, now: Time) -> Option<(PointCode, Heard)> {
    let body = v1::HeadsBody::decode(&message.body[..]).ok()?;
    let home: PointCode = body.home.parse().ok()?;
    if body.network != keys.network || body.number > i64::MAX as u64 {
        return None;
    }
    let roster = keys.roster();
    let key = roster.seal_key(&home, u64::MAX)?;
    let key = VerifyingKey::from_bytes(&key.public).ok()?;
    let signature = Signature::from_slice(&message.signature).ok()?;
    key.verify_strict(&[CONTEXT, &message.body].concat(), &signature).ok()?;
    let statement = Arc::new(message.encode_to_vec());
    Some((home, Heard { number: body.number, at: now, statement }))
}

/// Reads a statement that was verified before it was stored.
pub fn read_kept(bytes: &[u8], heard_us: i64) -> Option<(PointCode, Heard)> {
    let message = v1::SignedHeads::decode(bytes).ok()?;
    let body = v1::HeadsBody::decode(&message.body[..]).ok()?;
    let heard =
        Heard { number: body.number, at: Time(heard_us), statement: Arc::new(bytes.to_vec()) };
    Some((body.home.parse().ok()?, heard))
}
