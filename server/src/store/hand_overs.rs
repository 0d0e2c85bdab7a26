//! Records of a point that was hosted, on their way to its own node: how far the host has come, and
//! what has arrived and is not yet in the point's feeds.

use bytes::Bytes;
use sqlx::{AnyConnection, Row as _, any::AnyRow};

use super::{StoreError, database::failed};
use crate::domain::{
    audience::Audience,
    id::{PointCode, RecordId},
    kind::Kind,
    position::{Row, Sequence},
};

/// What the queries of this file take; the caller owns it.
pub type Connection = AnyConnection;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(i64)]
pub enum Stage {
    #[default]
    Sending = 0,
    /// Everything is in the outbox.
    Sent = 1,
    /// The point has said that it has everything.
    Settled = 2,
    /// Nothing that only the point may know is left here.
    Cleared = 3,
}

impl Stage {
    fn of(number: i64) -> Stage {
        match number {
            0 => Stage::Sending,
            1 => Stage::Sent,
            2 => Stage::Settled,
            _ => Stage::Cleared,
        }
    }
}

/// What is being sent, one after the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(i64)]
pub enum Step {
    #[default]
    Rows = 0,
    /// What leaves these tables as it is posted.
    Taken = 1,
    /// Which parcels to the point are settled.
    Settled = 2,
    Accounts = 3,
    /// Nothing but the last seals.
    Seals = 4,
}

impl Step {
    fn of(number: i64) -> Step {
        match number {
            0 => Step::Rows,
            1 => Step::Taken,
            2 => Step::Settled,
            3 => Step::Accounts,
            _ => Step::Seals,
        }
    }

    pub fn next(self) -> Step {
        Step::of(self as i64 + 1)
    }
}

/// How far a host has come with one home.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    pub stage: Stage,
    /// Number of the audience whose rows are being sent; 0 before the first.
    pub audience: i64,
    /// Its rows up to here are in the outbox.
    pub sequence: Sequence,
    pub step: Step,
    /// Of what is copied and stays here until the end: the last that is in the outbox.
    pub passed: String,
}

pub async fn find(db: &mut Connection, home: &PointCode) -> Result<Option<Progress>, StoreError> {
    let sql = "select stage, audience, sequence, step, passed from hand_overs where home = $1";
    let row = sqlx::query(sql).bind(home.as_str()).fetch_optional(db).await.map_err(failed)?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Progress {
        stage: Stage::of(row.try_get("stage")?),
        audience: row.try_get("audience")?,
        sequence: Sequence(row.try_get::<i64, _>("sequence")? as u64),
        step: Step::of(row.try_get("step")?),
        passed: row.try_get("passed")?,
    }))
}

/// All homes that are being handed over or have been, by code.
pub async fn list(db: &mut Connection, limit: u32) -> Result<Vec<(String, Stage)>, StoreError> {
    let sql = "select home, stage from hand_overs order by home limit $1";
    let rows: Vec<(String, i64)> =
        sqlx::query_as(sql).bind(i64::from(limit)).fetch_all(db).await.map_err(failed)?;
    Ok(rows.into_iter().map(|(home, stage)| (home, Stage::of(stage))).collect())
}

pub async fn put(
    db: &mut Connection,
    home: &PointCode,
    progress: &Progress,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into hand_overs (home, stage, audience, sequence, step, passed)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (home) do update set stage = excluded.stage, audience = excluded.audience,
           sequence = excluded.sequence, step = excluded.step, passed = excluded.passed",
    )
    .bind(home.as_str())
    .bind(progress.stage as i64)
    .bind(progress.audience)
    .bind(progress.sequence.0 as i64)
    .bind(progress.step as i64)
    .bind(&progress.passed)
    .execute(db)
    .await
    .map_err(failed)?;
    Ok(())
}

/// Is there anything left of a home that never goes over a link?
pub async fn has_private(db: &mut Connection, home: &PointCode) -> Result<bool, StoreError> {
    let sql = "select count(*) from copies where home = $1 and audience in ($2, $3)";
    let query = sqlx::query_scalar(sql).bind(home.as_str());
    let query = query.bind(Audience::Sealed as i64).bind(Audience::Home as i64);
    let copies: i64 = query.fetch_one(db).await.map_err(failed)?;
    Ok(copies > 0)
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
#[repr(i64)]
pub enum Arriving {
    #[default]
    Awaited = 0,
    /// What has arrived adds up to what the host has sealed; part of it may be in the feeds.
    Verified = 1,
    /// All of it is in the feeds: nothing more is expected.
    MovedIn = 2,
}

/// How far a point has come with what its former host hands over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Moving {
    pub stage: Arriving,
    /// Of all letters.
    pub rows: u64,
    pub bytes: u64,
}

pub async fn moving(db: &mut Connection, home: &PointCode) -> Result<Moving, StoreError> {
    let sql = "select stage, arrived_rows, arrived_bytes from moving_in where home = $1";
    let row = sqlx::query(sql).bind(home.as_str()).fetch_optional(db).await.map_err(failed)?;
    let Some(row) = row else { return Ok(Moving::default()) };
    let stage = match row.try_get::<i64, _>("stage")? {
        0 => Arriving::Awaited,
        1 => Arriving::Verified,
        _ => Arriving::MovedIn,
    };
    let rows = row.try_get::<i64, _>("arrived_rows")? as u64;
    let bytes = row.try_get::<i64, _>("arrived_bytes")? as u64;
    Ok(Moving { stage, rows, bytes })
}

