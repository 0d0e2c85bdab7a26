//! The clocks of a help request: working minutes in the owner's calendar, paused only while the
//! client is waited for. Elapsed minutes never decrease, and closed time never counts.

use super::{code::named, help_state::Urgency, time::Time, working_time::WorkingTime};

named! {
    /// What is timed.
    ClockKind, "unknown_clock";
    FirstResponse = 1 "first_response",
    NextUpdate = 2 "next_update",
    Resolution = 3 "resolution",
    HandoffAck = 4 "handoff_ack",
}

impl ClockKind {
    /// Working minutes that are promised.
    pub fn target(self, urgency: Urgency) -> u32 {
        use Urgency::*;
        match (self, urgency) {
            (ClockKind::FirstResponse, Emergency) => 60,
            (ClockKind::FirstResponse, Urgent) => 240,
            (ClockKind::FirstResponse, Normal) => 480,
            (ClockKind::FirstResponse, Low) => 960,
            (ClockKind::NextUpdate, Emergency) => 120,
            (ClockKind::NextUpdate, Urgent) => 480,
            (ClockKind::NextUpdate, Normal) => 1_440,
            (ClockKind::NextUpdate, Low) => 2_400,
            (ClockKind::Resolution, Emergency) => 480,
            (ClockKind::Resolution, Urgent) => 1_440,
            (ClockKind::Resolution, Normal) => 4_800,
            (ClockKind::Resolution, Low) => 9_600,
            (ClockKind::HandoffAck, Emergency) => 60,
            (ClockKind::HandoffAck, Urgent) => 240,
            (ClockKind::HandoffAck, Normal | Low) => 480,
        }
    }
}

/// One clock. It runs, or is paused, or has been met, or was stopped with its request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Clock {
    pub kind: ClockKind,
    pub target: u32,
    pub started: Time,
    /// Working minutes up to `running_since`, or up to where it stopped.
    pub spent: u32,
    pub running_since: Option<Time>,
    /// While it runs, and once it was met. None too where the owner does not open that long.
    pub due: Option<Time>,
    pub met: Option<Time>,
    /// When it ran out unmet.
    pub breached: Option<Time>,
}

impl Clock {
    pub fn start(kind: ClockKind, target: u32, at: Time, hours: &WorkingTime) -> Clock {
        let mut clock = Clock {
            kind,
            target,
            started: at,
            spent: 0,
            running_since: None,
            due: None,
            met: None,
            breached: None,
        };
        clock.resume(at, hours);
        clock
    }

    /// Working minutes so far.
    pub fn elapsed(&self, now: Time, hours: &WorkingTime) -> u32 {
        let running = self.running_since.map_or(0, |since| hours.elapsed(since, now));
        self.spent.saturating_add(running)
    }

    pub fn pause(&mut self, at: Time, hours: &WorkingTime) {
        if self.running_since.is_some() {
            self.note_breach(at);
            self.spent = self.elapsed(at, hours);
            self.running_since = None;
            self.due = None;
        }
    }

    /// Goes on from what was spent, in these working hours: also those of another owner.
    pub fn resume(&mut self, at: Time, hours: &WorkingTime) {
        if self.running_since.is_none() && self.met.is_none() {
            self.running_since = Some(at);
            self.due = hours.due(at, self.target.saturating_sub(self.spent));
        }
    }

    /// What was promised is done.
    pub fn meet(&mut self, at: Time, hours: &WorkingTime) {
        if self.met.is_some() {
            return;
        }
        self.note_breach(at);
        self.spent = self.elapsed(at, hours);
        self.running_since = None;
        self.met = Some(at);
    }

    /// Notes that it has run out; true if that is news.
    pub fn note_breach(&mut self, now: Time) -> bool {
        match (self.running_since, self.due) {
            (Some(_), Some(due)) if due < now && self.breached.is_none() => {
                self.breached = Some(due);
                true
            }
            _ => false,
        }
    }

    /// The request is taken up again: what was met is promised once more, with what is left.
    fn reopen(&mut self, at: Time, hours: &WorkingTime) {
        self.met = None;
        self.resume(at, hours);
    }
}

