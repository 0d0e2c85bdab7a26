//! What waits for a second person. Local to this database.

use sqlx::{AnyConnection, FromRow, Row as _, any::AnyRow};

use super::{Result, database::failed};
use crate::domain::{
    approval::{Approval, ApprovalState},
    id::{PointCode, RecordId},
    time::Time,
};

pub async fn insert(db: &mut AnyConnection, approval: &Approval) -> Result<()> {
    let sql = "insert into approvals (id, operation, subject, task, point, requested_by,
                 requested_us, expires_us, state, decided_by, outcome)
               values ($1, $2, $3, $4, $5, $6, $7, $8, $9, '', '')";
    let query = sqlx::query(sql).bind(approval.id.0.to_vec()).bind(&approval.operation);
    let query = query.bind(&approval.subject).bind(&approval.task).bind(approval.point.as_str());
    let query = query.bind(&approval.requested_by).bind(approval.requested.0);
    let query = query.bind(approval.expires.0).bind(approval.state.name());
    query.execute(db).await.map_err(failed)?;
    Ok(())
}

const COLUMNS: &str = "select id, operation, subject, task, point, requested_by, requested_us,
    expires_us, state, decided_by, decided_us, outcome from approvals";

pub async fn find(db: &mut AnyConnection, id: RecordId) -> Result<Option<Approval>> {
    let sql = sqlx::AssertSqlSafe(format!("{COLUMNS} where id = $1"));
    Ok(sqlx::query_as(sql).bind(id.0.to_vec()).fetch_optional(db).await?)
}

/// The newest one that somebody has asked for, of those that are open or given.
pub async fn find_asked(
    db: &mut AnyConnection,
    requested_by: &str,
    operation: &str,
    subject: &str,
    task: &str,
) -> Result<Option<Approval>> {
    let sql = sqlx::AssertSqlSafe(format!(
        "{COLUMNS} where requested_by = $1 and operation = $2 and subject = $3 and task = $4
         and state in ('open', 'given') order by id desc limit 1"
    ));
    let query = sqlx::query_as(sql).bind(requested_by).bind(operation).bind(subject).bind(task);
    Ok(query.fetch_optional(db).await?)
}

/// Approvals below `below`, newest first.
pub async fn list(db: &mut AnyConnection, below: RecordId, limit: usize) -> Result<Vec<Approval>> {
    let sql = sqlx::AssertSqlSafe(format!("{COLUMNS} where id < $1 order by id desc limit $2"));
    Ok(sqlx::query_as(sql).bind(below.0.to_vec()).bind(limit as i64).fetch_all(db).await?)
}

/// Those that were agreed to and have something that is yet to be done.
pub async fn list_undone(db: &mut AnyConnection, limit: usize) -> Result<Vec<Approval>> {
    let sql = sqlx::AssertSqlSafe(format!(
        "{COLUMNS} where state = 'given' and task <> '' order by id limit $1"
    ));
    Ok(sqlx::query_as(sql).bind(limit as i64).fetch_all(db).await?)
}

/// Those that wait for another point's people as well, and have not been sent there.
pub async fn list_unforwarded(
    db: &mut AnyConnection,
    operation: &str,
    limit: u32,
) -> Result<Vec<Approval>> {
    let sql = sqlx::AssertSqlSafe(format!(
        "{COLUMNS} where state = 'open' and operation = $1 and forwarded = '' and task <> ''
         order by id limit $2"
    ));
    let query = sqlx::query_as(sql).bind(operation).bind(i64::from(limit));
    Ok(query.fetch_all(db).await?)
}

/// Notes that a point was told.
pub async fn forwarded(db: &mut AnyConnection, id: RecordId, to: &str) -> Result<()> {
    let sql = "update approvals set forwarded = $2 where id = $1";
    sqlx::query(sql).bind(id.0.to_vec()).bind(to).execute(db).await.map_err(failed)?;
    Ok(())
}

/// One that another point was told of, and which.
pub async fn find_forwarded(
    db: &mut AnyConnection,
    id: RecordId,
) -> Result<Option<(Approval, String)>> {
    let sql = "select id, operation, subject, task, point, requested_by, requested_us, expires_us,
                      state, decided_by, decided_us, outcome, forwarded
               from approvals where id = $1 and forwarded <> ''";
    let row = sqlx::query(sql).bind(id.0.to_vec()).fetch_optional(db).await?;
    row.map(|row| Ok((Approval::from_row(&row)?, row.try_get("forwarded")?))).transpose()
}

