//! Places in groups: taken, moved on, given up; and what other points see of them.

use prost::Message;
use yizhan_proto::v1;

use super::plan::{find, sight};
use crate::{
    app::{
        App, answers,
        error::{Error, Result},
        members, people,
        records::{self, Found},
        sight::Sight,
    },
    domain::{
        analyzer::{Filter, filter},
        audience::{Audience, FeedId},
        calendar::Date,
        disclosure,
        grant::{Grant, Purpose, Scope},
        group::{Group, GroupState, Place, PlaceRole, PlaceState},
        id::{GrantId, MemberId, PointCode, RecordId},
        kind::Kind,
        member::{Member, Role},
        page::{Question, page_size},
        policy::Operation,
        region::Region,
        text::Invalid,
    },
    feed::change::Change,
    identity::caller::Caller,
};

/// Who comes into a group.
pub struct Enrolment {
    /// As `plan::find` takes it.
    pub group: String,
    pub member: RecordId,
    /// None: what the kind of group has.
    pub role: Option<PlaceRole>,
    pub from: Option<Date>,
    pub duty_region: Option<Region>,
}

/// One page of places, and what it rests on.
pub struct PlacePage {
    pub items: Vec<v1::GroupCard>,
    pub next_page_token: String,
    pub points: Vec<v1::PointState>,
}

/// Puts a member of the caller's point into a group of any point.
pub async fn enrol(app: &App, caller: &Caller, new: Enrolment) -> Result<v1::GroupMember> {
    caller.may(Operation::EditGroup)?;
    let group = find(app, &sight(app, caller)?, &new.group).await?;
    let value: Group = group.value::<v1::Group, _>()?;
    if value.state == GroupState::Archived {
        let hint = "archived -> none";
        return Err(Invalid::new("group", "move_refused").hint(hint).into());
    }
    let member = members::own(app, caller, Operation::EditMember, new.member).await?;
    let home = member.feed.home.clone();
    let earlier = of_member(app, &home, new.member, Some(group.row.id)).await?;
    for found in &earlier {
        let known: Place = found.value::<v1::GroupMember, _>()?;
        if !known.state.is_over() {
            return Err(Error::Exists { noun: "place" });
        }
    }
    let role = new.role.unwrap_or(value.kind.usual_role());
    let person: Member = member.value::<v1::Member, _>()?;
    let mut place = Place {
        group: group.row.id,
        member: Some(MemberId(new.member.0)),
        token: people::token_of(app, &home, new.member).await?,
        role,
        state: PlaceState::first(role),
        from: new.from.or_else(|| today(app)),
        to: None,
        duty_region: new.duty_region,
        grant: contact_grant(app, &home, new.member).await?,
        display_names: Default::default(),
        source: String::new(),
    };
    if place.grant.is_some() {
        place.display_names = people::display_names(&person.names);
    }
    let place = place.checked()?;
    // Named by what it is: of two who enrol the same person at once, one is stale.
    let source = format!("place {} {} {}", group.row.id, new.member, earlier.len());
    let id = RecordId::of_source(&app.keys.network, Kind::GROUP_MEMBER.0, &source, 0);
    let change = Change::new().expect(home_feed(&home), id, None);
    let change = put(change, &home, id, place).by(caller.deed(Operation::EditGroup));
    app.writer.commit(change).await?;
    stored(app, &home, id).await
}

