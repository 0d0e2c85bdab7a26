//! Groups: planned, moved on, listed.

use std::collections::HashSet;

use prost::Message;
use yizhan_proto::v1;

use super::places;
use crate::{
    app::{
        App, answers,
        error::{Error, Result},
        lanes,
        records::{self, Found},
        sight::{self, Sight},
    },
    domain::{
        analyzer::{Filter, filter},
        audience::{Audience, FeedId},
        audit::Deed,
        group::{Group, GroupKind, GroupState, cohort_number},
        id::{PointCode, RecordId},
        kind::Kind,
        page::{Question, page_size},
        policy::Operation,
        text::Invalid,
    },
    feed::change::{Change, CommitError},
    identity::caller::Caller,
};

/// Bytes of a place in a page token: kind, number, first day, record id.
const PLACE: usize = 28;
/// What a cohort is named by, before its number.
const COHORT: &str = "COHORT-";

/// Which groups to list. None: all.
#[derive(Default, Debug)]
pub struct Asked {
    pub kind: Option<GroupKind>,
    pub state: Option<GroupState>,
    pub page_size: i32,
    pub page_token: String,
}

/// One page of groups, and what it rests on.
pub struct GroupPage {
    pub items: Vec<v1::Group>,
    pub next_page_token: String,
    pub points: Vec<v1::PointState>,
}

/// A group, and how many are in it as far as is known here.
pub struct Seen {
    pub group: v1::Group,
    pub places: usize,
    pub persons: usize,
    pub point: v1::PointState,
}

/// Plans a group. The number of a cohort is nobody else's, as far as is known here.
pub async fn create(
    app: &App,
    caller: &Caller,
    mut new: v1::Group,
    home: Option<PointCode>,
    request_id: &str,
) -> Result<v1::Group> {
    caller.may(Operation::EditGroup)?;
    let home = sight::home_for(app, caller, Operation::EditGroup, home)?;
    let id = records::id_of_request(app, &home, Kind::GROUP, request_id)?;
    new.source.clear();
    new.rota.clear();
    if new.state == 0 {
        new.state = GroupState::Planned.number();
    }
    let group: Group = new.try_into().map_err(|invalid: Invalid| invalid.under("group"))?;
    if !matches!(group.state, GroupState::Planned | GroupState::Running) {
        let hint = "new -> planned, running";
        return Err(Invalid::new("group.state", "move_refused").hint(hint).into());
    }
    let (number, lane) = (group.issue_no, group.number());
    let feed = FeedId::new(home, Audience::Network);
    let payload = v1::Group::from(group).encode_to_vec();
    let change =
        Change::new().expect(feed.clone(), id, None).put(feed.clone(), Kind::GROUP, id, payload);
    let change = change.by(caller.deed(Operation::EditGroup));
    for _ in 0..lanes::TRIES {
        let turns = lanes::turns(app, lane.clone()).await?;
        if is_taken(app, number, id).await? {
            return Err(Error::Exists { noun: "cohort" });
        }
        match app.writer.commit(change.clone().in_turn(turns)).await {
            Err(CommitError::Stale) => {
                let made = records::find(app, id).await?;
                // Made by the same request before: this is its answer again.
                if !made.iter().any(|found| found.feed == feed) {
                    continue;
                }
            }
            done => drop(done?),
        }
        return stored(app, id).await;
    }
    Err(Error::Busy)
}

/// Is the number of a cohort another group's?
pub(crate) async fn is_taken(app: &App, number: Option<u32>, id: RecordId) -> Result<bool> {
    let Some(number) = number else { return Ok(false) };
    Ok(of_number(app, number).await?.iter().any(|found| found.row.id != id))
}

/// Gets a group by record id, source id or number.
pub async fn get(app: &App, caller: &Caller, name: &str) -> Result<Seen> {
    let sight = sight(app, caller)?;
    let found = find(app, &sight, name).await?;
    let cards = places::cards_of(app, &sight, found.row.id).await?;
    let tokens: HashSet<&[u8]> = cards.iter().map(|card| card.token.as_slice()).collect();
    let point = answers::point(app, &sight, &found.feed.home, &[Audience::Network]);
    Ok(Seen { group: shown(app, &found)?, places: cards.len(), persons: tokens.len(), point })
}

