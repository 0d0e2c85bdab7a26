//! Members as rows: everything at the caller's own homes, elsewhere what a card says.

use std::collections::HashMap;

use yizhan_proto::v1;

use super::cells::{Cells, day, joined, moment};
use crate::{
    app::{App, error::Result, records::Found, sight},
    domain::{
        audience::Audience,
        id::RecordId,
        kind::Kind,
        member::{Availability, MemberState, Role},
        name::{Order, Script},
        policy::{Operation, Reach},
    },
    identity::caller::Caller,
    store,
};

/// What a card may say.
const OF_CARDS: [&str; 20] = [
    "id",
    "home_point",
    "audience",
    "name_zh_hans",
    "name_zh_hant",
    "family_zh",
    "given_zh",
    "name_latin",
    "family_latin",
    "given_latin",
    "given_en",
    "name_order",
    "preferred_script",
    "sort_key",
    "languages",
    "city_code",
    "fields",
    "expertise",
    "roles",
    "availability",
];
/// What only the home knows.
const OF_HOMES: [&str; 24] = [
    "member_id",
    "state",
    "joined_on",
    "ended_on",
    "phone",
    "email",
    "handle",
    "study_country",
    "study_from",
    "study_to",
    "degree_isced",
    "field_isced_f",
    "institution",
    "subject",
    "skills",
    "preferred_lang",
    "other_langs",
    "field_group",
    "study_org_id",
    "employer_org_id",
    "moved_from",
    "moved_on",
    "created_at",
    "updated_at",
];

/// The columns that some row can fill for this caller.
pub fn columns(app: &App, caller: &Caller) -> Vec<&'static str> {
    let mut columns = OF_CARDS.to_vec();
    let is_own = caller.reach(Operation::ExportMembers) == Reach::Own;
    if is_own || !sight::homes(app, caller, Operation::ReadMember).is_empty() {
        columns.extend(OF_HOMES);
    }
    columns
}

/// Rows of members that were found.
pub async fn rows(
    app: &App,
    caller: &Caller,
    found: Vec<v1::FoundMember>,
    columns: &[&'static str],
) -> Result<Vec<Cells>> {
    let homes = sight::homes(app, caller, Operation::ReadMember);
    let mut members = HashMap::new();
    let is_inner = |one: &&v1::FoundMember| one.audience == Audience::Home.name();
    let ids = found.iter().filter(is_inner).map(|one| RecordId::parse(&one.id, "id"));
    let ids: Vec<RecordId> = ids.collect::<Result<_, _>>()?;
    let readable = app.heads.readable_slots();
    let mut db = app.db.reader().await?;
    let stored = store::records::find_many(&mut db, app.db.dialect, &ids).await?;
    for found in stored.into_iter().filter_map(|stored| Found::of(&readable, stored)) {
        let home = &found.feed.home;
        let may_read = homes.contains(home) || caller.is_person(home, found.row.id);
        if found.is(Kind::MEMBER, Audience::Home) && may_read {
            members.insert(found.row.id.to_string(), found.message::<v1::Member>()?);
        }
    }
    let row = |one: v1::FoundMember| {
        let inner = members.get(&one.id);
        columns.iter().map(|column| cell(column, &one, inner)).collect()
    };
    Ok(found.into_iter().map(row).collect())
}

fn cell(column: &str, card: &v1::FoundMember, member: Option<&v1::Member>) -> String {
    let name = |script: Script| card.names.iter().find(|name| name.script == script.number());
    let chinese = || name(Script::Hans).or_else(|| name(Script::Hant));
    let full = |found: Option<&v1::PersonName>| found.map(|name| name.full.clone());
    let preferred = || {
        let mut names = card.names.iter();
        names.find(|name| name.full == card.preferred_name).or(card.names.first())
    };
    let study = || member.and_then(|member| member.study.as_ref());
    let year = |year: u32| Some(year).filter(|year| *year > 0).map(|year| year.to_string());
    let text: Option<String> = match column {
        "id" => Some(card.id.clone()),
        "home_point" => Some(card.home.clone()),
        "audience" => Some(card.audience.clone()),
        "name_zh_hans" => full(name(Script::Hans)),
        "name_zh_hant" => full(name(Script::Hant)),
        "family_zh" => chinese().map(|name| name.family.clone()),
        "given_zh" => chinese().map(|name| name.given.clone()),
        "name_latin" => full(name(Script::Latin)),
        "family_latin" => name(Script::Latin).map(|name| name.family.clone()),
        "given_latin" => name(Script::Latin).map(|name| name.given.clone()),
        "given_en" => full(name(Script::Nickname)),
        "name_order" => name(Script::Latin)
            .and_then(|name| Order::from_number(name.order, "order").ok())
            .map(|order| order.name().to_owned()),
        "preferred_script" => preferred()
            .and_then(|name| Script::from_number(name.script, "script").ok())
            .map(|script| script.name().to_owned()),
        "sort_key" => {
            card.names.iter().map(|name| &name.sort_key).find(|key| !key.is_empty()).cloned()
        }
        "languages" => Some(joined(&card.languages)),
        "city_code" => Some(card.city_code.clone()),
        "fields" => Some(joined(&card.fields)),
        "expertise" => Some(joined(&card.expertise)),
        "roles" => {
            let roles = card.roles.iter().filter_map(|role| Role::from_number(*role, "role").ok());
            Some(roles.map(Role::name).collect::<Vec<_>>().join(";"))
        }
        "availability" => Availability::from_number(card.availability, "availability")
            .ok()
            .map(|one| one.name().to_owned()),
        "state" => member
            .and_then(|member| MemberState::from_number(member.state, "state").ok())
            .map(|state| state.name().to_owned()),
        "joined_on" => member.map(|member| day(member.joined_on.as_ref())),
        "ended_on" => member.map(|member| day(member.ended_on.as_ref())),
        "phone" => member.map(|member| member.phone.clone()),
        "email" => member.map(|member| member.email.clone()),
        "handle" => member.map(|member| {
            let handles = member.handles.iter();
            let handles = handles.map(|handle| format!("{}:{}", handle.service, handle.value));
            handles.collect::<Vec<_>>().join(";")
        }),
        "study_country" => study().map(|study| study.country.clone()),
        "study_from" => study().and_then(|study| year(study.from_year)),
        "study_to" => study().and_then(|study| year(study.to_year)),
        "degree_isced" => study().and_then(|study| year(study.degree_isced)),
        "field_isced_f" => study().map(|study| study.field_isced_f.clone()),
        "institution" => study().map(|study| study.institution.clone()),
        "subject" => study().map(|study| study.subject.clone()),
        "skills" => member.map(|member| joined(&member.skills)),
        // What came from no file is called by the id of its record.
        "member_id" => member.map(|member| match member.source.as_str() {
            "" => card.id.clone(),
            source => source.to_owned(),
        }),
        "preferred_lang" => member.map(|member| member.preferred_language.clone()),
        "other_langs" => member.map(|member| joined(&member.other_languages)),
        "field_group" => member.map(|member| member.field_group.clone()),
        "study_org_id" => study().map(|study| study.org.clone()),
        "employer_org_id" => member.map(|member| member.employer_org.clone()),
        "moved_from" => member.map(|member| member.moved_from.clone()),
        "moved_on" => member.map(|member| day(member.moved_on.as_ref())),
        "created_at" => member.map(|member| moment(member.create_time)),
        "updated_at" => member.map(|member| moment(member.update_time)),
        _ => None,
    };
    text.unwrap_or_default()
}
