//! Members, their cards and consents.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use yizhan_proto::v1::{
    self, Availability, FoundMember, MemberRole, grant,
    member::{State, speaker::State as SpeakerState},
    member_copy,
    person_name::{Order, Script},
};

use super::{
    Handle, Texts, day, json as to_json, parse_optional_day, parse_optional_time, time, value_of,
    word,
};
use crate::{
    answer::Column,
    error::{Error, Result},
};

pub const FOUND_COLUMNS: &[Column] =
    &["id", "preferred_name", "home", "city_code", "fields", "expertise", "roles", "audience"];
pub const COPY_COLUMNS: &[Column] = &["point", "audience", "state", "since", "receipt"];
pub const GRANT_COLUMNS: &[Column] = &["id", "purpose", "scope", "state", "given_at", "expires_at"];

#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Name {
    pub script: String,
    pub family: String,
    pub given: String,
    pub full: String,
    pub order: String,
    pub sort_key: String,
}

#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Study {
    pub country: String,
    pub org: String,
    pub from_year: u32,
    pub to_year: u32,
    pub degree_isced: u32,
    pub field_isced_f: String,
    pub institution: String,
    pub subject: String,
}

#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Affiliation {
    pub point: String,
    pub from: Option<String>,
    pub to: Option<String>,
}

/// Part in the speaker pool.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Speaker {
    pub state: String,
    pub source: String,
    pub topics: Vec<String>,
    pub languages: Vec<String>,
    pub availability: String,
    pub nominated_on: Option<String>,
    pub last_contact_on: Option<String>,
    pub last_visit_on: Option<String>,
    pub review_due_on: Option<String>,
}

/// A public office.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Seat {
    pub body: String,
    pub role: String,
    pub term: u32,
    pub from: Option<String>,
    pub to: Option<String>,
    pub is_ended: bool,
    pub source: String,
}

#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Member {
    pub id: String,
    pub home: String,
    pub etag: String,
    pub state: String,
    pub joined_on: Option<String>,
    pub ended_on: Option<String>,
    pub names: Vec<Name>,
    pub preferred_script: String,
    /// Output only: the name in the preferred script.
    pub preferred_name: String,
    /// Output only: a name holds characters that cannot be seen, or looks like a formula.
    pub name_is_flagged: bool,
    pub preferred_language: String,
    pub other_languages: Vec<String>,
    pub city_code: String,
    pub phone: String,
    pub email: String,
    pub handles: Vec<Handle>,
    pub study: Option<Study>,
    pub field_group: String,
    pub expertise: Vec<String>,
    pub employer_org: String,
    pub roles: Vec<String>,
    pub availability: String,
    pub moved_from: String,
    pub moved_on: Option<String>,
    pub biographies: Texts,
    pub further_studies: Vec<Study>,
    pub affiliations: Vec<Affiliation>,
    pub skills: Vec<String>,
    pub speaker: Option<Speaker>,
    pub seats: Vec<Seat>,
    pub source: String,
    pub created_at: Option<String>,
    pub updated_at: Option<String>,
}

impl From<&v1::PersonName> for Name {
    fn from(name: &v1::PersonName) -> Name {
        Name {
            script: script(name.script),
            family: name.family.clone(),
            given: name.given.clone(),
            full: name.full.clone(),
            order: word(name.order, Order::as_str_name, "ORDER_"),
            sort_key: name.sort_key.clone(),
        }
    }
}

impl TryFrom<&Name> for v1::PersonName {
    type Error = Error;

    fn try_from(name: &Name) -> Result<v1::PersonName> {
        Ok(v1::PersonName {
            script: value_of(&name.script, Script::from_str_name, "SCRIPT_", "names.script")?,
            family: name.family.clone(),
            given: name.given.clone(),
            full: name.full.clone(),
            order: value_of(&name.order, Order::from_str_name, "ORDER_", "names.order")?,
            sort_key: name.sort_key.clone(),
        })
    }
}

