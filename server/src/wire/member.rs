//! A member and the two cards: `v1::Member` <-> `Member`, `v1::Card` <-> `Card`,
//! `v1::PublicCard` <-> `PublicCard`. Output-only fields are not read.

use prost::Message;
use yizhan_proto::v1;

use super::speaker::{
    affiliation, affiliation_message, seat, seat_message, speaker, speaker_message,
};
use super::value::{
    at_most, date, date_message, handles, handles_message, languages_message, optional,
    optional_point, point_message, required, texts, texts_message, time, time_message,
};
use crate::domain::{
    code::{codes, source},
    contact::{Email, Phone},
    disclosure::{Card, PublicCard},
    id::PointCode,
    kind::Kind,
    language::{Language, languages},
    member::{
        AFFILIATIONS_MAX, Availability, BIOGRAPHY_MAX, EXPERTISE_MAX, FieldGroup, Member,
        MemberState, Role, Roles, SKILL_MAX, SKILLS_MAX, STUDIES_MAX, Study,
    },
    name::{NAMES_MAX, Name, Names, Order, Script},
    region::Region,
    speaker::SEATS_MAX,
    text::{Invalid, LINE_MAX, line},
};

impl TryFrom<v1::Member> for Member {
    type Error = Invalid;

    fn try_from(member: v1::Member) -> Result<Member, Invalid> {
        let created = required(member.create_time, "create_time")?;
        let updated = required(member.update_time, "update_time")?;
        at_most(&member.further_studies, STUDIES_MAX, "further_studies")?;
        at_most(&member.affiliations, AFFILIATIONS_MAX, "affiliations")?;
        at_most(&member.skills, SKILLS_MAX, "skills")?;
        at_most(&member.seats, SEATS_MAX, "seats")?;
        Member {
            state: MemberState::from_number(member.state, "state")?,
            joined_on: date(member.joined_on, "joined_on")?,
            ended_on: date(member.ended_on, "ended_on")?,
            names: names(member.names, member.preferred_script)?,
            preferred_language: Language::parse(&member.preferred_language, "preferred_language")?,
            other_languages: languages(strings(&member.other_languages), "other_languages")?,
            city: city(&member.city_code)?,
            phone: optional(&member.phone, |text| Phone::parse(text, "phone"))?,
            email: optional(&member.email, |text| Email::parse(text, "email"))?,
            handles: handles(member.handles, "handles")?,
            study: member.study.map(study).transpose()?.flatten(),
            field_group: optional(&member.field_group, |text| {
                FieldGroup::parse(text, "field_group")
            })?,
            expertise: codes(strings(&member.expertise), "expertise", EXPERTISE_MAX)?,
            employer_org: source(&member.employer_org, "employer_org")?,
            roles: roles(&member.roles)?,
            availability: availability(member.availability)?,
            moved_from: optional_point(&member.moved_from, "moved_from")?,
            moved_on: date(member.moved_on, "moved_on")?,
            biographies: texts(member.biographies, "biographies", BIOGRAPHY_MAX)?,
            further_studies: member
                .further_studies
                .into_iter()
                .filter_map(|one| study(one).transpose())
                .collect::<Result<_, _>>()?,
            affiliations: member
                .affiliations
                .into_iter()
                .map(affiliation)
                .collect::<Result<_, _>>()?,
            skills: member
                .skills
                .iter()
                .map(|text| line(text, "skills", SKILL_MAX))
                .collect::<Result<_, _>>()?,
            speaker: member.speaker.map(speaker).transpose()?,
            seats: member.seats.into_iter().map(seat).collect::<Result<_, _>>()?,
            home_number: member.home_number,
            source: source(&member.source, "source")?,
            create_time: time(created, "create_time")?,
            update_time: time(updated, "update_time")?,
        }
        .checked()
    }
}