/// Lists groups: those of one kind together, by number and first day.
pub async fn list(app: &App, caller: &Caller, asked: Asked) -> Result<GroupPage> {
    let sight = sight(app, caller)?;
    let size = page_size(asked.page_size)?;
    let question = Question::new("groups")
        .with(asked.kind.map_or("", GroupKind::name))
        .with(asked.state.map_or("", GroupState::name))
        .with(&sight.name());
    let after: Option<[u8; PLACE]> = question.place(&asked.page_token)?;
    let term = filter(Filter::Kind, &Kind::GROUP.0.to_string());
    let mut all = Vec::new();
    for found in records::carrying_anywhere(app, term).await? {
        if !found.is(Kind::GROUP, Audience::Network) || !sight.allows(&found.feed) {
            continue;
        }
        let group: Group = found.value::<v1::Group, _>()?;
        let is_asked = asked.kind.is_none_or(|kind| group.kind == kind)
            && asked.state.is_none_or(|state| group.state == state);
        if is_asked {
            all.push((place(&group, found.row.id), found));
        }
    }
    all.retain(|(place, _)| after.is_none_or(|after| *place > after));
    all.sort_by_key(|(place, _)| *place);
    let next_page_token = match all.get(size) {
        Some(_) => question.token(&all[size - 1].0),
        None => String::new(),
    };
    all.truncate(size);
    let items = all.iter().map(|(_, found)| shown(app, found)).collect::<Result<_>>()?;
    let points = answers::points(app, &sight, &[Audience::Network]);
    Ok(GroupPage { items, next_page_token, points })
}

/// Moves a group on by its table.
pub async fn move_on(
    app: &App,
    caller: &Caller,
    name: &str,
    to: GroupState,
    etag: &str,
) -> Result<v1::Group> {
    let found = own(app, caller, name).await?;
    found.check_etag(app, etag)?;
    let mut group: Group = found.value::<v1::Group, _>()?;
    group.state = group.state.moved_to(to)?;
    commit(app, &found, group, caller.deed(Operation::EditGroup)).await
}

/// Stores a group, unless it changed meanwhile.
pub(super) async fn commit(
    app: &App,
    found: &Found,
    group: Group,
    deed: Deed,
) -> Result<v1::Group> {
    let (feed, id) = (found.feed.clone(), found.row.id);
    let payload = v1::Group::from(group).encode_to_vec();
    let change = Change::new().expect(feed.clone(), id, Some(found.row.sequence)).put(
        feed,
        Kind::GROUP,
        id,
        payload,
    );
    app.writer.commit(change.by(deed)).await?;
    stored(app, id).await
}

pub(super) fn sight(app: &App, caller: &Caller) -> Result<Sight> {
    Sight::of(app, caller, Operation::ReadGroup, Operation::ReadMember)
}

/// A group that the caller may see, by record id, source id or number.
pub(super) async fn find(app: &App, sight: &Sight, name: &str) -> Result<Found> {
    let number = name.strip_prefix(COHORT).and_then(|number| number.parse::<u32>().ok());
    let mut found = match (number, uuid::Uuid::try_parse(name)) {
        (Some(number), _) => of_number(app, number).await?,
        (None, Ok(id)) => records::find(app, RecordId(id.into_bytes())).await?,
        (None, Err(_)) if name.is_empty() => Vec::new(),
        (None, Err(_)) => records::carrying_anywhere(app, filter(Filter::Source, name)).await?,
    };
    found.retain(|found| found.is(Kind::GROUP, Audience::Network) && sight.allows(&found.feed));
    found.into_iter().next().ok_or(Error::NotFound { noun: "group" })
}

/// A group whose home the caller works for.
pub(super) async fn own(app: &App, caller: &Caller, name: &str) -> Result<Found> {
    caller.may(Operation::EditGroup)?;
    let found = find(app, &sight(app, caller)?, name).await?;
    let home = &found.feed.home;
    if sight::homes(app, caller, Operation::EditGroup).contains(home) {
        return Ok(found);
    }
    Err(match app.keys.is_home(home) {
        true => Error::Denied,
        false => Error::NotHome { home: home.to_string() },
    })
}

async fn of_number(app: &App, number: u32) -> Result<Vec<Found>> {
    let term = filter(Filter::Issue, &cohort_number(number));
    let mut found = records::carrying_anywhere(app, term).await?;
    found.retain(|found| found.is(Kind::GROUP, Audience::Network));
    Ok(found)
}

async fn stored(app: &App, id: RecordId) -> Result<v1::Group> {
    let found = records::find(app, id).await?;
    let group = found.iter().find(|found| found.row.kind == Kind::GROUP);
    shown(app, group.ok_or(Error::NotFound { noun: "group" })?)
}

fn shown(app: &App, found: &Found) -> Result<v1::Group> {
    let mut group: v1::Group = found.message()?;
    group.id = found.row.id.to_string();
    group.home = found.feed.home.to_string();
    group.etag = found.etag(app);
    Ok(group)
}

fn place(group: &Group, id: RecordId) -> [u8; PLACE] {
    let mut place = [0; PLACE];
    place[..4].copy_from_slice(&group.kind.number().to_be_bytes());
    place[4..8].copy_from_slice(&group.issue_no.unwrap_or(0).to_be_bytes());
    let days = group.started_on.map_or(0, crate::app::import::midnight_ms) / 86_400_000;
    place[8..12].copy_from_slice(&(days as u32).to_be_bytes());
    place[12..].copy_from_slice(&id.0);
    place
}