impl From<&v1::Member> for Member {
    fn from(member: &v1::Member) -> Member {
        Member {
            id: member.id.clone(),
            home: member.home.clone(),
            etag: member.etag.clone(),
            state: word(member.state, State::as_str_name, "STATE_"),
            joined_on: day(member.joined_on.as_ref()),
            ended_on: day(member.ended_on.as_ref()),
            names: member.names.iter().map(Name::from).collect(),
            preferred_script: script(member.preferred_script),
            preferred_name: preferred(&member.names, member.preferred_script),
            name_is_flagged: member.names.iter().any(|name| is_odd(&name.full)),
            preferred_language: member.preferred_language.clone(),
            other_languages: member.other_languages.clone(),
            city_code: member.city_code.clone(),
            phone: member.phone.clone(),
            email: member.email.clone(),
            handles: member.handles.iter().map(Handle::from).collect(),
            study: member.study.as_ref().map(Study::from),
            field_group: member.field_group.clone(),
            expertise: member.expertise.clone(),
            employer_org: member.employer_org.clone(),
            roles: roles(&member.roles),
            availability: availability(member.availability),
            moved_from: member.moved_from.clone(),
            moved_on: day(member.moved_on.as_ref()),
            biographies: (&member.biographies).into(),
            further_studies: member.further_studies.iter().map(Study::from).collect(),
            affiliations: member.affiliations.iter().map(Affiliation::from).collect(),
            skills: member.skills.clone(),
            speaker: member.speaker.as_ref().map(Speaker::from),
            seats: member.seats.iter().map(Seat::from).collect(),
            source: member.source.clone(),
            created_at: time(member.create_time.as_ref()),
            updated_at: time(member.update_time.as_ref()),
        }
    }
}

impl TryFrom<&Member> for v1::Member {
    type Error = Error;

    fn try_from(member: &Member) -> Result<v1::Member> {
        Ok(v1::Member {
            // A move alone counts on.
            home_number: 0,
            state: value_of(&member.state, State::from_str_name, "STATE_", "state")?,
            joined_on: parse_optional_day(&member.joined_on, "joined_on")?,
            ended_on: parse_optional_day(&member.ended_on, "ended_on")?,
            names: member.names.iter().map(v1::PersonName::try_from).collect::<Result<_>>()?,
            preferred_script: value_of(
                &member.preferred_script,
                Script::from_str_name,
                "SCRIPT_",
                "preferred_script",
            )?,
            preferred_language: member.preferred_language.clone(),
            other_languages: member.other_languages.clone(),
            city_code: member.city_code.clone(),
            phone: member.phone.clone(),
            email: member.email.clone(),
            handles: member.handles.iter().map(v1::Handle::from).collect(),
            study: member.study.as_ref().map(v1::member::Study::from),
            field_group: member.field_group.clone(),
            expertise: member.expertise.clone(),
            employer_org: member.employer_org.clone(),
            roles: member.roles.iter().map(|word| role(word)).collect::<Result<_>>()?,
            availability: value_of(
                &member.availability,
                Availability::from_str_name,
                "AVAILABILITY_",
                "availability",
            )?,
            moved_from: member.moved_from.clone(),
            moved_on: parse_optional_day(&member.moved_on, "moved_on")?,
            biographies: (&member.biographies).into(),
            further_studies: member.further_studies.iter().map(Into::into).collect(),
            affiliations: member
                .affiliations
                .iter()
                .map(TryInto::try_into)
                .collect::<Result<_>>()?,
            skills: member.skills.clone(),
            speaker: member.speaker.as_ref().map(TryInto::try_into).transpose()?,
            seats: member.seats.iter().map(TryInto::try_into).collect::<Result<_>>()?,
            source: member.source.clone(),
            create_time: parse_optional_time(&member.created_at, "created_at")?,
            update_time: parse_optional_time(&member.updated_at, "updated_at")?,
            id: member.id.clone(),
            home: member.home.clone(),
            etag: member.etag.clone(),
        })
    }
}

impl From<&v1::member::Study> for Study {
    fn from(study: &v1::member::Study) -> Study {
        Study {
            country: study.country.clone(),
            org: study.org.clone(),
            from_year: study.from_year,
            to_year: study.to_year,
            degree_isced: study.degree_isced,
            field_isced_f: study.field_isced_f.clone(),
            institution: study.institution.clone(),
            subject: study.subject.clone(),
        }
    }
}

impl From<&Study> for v1::member::Study {
    fn from(study: &Study) -> v1::member::Study {
        v1::member::Study {
            country: study.country.clone(),
            org: study.org.clone(),
            from_year: study.from_year,
            to_year: study.to_year,
            degree_isced: study.degree_isced,
            field_isced_f: study.field_isced_f.clone(),
            institution: study.institution.clone(),
            subject: study.subject.clone(),
        }
    }
}

impl From<&v1::member::Affiliation> for Affiliation {
    fn from(at: &v1::member::Affiliation) -> Affiliation {
        let (from, to) = (day(at.from.as_ref()), day(at.to.as_ref()));
        Affiliation { point: at.point.clone(), from, to }
    }
}

impl TryFrom<&Affiliation> for v1::member::Affiliation {
    type Error = Error;

    fn try_from(at: &Affiliation) -> Result<v1::member::Affiliation> {
        Ok(v1::member::Affiliation {
            point: at.point.clone(),
            from: parse_optional_day(&at.from, "affiliations.from")?,
            to: parse_optional_day(&at.to, "affiliations.to")?,
        })
    }
}

