//! Words about persons, and about areas, when they arrive: kept with the parcel's number, and entered afterwards. Who
//! may say them at all is decided here, by the sender; what they mean, where the feed is written.

use prost::Message;
use yizhan_proto::v1::{
    self, area_word::Kind as Areas, move_word::Kind as Move, transfer_word::Kind,
};

use super::letters::{Here, Verdict};
use crate::{
    domain::id::{PointCode, RecordId},
    store::{
        StoreError,
        words::{self, Channel, Connection, Word},
    },
};

/// Largest part of what moves, in bytes.
pub const PART_MAX: usize = 256 * 1_024;
/// Most parts of it: at most 8 MiB of a person.
pub const PARTS_MAX: u32 = 32;
/// A part of a copy is kept under its version times this and its own number.
pub const COPY_PARTS: u64 = 1 << 8;

/// Areas of a proposal that people are shown, and the longest, in characters.
pub const AREAS_MAX: usize = 100;
pub const AREA_TEXT_MAX: usize = 100;

/// Words on one copy, and on one move, take effect in the order in which they were written.
pub fn subject(purpose: &[u8], id: &[u8]) -> Vec<u8> {
    let hash = blake3::hash(&[purpose, id].concat());
    hash.as_bytes()[..16].to_vec()
}

/// Both ends write of a move that they have; who they are is the parcel's word.
pub async fn arrive_move(
    here: &Here<'_>,
    db: &mut Connection,
    (from, to): (&PointCode, &PointCode),
    word: &v1::MoveWord,
) -> Result<Verdict, StoreError> {
    let malformed = Verdict::Refused("MALFORMED");
    let Ok(subject) = word.r#move[..].try_into().map(RecordId) else { return Ok(malformed) };
    let is_copy = word.kind() == Move::Copy;
    let fits = word.content.len() <= PART_MAX
        && (1..=PARTS_MAX).contains(&word.parts)
        && word.part < word.parts;
    let is_known = word.kind() != Move::Unspecified && word.version < u64::from(u32::MAX);
    if !is_known || is_copy != fits || (!is_copy && !word.content.is_empty()) {
        return Ok(malformed);
    }
    let arrived = Word {
        owner: to.to_string(),
        subject,
        kind: i64::from(word.kind),
        part: (word.version * COPY_PARTS + u64::from(word.part)) as i64,
        sender: from.to_string(),
        word: word.encode_to_vec(),
        arrived: here.now,
    };
    words::put(db, Channel::Moves, &arrived).await?;
    Ok(Verdict::Done)
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

/// A point proposes to the province that it belongs to, and that one answers the point.
pub async fn arrive_areas(
    here: &Here<'_>,
    db: &mut Connection,
    (from, to): (&PointCode, &PointCode),
    word: &v1::AreaWord,
) -> Result<Verdict, StoreError> {
    let malformed = Verdict::Refused("MALFORMED");
    let Ok(subject) = word.approval[..].try_into().map(RecordId) else { return Ok(malformed) };
    let fits = word.areas.len() <= AREAS_MAX
        && word.areas.iter().all(|area| area.chars().count() <= AREA_TEXT_MAX);
    if word.proposal_hash.len() != 32 || !fits {
        return Ok(malformed);
    }
    let (point, province) = match word.kind() {
        Areas::Unspecified => return Ok(malformed),
        Areas::Propose => (from, to),
        Areas::Approve => (to, from),
    };
    let roster = here.keys.roster();
    if roster.province_of(point).is_none_or(|entry| entry.code != *province) {
        return Ok(Verdict::Refused("NOT_ITS_PROVINCE"));
    }
    let arrived = Word {
        owner: to.to_string(),
        subject,
        kind: i64::from(word.kind),
        part: 0,
        sender: from.to_string(),
        word: word.encode_to_vec(),
        arrived: here.now,
    };
    words::put(db, Channel::Areas, &arrived).await?;
    Ok(Verdict::Done)
}
