//! What a payload says to the index: checked, then put into terms.
//!
//! Our own rows and other homes' rows come through here alike, so a copy is found by the same
//! words as the original.

use prost::Message;
use yizhan_proto::v1;

use super::{member_move, transfer};
use crate::domain::{
    analyzer::{Filter, NameView, Terms},
    disclosure::{Card, PublicCard},
    event::{Event, EventPlan},
    grant::Grant,
    group::{Group, Place, PlaceCard},
    home_figures::HomeFigures,
    id::{PointCode, RecordId},
    kind::Kind,
    language::LocalTexts,
    member::{FieldGroup, Member, Roles},
    name::{NAMES_MAX, Names, Order, Script},
    org::{Org, OrgDetail},
    point::{Point, PointDetail, PointNotes},
    series::Series,
    text::Invalid,
    time::Time,
};

/// Kind under which cards are found of members who have had another home before.
pub const MOVED: &str = "moved";

/// Kind under which events are found that name somebody by a release of another node's home.
pub const NOTED_ELSEWHERE: &str = "noted_elsewhere";

/// Reads a payload of a known kind, checks every rule of the kind, appends its terms to `out`, and
/// answers where it stands in the calendar. A consent is found by its member alone.
///
/// A kind that this node does not know is `unknown_kind`; such rows are kept and passed on.
pub fn describe(
    home: &PointCode,
    kind: Kind,
    payload: &[u8],
    out: &mut String,
) -> Result<Option<Time>, Invalid> {
    let start = out.len();
    let described = describe_checked(home, kind, payload, out);
    if described.is_err() {
        out.truncate(start);
    }
    described
}

fn describe_checked(
    home: &PointCode,
    kind: Kind,
    payload: &[u8],
    out: &mut String,
) -> Result<Option<Time>, Invalid> {
    match kind {
        Kind::CARD => {
            let card: Card = decode::<v1::Card>(payload)?.try_into()?;
            card_terms(&mut open(home, kind, out), &card);
        }
        Kind::PUBLIC_CARD => {
            let card: PublicCard = decode::<v1::PublicCard>(payload)?.try_into()?;
            let mut terms = open(home, kind, out);
            if card.home_number > 0 {
                terms.filter(Filter::Kind, MOVED);
            }
            expertise(&mut terms, &card.expertise);
            names(&mut terms, &card.names);
        }
        Kind::MEMBER => {
            let member: Member = decode::<v1::Member>(payload)?.try_into()?;
            member_terms(&mut open(home, kind, out), &member);
        }
        Kind::EVENT => {
            let event: Event = decode::<v1::Event>(payload)?.try_into()?;
            event_terms(&mut open(home, kind, out), &event);
            return Ok(Some(event.start_time));
        }
        Kind::POINT => {
            let point: Point = decode::<v1::Point>(payload)?.try_into()?;
            let mut terms = open(home, kind, out);
            terms.filter(Filter::State, point.state.name());
            terms.region(point.region);
            terms.text(&point.short);
            texts(&mut terms, &point.names);
        }
        Kind::POINT_DETAIL => {
            let detail: PointDetail = decode::<v1::PointDetail>(payload)?.try_into()?;
            let mut terms = open(home, kind, out);
            for service in &detail.services {
                terms.filter(Filter::Field, service);
            }
        }
        Kind::POINT_NOTES => {
            let _: PointNotes = decode::<v1::PointNotes>(payload)?.try_into()?;
            open(home, kind, out);
        }
        Kind::HOME_FIGURES => {
            let _: HomeFigures = decode::<v1::HomeFigures>(payload)?.try_into()?;
            open(home, kind, out);
        }
        Kind::ORG => {
            let org: Org = decode::<v1::Org>(payload)?.try_into()?;
            let mut terms = open(home, kind, out);
            terms.filter(Filter::Sort, org.kind.name());
            terms.filter(Filter::Source, &org.source);
            terms.region(org.region);
            texts(&mut terms, &org.names);
        }
        Kind::SERIES => {
            let series: Series = decode::<v1::Series>(payload)?.try_into()?;
            let mut terms = open(home, kind, out);
            terms.filter(Filter::Series, &series.code);
            terms.filter(Filter::Source, &series.source);
            terms.text(&series.code);
            texts(&mut terms, &series.titles);
        }
        Kind::GRANT => {
            let grant: Grant = decode::<v1::Grant>(payload)?.try_into()?;
            Terms::new(out).filter(Filter::Member, &hex::encode(grant.member.0));
        }
        Kind::EVENT_PLAN => {
            let plan: EventPlan = decode::<v1::EventPlan>(payload)?.try_into()?;
            let mut terms = open(home, kind, out);
            event_terms(&mut terms, &plan.event);
            let appearances = &plan.event.appearances;
            for member in appearances.iter().filter_map(|one| one.member) {
                terms.filter(Filter::Member, &hex::encode(member.0));
            }
            if appearances.iter().any(|one| one.home.is_some() && one.release.is_some()) {
                terms.filter(Filter::Kind, NOTED_ELSEWHERE);
            }
            return Ok(Some(plan.event.start_time));
        }
        Kind::ORG_DETAIL => {
            let detail: OrgDetail = decode::<v1::OrgDetail>(payload)?.try_into()?;
            let mut terms = open(home, kind, out);
            for figure in detail.figures() {
                terms.filter(Filter::Field, &figure.metric);
            }
        }
        Kind::GROUP => {
            let group: Group = decode::<v1::Group>(payload)?.try_into()?;
            group_terms(&mut open(home, kind, out), &group);
        }
        Kind::GROUP_MEMBER => {
            let place: Place = decode::<v1::GroupMember>(payload)?.try_into()?;
            // By the member and the group: who looks for places of a kind looks for the cards.
            let mut terms = Terms::new(out);
            terms.filter(Filter::Group, &hex::encode(place.group.0));
            if let Some(member) = place.member {
                terms.filter(Filter::Member, &hex::encode(member.0));
            }
        }
        Kind::TRANSFER => transfer_terms(home, payload, out)?,
        Kind::MEMBER_MOVE => {
            let (moving, member) = member_move::read(payload)?;
            let mut terms = Terms::new(out);
            if let Some(member) = member {
                terms.filter(Filter::Member, &hex::encode(member.0));
            }
            for found_by in member_move::found_by(&moving, moving.from == home.as_str())? {
                terms.filter(Filter::Kind, found_by);
            }
        }
        Kind::GROUP_CARD => {
            let card: PlaceCard = decode::<v1::GroupCard>(payload)?.try_into()?;
            let mut terms = open(home, kind, out);
            terms.filter(Filter::Group, &hex::encode(card.group.0));
            terms.filter(Filter::State, card.state.name());
            terms.filter(Filter::Role, card.role.name());
            if let Some(region) = card.duty_region {
                terms.region(region);
            }
        }
        _ => return Err(Invalid::new("kind", "unknown_kind")),
    }
    Ok(None)
}

