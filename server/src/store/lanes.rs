//! Lanes: whoever must not do a thing twice at one moment passes its lane, and whoever has looked before
//! somebody else passed has to look again.

use sqlx::AnyConnection;

use super::{StoreError, database::failed};
use crate::domain::position::Turn;

/// What the queries of this file take; the caller owns it.
pub type Connection = AnyConnection;

/// Where lanes stand now.
pub async fn turns(
    db: &mut Connection,
    lanes: impl IntoIterator<Item = u32>,
) -> Result<Vec<Turn>, StoreError> {
    let mut turns = Vec::new();
    for lane in lanes {
        let found: Option<i64> = sqlx::query_scalar("select turn from lanes where lane = $1")
            .bind(i64::from(lane))
            .fetch_optional(&mut *db)
            .await
            .map_err(failed)?;
        turns.push(Turn { lane, at: found.unwrap_or(0) });
    }
    Ok(turns)
}

/// Passes a lane; false if somebody else has passed it since the turn was read.
pub async fn pass(db: &mut Connection, turn: Turn) -> Result<bool, StoreError> {
    let query = match turn.at {
        0 => sqlx::query("insert into lanes (lane, turn) values ($1, 1) on conflict do nothing"),
        _ => sqlx::query("update lanes set turn = turn + 1 where lane = $1 and turn = $2"),
    };
    let query = query.bind(i64::from(turn.lane));
    let query = if turn.at == 0 { query } else { query.bind(turn.at) };
    let done = query.execute(db).await.map_err(failed)?;
    Ok(done.rows_affected() == 1)
}
