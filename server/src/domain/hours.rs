//! Opening hours and closures of a point, local time.

use std::fmt;

use super::{
    calendar::{self, Date},
    id::PointCode,
    language::LocalTexts,
    text::Invalid,
    working_time::RANGES_MAX,
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
    valid_from: Option<Date>,
    valid_to: Option<Date>,
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
            valid_from: None,
            valid_to: None,
        })
    }

    /// The same hours for a part of the calendar; both days are in it.
    pub fn during(
        self,
        valid_from: Option<Date>,
        valid_to: Option<Date>,
        field: &str,
    ) -> Result<Hours, Invalid> {
        if let (Some(from), Some(to)) = (valid_from, valid_to)
            && to < from
        {
            return Err(Invalid::new(format!("{field}.valid_to"), "end_before_start"));
        }
        Ok(Hours { valid_from, valid_to, ..self })
    }

    /// Reads `mon-fri 09:00-12:00`, `mon-wed,fri 09:00-12:00`, and `mon-fri 09:00-12:00 2023-06-01..2023-08-31` for a part of the
    /// calendar, either end of which may be open.
    pub fn parse(text: &str, field: &str) -> Result<Hours, Invalid> {
        let wrong = || malformed(field);
        let (days, times) = text.trim().split_once(' ').ok_or_else(wrong)?;
        let day = |name: &str| DAYS.iter().position(|day| *day == name).ok_or_else(wrong);
        let mut all = Vec::new();
        for part in days.split(',') {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let (from, to) = (day(from)?, day(to)?);
            if from > to {
                return Err(wrong());
            }
            all.extend((from..=to).map(|day| day as u32 + 1));
        }
        let (times, window) = match times.trim().split_once(' ') {
            Some((times, window)) => (times, Some(window.trim())),
            None => (times.trim(), None),
        };
        let (opens, closes) = times.split_once('-').ok_or_else(wrong)?;
        let (opens, closes) = (minute(opens).ok_or_else(wrong)?, minute(closes).ok_or_else(wrong)?);
        let hours = Hours::new(all, opens, closes, field)?;
        let Some(window) = window else { return Ok(hours) };
        let (from, to) = window.split_once("..").ok_or_else(wrong)?;
        let end = |text: &str| match text {
            "" => Ok(None),
            text => calendar::date(text, field).map(Some),
        };
        hours.during(end(from)?, end(to)?, field)
    }

    /// Do they hold on that day of the calendar, whatever day of the week it is?
    pub fn holds_on(&self, day: Date) -> bool {
        self.valid_from.is_none_or(|from| from <= day) && self.valid_to.is_none_or(|to| day <= to)
    }

    /// Is there a moment that both name?
    fn meets(&self, other: &Hours) -> bool {
        let begins_after =
            |from: Option<Date>, to: Option<Date>| from.zip(to).is_some_and(|(from, to)| from > to);
        self.days & other.days != 0
            && self.opens_minute < other.closes_minute
            && other.opens_minute < self.closes_minute
            && !begins_after(self.valid_from, other.valid_to)
            && !begins_after(other.valid_from, self.valid_to)
    }

    pub fn valid_from(&self) -> Option<Date> {
        self.valid_from
    }

    pub fn valid_to(&self) -> Option<Date> {
        self.valid_to
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

/// What single hours cannot say: a moment is named once, and a day has at most [`RANGES_MAX`] ranges.
pub fn checked(hours: Vec<Hours>, field: &str) -> Result<Vec<Hours>, Invalid> {
    for (n, one) in hours.iter().enumerate() {
        if let Some(other) = hours[..n].iter().find(|other| other.meets(one)) {
            let overlap = Invalid::new(field, "hours_overlap");
            return Err(overlap.hint(format_args!("{other} and {one}")));
        }
    }
    for day in 1..=7 {
        let ranges = hours.iter().filter(|one| one.days().any(|at| at == day)).count();
        if ranges > RANGES_MAX {
            let many = Invalid::new(field, "too_many");
            return Err(many.hint(format_args!("at most {RANGES_MAX} ranges a day")));
        }
    }
    Ok(hours)
}

impl fmt::Display for Hours {
    /// As `parse` reads it, days one by one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days: Vec<&str> = self.days().map(|day| DAYS[day as usize - 1]).collect();
        let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        let (opens, closes) = (clock(self.opens_minute), clock(self.closes_minute));
        write!(f, "{} {opens}-{closes}", days.join(","))?;
        if self.valid_from.is_some() || self.valid_to.is_some() {
            let day = |day: Option<Date>| day.map(|day| day.to_string()).unwrap_or_default();
            write!(f, " {}..{}", day(self.valid_from), day(self.valid_to))?;
        }
        Ok(())
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

impl fmt::Display for Closure {
    /// As `parse` reads it: without the notes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.from, self.to)?;
        self.cover.iter().try_for_each(|cover| write!(f, " {cover}"))
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
    fn hours_of_a_season_hold_on_its_days_alone() {
        let day = |text| calendar::date(text, "day").unwrap();
        let summer = Hours::parse("mon-fri 08:00-14:00 2023-06-01..2023-08-31", "hours").unwrap();
        let holds = ["2023-05-31", "2023-06-01", "2023-08-31", "2023-09-01"]
            .map(|text| summer.holds_on(day(text)));
        assert_eq!(holds, [false, true, true, false]);
        assert_eq!(summer.to_string(), "mon,tue,wed,thu,fri 08:00-14:00 2023-06-01..2023-08-31");
        let since = Hours::parse("sat 09:00-12:00 2023-06-01..", "hours").unwrap();
        assert!(since.holds_on(day("2999-01-01")) && !since.holds_on(day("2023-05-31")));
        for bad in ["2023-06-01", "2023-08-31..2023-06-01", "2023-02-29..", "x"] {
            assert!(Hours::parse(&format!("mon 09:00-12:00 {bad}"), "hours").is_err(), "{bad}");
        }
    }

    #[test]
    fn no_moment_is_named_twice() {
        let reason = |texts: &[&str]| {
            let hours = texts.iter().map(|text| Hours::parse(text, "hours").unwrap()).collect();
            checked(hours, "hours").err().map(|invalid| invalid.reason)
        };
        assert_eq!(reason(&["mon-fri 09:00-12:00", "mon-fri 12:00-18:00"]), None);
        assert_eq!(reason(&["mon-fri 09:00-12:00", "sat 09:00-12:00"]), None);
        let (spring, summer) = ("mon 09:00-12:00 ..2023-05-31", "mon 08:00-12:00 2023-06-01..");
        assert_eq!(reason(&[spring, summer]), None);
        assert_eq!(reason(&["mon-fri 09:00-12:00", "wed 11:59-13:00"]), Some("hours_overlap"));
        assert_eq!(reason(&["mon 09:00-12:00", summer]), Some("hours_overlap"));
        let short = |n: usize| format!("mon {:02}:00-{:02}:30", n, n);
        let many: Vec<String> = (0..=RANGES_MAX).map(short).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(reason(&many), Some("too_many"));
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
