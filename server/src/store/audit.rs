//! Lines of the audit, in their order. Appended in the writer's own transaction, or in one of looks.

use serde_json::json;
use sqlx::{AnyConnection, FromRow, Row as _, any::AnyRow};

use super::{
    Result,
    database::{Transaction, failed},
    dialect::{Dialect, Sql, over_rows},
};
use crate::domain::{
    audit::{
        Act, Deed, Hash, LINES_LOST, Line, Mark, Notes, OLD_LINES_REMOVED, PUT_BACK, forgot,
        lost as lost_lines,
    },
    id::RecordId,
    kind::Kind,
    time::Time,
};

/// Lines of one statement.
const BATCH: usize = 1_000;
/// Bytes of a line that are packed: record, salt, subject, previous, hash.
const PACKED: usize = 16 + 16 + 32 + 32 + 32;

const APPEND: Sql = over_rows!(
    "insert into audit (number, time_us, actor, role, point, operation, purpose, kind, outcome,
       record, salt, subject, previous, hash)
     select cast(value->>0 as bigint), cast(value->>1 as bigint), value->>2, value->>3, value->>4,
            value->>5, value->>6, cast(value->>7 as bigint), value->>8,
            substr($2, cast(value->>9 as int), 16), substr($2, cast(value->>9 as int) + 16, 16),
            substr($2, cast(value->>9 as int) + 32, 32),
            substr($2, cast(value->>9 as int) + 64, 32),
            substr($2, cast(value->>9 as int) + 96, 32)",
    "where true"
);
const COLUMNS: &str = "select number, time_us, actor, role, point, operation, purpose, kind,
    outcome, record, salt, subject, previous, hash from audit";

/// Appends lines in the caller's transaction. `seed` is unpredictable: salts come from it.
pub async fn note(tx: &mut Transaction, notes: &Notes, now: Time, seed: [u8; 32]) -> Result<()> {
    let dialect = tx.dialect;
    let db = tx.connection();
    let mut acts = notes.acts.clone();
    for forgetting in &notes.forgettings {
        let mut lines = 0;
        for record in &forgetting.records {
            lines += forget(db, *record).await?;
        }
        acts.push(forgetting.deed.act(Kind(0), forgetting.order, forgot(lines)));
    }
    append(db, dialect, &acts, now, seed).await
}

/// Appends lines after the newest one.
pub async fn append(
    db: &mut AnyConnection,
    dialect: Dialect,
    acts: &[Act],
    now: Time,
    seed: [u8; 32],
) -> Result<()> {
    let newest = newest(db).await?;
    append_after(db, dialect, acts, newest, now, seed).await
}

async fn append_after(
    db: &mut AnyConnection,
    dialect: Dialect,
    acts: &[Act],
    mut newest: Mark,
    now: Time,
    seed: [u8; 32],
) -> Result<()> {
    for (batch, acts) in acts.chunks(BATCH).enumerate() {
        let mut packed = Vec::with_capacity(acts.len() * PACKED);
        let mut rows = Vec::with_capacity(acts.len());
        for (n, act) in acts.iter().enumerate() {
            let place = ((batch * BATCH + n) as u64).to_le_bytes();
            let salt = blake3::keyed_hash(&seed, &place);
            let mut salted = [0; 16];
            salted.copy_from_slice(&salt.as_bytes()[..16]);
            let line = Line::new(act, newest.number + 1, now, newest.hash, salted);
            rows.push(json!([
                line.number,
                line.time.0,
                line.actor,
                line.role,
                line.point,
                line.operation,
                line.purpose,
                line.kind.0,
                line.outcome,
                packed.len() + 1,
            ]));
            packed.extend_from_slice(&line.record.0);
            packed.extend_from_slice(&line.salt);
            for hash in [&line.subject, &line.previous, &line.hash] {
                packed.extend_from_slice(hash);
            }
            newest = Mark { number: line.number, hash: line.hash };
        }
        let rows = serde_json::Value::Array(rows).to_string();
        let query = sqlx::query(dialect.pick(APPEND)).bind(rows).bind(packed);
        query.execute(&mut *db).await.map_err(failed)?;
    }
    Ok(())
}

