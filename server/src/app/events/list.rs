//! Events in the order of the calendar, of all homes.

use std::collections::{BTreeMap, HashSet};

use yizhan_proto::v1::{self, event_host};

use crate::{
    app::{
        App, answers,
        error::Result,
        live::{self, Wanted},
        records::{Found, Readable},
        sight::Sight,
    },
    domain::{
        analyzer::{Filter, Query, filter},
        audience::Audience,
        event::EventState,
        id::{PointCode, RecordId},
        kind::Kind,
        page::{Question, page_size},
        policy::Operation,
        region::RegionPrefix,
        series::series_code,
        time::Time,
    },
    identity::caller::Caller,
    store::{
        database::Reader,
        events::{self, Place},
        records, search,
    },
};

/// Places looked at for one page; a page that holds less leads on all the same.
const PLACES_MAX: usize = 50_000;
/// Bytes of a place in a page token.
const PLACE: usize = 32;

/// Which events to list. Empty or none: all.
#[derive(Default, Debug)]
pub struct Asked {
    pub series: String,
    pub state: Option<EventState>,
    pub from: Option<Time>,
    pub to: Option<Time>,
    pub home: Option<PointCode>,
    pub region: String,
    pub words: String,
    pub page_size: i32,
    pub page_token: String,
    pub live: bool,
    /// Leads, or has accepted to be a co-host.
    pub host: Option<PointCode>,
}

/// One page of events, and what it rests on.
pub struct Page {
    pub items: Vec<v1::Event>,
    pub next_page_token: String,
    pub points: Vec<v1::PointState>,
}

/// Lists public events, and drafts of the caller's own homes, earliest start first.
pub async fn list(app: &App, caller: &Caller, asked: Asked) -> Result<Page> {
    let sight = Sight::of(app, caller, Operation::ReadEvent, Operation::ReadEvent)?;
    let size = page_size(asked.page_size)?;
    let question = question(&asked, &sight);
    let mut at = match question.place::<PLACE>(&asked.page_token)? {
        Some(bytes) => place(bytes),
        None => Place::FIRST,
    };
    let query = query(&asked)?;
    let audiences = &[Audience::Public];
    let live = match asked.live {
        true => Some(live::ask(app, caller, Wanted { audiences, figures: false }).await?),
        false => None,
    };
    let mut points = answers::points(app, &sight, audiences);
    live.inspect(|live| live.mark(&mut points));
    let mut page = Page { items: Vec::new(), next_page_token: String::new(), points };
    if query.is_hopeless {
        return Ok(page);
    }
    let span = asked.from.map_or(i64::MIN, |time| time.0)..asked.to.map_or(i64::MAX, |time| time.0);
    let any = [Kind::EVENT, Kind::EVENT_PLAN].map(|kind| filter(Filter::Kind, &kind.0.to_string()));
    let words = match query.terms.is_empty() {
        true => None,
        false => search::expression(app.db.dialect, &query.terms, &any),
    };
    let readable = sources(app, &sight);

    let mut db = app.db.reader().await?;
    let mut seen = 0;
    while seen < PLACES_MAX {
        let limit = 2 * (size + 1 - page.items.len());
        let places =
            events::list(&mut db, app.db.dialect, words.as_deref(), at, span.clone(), limit)
                .await?;
        seen += places.len();
        let mut found = at_places(app, &mut db, &readable, &places).await?;
        let public = public_of(app, &mut db, &readable, &found).await?;
        for place in &places {
            let item = match found.remove(&place.position) {
                // The plan of an event that is public stands for nothing of its own.
                Some(found) if found.row.kind == Kind::EVENT_PLAN => {
                    let is_public = public.contains(&found.row.id);
                    if is_public { None } else { Some(draft(app, &found)?) }
                }
                Some(found) => Some(shown(app, &found)?),
                None => None,
            };
            let item = item.filter(|item| {
                let texts = item.titles.iter().map(|title| title.text.as_str());
                let is_hosted = asked.host.as_ref().is_none_or(|host| is_hosted_by(item, host));
                is_hosted && query.fits(texts.chain([item.venue.as_str()]))
            });
            if let Some(item) = item {
                if page.items.len() == size {
                    page.next_page_token = question.token(&bytes(at));
                    return Ok(page);
                }
                page.items.push(item);
            }
            at = *place;
        }
        if places.len() < limit {
            return Ok(page);
        }
    }
    page.next_page_token = question.token(&bytes(at));
    Ok(page)
}

