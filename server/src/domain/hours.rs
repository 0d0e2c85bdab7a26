//! Opening hours and closures of a point, local time.

use super::{
    calendar::{self, Date},
    id::PointCode,
    language::LocalTexts,
    text::Invalid,
};

pub const HOURS_MAX: usize = 64;
pub const CLOSURES_MAX: usize = 256;

/// Minutes of a day.
pub const DAY_MINUTES: u16 = 24 * 60;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Hours that hold on some days of the week.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hours {
    /// Bit 0 is Monday.
    days: u8,
    opens_minute: u16,
    closes_minute: u16,
}

impl Hours {
    /// Days count from 1 (Monday) to 7.
    pub fn new(
        days: impl IntoIterator<Item = u32>,
        opens_minute: u32,
        closes_minute: u32,
        field: &str,
    ) -> Result<Hours, Invalid> {
        let malformed = || malformed(field);
        let mut set = 0;
        for day in days {
            if !(1..=7).contains(&day) {
                return Err(malformed());
            }
            set |= 1 << (day - 1);
        }
        if set == 0 || opens_minute >= closes_minute || closes_minute > u32::from(DAY_MINUTES) {
            return Err(malformed());
        }
        Ok(Hours {
            days: set,
            opens_minute: opens_minute as u16,
            closes_minute: closes_minute as u16,
        })
    }

    /// Reads `mon-fri 09:00-12:00`.
    pub fn parse(text: &str, field: &str) -> Result<Hours, Invalid> {
        let wrong = || malformed(field);
        let (days, times) = text.trim().split_once(' ').ok_or_else(wrong)?;
        let (from, to) = days.split_once('-').unwrap_or((days, days));
        let day = |name: &str| DAYS.iter().position(|day| *day == name).ok_or_else(wrong);
        let (from, to) = (day(from)?, day(to)?);
        let (opens, closes) = times.trim().split_once('-').ok_or_else(wrong)?;
        let days = if from <= to { from..=to } else { return Err(wrong()) };
        let (opens, closes) = (minute(opens).ok_or_else(wrong)?, minute(closes).ok_or_else(wrong)?);
        Hours::new(days.map(|day| day as u32 + 1), opens, closes, field)
    }

    pub fn days(&self) -> impl Iterator<Item = u32> + '_ {
        (1..=7).filter(|day| self.days & (1 << (day - 1)) != 0)
    }

    pub fn opens_minute(&self) -> u16 {
        self.opens_minute
    }

    pub fn closes_minute(&self) -> u16 {
        self.closes_minute
    }
}

fn malformed(field: &str) -> Invalid {
    Invalid::new(field, "hours_malformed").hint("such as mon-fri 09:00-12:00")
}

fn minute(text: &str) -> Option<u32> {
    let (hour, minute) = text.split_once(':')?;
    let two = |text: &str| match text.as_bytes() {
        [a @ b'0'..=b'9', b @ b'0'..=b'9'] => Some(u32::from(a - b'0') * 10 + u32::from(b - b'0')),
        _ => None,
    };
    let (hour, minute) = (two(hour)?, two(minute)?);
    (minute < 60 && hour * 60 + minute <= u32::from(DAY_MINUTES)).then_some(hour * 60 + minute)
}

/// Days on which a point is shut in spite of its hours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Closure {
    pub from: Date,
    pub to: Date,
    pub cover: Option<PointCode>,
    pub notes: LocalTexts,
}

impl Closure {
    pub fn new(
        from: Date,
        to: Date,
        cover: Option<PointCode>,
        field: &str,
    ) -> Result<Closure, Invalid> {
        if to < from {
            return Err(Invalid::new(field, "end_before_start"));
        }
        Ok(Closure { from, to, cover, notes: LocalTexts::default() })
    }

    /// Reads `2023-12-25..2023-12-29 AU-SYD`; the cover may be missing.
    pub fn parse(text: &str, field: &str) -> Result<Closure, Invalid> {
        let wrong = || Invalid::new(field, "closure_malformed").hint("from..to cover");
        let (days, cover) = match text.trim().split_once(' ') {
            Some((days, cover)) => (days, Some(cover.trim())),
            None => (text.trim(), None),
        };
        let (from, to) = days.split_once("..").ok_or_else(wrong)?;
        let cover = cover.map(|code| code.parse::<PointCode>()).transpose().map_err(|_| wrong())?;
        Closure::new(calendar::date(from, field)?, calendar::date(to, field)?, cover, field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_name_days_and_times() {
        let hours = Hours::parse("mon-thu 10:00-13:00", "hours").unwrap();
        assert_eq!(hours.days().collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!((hours.opens_minute(), hours.closes_minute()), (600, 780));
        assert_eq!(
            Hours::parse("sat 09:00-24:00", "hours").unwrap().days().collect::<Vec<_>>(),
            [6]
        );
        for bad in [
            "",
            "mon",
            "mon 9-12",
            "fri-mon 09:00-12:00",
            "mon 12:00-09:00",
            "mon 09:00-24:01",
            "mon 09:60-12:00",
        ] {
            assert!(Hours::parse(bad, "hours").is_err(), "{bad}");
        }
    }

    #[test]
    fn a_closure_names_its_days_and_who_covers() {
        let closure = Closure::parse("2023-12-25..2023-12-29 AU-SYD", "closures").unwrap();
        assert_eq!(closure.cover.unwrap().as_str(), "AU-SYD");
        assert!(Closure::parse("2023-12-25..2023-12-29", "closures").is_ok());
        assert_eq!(
            Closure::parse("2023-12-29..2023-12-25", "closures").unwrap_err().reason,
            "end_before_start"
        );
        assert!(Closure::parse("2023-12-25", "closures").is_err());
    }
}
