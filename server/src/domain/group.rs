//! A group of members, a place in it, and how both move on.
//!
//! A place belongs to the home of the member who holds it. Other homes see who that is only with the
//! person's consent; they count every place, distinctly by a token that leads nowhere.

use super::{
    calendar::Date,
    code::named,
    contact::Handle,
    id::{GrantId, MemberId, RecordId},
    language::LocalTexts,
    region::Region,
    text::Invalid,
};

/// Most organisations in one group.
pub const GROUP_ORGS_MAX: usize = 64;
/// Most entries of one rota.
pub const ROTA_MAX: usize = 500;
/// Highest number of a cohort.
pub const COHORT_MAX: u32 = 10_000;

named! {
    /// What sort of group it is.
    GroupKind, "unknown_group_kind";
    Cohort = 1 "cohort",
    Liaison = 2 "liaison",
    Delegation = 3 "delegation",
    Council = 4 "council",
}

impl GroupKind {
    /// What somebody is in such a group for, if nothing else is said.
    pub fn usual_role(self) -> PlaceRole {
        match self {
            GroupKind::Cohort => PlaceRole::KeyContact,
            GroupKind::Liaison => PlaceRole::DutyContact,
            GroupKind::Delegation => PlaceRole::Delegate,
            GroupKind::Council => PlaceRole::CouncilMember,
        }
    }
}

named! {
    /// Where a group stands.
    GroupState, "unknown_group_state";
    Planned = 1 "planned",
    Running = 2 "running",
    Completed = 3 "completed",
    Archived = 4 "archived",
}

impl GroupState {
    /// The only way a group moves on: from each state, where it can go.
    pub fn next(self) -> &'static [GroupState] {
        use GroupState::*;
        match self {
            Planned => &[Running],
            Running => &[Completed, Archived],
            Completed => &[Archived],
            Archived => &[],
        }
    }

    /// A move not listed in `next` is refused, with those that are.
    pub fn moved_to(self, to: GroupState) -> Result<GroupState, Invalid> {
        if self.next().contains(&to) {
            return Ok(to);
        }
        let allowed: Vec<&str> = self.next().iter().map(|state| state.name()).collect();
        Err(refused(self.name(), &allowed))
    }
}

named! {
    /// What somebody is in a group for.
    PlaceRole, "unknown_place_role";
    KeyContact = 1 "key_contact",
    DutyContact = 2 "duty_contact",
    Delegate = 3 "delegate",
    CouncilMember = 4 "council_member",
}

named! {
    /// Where somebody stands in a group.
    PlaceState, "unknown_place_state";
    Enrolled = 1 "enrolled",
    Completed = 2 "completed",
    ActiveContact = 3 "active_contact",
    StoodDown = 4 "stood_down",
    Active = 5 "active",
    Ended = 6 "ended",
}

impl PlaceState {
    /// Where somebody with this role begins.
    pub fn first(role: PlaceRole) -> PlaceState {
        match role {
            PlaceRole::KeyContact => PlaceState::Enrolled,
            PlaceRole::DutyContact | PlaceRole::Delegate | PlaceRole::CouncilMember => {
                PlaceState::Active
            }
        }
    }

    /// The only way somebody moves on in a group.
    pub fn next(self) -> &'static [PlaceState] {
        use PlaceState::*;
        match self {
            Enrolled => &[Completed, StoodDown],
            Completed => &[ActiveContact, StoodDown],
            ActiveContact => &[StoodDown],
            Active => &[Ended],
            StoodDown | Ended => &[],
        }
    }

    /// A move not listed in `next` is refused, with those that are.
    pub fn moved_to(self, to: PlaceState) -> Result<PlaceState, Invalid> {
        if self.next().contains(&to) {
            return Ok(to);
        }
        let allowed: Vec<&str> = self.next().iter().map(|state| state.name()).collect();
        Err(refused(self.name(), &allowed))
    }

    /// Is the place held no longer?
    pub fn is_over(self) -> bool {
        matches!(self, PlaceState::StoodDown | PlaceState::Ended)
    }
}

fn refused(from: &str, allowed: &[&str]) -> Invalid {
    let allowed = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
    Invalid::new("state", "move_refused").hint(format_args!("{from} -> {allowed}"))
}

/// Days on which somebody is on duty for a region.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Duty {
    pub region: Region,
    pub from: Date,
    pub to: Date,
    /// The place of who is on duty.
    pub contact: RecordId,
    pub cover: Option<RecordId>,
}

impl Duty {
    pub fn checked(self) -> Result<Duty, Invalid> {
        if self.to < self.from {
            return Err(Invalid::new("duty.to", "end_before_start"));
        }
        if self.cover == Some(self.contact) {
            return Err(Invalid::new("duty.cover", "is_itself"));
        }
        Ok(self)
    }

    pub fn holds_on(&self, day: Date) -> bool {
        self.from <= day && day <= self.to
    }
}

/// A group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    pub kind: GroupKind,
    /// What a delegation is for; may be empty.
    pub topic: String,
    pub issue_no: Option<u32>,
    pub titles: LocalTexts,
    pub scope_region: Option<Region>,
    pub started_on: Option<Date>,
    pub ended_on: Option<Date>,
    pub state: GroupState,
    pub orgs: Vec<String>,
    pub event: String,
    pub channel: Option<Handle>,
    pub rota: Vec<Duty>,
    pub source: String,
}

impl Group {
    /// What no field can say alone.
    pub fn checked(self) -> Result<Group, Invalid> {
        if self.titles.is_empty() {
            return Err(Invalid::new("titles", "required"));
        }
        if (self.kind == GroupKind::Cohort) != self.issue_no.is_some() {
            return Err(Invalid::new("issue_no", "cohort_needs_number"));
        }
        if let (Some(from), Some(to)) = (self.started_on, self.ended_on)
            && to < from
        {
            return Err(Invalid::new("ended_on", "end_before_start"));
        }
        Ok(self)
    }