/// At its home a copy is found by its member and by what is to be done; at its destination as the card
/// that it is, of the home that has sent it.
fn transfer_terms(home: &PointCode, payload: &[u8], out: &mut String) -> Result<(), Invalid> {
    let (transfer, card) = transfer::read(payload)?;
    match card {
        Some(card) => {
            let from = transfer.home.parse()?;
            card_terms(&mut open(&from, Kind::TRANSFER, out), &card);
        }
        None if transfer.home == home.as_str() => {
            let mut terms = Terms::new(out);
            let member = RecordId::parse(&transfer.member, "member")?;
            terms.filter(Filter::Member, &hex::encode(member.0));
            for found_by in transfer::found_by(&transfer)? {
                terms.filter(Filter::Kind, found_by);
            }
        }
        None => return Err(Invalid::new("card", "required")),
    }
    Ok(())
}

fn decode<M: Message + Default>(payload: &[u8]) -> Result<M, Invalid> {
    M::decode(payload).map_err(|_| Invalid::new("payload", "not_decodable"))
}

fn open<'a>(home: &PointCode, kind: Kind, out: &'a mut String) -> Terms<'a> {
    let mut terms = Terms::new(out);
    terms.kind(kind);
    terms.filter(Filter::Home, home.as_str());
    terms
}

fn card_terms(terms: &mut Terms<'_>, card: &Card) {
    if card.home_number > 0 {
        terms.filter(Filter::Kind, MOVED);
    }
    terms.region(card.city);
    card.fields.iter().for_each(|group| field_group(terms, *group));
    card.languages.iter().for_each(|language| terms.language(language.as_str()));
    roles(terms, card.roles);
    expertise(terms, &card.expertise);
    names(terms, &card.names);
}

fn member_terms(terms: &mut Terms<'_>, member: &Member) {
    terms.filter(Filter::State, member.state.name());
    terms.filter(Filter::Source, &member.source);
    terms.region(member.city);
    if let Some(group) = member.field_group {
        field_group(terms, group);
    }
    if let Some(study) = &member.study {
        terms.field_of_study(&study.field);
    }
    terms.language(member.preferred_language.as_str());
    member.other_languages.iter().for_each(|language| terms.language(language.as_str()));
    roles(terms, member.roles);
    if let Some(phone) = &member.phone {
        terms.filter(Filter::Phone, phone.as_str());
    }
    if let Some(email) = &member.email {
        terms.filter(Filter::Email, email.as_str());
    }
    expertise(terms, &member.expertise);
    names(terms, &member.names);
}

