//! A member: what the home point knows, and where a membership stands.

use super::{
    calendar::Date,
    code::named,
    contact::{Email, Handle, Phone},
    id::PointCode,
    language::{Language, LocalTexts},
    name::Names,
    region::{Level, Region},
    speaker::{Seat, Speaker, SpeakerState},
    text::{Invalid, ways_of},
    time::Time,
};

pub const EXPERTISE_MAX: usize = 32;
/// Most studies besides the one that counts most.
pub const STUDIES_MAX: usize = 16;
/// Most points that somebody belongs with besides the home.
pub const AFFILIATIONS_MAX: usize = 16;
pub const SKILLS_MAX: usize = 32;
/// Longest line of skills, in characters.
pub const SKILL_MAX: usize = 100;
/// Longest biography, in characters.
pub const BIOGRAPHY_MAX: usize = 8_000;

named! {
    /// Where a membership stands. An erased member is no member any more, but a tombstone.
    MemberState, "unknown_member_state";
    Applied = 1 "applied",
    Active = 2 "active",
    Resting = 3 "resting",
    Left = 4 "left",
    Moving = 5 "moving",
}

/// What can happen to a membership.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemberMove {
    Admit,
    Rest,
    Resume,
    Leave,
    /// Offered to another home, and taken back or refused there.
    OfferAway,
    StayHere,
}

impl MemberState {
    /// The only way a membership moves on. A move not listed here is refused, with where it could go.
    pub fn after(self, step: MemberMove) -> Result<MemberState, Invalid> {
        use {MemberMove::*, MemberState::*};
        match (self, step) {
            (Applied, Admit) => Ok(Active),
            (Active, Rest) => Ok(Resting),
            (Resting, Resume) => Ok(Active),
            (Applied | Active | Resting, Leave) => Ok(Left),
            (Active | Resting, OfferAway) => Ok(Moving),
            (Moving, StayHere) => Ok(Active),
            _ => Err(Invalid::new("state", "move_refused").hint(self.ways())),
        }
    }

    /// What a change of the record, or a file, may lead to: one move of the table, or none. Moving
    /// home is agreed upon, and neither begins nor ends by it.
    pub fn moved_to(self, to: MemberState) -> Result<MemberState, Invalid> {
        use MemberMove::*;
        let steps = [Admit, Rest, Resume, Leave];
        let ways: Vec<MemberState> =
            steps.into_iter().filter_map(|step| self.after(step).ok()).collect();
        if self == to || ways.contains(&to) {
            return Ok(to);
        }
        let ways = ways_of(self.name(), ways.into_iter().map(MemberState::name));
        Err(Invalid::new("state", "move_refused").hint(ways))
    }

    /// Where the state can go from here, for people.
    pub fn ways(self) -> &'static str {
        match self {
            MemberState::Applied => "applied -> active, left",
            MemberState::Active => "active -> resting, left",
            MemberState::Resting => "resting -> active, left",
            MemberState::Moving => "moving -> active",
            MemberState::Left => "left -> none",
        }
    }

    /// May cards of such a member exist at all?
    pub fn is_disclosable(self) -> bool {
        match self {
            MemberState::Active | MemberState::Resting | MemberState::Moving => true,
            MemberState::Applied | MemberState::Left => false,
        }
    }
}

named! {
    /// What a member does for the network.
    Role, "unknown_role";
    Speaker = 1 "speaker",
    KeyContact = 2 "key_contact",
    SeatHolder = 3 "seat_holder",
    Expert = 4 "expert",
    Volunteer = 5 "volunteer",
}

/// A set of roles.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Roles(u8);

impl Roles {
    pub fn add(&mut self, role: Role) {
        self.0 |= 1 << role as u8;
    }

    pub fn set(&mut self, role: Role, is_held: bool) {
        self.0 = self.0 & !(1 << role as u8) | u8::from(is_held) << role as u8;
    }

    pub fn has(self, role: Role) -> bool {
        self.0 & (1 << role as u8) != 0
    }

    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.iter().copied().filter(move |role| self.has(*role))
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Roles {
        let mut set = Roles::default();
        roles.into_iter().for_each(|role| set.add(role));
        set
    }
}

named! {
    /// When a member can help.
    Availability, "unknown_availability";
    WeekdayEvenings = 1 "weekday_evenings",
    Weekends = 2 "weekends",
    OnlineOnly = 3 "online_only",
    ByArrangement = 4 "by_arrangement",
}

named! {
    /// Broad group of a field of study. Numbers are ours; none is on the wire.
    FieldGroup, "unknown_field_group";
    Engineering = 1 "engineering",
    BusinessLaw = 2 "business_law",
    ArtsEducation = 3 "arts_education",
    Ict = 4 "ict",
    NaturalScience = 5 "natural_science",
    Health = 6 "health",
}

impl FieldGroup {
    /// The broad fields of ISCED-F 2013 that the group stands for.
    pub fn isced_broad(self) -> &'static [&'static str] {
        match self {
            FieldGroup::Engineering => &["07"],
            FieldGroup::BusinessLaw => &["04"],
            FieldGroup::ArtsEducation => &["01", "02"],
            FieldGroup::Ict => &["06"],
            FieldGroup::NaturalScience => &["05"],
            FieldGroup::Health => &["09"],
        }
    }
}

/// Studies abroad. Home class, all of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Study {
    pub country: Option<Region>,
    /// Source id of the institution; empty if not known.
    pub org: String,
    pub from_year: Option<u16>,
    pub to_year: Option<u16>,
    /// ISCED 2011, 6 to 8.
    pub degree: Option<u8>,
    /// ISCED-F 2013, two to four digits; empty if not known.
    pub field: String,
    /// As the person writes them, where no code is known.
    pub institution: String,
    pub subject: String,
}