impl From<&v1::member::Speaker> for Speaker {
    fn from(speaker: &v1::member::Speaker) -> Speaker {
        Speaker {
            state: word(speaker.state, SpeakerState::as_str_name, "STATE_"),
            source: speaker.source.clone(),
            topics: speaker.topics.clone(),
            languages: speaker.languages.clone(),
            availability: availability(speaker.availability),
            nominated_on: day(speaker.nominated_on.as_ref()),
            last_contact_on: day(speaker.last_contact_on.as_ref()),
            last_visit_on: day(speaker.last_visit_on.as_ref()),
            review_due_on: day(speaker.review_due_on.as_ref()),
        }
    }
}

impl TryFrom<&Speaker> for v1::member::Speaker {
    type Error = Error;

    fn try_from(speaker: &Speaker) -> Result<v1::member::Speaker> {
        let find = SpeakerState::from_str_name;
        Ok(v1::member::Speaker {
            state: value_of(&speaker.state, find, "STATE_", "speaker.state")?,
            source: speaker.source.clone(),
            topics: speaker.topics.clone(),
            languages: speaker.languages.clone(),
            availability: value_of(
                &speaker.availability,
                Availability::from_str_name,
                "AVAILABILITY_",
                "speaker.availability",
            )?,
            nominated_on: parse_optional_day(&speaker.nominated_on, "speaker.nominated_on")?,
            last_contact_on: parse_optional_day(
                &speaker.last_contact_on,
                "speaker.last_contact_on",
            )?,
            last_visit_on: parse_optional_day(&speaker.last_visit_on, "speaker.last_visit_on")?,
            review_due_on: parse_optional_day(&speaker.review_due_on, "speaker.review_due_on")?,
        })
    }
}

impl From<&v1::member::Seat> for Seat {
    fn from(seat: &v1::member::Seat) -> Seat {
        Seat {
            body: seat.body.clone(),
            role: seat.role.clone(),
            term: seat.term,
            from: day(seat.from.as_ref()),
            to: day(seat.to.as_ref()),
            is_ended: seat.is_ended,
            source: seat.source.clone(),
        }
    }
}

impl TryFrom<&Seat> for v1::member::Seat {
    type Error = Error;

    fn try_from(seat: &Seat) -> Result<v1::member::Seat> {
        Ok(v1::member::Seat {
            body: seat.body.clone(),
            role: seat.role.clone(),
            term: seat.term,
            from: parse_optional_day(&seat.from, "seats.from")?,
            to: parse_optional_day(&seat.to, "seats.to")?,
            is_ended: seat.is_ended,
            source: seat.source.clone(),
        })
    }
}

