//! Sealing a letter into a parcel, and opening it again: pure.
//!
//! The letter is encrypted to the destination's case key under its whole address, so that it opens
//! nowhere else and under no other number; the sender's signature covers address and ciphertext.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use hpke::{
    Deserializable, OpModeR, OpModeS, Serializable, aead::ChaCha20Poly1305, kdf::HkdfSha256,
};
use prost::Message;
use rand::{SeedableRng, rngs::StdRng};
use yizhan_proto::v1::{self, Letter};
use zeroize::Zeroizing;

use crate::{
    domain::{id::PointCode, roster::Roster},
    identity::keys::{CaseKem, CaseKey},
};

/// Precede what is signed and what is sealed, so that one purpose never serves another.
const SIGNED: &[u8] = b"yizhan parcel v1\0";
const SEALED: &[u8] = b"yizhan letter v1\0";
const KEPT: &[u8] = b"yizhan kept letter v1\0";

/// Sizes that a letter is padded to: a relay learns no more of its length.
const BUCKETS: [usize; 7] =
    [256, 1_024, 4 * 1_024, 16 * 1_024, 64 * 1_024, 256 * 1_024, 512 * 1_024];
/// Largest encoded letter, in bytes.
pub const LETTER_MAX: usize = 512 * 1_024 - LENGTH;
/// Largest parcel, in bytes: a full letter and its address.
pub const PARCEL_MAX: usize = 513 * 1_024;
/// Longest name of a network.
const NETWORK_MAX: usize = 128;
/// Bytes before the letter that say how long it is.
const LENGTH: usize = 4;

/// What a relay sees of a parcel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub network: String,
    pub from: PointCode,
    pub to: PointCode,
    /// Counter of the epoch of the sender's `home` feed.
    pub sender_epoch: u64,
    pub manner: Manner,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Kept until settled. All parcels with a number below `oldest` are closed at the sender.
    Durable { number: u64, oldest: u64 },
    /// Not stored anywhere, and worth nothing after its deadline.
    Ephemeral { deadline_ms: i64, correlation: [u8; 16] },
}

/// A parcel as it was sealed, with its address read.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    address: Address,
    encapsulated: Vec<u8>,
    ciphertext: Vec<u8>,
    message: v1::Parcel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("the letter is too large for a parcel")]
    TooLarge,
    #[error("the destination's case key is no key")]
    UnfitKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("the parcel is not well formed")]
    Malformed,
    #[error("the parcel belongs to another network")]
    ForeignNetwork,
    #[error("the roster does not admit the sender or the destination")]
    NotAdmitted,
    #[error("the parcel is not signed by its sender")]
    BadSignature,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("the parcel is not sealed to this key")]
    OtherKey,
    #[error("what is in the parcel is not a letter")]
    NotALetter,
}

/// Seals a letter to `case_key` and signs the whole. `seed` is random and used once.
pub fn seal(
    address: &Address,
    letter: &Letter,
    case_key: &[u8; 32],
    signer: &SigningKey,
    seed: [u8; 32],
) -> Result<Sealed, SealError> {
    let (encapsulated, ciphertext) = encrypt(&info(SEALED, address), letter, case_key, seed)?;
    let mut body = v1::ParcelBody {
        network: address.network.clone(),
        from: address.from.to_string(),
        to: address.to.to_string(),
        sender_epoch: address.sender_epoch,
        encapsulated: encapsulated.clone(),
        ciphertext: ciphertext.clone(),
        ..v1::ParcelBody::default()
    };
    match address.manner {
        Manner::Durable { number, oldest } => {
            body.number = number;
            body.oldest = oldest;
        }
        Manner::Ephemeral { deadline_ms, correlation } => {
            body.deadline_ms = deadline_ms;
            body.correlation = correlation.to_vec();
        }
    }
    let body = body.encode_to_vec();
    let signature = signer.sign(&[SIGNED, &body].concat()).to_bytes().to_vec();
    let message = v1::Parcel { body, signature };
    Ok(Sealed { address: address.clone(), encapsulated, ciphertext, message })
}

