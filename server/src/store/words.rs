//! Words about persons, and about areas, on their way in: kept with the parcel's number, entered afterwards.

use sqlx::{AnyConnection, FromRow, Row, any::AnyRow};

use super::{Result, StoreError, database::failed};
use crate::domain::{id::RecordId, time::Time};

/// What the queries of this file take; the caller owns it.
pub type Connection = AnyConnection;

/// What words are about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i64)]
pub enum Channel {
    Transfers = 1,
    Moves = 2,
    /// Whom a point serves: what it proposes, and what the province says.
    Areas = 3,
}

/// A word that has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Word {
    /// Code of the point that it is for.
    pub owner: String,
    /// Id of the copy or the move.
    pub subject: RecordId,
    pub kind: i64,
    pub part: i64,
    pub sender: String,
    pub word: Vec<u8>,
    pub arrived: Time,
}

/// Keeps a word until it is entered; the same one again changes nothing.
pub async fn put(db: &mut Connection, channel: Channel, word: &Word) -> Result<()> {
    let sql = "insert into words (channel, owner, subject, kind, part, sender, word, arrived_us)
               values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing";
    let query = sqlx::query(sql).bind(channel as i64).bind(&word.owner);
    let query = query.bind(word.subject.0.to_vec()).bind(word.kind).bind(word.part);
    let query = query.bind(&word.sender).bind(word.word.clone()).bind(word.arrived.0);
    query.execute(db).await.map_err(failed)?;
    Ok(())
}

/// What waits of these kinds, oldest first.
pub async fn list(
    db: &mut Connection,
    channel: Channel,
    kinds: std::ops::RangeInclusive<i64>,
    limit: u32,
) -> Result<Vec<Word>> {
    let sql = "select owner, subject, kind, part, sender, word, arrived_us from words
               where channel = $1 and kind between $2 and $3
               order by arrived_us, kind, part limit $4";
    let query = sqlx::query_as(sql).bind(channel as i64).bind(*kinds.start()).bind(*kinds.end());
    query.bind(i64::from(limit)).fetch_all(db).await.map_err(failed)
}

/// What waits of one kind: for whom, on which subject, and the highest part.
pub async fn subjects(
    db: &mut Connection,
    channel: Channel,
    kind: i64,
    limit: u32,
) -> Result<Vec<(String, RecordId, i64)>> {
    let sql = "select owner, subject, max(part) as part from words
               where channel = $1 and kind = $2 group by owner, subject
               order by owner, subject limit $3";
    let query = sqlx::query(sql).bind(channel as i64).bind(kind).bind(i64::from(limit));
    let rows = query.fetch_all(db).await.map_err(failed)?;
    let read = |row: &AnyRow| -> sqlx::Result<(String, RecordId, i64)> {
        let id: Vec<u8> = row.try_get("subject")?;
        let damaged = |_| sqlx::Error::Decode(StoreError::Damaged { what: "word" }.into());
        Ok((row.try_get("owner")?, RecordId(id.try_into().map_err(damaged)?), row.try_get("part")?))
    };
    rows.iter().map(read).collect::<sqlx::Result<_>>().map_err(failed)
}

/// All that waits on one subject of one kind, by part.
pub async fn of_subject(
    db: &mut Connection,
    channel: Channel,
    owner: &str,
    subject: RecordId,
    kind: i64,
) -> Result<Vec<Word>> {
    let sql = "select owner, subject, kind, part, sender, word, arrived_us from words
               where channel = $1 and owner = $2 and subject = $3 and kind = $4 order by part";
    let query = sqlx::query_as(sql).bind(channel as i64).bind(owner).bind(subject.0.to_vec());
    query.bind(kind).fetch_all(db).await.map_err(failed)
}

pub async fn delete(db: &mut Connection, channel: Channel, word: &Word) -> Result<()> {
    let sql = "delete from words where channel = $1 and owner = $2 and subject = $3 and kind = $4
                 and part = $5";
    let query = sqlx::query(sql).bind(channel as i64).bind(&word.owner);
    let query = query.bind(word.subject.0.to_vec()).bind(word.kind).bind(word.part);
    query.execute(db).await.map_err(failed)?;
    Ok(())
}

/// Forgets the words of one kind on a subject up to a part.
pub async fn delete_up_to(
    db: &mut Connection,
    channel: Channel,
    (owner, subject): (&str, RecordId),
    kind: i64,
    part: i64,
) -> Result<()> {
    let sql = "delete from words where channel = $1 and owner = $2 and subject = $3 and kind = $4
                 and part <= $5";
    let query = sqlx::query(sql).bind(channel as i64).bind(owner).bind(subject.0.to_vec());
    query.bind(kind).bind(part).execute(db).await.map_err(failed)?;
    Ok(())
}

impl FromRow<'_, AnyRow> for Word {
    fn from_row(row: &AnyRow) -> sqlx::Result<Word> {
        let id: Vec<u8> = row.try_get("subject")?;
        let damaged = |_| sqlx::Error::Decode(StoreError::Damaged { what: "word" }.into());
        Ok(Word {
            owner: row.try_get("owner")?,
            subject: RecordId(id.try_into().map_err(damaged)?),
            kind: row.try_get("kind")?,
            part: row.try_get("part")?,
            sender: row.try_get("sender")?,
            word: row.try_get("word")?,
            arrived: Time(row.try_get("arrived_us")?),
        })
    }
}
