//! Finding points, and showing of each what the caller may see.

use yizhan_proto::v1;

use crate::{
    app::{
        App, answers,
        error::{Error, Result},
        records::{self, Found},
        sight::Sight,
    },
    domain::{
        analyzer::{Filter, filter},
        audience::{Audience, FeedId},
        id::PointCode,
        kind::Kind,
        page::{Question, page_size},
        point::{Point, PointState},
        policy::Operation,
        region::RegionPrefix,
    },
    identity::caller::Caller,
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

/// A point, as far as the caller may see it.
#[derive(Clone, PartialEq, Debug)]
pub struct Seen {
    pub point: v1::Point,
    pub detail: Option<v1::PointDetail>,
    pub notes: Option<v1::PointNotes>,
    pub state: v1::PointState,
}

/// Gets a point by its code; with what points know, for those who work at one, and with what only the
/// point knows, for those who work there.
pub async fn get(app: &App, caller: &Caller, code: &PointCode) -> Result<Seen> {
    let sight = Sight::of(app, caller, Operation::ReadDirectory, Operation::ReadDirectory)?;
    let inner = Sight::of(app, caller, Operation::ReadPointDetail, Operation::ReadPointDetail).ok();
    let found = find(app, code).await?.ok_or(Error::NotFound { noun: "point" })?;
    let parts = records::find(app, found.row.id).await?;
    let part = |kind, audience| {
        parts.iter().find(|part| {
            part.feed.home == *code
                && part.is(kind, audience)
                && inner.as_ref().is_some_and(|sight| sight.allows(&part.feed))
        })
    };
    let detail = part(Kind::POINT_DETAIL, Audience::Network).map(Found::message).transpose()?;
    let notes = part(Kind::POINT_NOTES, Audience::Home).map(Found::message).transpose()?;
    let state = answers::point(app, &sight, code, &[Audience::Public]);
    Ok(Seen { point: shown(app, &found)?, detail, notes, state })
}

/// The newest entry of a point.
pub(crate) async fn find(app: &App, code: &PointCode) -> Result<Option<Found>> {
    let feed = FeedId::new(code.clone(), Audience::Public);
    let term = filter(Filter::Kind, &Kind::POINT.0.to_string());
    let found = records::carrying(app, &feed, Kind::POINT, term).await?;
    Ok(found.into_iter().max_by_key(|found| found.row.sequence))
}

pub(super) fn shown(app: &App, found: &Found) -> Result<v1::Point> {
    let mut point: v1::Point = found.message()?;
    point.id = found.row.id.to_string();
    point.home = found.feed.home.to_string();
    point.etag = found.etag(app);
    if point.asserted_by.is_empty() {
        point.asserted_by.clone_from(&point.home);
    }
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