    /// How people name a cohort: `COHORT-4`.
    pub fn number(&self) -> Option<String> {
        self.issue_no.map(cohort_number)
    }

    /// Enters a duty in place of what was said for the same region and days.
    pub fn enter_duty(&mut self, duty: Duty) -> Result<(), Invalid> {
        self.rota.retain(|known| {
            known.region != duty.region || known.to < duty.from || duty.to < known.from
        });
        if self.rota.len() >= ROTA_MAX {
            return Err(Invalid::new("duty", "too_many"));
        }
        let place = self.rota.partition_point(|known| {
            (known.region.code(), known.from) < (duty.region.code(), duty.from)
        });
        self.rota.insert(place, duty);
        Ok(())
    }
}

/// How people name the cohort of a number.
pub fn cohort_number(number: u32) -> String {
    format!("COHORT-{number}")
}

/// A place in a group, as the member's home knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    pub group: RecordId,
    /// None once the member is erased.
    pub member: Option<MemberId>,
    /// Stands for the person in counts.
    pub token: [u8; 16],
    pub role: PlaceRole,
    pub state: PlaceState,
    pub from: Option<Date>,
    pub to: Option<Date>,
    pub duty_region: Option<Region>,
    /// The consent that lets other points see who it is.
    pub grant: Option<GrantId>,
    pub display_names: LocalTexts,
    pub source: String,
}

impl Place {
    /// What no field can say alone.
    pub fn checked(self) -> Result<Place, Invalid> {
        if let (Some(from), Some(to)) = (self.from, self.to)
            && to < from
        {
            return Err(Invalid::new("to", "end_before_start"));
        }
        let is_of_a_cohort = self.role == PlaceRole::KeyContact;
        let is_of_others = matches!(self.state, PlaceState::Active | PlaceState::Ended);
        if is_of_a_cohort == is_of_others {
            return Err(Invalid::new("state", "state_of_another_role").hint(self.role.name()));
        }
        if self.duty_region.is_some() && self.role != PlaceRole::DutyContact {
            return Err(Invalid::new("duty_region", "state_of_another_role").hint(self.role.name()));
        }
        Ok(self)
    }

    /// Who has left the association holds it no longer.
    pub fn give_up(&mut self, on: Option<Date>) {
        self.hide();
        if !self.state.is_over() {
            let is_of_a_cohort = self.role == PlaceRole::KeyContact;
            self.state = if is_of_a_cohort { PlaceState::StoodDown } else { PlaceState::Ended };
            self.to = on.max(self.from);
        }
    }

    /// Nobody can tell any more whose place it was; it stays counted.
    pub fn forget(&mut self) {
        self.member = None;
        self.hide();
    }

    /// Other points no longer see who it is.
    pub fn hide(&mut self) {
        self.grant = None;
        self.display_names = LocalTexts::default();
    }
}

/// What other points see of a place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlaceCard {
    pub group: RecordId,
    pub token: [u8; 16],
    pub role: PlaceRole,
    pub state: PlaceState,
    pub from: Option<Date>,
    pub to: Option<Date>,
    pub duty_region: Option<Region>,
    /// Only with consent.
    pub member: Option<MemberId>,
    pub display_names: LocalTexts,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::calendar::date;

    #[test]
    fn a_refused_move_names_those_that_are_allowed() {
        let refused = GroupState::Planned.moved_to(GroupState::Archived).unwrap_err();
        assert_eq!((refused.reason, &*refused.hint), ("move_refused", "planned -> running"));
        let refused = PlaceState::Enrolled.moved_to(PlaceState::ActiveContact).unwrap_err();
        assert_eq!(refused.hint, "enrolled -> completed, stood_down");
        assert!(PlaceState::StoodDown.next().is_empty() && GroupState::Archived.next().is_empty());
        assert_eq!(
            PlaceState::Completed.moved_to(PlaceState::ActiveContact),
            Ok(PlaceState::ActiveContact)
        );
    }

    #[test]
    fn a_later_word_on_the_same_days_takes_the_place_of_the_first() {
        let region = |code| Region::parse(code, "region").unwrap();
        let day = |text| date(text, "day").unwrap();
        let duty = |code, from, to, contact| Duty {
            region: region(code),
            from: day(from),
            to: day(to),
            contact: RecordId([contact; 16]),
            cover: None,
        };
        let mut titles = LocalTexts::default();
        titles.0.push((crate::domain::language::Language::parse("en", "l").unwrap(), "x".into()));
        let mut group = Group {
            kind: GroupKind::Liaison,
            topic: String::new(),
            issue_no: None,
            titles,
            scope_region: None,
            started_on: None,
            ended_on: None,
            state: GroupState::Running,
            orgs: vec![],
            event: String::new(),
            channel: None,
            rota: vec![],
            source: String::new(),
        };
        group.enter_duty(duty("440300", "2023-10-01", "2023-10-07", 1)).unwrap();
        group.enter_duty(duty("440100", "2023-10-01", "2023-10-07", 2)).unwrap();
        group.enter_duty(duty("440300", "2023-10-07", "2023-10-09", 3)).unwrap();
        let entered: Vec<u8> = group.rota.iter().map(|duty| duty.contact.0[0]).collect();
        assert_eq!(entered, [2, 3]);
        assert!(duty("440300", "2023-10-07", "2023-10-01", 1).checked().is_err());
        assert!(Group { issue_no: Some(1), ..group }.checked().is_err());
    }
}
