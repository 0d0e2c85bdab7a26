//! Sums of opening time: when so many minutes will have passed at a point, and how many have.
//!
//! Hours are wall-clock time of the point's zone; what passes between two of them is real time, so
//! the night in which clocks change counts as long as it is. Nothing here asks what time it is.

use jiff::{
    civil::{Date, DateTime, Time as WallTime},
    tz::{AmbiguousOffset, TimeZone},
};

use super::{
    id::PointCode,
    text::Invalid,
    time::Time,
    workdays::{SpecialDay, is_announced, special_day},
};

/// How far ahead or back a sum looks. A point that does not open in this span has no due time.
pub const DAYS_MAX: usize = 3_660;
/// Ranges of one day, after those that touch have been joined.
pub const RANGES_MAX: usize = 16;

const MINUTES_OF_DAY: u16 = 24 * 60;
const MINUTE_US: i64 = 60_000_000;
const MONDAY: usize = 0;

/// Opening hours of a week without special days. Each day's ranges are sorted and apart.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct WeeklyHours {
    days: [Vec<Range>; 7],
}

/// Minutes since local midnight; `to` may be 1440.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Range {
    from: u16,
    to: u16,
}

impl WeeklyHours {
    /// From ranges as (day counted from 1 = Monday, opens, closes), in minutes since midnight and in
    /// any order. Ranges that overlap or touch become one. A range must end on the day it began.
    pub fn new(
        ranges: impl IntoIterator<Item = (u32, u16, u16)>,
        field: &str,
    ) -> Result<WeeklyHours, Invalid> {
        let malformed = || Invalid::new(field, "hours_malformed");
        let mut week = WeeklyHours::default();
        for (day, from, to) in ranges {
            let day = day.checked_sub(1).and_then(|day| week.days.get_mut(day as usize));
            let day = day.ok_or_else(malformed)?;
            if from >= to || to > MINUTES_OF_DAY {
                return Err(malformed());
            }
            day.push(Range { from, to });
        }
        for day in &mut week.days {
            *day = joined(std::mem::take(day));
            if day.len() > RANGES_MAX {
                return Err(malformed().hint(format_args!("at most {RANGES_MAX} ranges a day")));
            }
        }
        Ok(week)
    }
}

fn joined(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort();
    let mut joined: Vec<Range> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.from <= last.to => last.to = last.to.max(range.to),
            _ => joined.push(range),
        }
    }
    joined
}

/// When a point is open: its week, its zone, its closures, and the special days of its country.
#[derive(Clone, Debug)]
pub struct WorkingTime {
    /// Until the first season begins.
    week: WeeklyHours,
    /// Other weeks, each from its first day on; by day.
    seasons: Vec<(Date, WeeklyHours)>,
    zone: TimeZone,
    /// First and last day of each.
    closures: Vec<(Date, Date)>,
    mainland: bool,
}

impl WorkingTime {
    /// Points in mainland China keep its public holidays and make-up working days; the others open by
    /// their hours alone. Closures name their first and last day.
    pub fn new(
        point: &PointCode,
        week: WeeklyHours,
        zone: TimeZone,
        closures: impl IntoIterator<Item = (Date, Date)>,
    ) -> WorkingTime {
        let mainland = point.as_str().starts_with("CN-");
        let closures = closures.into_iter().collect();
        WorkingTime { week, seasons: Vec::new(), zone, closures, mainland }
    }

    /// The same with other weeks from certain days on.
    pub fn with_seasons(mut self, mut seasons: Vec<(Date, WeeklyHours)>) -> WorkingTime {
        seasons.sort_by_key(|(from, _)| *from);
        self.seasons = seasons;
        self
    }

    /// The moment at which `minutes` of opening time will have passed since `start`; `start` itself
    /// for none. A range that is used up to its end is due at that end, not at the next opening.
    /// Nothing if the point does not open that long within [`DAYS_MAX`].
    pub fn due(&self, start: Time, minutes: u32) -> Option<Time> {
        let mut left = i64::from(minutes) * MINUTE_US;
        if left == 0 {
            return Some(start);
        }
        for (opens, closes) in self.openings(start)? {
            let from = opens.max(start.0);
            let passes = (closes - from).max(0);
            if passes >= left {
                return Some(Time(from + left));
            }
            left -= passes;
        }
        None
    }

