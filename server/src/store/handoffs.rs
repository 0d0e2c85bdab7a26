//! Words on handoffs on their way in, and messages that have to follow a released request.

use sqlx::{AnyConnection, FromRow, Row, any::AnyRow};

use super::{Result, Slot, StoreError, database::failed};
use crate::domain::{id::RecordId, position::Sequence, time::Time};

/// What the queries of this file take; the caller owns it.
pub type Connection = AnyConnection;

/// Which words wait together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i64)]
pub enum Lane {
    /// On a handoff itself: entered as soon as it is looked at.
    Said = 0,
    /// Messages and pieces of files: they wait until their request is known.
    Following = 1,
}

/// A word that has come; its bytes are read apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrived {
    /// Code of the point that it is for.
    pub owner: String,
    pub sender: String,
    pub handoff: RecordId,
    pub kind: i64,
    pub extra: Vec<u8>,
    pub lane: Lane,
    pub request: RecordId,
    pub arrived: Time,
}

/// Keeps a word until it is entered; the same one of the same sender again changes nothing.
pub async fn put(db: &mut Connection, arrived: &Arrived, word: &[u8]) -> Result<()> {
    let sql = "insert into handoff_arrivals
                 (owner, sender, handoff, kind, extra, lane, request, arrived_us, word)
               values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict do nothing";
    let query = sqlx::query(sql).bind(&arrived.owner).bind(&arrived.sender);
    let query = query.bind(arrived.handoff.0.to_vec()).bind(arrived.kind);
    let query = query.bind(arrived.extra.clone()).bind(arrived.lane as i64);
    let query = query.bind(arrived.request.0.to_vec()).bind(arrived.arrived.0);
    query.bind(word.to_vec()).execute(db).await.map_err(failed)?;
    Ok(())
}

/// Words of a sender to one point that wait.
pub async fn count(db: &mut Connection, owner: &str, sender: &str, lane: Lane) -> Result<i64> {
    let sql = "select count(*) from handoff_arrivals
               where owner = $1 and sender = $2 and lane = $3";
    let query = sqlx::query_scalar(sql).bind(owner).bind(sender).bind(lane as i64);
    query.fetch_one(db).await.map_err(failed)
}

/// What waits, oldest first, from just after `after`.
pub async fn list(
    db: &mut Connection,
    lane: Lane,
    after: Option<&Arrived>,
    limit: u32,
) -> Result<Vec<Arrived>> {
    let sql = "select owner, sender, handoff, kind, extra, lane, request, arrived_us
               from handoff_arrivals
               where lane = $1
                 and (arrived_us, kind, owner, sender, handoff, extra) > ($2, $3, $4, $5, $6, $7)
               order by arrived_us, kind, owner, sender, handoff, extra limit $8";
    let query = sqlx::query_as(sql).bind(lane as i64);
    let query = query.bind(after.map_or(i64::MIN, |after| after.arrived.0));
    let query = query.bind(after.map_or(0, |after| after.kind));
    let query = query.bind(after.map_or("", |after| &after.owner));
    let query = query.bind(after.map_or("", |after| &after.sender));
    let query = query.bind(after.map_or_else(Vec::new, |after| after.handoff.0.to_vec()));
    let query = query.bind(after.map_or_else(Vec::new, |after| after.extra.clone()));
    query.bind(i64::from(limit)).fetch_all(db).await.map_err(failed)
}

/// The encoded word; none if somebody else has entered it.
pub async fn read(db: &mut Connection, arrived: &Arrived) -> Result<Option<Vec<u8>>> {
    let sql = "select word from handoff_arrivals
               where owner = $1 and sender = $2 and handoff = $3 and kind = $4 and extra = $5";
    let query = sqlx::query_scalar(sql).bind(&arrived.owner).bind(&arrived.sender);
    let query = query.bind(arrived.handoff.0.to_vec()).bind(arrived.kind);
    query.bind(arrived.extra.clone()).fetch_optional(db).await.map_err(failed)
}

pub async fn delete(db: &mut Connection, arrived: &Arrived) -> Result<()> {
    let sql = "delete from handoff_arrivals
               where owner = $1 and sender = $2 and handoff = $3 and kind = $4 and extra = $5";
    let query = sqlx::query(sql).bind(&arrived.owner).bind(&arrived.sender);
    let query = query.bind(arrived.handoff.0.to_vec()).bind(arrived.kind);
    query.bind(arrived.extra.clone()).execute(db).await.map_err(failed)?;
    Ok(())
}

/// Positions, beyond `after`, of messages of one copy whose request was passed on.
pub async fn list_left_behind(
    db: &mut Connection,
    slot: Slot,
    after: i64,
    limit: u32,
) -> Result<Vec<i64>> {
    let sql = "select m.position from help_requests r join help_messages m on m.request = r.id
               where r.slot = $1 and r.state = 0 and m.position > $2 and m.position <= $3
               order by m.position limit $4";
    let query = sqlx::query_scalar(sql).bind(i64::from(slot.0));
    let first = slot.position(Sequence(0)).max(after);
    let query = query.bind(first).bind(slot.position(Sequence::MAX));
    query.bind(i64::from(limit)).fetch_all(db).await.map_err(failed)
}

impl FromRow<'_, AnyRow> for Arrived {
    fn from_row(row: &AnyRow) -> sqlx::Result<Arrived> {
        let id = |column: &str| -> sqlx::Result<RecordId> {
            let id: Vec<u8> = row.try_get(column)?;
            let damaged = |_| sqlx::Error::Decode(StoreError::Damaged { what: "handoff" }.into());
            Ok(RecordId(id.try_into().map_err(damaged)?))
        };
        Ok(Arrived {
            owner: row.try_get("owner")?,
            sender: row.try_get("sender")?,
            handoff: id("handoff")?,
            kind: row.try_get("kind")?,
            extra: row.try_get("extra")?,
            lane: match row.try_get::<i64, _>("lane")? {
                0 => Lane::Said,
                _ => Lane::Following,
            },
            request: id("request")?,
            arrived: Time(row.try_get("arrived_us")?),
        })
    }
}
