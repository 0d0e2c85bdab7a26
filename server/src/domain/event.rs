//! Events: what is planned at home, what the public sees, and how an event moves on.

use super::{
    calendar::ZoneName,
    code::named,
    id::{GrantId, MemberId, PointCode},
    language::LocalTexts,
    region::Region,
    text::Invalid,
    time::Time,
};

pub const TAGS_MAX: usize = 32;
pub const HOSTS_MAX: usize = 64;
pub const APPEARANCES_MAX: usize = 128;
pub const ORGS_MAX: usize = 64;
/// Longest event, so that a mistyped year shows.
pub const DURATION_MAX_US: i64 = 400 * 24 * 3_600 * 1_000_000;
/// Longest appearance, in minutes.
pub const APPEARANCE_MINUTES_MAX: u32 = 1_440;
/// Most places, in persons.
pub const CAPACITY_MAX: u32 = 1_000_000;
/// Highest issue of a series.
pub const ISSUE_MAX: u32 = 100_000;
/// Longest URL, in bytes.
pub const URL_MAX: usize = 2_000;
/// Years that an event may lie in, as moments: 1900-01-01 to 2200-01-01.
pub const TIMES: std::ops::Range<i64> = -2_208_988_800_000_000..7_258_118_400_000_000;

named! {
    /// What sort of event it is.
    EventKind, "unknown_event_kind";
    Talk = 1 "talk",
    Visit = 2 "visit",
    OnlineMeeting = 3 "online_meeting",
    Training = 4 "training",
    TalentTour = 5 "talent_tour",
    Exchange = 6 "exchange",
    Trip = 7 "trip",
}

named! {
    /// Where people take part.
    EventMode, "unknown_mode";
    Onsite = 1 "onsite",
    Online = 2 "online",
    Hybrid = 3 "hybrid",
}

named! {
    /// Where an event stands.
    EventState, "unknown_event_state";
    Draft = 1 "draft",
    Published = 2 "published",
    Rescheduled = 3 "rescheduled",
    Postponed = 4 "postponed",
    Running = 5 "running",
    Held = 6 "held",
    Archived = 7 "archived",
    Cancelled = 8 "cancelled",
}

/// What can happen to an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventMove {
    Publish,
    Reschedule,
    Postpone,
    Start,
    /// Its end must have passed.
    Hold,
    Archive,
    Cancel,
}

impl EventState {
    /// The only way an event moves on. A move not listed here is refused, with those that are.
    pub fn after(self, step: EventMove) -> Result<EventState, Invalid> {
        let refused = || Invalid::new("state", "move_refused").hint(self.ways());
        self.moved(step).ok_or_else(refused)
    }

    /// What a file may lead to: one move of the table, or none.
    pub fn moved_to(self, to: EventState) -> Result<EventState, Invalid> {
        use EventMove::*;
        let steps = [Publish, Reschedule, Postpone, Start, Hold, Archive, Cancel];
        if self == to || steps.into_iter().any(|step| self.moved(step) == Some(to)) {
            return Ok(to);
        }
        Err(Invalid::new("state", "move_refused").hint(self.ways()))
    }

    fn moved(self, step: EventMove) -> Option<EventState> {
        use {EventMove::*, EventState::*};
        match (self, step) {
            (Draft | Rescheduled | Postponed, Publish) => Some(Published),
            (Published, Reschedule) => Some(Rescheduled),
            (Published | Rescheduled, Postpone) => Some(Postponed),
            (Published | Rescheduled, Start) => Some(Running),
            // Nobody has to be there to say that it began.
            (Published | Rescheduled | Running, Hold) => Some(Held),
            (Held, Archive) => Some(Archived),
            (Draft | Published | Rescheduled | Postponed, Cancel) => Some(Cancelled),
            _ => None,
        }
    }

    /// Where the state can go from here, for people.
    pub fn ways(self) -> String {
        use EventMove::*;
        let steps = [Publish, Reschedule, Postpone, Start, Hold, Archive, Cancel];
        let ways = steps.map(|step| self.moved(step));
        let ways: Vec<&str> = ways.into_iter().flatten().map(EventState::name).collect();
        let ways = if ways.is_empty() { "none".to_owned() } else { ways.join(", ") };
        format!("{} -> {ways}", self.name())
    }

    /// May anybody know of it?
    pub fn is_public(self) -> bool {
        self != EventState::Draft
    }
}

named! {
    /// Which part a point has in an event.
    HostRole, "unknown_host_role";
    Lead = 1 "lead",
    Cohost = 2 "cohost",
}

named! {
    /// Where an invitation to host stands.
    HostState, "unknown_host_state";
    Invited = 1 "invited",
    Accepted = 2 "accepted",
    Declined = 3 "declined",
    Removed = 4 "removed",
}

/// A point that stages an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Host {
    pub point: PointCode,
    pub role: HostRole,
    pub state: HostState,
    pub invite_time: Option<Time>,
    pub decide_time: Option<Time>,
}

named! {
    /// Whether an appearance came about.
    AppearanceState, "unknown_appearance_state";
    Planned = 1 "planned",
    Given = 2 "given",
    Cancelled = 3 "cancelled",
}

/// Somebody who speaks at an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Appearance {
    pub position: u32,
    pub topics: LocalTexts,
    pub duration_minutes: Option<u32>,
    pub state: AppearanceState,
    /// Stands for the person in counts and leads nowhere.
    pub token: [u8; 16],
    pub display_names: LocalTexts,
    /// None in a public event, and once the person is erased.
    pub member: Option<MemberId>,
    /// The speaker's `media.release`; without one the names are not shown.
    pub release: Option<GrantId>,
    /// The member's home, if that is another node's: it knows when the release ends.
    pub home: Option<PointCode>,
    pub source: String,
}

