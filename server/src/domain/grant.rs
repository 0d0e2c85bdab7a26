//! Consents: what a person allows, for what, since when.
//!
//! None is given by default, and no service is refused for want of one.

use super::{
    code::named,
    id::{MemberId, PointCode},
    language::Language,
    text::{Invalid, ways_of},
    time::Time,
};

/// Longest scope, in bytes.
pub const SCOPE_MAX: usize = 64;
/// Longest version of a consent text, in bytes.
pub const TEXT_VERSION_MAX: usize = 32;

named! {
    /// The ten things a person can allow. Numbers are ours; none is on the wire.
    Purpose, "unknown_purpose";
    ProfileNetwork = 1 "profile.network",
    ProfilePublic = 2 "profile.public",
    ContactByPoints = 3 "contact.by_points",
    ContactByMembers = 4 "contact.by_members",
    EventAttendeeList = 5 "event.attendee_list",
    MediaRelease = 6 "media.release",
    BoardListing = 7 "board.listing",
    HelpHandoff = 8 "help.handoff",
    TransferTo = 9 "transfer.to",
    StatsNamed = 10 "stats.named",
}

named! {
    /// How a consent reached us.
    GivenVia, "unknown_channel";
    Web = 1 "web",
    Desk = 2 "desk",
    Paper = 3 "paper",
}

named! {
    /// Where a consent stands.
    GrantState, "unknown_grant_state";
    Given = 1 "given",
    Withdrawn = 2 "withdrawn",
    Expired = 3 "expired",
    Superseded = 4 "superseded",
}

impl GrantState {
    /// A consent ends once, and never comes back; a new one is another record.
    pub fn ended_as(self, end: GrantState) -> Result<GrantState, Invalid> {
        use GrantState::*;
        match (self, end) {
            (Given, Withdrawn | Expired | Superseded) => Ok(end),
            (Given, Given) => {
                let ends = [Withdrawn, Expired, Superseded].map(GrantState::name);
                Err(Invalid::new("state", "move_refused").hint(ways_of(self.name(), ends)))
            }
            _ => Err(Invalid::new("state", "move_refused").hint(ways_of(self.name(), []))),
        }
    }
}

/// What a consent is limited to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Scope {
    Unlimited,
    /// Points of the home's jurisdiction only.
    Domestic,
    /// A point: the destination of `transfer.to`.
    Point(PointCode),
    /// An event, by its record id or the name of its source row.
    Event(String),
}

impl Scope {
    pub fn parse(purpose: Purpose, text: &str, field: &str) -> Result<Scope, Invalid> {
        match (purpose, text) {
            (Purpose::TransferTo, code) => {
                code.parse().map(Scope::Point).map_err(|_| Invalid::new(field, "not_a_point_code"))
            }
            (_, "") => Ok(Scope::Unlimited),
            (_, "domestic") => Ok(Scope::Domestic),
            (_, event)
                if event.len() <= SCOPE_MAX && event.bytes().all(|b| b.is_ascii_graphic()) =>
            {
                Ok(Scope::Event(event.to_owned()))
            }
            _ => Err(Invalid::new(field, "scope_malformed")),
        }
    }

    pub fn as_str(&self) -> &str {
        match self {
            Scope::Unlimited => "",
            Scope::Domestic => "domestic",
            Scope::Point(code) => code.as_str(),
            Scope::Event(event) => event,
        }
    }
}

/// A consent of a member. Never leaves home.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    pub member: MemberId,
    pub purpose: Purpose,
    pub scope: Scope,
    pub text_version: String,
    pub text_language: Language,
    pub given_via: GivenVia,
    pub given_time: Time,
    pub expire_time: Option<Time>,
    pub state: GrantState,
    pub end_time: Option<Time>,
    /// The point that states it for the person; paper only.
    pub asserted_by: Option<PointCode>,
    pub source: String,
    /// SHA-256 of the text that was agreed to.
    pub text_hash: Option<[u8; 32]>,
    /// SHA-256 of what proves it. Never leaves home, as the whole consent.
    pub evidence_hash: Option<[u8; 32]>,
}