impl From<Member> for v1::Member {
    fn from(member: Member) -> v1::Member {
        let preferred_script = member.names.preferred_script().number();
        v1::Member {
            state: member.state.number(),
            joined_on: member.joined_on.map(date_message),
            ended_on: member.ended_on.map(date_message),
            names: names_message(&member.names),
            preferred_script,
            preferred_language: member.preferred_language.to_string(),
            other_languages: languages_message(member.other_languages),
            city_code: member.city.to_string(),
            phone: member.phone.map(|phone| phone.as_str().to_owned()).unwrap_or_default(),
            email: member.email.map(|email| email.as_str().to_owned()).unwrap_or_default(),
            handles: handles_message(member.handles),
            study: member.study.map(study_message),
            field_group: member.field_group.map_or("", FieldGroup::name).to_owned(),
            expertise: member.expertise,
            employer_org: member.employer_org,
            roles: roles_message(member.roles),
            availability: member.availability.map_or(0, Availability::number),
            moved_from: point_message(member.moved_from),
            moved_on: member.moved_on.map(date_message),
            biographies: texts_message(member.biographies),
            further_studies: member.further_studies.into_iter().map(study_message).collect(),
            affiliations: member.affiliations.into_iter().map(affiliation_message).collect(),
            skills: member.skills,
            speaker: member.speaker.map(speaker_message),
            seats: member.seats.into_iter().map(seat_message).collect(),
            source: member.source,
            home_number: member.home_number,
            create_time: Some(time_message(member.create_time)),
            update_time: Some(time_message(member.update_time)),
            id: String::new(),
            home: String::new(),
            etag: String::new(),
        }
    }
}

/// Which of a person's homes a record of that person is of, and the home before; none of a record of
/// another kind.
pub fn standing(kind: Kind, payload: &[u8]) -> Option<(u32, Option<PointCode>)> {
    let (number, former) = match kind {
        Kind::MEMBER => {
            let member = v1::Member::decode(payload).ok()?;
            (member.home_number, member.moved_from)
        }
        Kind::CARD => {
            let card = v1::Card::decode(payload).ok()?;
            (card.home_number, card.former_home)
        }
        Kind::PUBLIC_CARD => {
            let card = v1::PublicCard::decode(payload).ok()?;
            (card.home_number, card.former_home)
        }
        _ => return None,
    };
    Some((number, former.parse().ok().filter(|_| number > 0)))
}

impl TryFrom<v1::Card> for Card {
    type Error = Invalid;

    fn try_from(card: v1::Card) -> Result<Card, Invalid> {
        at_most(&card.fields, FieldGroup::ALL.len(), "fields")?;
        Ok(Card {
            names: names(card.names, card.preferred_script)?,
            city: city(&card.city_code)?,
            fields: strings(&card.fields)
                .map(|text| FieldGroup::parse(text, "fields"))
                .collect::<Result<_, _>>()?,
            expertise: codes(strings(&card.expertise), "expertise", EXPERTISE_MAX)?,
            languages: languages(strings(&card.languages), "languages")?,
            roles: roles(&card.roles)?,
            availability: availability(card.availability)?,
            basis: required(card.basis, "basis")?.try_into()?,
            home_number: card.home_number,
            former_home: optional_point(&card.former_home, "former_home")?,
        })
    }
}

impl From<Card> for v1::Card {
    fn from(card: Card) -> v1::Card {
        v1::Card {
            names: names_message(&card.names),
            preferred_script: card.names.preferred_script().number(),
            city_code: card.city.to_string(),
            fields: card.fields.iter().map(|field| field.name().to_owned()).collect(),
            expertise: card.expertise,
            languages: languages_message(card.languages),
            roles: roles_message(card.roles),
            availability: card.availability.map_or(0, Availability::number),
            basis: Some(card.basis.into()),
            home_number: card.home_number,
            former_home: point_message(card.former_home),
        }
    }
}

impl TryFrom<v1::PublicCard> for PublicCard {
    type Error = Invalid;

    fn try_from(card: v1::PublicCard) -> Result<PublicCard, Invalid> {
        Ok(PublicCard {
            names: names(card.names, card.preferred_script)?,
            expertise: codes(strings(&card.expertise), "expertise", EXPERTISE_MAX)?,
            biographies: texts(card.biographies, "biographies", BIOGRAPHY_MAX)?,
            basis: required(card.basis, "basis")?.try_into()?,
            home_number: card.home_number,
            former_home: optional_point(&card.former_home, "former_home")?,
        })
    }
}

