//! Who is on duty: the rota, and who stands in where it says nothing.

use std::collections::BTreeMap;

use yizhan_proto::v1::{self, list_group_duty_response::OnDuty};

use super::{
    places::{cards_of, named, today},
    plan::{commit, find, own, sight},
};
use crate::{
    app::{App, answers, error::Result},
    domain::{
        audience::Audience,
        calendar::Date,
        group::{Duty, Group, PlaceRole, PlaceState},
        policy::Operation,
        region::{self, Level, Region, RegionPrefix},
        text::Invalid,
    },
    identity::caller::Caller,
};

/// Enters who is on duty for a region on which days. Both have to be in the group.
pub async fn set_duty(
    app: &App,
    caller: &Caller,
    group: &str,
    duty: Duty,
    etag: &str,
) -> Result<v1::Group> {
    let found = own(app, caller, group).await?;
    found.check_etag(app, etag)?;
    let cards = cards_of(app, &sight(app, caller)?, found.row.id).await?;
    for (field, id) in [("duty.contact", Some(duty.contact)), ("duty.cover", duty.cover)] {
        let Some(id) = id.map(|id| id.to_string()) else { continue };
        let card = cards.iter().find(|card| card.id == id);
        let card = card.ok_or_else(|| Invalid::new(field, "unknown_place"))?;
        if is_over(card) {
            return Err(Invalid::new(field, "place_is_over").into());
        }
    }
    let mut group: Group = found.value::<v1::Group, _>()?;
    group.enter_duty(duty)?;
    commit(app, &found, group, caller.deed(Operation::EditGroup)).await
}

/// Who is on duty on a day, region by region, and regions that nobody looks after.
pub async fn list_duty(
    app: &App,
    caller: &Caller,
    group: &str,
    on: Option<Date>,
    region: &str,
) -> Result<v1::ListGroupDutyResponse> {
    let sight = sight(app, caller)?;
    let found = find(app, &sight, group).await?;
    let prefix = match region {
        "" => None,
        text => Some(RegionPrefix::parse(text, "region")?),
    };
    let is_asked = |region: Region| prefix.as_ref().is_none_or(|prefix| prefix.covers(region));
    let group: Group = found.value::<v1::Group, _>()?;
    let cards = cards_of(app, &sight, found.row.id).await?;
    let on = on.or_else(|| today(app));
    let mut items: BTreeMap<&'static str, OnDuty> = BTreeMap::new();
    for duty in group.rota.iter().filter(|duty| on.is_some_and(|on| duty.holds_on(on))) {
        let card = |id: String| cards.iter().find(|card| card.id == id).cloned();
        let contact = card(duty.contact.to_string());
        items.insert(
            duty.region.code(),
            OnDuty {
                region: duty.region.to_string(),
                contact_is_away: contact.as_ref().is_none_or(is_over),
                contact,
                cover: duty.cover.and_then(|cover| card(cover.to_string())),
            },
        );
    }
    let mut standing: Vec<&v1::GroupCard> = cards
        .iter()
        .filter(|card| card.role == PlaceRole::DutyContact.number() && !is_over(card))
        .collect();
    standing.sort_by_key(|card| (day(card), card.id.clone()));
    for card in standing {
        if let Some(region) = region::find(&card.duty_region) {
            items.entry(region.code()).or_insert_with(|| OnDuty {
                region: region.to_string(),
                contact: Some(card.clone()),
                cover: None,
                contact_is_away: false,
            });
        }
    }
    let is_covered = |code: &str| {
        let item = items.get(code);
        item.is_some_and(|item| !item.contact_is_away || item.cover.is_some())
    };
    let uncovered = in_scope(&group).filter(|region| is_asked(*region));
    let uncovered = uncovered.filter(|region| !is_covered(region.code()));
    let uncovered = uncovered.map(|region| region.to_string()).collect();
    let items: Vec<OnDuty> = items
        .into_iter()
        .filter(|(code, _)| region::find(code).is_some_and(is_asked))
        .map(|(_, item)| item)
        .collect();
    let cards = items.iter().flat_map(|item| item.contact.iter().chain(&item.cover));
    let shown = named(cards);
    app.audit.looked(caller, Operation::ReadGroup, shown).await?;
    let points = answers::points(app, &sight, &[Audience::Network]);
    Ok(v1::ListGroupDutyResponse { items, uncovered, points })
}

/// The prefectures in the scope of a group.
fn in_scope(group: &Group) -> impl Iterator<Item = Region> + use<> {
    let scope = group.scope_region.map(Region::prefix);
    let is_place =
        |region: &Region| matches!(region.entry().level, Level::Prefecture | Level::CountyDirect);
    region::all().filter(is_place).filter(move |region| {
        scope.is_some_and(|scope| region.prefixes().any(|prefix| prefix == scope))
    })
}

fn is_over(card: &v1::GroupCard) -> bool {
    PlaceState::from_number(card.state, "state").is_ok_and(PlaceState::is_over)
}

fn day(card: &v1::GroupCard) -> (i32, i32, i32) {
    card.from.as_ref().map_or((0, 0, 0), |day| (day.year, day.month, day.day))
}