/// Where the chain ends.
pub async fn newest(db: &mut AnyConnection) -> Result<Mark> {
    let sql = "select number, hash from audit order by number desc limit 1";
    match sqlx::query(sql).fetch_optional(&mut *db).await? {
        Some(row) => mark(&row),
        None => base(db).await,
    }
}

/// The last line that was removed for its age.
pub async fn base(db: &mut AnyConnection) -> Result<Mark> {
    let row = sqlx::query("select number, hash from audit_base").fetch_optional(db).await?;
    row.map_or(Ok(Mark::NONE), |row| mark(&row))
}

fn mark(row: &AnyRow) -> Result<Mark> {
    let number: i64 = row.try_get("number")?;
    Ok(Mark { number: number as u64, hash: bytes(row, "hash")? })
}

/// The hash of a line, if it is there.
pub async fn hash_of(db: &mut AnyConnection, number: u64) -> Result<Option<Hash>> {
    let sql = "select hash from audit where number = $1";
    let row = sqlx::query(sql).bind(number as i64).fetch_optional(db).await?;
    row.map(|row| Ok(bytes(&row, "hash")?)).transpose()
}

/// Notes that lines up to `lost` are gone, alone or with the whole database (`put_back`), and goes on
/// above them.
pub async fn note_loss(
    db: &mut AnyConnection,
    dialect: Dialect,
    (lost, put_back): (Mark, bool),
    now: Time,
    seed: [u8; 32],
) -> Result<()> {
    let found = newest(db).await?;
    let above = Mark { number: found.number.max(lost.number), hash: found.hash };
    let operation = if put_back { PUT_BACK } else { LINES_LOST };
    let outcome = lost_lines(found.number + 1, lost.number);
    let act = Deed::of_node(operation).on_nothing(outcome);
    append_after(db, dialect, &[act], above, now, seed).await
}

/// Takes a record's id out of the lines that name it; says out of how many.
async fn forget(db: &mut AnyConnection, record: RecordId) -> Result<u64> {
    let sql = "update audit set record = $2, salt = $2 where record = $1";
    let query = sqlx::query(sql).bind(record.0.to_vec()).bind(vec![0u8; 16]);
    Ok(query.execute(db).await.map_err(failed)?.rows_affected())
}

/// Removes lines from before `before`, at most `limit`, and notes that. True if any went.
pub async fn remove_old(
    tx: &mut Transaction,
    before: Time,
    limit: u64,
    now: Time,
    seed: [u8; 32],
) -> Result<bool> {
    let dialect = tx.dialect;
    let db = tx.connection();
    let base = base(db).await?;
    let sql = "select number, hash from audit where number <= $1 and time_us < $2
               order by number desc limit 1";
    let query = sqlx::query(sql).bind((base.number + limit) as i64).bind(before.0);
    let Some(row) = query.fetch_optional(&mut *db).await? else { return Ok(false) };
    let last = mark(&row)?;
    let through = last.number as i64;
    sqlx::query("delete from audit where number <= $1").bind(through).execute(&mut *db).await?;
    sqlx::query("delete from audit_base").execute(&mut *db).await?;
    let sql = "insert into audit_base (id, number, hash) values (1, $1, $2)";
    sqlx::query(sql).bind(through).bind(last.hash.to_vec()).execute(&mut *db).await?;
    let outcome = format!("through={through}");
    let act = Deed::of_node(OLD_LINES_REMOVED).on_nothing(outcome);
    append(db, dialect, &[act], now, seed).await?;
    Ok(true)
}

/// Which lines to list.
#[derive(Clone, Default, Debug)]
pub struct Wanted {
    pub record: Option<RecordId>,
    pub actor: Option<String>,
    /// Only of actors of this point.
    pub point: Option<String>,
    pub from: Option<Time>,
    /// Before.
    pub to: Option<Time>,
}

