//! What an answer rests on, per home.

use serde_json::{Value, json};
use yizhan_proto::v1::{FeedState, PointState};

use super::{time, word};
use crate::answer::Column;

pub const COLUMNS: &[Column] =
    &["point", "answered", "state", "sequence", "sealed_at", "head_age_ms"];

pub fn point_state(state: &PointState) -> Value {
    json!({
        "point": state.point,
        "sequence": state.sequence,
        "sealed_at": time(state.sealed_time.as_ref()),
        "head_age_ms": state.head_age_ms,
        "answered": state.answered,
        "state": feed_state(state.state),
    })
}

pub fn point_states(states: &[PointState]) -> Value {
    Value::Array(states.iter().map(point_state).collect())
}

pub fn feed_state(state: i32) -> String {
    word(state, FeedState::as_str_name, "FEED_STATE_")
}

/// Homes whose rows the answer lacks.
pub fn missing(states: &[PointState]) -> Vec<String> {
    states.iter().filter(|state| !state.answered).map(|state| state.point.clone()).collect()
}
