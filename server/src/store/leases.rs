//! Who of several nodes on one PostgreSQL does what only one should do. The database's clock counts,
//! so that the nodes' clocks do not matter.

use sqlx::AnyConnection;

use super::{StoreError, database::failed};

/// What the queries of this file take; the caller owns it.
pub type Connection = AnyConnection;

/// Takes or renews a lease for so many microseconds; false while somebody else holds it.
pub async fn take(
    db: &mut Connection,
    name: &str,
    holder: &[u8; 16],
    duration_us: i64,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "insert into leases (name, holder, until_us)
         values ($1, $2, cast(extract(epoch from clock_timestamp()) * 1000000 as bigint) + $3)
         on conflict (name) do update set holder = excluded.holder, until_us = excluded.until_us
         where leases.holder = excluded.holder
           or leases.until_us < cast(extract(epoch from clock_timestamp()) * 1000000 as bigint)",
    )
    .bind(name)
    .bind(holder.to_vec())
    .bind(duration_us)
    .execute(db)
    .await
    .map_err(failed)?;
    Ok(done.rows_affected() == 1)
}

/// Gives a lease back before its time, so that nobody has to wait for its end.
pub async fn give_back(
    db: &mut Connection,
    name: &str,
    holder: &[u8; 16],
) -> Result<(), StoreError> {
    sqlx::query("delete from leases where name = $1 and holder = $2")
        .bind(name)
        .bind(holder.to_vec())
        .execute(db)
        .await
        .map_err(failed)?;
    Ok(())
}
