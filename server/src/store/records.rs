//! Versions of records: by position, by id, by the words of the full-text index.

use bytes::Bytes;
use sqlx::{AnyConnection, FromRow, Row as _, any::AnyRow};

use super::{
    Slot, StoreError,
    database::failed,
    dialect::{Dialect, ENTER_TERMS, FIND_TERMS, REMOVE_TERMS, Sql, over_list, over_rows},
};
use crate::domain::{
    entry::Entry,
    id::RecordId,
    kind::Kind,
    position::{Row, Sequence},
};

const PUT: Sql = over_rows!(
    "insert into records (position, slot, id, kind, removed, payload)
     select cast(value->>0 as bigint), $2, substr($3, cast(value->>1 as int), 16),
            cast(value->>2 as bigint), cast(value->>3 as bigint),
            substr($4, cast(value->>4 as int), cast(value->>5 as int))",
    "where true"
);
const STAGE: Sql = over_rows!(
    "insert into staged (position, slot, id, kind, removed, payload)
     select cast(value->>0 as bigint), $2, substr($3, cast(value->>1 as int), 16),
            cast(value->>2 as bigint), cast(value->>3 as bigint),
            substr($4, cast(value->>4 as int), cast(value->>5 as int))",
    "where true
     on conflict (id, slot) do update set position = excluded.position, kind = excluded.kind,
       removed = excluded.removed, payload = excluded.payload"
);
const VERSIONS: Sql = over_list!(
    "select records.position, records.id, records.kind, records.removed, records.payload",
    "join records on records.id = substr($2, cast(value as int), 16) and records.slot = $3"
);
const REMOVE: Sql =
    over_list!("delete from records where position in (select cast(value as bigint)", ")");
const REMOVE_EVENTS: Sql =
    over_list!("delete from events where position in (select cast(value as bigint)", ")");
const UNSTAGE: Sql =
    over_list!("delete from staged where position in (select cast(value as bigint)", ")");

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

/// Inserts rows of one copy in one statement.
pub async fn put(
    db: &mut AnyConnection,
    dialect: Dialect,
    slot: Slot,
    rows: &[Row],
) -> Result<(), StoreError> {
    insert(db, dialect.pick(PUT), slot, rows).await
}

/// Puts rows aside; a later version takes the place of an earlier one.
pub async fn stage(
    db: &mut AnyConnection,
    dialect: Dialect,
    slot: Slot,
    rows: &[Row],
) -> Result<(), StoreError> {
    insert(db, dialect.pick(STAGE), slot, rows).await
}

/// Binds one JSON array of offsets and two blobs, ids and payloads: one statement however many rows.
async fn insert(
    db: &mut AnyConnection,
    sql: &'static str,
    slot: Slot,
    rows: &[Row],
) -> Result<(), StoreError> {
    use std::fmt::Write;
    if rows.is_empty() {
        return Ok(());
    }
    let mut cells = String::with_capacity(rows.len() * 48);
    let mut ids = Vec::with_capacity(rows.len() * 16);
    let mut payloads = Vec::with_capacity(rows.iter().map(|row| row.payload.len()).sum());
    for row in rows {
        cells.push(if cells.is_empty() { '[' } else { ',' });
        let _ = write!(
            cells,
            "[{},{},{},{},{},{}]",
            slot.position(row.sequence),
            ids.len() + 1,
            row.kind.0,
            u8::from(row.removed),
            payloads.len() + 1,
            row.payload.len()
        );
        ids.extend_from_slice(&row.id.0);
        payloads.extend_from_slice(&row.payload);
    }
    cells.push(']');
    // SQLite's substr of an empty blob is null; of one that is not empty it never is.
    payloads.push(0);
    sqlx::query(sql)
        .bind(cells)
        .bind(i64::from(slot.0))
        .bind(ids)
        .bind(payloads)
        .execute(db)
        .await
        .map_err(failed)?;
    Ok(())
}

/// The stored versions of these records in one copy, in no particular order.
pub async fn versions(
    db: &mut AnyConnection,
    dialect: Dialect,
    slot: Slot,
    ids: &[RecordId],
) -> Result<Vec<Row>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let offsets = list((0..ids.len()).map(|at| at as i64 * 16 + 1));
    let stored: Vec<Stored> = sqlx::query_as(dialect.pick(VERSIONS))
        .bind(offsets)
        .bind(ids.iter().flat_map(|id| id.0).collect::<Vec<u8>>())
        .bind(i64::from(slot.0))
        .fetch_all(db)
        .await
        .map_err(failed)?;
    Ok(stored.into_iter().map(|stored| stored.row).collect())
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
    for sql in [REMOVE_TERMS, REMOVE_EVENTS, REMOVE] {
        sqlx::query(dialect.pick(sql)).bind(&positions).execute(&mut *db).await.map_err(failed)?;
    }
    Ok(())
}

/// Takes staged rows away again.
pub async fn unstage(
    db: &mut AnyConnection,
    dialect: Dialect,
    slot: Slot,
    rows: &[Sequence],
) -> Result<(), StoreError> {
    let positions = list(rows.iter().map(|sequence| slot.position(*sequence)));
    sqlx::query(dialect.pick(UNSTAGE)).bind(positions).execute(db).await.map_err(failed)?;
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
