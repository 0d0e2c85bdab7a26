//! How an import went.

use serde_json::{Value, json};
use yizhan_proto::v1::import_response::{Report, RowVerdict};

use crate::answer::{Answer, Column};

const COLUMNS: &[Column] = &["file", "row", "field", "reason", "message"];

/// The report as a command answers it: the rows that stayed out, and how many went in. `ignored`
/// files of the folder were not sent.
pub fn answer(report: &Report, ignored: &[String]) -> Answer {
    let mut totals = format!(
        "{} rows: {} accepted, {} unchanged, {} skipped, {} rejected, {} ambiguous",
        report.rows,
        report.accepted,
        report.unchanged,
        report.skipped,
        report.rejected_rows,
        report.ambiguous_rows,
    );
    if !ignored.is_empty() {
        totals.push_str(&format!("; not imported: {}", ignored.join(", ")));
    }
    Answer::shaped(import(report), "rejected", COLUMNS)
        .and_rows("ambiguous", COLUMNS)
        .and_rows("remarks", COLUMNS)
        .saying(totals)
}

fn import(report: &Report) -> Value {
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