pub async fn put_moving(
    db: &mut Connection,
    home: &PointCode,
    moving: Moving,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into moving_in (home, stage, arrived_rows, arrived_bytes) values ($1, $2, $3, $4)
         on conflict (home) do update set stage = excluded.stage,
           arrived_rows = excluded.arrived_rows, arrived_bytes = excluded.arrived_bytes",
    )
    .bind(home.as_str())
    .bind(moving.stage as i64)
    .bind(moving.rows as i64)
    .bind(moving.bytes as i64)
    .execute(db)
    .await
    .map_err(failed)?;
    Ok(())
}

/// Keeps rows as they arrived; one that is kept already is the same.
pub async fn insert_rows(
    db: &mut Connection,
    audience: Audience,
    rows: &[Row],
) -> Result<(), StoreError> {
    for row in rows {
        sqlx::query(
            "insert into arrived_rows (audience, sequence, id, kind, removed, payload)
             values ($1, $2, $3, $4, $5, $6) on conflict (audience, sequence) do nothing",
        )
        .bind(audience as i64)
        .bind(row.sequence.0 as i64)
        .bind(row.id.0.to_vec())
        .bind(i64::from(row.kind.0))
        .bind(i64::from(row.removed))
        .bind(row.payload.to_vec())
        .execute(&mut *db)
        .await
        .map_err(failed)?;
    }
    Ok(())
}

/// Keeps an intake key that is wrapped anew beside its row.
pub async fn put_wrap(
    db: &mut Connection,
    audience: Audience,
    id: RecordId,
    wrap: &[u8],
) -> Result<(), StoreError> {
    sqlx::query("update arrived_rows set wrap = $3 where audience = $1 and id = $2")
        .bind(audience as i64)
        .bind(id.0.to_vec())
        .bind(wrap.to_vec())
        .execute(db)
        .await
        .map_err(failed)?;
    Ok(())
}

/// A row as it arrived, and for an intake key what it is wrapped in now.
pub struct Arrived {
    pub row: Row,
    pub wrap: Option<Vec<u8>>,
}

/// Rows of an audience after `after`, in sequence order.
pub async fn rows_after(
    db: &mut Connection,
    audience: Audience,
    after: Sequence,
    limit: usize,
) -> Result<Vec<Arrived>, StoreError> {
    let rows = sqlx::query(
        "select sequence, id, kind, removed, payload, wrap from arrived_rows
         where audience = $1 and sequence > $2 order by sequence limit $3",
    )
    .bind(audience as i64)
    .bind(after.0 as i64)
    .bind(limit as i64)
    .fetch_all(db)
    .await
    .map_err(failed)?;
    rows.iter().map(read_row).collect()
}

fn read_row(row: &AnyRow) -> Result<Arrived, StoreError> {
    let id: Vec<u8> = row.try_get("id")?;
    let wrap = row.try_get("wrap")?;
    let row = Row {
        sequence: Sequence(row.try_get::<i64, _>("sequence")? as u64),
        id: RecordId(id.try_into().map_err(|_| StoreError::Damaged { what: "arrived row" })?),
        kind: Kind(row.try_get::<i64, _>("kind")? as u32),
        removed: row.try_get::<i64, _>("removed")? != 0,
        payload: Bytes::from(row.try_get::<Vec<u8>, _>("payload")?),
    };
    Ok(Arrived { row, wrap })
}

/// Keeps a letter with more than rows until the rows are in the feeds.
pub async fn insert_part(db: &mut Connection, part: &[u8]) -> Result<(), StoreError> {
    let sql = "insert into arrived_parts (number, part)
               select coalesce(max(number), 0) + 1, $1 from arrived_parts";
    sqlx::query(sql).bind(part.to_vec()).execute(db).await.map_err(failed)?;
    Ok(())
}

/// The next letter to act on.
pub async fn first_part(db: &mut Connection) -> Result<Option<(i64, Vec<u8>)>, StoreError> {
    let sql = "select number, part from arrived_parts order by number limit 1";
    sqlx::query_as(sql).fetch_optional(db).await.map_err(failed)
}

pub async fn remove_part(db: &mut Connection, number: i64) -> Result<(), StoreError> {
    let sql = "delete from arrived_parts where number = $1";
    sqlx::query(sql).bind(number).execute(db).await.map_err(failed)?;
    Ok(())
}

/// Forgets rows of an audience that are in its feed now.
pub async fn remove_rows(
    db: &mut Connection,
    audience: Audience,
    up_to: Sequence,
) -> Result<(), StoreError> {
    sqlx::query("delete from arrived_rows where audience = $1 and sequence <= $2")
        .bind(audience as i64)
        .bind(up_to.0 as i64)
        .execute(db)
        .await
        .map_err(failed)?;
    Ok(())
}

/// Keeps the last seal of a feed, the first that comes; none: there are no others.
pub async fn put_seal(
    db: &mut Connection,
    audience: Option<Audience>,
    seal: &[u8],
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into arrived_seals (audience, seal) values ($1, $2)
         on conflict (audience) do nothing",
    )
    .bind(audience.map_or(0, |audience| audience as i64))
    .bind(seal.to_vec())
    .execute(db)
    .await
    .map_err(failed)?;
    Ok(())
}

/// The last seals of all feeds that go over; none as long as the host has not said which.
pub async fn list_seals(db: &mut Connection) -> Result<Option<Vec<Vec<u8>>>, StoreError> {
    let mut seals: Vec<Vec<u8>> =
        sqlx::query_scalar("select seal from arrived_seals order by audience")
            .fetch_all(db)
            .await
            .map_err(failed)?;
    if seals.is_empty() {
        return Ok(None);
    }
    seals.retain(|seal| !seal.is_empty());
    Ok(Some(seals))
}

pub async fn clear_seals(db: &mut Connection) -> Result<(), StoreError> {
    sqlx::query("delete from arrived_seals").execute(db).await.map_err(failed)?;
    Ok(())
}
