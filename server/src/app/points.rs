//! The directory of contact points. Each point's entry lies in its own public feed, whoever's node
//! writes that.

use prost::Message;
use yizhan_proto::v1;

use super::{
    App, answers,
    error::{Error, Result},
    import::midnight_ms,
    records::{self, Found},
    sight::{self, Sight},
};
use crate::{
    domain::{
        analyzer::{Filter, filter},
        audience::{Audience, FeedId},
        audit::Deed,
        calendar::Date,
        id::{PointCode, RecordId},
        kind::Kind,
        page::{Question, page_size},
        point::{Point, PointMove, PointState},
        policy::Operation,
        region::RegionPrefix,
        roster::{NAME_MAX, RosterEntry},
        text::Invalid,
    },
    feed::change::Change,
    found::roster_id,
    identity::{caller::Caller, enrolment::newcomer},
};

/// Bytes of a place in a page token: a code, padded.
const PLACE: usize = PointCode::MAX_LEN;

/// Which points to list.
#[derive(Default, Debug)]
pub struct Asked {
    /// Prefix of a region code; empty: all.
    pub region: String,
    /// None: all but closed.
    pub state: Option<PointState>,
    pub page_size: i32,
    pub page_token: String,
}

/// One page of points, and what it rests on.
pub struct Page {
    pub items: Vec<v1::Point>,
    pub next_page_token: String,
    pub points: Vec<v1::PointState>,
}

/// Lists points by code.
pub async fn list(app: &App, caller: &Caller, asked: Asked) -> Result<Page> {
    let sight = Sight::of(app, caller, Operation::ReadDirectory, Operation::ReadDirectory)?;
    let size = page_size(asked.page_size)?;
    let question =
        Question::new("points").with(&asked.region).with(asked.state.map_or("", PointState::name));
    let after: Option<[u8; PLACE]> = question.place(&asked.page_token)?;
    let region = match asked.region.as_str() {
        "" => None,
        text => Some(RegionPrefix::parse(text, "region")?),
    };
    let term = filter(Filter::Kind, &Kind::POINT.0.to_string());
    let mut all = Vec::new();
    for found in records::carrying_anywhere(app, term).await? {
        let point: Point = found.value::<v1::Point, _>()?;
        let is_asked = match asked.state {
            Some(state) => point.state == state,
            None => point.state != PointState::Closed,
        };
        // A point lies in a region, or serves it or a part of it.
        let is_there = region.as_ref().is_none_or(|region| {
            let serves =
                |area: &str| area.starts_with(region.as_str()) || region.as_str().starts_with(area);
            region.covers(point.region) || point.areas.iter().any(|at| serves(at.prefix.as_str()))
        });
        let place = place(&point.code);
        if is_asked && is_there && after.is_none_or(|after| place > after) {
            all.push((place, found));
        }
    }
    all.sort_by_key(|(place, found)| (*place, std::cmp::Reverse(found.row.sequence)));
    all.dedup_by_key(|(place, _)| *place);
    let next_page_token = match all.get(size) {
        Some(_) => question.token(&all[size - 1].0),
        None => String::new(),
    };
    all.truncate(size);
    let items = all.iter().map(|(_, found)| shown(app, found)).collect::<Result<_>>()?;
    let points = answers::points(app, &sight, &[Audience::Public]);
    Ok(Page { items, next_page_token, points })
}

/// Gets a point by its code.
pub async fn get(
    app: &App,
    caller: &Caller,
    code: &PointCode,
) -> Result<(v1::Point, v1::PointState)> {
    let sight = Sight::of(app, caller, Operation::ReadDirectory, Operation::ReadDirectory)?;
    let found = find(app, code).await?.ok_or(Error::NotFound { noun: "point" })?;
    Ok((shown(app, &found)?, answers::point(app, &sight, code, &[Audience::Public])))
}

/// Adds a point, hosted by this node. Only the founding node can enter a new one into the roster.
pub async fn create(app: &App, caller: &Caller, mut new: v1::Point) -> Result<v1::Point> {
    caller.may(Operation::OpenPoint)?;
    if caller.point() != Some(&app.keys.point) {
        return Err(Error::Denied);
    }
    new.node = app.keys.point.to_string();
    if new.parent.is_empty() {
        new.parent.clone_from(&new.node);
    }
    if new.registered_region.is_empty() {
        new.registered_region.clone_from(&new.region_code);
    }
    new.source.clear();
    let point: Point = new.try_into().map_err(|invalid: Invalid| invalid.under("point"))?;
    if !matches!(point.state, PointState::Proposed | PointState::Active) {
        return Err(Invalid::new("point.state", "move_refused").into());
    }
    let code = point.code.clone();
    if let Some(found) = find(app, &code).await? {
        // The same request again changes nothing; another one does not get the code.
        let known: Point = found.value::<v1::Point, _>()?;
        return if known == point { shown(app, &found) } else { Err(exists()) };
    }
    match app.keys.roster().get(&code) {
        Some(_) if app.keys.is_home(&code) => (),
        Some(_) => return Err(exists()),
        None => {
            let feed = app.keys.roster_feed();
            if app.keys.signer(&feed).is_none() {
                return Err(Error::NotHome { home: app.keys.founder.to_string() });
            }
            let id = roster_id(&app.keys.network, &code);
            let entry = roster_entry(&point, app.keys.point.clone());
            let payload = v1::RosterPoint::from(entry).encode_to_vec();
            let change = Change::new().expect(feed.clone(), id, None).put(
                feed,
                Kind::ROSTER_POINT,
                id,
                payload,
            );
            app.writer.commit(change.by(caller.deed(Operation::OpenPoint))).await?;
        }
    }
    let opened = point.opened_on.map_or(0, midnight_ms);
    let id = RecordId::of_source(&app.keys.network, Kind::POINT.0, code.as_str(), opened);
    let feed = FeedId::new(code.clone(), Audience::Public);
    let payload = v1::Point::from(point).encode_to_vec();
    let change = Change::new().put(feed, Kind::POINT, id, payload);
    app.writer.commit(change.by(caller.deed(Operation::OpenPoint))).await?;
    stored(app, &code).await
}

