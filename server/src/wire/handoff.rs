//! Handoffs, message <-> what is said of them, and how their records are found.

use prost::Message;
use yizhan_proto::v1::{self, handoff_word::Kind as Said};

use crate::domain::{
    analyzer::{Filter, filter},
    handoff::{self, HandoffState, Word},
    id::RecordId,
    kind::Kind,
    text::Invalid,
};

/// Kind under which those are found that are open, have something to be sent, or keep something until it
/// has come.
pub const IN_WORK: &str = "12w";

/// The terms that find a handoff's record: nothing of its words.
pub fn terms(payload: &[u8]) -> Result<String, Invalid> {
    let handoff =
        v1::Handoff::decode(payload).map_err(|_| Invalid::new("payload", "not_decodable"))?;
    let state = HandoffState::from_number(handoff.state, "state")?;
    let kind = filter(Filter::Kind, &Kind::HANDOFF.0.to_string());
    if state.is_open() || handoff.outgoing.is_some() || handoff.unsettled {
        return Ok(format!("{kind} {}", filter(Filter::Kind, IN_WORK)));
    }
    Ok(kind)
}

/// What is written to the other side. A release gets its request where it is made.
pub fn word(id: RecordId, handoff: &v1::Handoff, word: Word) -> v1::HandoffWord {
    let mut said = v1::HandoffWord {
        handoff: id.0.to_vec(),
        request: handoff.request.clone(),
        ..v1::HandoffWord::default()
    };
    match word {
        Word::Offer => {
            said.set_kind(Said::Offer);
            said.reference = handoff.reference.clone();
            said.preview = handoff.preview.clone();
            said.offered_by = handoff.offered_by.clone();
            said.expire_time = handoff.expire_time;
        }
        Word::Accept => {
            said.set_kind(Said::Accept);
            said.decided_by = handoff.decided_by.clone();
        }
        Word::Decline => {
            said.set_kind(Said::Decline);
            said.decided_by = handoff.decided_by.clone();
            said.reason = handoff.reason.clone();
            said.suggested_point = handoff.suggested_point.clone();
        }
        Word::Recall => said.set_kind(Said::Recall),
        Word::Release(number) => {
            said.set_kind(Said::Release);
            said.owner_number = number;
        }
        Word::Done => said.set_kind(Said::Done),
    }
    said
}

/// What was said; none for a message, or for a kind that a newer version has added.
pub fn said(word: &v1::HandoffWord) -> Option<Word> {
    match word.kind() {
        Said::Offer => Some(Word::Offer),
        Said::Accept => Some(Word::Accept),
        Said::Decline => Some(Word::Decline),
        Said::Recall => Some(Word::Recall),
        Said::Release => Some(Word::Release(word.owner_number)),
        Said::Done => Some(Word::Done),
        Said::Message | Said::Forget | Said::File | Said::Unspecified => None,
    }
}

/// Checks what another point says of an offer: it is shown as it came.
pub fn preview(preview: Option<v1::HandoffPreview>) -> Result<v1::HandoffPreview, Invalid> {
    let mut preview = preview.ok_or_else(|| Invalid::new("preview", "required"))?;
    preview.summary = handoff::summary(&preview.summary)?;
    for (text, field) in [
        (&preview.category, "category"),
        (&preview.region, "region"),
        (&preview.language, "language"),
    ] {
        crate::domain::text::line(text, field, 64)?;
    }
    Ok(preview)
}
