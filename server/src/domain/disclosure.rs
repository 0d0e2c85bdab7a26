//! What others may see of a home record: cut down by the person's consents, and by nothing else.
//!
//! Pure: the same member, grants and moment give the same records on every run, so a card is never
//! newer or wider than what it rests on.

use super::{
    audience::Audience,
    event::{Event, EventPlan, HostState},
    grant::{Grant, Purpose, Scope},
    group::{Place, PlaceCard},
    id::PointCode,
    language::{Language, LocalTexts},
    member::{Availability, FieldGroup, Member, Roles},
    name::Names,
    region::Region,
    time::Time,
};
use crate::planted::{self, Fault};

/// On what a disclosed record rests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsentBasis {
    pub purpose: Purpose,
    pub text_version: String,
    pub given_time: Time,
    pub expire_time: Option<Time>,
}

impl ConsentBasis {
    pub fn of(grant: &Grant) -> ConsentBasis {
        ConsentBasis {
            purpose: grant.purpose,
            text_version: grant.text_version.clone(),
            given_time: grant.given_time,
            expire_time: grant.expire_time,
        }
    }
}

/// What a member lets other points see. No phone, mail, handle, study record or employer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Card {
    pub names: Names,
    pub city: Region,
    pub fields: Vec<FieldGroup>,
    pub expertise: Vec<String>,
    /// Preferred first.
    pub languages: Vec<Language>,
    pub roles: Roles,
    pub availability: Option<Availability>,
    pub basis: ConsentBasis,
    pub home_number: u32,
    /// The home before this one.
    pub former_home: Option<PointCode>,
}

/// What a member lets anybody see.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicCard {
    pub names: Names,
    pub expertise: Vec<String>,
    pub biographies: LocalTexts,
    pub basis: ConsentBasis,
    pub home_number: u32,
    /// The home before this one.
    pub former_home: Option<PointCode>,
}

/// Everything that is to exist of a member beside the home record.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Disclosed {
    /// Lies in `network` or `domestic`, in one of the two only.
    pub card: Option<(Audience, Card)>,
    /// Lies in `public`.
    pub public_card: Option<PublicCard>,
}

/// What rests on a member's consents at a moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Bases {
    pub card: Option<(Audience, ConsentBasis)>,
    pub public_card: Option<ConsentBasis>,
}

/// The bases that a member's grants give.
pub fn bases<'a>(grants: impl IntoIterator<Item = &'a Grant>, now: Time) -> Bases {
    let mut bases = Bases::default();
    grants.into_iter().for_each(|grant| bases.add(grant, now));
    bases
}

impl Bases {
    /// Of several consents that hold the widest is taken, then the one given last.
    pub fn add(&mut self, grant: &Grant, now: Time) {
        if !counts(grant, now) {
            return;
        }
        match (grant.purpose, &grant.scope) {
            (Purpose::ProfileNetwork, Scope::Unlimited) => {
                self.add_card(Audience::Network, ConsentBasis::of(grant));
            }
            (Purpose::ProfileNetwork, Scope::Domestic) => {
                self.add_card(Audience::Domestic, ConsentBasis::of(grant));
            }
            (Purpose::ProfilePublic, Scope::Unlimited) => self.add_public(ConsentBasis::of(grant)),
            // Limited to something else, it is no basis for a card.
            _ => (),
        }
    }

    fn add_card(&mut self, audience: Audience, basis: ConsentBasis) {
        let rank = |audience: Audience, basis: &ConsentBasis| (audience, basis.given_time);
        let known = self.card.as_ref().map(|(audience, basis)| rank(*audience, basis));
        if known.is_none_or(|known| known < rank(audience, &basis)) {
            self.card = Some((audience, basis));
        }
    }

    fn add_public(&mut self, basis: ConsentBasis) {
        if self.public_card.as_ref().is_none_or(|known| known.given_time < basis.given_time) {
            self.public_card = Some(basis);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.card.is_none() && self.public_card.is_none()
    }
}

/// Does anything rest on this consent at the moment?
pub fn counts(grant: &Grant, now: Time) -> bool {
    grant.holds_at(now) || planted::is(Fault::CountWithdrawn)
}

/// Everything that is to exist of a member beside the home record. What is not in the answer must
/// not exist: the caller removes it.
pub fn member<'a>(
    member: &Member,
    grants: impl IntoIterator<Item = &'a Grant>,
    now: Time,
) -> Disclosed {
    if !member.state.is_disclosable() {
        return Disclosed::default();
    }
    let bases = bases(grants, now);
    Disclosed {
        card: bases.card.map(|(audience, basis)| (audience, card(member, basis))),
        public_card: bases.public_card.map(|basis| public_card(member, basis)),
    }
}

/// The card of a member on a basis that the caller found.
pub fn card(member: &Member, basis: ConsentBasis) -> Card {
    let mut languages = vec![member.preferred_language.clone()];
    languages.extend(
        member.other_languages.iter().filter(|one| **one != member.preferred_language).cloned(),
    );
    Card {
        names: member.names.clone(),
        city: member.city,
        fields: member.field_group.into_iter().collect(),
        expertise: expertise(member),
        languages,
        roles: member.roles,
        availability: member.availability,
        basis,
        home_number: member.home_number,
        former_home: member.former_home(),
    }
}

fn expertise(member: &Member) -> Vec<String> {
    if planted::is(Fault::DiscloseHomeFields) {
        return vec![member.employer_org.clone()];
    }
    member.expertise.clone()
}

/// The public card of a member on a basis that the caller found.
pub fn public_card(member: &Member, basis: ConsentBasis) -> PublicCard {
    PublicCard {
        names: member.names.clone(),
        expertise: member.expertise.clone(),
        biographies: member.biographies.clone(),
        basis,
        home_number: member.home_number,
        former_home: member.former_home(),
    }
}

/// What anybody may know of an event. A draft is nobody's business; a co-host is shown once it has
/// accepted; a speaker's name is shown with a release, and who the speaker is never.
pub fn event(plan: &EventPlan) -> Option<Event> {
    if !plan.event.state.is_public() {
        return None;
    }
    let mut event = plan.event.clone();
    event.hosts.retain(|host| host.state == HostState::Accepted);
    for appearance in &mut event.appearances {
        if appearance.release.is_none() {
            appearance.display_names = LocalTexts::default();
        }
        appearance.member = None;
        appearance.release = None;
        appearance.home = None;
        appearance.source.clear();
    }
    Some(event)
}

/// What other points may know of a place in a group: who it is only with consent.
pub fn place(place: &Place) -> PlaceCard {
    let is_shown = place.grant.is_some();
    PlaceCard {
        group: place.group,
        token: place.token,
        role: place.role,
        state: place.state,
        from: place.from,
        to: place.to,
        duty_region: place.duty_region,
        member: place.member.filter(|_| is_shown),
        display_names: if is_shown { place.display_names.clone() } else { LocalTexts::default() },
    }
}

/// When the answer of `member` changes next though nothing is written: the earliest expiry of a
/// consent that holds, for a job to look again.
pub fn next_change<'a>(grants: impl IntoIterator<Item = &'a Grant>, now: Time) -> Option<Time> {
    grants
        .into_iter()
        .filter(|grant| matches!(grant.purpose, Purpose::ProfileNetwork | Purpose::ProfilePublic))
        .filter(|grant| grant.holds_at(now))
        .filter_map(|grant| grant.expire_time)
        .min()
}
