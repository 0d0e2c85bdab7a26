use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::domain::working_time::WeeklyHours;

fn hours(point: &str, zone: &str) -> WorkingTime {
    let ranges = (1..=5).flat_map(|day| [(day, 540, 720), (day, 810, 1_080)]);
    let week = WeeklyHours::new(ranges, "hours").unwrap();
    WorkingTime::new(&point.parse().unwrap(), week, TimeZone::get(zone).unwrap(), [])
}

fn guangzhou() -> WorkingTime {
    hours("CN-440100", "Asia/Shanghai")
}

fn at(text: &str) -> Time {
    Time(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
}

#[test]
fn a_first_answer_knows_the_make_up_sunday() {
    let hours = guangzhou();
    let received = at("2023-04-22T16:00:00+08:00");
    let clocks = Clocks::on_receipt(Urgency::Normal, received, &hours);
    let first = clocks.find(ClockKind::FirstResponse).unwrap();
    assert_eq!(first.due, Some(at("2023-04-24T09:30:00+08:00")));
    let long = Clock::start(ClockKind::Resolution, 960, at("2023-05-04T15:00:00+08:00"), &hours);
    assert_eq!(long.due, Some(at("2023-05-06T16:00:00+08:00")));
}

#[test]
fn a_wait_pauses_and_an_answer_resumes_with_what_had_passed() {
    let hours = guangzhou();
    let received = at("2023-03-14T09:00:00+08:00");
    let mut clocks = Clocks::on_receipt(Urgency::Normal, received, &hours);
    let asked = at("2023-03-14T11:00:00+08:00");
    clocks.on_reply(Urgency::Normal, asked, &hours);
    clocks.on_wait(asked, &hours);
    let first = clocks.find(ClockKind::FirstResponse).unwrap();
    assert_eq!((first.met, first.breached, first.spent), (Some(asked), None, 120));
    assert_eq!(clocks.next_due(), None);
    let answered = at("2023-03-17T09:00:00+08:00");
    let paused = clocks.find(ClockKind::Resolution).unwrap();
    assert_eq!(paused.elapsed(answered, &hours), 120);
    clocks.on_answer(answered, &hours);
    let resolution = clocks.find(ClockKind::Resolution).unwrap();
    assert_eq!(resolution.elapsed(at("2023-03-17T10:00:00+08:00"), &hours), 180);
    assert_eq!(resolution.due, hours.due(answered, 4_800 - 120));
}

#[test]
fn a_clock_that_ran_out_stays_so_whatever_comes() {
    let hours = guangzhou();
    let mut clocks =
        Clocks::on_receipt(Urgency::Emergency, at("2023-03-14T09:00:00+08:00"), &hours);
    assert_eq!(clocks.note_breaches(at("2023-03-14T09:59:00+08:00")), []);
    let late = at("2023-03-14T10:01:00+08:00");
    assert_eq!(clocks.note_breaches(late), [ClockKind::FirstResponse]);
    assert_eq!(clocks.note_breaches(late), []);
    clocks.on_reply(Urgency::Emergency, late, &hours);
    let first = clocks.find(ClockKind::FirstResponse).unwrap();
    assert_eq!((first.met, first.breached), (Some(late), Some(at("2023-03-14T10:00:00+08:00"))));
}

#[test]
fn another_owner_goes_on_with_the_minutes_in_its_own_hours() {
    let (before, after) = (guangzhou(), hours("GB-LON", "Europe/London"));
    let mut clocks = Clocks::on_receipt(Urgency::Normal, at("2023-03-14T09:00:00+08:00"), &before);
    let moved = at("2023-03-14T17:00:00+08:00");
    clocks.on_new_owner(moved, &before, &after);
    let first = clocks.find(ClockKind::FirstResponse).unwrap();
    assert_eq!(first.spent, 390);
    assert_eq!(first.due, Some(at("2023-03-14T10:30:00Z")));
}

proptest! {
    #[test]
    fn elapsed_minutes_never_decrease_and_closed_time_never_counts(
        steps in prop::collection::vec((0u8..7, 1i64..100_000), 1..40),
    ) {
        let hours = guangzhou();
        let mut now = at("2023-04-20T08:00:00+08:00");
        let began = now;
        let mut clocks = Clocks::on_receipt(Urgency::Normal, now, &hours);
        let mut before = 0;
        for (step, seconds) in steps {
            now = Time(now.0 + seconds * 1_000_000);
            match step {
                0 => clocks.on_reply(Urgency::Normal, now, &hours),
                1 => clocks.on_wait(now, &hours),
                2 => clocks.on_answer(now, &hours),
                3 => clocks.on_resolved(now, &hours),
                4 => clocks.on_reopen(Urgency::Normal, now, &hours),
                5 => clocks.on_urgency(Urgency::Urgent, now, &hours),
                _ => drop(clocks.note_breaches(now)),
            }
            let elapsed = clocks.find(ClockKind::Resolution).unwrap().elapsed(now, &hours);
            prop_assert!(elapsed >= before);
            prop_assert!(elapsed <= hours.elapsed(began, now));
            before = elapsed;
        }
    }
}
