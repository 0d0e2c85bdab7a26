//! Whether something was deleted whose bytes still lie in the database's log.

use sqlx::AnyConnection;

use super::{Result, database::failed};
use crate::domain::time::Time;

/// What the queries of this file take; the caller owns it.
pub type Connection = AnyConnection;

/// The only thing that is scrubbed so.
const LOG: &str = "log";

/// Something was deleted that is not to stay in the log.
pub async fn note(db: &mut Connection, now: Time) -> Result<()> {
    let sql = "insert into scrubs (what, noted_us) values ($1, $2)
               on conflict (what) do update set noted_us = excluded.noted_us";
    sqlx::query(sql).bind(LOG).bind(now.0).execute(db).await.map_err(failed)?;
    Ok(())
}

/// When something was last deleted so, unless the log was emptied since.
pub async fn find(db: &mut Connection) -> Result<Option<Time>> {
    let sql = "select noted_us from scrubs where what = $1";
    let noted: Option<i64> =
        sqlx::query_scalar(sql).bind(LOG).fetch_optional(db).await.map_err(failed)?;
    Ok(noted.map(Time))
}

/// The log was emptied of what was deleted up to then.
pub async fn clear(db: &mut Connection, noted: Time) -> Result<()> {
    let sql = "delete from scrubs where what = $1 and noted_us <= $2";
    sqlx::query(sql).bind(LOG).bind(noted.0).execute(db).await.map_err(failed)?;
    Ok(())
}