/// Moves a member of the caller's point on in a group. Who is appointed a key contact has the role;
/// who stands down everywhere has it no more.
pub async fn move_place(
    app: &App,
    caller: &Caller,
    group: &str,
    member: RecordId,
    to: PlaceState,
    on: Option<Date>,
) -> Result<v1::GroupMember> {
    caller.may(Operation::EditGroup)?;
    let group = find(app, &sight(app, caller)?, group).await?;
    let person = members::own(app, caller, Operation::EditMember, member).await?;
    let home = person.feed.home.clone();
    let (mut here, mut elsewhere) = (None, false);
    for found in of_member(app, &home, member, None).await? {
        let place: Place = found.value::<v1::GroupMember, _>()?;
        if place.group == group.row.id && (here.is_none() || !place.state.is_over()) {
            here = Some((found, place));
        } else {
            elsewhere |= place.state == PlaceState::ActiveContact;
        }
    }
    let (found, mut place) = here.ok_or(Error::NotFound { noun: "place" })?;
    let on = on.or_else(|| today(app));
    place.state = place.state.moved_to(to)?;
    match place.state {
        PlaceState::ActiveContact => place.from = on,
        state if state.is_over() => place.to = on,
        _ => (),
    }
    let is_key_contact = place.state == PlaceState::ActiveContact || elsewhere;
    let is_of_cohort = place.role == PlaceRole::KeyContact;
    let place = place.checked()?;
    let id = found.row.id;
    let change = Change::new().expect(found.feed.clone(), id, Some(found.row.sequence));
    let change = put(change, &home, id, place).by(caller.deed(Operation::EditGroup));
    let mut value: Member = person.value::<v1::Member, _>()?;
    if is_of_cohort && value.roles.has(Role::KeyContact) != is_key_contact {
        value.roles.set(Role::KeyContact, is_key_contact);
        value.update_time = app.outside.now();
        members::commit_with(app, change, &person, value).await?;
    } else {
        app.writer.commit(change).await?;
    }
    stored(app, &home, id).await
}

/// Lists the places of a group, as far as the caller may see them: first those held, by first day.
pub async fn list_places(
    app: &App,
    caller: &Caller,
    group: &str,
    state: Option<PlaceState>,
    asked_size: i32,
    page_token: &str,
) -> Result<PlacePage> {
    let sight = sight(app, caller)?;
    let size = page_size(asked_size)?;
    let group = find(app, &sight, group).await?.row.id;
    let question = Question::new("places")
        .with(&group.to_string())
        .with(state.map_or("", PlaceState::name))
        .with(&sight.name());
    let after: Option<[u8; 16]> = question.place(page_token)?;
    let mut all = cards_of(app, &sight, group).await?;
    all.retain(|card| state.is_none_or(|state| card.state == state.number()));
    let key = |card: &v1::GroupCard| uuid::Uuid::try_parse(&card.id).map(|id| id.into_bytes());
    all.retain(|card| after.is_none_or(|after| key(card).is_ok_and(|key| key > after)));
    all.sort_by_key(|card| key(card).unwrap_or_default());
    let next_page_token = match (all.get(size), size.checked_sub(1).and_then(|at| all.get(at))) {
        (Some(_), Some(last)) => question.token(&key(last).unwrap_or_default()),
        _ => String::new(),
    };
    all.truncate(size);
    app.audit.looked(caller, Operation::ReadGroup, named(&all)).await?;
    let points = answers::points(app, &sight, &[Audience::Network]);
    Ok(PlacePage { items: all, next_page_token, points })
}

/// Whom these cards name, for the audit.
pub(super) fn named<'a>(
    cards: impl IntoIterator<Item = &'a v1::GroupCard>,
) -> Vec<(Kind, RecordId)> {
    let ids = cards.into_iter().map(|card| RecordId::parse(&card.member, "member"));
    ids.filter_map(|id| Some((Kind::MEMBER, id.ok()?))).collect()
}

/// All places of a group: at the caller's own homes with who holds them, elsewhere as disclosed.
pub(super) async fn cards_of(
    app: &App,
    sight: &Sight,
    group: RecordId,
) -> Result<Vec<v1::GroupCard>> {
    let term = filter(Filter::Group, &hex::encode(group.0));
    let mut cards = Vec::new();
    for found in records::carrying_anywhere(app, term).await? {
        let is_own = sight.is_own(&found.feed.home);
        let mut card = match found.row.kind {
            Kind::GROUP_MEMBER if is_own => own_card(&found)?,
            Kind::GROUP_CARD if !is_own && sight.allows(&found.feed) => found.message()?,
            _ => continue,
        };
        card.id = found.row.id.to_string();
        card.home = found.feed.home.to_string();
        cards.push(card);
    }
    Ok(cards)
}

