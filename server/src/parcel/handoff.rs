//! A word on a handoff, when it arrives: kept with the parcel's number, and entered afterwards. What it
//! means is decided where the feed is written.

use prost::Message;
use yizhan_proto::v1::{self, handoff_word::Kind};

use super::letters::{Here, Verdict};
use crate::{
    domain::id::{PointCode, RecordId},
    store::{
        StoreError,
        handoffs::{self, Arrived, Connection},
    },
};

/// Words on one request take effect in the order in which they were written.
pub fn subject(word: &v1::HandoffWord) -> Vec<u8> {
    // Files are large: nothing that people wait for stands behind them.
    let lane: &[u8] = if word.kind() == Kind::File { b"file " } else { b"handoff " };
    let hash = blake3::hash(&[lane, &word.request[..]].concat());
    hash.as_bytes()[..16].to_vec()
}

pub async fn arrive(
    here: &Here<'_>,
    db: &mut Connection,
    (from, to): (&PointCode, &PointCode),
    word: &v1::HandoffWord,
) -> Result<Verdict, StoreError> {
    let malformed = Verdict::Refused("MALFORMED");
    if word.kind() == Kind::Unspecified || word.request.len() != 16 {
        return Ok(malformed);
    }
    let Ok(handoff) = word.handoff[..].try_into().map(RecordId) else { return Ok(malformed) };
    let arrived = Arrived {
        owner: to.to_string(),
        handoff,
        kind: i64::from(word.kind),
        extra: word.message_id.clone(),
        sender: from.to_string(),
        word: word.encode_to_vec(),
        arrived: here.now,
    };
    handoffs::put(db, &arrived).await?;
    Ok(Verdict::Done)
}
