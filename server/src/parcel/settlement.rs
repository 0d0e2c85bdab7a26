//! The destination's signed word on a parcel: done, refused with a reason, or "seal it again".

use ed25519_dalek::{Signer, SigningKey};
use prost::Message;
use yizhan_proto::v1::{self, settlement_body::Outcome as Wire};

use super::seal::{ReadError, is_admitted, is_signed};
use crate::domain::{id::PointCode, roster::Roster};

/// Precedes what is signed, so that a signature for one purpose never serves another.
const CONTEXT: &[u8] = b"yizhan settlement v1\0";
/// Longest settlement body accepted, in bytes.
const BODY_MAX: usize = 512;
/// Longest reason of a refusal: upper case letters and underscores.
const REASON_MAX: usize = 64;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    Done,
    Refused(String),
    /// The destination cannot open it.
    Rekey,
}

/// What a destination says about one durable parcel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Word {
    pub network: String,
    /// Sender and destination of the parcel.
    pub from: PointCode,
    pub to: PointCode,
    pub sender_epoch: u64,
    pub number: u64,
    pub outcome: Outcome,
}

/// A word with its signature, and the bytes that were signed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settled {
    word: Word,
    message: v1::Settlement,
}

impl Settled {
    /// Signs with the seal key of the destination (or of its host).
    pub fn sign(word: Word, signer: &SigningKey) -> Settled {
        let (outcome, reason) = match &word.outcome {
            Outcome::Done => (Wire::Done, String::new()),
            Outcome::Refused(reason) => (Wire::Refused, reason.clone()),
            Outcome::Rekey => (Wire::Rekey, String::new()),
        };
        let body = v1::SettlementBody {
            network: word.network.clone(),
            from: word.from.to_string(),
            to: word.to.to_string(),
            sender_epoch: word.sender_epoch,
            number: word.number,
            outcome: outcome.into(),
            reason,
        }
        .encode_to_vec();
        let signature = signer.sign(&[CONTEXT, &body].concat()).to_bytes().to_vec();
        Settled { word, message: v1::Settlement { body, signature } }
    }

    /// Reads a settlement without judging its signature.
    pub fn read(message: v1::Settlement) -> Result<Settled, ReadError> {
        if message.body.len() > BODY_MAX || message.signature.len() != 64 {
            return Err(ReadError::Malformed);
        }
        let body =
            v1::SettlementBody::decode(&message.body[..]).map_err(|_| ReadError::Malformed)?;
        let word = word(body).ok_or(ReadError::Malformed)?;
        Ok(Settled { word, message })
    }

    /// Checks network, both ends and the destination's signature.
    pub fn verify(&self, network: &str, roster: &Roster) -> Result<(), ReadError> {
        let Word { from, to, .. } = &self.word;
        if self.word.network != network {
            return Err(ReadError::ForeignNetwork);
        }
        if ![from, to].into_iter().all(|point| is_admitted(roster, point)) {
            return Err(ReadError::NotAdmitted);
        }
        let signed = [CONTEXT, &self.message.body].concat();
        if !is_signed(roster, to, &signed, &self.message.signature) {
            return Err(ReadError::BadSignature);
        }
        Ok(())
    }

    pub fn word(&self) -> &Word {
        &self.word
    }

    pub fn message(&self) -> &v1::Settlement {
        &self.message
    }
}

fn word(body: v1::SettlementBody) -> Option<Word> {
    let outcome = match body.outcome() {
        Wire::Done => Outcome::Done,
        Wire::Refused if is_reason(&body.reason) => Outcome::Refused(body.reason.clone()),
        Wire::Rekey => Outcome::Rekey,
        Wire::Refused | Wire::Unspecified => return None,
    };
    let sound = (1..=i64::MAX as u64).contains(&body.number)
        && (1..=i64::MAX as u64).contains(&body.sender_epoch);
    sound.then_some(Word {
        network: body.network,
        from: body.from.parse().ok()?,
        to: body.to.parse().ok()?,
        sender_epoch: body.sender_epoch,
        number: body.number,
        outcome,
    })
}

/// A reason is shown and counted, so nothing but a name gets through.
fn is_reason(reason: &str) -> bool {
    (1..=REASON_MAX).contains(&reason.len())
        && reason.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}