fn is_hosted_by(event: &v1::Event, point: &PointCode) -> bool {
    let takes_part = |host: &v1::EventHost| {
        host.role() == event_host::Role::Lead || host.state() == event_host::State::Accepted
    };
    event.hosts.iter().any(|host| host.point == point.as_str() && takes_part(host))
}

/// Public events of all homes; plans of the caller's own.
fn sources(app: &App, sight: &Sight) -> Readable {
    let mut readable = BTreeMap::clone(&app.heads.readable_slots());
    readable.retain(|_, feed| match feed.audience {
        Audience::Public => true,
        Audience::Home => sight.is_own(&feed.home),
        Audience::Sealed | Audience::Domestic | Audience::Network | Audience::Roster => false,
    });
    readable
}

async fn at_places(
    app: &App,
    db: &mut Reader,
    readable: &Readable,
    places: &[Place],
) -> Result<BTreeMap<i64, Found>> {
    let positions: Vec<i64> = places.iter().map(|place| place.position).collect();
    let stored = records::at(db, app.db.dialect, &positions).await?;
    let found = stored.into_iter().filter_map(|stored| {
        let position = stored.slot.position(stored.row.sequence);
        Some((position, Found::of(readable, stored)?))
    });
    Ok(found.collect())
}

/// Of the plans among these, the ones whose event is public.
async fn public_of(
    app: &App,
    db: &mut Reader,
    readable: &Readable,
    found: &BTreeMap<i64, Found>,
) -> Result<HashSet<RecordId>> {
    let plans = found.values().filter(|found| found.row.kind == Kind::EVENT_PLAN);
    let ids: Vec<RecordId> = plans.map(|found| found.row.id).collect();
    let versions = records::find_many(db, app.db.dialect, &ids).await?;
    let public = versions.into_iter().filter_map(|stored| Found::of(readable, stored));
    Ok(public.filter(|found| found.row.kind == Kind::EVENT).map(|found| found.row.id).collect())
}

/// A public event with what only answers carry.
pub(super) fn shown(app: &App, found: &Found) -> Result<v1::Event> {
    let mut event: v1::Event = found.message()?;
    event.id = found.row.id.to_string();
    event.home = found.feed.home.to_string();
    event.etag = found.etag(app);
    Ok(event)
}

/// An event that only its home knows of.
pub(super) fn draft(app: &App, found: &Found) -> Result<v1::Event> {
    let plan: v1::EventPlan = found.message()?;
    let mut event = plan.event.unwrap_or_default();
    event.id = found.row.id.to_string();
    event.home = found.feed.home.to_string();
    event.etag = found.etag(app);
    Ok(event)
}

fn question(asked: &Asked, sight: &Sight) -> Question {
    let time = |time: Option<Time>| time.map(|time| time.0.to_string()).unwrap_or_default();
    Question::new("events")
        .with(&asked.series)
        .with(asked.state.map_or("", EventState::name))
        .with(&time(asked.from))
        .with(&time(asked.to))
        .with(asked.home.as_ref().map_or("", PointCode::as_str))
        .with(&asked.region)
        .with(&asked.words)
        .with(asked.host.as_ref().map_or("", PointCode::as_str))
        .with(&sight.name())
}

fn query(asked: &Asked) -> Result<Query> {
    let mut query = Query::parse(&asked.words)?;
    if !asked.series.is_empty() {
        query = query.filter(Filter::Series, &series_code(&asked.series, "series")?);
    }
    if let Some(state) = asked.state {
        query = query.filter(Filter::State, state.name());
    }
    if let Some(home) = &asked.home {
        query = query.filter(Filter::Home, home.as_str());
    }
    if !asked.region.is_empty() {
        let prefix = RegionPrefix::parse(&asked.region, "region")?;
        query = query.filter(Filter::Region, prefix.as_str());
    }
    Ok(query)
}

fn bytes(place: Place) -> [u8; PLACE] {
    let mut bytes = [0; PLACE];
    bytes[..8].copy_from_slice(&place.start.to_be_bytes());
    bytes[8..24].copy_from_slice(&place.id);
    bytes[24..].copy_from_slice(&place.position.to_be_bytes());
    bytes
}

fn place(bytes: [u8; PLACE]) -> Place {
    let mut place = Place::FIRST;
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[..8]);
    place.start = i64::from_be_bytes(number);
    place.id.copy_from_slice(&bytes[8..24]);
    number.copy_from_slice(&bytes[24..]);
    place.position = i64::from_be_bytes(number);
    place
}