/// Changes a point's entry. Code, parent and node are not changed here.
pub async fn update(app: &App, caller: &Caller, mut changed: v1::Point) -> Result<v1::Point> {
    caller.may(Operation::EditPoint)?;
    let code: PointCode = crate::wire::value::point_code(&changed.code, "point.code")?;
    if changed.etag.is_empty() {
        return Err(Invalid::new("point.etag", "required").into());
    }
    let found = own(app, caller, Operation::EditPoint, &code).await?;
    found.check_etag(app, &changed.etag)?;
    let before: v1::Point = found.message()?;
    changed.parent.clone_from(&before.parent);
    changed.node.clone_from(&before.node);
    changed.source.clone_from(&before.source);
    let before: Point = found.value::<v1::Point, _>()?;
    let point: Point = changed.try_into().map_err(|invalid: Invalid| invalid.under("point"))?;
    let moves = [PointMove::Open, PointMove::Pause, PointMove::Resume];
    let is_move = |step: &PointMove| before.state.after(*step) == Ok(point.state);
    if before.state != point.state && !moves.iter().any(is_move) {
        return Err(Invalid::new("point.state", "move_refused").hint(before.state.ways()).into());
    }
    commit(app, &found, point, caller.deed(Operation::EditPoint)).await?;
    stored(app, &code).await
}

/// Closes a point for good.
pub async fn close(
    app: &App,
    caller: &Caller,
    code: &PointCode,
    successor: Option<PointCode>,
    closed_on: Option<Date>,
    etag: &str,
) -> Result<v1::Point> {
    let found = own(app, caller, Operation::OpenPoint, code).await?;
    found.check_etag(app, etag)?;
    let mut point: Point = found.value::<v1::Point, _>()?;
    point.state = point.state.after(PointMove::Close)?;
    if let Some(successor) = &successor
        && app.keys.roster().get(successor).is_none()
    {
        return Err(Invalid::new("successor", "unknown_point").into());
    }
    point.successor = successor;
    point.closed_on = closed_on.or_else(|| today(app));
    commit(app, &found, point.checked()?, caller.deed(Operation::OpenPoint)).await?;
    stored(app, code).await
}

/// The roster entry of a point that this network's data knows and `host` serves.
pub fn roster_entry(point: &Point, host: PointCode) -> RosterEntry {
    let parent = point.parent.clone().unwrap_or_else(|| host.clone());
    let mut entry = newcomer(&point.code, &parent);
    if let Some((_, name)) = point.names.0.first() {
        entry.name = name.chars().take(NAME_MAX).collect();
    }
    entry.registered_region = point.registered_region.to_string();
    entry.host = Some(host);
    entry
}

fn exists() -> Error {
    Error::Exists { noun: "point" }
}

async fn commit(app: &App, found: &Found, point: Point, deed: Deed) -> Result<()> {
    let (feed, id) = (found.feed.clone(), found.row.id);
    let payload = v1::Point::from(point).encode_to_vec();
    let change = Change::new().expect(feed.clone(), id, Some(found.row.sequence)).put(
        feed,
        Kind::POINT,
        id,
        payload,
    );
    app.writer.commit(change.by(deed)).await?;
    Ok(())
}

/// The entry of a point that the caller may change.
async fn own(app: &App, caller: &Caller, operation: Operation, code: &PointCode) -> Result<Found> {
    caller.may(operation)?;
    let found = find(app, code).await?.ok_or(Error::NotFound { noun: "point" })?;
    if sight::homes(app, caller, operation).contains(code) {
        return Ok(found);
    }
    let node = app.keys.roster().server_of(code).unwrap_or(code).to_string();
    Err(if app.keys.is_home(code) { Error::Denied } else { Error::NotHome { home: node } })
}

/// The newest entry of a point.
pub(crate) async fn find(app: &App, code: &PointCode) -> Result<Option<Found>> {
    let feed = FeedId::new(code.clone(), Audience::Public);
    let term = filter(Filter::Kind, &Kind::POINT.0.to_string());
    let found = records::carrying(app, &feed, Kind::POINT, term).await?;
    Ok(found.into_iter().max_by_key(|found| found.row.sequence))
}

async fn stored(app: &App, code: &PointCode) -> Result<v1::Point> {
    shown(app, &find(app, code).await?.ok_or(Error::NotFound { noun: "point" })?)
}

fn shown(app: &App, found: &Found) -> Result<v1::Point> {
    let mut point: v1::Point = found.message()?;
    point.id = found.row.id.to_string();
    point.home = found.feed.home.to_string();
    point.etag = found.etag(app);
    // Who serves a point today is the roster's word; the entry was right when it was written.
    if let Some(node) = app.keys.roster().server_of(&found.feed.home) {
        point.node = node.to_string();
    }
    Ok(point)
}

fn place(code: &PointCode) -> [u8; PLACE] {
    let mut place = [0; PLACE];
    place[..code.as_str().len()].copy_from_slice(code.as_str().as_bytes());
    place
}

fn today(app: &App) -> Option<Date> {
    let now = jiff::Timestamp::from_microsecond(app.outside.now().0).ok()?;
    Some(now.to_zoned(jiff::tz::TimeZone::UTC).date())
}

#[cfg(test)]
#[path = "points_tests.rs"]
mod tests;