impl From<PublicCard> for v1::PublicCard {
    fn from(card: PublicCard) -> v1::PublicCard {
        v1::PublicCard {
            names: names_message(&card.names),
            preferred_script: card.names.preferred_script().number(),
            expertise: card.expertise,
            biographies: texts_message(card.biographies),
            basis: Some(card.basis.into()),
            home_number: card.home_number,
            former_home: point_message(card.former_home),
        }
    }
}

fn strings(list: &[String]) -> impl Iterator<Item = &str> {
    list.iter().map(String::as_str)
}

fn names(messages: Vec<v1::PersonName>, preferred: i32) -> Result<Names, Invalid> {
    at_most(&messages, NAMES_MAX, "names")?;
    let names = messages.iter().map(name).collect::<Result<_, _>>()?;
    Names::new(names, Script::from_number(preferred, "preferred_script")?, "names")
}

fn name(name: &v1::PersonName) -> Result<Name, Invalid> {
    Name::new(
        Script::from_number(name.script, "names.script")?,
        [&name.family, &name.given, &name.full],
        Order::from_number(name.order, "names.order")?,
        "names",
    )?
    .sorted_by(&name.sort_key, "names.sort_key")
}

fn names_message(names: &Names) -> Vec<v1::PersonName> {
    names
        .all()
        .iter()
        .map(|name| v1::PersonName {
            script: name.script.number(),
            family: name.family.clone(),
            given: name.given.clone(),
            full: name.full.clone(),
            order: name.order.number(),
            sort_key: name.sort_key.clone(),
        })
        .collect()
}

fn roles(numbers: &[i32]) -> Result<Roles, Invalid> {
    at_most(numbers, Role::ALL.len(), "roles")?;
    numbers.iter().map(|number| Role::from_number(*number, "roles")).collect()
}

fn roles_message(roles: Roles) -> Vec<i32> {
    roles.iter().map(Role::number).collect()
}

pub(super) fn availability(number: i32) -> Result<Option<Availability>, Invalid> {
    if number == 0 {
        return Ok(None);
    }
    Availability::from_number(number, "availability").map(Some)
}

fn study(study: v1::member::Study) -> Result<Option<Study>, Invalid> {
    let year = |year: u32, field| match year {
        0 => Ok(None),
        year => u16::try_from(year).map(Some).map_err(|_| Invalid::new(field, "year_out_of_range")),
    };
    Study {
        country: optional(&study.country, |text| Region::parse(text, "study.country"))?,
        org: source(&study.org, "study.org")?,
        from_year: year(study.from_year, "study.from_year")?,
        to_year: year(study.to_year, "study.to_year")?,
        degree: match study.degree_isced {
            0 => None,
            degree => Some(
                u8::try_from(degree)
                    .map_err(|_| Invalid::new("study.degree_isced", "unknown_degree"))?,
            ),
        },
        field: study.field_isced_f,
        institution: line(&study.institution, "study.institution", LINE_MAX)?,
        subject: line(&study.subject, "study.subject", LINE_MAX)?,
    }
    .checked()
    .map_err(|invalid| invalid.under("study"))
}

fn study_message(study: Study) -> v1::member::Study {
    v1::member::Study {
        country: study.country.map(|country| country.to_string()).unwrap_or_default(),
        org: study.org,
        from_year: study.from_year.map_or(0, u32::from),
        to_year: study.to_year.map_or(0, u32::from),
        degree_isced: study.degree.map_or(0, u32::from),
        field_isced_f: study.field,
        institution: study.institution,
        subject: study.subject,
    }
}

