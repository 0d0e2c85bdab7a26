//! How long a help request is kept: closed after silence, its files deleted, at last everything in it
//! that concerns a person. Each is announced before it is done. What figures count stays.

use super::{
    code::named, handoff::OFFER_HOURS, help_request::HelpRequest, help_state::HelpState, time::Time,
};

const DAY_US: i64 = 24 * 60 * 60 * 1_000_000;

named! {
    /// What is done with time, in this order.
    RetentionStep, "unknown_retention_step";
    SayClosing = 1 "say_closing",
    Close = 2 "close",
    SayFilesGo = 3 "say_files_go",
    DeleteFiles = 4 "delete_files",
    SayAnonymise = 5 "say_anonymise",
    Anonymise = 6 "anonymise",
}

/// Days from one to the next, as the operator has set them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Periods {
    /// Silence after which a request that is resolved, or waits for its client, is closed.
    pub close_days: i64,
    /// Files, after closing.
    pub files_days: i64,
    /// Everything personal, after closing.
    pub anonymise_days: i64,
    /// So long before is it announced.
    pub ahead_days: i64,
    /// An offer to pass a request on that nobody answers ends by itself, in hours.
    pub offer_hours: i64,
}

impl Default for Periods {
    fn default() -> Periods {
        let (close_days, files_days, anonymise_days, ahead_days) = (14, 90, 365, 7);
        let offer_hours = OFFER_HOURS;
        Periods { close_days, files_days, anonymise_days, ahead_days, offer_hours }
    }
}

impl Periods {
    /// From the start of a phase to a step of it.
    pub fn until(&self, step: RetentionStep) -> i64 {
        use RetentionStep::*;
        let days = match step {
            SayClosing | Close => self.close_days,
            SayFilesGo | DeleteFiles => self.files_days.min(self.anonymise_days),
            SayAnonymise | Anonymise => self.anonymise_days,
        };
        let ahead = match step {
            SayClosing | SayFilesGo | SayAnonymise => self.ahead_days,
            Close | DeleteFiles | Anonymise => 0,
        };
        (days - ahead).max(0).saturating_mul(DAY_US)
    }
}

/// The step that is next for a request, and when its phase began; none while it is worked on, and
/// when nothing is left to do.
pub fn next(request: &HelpRequest) -> Option<(RetentionStep, Time)> {
    use RetentionStep::*;
    let quiet = match request.kept {
        None => SayClosing,
        Some(_) => Close,
    };
    match request.state {
        HelpState::WaitingClient => Some((quiet, request.waiting.unwrap_or(request.updated))),
        HelpState::Resolved => Some((quiet, request.resolved.unwrap_or(request.updated))),
        HelpState::Closed | HelpState::Redirected | HelpState::Duplicate | HelpState::Withdrawn => {
            let step = match request.kept {
                None | Some(SayClosing | Close) => SayFilesGo,
                Some(SayFilesGo) => DeleteFiles,
                Some(DeleteFiles) => SayAnonymise,
                Some(SayAnonymise) => Anonymise,
                Some(Anonymise) => return None,
            };
            let since = request.closed.or(request.resolved).unwrap_or(request.updated);
            Some((step, since))
        }
        HelpState::Received | HelpState::Triaged | HelpState::Assigned | HelpState::InProgress => {
            None
        }
    }
}

/// When a step is due at the earliest. What was announced late is done late: nobody loses the days
/// between.
pub fn due(request: &HelpRequest, step: RetentionStep, since: Time, periods: &Periods) -> Time {
    use RetentionStep::*;
    let planned = Time(since.0.saturating_add(periods.until(step)));
    match (step, request.kept_at) {
        (Close | DeleteFiles | Anonymise, Some(said)) => {
            planned.max(Time(said.0.saturating_add(periods.ahead_days * DAY_US)))
        }
        _ => planned,
    }
}

impl HelpRequest {
    /// A step is done.
    pub fn keep(&mut self, step: RetentionStep, now: Time) {
        self.kept = Some(step);
        self.kept_at = Some(now);
    }