fn group_terms(terms: &mut Terms<'_>, group: &Group) {
    terms.filter(Filter::Sort, group.kind.name());
    terms.filter(Filter::State, group.state.name());
    terms.filter(Filter::Source, &group.source);
    if let Some(number) = group.number() {
        terms.filter(Filter::Issue, &number);
    }
    if let Some(region) = group.scope_region {
        terms.region(region);
    }
    texts(terms, &group.titles);
}

fn event_terms(terms: &mut Terms<'_>, event: &Event) {
    terms.filter(Filter::State, event.state.name());
    if let Some(region) = event.region {
        terms.region(region);
    }
    if let Some((series, number)) = &event.issue {
        terms.filter(Filter::Series, series);
        terms.filter(Filter::Issue, &format!("{series}-{number}"));
    }
    expertise(terms, &event.tags);
    texts(terms, &event.titles);
    terms.text(&event.venue);
}

/// A group is found by its name and by the broad fields of ISCED-F that it stands for; the exact
/// field is home class and only in the terms of the home record.
fn field_group(terms: &mut Terms<'_>, group: FieldGroup) {
    terms.filter(Filter::Field, group.name());
    for broad in group.isced_broad() {
        terms.filter(Filter::Field, broad);
    }
}

fn roles(terms: &mut Terms<'_>, roles: Roles) {
    for role in roles.iter() {
        terms.filter(Filter::Role, role.name());
    }
}

fn expertise(terms: &mut Terms<'_>, codes: &[String]) {
    for code in codes {
        terms.filter(Filter::Field, code);
    }
}

fn texts(terms: &mut Terms<'_>, texts: &LocalTexts) {
    for (_, text) in &texts.0 {
        terms.text(text);
    }
}

fn names(terms: &mut Terms<'_>, names: &Names) {
    const NONE: NameView<'static> = NameView {
        script: Script::Nickname,
        family: "",
        given: "",
        full: "",
        order: Order::FamilyFirst,
        sort_key: "",
    };
    let mut views = [NONE; NAMES_MAX];
    for (view, name) in views.iter_mut().zip(names.all()) {
        *view = NameView {
            script: name.script,
            family: &name.family,
            given: &name.given,
            full: &name.full,
            order: name.order,
            sort_key: &name.sort_key,
        };
    }
    terms.names(&views[..names.all().len().min(NAMES_MAX)]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::analyzer::{Query, filter};

    fn card() -> v1::Card {
        v1::Card {
            names: vec![v1::PersonName {
                script: 1,
                family: "张".into(),
                given: "伟".into(),
                full: "张伟".into(),
                order: 1,
                sort_key: "zhang wei".into(),
            }],
            preferred_script: 1,
            city_code: "440100".into(),
            fields: vec!["health".into()],
            languages: vec!["zh-Hans".into()],
            roles: vec![1],
            basis: Some(v1::ConsentBasis {
                purpose: "profile.network".into(),
                text_version: "v2".into(),
                given_time: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
                expire_time: None,
            }),
            ..Default::default()
        }
    }

    #[test]
    fn a_card_is_found_by_name_and_by_each_filter() {
        let mut out = String::new();
        let home = "CN-440100".parse().unwrap();
        describe(&home, Kind::CARD, &card().encode_to_vec(), &mut out).unwrap();
        let asked = Query::parse("zhangwei 张伟").unwrap();
        for term in asked.terms.iter().map(|term| term.text.clone()).chain([
            filter(Filter::Kind, "20"),
            filter(Filter::Home, "CN-440100"),
            filter(Filter::Region, "44"),
            filter(Filter::Field, "09"),
            filter(Filter::Language, "zh"),
            filter(Filter::Role, "speaker"),
        ]) {
            assert!(out.split(' ').any(|carried| carried == term), "{term} in {out}");
        }
    }

    #[test]
    fn a_payload_that_breaks_a_rule_leaves_no_terms() {
        let home = "CN-440100".parse().unwrap();
        let mut out = String::from("x");
        let bad = v1::Card { city_code: "999999".into(), ..card() }.encode_to_vec();
        let mut reason = |kind, payload: &[u8]| {
            let refused = describe(&home, kind, payload, &mut out).unwrap_err().reason;
            assert_eq!(out, "x");
            refused
        };
        assert_eq!(reason(Kind::CARD, &bad), "unknown_region_code");
        assert_eq!(reason(Kind::CARD, &[0xff]), "not_decodable");
        assert_eq!(reason(Kind(9_999), &[]), "unknown_kind");
    }
}
