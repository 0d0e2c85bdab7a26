//! Consents and places in groups as rows, for the caller's own homes: neither leaves them. Columns are
//! named as an import takes them; what came from no file is named by the id of its record.

use std::collections::HashMap;

use yizhan_proto::v1;

use super::cells::{Cells, day};
use crate::{
    app::{App, error::Result, groups, members, records, sight},
    domain::{
        audience::Audience,
        grant::Grant,
        group::{Group, Place},
        id::{PointCode, RecordId},
        kind::Kind,
        member::Member,
        policy::Operation,
    },
    identity::caller::Caller,
    wire::value::date_message,
};

pub const GRANT: [&str; 12] = [
    "grant_id",
    "member_id",
    "purpose",
    "scope",
    "text_version",
    "text_lang",
    "given_via",
    "given_at",
    "expires_at",
    "state",
    "ended_at",
    "asserted_by",
];

pub const PLACE: [&str; 9] = [
    "group_id",
    "seat_no",
    "member_id",
    "role",
    "state",
    "from_on",
    "to_on",
    "duty_region",
    "grant_id",
];

/// The consents of members that were found.
pub async fn grants(app: &App, caller: &Caller, found: &[v1::FoundMember]) -> Result<Vec<Cells>> {
    let mut rows = Vec::new();
    for (home, id, name) in own(app, caller, found).await? {
        let mut grants = members::with_ids(app, &home, id).await?;
        grants.sort_by_key(|(id, grant)| (grant.given_time, *id));
        for (grant_id, grant) in grants {
            rows.push(grant_row(named(&grant.source, grant_id.record()), &name, grant));
        }
    }
    Ok(rows)
}

fn grant_row(grant_id: String, member: &str, grant: Grant) -> Cells {
    let moment = |time: Option<crate::domain::time::Time>| time.map(|time| time.to_string());
    vec![
        grant_id,
        member.to_owned(),
        grant.purpose.name().to_owned(),
        grant.scope.as_str().to_owned(),
        grant.text_version,
        grant.text_language.to_string(),
        grant.given_via.name().to_owned(),
        grant.given_time.to_string(),
        moment(grant.expire_time).unwrap_or_default(),
        grant.state.name().to_owned(),
        moment(grant.end_time).unwrap_or_default(),
        grant.asserted_by.map(|point| point.to_string()).unwrap_or_default(),
    ]
}

/// The places in groups of members that were found.
pub async fn places(app: &App, caller: &Caller, found: &[v1::FoundMember]) -> Result<Vec<Cells>> {
    let mut rows = Vec::new();
    let mut groups: HashMap<RecordId, String> = HashMap::new();
    for (home, id, name) in own(app, caller, found).await? {
        let grants = members::with_ids(app, &home, id).await?;
        for found in groups::places_of(app, &home, id).await? {
            let place: Place = found.value::<v1::GroupMember, _>()?;
            let group = match groups.get(&place.group) {
                Some(known) => known.clone(),
                None => group_name(app, place.group).await?,
            };
            groups.insert(place.group, group.clone());
            let grant = place.grant.and_then(|id| grants.iter().find(|(known, _)| *known == id));
            let grant = grant.map(|(id, grant)| named(&grant.source, id.record()));
            rows.push(place_row(group, &name, place, grant.unwrap_or_default()));
        }
    }
    Ok(rows)
}

fn place_row(group: String, member: &str, place: Place, grant: String) -> Cells {
    let seat = place.source.rsplit_once('.').map(|(_, number)| number.to_owned());
    let date = |date: Option<_>| day(date.map(date_message).as_ref());
    vec![
        group,
        seat.unwrap_or_default(),
        member.to_owned(),
        place.role.name().to_owned(),
        place.state.name().to_owned(),
        date(place.from),
        date(place.to),
        place.duty_region.map(|region| region.code().to_owned()).unwrap_or_default(),
        grant,
    ]
}

async fn group_name(app: &App, id: RecordId) -> Result<String> {
    let found = records::find(app, id).await?;
    let found = found.iter().find(|found| found.is(Kind::GROUP, Audience::Network));
    let group: Option<Group> = found.map(|found| found.value::<v1::Group, _>()).transpose()?;
    Ok(named(group.as_ref().map_or("", |group| &group.source), id))
}

/// Home, id and name in files of those found who are at the caller's own homes.
async fn own(
    app: &App,
    caller: &Caller,
    found: &[v1::FoundMember],
) -> Result<Vec<(PointCode, RecordId, String)>> {
    let homes = sight::homes(app, caller, Operation::ReadMember);
    let mut all = Vec::new();
    for one in found.iter().filter(|one| one.audience == Audience::Home.name()) {
        let id = RecordId::parse(&one.id, "id")?;
        let stored = records::find(app, id).await?;
        let is_own = |found: &&records::Found| {
            found.is(Kind::MEMBER, Audience::Home) && homes.contains(&found.feed.home)
        };
        let Some(stored) = stored.iter().find(is_own) else { continue };
        let member: Member = stored.value::<v1::Member, _>()?;
        all.push((stored.feed.home.clone(), id, named(&member.source, id)));
    }
    Ok(all)
}

/// What a record is called in files.
fn named(source: &str, id: RecordId) -> String {
    if source.is_empty() { id.to_string() } else { source.to_owned() }
}
