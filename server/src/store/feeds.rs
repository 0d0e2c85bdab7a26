//! Copies of feeds, their seals and what is staged for them: the SQL side of `FeedStore`.

use sqlx::{AnyConnection, FromRow, Row as _, any::AnyRow};

use super::{
    Changed, Copy, CopyState, FeedStore, FeedTx, FoundEquivocation, Slot, StoreError, StoredPage,
    audit,
    database::{Database, Transaction, failed},
    dialect::{BEGIN_SNAPSHOT, Dialect},
    records::{self, Stored},
};
use crate::domain::{
    audience::{Audience, FeedId},
    audit::Notes,
    entry::Entry,
    id::RecordId,
    position::{Epoch, Row, Sequence},
    time::Time,
};

/// Seals remembered of every feed.
pub const SEALS_KEPT: u64 = 1_024;

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

impl FeedStore for Database {
    type Tx = Transaction;

    async fn begin(&self) -> Result<Transaction, StoreError> {
        Database::begin(self).await
    }

    async fn copies(&self) -> Result<Vec<Copy>, StoreError> {
        all_copies(&mut *self.reader().await?).await
    }

    async fn page(
        &self,
        slot: Slot,
        after: Sequence,
        rows: usize,
        bytes: usize,
    ) -> Result<Option<StoredPage>, StoreError> {
        let database = self.clone();
        // In a task of its own: a session that ends drops whoever waits for the page, and must not
        // give a connection back that still sees the state of then.
        let reading = tokio::spawn(async move {
            let mut db = database.reader().await?;
            // Two statements see one state only inside a transaction; rows that a commit in between
            // replaced would be missing from the page.
            let begin = database.dialect.pick(BEGIN_SNAPSHOT);
            sqlx::query(begin).execute(&mut *db).await.map_err(failed)?;
            let page = read_page(&mut db, slot, after, rows, bytes).await;
            sqlx::query("rollback").execute(&mut *db).await.map_err(failed)?;
            page
        });
        reading.await.unwrap_or(Err(StoreError::Damaged { what: "page" }))
    }

    async fn recent_seals(&self, feed: &FeedId, limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut db = self.reader().await?;
        sqlx::query_scalar(
            "select seal from seals where home = $1 and audience = $2
             order by epoch_counter desc, number desc limit $3",
        )
        .bind(feed.home.as_str())
        .bind(feed.audience as i64)
        .bind(limit as i64)
        .fetch_all(&mut *db)
        .await
        .map_err(failed)
    }

    async fn equivocations(&self) -> Result<Vec<FoundEquivocation>, StoreError> {
        let mut db = self.reader().await?;
        sqlx::query_as("select home, audience, epoch_counter, proof from equivocations")
            .fetch_all(&mut *db)
            .await
            .map_err(failed)
    }

    async fn statements(&self) -> Result<Vec<(Vec<u8>, i64)>, StoreError> {
        let mut db = self.reader().await?;
        let rows = sqlx::query("select statement, heard_us from statements")
            .fetch_all(&mut *db)
            .await
            .map_err(failed)?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    fn is_shared(&self) -> bool {
        self.dialect == Dialect::Postgres
    }

    async fn changed(&self, turn: u64) -> Result<Changed, StoreError> {
        let mut db = self.reader().await?;
        // The number first: what is committed in between comes again next time.
        let newest: i64 = sqlx::query_scalar("select number from turns")
            .fetch_one(&mut *db)
            .await
            .map_err(failed)?;
        if newest as u64 == turn {
            return Ok(Changed { turn, copies: Vec::new() });
        }
        let copies = sqlx::query_as(
            "select slot, home, audience, epoch_counter, epoch_random, state, number, sequence,
                    live, sum, seal, target, distinct_to, indexed
             from copies
             where (home, audience) in (select home, audience from copies where turn > $1)
             order by slot",
        )
        .bind(turn as i64)
        .fetch_all(&mut *db)
        .await
        .map_err(failed)?;
        Ok(Changed { turn: newest as u64, copies })
    }
}

/// Every copy of every feed.
pub async fn all_copies(db: &mut AnyConnection) -> Result<Vec<Copy>, StoreError> {
    sqlx::query_as(
        "select slot, home, audience, epoch_counter, epoch_random, state, number, sequence, live,
                sum, seal, target, distinct_to, indexed
         from copies order by slot",
    )
    .fetch_all(db)
    .await
    .map_err(failed)
}

async fn read_page(
    db: &mut AnyConnection,
    slot: Slot,
    after: Sequence,
    rows: usize,
    bytes: usize,
) -> Result<Option<StoredPage>, StoreError> {
    let copy: Option<Copy> = sqlx::query_as(
        "select slot, home, audience, epoch_counter, epoch_random, state, number, sequence, live,
                sum, seal, target, distinct_to, indexed
         from copies where slot = $1",
    )
    .bind(i64::from(slot.0))
    .fetch_optional(&mut *db)
    .await
    .map_err(failed)?;
    let Some(copy) = copy else { return Ok(None) };
    let limit = rows;
    let mut rows = records_after(db, slot, after, limit).await?;
    let found = rows.len();
    let mut total = 0;
    let fits = rows.iter().take_while(|row| {
        let before = total;
        total += row.payload.len();
        before == 0 || total <= bytes
    });
    let fits = fits.count();
    rows.truncate(fits);
    let reaches_end = found < limit && fits == found;
    Ok(Some(StoredPage { rows, copy, reaches_end }))
}

async fn records_after(
    db: &mut AnyConnection,
    slot: Slot,
    after: Sequence,
    limit: usize,
) -> Result<Vec<Row>, StoreError> {
    let stored: Vec<Stored> = sqlx::query_as(
        "select position, id, kind, removed, payload from records
         where position > $1 and position <= $2 order by position limit $3",
    )
    .bind(slot.position(after))
    .bind(slot.position(Sequence::MAX))
    .bind(limit as i64)
    .fetch_all(db)
    .await
    .map_err(failed)?;
    Ok(stored.into_iter().map(|stored| stored.row).collect())
}

impl FeedTx for Transaction {
    async fn copies(&mut self, feed: &FeedId) -> Result<Vec<Copy>, StoreError> {
        sqlx::query_as(
            "select slot, home, audience, epoch_counter, epoch_random, state, number, sequence,
                    live, sum, seal, target, distinct_to, indexed
             from copies where home = $1 and audience = $2 order by slot",
        )
        .bind(feed.home.as_str())
        .bind(feed.audience as i64)
        .fetch_all(self.connection())
        .await
        .map_err(failed)
    }