impl Grant {
    /// What no field can say alone.
    pub fn checked(self) -> Result<Grant, Invalid> {
        let wrong = |field, reason| Err(Invalid::new(field, reason));
        if self.expire_time.is_some_and(|expires| expires <= self.given_time) {
            return wrong("expires_at", "end_before_start");
        }
        if self.end_time.is_some_and(|ended| ended < self.given_time) {
            return wrong("ended_at", "end_before_start");
        }
        if self.state == GrantState::Withdrawn && self.end_time.is_none() {
            return wrong("ended_at", "required");
        }
        if (self.given_via == GivenVia::Paper) != self.asserted_by.is_some() {
            return wrong("asserted_by", "paper_needs_a_point");
        }
        Ok(self)
    }

    /// The consent as it stands at the moment: one whose time is over has expired.
    pub fn settled_at(mut self, now: Time) -> Grant {
        if let Some(ends) = self.expire_time
            && ends <= now
            && self.state == GrantState::Given
        {
            self.state = GrantState::Expired;
            self.end_time = Some(ends.max(self.given_time));
        }
        self
    }

    /// Does it hold at the moment? One given later than now does not hold yet.
    pub fn holds_at(&self, now: Time) -> bool {
        self.state == GrantState::Given
            && self.given_time <= now
            && self.expire_time.is_none_or(|expires| now < expires)
    }
}

/// Nobody is asked again for what was withdrawn before this has passed: 30 days.
pub const REASK_AFTER_US: i64 = 30 * 24 * 60 * 60 * 1_000_000;

/// Was this withdrawn so recently that nobody may ask for it again?
pub fn is_withdrawn_lately(earlier: &Grant, purpose: Purpose, scope: &Scope, now: Time) -> bool {
    is_withdrawal(earlier, purpose, scope)
        && earlier.end_time.is_some_and(|end| now.0.saturating_sub(end.0) < REASK_AFTER_US)
}

/// Was this taken back? Who takes a profile back, or what had no limits, is not asked for a narrower one.
fn is_withdrawal(earlier: &Grant, purpose: Purpose, scope: &Scope) -> bool {
    let is_of_any_scope = matches!(purpose, Purpose::ProfileNetwork | Purpose::ProfilePublic)
        || earlier.scope == Scope::Unlimited;
    earlier.state == GrantState::Withdrawn
        && earlier.purpose == purpose
        && (is_of_any_scope || earlier.scope == *scope)
}

/// Refuses a consent that a list states, if the person has taken back the same since, or lately:
/// nobody has asked the person again.
pub fn check_listed<'a>(
    listed: &Grant,
    earlier: impl IntoIterator<Item = &'a Grant>,
    now: Time,
) -> Result<(), Invalid> {
    let Grant { purpose, scope, .. } = listed;
    for known in earlier.into_iter().filter(|known| is_withdrawal(known, *purpose, scope)) {
        if known.end_time.is_some_and(|end| listed.given_time <= end) {
            return Err(Invalid::new("given_at", "withdrawn_since"));
        }
        if is_withdrawn_lately(known, *purpose, scope, now) {
            return Err(Invalid::new("given_at", "withdrawn_lately"));
        }
    }
    Ok(())
}

