//! Feeds that are frozen: which of ours elsewhere, by the points' own word, and of which here their homes
//! have been told.

use sqlx::{AnyConnection, Row as _, any::AnyRow};

use super::{StoreError, database::failed};
use crate::domain::{
    audience::{Audience, FeedId},
    id::PointCode,
    time::Time,
};

/// What the queries of this file take; the caller owns it.
pub type Connection = AnyConnection;

/// What a home was told last of a feed that is frozen here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    pub feed: FeedId,
    pub epoch_counter: u64,
    pub proved: bool,
}

/// A point's word on a feed of ours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Heard {
    pub feed: FeedId,
    pub point: PointCode,
    pub epoch_counter: u64,
    pub number: u64,
    pub proved: bool,
    pub at: Time,
}

fn feed(row: &AnyRow) -> Result<FeedId, StoreError> {
    let damaged = StoreError::Damaged { what: "frozen feed" };
    let home = row.try_get::<String, _>("home")?.parse();
    let audience = Audience::from_number(row.try_get("audience")?);
    match (home, audience) {
        (Ok(home), Some(audience)) => Ok(FeedId::new(home, audience)),
        _ => Err(damaged),
    }
}

pub async fn list_told(db: &mut Connection) -> Result<Vec<Told>, StoreError> {
    let sql = "select home, audience, epoch_counter, whole from freezes_told";
    let rows = sqlx::query(sql).fetch_all(db).await.map_err(failed)?;
    rows.iter()
        .map(|row| {
            Ok(Told {
                feed: feed(row)?,
                epoch_counter: row.try_get::<i64, _>("epoch_counter")? as u64,
                proved: row.try_get::<i64, _>("whole")? != 0,
            })
        })
        .collect()
}

pub async fn put_told(db: &mut Connection, told: &Told) -> Result<(), StoreError> {
    let sql = "insert into freezes_told (home, audience, epoch_counter, whole)
               values ($1, $2, $3, $4)
               on conflict (home, audience) do update set epoch_counter = excluded.epoch_counter,
                 whole = excluded.whole";
    let query = sqlx::query(sql).bind(told.feed.home.as_str()).bind(told.feed.audience as i64);
    let query = query.bind(told.epoch_counter as i64).bind(i64::from(told.proved));
    query.execute(db).await.map_err(failed)?;
    Ok(())
}

pub async fn remove_told(db: &mut Connection, feed: &FeedId) -> Result<(), StoreError> {
    let sql = "delete from freezes_told where home = $1 and audience = $2";
    let query = sqlx::query(sql).bind(feed.home.as_str()).bind(feed.audience as i64);
    query.execute(db).await.map_err(failed)?;
    Ok(())
}

/// The words of all points, by feed and point. One point has one word on a feed.
pub async fn list_heard(db: &mut Connection) -> Result<Vec<Heard>, StoreError> {
    let sql = "select home, audience, point, epoch_counter, number, whole, heard_us
               from freezes_heard order by home, audience, point";
    let rows = sqlx::query(sql).fetch_all(db).await.map_err(failed)?;
    rows.iter()
        .map(|row| {
            let point = row.try_get::<String, _>("point")?.parse();
            Ok(Heard {
                feed: feed(row)?,
                point: point.map_err(|_| StoreError::Damaged { what: "frozen feed" })?,
                epoch_counter: row.try_get::<i64, _>("epoch_counter")? as u64,
                number: row.try_get::<i64, _>("number")? as u64,
                proved: row.try_get::<i64, _>("whole")? != 0,
                at: Time(row.try_get("heard_us")?),
            })
        })
        .collect()
}

pub async fn put_heard(db: &mut Connection, heard: &Heard) -> Result<(), StoreError> {
    let sql = "insert into freezes_heard
                 (home, audience, point, epoch_counter, number, whole, heard_us)
               values ($1, $2, $3, $4, $5, $6, $7)
               on conflict (home, audience, point) do update set
                 epoch_counter = excluded.epoch_counter, number = excluded.number,
                 whole = excluded.whole, heard_us = excluded.heard_us";
    let query = sqlx::query(sql).bind(heard.feed.home.as_str()).bind(heard.feed.audience as i64);
    let query = query.bind(heard.point.as_str()).bind(heard.epoch_counter as i64);
    let query = query.bind(heard.number as i64).bind(i64::from(heard.proved)).bind(heard.at.0);
    query.execute(db).await.map_err(failed)?;
    Ok(())
}

pub async fn remove_heard(
    db: &mut Connection,
    feed: &FeedId,
    point: &PointCode,
) -> Result<(), StoreError> {
    let sql = "delete from freezes_heard where home = $1 and audience = $2 and point = $3";
    let query = sqlx::query(sql).bind(feed.home.as_str()).bind(feed.audience as i64);
    query.bind(point.as_str()).execute(db).await.map_err(failed)?;
    Ok(())
}