/// The sender's own copy of a letter, in case it has to be sealed again: to the sender's case key.
pub fn keep(
    address: &Address,
    letter: &Letter,
    own_key: &[u8; 32],
    seed: [u8; 32],
) -> Result<Vec<u8>, SealError> {
    let (mut kept, ciphertext) = encrypt(&info(KEPT, address), letter, own_key, seed)?;
    kept.extend(ciphertext);
    Ok(kept)
}

/// Opens what `keep` has made.
pub fn open_kept(address: &Address, kept: &[u8], own_key: &CaseKey) -> Result<Letter, OpenError> {
    let (encapsulated, ciphertext) = kept.split_at_checked(32).ok_or(OpenError::NotALetter)?;
    decrypt(&info(KEPT, address), encapsulated, ciphertext, own_key)
}

impl Sealed {
    /// Reads a parcel without judging its signature.
    pub fn read(message: v1::Parcel) -> Result<Sealed, ReadError> {
        if message.body.len() > PARCEL_MAX || message.signature.len() != 64 {
            return Err(ReadError::Malformed);
        }
        let body = v1::ParcelBody::decode(&message.body[..]).map_err(|_| ReadError::Malformed)?;
        let manner = manner(&body).ok_or(ReadError::Malformed)?;
        if body.network.len() > NETWORK_MAX || !(1..=i64::MAX as u64).contains(&body.sender_epoch) {
            return Err(ReadError::Malformed);
        }
        let address = Address {
            network: body.network,
            from: body.from.parse().map_err(|_| ReadError::Malformed)?,
            to: body.to.parse().map_err(|_| ReadError::Malformed)?,
            sender_epoch: body.sender_epoch,
            manner,
        };
        let (encapsulated, ciphertext) = (body.encapsulated, body.ciphertext);
        Ok(Sealed { address, encapsulated, ciphertext, message })
    }

    pub fn decode(bytes: &[u8]) -> Result<Sealed, ReadError> {
        Sealed::read(v1::Parcel::decode(bytes).map_err(|_| ReadError::Malformed)?)
    }

    pub fn encode(&self) -> Vec<u8> {
        self.message.encode_to_vec()
    }

    pub fn address(&self) -> &Address {
        &self.address
    }

    pub fn message(&self) -> &v1::Parcel {
        &self.message
    }

    /// Checks network, both ends and the sender's signature.
    pub fn verify(&self, network: &str, roster: &Roster) -> Result<(), ReadError> {
        let Address { from, to, .. } = &self.address;
        if self.address.network != network {
            return Err(ReadError::ForeignNetwork);
        }
        if ![from, to].into_iter().all(|point| is_admitted(roster, point)) {
            return Err(ReadError::NotAdmitted);
        }
        let signed = [SIGNED, &self.message.body].concat();
        if !is_signed(roster, from, &signed, &self.message.signature) {
            return Err(ReadError::BadSignature);
        }
        Ok(())
    }

    pub fn open(&self, key: &CaseKey) -> Result<Letter, OpenError> {
        decrypt(&info(SEALED, &self.address), &self.encapsulated, &self.ciphertext, key)
    }
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Address { from, to, sender_epoch, manner, .. } = &self.address;
        write!(f, "Parcel({from} to {to}, epoch {sender_epoch}, {manner:?})")
    }
}

/// In the roster, not revoked, and neither is the node that serves it.
pub(super) fn is_admitted(roster: &Roster, point: &PointCode) -> bool {
    let serving = roster.server_of(point);
    serving.is_some_and(|server| !roster.is_revoked(server)) && !roster.is_revoked(point)
}

/// Signed by the key of `point` that the roster names now. One that was replaced vouches for nothing, of
/// whatever epoch: a former host has it, or a thief. Neither does one that the roster has limited:
/// parcels are not numbered in any feed, so no last good one can be named.
pub(super) fn is_signed(
    roster: &Roster,
    point: &PointCode,
    signed: &[u8],
    signature: &[u8],
) -> bool {
    let Ok(signature) = Signature::from_slice(signature) else { return false };
    let current = roster.seal_key(point, u64::MAX).filter(|key| key.limit.is_none());
    current.is_some_and(|key| {
        VerifyingKey::from_bytes(&key.public)
            .is_ok_and(|public| public.verify_strict(signed, &signature).is_ok())
    })
}