/// What anybody may know of an event, and what a draft will show.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Code of the series and number in it.
    pub issue: Option<(String, u32)>,
    pub kind: EventKind,
    pub mode: EventMode,
    pub state: EventState,
    pub format: String,
    pub tags: Vec<String>,
    pub titles: LocalTexts,
    pub abstracts: LocalTexts,
    pub start_time: Time,
    pub end_time: Time,
    pub time_zone: ZoneName,
    pub venue: String,
    pub region: Option<Region>,
    /// The lead first.
    pub hosts: Vec<Host>,
    /// By position.
    pub appearances: Vec<Appearance>,
    pub url: String,
    /// Schedule revision, iCalendar SEQUENCE.
    pub sequence: u32,
    pub rescheduled_from_time: Option<Time>,
    pub capacity_onsite: Option<u32>,
    pub capacity_online: Option<u32>,
    pub registration_open_time: Option<Time>,
    pub registration_close_time: Option<Time>,
    pub create_time: Time,
    pub update_time: Time,
}

/// An event with everything its home knows. Never leaves home.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EventPlan {
    pub event: Event,
    /// For confirmed registrants only.
    pub private_join_link: String,
    /// Source ids of organisations.
    pub orgs: Vec<String>,
    /// Source id of a group.
    pub group: String,
    pub source: String,
}

impl Event {
    /// What no field can say alone.
    pub fn checked(mut self) -> Result<Event, Invalid> {
        let wrong = |field, reason| Err(Invalid::new(field, reason));
        if self.titles.is_empty() {
            return wrong("titles", "required");
        }
        for (time, field) in [(self.start_time, "start_time"), (self.end_time, "end_time")] {
            if !TIMES.contains(&time.0) {
                return wrong(field, "time_out_of_range");
            }
        }
        if self.end_time <= self.start_time {
            return wrong("end_time", "end_before_start");
        }
        if self.end_time.0 - self.start_time.0 > DURATION_MAX_US {
            return wrong("end_time", "too_long");
        }
        if let (Some(open), Some(close)) =
            (self.registration_open_time, self.registration_close_time)
            && close < open
        {
            return wrong("registration_close_time", "end_before_start");
        }
        if self.hosts.len() > HOSTS_MAX {
            return wrong("hosts", "too_many");
        }
        if self.appearances.len() > APPEARANCES_MAX {
            return wrong("appearances", "too_many");
        }
        self.hosts.sort_by(|a, b| (a.role, &a.point).cmp(&(b.role, &b.point)));
        for (at, host) in self.hosts.iter().enumerate() {
            if self.hosts[..at].iter().any(|earlier| earlier.point == host.point) {
                return wrong("hosts", "duplicate_host");
            }
        }
        if self.hosts.iter().filter(|host| host.role == HostRole::Lead).count() > 1 {
            return wrong("hosts", "duplicate_lead");
        }
        self.appearances.sort_by_key(|appearance| appearance.position);
        Ok(self)
    }
}

/// Checks a link: https or http, no blanks, at most `URL_MAX` bytes. Empty is none.
pub fn url(text: &str, field: &str) -> Result<String, Invalid> {
    let good = text.is_empty()
        || (text.len() <= URL_MAX
            && (text.starts_with("https://") || text.starts_with("http://"))
            && !text.chars().any(|c| c.is_whitespace() || c.is_control()));
    if good { Ok(text.to_owned()) } else { Err(Invalid::new(field, "url_malformed")) }
}

/// Reads the spoken number of an event: `TALK-20`.
pub fn issue(text: &str) -> Option<(&str, u32)> {
    let (series, number) = text.rsplit_once('-')?;
    let number: u32 = number.parse().ok()?;
    (super::series::series_code(series, "id").is_ok() && (1..=ISSUE_MAX).contains(&number))
        .then_some((series, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_move_that_is_not_listed_is_refused() {
        use EventMove::*;
        let moves = [Publish, Reschedule, Postpone, Start, Hold, Archive, Cancel];
        let allowed: Vec<String> = EventState::ALL
            .iter()
            .flat_map(|state| moves.map(|step| (*state, step)))
            .filter_map(|(state, step)| {
                state
                    .after(step)
                    .ok()
                    .map(|next| format!("{} {step:?} {}", state.name(), next.name()))
            })
            .collect();
        assert_eq!(
            allowed,
            [
                "draft Publish published",
                "draft Cancel cancelled",
                "published Reschedule rescheduled",
                "published Postpone postponed",
                "published Start running",
                "published Hold held",
                "published Cancel cancelled",
                "rescheduled Publish published",
                "rescheduled Postpone postponed",
                "rescheduled Start running",
                "rescheduled Hold held",
                "rescheduled Cancel cancelled",
                "postponed Publish published",
                "postponed Cancel cancelled",
                "running Hold held",
                "held Archive archived",
            ]
        );
    }

    #[test]
    fn a_spoken_number_names_series_and_issue() {
        assert_eq!(issue("TALK-20"), Some(("TALK", 20)));
        for bad in ["TALK", "TALK-", "TALK-0", "talk-1", "-1", "TALK--1"] {
            assert_eq!(issue(bad), None, "{bad}");
        }
    }
}
