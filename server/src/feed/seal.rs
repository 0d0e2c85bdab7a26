//! Seals: a home's numbered signature over the state of one of its feeds.
//!
//! What is signed is kept and passed on as the bytes that were signed.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use prost::Message;
use yizhan_proto::v1;

use super::digest::Digest;
use crate::domain::{
    audience::{Audience, FeedId},
    position::{Epoch, Sequence},
    time::Time,
};

/// Precedes what is signed, so that a signature for one purpose never serves another.
const CONTEXT: &[u8] = b"yizhan seal v1\0";

/// Longest seal body accepted.
const BODY_MAX: usize = 512;

/// What a home states about one of its feeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    pub network: String,
    pub feed: FeedId,
    pub epoch: Epoch,
    /// Rises by one per seal of an epoch; the first is 1.
    pub number: u64,
    pub sequence: Sequence,
    pub live: u64,
    pub digest: Digest,
    /// BLAKE3 of the body before; `None` for the first seal of all.
    pub previous: Option<[u8; 32]>,
    pub sealed_at: Time,
    /// The key that goes on, where a host seals a home for the last time.
    pub successor: Option<[u8; 32]>,
}

/// A statement with its signature, and the bytes that were signed.
#[derive(Clone, PartialEq, Eq)]
pub struct Seal {
    statement: Statement,
    message: v1::Seal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("seal cannot be decoded")]
    Malformed,
    #[error("seal belongs to another network")]
    ForeignNetwork,
    #[error("seal is not signed by the key of its home")]
    BadSignature,
}

impl Seal {
    /// Signs a statement with the seal key of its home (or of the home's host).
    pub fn sign(statement: Statement, key: &SigningKey) -> Seal {
        let body = v1::SealBody {
            network: statement.network.clone(),
            home: statement.feed.home.to_string(),
            audience: statement.feed.audience as u32,
            epoch: Some(statement.epoch.into()),
            number: statement.number,
            sequence: statement.sequence.0,
            live: statement.live,
            digest: statement.digest.to_vec(),
            previous: statement.previous.map(|hash| hash.to_vec()).unwrap_or_default(),
            sealed_us: statement.sealed_at.0,
            successor: statement.successor.map(|key| key.to_vec()).unwrap_or_default(),
        }
        .encode_to_vec();
        let signature = key.sign(&signed_bytes(&body)).to_bytes().to_vec();
        Seal { statement, message: v1::Seal { body, signature } }
    }

    /// Reads a seal without judging its signature: what is stored was judged when it came in.
    pub fn read(message: v1::Seal) -> Result<Seal, SealError> {
        if message.body.len() > BODY_MAX || message.signature.len() != 64 {
            return Err(SealError::Malformed);
        }
        let body = v1::SealBody::decode(&message.body[..]).map_err(|_| SealError::Malformed)?;
        let statement = statement(body).ok_or(SealError::Malformed)?;
        Ok(Seal { statement, message })
    }

    pub fn decode(bytes: &[u8]) -> Result<Seal, SealError> {
        Seal::read(v1::Seal::decode(bytes).map_err(|_| SealError::Malformed)?)
    }

    pub fn encode(&self) -> Vec<u8> {
        self.message.encode_to_vec()
    }

    /// Checks network and signature. Strict: no two verifiers of the network may disagree.
    pub fn verify(&self, network: &str, key: &VerifyingKey) -> Result<(), SealError> {
        if self.statement.network != network {
            return Err(SealError::ForeignNetwork);
        }
        let signature =
            Signature::from_slice(&self.message.signature).map_err(|_| SealError::Malformed)?;
        key.verify_strict(&signed_bytes(&self.message.body), &signature)
            .map_err(|_| SealError::BadSignature)
    }

    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    pub fn message(&self) -> &v1::Seal {
        &self.message
    }

    /// What the next seal names as its predecessor.
    pub fn hash(&self) -> [u8; 32] {
        *blake3::hash(&self.message.body).as_bytes()
    }

    /// Both are about one (feed, epoch, number) or one epoch counter, and cannot both be true.
    pub fn contradicts(&self, other: &Seal) -> bool {
        let (a, b) = (&self.statement, &other.statement);
        a.feed == b.feed
            && a.epoch.counter == b.epoch.counter
            && (a.epoch.random != b.epoch.random
                || (a.number == b.number && self.message.body != other.message.body))
    }

