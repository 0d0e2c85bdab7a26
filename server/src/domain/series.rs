//! A numbered series of events.

use super::{calendar::Date, code::named, event::EventKind, language::LocalTexts, text::Invalid};

named! {
    /// Whether more events will come.
    SeriesState, "unknown_series_state";
    Active = 1 "active",
    Ended = 2 "ended",
}

/// The code of a series, which its event numbers begin with: two to twelve capitals or digits, a
/// capital first.
pub fn series_code(text: &str, field: &str) -> Result<String, Invalid> {
    let good = (2..=12).contains(&text.len())
        && text.as_bytes()[0].is_ascii_uppercase()
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    if good { Ok(text.to_owned()) } else { Err(Invalid::new(field, "series_code_malformed")) }
}

/// A series: its events are numbered without a gap.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Series {
    pub code: String,
    pub kind: EventKind,
    pub titles: LocalTexts,
    pub started_on: Option<Date>,
    pub state: SeriesState,
    pub source: String,
}

impl Series {
    /// What no field can say alone.
    pub fn checked(self) -> Result<Series, Invalid> {
        if self.titles.is_empty() {
            return Err(Invalid::new("titles", "required"));
        }
        Ok(self)
    }
}
