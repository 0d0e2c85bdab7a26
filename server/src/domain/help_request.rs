//! A help request: what a queue knows of it in clear, beside sealed bytes that nobody here can read.

use super::{
    help_category::HelpCategory,
    help_clock::{Clock, Clocks},
    help_reference::Reference,
    help_state::{HelpMove, HelpState, Urgency, may_reopen},
    id::{PointCode, RecordId},
    language::Language,
    region::Region,
    retention::RetentionStep,
    routing::Route,
    text::Invalid,
    time::Time,
    working_time::WorkingTime,
};

/// Longest text of a request or a message, in characters.
pub const TEXT_MAX: usize = 8_000;
/// Longest name or contact of a client, in characters.
pub const CONTACT_MAX: usize = 300;
pub const SUPPLIES_MAX: usize = 50;
pub const ATTACHMENTS_MAX: usize = 20;
/// Longest key of a submission, in characters.
pub const KEY_MAX: usize = 128;
/// Largest count of a supply line.
pub const QUANTITY_MAX: u32 = 1_000_000;
/// Longest sealed message of a client, in bytes.
pub const SEALED_MAX: usize = 48 * 1024;
/// Longest sealed settings of a client's notices, in bytes.
pub const NOTICES_MAX: usize = 4 * 1024;
/// Longest wrap of a content key by its client, in bytes.
pub const WRAP_MAX: usize = 256;

/// How a request came that its client has entered.
pub const CHANNEL_CLIENT: &str = "client";
/// How one came that somebody at a desk has entered for its client.
pub const CHANNELS_ON_BEHALF: [&str; 5] = ["desk", "phone", "mail", "web", "wechat"];

/// The channel of a request, as it is stored: what people of a desk enter is never taken for what a client
/// has entered.
pub fn channel(said: &str, is_on_behalf: bool) -> Result<&'static str, Invalid> {
    let known = CHANNELS_ON_BEHALF.into_iter().find(|known| *known == said);
    match (is_on_behalf, said, known) {
        (true, "", _) => Ok(CHANNELS_ON_BEHALF[0]),
        (true, _, Some(known)) => Ok(known),
        (true, _, None) => {
            Err(Invalid::new("channel", "unknown_channel").hint(CHANNELS_ON_BEHALF.join(", ")))
        }
        (false, "", _) => Ok(CHANNEL_CLIENT),
        (false, ..) => Err(Invalid::new("channel", "not_permitted")),
    }
}

/// Not escalated, to the supervisor, to the parent point.
pub const SUPERVISOR: u32 = 1;
pub const PARENT: u32 = 2;
/// The supervisor has half of what was promised to act, and an hour at least, in working minutes.
const SUPERVISOR_MIN: u32 = 60;

/// A request as its owner's `sealed` feed holds it.
#[derive(Clone, PartialEq, Debug)]
pub struct HelpRequest {
    pub reference: Reference,
    pub category: HelpCategory,
    pub urgency: Urgency,
    pub region: Region,
    pub language: Language,
    pub state: HelpState,
    pub received: Time,
    pub route: Route,
    pub clocks: Clocks,
    /// Empty: nobody yet.
    pub assignee: String,
    pub lookup_hash: Vec<u8>,
    pub mac_hash: Vec<u8>,
    pub client_wrap: Vec<u8>,
    /// Record of the key that wraps this request's keys; none for what was imported.
    pub intake_key: Option<RecordId>,
    pub wrap: Vec<u8>,
    pub content: Vec<u8>,
    pub reopened: u32,
    pub resolved: Option<Time>,
    pub closed: Option<Time>,
    pub redirect: Vec<u8>,
    pub duplicate_of: Option<Reference>,
    pub outcome: String,
    /// 0: none.
    pub rating: u32,
    pub source: String,
    /// Code of the point whose node took it in.
    pub intake: String,
    pub key_hash: Vec<u8>,
    pub for_other: bool,
    pub escalation: u32,
    pub channel: String,
    pub updated: Time,
    pub triaged: Option<Time>,
    pub assigned: Option<Time>,
    pub waiting: Option<Time>,
    /// Record of the newest handoff that this owner has offered.
    pub handoff: Option<RecordId>,
    /// Owners are numbered from 0.
    pub owner_number: u32,
    /// Sealed: where the client is told of news. Empty: nothing was set.
    pub notices: Vec<u8>,
    /// The newest step of retention since it fell silent.
    pub kept: Option<RetentionStep>,
    pub kept_at: Option<Time>,
    /// Taken over from another owner, and not taken up yet.
    pub passed: Option<Time>,
    /// The former owner that keeps what it released until it knows that it has come.
    pub kept_by: Option<PointCode>,
    /// When this owner took it over from another.
    pub taken_over: Option<Time>,
}

