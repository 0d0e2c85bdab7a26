//! Working time against the worked examples of the reference data, and its laws.

use jiff::civil::date;
use proptest::prelude::*;

use super::*;

/// case, point_id, start, target_min, due, due_without_makeup_days, note
const CASES: &str = include_str!("../../data/clock-cases.csv");

const CHINESE: &str = "mon-fri 09:00-12:00;mon-fri 13:30-18:00";
const LONDON: &str = "mon-fri 09:30-17:30";

/// Zone and hours of the reference data's points.
fn sample(point: &str) -> WorkingTime {
    let (zone, hours) = match point {
        "GB-LON" => ("Europe/London", LONDON),
        "AU-SYD" => ("Australia/Sydney", "mon-fri 09:00-17:00"),
        "US-BOS" => ("America/New_York", "mon-thu 10:00-13:00;mon-thu 14:00-18:00;fri 10:00-14:00"),
        "HK" => ("Asia/Hong_Kong", "mon-fri 09:00-18:00;sat 09:00-13:00"),
        _ => ("Asia/Shanghai", CHINESE),
    };
    at(point, zone, hours, &[])
}

fn at(point: &str, zone: &str, hours: &str, closures: &[(Date, Date)]) -> WorkingTime {
    let zone = TimeZone::get(zone).unwrap();
    WorkingTime::new(&point.parse().unwrap(), week(hours), zone, closures.iter().copied())
}

fn week(hours: &str) -> WeeklyHours {
    let day = |name| 1 + "montuewedthufrisatsun".find(name).unwrap() as u32 / 3;
    let minute = |text: &str| -> u16 {
        let (hour, minute) = text.split_once(':').unwrap();
        hour.parse::<u16>().unwrap() * 60 + minute.parse::<u16>().unwrap()
    };
    let ranges = hours.split(';').flat_map(|range| {
        let (days, times) = range.split_once(' ').unwrap();
        let (first, last) = days.split_once('-').unwrap_or((days, days));
        let (opens, closes) = times.split_once('-').unwrap();
        (day(first)..=day(last)).map(move |day| (day, minute(opens), minute(closes)))
    });
    WeeklyHours::new(ranges, "hours").unwrap()
}

fn time(text: &str) -> Time {
    Time::parse(text, "time").unwrap()
}

#[test]
fn every_worked_example_comes_out() {
    let mut cases = 0;
    for row in csv::Reader::from_reader(CASES.as_bytes()).records() {
        let row = row.unwrap();
        let (point, start, due) = (sample(&row[1]), time(&row[2]), time(&row[4]));
        let minutes: u32 = row[3].parse().unwrap();
        assert_eq!(point.due(start, minutes), Some(due), "{}", &row[0]);
        assert_eq!(point.elapsed(start, due), minutes, "{}", &row[0]);
        assert!(point.is_certain(start, due), "{}", &row[0]);
        cases += 1;
    }
    assert_eq!(cases, 13);
}

#[test]
fn a_calendar_without_make_up_days_gives_the_other_column() {
    for row in csv::Reader::from_reader(CASES.as_bytes()).records() {
        let row = row.unwrap();
        // The holidays as closures, at a point that keeps no make-up days.
        let holidays: Vec<_> = (0..2_000)
            .map(|days| date(2020, 1, 1).checked_add(jiff::Span::new().days(days)).unwrap())
            .filter(|&day| {
                row[1].starts_with("CN-") && special_day(day) == Some(SpecialDay::Holiday)
            })
            .map(|day| (day, day))
            .collect();
        let mut point = sample(&row[1]);
        point.mainland = false;
        point.closures = holidays;
        let due = point.due(time(&row[2]), row[3].parse().unwrap());
        assert_eq!(due, Some(time(&row[5])), "{}", &row[0]);
    }
}

#[test]
fn a_closure_outranks_a_make_up_day() {
    let sunday = (date(2023, 4, 23), date(2023, 4, 23));
    let point = at("CN-440100", "Asia/Shanghai", CHINESE, &[sunday]);
    let due = point.due(time("2023-04-22T16:00:00+08:00"), 480);
    assert_eq!(due, Some(time("2023-04-25T09:30:00+08:00")));
}

#[test]
fn a_closed_point_waits_for_the_end_of_its_closure() {
    let point = at("GB-LON", "Europe/London", LONDON, &[(date(2023, 12, 25), date(2023, 12, 29))]);
    let due = point.due(time("2023-12-22T17:00:00Z"), 60);
    assert_eq!(due, Some(time("2024-01-01T10:00:00Z")));
    assert!(!point.is_open(time("2023-12-27T12:00:00Z")));
}

#[test]
fn a_point_without_hours_is_never_due() {
    let point = WorkingTime::new(&"HK".parse().unwrap(), WeeklyHours::default(), TimeZone::UTC, []);
    assert_eq!(point.due(Time(0), 1), None);
    assert_eq!(point.due(Time(7), 0), Some(Time(7)));
    assert_eq!(point.elapsed(Time(0), time("2023-01-01T00:00:00Z")), 0);
}

