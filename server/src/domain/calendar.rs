//! Days and zones: what a calendar knows, without a clock.

use jiff::{civil, tz::TimeZone};

use super::text::Invalid;

pub use jiff::civil::Date;

/// Names that people write and IANA does not know, and what they mean.
const OFTEN_WRITTEN: &[(&str, &str)] = &[
    ("Asia/Beijing", "Asia/Shanghai"),
    ("Asia/Guangzhou", "Asia/Shanghai"),
    ("Asia/Shenzhen", "Asia/Shanghai"),
    ("Asia/Hongkong", "Asia/Hong_Kong"),
    ("Asia/HongKong", "Asia/Hong_Kong"),
    ("Asia/Macao", "Asia/Macau"),
    ("Europe/Manchester", "Europe/London"),
    ("America/Boston", "America/New_York"),
    ("CST", "Asia/Shanghai"),
    ("Beijing", "Asia/Shanghai"),
];

/// Reads an ISO 8601 day, which has to exist.
pub fn date(text: &str, field: &str) -> Result<Date, Invalid> {
    let invalid = || Invalid::new(field, "date_invalid").hint("ISO 8601, such as 2023-04-22");
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return Err(invalid());
    }
    let number = |range: std::ops::Range<usize>| {
        bytes[range].iter().try_fold(0i16, |sum, byte| {
            byte.is_ascii_digit().then(|| sum * 10 + i16::from(byte - b'0'))
        })
    };
    match (number(0..4), number(5..7), number(8..10)) {
        (Some(year), Some(month), Some(day)) if year > 0 => {
            civil::Date::new(year, month as i8, day as i8).map_err(|_| invalid())
        }
        _ => Err(invalid()),
    }
}

/// The name of an IANA time zone that the tables of this program know.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ZoneName(String);

impl ZoneName {
    pub fn parse(text: &str, field: &str) -> Result<ZoneName, Invalid> {
        // What the zone database takes but is no place: an offset, an abbreviation, its own pieces.
        let named = text.contains('/') || text == "UTC";
        if named && TimeZone::get(text).is_ok() && !is_meant_otherwise(text) {
            return Ok(ZoneName(text.to_owned()));
        }
        let unknown = Invalid::new(field, "unknown_time_zone");
        let meant = OFTEN_WRITTEN.iter().find(|(written, _)| written.eq_ignore_ascii_case(text));
        Err(match meant {
            Some((_, zone)) => unknown.hint(zone),
            None => unknown,
        })
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn zone(&self) -> TimeZone {
        TimeZone::get(&self.0).expect("BUG: the name was looked up when it was made")
    }
}

fn is_meant_otherwise(text: &str) -> bool {
    OFTEN_WRITTEN.iter().any(|(written, _)| *written == text && *written != "Asia/Macao")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_that_do_not_exist_are_refused() {
        assert_eq!(date("2024-02-29", "on").unwrap(), civil::date(2024, 2, 29));
        for bad in [
            "2023-02-29",
            "2023-2-1",
            "0000-01-01",
            "2023/02/01",
            "",
            "２０２３-01-01",
            "2023-13-01",
        ] {
            assert_eq!(date(bad, "on").unwrap_err().reason, "date_invalid", "{bad}");
        }
    }

    #[test]
    fn a_zone_that_is_often_written_is_refused_with_the_right_one() {
        let refused = ZoneName::parse("Asia/Beijing", "tz").unwrap_err();
        assert_eq!((refused.reason, &*refused.hint), ("unknown_time_zone", "Asia/Shanghai"));
        assert!(ZoneName::parse("Asia/Shanghai", "tz").is_ok());
        assert!(ZoneName::parse("+08:00", "tz").is_err());
        assert!(ZoneName::parse("", "tz").is_err());
    }
}
