//! A word on a handoff, when it arrives: kept with the parcel's number, and entered afterwards. What it
//! means is decided where the feed is written.

use prost::Message;
use yizhan_proto::v1::{self, handoff_word::Kind};

use super::letters::{Here, Verdict};
use crate::{
    domain::id::{PointCode, RecordId},
    store::{
        StoreError,
        handoffs::{self, Arrived, Connection, Lane},
    },
};

/// Words of one sender to one point that wait to be entered: on handoffs, and what follows requests
/// that are not known yet. More come again later.
const SAID_MAX: i64 = 4_096;
const FOLLOWING_MAX: i64 = 512;
/// Bytes that name a message, or a piece of a file.
const NAME_MAX: usize = 20;

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
    if word.kind() == Kind::Unspecified || word.message_id.len() > NAME_MAX {
        return Ok(malformed);
    }
    let id = |bytes: &[u8]| bytes.try_into().map(RecordId).ok();
    let (Some(handoff), Some(request)) = (id(&word.handoff), id(&word.request)) else {
        return Ok(malformed);
    };
    let (lane, most) = match word.kind() {
        Kind::Message | Kind::File => (Lane::Following, FOLLOWING_MAX),
        _ => (Lane::Said, SAID_MAX),
    };
    if handoffs::count(db, to.as_str(), from.as_str(), lane).await? >= most {
        return Ok(Verdict::Later);
    }
    let arrived = Arrived {
        owner: to.to_string(),
        sender: from.to_string(),
        handoff,
        kind: i64::from(word.kind),
        extra: word.message_id.clone(),
        lane,
        request,
        arrived: here.now,
    };
    handoffs::put(db, &arrived, &word.encode_to_vec()).await?;
    Ok(Verdict::Done)
}