#[test]
fn moments_beyond_the_calendar_have_no_answer() {
    let point = sample("HK");
    for edge in [Time(i64::MIN), Time(i64::MAX)] {
        assert_eq!(point.due(edge, 1), None);
        assert_eq!(point.elapsed(edge, Time(0)), 0);
        assert!(!point.is_open(edge) && !point.is_certain(edge, Time(0)));
    }
}

#[test]
fn a_night_in_which_clocks_change_counts_as_long_as_it_is() {
    let night = at("GB-LON", "Europe/London", "sun 00:00-24:00", &[]);
    let day = |first: &str, next: &str| night.elapsed(time(first), time(next));
    assert_eq!(day("2023-03-26T00:00:00Z", "2023-03-26T23:00:00Z"), 23 * 60);
    assert_eq!(day("2023-10-28T23:00:00Z", "2023-10-30T00:00:00Z"), 25 * 60);
}

#[test]
fn a_range_that_clocks_skip_is_no_opening() {
    let night = (time("2023-03-26T00:00:00Z"), time("2023-03-26T04:00:00Z"));
    for (hours, minutes) in [
        ("sun 01:00-02:00", 0),
        ("sun 01:15-01:45", 0),
        ("sun 00:30-01:30", 30),
        ("sun 01:30-02:30", 30),
        // What was skipped must not be counted a second time in the range behind it.
        ("sun 01:15-01:45;sun 02:00-03:00", 60),
    ] {
        let point = at("GB-LON", "Europe/London", hours, &[]);
        assert_eq!(point.elapsed(night.0, night.1), minutes, "{hours}");
    }
}

#[test]
fn years_that_nobody_has_announced_are_uncertain_on_the_mainland_only() {
    let (from, to) = (time("2026-12-30T00:00:00Z"), time("2027-01-05T00:00:00Z"));
    assert!(!sample("CN-440100").is_certain(from, to));
    assert!(sample("HK").is_certain(from, to));
}

#[test]
fn ranges_that_touch_or_overlap_become_one() {
    assert_eq!(week("mon 09:00-12:00;mon 11:00-13:00;mon 13:00-14:00"), week("mon 09:00-14:00"));
    for bad in [(0, 0, 60), (8, 0, 60), (1, 60, 60), (1, 120, 60), (1, 0, 1441)] {
        assert!(WeeklyHours::new([bad], "hours").is_err(), "{bad:?}");
    }
}

fn any_point() -> impl Strategy<Value = WorkingTime> {
    const POINTS: &[&str] = &["CN-440100", "HK", "GB-LON", "US-BOS", "AU-SYD"];
    prop::sample::select(POINTS).prop_map(sample)
}

/// Any second from 2018 to 2029.
fn any_time() -> impl Strategy<Value = Time> {
    (1_514_764_800_i64..1_893_456_000).prop_map(|seconds| Time(seconds * 1_000_000))
}

proptest! {
    #[test]
    fn what_is_due_has_elapsed(point in any_point(), start in any_time(), minutes in 0_u32..5_000) {
        let due = point.due(start, minutes).unwrap();
        prop_assert!(due >= start);
        prop_assert_eq!(point.elapsed(start, due), minutes);
        // Not a moment earlier.
        if minutes > 0 {
            prop_assert_eq!(point.elapsed(start, Time(due.0 - 1)), minutes - 1);
        }
    }

    #[test]
    fn targets_add_up(point in any_point(), start in any_time(), a in 1_u32..2_000, b in 1_u32..2_000) {
        let between = point.due(start, a).unwrap();
        prop_assert_eq!(point.due(between, b), point.due(start, a + b));
    }

    #[test]
    fn a_later_start_is_never_due_earlier(
        point in any_point(), start in any_time(), later_s in 0_i64..1_000_000, minutes in 0_u32..2_000,
    ) {
        let later = Time(start.0 + later_s * 1_000_000);
        prop_assert!(point.due(later, minutes) >= point.due(start, minutes));
    }

    #[test]
    fn a_point_is_open_exactly_where_time_passes(point in any_point(), at in any_time()) {
        // Every range of the samples ends on a whole minute, and so one second decides nothing else.
        let next = Time(at.0 + 1_000_000);
        let passes = point.passing_us(at, next);
        prop_assert_eq!(point.is_open(at), passes == 1_000_000);
    }
}

#[test]
fn a_point_that_is_shut_says_when_it_opens() {
    let london = sample("GB-LON");
    let opens = |at: &str| london.opens(time(at)).unwrap();
    assert_eq!(opens("2023-03-14T12:00:00Z"), time("2023-03-14T12:00:00Z"), "it is open");
    assert_eq!(opens("2023-03-14T08:00:00Z"), time("2023-03-14T09:30:00Z"));
    assert_eq!(opens("2023-03-17T18:00:00Z"), time("2023-03-20T09:30:00Z"), "over the weekend");
    // Summer time has begun meanwhile.
    assert_eq!(opens("2023-03-24T18:00:00Z"), time("2023-03-27T08:30:00Z"));
    let canton = sample("CN-440100");
    let opens = canton.opens(time("2023-04-22T16:00:00+08:00"));
    assert_eq!(opens, Some(time("2023-04-23T09:00:00+08:00")), "a Sunday that is worked");
}
