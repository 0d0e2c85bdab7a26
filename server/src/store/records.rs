//! Versions of records: by position, by id, by the words of the full-text index.

use std::collections::BTreeSet;

use bytes::Bytes;
use sqlx::{AnyConnection, FromRow, Row as _, any::AnyRow};

use super::{
    Entered, Slot, StoreError,
    database::failed,
    dialect::{Dialect, ENTER_TERMS, ENTERED_TERMS, FIND_TERMS, REMOVE_TERMS, Sql, over_list},
    help_requests::{self, REMOVE_MESSAGES, REMOVE_REQUESTS},
};
use crate::domain::{
    entry::Entry,
    id::RecordId,
    kind::Kind,
    position::{Row, Sequence},
};

const REMOVE: Sql =
    over_list!("delete from records where position in (select cast(value as bigint)", ")");
const REMOVE_EVENTS: Sql =
    over_list!("delete from events where position in (select cast(value as bigint)", ")");
/// A stored version, with the copy it lies in.
#[derive(Clone, Debug)]
pub struct Stored {
    pub slot: Slot,
    pub row: Row,
}

impl FromRow<'_, AnyRow> for Stored {
    fn from_row(row: &AnyRow) -> Result<Stored, sqlx::Error> {
        let position: i64 = row.try_get("position")?;
        let id: Vec<u8> = row.try_get("id")?;
        let id = id.try_into().map_err(|_| sqlx::Error::Decode("id length".into()))?;
        let row = Row {
            sequence: Sequence(position as u64 & Sequence::MAX.0),
            id: RecordId(id),
            kind: Kind(row.try_get::<i64, _>("kind")? as u32),
            removed: row.try_get::<i64, _>("removed")? != 0,
            payload: Bytes::from(row.try_get::<Vec<u8>, _>("payload")?),
        };
        Ok(Stored { slot: Slot((position >> 40) as u32), row })
    }
}

/// Deletes rows and what was entered for them.
pub async fn remove(
    db: &mut AnyConnection,
    dialect: Dialect,
    slot: Slot,
    rows: &[Sequence],
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let positions = list(rows.iter().map(|sequence| slot.position(*sequence)));
    let removed = [REMOVE_TERMS, REMOVE_EVENTS, REMOVE_REQUESTS, REMOVE_MESSAGES, REMOVE];
    for sql in removed {
        sqlx::query(dialect.pick(sql)).bind(&positions).execute(&mut *db).await.map_err(failed)?;
    }
    Ok(())
}

/// Makes rows findable by their words, and events by their date.
pub async fn enter(
    db: &mut AnyConnection,
    dialect: Dialect,
    slot: Slot,
    entries: &[Entry],
) -> Result<(), StoreError> {
    let words: Vec<(i64, &str)> = entries
        .iter()
        .filter(|entry| !entry.terms.is_empty())
        .map(|entry| (slot.position(entry.sequence), entry.terms.as_str()))
        .collect();
    if !words.is_empty() {
        let words = serde_json::to_string(&words).expect("BUG: numbers and strings are JSON");
        sqlx::query(dialect.pick(ENTER_TERMS))
            .bind(words)
            .execute(&mut *db)
            .await
            .map_err(failed)?;
    }
    help_requests::enter(db, dialect, slot, entries).await?;
    for entry in entries {
        let Some(starts_at) = entry.starts_at else { continue };
        sqlx::query(
            "insert into events (position, id, slot, starts_us)
             select position, id, slot, $2 from records where position = $1",
        )
        .bind(slot.position(entry.sequence))
        .bind(starts_at.0)
        .execute(&mut *db)
        .await
        .map_err(failed)?;
    }
    Ok(())
}