    async fn insert_copy(&mut self, mut copy: Copy) -> Result<Copy, StoreError> {
        let row = sqlx::query("select coalesce(max(slot), 0) + 1 from copies")
            .fetch_one(self.connection())
            .await
            .map_err(failed)?;
        copy.slot = Slot(row.try_get::<i64, _>(0)? as u32);
        sqlx::query(
            "insert into copies (slot, home, audience, epoch_counter, epoch_random, state, number,
               sequence, live, sum, seal, target, distinct_to, indexed, turn)
             select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, number + 1
             from turns",
        )
        .bind(i64::from(copy.slot.0))
        .bind(copy.feed.home.as_str())
        .bind(copy.feed.audience as i64)
        .bind(copy.epoch.counter as i64)
        .bind(copy.epoch.random.to_vec())
        .bind(copy.state as i64)
        .bind(copy.number as i64)
        .bind(copy.sequence.0 as i64)
        .bind(copy.live as i64)
        .bind(copy.sum.clone())
        .bind(copy.seal.clone())
        .bind(copy.target.clone())
        .bind(copy.distinct_to.0 as i64)
        .bind(copy.indexed.0 as i64)
        .execute(self.connection())
        .await
        .map_err(failed)?;
        Ok(copy)
    }

    async fn update_copy(&mut self, copy: &Copy) -> Result<(), StoreError> {
        sqlx::query(
            "update copies set state = $2, number = $3, sequence = $4, live = $5, sum = $6,
               seal = $7, target = $8, distinct_to = $9, indexed = $10, epoch_counter = $11,
               epoch_random = $12, turn = (select turns.number + 1 from turns) where slot = $1",
        )
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
        .execute(self.connection())
        .await
        .map_err(failed)?;
        Ok(())
    }

    async fn clear(&mut self, slot: Slot, limit: usize) -> Result<bool, StoreError> {
        FeedTx::unstage(self, slot, None).await?;
        let rows = records_after(self.connection(), slot, Sequence(0), limit).await?;
        let sequences: Vec<Sequence> = rows.iter().map(|row| row.sequence).collect();
        FeedTx::remove(self, slot, &sequences).await?;
        if rows.len() == limit {
            return Ok(false);
        }
        sqlx::query("delete from copies where slot = $1")
            .bind(i64::from(slot.0))
            .execute(self.connection())
            .await
            .map_err(failed)?;
        Ok(true)
    }

    async fn versions(&mut self, slot: Slot, ids: &[RecordId]) -> Result<Vec<Row>, StoreError> {
        let dialect = self.dialect;
        records::versions(self.connection(), dialect, slot, ids).await
    }

    async fn put(&mut self, slot: Slot, rows: &[Row]) -> Result<(), StoreError> {
        let dialect = self.dialect;
        records::put(self.connection(), dialect, slot, rows).await
    }

    async fn remove(&mut self, slot: Slot, rows: &[Sequence]) -> Result<(), StoreError> {
        let dialect = self.dialect;
        records::remove(self.connection(), dialect, slot, rows).await
    }

    async fn enter(&mut self, slot: Slot, entries: &[Entry]) -> Result<(), StoreError> {
        let dialect = self.dialect;
        records::enter(self.connection(), dialect, slot, entries).await
    }

    async fn stage(&mut self, slot: Slot, rows: &[Row]) -> Result<(), StoreError> {
        let dialect = self.dialect;
        records::stage(self.connection(), dialect, slot, rows).await
    }

