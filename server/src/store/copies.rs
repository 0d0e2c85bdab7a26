//! Copies of feeds: where each stands, beside its rows.

use sqlx::{
    Any, AnyConnection, FromRow, Row as _,
    any::{AnyArguments, AnyRow},
    query::Query,
};

use super::{Copy, CopyState, Slot, StoreError, database::failed};
use crate::domain::{
    audience::{Audience, FeedId},
    entry,
    position::{Epoch, Sequence},
};

/// A question for copies, whole.
macro_rules! select_copies {
    ($where:literal) => {
        concat!(
            "select slot, home, audience, epoch_counter, epoch_random, state, number, sequence,
                    live, sum, seal, target, distinct_to, indexed
             from copies ",
            $where
        )
    };
}

impl FromRow<'_, AnyRow> for Copy {
    fn from_row(row: &AnyRow) -> Result<Copy, sqlx::Error> {
        let wrong = |what: &str| sqlx::Error::Decode(what.to_owned().into());
        let number = |name: &str| row.try_get::<i64, _>(name);
        let home: String = row.try_get("home")?;
        let audience =
            Audience::from_number(number("audience")?).ok_or_else(|| wrong("audience"))?;
        let random: Vec<u8> = row.try_get("epoch_random")?;
        Ok(Copy {
            slot: Slot(number("slot")? as u32),
            feed: FeedId::new(home.parse().map_err(|_| wrong("home"))?, audience),
            epoch: Epoch {
                counter: number("epoch_counter")? as u64,
                random: random.try_into().map_err(|_| wrong("epoch_random"))?,
            },
            state: CopyState::from_number(number("state")?).ok_or_else(|| wrong("state"))?,
            number: number("number")? as u64,
            sequence: Sequence(number("sequence")? as u64),
            live: number("live")? as u64,
            sum: row.try_get("sum")?,
            seal: row.try_get("seal")?,
            target: row.try_get("target")?,
            distinct_to: Sequence(number("distinct_to")? as u64),
            indexed: Sequence(number("indexed")? as u64),
        })
    }
}

/// Every copy of every feed.
pub async fn all(db: &mut AnyConnection) -> Result<Vec<Copy>, StoreError> {
    sqlx::query_as(select_copies!("order by slot")).fetch_all(db).await.map_err(failed)
}

pub async fn of_feed(db: &mut AnyConnection, feed: &FeedId) -> Result<Vec<Copy>, StoreError> {
    sqlx::query_as(select_copies!("where home = $1 and audience = $2 order by slot"))
        .bind(feed.home.as_str())
        .bind(feed.audience as i64)
        .fetch_all(db)
        .await
        .map_err(failed)
}

pub async fn find(db: &mut AnyConnection, slot: Slot) -> Result<Option<Copy>, StoreError> {
    sqlx::query_as(select_copies!("where slot = $1"))
        .bind(i64::from(slot.0))
        .fetch_optional(db)
        .await
        .map_err(failed)
}

/// All copies of each feed of which one was written after `turn`.
pub async fn changed(db: &mut AnyConnection, turn: u64) -> Result<Vec<Copy>, StoreError> {
    sqlx::query_as(select_copies!(
        "where (home, audience) in (select home, audience from copies where turn > $1)
         order by slot"
    ))
    .bind(turn as i64)
    .fetch_all(db)
    .await
    .map_err(failed)
}

/// Inserts a copy under the next free slot.
pub async fn insert(db: &mut AnyConnection, mut copy: Copy) -> Result<Copy, StoreError> {
    let next: i64 = sqlx::query_scalar("select coalesce(max(slot), 0) + 1 from copies")
        .fetch_one(&mut *db)
        .await
        .map_err(failed)?;
    copy.slot = Slot(next as u32);
    let sql = "insert into copies (slot, state, number, sequence, live, sum, seal, target,
                 distinct_to, indexed, epoch_counter, epoch_random, home, audience, entered, turn)
               select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, cast($15 as bigint),
                 number + 1
               from turns";
    bind(sqlx::query(sql), &copy)
        .bind(copy.feed.home.as_str())
        .bind(copy.feed.audience as i64)
        .bind(i64::from(entry::VERSION))
        .execute(db)
        .await
        .map_err(failed)?;
    Ok(copy)
}

/// Copies whose rows are entered by another version of the words than this node's.
pub async fn entered_otherwise(db: &mut AnyConnection) -> Result<Vec<Copy>, StoreError> {
    sqlx::query_as(select_copies!("where entered <> $1 order by slot"))
        .bind(i64::from(entry::VERSION))
        .fetch_all(db)
        .await
        .map_err(failed)
}

/// Notes that a copy's rows are entered by this node's version of the words.
pub async fn set_entered(db: &mut AnyConnection, slot: Slot) -> Result<(), StoreError> {
    sqlx::query("update copies set entered = $2 where slot = $1")
        .bind(i64::from(slot.0))
        .bind(i64::from(entry::VERSION))
        .execute(db)
        .await
        .map_err(failed)?;
    Ok(())
}

pub async fn update(db: &mut AnyConnection, copy: &Copy) -> Result<(), StoreError> {
    let sql = "update copies set state = $2, number = $3, sequence = $4, live = $5, sum = $6,
                 seal = $7, target = $8, distinct_to = $9, indexed = $10, epoch_counter = $11,
                 epoch_random = $12, turn = (select turns.number + 1 from turns) where slot = $1";
    bind(sqlx::query(sql), copy).execute(db).await.map_err(failed)?;
    Ok(())
}

/// Everything of a copy but its feed, as $1 to $12.
fn bind<'q>(query: Query<'q, Any, AnyArguments>, copy: &Copy) -> Query<'q, Any, AnyArguments> {
    query
        .bind(i64::from(copy.slot.0))
        .bind(copy.state as i64)
        .bind(copy.number as i64)
        .bind(copy.sequence.0 as i64)
        .bind(copy.live as i64)
        .bind(copy.sum.clone())
        .bind(copy.seal.clone())
        .bind(copy.target.clone())
        .bind(copy.distinct_to.0 as i64)
        .bind(copy.indexed.0 as i64)
        .bind(copy.epoch.counter as i64)
        .bind(copy.epoch.random.to_vec())
}

pub async fn delete(db: &mut AnyConnection, slot: Slot) -> Result<(), StoreError> {
    sqlx::query("delete from copies where slot = $1")
        .bind(i64::from(slot.0))
        .execute(db)
        .await
        .map_err(failed)?;
    Ok(())
}
