//! Lines of the audit.

use serde_json::{Value, json};
use yizhan_proto::v1::{AuditFinding, AuditLine};

use super::time;
use crate::answer::Column;

pub const COLUMNS: &[Column] =
    &["number", "time", "actor", "role", "operation", "purpose", "kind", "record", "outcome"];
pub const FINDING_COLUMNS: &[Column] = &["reason", "number", "detail"];

pub fn line(line: &AuditLine) -> Value {
    json!({
        "number": line.number,
        "time": time(line.time.as_ref()),
        "actor": line.actor,
        "role": line.role,
        "point": line.point,
        "operation": line.operation,
        "purpose": line.purpose,
        "kind": kind(line.kind),
        "record": if line.record.is_empty() { Value::Null } else { line.record.clone().into() },
        "outcome": line.outcome,
        "previous": hex::encode(&line.previous),
        "hash": hex::encode(&line.hash),
    })
}

pub fn finding(finding: &AuditFinding) -> Value {
    json!({"reason": finding.reason, "number": finding.number, "detail": finding.detail})
}

/// The word for a kind of record; its number where this program knows none.
fn kind(number: u32) -> Value {
    let word = match number {
        0 => return Value::Null,
        1 => "point",
        2 => "org",
        3 => "member",
        4 => "grant",
        5 => "group",
        6 => "event",
        8 => "outcome",
        9 => "listing",
        10 => "pairing",
        11 => "help_request",
        12 => "handoff",
        13 => "series",
        20 => "card",
        21 => "public_card",
        22 => "event_plan",
        26 => "group_member",
        27 => "group_card",
        28 => "org_detail",
        30 => "help_message",
        31 => "help_key",
        32 => "help_stub",
        40 => "roster_point",
        41 => "transfer",
        42 => "member_move",
        43 => "point_detail",
        44 => "point_notes",
        45 => "home_figures",
        other => return other.to_string().into(),
    };
    word.into()
}