/// A point that somebody belongs with besides the home.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Affiliation {
    pub point: PointCode,
    pub from: Option<Date>,
    pub to: Option<Date>,
}

impl Study {
    /// Years in which somebody who lives may have studied.
    pub const YEARS: std::ops::RangeInclusive<u16> = 1900..=2100;

    pub fn checked(self) -> Result<Option<Study>, Invalid> {
        let wrong = |field, reason| Err(Invalid::new(field, reason));
        if self.country.is_some_and(|country| country.entry().level != Level::Area) {
            return wrong("study_country", "not_a_country");
        }
        for (year, field) in [(self.from_year, "study_from"), (self.to_year, "study_to")] {
            if year.is_some_and(|year| !Study::YEARS.contains(&year)) {
                return wrong(field, "year_out_of_range");
            }
        }
        if let (Some(from), Some(to)) = (self.from_year, self.to_year)
            && to < from
        {
            return wrong("study_to", "end_before_start");
        }
        if self.degree.is_some_and(|degree| !(6..=8).contains(&degree)) {
            return wrong("degree_isced", "unknown_degree");
        }
        let digits = self.field.bytes().all(|byte| byte.is_ascii_digit());
        if !self.field.is_empty() && (!digits || !(2..=4).contains(&self.field.len())) {
            return wrong("field_isced_f", "unknown_field_of_study");
        }
        let nothing = self.country.is_none()
            && self.org.is_empty()
            && (self.from_year, self.to_year, self.degree) == (None, None, None)
            && [&self.field, &self.institution, &self.subject].iter().all(|text| text.is_empty());
        Ok((!nothing).then_some(self))
    }
}

/// A member with everything the home point knows. Never leaves home.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    pub state: MemberState,
    pub joined_on: Option<Date>,
    pub ended_on: Option<Date>,
    pub names: Names,
    pub preferred_language: Language,
    pub other_languages: Vec<Language>,
    /// Prefecture, HK, MO, country or city abroad.
    pub city: Region,
    pub phone: Option<Phone>,
    pub email: Option<Email>,
    pub handles: Vec<Handle>,
    pub study: Option<Study>,
    pub field_group: Option<FieldGroup>,
    pub expertise: Vec<String>,
    /// Source id of the employer; empty if not known.
    pub employer_org: String,
    pub roles: Roles,
    pub availability: Option<Availability>,
    pub moved_from: Option<PointCode>,
    pub moved_on: Option<Date>,
    pub biographies: LocalTexts,
    pub further_studies: Vec<Study>,
    pub affiliations: Vec<Affiliation>,
    /// What the person knows, in own words.
    pub skills: Vec<String>,
    pub speaker: Option<Speaker>,
    pub seats: Vec<Seat>,
    pub source: String,
    /// Homes of one person are numbered from 0.
    pub home_number: u32,
    pub create_time: Time,
    pub update_time: Time,
}

impl Member {
    /// The home that let go of the person for this one; what a file says of earlier days is none.
    pub fn former_home(&self) -> Option<PointCode> {
        self.moved_from.clone().filter(|_| self.home_number > 0)
    }

    /// What no field can say alone.
    pub fn checked(mut self) -> Result<Member, Invalid> {
        for (at, affiliation) in self.affiliations.iter().enumerate() {
            if let (Some(from), Some(to)) = (affiliation.from, affiliation.to)
                && to < from
            {
                return Err(Invalid::new("affiliations", "end_before_start"));
            }
            if self.affiliations[..at].iter().any(|known| known.point == affiliation.point) {
                return Err(Invalid::new("affiliations", "twice"));
            }
        }
        // Who is in the pool, and who holds a seat, says so by role: that is what is disclosed.
        if let Some(speaker) = &self.speaker {
            self.roles.set(Role::Speaker, speaker.state == SpeakerState::Active);
        }
        if !self.seats.is_empty() {
            let is_held = self.seats.iter().any(|seat| !seat.is_ended);
            self.roles.set(Role::SeatHolder, is_held);
        }
        if self.state == MemberState::Left && self.ended_on.is_none() {
            return Err(Invalid::new("ended_on", "required"));
        }
        if let (Some(joined), Some(ended)) = (self.joined_on, self.ended_on)
            && ended < joined
        {
            return Err(Invalid::new("ended_on", "end_before_start"));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_comes_back_from_having_left() {
        use MemberMove::*;
        for step in [Admit, Rest, Resume, Leave, OfferAway, StayHere] {
            assert!(MemberState::Left.after(step).is_err(), "{step:?}");
        }
    }

    #[test]
    fn a_record_that_is_changed_moves_by_one_step_and_a_move_between_homes_is_none() {
        use MemberState::*;
        assert_eq!(Applied.moved_to(Active), Ok(Active));
        assert_eq!(Moving.moved_to(Moving), Ok(Moving));
        for (from, to, ways) in [
            (Left, Active, "left -> none"),
            (Moving, Active, "moving -> none"),
            (Active, Moving, "active -> resting, left"),
            (Applied, Resting, "applied -> active, left"),
        ] {
            let refused = from.moved_to(to).unwrap_err();
            assert_eq!((refused.reason, &*refused.hint), ("move_refused", ways));
        }
    }

    #[test]
    fn an_applicant_is_not_disclosed() {
        assert!(!MemberState::Applied.is_disclosable());
        assert!(MemberState::Resting.is_disclosable());
    }

    #[test]
    fn roles_are_a_set() {
        let roles: Roles = [Role::Speaker, Role::Expert, Role::Speaker].into_iter().collect();
        assert_eq!(roles.iter().collect::<Vec<_>>(), [Role::Speaker, Role::Expert]);
    }
}