/// The card of a place of the caller's own, which names the member whatever was agreed to.
fn own_card(found: &Found) -> Result<v1::GroupCard> {
    let place: Place = found.value::<v1::GroupMember, _>()?;
    let member = place.member;
    let mut card = disclosure::place(&place);
    card.member = member;
    Ok(card.into())
}

/// Adds a place to a change, and what other points see of it.
pub(crate) fn put(change: Change, home: &PointCode, id: RecordId, place: Place) -> Change {
    let card = v1::GroupCard::from(disclosure::place(&place)).encode_to_vec();
    let payload = v1::GroupMember::from(place).encode_to_vec();
    change.put(home_feed(home), Kind::GROUP_MEMBER, id, payload).put(
        FeedId::new(home.clone(), Audience::Network),
        Kind::GROUP_CARD,
        id,
        card,
    )
}

/// Adds to a change what becomes of the places of a member: `part` changes each.
pub(crate) async fn revise(
    app: &App,
    mut change: Change,
    home: &PointCode,
    member: RecordId,
    part: impl Fn(&mut Place),
) -> Result<Change> {
    for found in of_member(app, home, member, None).await? {
        let before: Place = found.value::<v1::GroupMember, _>()?;
        let mut place = before.clone();
        part(&mut place);
        if place != before {
            let (id, at) = (found.row.id, Some(found.row.sequence));
            change = put(change.expect(found.feed.clone(), id, at), home, id, place);
        }
    }
    Ok(change)
}

/// All places of a member at its home.
pub(crate) async fn places_of(app: &App, home: &PointCode, member: RecordId) -> Result<Vec<Found>> {
    of_member(app, home, member, None).await
}

/// The places of a member at its home, in one group or in all.
async fn of_member(
    app: &App,
    home: &PointCode,
    member: RecordId,
    group: Option<RecordId>,
) -> Result<Vec<Found>> {
    let term = filter(Filter::Member, &hex::encode(member.0));
    let mut found = records::carrying(app, &home_feed(home), Kind::GROUP_MEMBER, term).await?;
    if let Some(group) = group {
        let group = group.to_string();
        let is_there = |found: &Found| {
            found.message::<v1::GroupMember>().is_ok_and(|place| place.group == group)
        };
        found.retain(is_there);
    }
    Ok(found)
}

/// The consent to be reached by points, if one holds.
async fn contact_grant(app: &App, home: &PointCode, member: RecordId) -> Result<Option<GrantId>> {
    let now = app.outside.now();
    for found in records::grants_of(app, home, member).await? {
        let grant: Grant = found.value::<v1::Grant, _>()?;
        let fits = grant.purpose == Purpose::ContactByPoints && grant.scope == Scope::Unlimited;
        if fits && grant.holds_at(now) {
            return Ok(Some(GrantId(found.row.id.0)));
        }
    }
    Ok(None)
}

async fn stored(app: &App, home: &PointCode, id: RecordId) -> Result<v1::GroupMember> {
    let found = records::find(app, id).await?;
    let found = found
        .into_iter()
        .find(|found| found.is(Kind::GROUP_MEMBER, Audience::Home) && found.feed.home == *home);
    let found = found.ok_or(Error::NotFound { noun: "place" })?;
    let mut place: v1::GroupMember = found.message()?;
    place.id = found.row.id.to_string();
    place.home = home.to_string();
    place.etag = found.etag(app);
    Ok(place)
}

fn home_feed(home: &PointCode) -> FeedId {
    FeedId::new(home.clone(), Audience::Home)
}

/// The day it is in UTC.
pub(super) fn today(app: &App) -> Option<Date> {
    let now = jiff::Timestamp::from_microsecond(app.outside.now().0).ok()?;
    Some(now.to_zoned(jiff::tz::TimeZone::UTC).date())
}
