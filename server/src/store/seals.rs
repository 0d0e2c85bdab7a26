//! Seals that have been seen, proofs of two under one number, and the homes' words on their heads.

use sqlx::{AnyConnection, FromRow, Row as _, any::AnyRow};

use super::{FoundEquivocation, StoreError, database::failed};
use crate::domain::audience::{Audience, FeedId};

/// Seals remembered of every feed, of all its epochs together.
pub const SEALS_KEPT: u64 = 1_024;
/// Older seals go in batches, not one by one: whenever an epoch's numbers pass a multiple of this, and
/// with the first seal of an epoch.
const BATCH: u64 = 128;

impl FromRow<'_, AnyRow> for FoundEquivocation {
    fn from_row(row: &AnyRow) -> Result<FoundEquivocation, sqlx::Error> {
        let wrong = |what: &str| sqlx::Error::Decode(what.to_owned().into());
        let home: String = row.try_get("home")?;
        let audience = Audience::from_number(row.try_get("audience")?);
        Ok(FoundEquivocation {
            feed: FeedId::new(
                home.parse().map_err(|_| wrong("home"))?,
                audience.ok_or_else(|| wrong("audience"))?,
            ),
            epoch_counter: row.try_get::<i64, _>("epoch_counter")? as u64,
            proof: row.try_get("proof")?,
        })
    }
}

/// Newest seals remembered of a feed, newest first.
pub async fn recent(
    db: &mut AnyConnection,
    feed: &FeedId,
    limit: usize,
) -> Result<Vec<Vec<u8>>, StoreError> {
    sqlx::query_scalar(
        "select seal from seals where home = $1 and audience = $2
         order by epoch_counter desc, number desc limit $3",
    )
    .bind(feed.home.as_str())
    .bind(feed.audience as i64)
    .bind(limit as i64)
    .fetch_all(db)
    .await
    .map_err(failed)
}

pub async fn equivocations(db: &mut AnyConnection) -> Result<Vec<FoundEquivocation>, StoreError> {
    sqlx::query_as("select home, audience, epoch_counter, proof from equivocations")
        .fetch_all(db)
        .await
        .map_err(failed)
}

/// Newest list of heads of each home: (encoded, when heard).
pub async fn statements(db: &mut AnyConnection) -> Result<Vec<(Vec<u8>, i64)>, StoreError> {
    let rows = sqlx::query("select statement, heard_us from statements")
        .fetch_all(db)
        .await
        .map_err(failed)?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Remembers a seal; answers with a different one under the same number if that is what is kept.
pub async fn remember(
    db: &mut AnyConnection,
    feed: &FeedId,
    epoch_counter: u64,
    number: u64,
    seal: &[u8],
) -> Result<Option<Vec<u8>>, StoreError> {
    let kept: Option<Vec<u8>> = sqlx::query_scalar(
        "select seal from seals
         where home = $1 and audience = $2 and epoch_counter = $3 and number = $4",
    )
    .bind(feed.home.as_str())
    .bind(feed.audience as i64)
    .bind(epoch_counter as i64)
    .bind(number as i64)
    .fetch_optional(&mut *db)
    .await
    .map_err(failed)?;
    if let Some(kept) = kept {
        return Ok((kept != seal).then_some(kept));
    }
    let before: Option<i64> = sqlx::query_scalar(
        "select max(number) from seals where home = $1 and audience = $2 and epoch_counter = $3",
    )
    .bind(feed.home.as_str())
    .bind(feed.audience as i64)
    .bind(epoch_counter as i64)
    .fetch_one(&mut *db)
    .await
    .map_err(failed)?;
    sqlx::query(
        "insert into seals (home, audience, epoch_counter, number, seal)
         values ($1, $2, $3, $4, $5)",
    )
    .bind(feed.home.as_str())
    .bind(feed.audience as i64)
    .bind(epoch_counter as i64)
    .bind(number as i64)
    .bind(seal.to_vec())
    .execute(&mut *db)
    .await
    .map_err(failed)?;
    if before.is_none_or(|before| before as u64 / BATCH != number / BATCH) {
        forget_old(db, feed).await?;
    }
    Ok(None)
}

/// Deletes all but the newest seals of a feed.
async fn forget_old(db: &mut AnyConnection, feed: &FeedId) -> Result<(), StoreError> {
    sqlx::query(
        "delete from seals where home = $1 and audience = $2 and (epoch_counter, number) <
           (select epoch_counter, number from seals where home = $1 and audience = $2
            order by epoch_counter desc, number desc limit 1 offset $3)",
    )
    .bind(feed.home.as_str())
    .bind(feed.audience as i64)
    .bind((SEALS_KEPT - 1) as i64)
    .execute(db)
    .await
    .map_err(failed)?;
    Ok(())
}

/// Keeps a proof; a whole one, of two seals, in place of a seal that did not add up.
pub async fn insert_equivocation(
    db: &mut AnyConnection,
    found: &FoundEquivocation,
    now_us: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into equivocations (home, audience, epoch_counter, proof, found_us)
         values ($1, $2, $3, $4, $5)
         on conflict (home, audience, epoch_counter) do update set proof = excluded.proof
         where length(excluded.proof) > length(equivocations.proof)",
    )
    .bind(found.feed.home.as_str())
    .bind(found.feed.audience as i64)
    .bind(found.epoch_counter as i64)
    .bind(found.proof.clone())
    .bind(now_us)
    .execute(&mut *db)
    .await
    .map_err(failed)?;
    Ok(())
}

/// Keeps a home's list of heads unless a newer one is kept. The column `home` is the list's name: the
/// home, or for the list of one audience `home/audience`.
pub async fn put_statement(
    db: &mut AnyConnection,
    list: &str,
    number: u64,
    statement: &[u8],
    now_us: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into statements (home, number, statement, heard_us) values ($1, $2, $3, $4)
         on conflict (home) do update set number = excluded.number,
           statement = excluded.statement, heard_us = excluded.heard_us
         where excluded.number > statements.number",
    )
    .bind(list)
    .bind(number as i64)
    .bind(statement.to_vec())
    .bind(now_us)
    .execute(&mut *db)
    .await
    .map_err(failed)?;
    Ok(())
}
