//! Moments, for people: nothing is ordered, owned or accepted by them.

use std::fmt;

use super::text::Invalid;

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Time(pub i64);

impl Time {
    /// Reads RFC 3339, any offset. The 61st second of a minute, which RFC 3339 allows for a leap second, is
    /// the second before it: moments here have no name for it.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leap_second_is_the_second_before_it() {
        let at = |text| Time::parse(text, "at");
        let last = at("2016-12-31T23:59:59Z").unwrap();
        assert_eq!(at("2016-12-31T23:59:60Z"), Ok(last));
        assert_eq!(at("2017-01-01T07:59:60+08:00"), Ok(last));
        for wrong in ["2016-12-31T23:59:61Z", "2016-12-31T23:60:00Z", "2023-02-29T10:00:00Z"] {
            assert_eq!(at(wrong).unwrap_err().reason, "not_a_time", "{wrong}");
        }
    }
}
