//! Series of events, of every point.

use prost::Message;
use yizhan_proto::v1;

use super::{
    App, answers,
    error::{Error, Result},
    records::{self, Found},
    sight::{self, Sight},
};
use crate::{
    domain::{
        analyzer::{Filter, filter},
        audience::{Audience, FeedId},
        id::PointCode,
        kind::Kind,
        page::{Question, page_size},
        policy::Operation,
        series::{Series, SeriesState, series_code},
        text::Invalid,
    },
    feed::change::{Change, CommitError},
    identity::caller::Caller,
};

/// Bytes of a place in a page token: code, then record id.
const PLACE: usize = 32;

/// One page of series, and what it rests on.
pub struct Page {
    pub items: Vec<v1::Series>,
    pub next_page_token: String,
    pub points: Vec<v1::PointState>,
}

/// Starts a series. Its code is nobody else's, as far as is known here.
pub async fn create(
    app: &App,
    caller: &Caller,
    mut new: v1::Series,
    home: Option<PointCode>,
    request_id: &str,
) -> Result<v1::Series> {
    caller.may(Operation::CreateSeries)?;
    let home = sight::home_for(app, caller, Operation::CreateSeries, home)?;
    let id = records::id_of_request(app, &home, Kind::SERIES, request_id)?;
    new.source.clear();
    if new.state == 0 {
        new.state = SeriesState::Active.number();
    }
    let series: Series = new.try_into().map_err(|invalid: Invalid| invalid.under("series"))?;
    let of_code = of_code(app, &series.code).await?;
    if of_code.iter().any(|found| found.row.id != id) {
        return Err(Error::Exists { noun: "series" });
    }
    let feed = FeedId::new(home, Audience::Public);
    let code = series.code.clone();
    let payload = v1::Series::from(series).encode_to_vec();
    let change = Change::new().expect(feed.clone(), id, None).put(feed, Kind::SERIES, id, payload);
    match app.writer.commit(change.by(caller.deed(Operation::CreateSeries))).await {
        // Made by the same request before: this is its answer again.
        Err(CommitError::Stale) if !request_id.is_empty() => (),
        done => drop(done?),
    }
    let found = self::of_code(app, &code).await?;
    shown(app, found.first().ok_or(Error::NotFound { noun: "series" })?)
}

/// Gets a series by its code.
pub async fn get(app: &App, caller: &Caller, code: &str) -> Result<(v1::Series, v1::PointState)> {
    let sight = Sight::of(app, caller, Operation::ReadDirectory, Operation::ReadDirectory)?;
    let found = of_code(app, &series_code(code, "code")?).await?;
    let found = found.first().ok_or(Error::NotFound { noun: "series" })?;
    let point = answers::point(app, &sight, &found.feed.home, &[Audience::Public]);
    Ok((shown(app, found)?, point))
}

/// Lists series by code.
pub async fn list(app: &App, caller: &Caller, asked_size: i32, page_token: &str) -> Result<Page> {
    let sight = Sight::of(app, caller, Operation::ReadDirectory, Operation::ReadDirectory)?;
    let size = page_size(asked_size)?;
    let question = Question::new("series");
    let after: Option<[u8; PLACE]> = question.place(page_token)?;
    let term = filter(Filter::Kind, &Kind::SERIES.0.to_string());
    let mut all = Vec::new();
    for found in records::carrying_anywhere(app, term).await? {
        let series = shown(app, &found)?;
        let mut place = [0; PLACE];
        let code = series.code.as_bytes();
        let length = code.len().min(PLACE / 2);
        place[..length].copy_from_slice(&code[..length]);
        place[PLACE / 2..].copy_from_slice(&found.row.id.0);
        all.push((place, series));
    }
    all.retain(|(place, _)| after.is_none_or(|after| *place > after));
    all.sort_by_key(|(place, _)| *place);
    let next_page_token = match all.get(size) {
        Some(_) => question.token(&all[size - 1].0),
        None => String::new(),
    };
    all.truncate(size);
    let points = answers::points(app, &sight, &[Audience::Public]);
    Ok(Page { items: all.into_iter().map(|(_, series)| series).collect(), next_page_token, points })
}

async fn of_code(app: &App, code: &str) -> Result<Vec<Found>> {
    let mut found = records::carrying_anywhere(app, filter(Filter::Series, code)).await?;
    found.retain(|found| found.is(Kind::SERIES, Audience::Public));
    Ok(found)
}

fn shown(app: &App, found: &Found) -> Result<v1::Series> {
    let mut series: v1::Series = found.message()?;
    series.id = found.row.id.to_string();
    series.home = found.feed.home.to_string();
    series.etag = found.etag(app);
    Ok(series)
}