    /// Newer than the other: a later epoch, or a later seal of the same epoch.
    pub fn is_after(&self, other: &Seal) -> bool {
        let key = |seal: &Seal| (seal.statement.epoch.counter, seal.statement.number);
        key(self) > key(other)
    }
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let s = &self.statement;
        write!(f, "Seal({} {:?}#{} seq {})", s.feed, s.epoch, s.number, s.sequence.0)
    }
}

fn signed_bytes(body: &[u8]) -> Vec<u8> {
    [CONTEXT, body].concat()
}

fn statement(body: v1::SealBody) -> Option<Statement> {
    let previous = match body.previous.len() {
        0 => None,
        _ => Some(body.previous.try_into().ok()?),
    };
    let successor = match body.successor.len() {
        0 => None,
        _ => Some(body.successor.try_into().ok()?),
    };
    let statement = Statement {
        network: body.network,
        feed: FeedId {
            home: body.home.parse().ok()?,
            audience: Audience::from_number(i64::from(body.audience))?,
        },
        epoch: epoch(body.epoch?)?,
        number: body.number,
        sequence: Sequence(body.sequence),
        live: body.live,
        digest: body.digest.try_into().ok()?,
        previous,
        sealed_at: Time(body.sealed_us),
        successor,
    };
    // Numbers that no store and no JSON reader could hold are nobody's honest work.
    let sound = statement.number >= 1
        && statement.number <= i64::MAX as u64
        && statement.sequence <= Sequence::MAX
        && statement.live <= statement.sequence.0
        && statement.epoch.counter >= 1;
    sound.then_some(statement)
}

/// Reads an epoch from the wire.
pub fn epoch(message: v1::Epoch) -> Option<Epoch> {
    let counter = (message.counter <= i64::MAX as u64).then_some(message.counter)?;
    Some(Epoch { counter, random: message.random.try_into().ok()? })
}

impl From<Epoch> for v1::Epoch {
    fn from(epoch: Epoch) -> v1::Epoch {
        v1::Epoch { counter: epoch.counter, random: epoch.random.to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement() -> Statement {
        Statement {
            network: "gd".into(),
            feed: FeedId::new("GB-LON".parse().unwrap(), Audience::Public),
            epoch: Epoch { counter: 1, random: [1; 16] },
            number: 3,
            sequence: Sequence(9),
            live: 8,
            digest: [5; 32],
            previous: Some([6; 32]),
            sealed_at: Time(1),
            successor: Some([7; 32]),
        }
    }

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[3; 32])
    }

    #[test]
    fn a_seal_survives_the_wire_and_verifies() {
        let seal = Seal::sign(statement(), &key());
        let read = Seal::decode(&seal.encode()).unwrap();
        assert_eq!(read, seal);
        assert_eq!(read.verify("gd", &key().verifying_key()), Ok(()));
    }

    #[test]
    fn any_changed_byte_is_noticed() {
        let seal = Seal::sign(statement(), &key());
        let bytes = seal.encode();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let accepted = Seal::decode(&changed)
                .is_ok_and(|seal| seal.verify("gd", &key().verifying_key()).is_ok());
            assert!(!accepted, "byte {at}");
        }
    }

    #[test]
    fn another_network_or_key_is_refused() {
        let seal = Seal::sign(statement(), &key());
        assert_eq!(seal.verify("hn", &key().verifying_key()), Err(SealError::ForeignNetwork));
        let other = SigningKey::from_bytes(&[4; 32]).verifying_key();
        assert_eq!(seal.verify("gd", &other), Err(SealError::BadSignature));
    }

    #[test]
    fn two_seals_of_one_number_contradict_each_other() {
        let one = Seal::sign(statement(), &key());
        let same = Seal::sign(statement(), &key());
        let other = Seal::sign(Statement { digest: [9; 32], ..statement() }, &key());
        let later = Seal::sign(Statement { number: 4, ..statement() }, &key());
        let twin = Epoch { counter: 1, random: [2; 16] };
        let forked = Seal::sign(Statement { epoch: twin, number: 1, ..statement() }, &key());
        assert!(!one.contradicts(&same));
        assert!(one.contradicts(&other));
        assert!(!one.contradicts(&later));
        assert!(one.contradicts(&forked));
    }
}