    /// Whole minutes of opening time between two moments; none if `to` is not after `from`. Counted
    /// over at most [`DAYS_MAX`] days.
    pub fn elapsed(&self, from: Time, to: Time) -> u32 {
        u32::try_from(self.passing_us(from, to) / MINUTE_US).unwrap_or(u32::MAX)
    }

    pub fn is_open(&self, at: Time) -> bool {
        let mut openings = self.openings(at).into_iter().flatten();
        openings.find(|&(_, closes)| closes > at.0).is_some_and(|(opens, _)| opens <= at.0)
    }

    /// When it opens next; the moment itself while it is open.
    pub fn opens(&self, at: Time) -> Option<Time> {
        let openings = self.openings(at).into_iter().flatten();
        let next = openings.filter(|&(opens, closes)| closes > at.0 && closes > opens);
        next.map(|(opens, _)| Time(opens.max(at.0))).next()
    }

    /// Are the special days known of every year that lies between two moments? Where not, a sum holds
    /// for an ordinary week, and whoever shows it should say so.
    pub fn is_certain(&self, from: Time, to: Time) -> bool {
        let (Some(from), Some(to)) = (self.date_of(from), self.date_of(to)) else { return false };
        !self.mainland || (from.year()..=to.year()).all(is_announced)
    }

    fn passing_us(&self, from: Time, to: Time) -> i64 {
        let openings = self.openings(from).into_iter().flatten();
        openings
            .take_while(|&(opens, _)| opens < to.0)
            .map(|(opens, closes)| (closes.min(to.0) - opens.max(from.0)).max(0))
            .sum()
    }

    /// Openings as (from, to) in microseconds, in order, beginning with the day of `start`.
    /// Nothing for a moment beyond the calendar.
    fn openings(&self, start: Time) -> Option<impl Iterator<Item = (i64, i64)>> {
        let first = self.date_of(start)?;
        let days = first.series(jiff::Span::new().days(1)).take(DAYS_MAX);
        Some(days.flat_map(move |day| {
            self.ranges(day).iter().filter_map(move |range| {
                let (opens, closes) = (self.moment(day, range.from)?, self.moment(day, range.to)?);
                // Clocks that spring forward can leave nothing of a range.
                (opens < closes).then_some((opens, closes))
            })
        }))
    }

    fn ranges(&self, day: Date) -> &[Range] {
        if self.closures.iter().any(|&(first, last)| (first..=last).contains(&day)) {
            return &[];
        }
        let special = if self.mainland { special_day(day) } else { None };
        match special {
            Some(SpecialDay::Holiday) => &[],
            Some(SpecialDay::MakeUpWorkday) => &self.week_of(day).days[MONDAY],
            None => &self.week_of(day).days[day.weekday().to_monday_zero_offset() as usize],
        }
    }

    fn week_of(&self, day: Date) -> &WeeklyHours {
        let begun = self.seasons.partition_point(|(from, _)| *from <= day);
        begun.checked_sub(1).map_or(&self.week, |last| &self.seasons[last].1)
    }

    /// A wall-clock minute of a day as a moment. Of one that comes twice the first is meant; one that
    /// clocks skip is the moment at which they do, so that skipped minutes count for nothing.
    fn moment(&self, day: Date, minute: u16) -> Option<i64> {
        let local = if minute == MINUTES_OF_DAY {
            DateTime::from_parts(day.tomorrow().ok()?, WallTime::midnight())
        } else {
            day.at((minute / 60) as i8, (minute % 60) as i8, 0, 0)
        };
        let local = self.zone.to_ambiguous_timestamp(local);
        let skipped = matches!(local.offset(), AmbiguousOffset::Gap { .. });
        let earlier = local.earlier().ok()?;
        let moment = match skipped {
            true => self.zone.following(earlier).next()?.timestamp(),
            false => earlier,
        };
        Some(moment.as_microsecond())
    }

    fn date_of(&self, moment: Time) -> Option<Date> {
        let moment = jiff::Timestamp::from_microsecond(moment.0).ok()?;
        Some(self.zone.to_datetime(moment).date())
    }
}

#[cfg(test)]
#[path = "working_time_tests.rs"]
mod tests;
