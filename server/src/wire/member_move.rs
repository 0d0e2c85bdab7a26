//! Moves: message <-> what is said of them, and how their records are found.

use prost::Message;
use yizhan_proto::v1::{self, move_word::Kind as Said};

use crate::domain::{
    id::RecordId,
    member_move::{MoveState, Word},
    text::Invalid,
};

/// Kind under which all are found.
pub const ALL: &str = "42";
/// Kind under which those are found that are open, or have something to be done.
pub const IN_WORK: &str = "42w";

/// The message of a MEMBER_MOVE record, checked; and the member, once it is known.
pub fn read(payload: &[u8]) -> Result<(v1::MemberMove, Option<RecordId>), Invalid> {
    let moving =
        v1::MemberMove::decode(payload).map_err(|_| Invalid::new("payload", "not_decodable"))?;
    MoveState::from_number(moving.state, "state")?;
    let member = match moving.member.as_str() {
        "" => None,
        member => Some(RecordId::parse(member, "member")?),
    };
    Ok((moving, member))
}

/// By what a move is found, besides its member.
pub fn found_by(moving: &v1::MemberMove, is_origin: bool) -> Result<Vec<&'static str>, Invalid> {
    let state = MoveState::from_number(moving.state, "state")?;
    // Until the cards of the old home are gone everywhere, it has something to say.
    let is_clearing = is_origin && state == MoveState::Confirmed && moving.clear_time.is_none();
    let in_work = state.is_open() || moving.outgoing.is_some() || is_clearing;
    Ok([ALL].into_iter().chain(in_work.then_some(IN_WORK)).collect())
}

/// What is written to the other side. A copy gets its content where it is sent.
pub fn word(id: RecordId, moving: &v1::MemberMove, word: Word) -> v1::MoveWord {
    let mut said = v1::MoveWord { r#move: id.0.to_vec(), ..v1::MoveWord::default() };
    match word {
        Word::Offer => {
            said.set_kind(Said::Offer);
            said.note = moving.note.clone();
            said.language = moving.language.clone();
            said.offered_by = moving.offered_by.clone();
            said.expire_time = moving.expire_time;
        }
        Word::Accept => {
            said.set_kind(Said::Accept);
            said.decided_by = moving.decided_by.clone();
        }
        Word::Decline => {
            said.set_kind(Said::Decline);
            said.decided_by = moving.decided_by.clone();
            said.reason = moving.reason.clone();
        }
        Word::Recall => said.set_kind(Said::Recall),
        Word::Copy(version) | Word::Copied(version) => {
            let kind = if matches!(word, Word::Copy(_)) { Said::Copy } else { Said::Copied };
            said.set_kind(kind);
            said.version = version;
            said.content_hash = moving.content_hash.clone();
        }
        Word::Confirm(number, version) => {
            said.set_kind(Said::Confirm);
            said.home_number = number;
            said.version = version;
            said.content_hash = moving.content_hash.clone();
        }
    }
    said
}

/// What was said; none for what is no word of the protocol.
pub fn said(word: &v1::MoveWord) -> Option<Word> {
    match word.kind() {
        Said::Offer => Some(Word::Offer),
        Said::Accept => Some(Word::Accept),
        Said::Decline => Some(Word::Decline),
        Said::Recall => Some(Word::Recall),
        Said::Copy => Some(Word::Copy(word.version)),
        Said::Copied => Some(Word::Copied(word.version)),
        Said::Confirm => Some(Word::Confirm(word.home_number, word.version)),
        Said::Cleared | Said::Unspecified => None,
    }
}
