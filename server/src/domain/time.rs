//! Moments, for people: nothing is ordered, owned or accepted by them.

use std::fmt;

use super::text::Invalid;

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Time(pub i64);

impl Time {
    /// Reads RFC 3339, any offset.
    pub fn parse(text: &str, field: &str) -> Result<Time, Invalid> {
        let time: jiff::Timestamp = text.parse().map_err(|_| {
            Invalid::new(field, "not_a_time").hint("RFC 3339, such as 2023-04-22T06:30:00Z")
        })?;
        Ok(Time(time.as_microsecond()))
    }

    pub fn from_millis(ms: i64) -> Time {
        Time(ms.saturating_mul(1_000))
    }

    pub fn millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }
}

impl fmt::Display for Time {
    /// RFC 3339 in UTC; a moment beyond the calendar's range shows as its bare number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(time) => time.fmt(f),
            Err(_) => write!(f, "@{}us", self.0),
        }
    }
}