/// Open ones that were asked for by somebody whose name begins so.
pub async fn count_open_by(db: &mut AnyConnection, start: &str) -> Result<i64> {
    let sql = "select count(*) from approvals
               where state = 'open' and substr(requested_by, 1, length($1)) = $1";
    Ok(sqlx::query(sql).bind(start).fetch_one(db).await?.try_get(0)?)
}

/// Adds one that has come from elsewhere; false if it is there.
pub async fn insert_once(db: &mut AnyConnection, approval: &Approval) -> Result<bool> {
    if find(&mut *db, approval.id).await?.is_some() {
        return Ok(false);
    }
    insert(db, approval).await?;
    Ok(true)
}

/// Agrees, if nobody has decided yet.
pub async fn give(
    db: &mut AnyConnection,
    id: RecordId,
    decided_by: &str,
    now: Time,
) -> Result<bool> {
    let sql = "update approvals set state = 'given', decided_by = $2, decided_us = $3
               where id = $1 and state = 'open'";
    let query = sqlx::query(sql).bind(id.0.to_vec()).bind(decided_by).bind(now.0);
    Ok(query.execute(db).await.map_err(failed)?.rows_affected() == 1)
}

/// Ends one that was given; false if it has ended already. The task goes with it.
pub async fn end(
    db: &mut AnyConnection,
    id: RecordId,
    state: ApprovalState,
    outcome: &str,
) -> Result<bool> {
    let sql = "update approvals set state = $2, outcome = $3, task = ''
               where id = $1 and state = 'given'";
    let query = sqlx::query(sql).bind(id.0.to_vec()).bind(state.name()).bind(outcome);
    Ok(query.execute(db).await.map_err(failed)?.rows_affected() == 1)
}

/// Is there one that was not given in time, and still holds its task?
pub async fn has_late(db: &mut AnyConnection, now: Time) -> Result<bool> {
    let sql = "select count(*) from approvals where state = 'open' and expires_us <= $1";
    let count: i64 = sqlx::query(sql).bind(now.0).fetch_one(db).await?.try_get(0)?;
    Ok(count > 0)
}

/// Closes those that were not given in time: nothing is left of what they would have set off.
pub async fn close_late(db: &mut AnyConnection, now: Time) -> Result<()> {
    let sql = "update approvals set state = 'expired', task = ''
               where state = 'open' and expires_us <= $1";
    sqlx::query(sql).bind(now.0).execute(db).await.map_err(failed)?;
    Ok(())
}

/// Takes a person's id out of what was asked about that person.
pub async fn forget(db: &mut AnyConnection, subject: &str) -> Result<()> {
    let sql = "update approvals set subject = '' where subject = $1 and state <> 'open'";
    sqlx::query(sql).bind(subject).execute(&mut *db).await.map_err(failed)?;
    let sql = "delete from approvals where subject = $1";
    sqlx::query(sql).bind(subject).execute(db).await.map_err(failed)?;
    Ok(())
}

impl FromRow<'_, AnyRow> for Approval {
    fn from_row(row: &AnyRow) -> Result<Approval, sqlx::Error> {
        let wrong = |what: &str| sqlx::Error::Decode(what.to_owned().into());
        let id: Vec<u8> = row.try_get("id")?;
        let (point, state): (String, String) = (row.try_get("point")?, row.try_get("state")?);
        Ok(Approval {
            id: RecordId(id.try_into().map_err(|_| wrong("approval id"))?),
            operation: row.try_get("operation")?,
            subject: row.try_get("subject")?,
            task: row.try_get("task")?,
            point: point.parse::<PointCode>().map_err(|_| wrong("approval point"))?,
            requested_by: row.try_get("requested_by")?,
            requested: Time(row.try_get("requested_us")?),
            expires: Time(row.try_get("expires_us")?),
            state: ApprovalState::parse(&state, "state").map_err(|_| wrong("approval state"))?,
            decided_by: row.try_get("decided_by")?,
            decided: row.try_get::<Option<i64>, _>("decided_us")?.map(Time),
            outcome: row.try_get("outcome")?,
        })
    }
}