/// Checks the version of a consent text.
pub fn text_version(text: &str, field: &str) -> Result<String, Invalid> {
    let good = (1..=TEXT_VERSION_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    if good { Ok(text.to_owned()) } else { Err(Invalid::new(field, "text_version_malformed")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn grant() -> Grant {
        Grant {
            member: MemberId([1; 16]),
            purpose: Purpose::ProfileNetwork,
            scope: Scope::Unlimited,
            text_version: "v2".into(),
            text_language: Language::parse("zh-Hans", "lang").unwrap(),
            given_via: GivenVia::Web,
            given_time: Time(1_000),
            expire_time: None,
            state: GrantState::Given,
            end_time: None,
            asserted_by: None,
            source: String::new(),
            text_hash: None,
            evidence_hash: None,
        }
    }

    #[test]
    fn a_consent_holds_from_when_it_was_given_until_it_ends() {
        assert!(grant().holds_at(Time(1_000)));
        assert!(!grant().holds_at(Time(999)));
        assert!(!Grant { expire_time: Some(Time(2_000)), ..grant() }.holds_at(Time(2_000)));
        assert!(!Grant { state: GrantState::Withdrawn, ..grant() }.holds_at(Time(1_500)));
    }

    #[test]
    fn a_consent_whose_time_is_over_has_expired_by_itself() {
        let limited = Grant { expire_time: Some(Time(2_000)), ..grant() };
        assert_eq!(limited.clone().settled_at(Time(1_999)), limited);
        let expired = limited.clone().settled_at(Time(5_000));
        assert_eq!((expired.state, expired.end_time), (GrantState::Expired, Some(Time(2_000))));
        assert_eq!(expired.clone().settled_at(Time(9_000)), expired, "once and for all");
        let withdrawn = Grant { state: GrantState::Withdrawn, ..limited };
        assert_eq!(withdrawn.clone().settled_at(Time(5_000)), withdrawn);
    }

    #[test]
    fn what_was_taken_back_is_not_asked_for_again_in_a_narrower_way() {
        let end = Time(1_000_000);
        let withdrawn = Grant { state: GrantState::Withdrawn, end_time: Some(end), ..grant() };
        let lately =
            |purpose, scope: &Scope, now| is_withdrawn_lately(&withdrawn, purpose, scope, now);
        let soon = Time(end.0 + REASK_AFTER_US - 1);
        assert!(lately(Purpose::ProfileNetwork, &Scope::Unlimited, soon));
        assert!(lately(Purpose::ProfileNetwork, &Scope::Domestic, soon));
        assert!(!lately(Purpose::ProfileNetwork, &Scope::Domestic, Time(soon.0 + 1)));
        assert!(!lately(Purpose::ProfilePublic, &Scope::Unlimited, soon));
        let of_an_event = Grant {
            purpose: Purpose::MediaRelease,
            scope: Scope::Event("E-1".into()),
            ..withdrawn.clone()
        };
        let release = Purpose::MediaRelease;
        assert!(!is_withdrawn_lately(&of_an_event, release, &Scope::Event("E-2".into()), soon));
    }

    #[test]
    fn a_list_brings_back_nothing_that_was_withdrawn() {
        let end = Time(1_000_000);
        let withdrawn = Grant { state: GrantState::Withdrawn, end_time: Some(end), ..grant() };
        let late = Time(end.0 + REASK_AFTER_US);
        let check = |given: i64, now| {
            let listed = Grant { given_time: Time(given), scope: Scope::Domestic, ..grant() };
            check_listed(&listed, [&withdrawn], now).map_err(|invalid| invalid.reason)
        };
        assert_eq!(check(end.0, late), Err("withdrawn_since"));
        assert_eq!(check(end.0 + 1, Time(late.0 - 1)), Err("withdrawn_lately"));
        assert_eq!(check(end.0 + 1, late), Ok(()));
        let superseded = Grant { state: GrantState::Superseded, ..withdrawn.clone() };
        assert_eq!(check_listed(&grant(), [&superseded], late), Ok(()));
    }

    #[test]
    fn a_consent_ends_once() {
        assert!(GrantState::Given.ended_as(GrantState::Withdrawn).is_ok());
        assert!(GrantState::Withdrawn.ended_as(GrantState::Expired).is_err());
        assert!(GrantState::Given.ended_as(GrantState::Given).is_err());
    }

    #[test]
    fn a_transfer_names_its_destination() {
        assert!(Scope::parse(Purpose::TransferTo, "", "scope").is_err());
        assert_eq!(Scope::parse(Purpose::TransferTo, "HK", "scope").unwrap().as_str(), "HK");
        assert_eq!(Scope::parse(Purpose::ProfileNetwork, "domestic", "scope"), Ok(Scope::Domestic));
    }
}