/// All clocks of one request.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Clocks(pub Vec<Clock>);

impl Clocks {
    pub fn on_receipt(urgency: Urgency, at: Time, hours: &WorkingTime) -> Clocks {
        let start = |kind: ClockKind| Clock::start(kind, kind.target(urgency), at, hours);
        Clocks(vec![start(ClockKind::FirstResponse), start(ClockKind::Resolution)])
    }

    pub fn find(&self, kind: ClockKind) -> Option<&Clock> {
        self.0.iter().find(|clock| clock.kind == kind)
    }

    fn find_mut(&mut self, kind: ClockKind) -> Option<&mut Clock> {
        self.0.iter_mut().find(|clock| clock.kind == kind)
    }

    /// The earliest moment at which a running clock runs out.
    pub fn next_due(&self) -> Option<Time> {
        let running = self.0.iter().filter(|clock| clock.running_since.is_some());
        running.filter_map(|clock| clock.due).min()
    }

    /// The desk has said something to the client.
    pub fn on_reply(&mut self, urgency: Urgency, at: Time, hours: &WorkingTime) {
        if let Some(first) = self.find_mut(ClockKind::FirstResponse) {
            first.meet(at, hours);
        }
        self.restart(ClockKind::NextUpdate, urgency, at, hours);
    }

    /// The client is asked: nothing runs until there is an answer.
    pub fn on_wait(&mut self, at: Time, hours: &WorkingTime) {
        self.0.iter_mut().for_each(|clock| clock.pause(at, hours));
    }

    /// Any word of the client ends the pause.
    pub fn on_answer(&mut self, at: Time, hours: &WorkingTime) {
        self.0.iter_mut().for_each(|clock| clock.resume(at, hours));
    }

    pub fn on_resolved(&mut self, at: Time, hours: &WorkingTime) {
        self.0.iter_mut().for_each(|clock| clock.meet(at, hours));
    }

    /// It ended without an answer: what was promised does not run any more, and was not kept either.
    pub fn on_end(&mut self, at: Time, hours: &WorkingTime) {
        self.0.iter_mut().for_each(|clock| clock.pause(at, hours));
    }

    pub fn on_reopen(&mut self, urgency: Urgency, at: Time, hours: &WorkingTime) {
        if let Some(resolution) = self.find_mut(ClockKind::Resolution) {
            resolution.reopen(at, hours);
        }
        self.restart(ClockKind::NextUpdate, urgency, at, hours);
    }

    /// Another urgency promises something else; what has passed stays passed.
    pub fn on_urgency(&mut self, urgency: Urgency, at: Time, hours: &WorkingTime) {
        for clock in self.0.iter_mut().filter(|clock| clock.met.is_none()) {
            let runs = clock.running_since.is_some();
            clock.pause(at, hours);
            clock.target = clock.kind.target(urgency);
            if runs {
                clock.resume(at, hours);
            }
        }
    }

    /// Another owner: elapsed minutes are kept and go on in its calendar.
    pub fn on_new_owner(&mut self, at: Time, before: &WorkingTime, after: &WorkingTime) {
        for clock in self.0.iter_mut().filter(|clock| clock.running_since.is_some()) {
            clock.pause(at, before);
            clock.resume(at, after);
        }
    }

    /// Notes what has run out; the kinds for which that is news.
    pub fn note_breaches(&mut self, now: Time) -> Vec<ClockKind> {
        let news =
            self.0.iter_mut().filter_map(|clock| clock.note_breach(now).then_some(clock.kind));
        news.collect()
    }

    fn restart(&mut self, kind: ClockKind, urgency: Urgency, at: Time, hours: &WorkingTime) {
        let clock = Clock::start(kind, kind.target(urgency), at, hours);
        match self.find_mut(kind) {
            Some(known) => *known = clock,
            None => self.0.push(clock),
        }
    }
}

#[cfg(test)]
#[path = "help_clock_tests.rs"]
mod tests;
