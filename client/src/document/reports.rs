//! A report: figures, what they mean, and what they rest on.

use serde_json::{Value, json};
use yizhan_proto::v1::{Figure, GetReportResponse, LocalText, figure};

use super::{answers, answers::point_states, day, word};
use crate::answer::{Answer, Column};

const COLUMNS: &[Column] = &["id", "value", "basis", "suppressed", "definition"];

/// The report as a command answers it: its figures, and below them what they rest on.
pub fn answer(said: &GetReportResponse) -> Answer {
    Answer::shaped(report(said), "figures", COLUMNS).and_rows("points", answers::COLUMNS)
}

fn report(report: &GetReportResponse) -> Value {
    json!({
        "report": report.name,
        "as_of": day(report.as_of.as_ref()),
        "figures": report.figures.iter().map(figure).collect::<Vec<_>>(),
        "points": point_states(&report.points),
        "digest": hex::encode(&report.digest),
    })
}

fn figure(figure: &Figure) -> Value {
    json!({
        "id": figure.id,
        "value": figure.value,
        "basis": word(figure.basis, figure::Basis::as_str_name, "BASIS_"),
        "definition": in_language(&figure.definitions, "en"),
        "definition_zh": in_language(&figure.definitions, "zh-Hans"),
        "suppressed": figure.suppressed,
    })
}

fn in_language<'a>(texts: &'a [LocalText], language: &str) -> &'a str {
    let text = texts.iter().find(|text| text.language == language).or(texts.first());
    text.map_or("", |text| text.text.as_str())
}
