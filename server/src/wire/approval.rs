//! What waits for a second person.

use yizhan_proto::v1::{self, approval::State};

use super::value::time_message;
use crate::domain::{
    approval::{Approval, ApprovalState},
    time::Time,
};

/// An approval as it stands at a moment, and what it sets off in a word.
pub fn message(approval: Approval, task: String, now: Time) -> v1::Approval {
    let state = match approval.state_at(now) {
        ApprovalState::Open => State::Open,
        ApprovalState::Given => State::Given,
        ApprovalState::Done => State::Done,
        ApprovalState::Failed => State::Failed,
        ApprovalState::Expired => State::Expired,
    };
    v1::Approval {
        id: approval.id.to_string(),
        operation: approval.operation,
        subject: approval.subject,
        point: approval.point.to_string(),
        requested_by: approval.requested_by,
        request_time: Some(time_message(approval.requested)),
        expire_time: Some(time_message(approval.expires)),
        state: state.into(),
        decided_by: approval.decided_by,
        decide_time: approval.decided.map(time_message),
        outcome: approval.outcome,
        task,
    }
}