/// Lines below number `below`, newest first.
pub async fn list(
    db: &mut AnyConnection,
    wanted: &Wanted,
    below: u64,
    limit: usize,
) -> Result<Vec<Line>> {
    let tail = "number < $1 and time_us >= $2 and time_us < $3 and ($4 = '' or point = $4)
                order by number desc limit $5";
    let (by, second) = match (&wanted.record, &wanted.actor) {
        (Some(_), Some(_)) => (" where record = $6 and actor = $7 and ", true),
        (Some(_), None) => (" where record = $6 and ", false),
        (None, Some(_)) => (" where actor = $6 and ", false),
        (None, None) => (" where ", false),
    };
    // Made of our own constants only.
    let sql = sqlx::AssertSqlSafe(format!("{COLUMNS}{by}{tail}"));
    let from = wanted.from.map_or(i64::MIN, |time| time.0);
    let to = wanted.to.map_or(i64::MAX, |time| time.0);
    let query = sqlx::query_as(sql).bind(below.min(i64::MAX as u64) as i64).bind(from).bind(to);
    let mut query = query.bind(wanted.point.clone().unwrap_or_default()).bind(limit as i64);
    if let Some(record) = &wanted.record {
        query = query.bind(record.0.to_vec());
    }
    if let Some(actor) = wanted.actor.as_ref().filter(|_| second || wanted.record.is_none()) {
        query = query.bind(actor.clone());
    }
    Ok(query.fetch_all(db).await?)
}

/// Lines after number `after`, oldest first.
pub async fn after(db: &mut AnyConnection, after: u64, limit: usize) -> Result<Vec<Line>> {
    let sql = sqlx::AssertSqlSafe(format!("{COLUMNS} where number > $1 order by number limit $2"));
    Ok(sqlx::query_as(sql).bind(after as i64).bind(limit as i64).fetch_all(db).await?)
}

/// The last line that was looked through for what other homes are to be told.
pub async fn looks_told(db: &mut AnyConnection) -> Result<u64> {
    let sql = "select number from looks_told where id = 1";
    let row = sqlx::query(sql).fetch_optional(db).await?;
    Ok(row.map_or(Ok(0), |row| row.try_get::<i64, _>(0))? as u64)
}

pub async fn set_looks_told(db: &mut AnyConnection, number: u64) -> Result<()> {
    let sql = "insert into looks_told (id, number) values (1, $1)
               on conflict (id) do update set number = excluded.number";
    sqlx::query(sql).bind(number as i64).execute(db).await.map_err(failed)?;
    Ok(())
}

/// Adds to what a user has exported on a day, unless that is then more than `most`; says how many
/// rows it would be.
pub async fn add_exported(
    db: &mut AnyConnection,
    actor: &str,
    day: i64,
    rows: i64,
    most: i64,
) -> Result<(bool, i64)> {
    let sql = "select taken from export_rows where actor = $1 and day = $2";
    let known = sqlx::query(sql).bind(actor).bind(day).fetch_optional(&mut *db).await?;
    let sum = known.map_or(Ok(0), |row| row.try_get::<i64, _>(0))? + rows;
    if sum > most {
        return Ok((false, sum));
    }
    let sql = "insert into export_rows (actor, day, taken) values ($1, $2, $3)
               on conflict (actor, day) do update set taken = excluded.taken";
    sqlx::query(sql).bind(actor).bind(day).bind(sum).execute(db).await.map_err(failed)?;
    Ok((true, sum))
}

fn bytes<const N: usize>(row: &AnyRow, column: &str) -> Result<[u8; N], sqlx::Error> {
    let bytes: Vec<u8> = row.try_get(column)?;
    bytes.try_into().map_err(|_| sqlx::Error::Decode("length of an audit column".into()))
}

impl FromRow<'_, AnyRow> for Line {
    fn from_row(row: &AnyRow) -> Result<Line, sqlx::Error> {
        Ok(Line {
            number: row.try_get::<i64, _>("number")? as u64,
            time: Time(row.try_get("time_us")?),
            actor: row.try_get("actor")?,
            role: row.try_get("role")?,
            point: row.try_get("point")?,
            operation: row.try_get("operation")?,
            purpose: row.try_get("purpose")?,
            kind: Kind(row.try_get::<i64, _>("kind")? as u32),
            record: RecordId(bytes(row, "record")?),
            salt: bytes(row, "salt")?,
            subject: bytes(row, "subject")?,
            outcome: row.try_get("outcome")?,
            previous: bytes(row, "previous")?,
            hash: bytes(row, "hash")?,
        })
    }
}
