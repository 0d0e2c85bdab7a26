//! Moves of members as documents.

use serde_json::{Value, json};
use yizhan_proto::v1::{MoveState, MoveView};

use super::{time, word};
use crate::answer::Column;

/// Columns of a table of moves.
pub const COLUMNS: &[Column] = &["move", "id", "from", "to", "state", "note"];

/// One move. The member's id is empty at a destination that is not home yet.
pub fn document(view: &MoveView) -> Value {
    json!({
        "move": view.id,
        "id": view.member,
        "from": view.from,
        "to": view.to,
        "state": word(view.state, MoveState::as_str_name, "MOVE_STATE_"),
        "note": view.note,
        "language": view.language,
        "own_wish": view.is_own_wish,
        "offered_by": view.offered_by,
        "decided_by": view.decided_by,
        "requested_at": time(view.request_time.as_ref()),
        "expires_at": time(view.expire_time.as_ref()),
        "state_at": time(view.state_time.as_ref()),
        "reason": view.reason,
        "cleared_at": time(view.clear_time.as_ref()),
    })
}
