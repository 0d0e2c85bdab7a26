//! Handoffs as documents.

use serde_json::{Value, json};
use yizhan_proto::v1::{HandoffState, HandoffView};

use super::{help_request as shown, json as to_json, time};

/// Columns of a table of handoffs.
pub const COLUMNS: &[&str] = &["handoff", "reference", "from", "to", "state", "urgency", "summary"];

/// One handoff. The preview is empty once an offer was taken back.
pub fn document(handoff: &HandoffView) -> Value {
    let preview = handoff.preview.clone().unwrap_or_default();
    let clock = handoff.ack.as_ref().map(|clock| to_json(&shown::Clock::from(clock)));
    json!({
        "handoff": handoff.id,
        "reference": handoff.reference,
        "from": handoff.from,
        "to": handoff.to,
        "state": state_word(handoff.state),
        "category": preview.category,
        "region": preview.region,
        "language": preview.language,
        "urgency": shown::urgency_word(preview.urgency),
        "summary": preview.summary,
        "offered_by": handoff.offered_by,
        "offered_at": time(handoff.offer_time.as_ref()),
        "expires_at": time(handoff.expire_time.as_ref()),
        "consented_at": time(handoff.consent_time.as_ref()),
        "override": handoff.override_reason,
        "reason": handoff.reason,
        "suggested_point": handoff.suggested_point,
        "decided_by": handoff.decided_by,
        "decided_at": time(handoff.decide_time.as_ref()),
        "clock": clock,
    })
}

fn state_word(state: i32) -> String {
    let state = HandoffState::try_from(state).unwrap_or_default();
    state.as_str_name().trim_start_matches("HANDOFF_STATE_").to_lowercase()
}
