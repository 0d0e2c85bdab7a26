//! What waits for a second person.

use serde_json::{Value, json};
use yizhan_proto::v1::{self, approval};

use super::{time, word};
use crate::answer::Column;

pub const COLUMNS: &[Column] =
    &["id", "operation", "subject", "requested_by", "requested_at", "state", "decided_by"];

pub fn approval(approval: &v1::Approval) -> Value {
    json!({
        "id": approval.id,
        "operation": approval.operation,
        "subject": approval.subject,
        "point": approval.point,
        "requested_by": approval.requested_by,
        "requested_at": time(approval.request_time.as_ref()),
        "expires_at": time(approval.expire_time.as_ref()),
        "state": word(approval.state, approval::State::as_str_name, "STATE_"),
        "decided_by": approval.decided_by,
        "decided_at": time(approval.decide_time.as_ref()),
        "outcome": approval.outcome,
        "task": approval.task,
    })
}