    /// Takes away everything by which somebody could be known, or that somebody wrote. What is
    /// counted stays: category, region, language, urgency, state, times, clocks, outcome, rating.
    pub fn anonymise(&mut self, now: Time) {
        for bytes in [
            &mut self.lookup_hash,
            &mut self.mac_hash,
            &mut self.client_wrap,
            &mut self.wrap,
            &mut self.content,
            &mut self.redirect,
            &mut self.notices,
            &mut self.key_hash,
        ] {
            bytes.clear();
        }
        self.intake_key = None;
        self.handoff = None;
        self.assignee.clear();
        self.keep(RetentionStep::Anonymise, now);
        self.updated = now;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{
        help_request::samples::{always, request},
        help_state::HelpMove,
    };

    fn day(n: i64) -> Time {
        Time(n * DAY_US)
    }

    #[test]
    fn each_step_comes_after_its_days_and_is_announced_before() {
        use RetentionStep::*;
        let periods = Periods::default();
        let mut one = request();
        one.step(HelpMove::Reply, day(0), &always()).unwrap();
        assert_eq!(next(&one), None);
        one.step(HelpMove::Resolve, day(1), &always()).unwrap();
        let mut seen = Vec::new();
        for now in 0..500 {
            while let Some((step, since)) = next(&one)
                && due(&one, step, since, &periods) <= day(now)
            {
                seen.push((step, now));
                match step {
                    Close => {
                        one.step(HelpMove::Close, day(now), &always()).unwrap();
                        one.keep(Close, day(now));
                    }
                    Anonymise => one.anonymise(day(now)),
                    step => one.keep(step, day(now)),
                }
            }
        }
        let expected = [
            (SayClosing, 8),
            (Close, 15),
            (SayFilesGo, 15 + 83),
            (DeleteFiles, 15 + 90),
            (SayAnonymise, 15 + 358),
            (Anonymise, 15 + 365),
        ];
        assert_eq!(seen, expected);
        assert!(one.content.is_empty() && one.lookup_hash.is_empty() && one.wrap.is_empty());
        assert_eq!((one.state, one.category), (HelpState::Closed, request().category));
    }

    #[test]
    fn a_node_that_was_off_announces_before_it_acts() {
        let periods = Periods::default();
        let mut one = request();
        one.step(HelpMove::Reply, day(0), &always()).unwrap();
        one.step(HelpMove::Wait, day(0), &always()).unwrap();
        let (step, since) = next(&one).unwrap();
        assert_eq!((step, due(&one, step, since, &periods)), (RetentionStep::SayClosing, day(7)));
        one.keep(step, day(60));
        let (step, since) = next(&one).unwrap();
        assert_eq!((step, due(&one, step, since, &periods)), (RetentionStep::Close, day(67)));
        // Whoever answers is not closed, and is announced to anew the next time.
        one.step(HelpMove::Answer, day(61), &always()).unwrap();
        assert_eq!(next(&one), None);
        one.step(HelpMove::Wait, day(61), &always()).unwrap();
        assert_eq!(next(&one), Some((RetentionStep::SayClosing, day(61))));
    }

    proptest! {
        #[test]
        fn what_is_worked_on_is_kept(steps in prop::collection::vec(0usize..11, 0..40)) {
            let mut one = request();
            for (at, step) in steps.into_iter().enumerate() {
                let _ = one.step(HelpMove::ALL[step], day(at as i64), &always());
                let is_worked_on = one.state.is_open() && one.state != HelpState::WaitingClient;
                let is_over = one.kept == Some(RetentionStep::Anonymise);
                prop_assert_eq!(next(&one).is_none(), is_worked_on || is_over);
                if let Some((step, _)) = next(&one) {
                    one.keep(step, day(at as i64));
                    if one.state.is_open() || one.state == HelpState::Resolved {
                        prop_assert!(step <= RetentionStep::Close);
                    }
                }
            }
        }
    }
}
