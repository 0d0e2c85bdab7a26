//! A home's word on its heads at once, every ten minutes: "unchanged" is then not the same as "cut
//! off". Each group of readers gets a list of its own, of what it may hold.

use std::sync::Arc;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use prost::Message;
use yizhan_proto::v1;

use super::{
    heads::{Heard, Position},
    keyring::Keyring,
    seal::Seal,
};
use crate::domain::{audience::Audience, id::PointCode, time::Time};

/// Precedes what is signed, so that a signature for one purpose never serves another.
const CONTEXT: &[u8] = b"yizhan heads v1\0";

/// Longest body accepted: a home has six feeds at most.
const BODY_MAX: usize = 1_024;

/// Has the size of a statement, whoever signed it. What cannot be verified yet is kept by its size.
pub fn is_sound(message: &v1::SignedHeads) -> bool {
    message.body.len() <= BODY_MAX && message.signature.len() == Signature::BYTE_SIZE
}

/// Signs the newest seals of one home's feeds, for the readers of `audience`.
pub fn sign(
    network: &str,
    (home, audience): (&PointCode, Audience),
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
        audience: audience as u32,
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
    Some((home, heard(&body, now, statement)?))
}

/// Reads a statement that was verified before it was stored.
pub fn read_kept(bytes: &[u8], heard_us: i64) -> Option<(PointCode, Heard)> {
    let message = v1::SignedHeads::decode(bytes).ok()?;
    let body = v1::HeadsBody::decode(&message.body[..]).ok()?;
    let heard = heard(&body, Time(heard_us), Arc::new(bytes.to_vec()))?;
    Some((body.home.parse().ok()?, heard))
}

fn heard(body: &v1::HeadsBody, at: Time, statement: Arc<Vec<u8>>) -> Option<Heard> {
    let audience = match body.audience {
        0 => None,
        number => Some(Audience::from_number(i64::from(number))?),
    };
    Some(Heard { number: body.number, at, audience, heads: positions(body), statement })
}

/// Where the list says that feeds stand. An audience that a newer version has added is passed over.
fn positions(body: &v1::HeadsBody) -> Vec<(Audience, Position)> {
    let position = |head: &v1::Head| {
        let audience = Audience::from_number(i64::from(head.audience))?;
        let epoch = head.epoch.as_ref()?.counter;
        audience.is_shared().then_some((audience, Position { epoch, number: head.number }))
    };
    body.heads.iter().filter_map(position).collect()
}