    async fn staged(
        &mut self,
        slot: Slot,
        after: Sequence,
        only_removed: bool,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let stored: Vec<Stored> = sqlx::query_as(
            "select position, id, kind, removed, payload from staged
             where position > $1 and position <= $2 and removed >= $3 order by position limit $4",
        )
        .bind(slot.position(after))
        .bind(slot.position(Sequence::MAX))
        .bind(i64::from(only_removed))
        .bind(limit as i64)
        .fetch_all(self.connection())
        .await
        .map_err(failed)?;
        Ok(stored.into_iter().map(|stored| stored.row).collect())
    }

    async fn staged_extent(&mut self, slot: Slot) -> Result<Option<(Sequence, u64)>, StoreError> {
        let row = sqlx::query(
            "select coalesce(max(position), -1), count(*) from staged
             where position > $1 and position <= $2",
        )
        .bind(slot.position(Sequence(0)))
        .bind(slot.position(Sequence::MAX))
        .fetch_one(self.connection())
        .await
        .map_err(failed)?;
        let last: i64 = row.try_get(0)?;
        let count: i64 = row.try_get(1)?;
        Ok((last >= 0).then_some((Sequence(last as u64 & Sequence::MAX.0), count as u64)))
    }

    async fn unstage(&mut self, slot: Slot, rows: Option<&[Sequence]>) -> Result<(), StoreError> {
        let dialect = self.dialect;
        if let Some(rows) = rows {
            return records::unstage(self.connection(), dialect, slot, rows).await;
        }
        sqlx::query("delete from staged where position > $1 and position <= $2")
            .bind(slot.position(Sequence(0)))
            .bind(slot.position(Sequence::MAX))
            .execute(self.connection())
            .await
            .map_err(failed)?;
        Ok(())
    }

    async fn remember_seal(
        &mut self,
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
        .fetch_optional(self.connection())
        .await
        .map_err(failed)?;
        if let Some(kept) = kept {
            return Ok((kept != seal).then_some(kept));
        }
        sqlx::query(
            "insert into seals (home, audience, epoch_counter, number, seal)
             values ($1, $2, $3, $4, $5)",
        )
        .bind(feed.home.as_str())
        .bind(feed.audience as i64)
        .bind(epoch_counter as i64)
        .bind(number as i64)
        .bind(seal.to_vec())
        .execute(self.connection())
        .await
        .map_err(failed)?;
        // Older seals go in batches, not one by one.
        if number.is_multiple_of(128) && number > SEALS_KEPT {
            sqlx::query(
                "delete from seals where home = $1 and audience = $2 and epoch_counter = $3
                   and number <= $4",
            )
            .bind(feed.home.as_str())
            .bind(feed.audience as i64)
            .bind(epoch_counter as i64)
            .bind((number - SEALS_KEPT) as i64)
            .execute(self.connection())
            .await
            .map_err(failed)?;
        }
        Ok(None)
    }

    async fn insert_equivocation(
        &mut self,
        found: &FoundEquivocation,
        now_us: i64,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "insert into equivocations (home, audience, epoch_counter, proof, found_us)
             values ($1, $2, $3, $4, $5) on conflict do nothing",
        )
        .bind(found.feed.home.as_str())
        .bind(found.feed.audience as i64)
        .bind(found.epoch_counter as i64)
        .bind(found.proof.clone())
        .bind(now_us)
        .execute(self.connection())
        .await
        .map_err(failed)?;
        Ok(())
    }

    async fn put_statement(
        &mut self,
        home: &str,
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
        .bind(home)
        .bind(number as i64)
        .bind(statement.to_vec())
        .bind(now_us)
        .execute(self.connection())
        .await
        .map_err(failed)?;
        Ok(())
    }

    async fn note(&mut self, notes: &Notes, now: Time, seed: [u8; 32]) -> Result<(), StoreError> {
        audit::note(self, notes, now, seed).await
    }

    async fn commit(self) -> Result<(), StoreError> {
        Transaction::commit(self).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_page_that_nobody_waits_for_leaves_no_reader_in_the_past() {
        let dir = tempfile::tempdir().unwrap();
        let db = Database::open(&Database::address_in(dir.path())).await.unwrap();
        for wait_us in 0..200 {
            let page = FeedStore::page(&db, Slot(1), Sequence(0), 10, 1_000);
            let _ = tokio::time::timeout(Duration::from_micros(wait_us * 5), page).await;
        }
        let mut local = db.local().await.unwrap();
        sqlx::query("insert into facts (name, value) values ('new', 'seen')")
            .execute(&mut *local)
            .await
            .unwrap();
        drop(local);
        for _ in 0..20 {
            let mut reader = db.reader().await.unwrap();
            let seen: Option<String> =
                sqlx::query_scalar("select value from facts where name = 'new'")
                    .fetch_optional(&mut *reader)
                    .await
                    .unwrap();
            assert_eq!(seen.as_deref(), Some("seen"));
        }
    }
}