impl HelpRequest {
    /// Moves on by the table, and lets the clocks follow.
    pub fn step(&mut self, step: HelpMove, at: Time, hours: &WorkingTime) -> Result<(), Invalid> {
        let next = self.state.moved(step)?;
        if next == HelpState::InProgress && matches!(step, HelpMove::Reopen | HelpMove::Answer) {
            may_reopen(self.state, self.closed, at)?;
        }
        let (before, urgency) = (self.state, self.urgency);
        match step {
            HelpMove::Triage => self.triaged = self.triaged.or(Some(at)),
            HelpMove::Assign => self.assigned = Some(at),
            HelpMove::Reply => self.clocks.on_reply(urgency, at, hours),
            HelpMove::Wait => {
                self.clocks.on_wait(at, hours);
                self.waiting = Some(at);
            }
            HelpMove::Answer | HelpMove::Reopen => {
                self.waiting = None;
                if matches!(before, HelpState::Resolved | HelpState::Closed) {
                    self.reopened += 1;
                    (self.resolved, self.closed) = (None, None);
                    self.clocks.on_reopen(urgency, at, hours);
                } else {
                    self.clocks.on_answer(at, hours);
                }
            }
            HelpMove::Resolve => {
                self.clocks.on_resolved(at, hours);
                self.resolved = Some(at);
            }
            HelpMove::Close => self.closed = Some(at),
            HelpMove::Redirect | HelpMove::MarkDuplicate | HelpMove::Withdraw => {
                self.clocks.on_end(at, hours);
                self.closed = Some(at);
            }
        }
        if !matches!(step, HelpMove::Triage | HelpMove::Assign | HelpMove::Reply | HelpMove::Close)
        {
            // Another silence begins.
            (self.kept, self.kept_at) = (None, None);
        }
        if !matches!(step, HelpMove::Triage | HelpMove::Answer) {
            self.passed = None;
        }
        // A reply while the client is waited for stops what it has just started.
        if step == HelpMove::Reply && next == HelpState::WaitingClient {
            self.clocks.on_wait(at, hours);
        }
        self.state = next;
        self.updated = at;
        // Nobody above looks any longer at what has been done.
        self.escalation = self.escalation.min(self.overdue(at, hours));
        Ok(())
    }

    /// How far its promises that are not kept have to go by now.
    pub fn overdue(&self, now: Time, hours: &WorkingTime) -> u32 {
        let of = |clock: &Clock| {
            let late = match clock.due {
                Some(due) if due < now && clock.running_since.is_some() => hours.elapsed(due, now),
                _ => return 0,
            };
            if late >= SUPERVISOR_MIN.max(clock.target / 2) { PARENT } else { SUPERVISOR }
        };
        match self.state.is_open() {
            true => self.clocks.0.iter().map(of).max().unwrap_or(0),
            false => 0,
        }
    }
}

/// What is needed, pledged, sent and received: each at most what comes before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quantities {
    pub needed: u32,
    pub pledged: u32,
    pub sent: u32,
    pub received: u32,
}

impl Quantities {
    pub fn check(self, field: &str) -> Result<(), Invalid> {
        let wrong = |reason, hint: String| Err(Invalid::new(field, reason).hint(hint));
        if self.needed == 0 || self.needed > QUANTITY_MAX {
            return wrong("out_of_range", format!("1 to {QUANTITY_MAX}"));
        }
        if self.pledged > self.needed {
            return wrong("pledged_beyond_need", format!("at most {}", self.needed));
        }
        if self.sent > self.pledged {
            return wrong("sent_beyond_pledge", format!("at most {}", self.pledged));
        }
        if self.received > self.sent {
            return wrong("received_beyond_sent", format!("at most {}", self.sent));
        }
        Ok(())
    }
}

#[cfg(test)]
pub mod samples {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::domain::{
        region,
        working_time::{WeeklyHours, WorkingTime},
    };

    /// A request that has just been received.
    pub fn request() -> HelpRequest {
        HelpRequest {
            reference: Reference::new("LON", 2023, 12),
            category: HelpCategory::MedicalAdvice,
            urgency: Urgency::Normal,
            region: region::find("GB").unwrap(),
            language: Language::parse("zh-Hans", "language").unwrap(),
            state: HelpState::Received,
            received: Time(0),
            route: Route::default(),
            clocks: Clocks::on_receipt(Urgency::Normal, Time(0), &always()),
            assignee: String::new(),
            lookup_hash: vec![1; 32],
            mac_hash: vec![2; 32],
            client_wrap: vec![3; 72],
            intake_key: Some(RecordId([4; 16])),
            wrap: vec![5; 104],
            content: vec![6; 256],
            reopened: 0,
            resolved: None,
            closed: None,
            redirect: Vec::new(),
            duplicate_of: None,
            outcome: String::new(),
            rating: 0,
            source: String::new(),
            intake: "GB-LON".into(),
            key_hash: Vec::new(),
            for_other: false,
            escalation: 0,
            channel: "client".into(),
            updated: Time(0),
            triaged: None,
            assigned: None,
            waiting: None,
            handoff: None,
            owner_number: 0,
            notices: Vec::new(),
            kept: None,
            kept_at: None,
            passed: None,
            kept_by: None,
            taken_over: None,
        }
    }

    /// A point that never closes.
    pub fn always() -> WorkingTime {
        let week = WeeklyHours::new((1..=7).map(|day| (day, 0, 1_440)), "hours").unwrap();
        WorkingTime::new(&"GB-LON".parse().unwrap(), week, TimeZone::UTC, [])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_desk_enters_is_never_taken_for_what_a_client_has_entered() {
        let said = |said, is_on_behalf| channel(said, is_on_behalf).map_err(|bad| bad.reason);
        assert_eq!(said("", false), Ok("client"));
        assert_eq!(said("", true), Ok("desk"));
        assert_eq!(said("phone", true), Ok("phone"));
        assert_eq!(said("phone", false), Err("not_permitted"));
        assert_eq!(said("client", true), Err("unknown_channel"));
    }

    #[test]
    fn no_more_is_pledged_than_needed_sent_than_pledged_received_than_sent() {
        let check = |needed, pledged, sent, received| {
            Quantities { needed, pledged, sent, received }.check("l").map_err(|bad| bad.reason)
        };
        assert_eq!(check(10, 10, 10, 10), Ok(()));
        assert_eq!(check(10, 11, 0, 0), Err("pledged_beyond_need"));
        assert_eq!(check(10, 5, 6, 0), Err("sent_beyond_pledge"));
        assert_eq!(check(10, 5, 5, 6), Err("received_beyond_sent"));
        assert_eq!(check(0, 0, 0, 0), Err("out_of_range"));
    }
}
