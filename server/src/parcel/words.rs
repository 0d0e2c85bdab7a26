//! Words about persons, when they arrive: kept with the parcel's number, and entered afterwards. Who
//! may say them at all is decided here, by the sender; what they mean, where the feed is written.

use prost::Message;
use yizhan_proto::v1::{self, transfer_word::Kind};

use super::letters::{Here, Verdict};
use crate::{
    domain::id::{PointCode, RecordId},
    store::{
        StoreError,
        words::{self, Channel, Connection, Word},
    },
};

/// Words on one copy take effect in the order in which they were written.
pub fn subject(word: &v1::TransferWord) -> Vec<u8> {
    let hash = blake3::hash(&[b"transfer ", &word.transfer[..]].concat());
    hash.as_bytes()[..16].to_vec()
}

/// A home writes of its own members alone, and a destination answers that home alone: whoever has a
/// copy cannot pass it on.
pub async fn arrive_transfer(
    here: &Here<'_>,
    db: &mut Connection,
    (from, to): (&PointCode, &PointCode),
    word: &v1::TransferWord,
) -> Result<Verdict, StoreError> {
    let home = match word.kind() {
        Kind::Unspecified => return Ok(Verdict::Refused("MALFORMED")),
        Kind::Copy | Kind::Withdraw => from,
        Kind::Held | Kind::Scrubbed => to,
    };
    if word.home != home.as_str() {
        return Ok(Verdict::Refused("NOT_HOME"));
    }
    let Ok(subject) = word.transfer[..].try_into().map(RecordId) else {
        return Ok(Verdict::Refused("MALFORMED"));
    };
    if word.member.len() != 16 || word.version > i64::MAX as u64 {
        return Ok(Verdict::Refused("MALFORMED"));
    }
    let arrived = Word {
        owner: to.to_string(),
        subject,
        kind: i64::from(word.kind),
        part: word.version as i64,
        sender: from.to_string(),
        word: word.encode_to_vec(),
        arrived: here.now,
    };
    words::put(db, Channel::Transfers, &arrived).await?;
    Ok(Verdict::Done)
}