/// Does a name hold zero-width characters or changes of direction, or begin like a formula? It is
/// kept as it was written, and people are told.
fn is_odd(name: &str) -> bool {
    let is_invisible = |c| {
        matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    name.starts_with(['=', '+', '-', '@']) || name.chars().any(is_invisible)
}

/// What a caller may see of a member; `seen` says which of the three it is.
pub fn seen(answer: &v1::GetMemberResponse) -> Value {
    use v1::get_member_response::Seen;
    let mut document = match &answer.seen {
        Some(Seen::Member(member)) => {
            let mut document = to_json(&Member::from(member));
            document["seen"] = "member".into();
            document
        }
        Some(Seen::Card(card)) => json!({
            "seen": "card",
            "names": names(&card.names),
            "preferred_name": preferred(&card.names, card.preferred_script),
            "city_code": card.city_code,
            "fields": card.fields,
            "expertise": card.expertise,
            "languages": card.languages,
            "roles": roles(&card.roles),
            "availability": availability(card.availability),
            "basis": card.basis.as_ref().map(basis),
        }),
        Some(Seen::PublicCard(card)) => json!({
            "seen": "public_card",
            "names": names(&card.names),
            "preferred_name": preferred(&card.names, card.preferred_script),
            "expertise": card.expertise,
            "biographies": Texts::from(&card.biographies),
            "basis": card.basis.as_ref().map(basis),
        }),
        None => json!({"seen": null}),
    };
    document["id"] = answer.id.clone().into();
    document["home"] = answer.home.clone().into();
    document
}

pub fn found(member: &FoundMember) -> Value {
    json!({
        "id": member.id,
        "home": member.home,
        "names": names(&member.names),
        "preferred_name": member.preferred_name,
        "city_code": member.city_code,
        "fields": member.fields,
        "expertise": member.expertise,
        "languages": member.languages,
        "roles": roles(&member.roles),
        "availability": availability(member.availability),
        "audience": member.audience,
    })
}

pub fn grant(grant: &v1::Grant) -> Value {
    json!({
        "id": grant.id,
        "member": grant.member,
        "purpose": grant.purpose,
        "scope": grant.scope,
        "text_version": grant.text_version,
        "text_language": grant.text_language,
        "given_via": word(grant.given_via, grant::Channel::as_str_name, "CHANNEL_"),
        "given_at": time(grant.given_time.as_ref()),
        "expires_at": time(grant.expire_time.as_ref()),
        "state": word(grant.state, grant::State::as_str_name, "STATE_"),
        "ended_at": time(grant.end_time.as_ref()),
        "asserted_by": grant.asserted_by,
        "source": grant.source,
        "text_hash": hex::encode(&grant.text_hash),
        "evidence_hash": hex::encode(&grant.evidence_hash),
    })
}

/// A copy that was sent to one destination.
pub fn transfer(sent: &v1::TransferMemberResponse) -> Value {
    json!({
        "id": sent.id,
        "member": sent.member,
        "to": sent.to,
        "state": word(sent.state, v1::TransferState::as_str_name, "TRANSFER_STATE_"),
        "basis": basis_word(sent.basis),
        "reference": sent.reference,
    })
}

/// As the network's keeper declares it.
fn basis_word(number: i32) -> String {
    match v1::basis::Kind::try_from(number) {
        Ok(v1::basis::Kind::SameJurisdiction) => "domestic".to_owned(),
        _ => word(number, v1::basis::Kind::as_str_name, "KIND_"),
    }
}

pub fn copy(copy: &v1::MemberCopy) -> Value {
    let receipt = (!copy.receipt.is_empty()).then(|| hex::encode(&copy.receipt));
    json!({
        "point": copy.point,
        "audience": copy.audience,
        "state": word(copy.state, member_copy::State::as_str_name, "STATE_"),
        "since": time(copy.since_time.as_ref()),
        "receipt": receipt,
        "purpose": copy.purpose,
        "basis": copy.basis,
        "grant": copy.grant,
    })
}

/// A point that an erasure cannot reach any more.
pub fn exception(exception: &v1::erasure_certificate::Exception) -> Value {
    json!({
        "point": exception.point,
        "reason": exception.reason,
        "since": time(exception.since_time.as_ref()),
    })
}

/// The number of a role's word.
pub fn role(word: &str) -> Result<i32> {
    value_of(word, MemberRole::from_str_name, "MEMBER_ROLE_", "role")
}

/// The number of a channel's word.
pub fn channel(word: &str) -> Result<i32> {
    value_of(word, grant::Channel::from_str_name, "CHANNEL_", "via")
}

fn basis(basis: &v1::ConsentBasis) -> Value {
    json!({
        "purpose": basis.purpose,
        "text_version": basis.text_version,
        "given_at": time(basis.given_time.as_ref()),
        "expires_at": time(basis.expire_time.as_ref()),
    })
}

fn names(names: &[v1::PersonName]) -> Value {
    to_json(&names.iter().map(Name::from).collect::<Vec<_>>())
}

/// The whole name in the preferred script, else the first there is.
fn preferred(names: &[v1::PersonName], script: i32) -> String {
    let preferred = names.iter().find(|name| name.script == script);
    preferred.or(names.first()).map(|name| name.full.clone()).unwrap_or_default()
}

fn script(value: i32) -> String {
    word(value, Script::as_str_name, "SCRIPT_")
}

fn roles(roles: &[i32]) -> Vec<String> {
    roles.iter().map(|role| word(*role, MemberRole::as_str_name, "MEMBER_ROLE_")).collect()
}

fn availability(value: i32) -> String {
    word(value, Availability::as_str_name, "AVAILABILITY_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_survives_its_document() {
        let message = v1::Member {
            id: "x".into(),
            state: State::Active.into(),
            names: vec![v1::PersonName {
                script: Script::Hans.into(),
                family: "欧阳".into(),
                given: "若晴".into(),
                full: "欧阳若晴".into(),
                order: Order::FamilyFirst.into(),
                sort_key: "ouyang ruoqing".into(),
            }],
            preferred_script: Script::Hans.into(),
            roles: vec![MemberRole::KeyContact.into()],
            study: Some(v1::member::Study { country: "GB".into(), ..Default::default() }),
            create_time: Some(prost_types::Timestamp { seconds: 1, nanos: 500_000_000 }),
            ..v1::Member::default()
        };
        let document = Member::from(&message);
        assert_eq!(document.preferred_name, "欧阳若晴");
        assert_eq!(document.roles, ["key_contact"]);
        let read: Member = super::super::read(to_json(&document)).unwrap();
        assert_eq!(v1::Member::try_from(&read).unwrap(), message);
    }

    #[test]
    fn a_mistyped_key_is_refused() {
        let error = super::super::read::<Member>(json!({"fone": "1"})).unwrap_err();
        assert!(error.message.contains("fone"), "{}", error.message);
    }
}
