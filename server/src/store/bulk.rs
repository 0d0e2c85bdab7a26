//! Many rows at once: read in one result row, inserted by one statement.
//!
//! A statement or a result row costs some 50 microseconds whatever is in it, ten times what SQLite
//! needs to store or find a record. So a page is read as a few lists and two long blobs, and inserted
//! from one blob and a list of numbers that say where in it each row lies.

use bytes::Bytes;
use sqlx::{
    Any, AnyConnection, Row as _,
    any::{AnyArguments, AnyRow},
    query::Query,
};

use super::{
    Slot, StoreError,
    database::failed,
    dialect::{Dialect, Sql, over_numbers},
    records::Stored,
};
use crate::domain::{
    id::RecordId,
    kind::Kind,
    position::{PAYLOAD_MAX, Row, Sequence},
};

/// Records of a question for (position, id, kind, removed, payload), in one result row.
macro_rules! in_bulk {
    (sqlite: $sqlite:expr, postgres: $postgres:expr) => {
        $crate::store::dialect::Sql {
            sqlite: concat!(
                "select group_concat(position), group_concat(kind), group_concat(removed),
                        group_concat(length(payload)), cast(group_concat(id, '') as blob),
                        cast(group_concat(payload, '') as blob)
                 from (",
                $sqlite,
                ") as found"
            ),
            postgres: concat!(
                "select string_agg(cast(position as text), ',' order by position),
                        string_agg(cast(kind as text), ',' order by position),
                        string_agg(cast(removed as text), ',' order by position),
                        string_agg(cast(length(payload) as text), ',' order by position),
                        string_agg(id, cast('' as bytea) order by position),
                        string_agg(payload, cast('' as bytea) order by position)
                 from (",
                $postgres,
                ") as found"
            ),
        }
    };
    ($both:literal) => {
        in_bulk!(sqlite: $both, postgres: $both)
    };
}

const AFTER: Sql = in_bulk!(
    "select position, id, kind, removed, payload from records
     where position > $1 and position <= $2 order by position limit $3"
);
const STAGED: Sql = in_bulk!(
    "select position, id, kind, removed, payload from staged
     where position > $1 and position <= $2 order by position limit $3"
);
const STAGED_REMOVED: Sql = in_bulk!(
    "select position, id, kind, removed, payload from staged
     where position > $1 and position <= $2 and removed = 1 order by position limit $3"
);
const VERSIONS: Sql = in_bulk!(
    sqlite: "select records.position, records.id, records.kind, records.removed, records.payload
             from json_each($1) as given
             join records on records.id = substr($2, value, 16) and records.slot = $3",
    postgres: "select records.position, records.id, records.kind, records.removed, records.payload
               from json_array_elements_text(cast($1 as json)) as given(value)
               join records on records.id = substr($2, cast(value as int), 16)
                           and records.slot = $3"
);
const PUT: Sql = over_numbers!(
    "insert into records (position, slot, id, kind, removed, payload)
     select $2 + (number >> 42), $3, substr($4, cast((number >> 17) & 33554431 as int) + 1, 16),
            $5, $6, substr($4, cast((number >> 17) & 33554431 as int) + 17,
                           cast(number & 131071 as int))",
    "where true"
);
const STAGE: Sql = over_numbers!(
    "insert into staged (position, slot, id, kind, removed, payload)
     select $2 + (number >> 42), $3, substr($4, cast((number >> 17) & 33554431 as int) + 1, 16),
            $5, $6, substr($4, cast((number >> 17) & 33554431 as int) + 17,
                           cast(number & 131071 as int))",
    "where true
     on conflict (id, slot) do update set position = excluded.position, kind = excluded.kind,
       removed = excluded.removed, payload = excluded.payload"
);
/// Bits of a number that say how long a payload is, and where in the blob its row begins.
const LEN_BITS: u32 = 17;
const OFFSET_BITS: u32 = 25;
/// How far a row may lie behind the first one of its statement.
const DISTANCE_MAX: i64 = (1 << 21) - 1;
/// Bytes of one statement, well within what an offset can say.
const BLOB_MAX: usize = 16 * 1024 * 1024;
/// Rows of one result row; so that a few large ones do not make it gigantic.
const READ_MAX: usize = 512;

/// Rows of a copy after `after`: at most `limit`, and no further one once their payloads exceed
/// `bytes`. True if there are no more.
pub async fn after(
    db: &mut AnyConnection,
    dialect: Dialect,
    slot: Slot,
    after: Sequence,
    limit: usize,
    bytes: usize,
) -> Result<(Vec<Row>, bool), StoreError> {
    let mut rows: Vec<Row> = Vec::new();
    let mut total = 0;
    while rows.len() < limit {
        let after = rows.last().map_or(after, |row| row.sequence);
        let asked = (limit - rows.len()).min(READ_MAX);
        let found = range(db, dialect.pick(AFTER), slot, after, asked).await?;
        let is_last = found.len() < asked;
        for row in found {
            total += row.payload.len();
            if total > bytes && !rows.is_empty() {
                return Ok((rows, false));
            }
            rows.push(row);
        }
        if is_last {
            return Ok((rows, true));
        }
    }
    Ok((rows, false))
}

/// Staged rows after `after`, in sequence order; only tombstones if asked.
pub async fn staged(
    db: &mut AnyConnection,
    dialect: Dialect,
    slot: Slot,
    after: Sequence,
    only_removed: bool,
    limit: usize,
) -> Result<Vec<Row>, StoreError> {
    let sql = dialect.pick(if only_removed { STAGED_REMOVED } else { STAGED });
    range(db, sql, slot, after, limit).await
}

async fn range(
    db: &mut AnyConnection,
    sql: &'static str,
    slot: Slot,
    after: Sequence,
    limit: usize,
) -> Result<Vec<Row>, StoreError> {
    let query = sqlx::query(sql)
        .bind(slot.position(after))
        .bind(slot.position(Sequence::MAX))
        .bind(limit as i64);
    let rows = read(db, query).await?;
    match rows.is_sorted_by(|one, next| one.sequence < next.sequence) {
        true => Ok(rows),
        false => Err(StoreError::Damaged { what: "order of rows" }),
    }
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
    let query = sqlx::query(dialect.pick(VERSIONS))
        .bind(super::records::list((0..ids.len()).map(|at| at as i64 * 16 + 1)))
        .bind(ids.iter().flat_map(|id| id.0).collect::<Vec<u8>>())
        .bind(i64::from(slot.0));
    read(db, query).await
}

async fn read(
    db: &mut AnyConnection,
    query: Query<'_, Any, AnyArguments>,
) -> Result<Vec<Row>, StoreError> {
    let found = query.fetch_one(db).await.map_err(failed)?;
    Ok(stored(&found)?.into_iter().map(|stored| stored.row).collect())
}

/// The records in one result row, whose first columns are those of `in_bulk`.
pub(super) fn stored(found: &AnyRow) -> Result<Vec<Stored>, StoreError> {
    let Some(positions) = found.try_get::<Option<String>, _>(0)? else { return Ok(Vec::new()) };
    let (kinds, removed, lens): (String, String, String) =
        (found.try_get(1)?, found.try_get(2)?, found.try_get(3)?);
    let (ids, payloads): (Vec<u8>, Vec<u8>) = (found.try_get(4)?, found.try_get(5)?);
    let payloads = Bytes::from(payloads);
    let damaged = || StoreError::Damaged { what: "row" };
    let number = |text: &str| text.parse::<i64>().map_err(|_| damaged());
    let (ids, rest) = ids.as_chunks::<16>();
    let cells = positions.split(',').zip(kinds.split(',')).zip(removed.split(','));
    let cells = cells.zip(lens.split(',')).zip(ids);
    let mut rows = Vec::with_capacity(ids.len());
    let mut at = 0;
    for ((((position, kind), removed), len), id) in cells {
        let end = at + number(len)? as usize;
        if end > payloads.len() {
            return Err(damaged());
        }
        let position = number(position)?;
        let row = Row {
            sequence: Sequence(position as u64 & Sequence::MAX.0),
            id: RecordId(*id),
            kind: Kind(number(kind)? as u32),
            removed: removed != "0",
            payload: payloads.slice(at..end),
        };
        rows.push(Stored { slot: Slot((position >> 40) as u32), row });
        at = end;
    }
    match at == payloads.len() && rest.is_empty() && rows.len() == ids.len() {
        true => Ok(rows),
        false => Err(damaged()),
    }
}

/// Inserts rows of one copy.
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

/// Rows of one statement, which are of one kind and alike in being there or removed.
struct Batch {
    kind: Kind,
    removed: bool,
    first: Sequence,
    numbers: String,
    /// Id and payload of each row.
    blob: Vec<u8>,
}

impl Batch {
    fn of(row: &Row) -> Batch {
        let (first, numbers) = (row.sequence, String::from("["));
        Batch { kind: row.kind, removed: row.removed, first, numbers, blob: Vec::new() }
    }

    fn is_like(&self, row: &Row) -> bool {
        self.kind == row.kind && self.removed == row.removed
    }

    fn has_room(&self, row: &Row) -> bool {
        let distance = row.sequence.0 as i64 - self.first.0 as i64;
        (0..=DISTANCE_MAX).contains(&distance) && self.blob.len() + row.payload.len() < BLOB_MAX
    }

    fn push(&mut self, row: &Row) {
        use std::fmt::Write;
        debug_assert!(row.payload.len() <= PAYLOAD_MAX);
        let distance = row.sequence.0 - self.first.0;
        let number = (distance << (OFFSET_BITS + LEN_BITS))
            | ((self.blob.len() as u64) << LEN_BITS)
            | row.payload.len() as u64;
        if self.numbers.len() > 1 {
            self.numbers.push(',');
        }
        let _ = write!(self.numbers, "{number}");
        self.blob.extend_from_slice(&row.id.0);
        self.blob.extend_from_slice(&row.payload);
    }

    async fn insert(
        self,
        db: &mut AnyConnection,
        sql: &'static str,
        slot: Slot,
    ) -> Result<(), StoreError> {
        sqlx::query(sql)
            .bind(self.numbers + "]")
            .bind(slot.position(self.first))
            .bind(i64::from(slot.0))
            .bind(self.blob)
            .bind(i64::from(self.kind.0))
            .bind(i64::from(self.removed))
            .execute(db)
            .await
            .map_err(failed)?;
        Ok(())
    }
}

async fn insert(
    db: &mut AnyConnection,
    sql: &'static str,
    slot: Slot,
    rows: &[Row],
) -> Result<(), StoreError> {
    let mut batches: Vec<Batch> = Vec::new();
    for row in rows {
        let at = match batches.iter().position(|batch| batch.is_like(row)) {
            Some(at) => at,
            None => {
                batches.push(Batch::of(row));
                batches.len() - 1
            }
        };
        if !batches[at].has_room(row) {
            std::mem::replace(&mut batches[at], Batch::of(row)).insert(db, sql, slot).await?;
        }
        batches[at].push(row);
    }
    for batch in batches {
        batch.insert(db, sql, slot).await?;
    }
    Ok(())
}
