//! Days on which mainland China departs from its week: public holidays, and weekend days worked
//! instead (调休), as the State Council announces them each year.

use std::{collections::HashMap, sync::LazyLock};

use jiff::civil::Date;

/// `date,kind,name` for the years announced so far. Source: the table of public facts that comes with
/// the reference data (NateScarlet/holiday-cn, MIT, from the yearly notices).
const TABLE: &str = include_str!("../../data/workdays-cn.csv");

/// What a day is instead of what its weekday says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SpecialDay {
    Holiday,
    /// Worked like a Monday.
    MakeUpWorkday,
}

struct Workdays {
    days: HashMap<Date, SpecialDay>,
    first_year: i16,
    last_year: i16,
}

static WORKDAYS: LazyLock<Workdays> = LazyLock::new(read);

/// The special day in mainland China, if it is one.
pub fn special_day(date: Date) -> Option<SpecialDay> {
    WORKDAYS.days.get(&date).copied()
}

/// Are the holidays of this year in the table? Other years are taken as weeks without holidays.
pub fn is_announced(year: i16) -> bool {
    (WORKDAYS.first_year..=WORKDAYS.last_year).contains(&year)
}

fn read() -> Workdays {
    let mut days = HashMap::new();
    for row in csv::Reader::from_reader(TABLE.as_bytes()).into_records() {
        let row = row.expect("BUG: the table shipped with the program is no CSV");
        let date: Date = row[0].parse().expect("BUG: the table holds a date that is none");
        let day = match &row[1] {
            "holiday" => SpecialDay::Holiday,
            "makeup_workday" => SpecialDay::MakeUpWorkday,
            other => panic!("BUG: the table holds an unknown kind of day: {other}"),
        };
        days.insert(date, day);
    }
    let years = || days.keys().map(|date| date.year());
    let first_year = years().min().expect("BUG: the table is empty");
    let last_year = years().max().expect("BUG: the table is empty");
    Workdays { days, first_year, last_year }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn the_labour_day_of_2023_was_paid_for_with_two_weekend_days() {
        assert_eq!(special_day(date(2023, 5, 1)), Some(SpecialDay::Holiday));
        assert_eq!(special_day(date(2023, 4, 23)), Some(SpecialDay::MakeUpWorkday));
        assert_eq!(special_day(date(2023, 5, 6)), Some(SpecialDay::MakeUpWorkday));
        assert_eq!(special_day(date(2023, 5, 8)), None);
    }

    #[test]
    fn every_year_from_2018_to_2026_is_announced() {
        assert!((2018..=2026).all(is_announced));
        assert!(!is_announced(2017) && !is_announced(2027));
    }
}
