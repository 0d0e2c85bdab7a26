//! Adding, storing and closing a point's entry.

use prost::Message;
use yizhan_proto::v1;

use super::read::{Seen, find, get};
use crate::{
    app::{
        App,
        error::{Error, Result},
        import::midnight_ms,
        records::Found,
        sight,
    },
    domain::{
        audience::{Audience, FeedId},
        audit::Deed,
        calendar::Date,
        id::{PointCode, RecordId},
        kind::Kind,
        point::{Point, PointDetail, PointMove, PointNotes, PointState},
        policy::Operation,
        region,
        roster::{NAME_MAX, RosterEntry},
        text::Invalid,
    },
    feed::change::Change,
    found::roster_id,
    identity::{caller::Caller, enrolment::newcomer},
};

/// Adds a point, hosted by this node. Only the founding node can enter a new one into the roster.
pub async fn create(app: &App, caller: &Caller, mut new: v1::Point, parts: Parts) -> Result<Seen> {
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
    new.former_shorts.clear();
    if new.state == 0 {
        new.state = PointState::Proposed.number();
    }
    name_asserter(app, caller, &mut new.asserted_by);
    let point: Point = new.try_into().map_err(|invalid: Invalid| invalid.under("point"))?;
    if !matches!(point.state, PointState::Proposed | PointState::Active) {
        return Err(Invalid::new("point.state", "move_refused").into());
    }
    let nowhere = |invalid: Invalid| Invalid::new("point.code", invalid.reason);
    region::place_of_point(&point.code).map_err(nowhere)?;
    check_days(app, &point)?;
    for (field, named) in point.named_points() {
        check_known(app, named, &format!("point.{field}"))?;
    }
    let code = point.code.clone();
    if let Some(found) = find(app, &code).await? {
        // The same request again changes nothing; another one does not get the code.
        let known: Point = found.value::<v1::Point, _>()?;
        return if known == point { get(app, caller, &code).await } else { Err(exists()) };
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
    let change = parts.put(change, &code, id);
    app.writer.commit(change.by(caller.deed(Operation::OpenPoint))).await?;
    get(app, caller, &code).await
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
    if let Some(successor) = &successor {
        check_known(app, successor, "successor")?;
    }
    point.successor = successor;
    point.closed_on = closed_on.or_else(|| today(app));
    let deed = caller.deed(Operation::OpenPoint);
    commit(app, &found, point.checked()?, Parts::default(), deed).await?;
    Ok(get(app, caller, code).await?.point)
}

/// What is said of a point beside its public entry; none: nothing, it stays as it is.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Parts {
    pub detail: Option<PointDetail>,
    pub notes: Option<PointNotes>,
}

impl Parts {
    pub fn read(
        detail: Option<v1::PointDetail>,
        notes: Option<v1::PointNotes>,
    ) -> Result<Parts, Invalid> {
        let detail = detail.map(PointDetail::try_from).transpose();
        let notes = notes.map(PointNotes::try_from).transpose();
        Ok(Parts {
            detail: detail.map_err(|invalid| invalid.under("detail"))?,
            notes: notes.map_err(|invalid| invalid.under("notes"))?,
        })
    }

    fn put(self, mut change: Change, home: &PointCode, id: RecordId) -> Change {
        if let Some(detail) = self.detail {
            let feed = FeedId::new(home.clone(), Audience::Network);
            let payload = v1::PointDetail::from(detail).encode_to_vec();
            change = change.put(feed, Kind::POINT_DETAIL, id, payload);
        }
        if let Some(notes) = self.notes {
            let feed = FeedId::new(home.clone(), Audience::Home);
            let payload = v1::PointNotes::from(notes).encode_to_vec();
            change = change.put(feed, Kind::POINT_NOTES, id, payload);
        }
        change
    }
}

/// Whoever writes an entry and names nobody else vouches for it.
pub(in crate::app) fn name_asserter(app: &App, caller: &Caller, asserted_by: &mut String) {
    if asserted_by.trim().is_empty() {
        *asserted_by = caller.point().unwrap_or(&app.keys.point).to_string();
    }
}

/// Nobody has checked an entry tomorrow. A day's grace: somewhere it is tomorrow already.
pub(super) fn check_days(app: &App, point: &Point) -> Result<()> {
    let latest = today(app).and_then(|day| day.tomorrow().ok());
    if point.verified_on.zip(latest).is_some_and(|(verified, latest)| verified > latest) {
        return Err(Invalid::new("point.verified_on", "in_future").into());
    }
    Ok(())
}

pub(super) fn check_known(app: &App, code: &PointCode, field: &str) -> Result<()> {
    match app.keys.roster().get(code) {
        Some(_) => Ok(()),
        None => Err(Invalid::new(field, "unknown_point").into()),
    }
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

/// Stores a new version of an entry, and what is said beside it.
pub(super) async fn commit(
    app: &App,
    found: &Found,
    point: Point,
    parts: Parts,
    deed: Deed,
) -> Result<()> {
    let (feed, id) = (found.feed.clone(), found.row.id);
    let known: Point = found.value::<v1::Point, _>()?;
    let payload = v1::Point::from(point.in_place_of(&known)).encode_to_vec();
    let home = feed.home.clone();
    let change = Change::new().expect(feed.clone(), id, Some(found.row.sequence)).put(
        feed,
        Kind::POINT,
        id,
        payload,
    );
    let change = parts.put(change, &home, id);
    app.writer.commit(change.by(deed)).await?;
    Ok(())
}

/// The entry of a point that the caller may change.
pub(super) async fn own(
    app: &App,
    caller: &Caller,
    operation: Operation,
    code: &PointCode,
) -> Result<Found> {
    caller.may(operation)?;
    let found = find(app, code).await?.ok_or(Error::NotFound { noun: "point" })?;
    if sight::homes(app, caller, operation).contains(code) {
        return Ok(found);
    }
    let node = app.keys.roster().server_of(code).unwrap_or(code).to_string();
    Err(if app.keys.is_home(code) { Error::Denied } else { Error::NotHome { home: node } })
}

fn today(app: &App) -> Option<Date> {
    let now = jiff::Timestamp::from_microsecond(app.outside.now().0).ok()?;
    Some(now.to_zoned(jiff::tz::TimeZone::UTC).date())
}