/// Where somebody lives is asked of everybody: none given is not a code that is wrong.
fn city(code: &str) -> Result<Region, Invalid> {
    match code {
        "" => Err(Invalid::new("city_code", "required")),
        code => Region::parse(code, "city_code"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        audience::Audience,
        disclosure,
        grant::{GivenVia, Grant, GrantState, Purpose, Scope},
        id::MemberId,
        time::Time,
    };

    fn message() -> v1::Member {
        let time = prost_types::Timestamp { seconds: 1_600_000_000, nanos: 0 };
        v1::Member {
            state: 2,
            names: vec![v1::PersonName {
                script: 1,
                family: "欧阳".into(),
                given: "若晴".into(),
                full: "欧阳若晴".into(),
                order: 1,
                sort_key: "ouyang ruoqing".into(),
            }],
            preferred_script: 1,
            preferred_language: "zh-Hans".into(),
            city_code: "440100".into(),
            phone: "+8615408235760".into(),
            email: "ruoqing@example.com".into(),
            study: Some(v1::member::Study {
                country: "GB".into(),
                from_year: 2008,
                field_isced_f: "0715".into(),
                ..Default::default()
            }),
            field_group: "engineering".into(),
            expertise: vec!["structures".into()],
            employer_org: "O-0175".into(),
            roles: vec![1, 2],
            availability: 4,
            create_time: Some(time),
            update_time: Some(time),
            ..Default::default()
        }
    }

    fn grant(purpose: Purpose, scope: Scope) -> Grant {
        Grant {
            member: MemberId([1; 16]),
            purpose,
            scope,
            text_version: "v2".into(),
            text_language: Language::parse("en", "lang").unwrap(),
            given_via: GivenVia::Web,
            given_time: Time(1),
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
    fn a_member_survives_the_way_there_and_back() {
        assert_eq!(v1::Member::from(Member::try_from(message()).unwrap()), message());
    }

    #[test]
    fn no_home_field_is_in_a_card() {
        use prost::Message;

        let member = Member::try_from(message()).unwrap();
        let grants = [
            grant(Purpose::ProfileNetwork, Scope::Unlimited),
            grant(Purpose::ProfilePublic, Scope::Unlimited),
        ];
        let disclosed = disclosure::member(&member, &grants, Time(2));
        let (audience, card) = disclosed.card.unwrap();
        assert_eq!(audience, Audience::Network);
        let card = v1::Card::from(card).encode_to_vec();
        let public = v1::PublicCard::from(disclosed.public_card.unwrap()).encode_to_vec();
        for secret in ["15408235760", "ruoqing@", "0715", "O-0175"] {
            let secret = secret.as_bytes();
            assert!(!card.windows(secret.len()).any(|bytes| bytes == secret));
            assert!(!public.windows(secret.len()).any(|bytes| bytes == secret));
        }
        let card = v1::Card::decode(&card[..]).unwrap();
        assert_eq!(v1::Card::from(Card::try_from(card.clone()).unwrap()), card);
    }

    #[test]
    fn a_domestic_consent_makes_a_domestic_card_and_none_makes_none() {
        let member = Member::try_from(message()).unwrap();
        let domestic = [grant(Purpose::ProfileNetwork, Scope::Domestic)];
        let audience = |grants: &[Grant], member: &Member, now| {
            disclosure::member(member, grants, Time(now)).card.map(|(audience, _)| audience)
        };
        assert_eq!(audience(&domestic, &member, 2), Some(Audience::Domestic));
        let both = [domestic[0].clone(), grant(Purpose::ProfileNetwork, Scope::Unlimited)];
        assert_eq!(audience(&both, &member, 2), Some(Audience::Network));
        assert_eq!(audience(&both, &member, 0), None);
        let left = Member { state: MemberState::Applied, ..member };
        assert_eq!(audience(&both, &left, 2), None);
        assert_eq!(disclosure::member(&left, &[], Time(2)), disclosure::Disclosed::default());
    }

    #[test]
    fn a_bad_field_is_named() {
        let refused = |change: fn(&mut v1::Member)| {
            let mut member = message();
            change(&mut member);
            let invalid = Member::try_from(member).unwrap_err();
            (invalid.field, invalid.reason)
        };
        assert_eq!(
            refused(|m| m.phone = "+8529123456".into()),
            ("phone".into(), "phone_malformed")
        );
        assert_eq!(refused(|m| m.names.clear()), ("names".into(), "name_missing"));
        assert_eq!(refused(|m| m.roles = vec![9]), ("roles".into(), "unknown_role"));
        assert_eq!(
            refused(|m| m.study.as_mut().unwrap().degree_isced = 9),
            ("study.degree_isced".into(), "unknown_degree")
        );
        assert_eq!(refused(|m| m.state = 4), ("ended_on".into(), "required"));
    }
}