/// What is entered for the rows of a copy after `after` and up to `to`.
pub async fn entered(
    db: &mut AnyConnection,
    dialect: Dialect,
    slot: Slot,
    after: Sequence,
    to: Sequence,
) -> Result<Entered, StoreError> {
    let tables = [
        dialect.pick(ENTERED_TERMS),
        "select position from events where position > $1 and position <= $2",
        "select position from help_requests where position > $1 and position <= $2
         union all
         select position from help_messages where position > $1 and position <= $2",
    ];
    let mut found = Vec::with_capacity(tables.len());
    for sql in tables {
        let positions: Vec<i64> = sqlx::query_scalar(sql)
            .bind(slot.position(after))
            .bind(slot.position(to))
            .fetch_all(&mut *db)
            .await
            .map_err(failed)?;
        let sequence = |position: i64| Sequence(position as u64 & Sequence::MAX.0);
        found.push(positions.into_iter().map(sequence).collect::<BTreeSet<_>>());
    }
    let mut found = found.into_iter();
    let mut next = || found.next().unwrap_or_default();
    Ok(Entered { words: next(), events: next(), desk: next() })
}

/// All versions of a record that are stored here, in whichever copies.
pub async fn find(db: &mut AnyConnection, id: RecordId) -> Result<Vec<Stored>, StoreError> {
    sqlx::query_as(
        "select position, id, kind, removed, payload from records where id = $1 order by slot",
    )
    .bind(id.0.to_vec())
    .fetch_all(db)
    .await
    .map_err(failed)
}

/// All stored versions of these records, in whichever copies, in no particular order.
pub async fn find_many(
    db: &mut AnyConnection,
    dialect: Dialect,
    ids: &[RecordId],
) -> Result<Vec<Stored>, StoreError> {
    const FIND_MANY: Sql = over_list!(
        "select records.position, records.id, records.kind, records.removed, records.payload",
        "join records on records.id = substr($2, cast(value as int), 16)"
    );
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query_as(dialect.pick(FIND_MANY))
        .bind(list((0..ids.len()).map(|at| at as i64 * 16 + 1)))
        .bind(ids.iter().flat_map(|id| id.0).collect::<Vec<u8>>())
        .fetch_all(db)
        .await
        .map_err(failed)
}

/// Tombstones of one copy after `after`, in order.
pub async fn removed(
    db: &mut AnyConnection,
    slot: Slot,
    after: Sequence,
    limit: usize,
) -> Result<Vec<Row>, StoreError> {
    let stored: Vec<Stored> = sqlx::query_as(
        "select position, id, kind, removed, payload from records
         where position > $1 and position <= $2 and removed = 1 order by position limit $3",
    )
    .bind(slot.position(after))
    .bind(slot.position(Sequence::MAX))
    .bind(limit as i64)
    .fetch_all(db)
    .await
    .map_err(failed)?;
    Ok(stored.into_iter().map(|stored| stored.row).collect())
}

/// Positions whose words fit `query`, in order, from just after `after`.
pub async fn find_positions(
    db: &mut AnyConnection,
    dialect: Dialect,
    query: &str,
    after: i64,
    limit: usize,
) -> Result<Vec<i64>, StoreError> {
    sqlx::query_scalar(dialect.pick(FIND_TERMS))
        .bind(query)
        .bind(after)
        .bind(limit as i64)
        .fetch_all(db)
        .await
        .map_err(failed)
}

/// The versions at these positions, in order.
pub async fn at(
    db: &mut AnyConnection,
    dialect: Dialect,
    positions: &[i64],
) -> Result<Vec<Stored>, StoreError> {
    const AT: Sql = over_list!(
        "select records.position, records.id, records.kind, records.removed, records.payload",
        "join records on records.position = cast(value as bigint) order by records.position"
    );
    sqlx::query_as(dialect.pick(AT))
        .bind(list(positions.iter().copied()))
        .fetch_all(db)
        .await
        .map_err(failed)
}

/// A JSON array of numbers.
pub(super) fn list(numbers: impl Iterator<Item = i64>) -> String {
    use std::fmt::Write;
    let mut text = String::from("[");
    for number in numbers {
        if text.len() > 1 {
            text.push(',');
        }
        let _ = write!(text, "{number}");
    }
    text.push(']');
    text
}
