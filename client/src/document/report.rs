//! How an import went.

use serde_json::{Value, json};
use yizhan_proto::v1::import_response::{Report, RowVerdict};

use crate::answer::Column;

/// The table shows the rejected rows.
pub const REJECTED_COLUMNS: &[Column] = &["file", "row", "field", "reason", "message"];

pub fn import(report: &Report) -> Value {
    json!({
        "rows": report.rows,
        "accepted": report.accepted,
        "unchanged": report.unchanged,
        "skipped": report.skipped,
        "rejected": report.rejected.iter().map(verdict).collect::<Vec<_>>(),
        "ambiguous": report.ambiguous.iter().map(verdict).collect::<Vec<_>>(),
        "rejected_rows": report.rejected_rows,
        "ambiguous_rows": report.ambiguous_rows,
        "remarks": report.remarks.iter().map(verdict).collect::<Vec<_>>(),
    })
}

fn verdict(verdict: &RowVerdict) -> Value {
    json!({
        "file": verdict.file,
        "row": verdict.row,
        "field": verdict.field,
        "reason": verdict.reason,
        "message": verdict.message,
        "message_zh": verdict.message_zh,
        "hint": verdict.hint,
        "matches": verdict.matches,
        "visibility": verdict.visibility,
    })
}