fn manner(body: &v1::ParcelBody) -> Option<Manner> {
    if body.number == 0 {
        let correlation = body.correlation[..].try_into().ok()?;
        return (body.deadline_ms > 0 && body.oldest == 0)
            .then_some(Manner::Ephemeral { deadline_ms: body.deadline_ms, correlation });
    }
    let sound = body.number <= i64::MAX as u64
        && (1..=body.number).contains(&body.oldest)
        && body.deadline_ms == 0
        && body.correlation.is_empty();
    sound.then_some(Manner::Durable { number: body.number, oldest: body.oldest })
}

/// Everything that the letter is bound to, each part with its length before it. `oldest` is not: it
/// is news, and may be newer when a parcel is sealed again.
fn info(context: &[u8], address: &Address) -> Vec<u8> {
    let (number, deadline_ms, correlation) = match address.manner {
        Manner::Durable { number, .. } => (number, 0, [0; 16]),
        Manner::Ephemeral { deadline_ms, correlation } => (0, deadline_ms, correlation),
    };
    let mut info = context.to_vec();
    for text in [address.network.as_str(), address.from.as_str(), address.to.as_str()] {
        info.extend((text.len() as u64).to_le_bytes());
        info.extend(text.as_bytes());
    }
    info.extend(address.sender_epoch.to_le_bytes());
    info.extend(number.to_le_bytes());
    info.extend(deadline_ms.to_le_bytes());
    info.extend(correlation);
    info
}

/// Encapsulated key and ciphertext (RFC 9180, base mode).
fn encrypt(
    info: &[u8],
    letter: &Letter,
    key: &[u8; 32],
    seed: [u8; 32],
) -> Result<(Vec<u8>, Vec<u8>), SealError> {
    let plain = padded(letter)?;
    let key =
        <CaseKem as hpke::Kem>::PublicKey::from_bytes(key).map_err(|_| SealError::UnfitKey)?;
    let (encapsulated, ciphertext) =
        hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, CaseKem>(
            &OpModeS::Base,
            &key,
            info,
            &plain,
            &[],
            &mut StdRng::from_seed(seed),
        )
        .map_err(|_| SealError::UnfitKey)?;
    Ok((encapsulated.to_bytes().to_vec(), ciphertext.to_vec()))
}

fn decrypt(
    info: &[u8],
    encapsulated: &[u8],
    ciphertext: &[u8],
    key: &CaseKey,
) -> Result<Letter, OpenError> {
    let encapsulated = <CaseKem as hpke::Kem>::EncappedKey::from_bytes(encapsulated)
        .map_err(|_| OpenError::OtherKey)?;
    let plain = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, CaseKem>(
        &OpModeR::Base,
        &key.private(),
        &encapsulated,
        info,
        ciphertext,
        &[],
    )
    .map_err(|_| OpenError::OtherKey)?;
    unpadded(&Zeroizing::new(plain.to_vec())).ok_or(OpenError::NotALetter)
}

fn padded(letter: &Letter) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let len = letter.encoded_len();
    let bucket = BUCKETS.into_iter().find(|bucket| len + LENGTH <= *bucket);
    let bucket = bucket.ok_or(SealError::TooLarge)?;
    let mut plain = Zeroizing::new(Vec::with_capacity(bucket));
    plain.extend((len as u32).to_le_bytes());
    letter.encode(&mut *plain).expect("BUG: a vector has room");
    plain.resize(bucket, 0);
    Ok(plain)
}

fn unpadded(plain: &[u8]) -> Option<Letter> {
    let (len, rest) = plain.split_first_chunk::<LENGTH>()?;
    let letter = rest.get(..u32::from_le_bytes(*len) as usize)?;
    Letter::decode(letter).ok()
}

#[cfg(test)]
#[path = "seal_tests.rs"]
mod tests;
