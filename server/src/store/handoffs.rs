//! Words on handoffs on their way in, and messages that have to follow a released request.

use sqlx::{AnyConnection, FromRow, Row, any::AnyRow};

use super::{Result, Slot, StoreError, database::failed};
use crate::domain::{id::RecordId, position::Sequence, time::Time};

/// What the queries of this file take; the caller owns it.
pub type Connection = AnyConnection;

/// A word that has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrived {
    /// Code of the point that it is for.
    pub owner: String,
    pub handoff: RecordId,
    pub kind: i64,
    pub extra: Vec<u8>,
    pub sender: String,
    pub word: Vec<u8>,
    pub arrived: Time,
}

/// Keeps a word until it is entered; the same one again changes nothing.
pub async fn put(db: &mut Connection, word: &Arrived) -> Result<()> {
    let sql = "insert into handoff_words (owner, handoff, kind, extra, sender, word, arrived_us)
               values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing";
    let query = sqlx::query(sql).bind(&word.owner).bind(word.handoff.0.to_vec()).bind(word.kind);
    let query = query.bind(word.extra.clone()).bind(&word.sender).bind(word.word.clone());
    query.bind(word.arrived.0).execute(db).await.map_err(failed)?;
    Ok(())
}

/// What waits, oldest first; a release before the messages that belong to it.
pub async fn list(db: &mut Connection, limit: u32) -> Result<Vec<Arrived>> {
    let sql = "select owner, handoff, kind, extra, sender, word, arrived_us from handoff_words
               order by arrived_us, kind limit $1";
    sqlx::query_as(sql).bind(i64::from(limit)).fetch_all(db).await.map_err(failed)
}

pub async fn delete(db: &mut Connection, word: &Arrived) -> Result<()> {
    let sql = "delete from handoff_words
               where owner = $1 and handoff = $2 and kind = $3 and extra = $4";
    let query = sqlx::query(sql).bind(&word.owner).bind(word.handoff.0.to_vec()).bind(word.kind);
    query.bind(word.extra.clone()).execute(db).await.map_err(failed)?;
    Ok(())
}

/// Positions of messages of one copy whose request was passed on.
pub async fn list_left_behind(db: &mut Connection, slot: Slot, limit: u32) -> Result<Vec<i64>> {
    let sql = "select m.position from help_requests r join help_messages m on m.request = r.id
               where r.slot = $1 and r.state = 0 and m.position > $2 and m.position <= $3
               order by m.position limit $4";
    let query = sqlx::query_scalar(sql).bind(i64::from(slot.0));
    let query = query.bind(slot.position(Sequence(0))).bind(slot.position(Sequence::MAX));
    query.bind(i64::from(limit)).fetch_all(db).await.map_err(failed)
}

impl FromRow<'_, AnyRow> for Arrived {
    fn from_row(row: &AnyRow) -> sqlx::Result<Arrived> {
        let id: Vec<u8> = row.try_get("handoff")?;
        let damaged = |_| sqlx::Error::Decode(StoreError::Damaged { what: "handoff" }.into());
        Ok(Arrived {
            owner: row.try_get("owner")?,
            handoff: RecordId(id.try_into().map_err(damaged)?),
            kind: row.try_get("kind")?,
            extra: row.try_get("extra")?,
            sender: row.try_get("sender")?,
            word: row.try_get("word")?,
            arrived: Time(row.try_get("arrived_us")?),
        })
    }
}
