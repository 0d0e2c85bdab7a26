//! The SQL side of `FeedStore`: what a feed needs, each in the transaction of its caller.

use super::{
    Changed, Copy, FeedStore, FeedTx, FoundEquivocation, Slot, StoreError, StoredPage, audit, bulk,
    copies,
    database::{Database, Transaction, failed},
    dialect::{BEGIN_SNAPSHOT, Dialect},
    help_requests, lanes, records, seals,
};
use crate::domain::{
    audience::FeedId,
    audit::Notes,
    entry::Entry,
    id::RecordId,
    position::{Row, Sequence, Turn},
    time::Time,
};

impl FeedStore for Database {
    type Tx = Transaction;

    async fn begin(&self) -> Result<Transaction, StoreError> {
        Database::begin(self).await
    }

    async fn copies(&self) -> Result<Vec<Copy>, StoreError> {
        copies::all(&mut *self.reader().await?).await
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
            let page = read_page(&mut db, database.dialect, slot, after, rows, bytes).await;
            sqlx::query("rollback").execute(&mut *db).await.map_err(failed)?;
            page
        });
        reading.await.unwrap_or(Err(StoreError::Damaged { what: "page" }))
    }

    async fn recent_seals(&self, feed: &FeedId, limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        seals::recent(&mut *self.reader().await?, feed, limit).await
    }

    async fn equivocations(&self) -> Result<Vec<FoundEquivocation>, StoreError> {
        seals::equivocations(&mut *self.reader().await?).await
    }

    async fn statements(&self) -> Result<Vec<(Vec<u8>, i64)>, StoreError> {
        seals::statements(&mut *self.reader().await?).await
    }

    async fn entered_otherwise(&self) -> Result<Vec<Copy>, StoreError> {
        copies::entered_otherwise(&mut *self.reader().await?).await
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
        Ok(Changed { turn: newest as u64, copies: copies::changed(&mut db, turn).await? })
    }
}

async fn read_page(
    db: &mut sqlx::AnyConnection,
    dialect: Dialect,
    slot: Slot,
    after: Sequence,
    rows: usize,
    bytes: usize,
) -> Result<Option<StoredPage>, StoreError> {
    let Some(copy) = copies::find(db, slot).await? else { return Ok(None) };
    let (rows, reaches_end) = bulk::after(db, dialect, slot, after, rows, bytes).await?;
    Ok(Some(StoredPage { rows, copy, reaches_end }))
}

impl FeedTx for Transaction {
    async fn copies(&mut self, feed: &FeedId) -> Result<Vec<Copy>, StoreError> {
        copies::of_feed(self.connection(), feed).await
    }

    async fn insert_copy(&mut self, copy: Copy) -> Result<Copy, StoreError> {
        copies::insert(self.connection(), copy).await
    }

    async fn update_copy(&mut self, copy: &Copy) -> Result<(), StoreError> {
        copies::update(self.connection(), copy).await
    }

    async fn clear(&mut self, slot: Slot, limit: usize) -> Result<bool, StoreError> {
        FeedTx::unstage(self, slot, Sequence::MAX, false).await?;
        let dialect = self.dialect;
        let after = Sequence(0);
        let (rows, is_all) =
            bulk::after(self.connection(), dialect, slot, after, limit, usize::MAX).await?;
        let sequences: Vec<Sequence> = rows.iter().map(|row| row.sequence).collect();
        FeedTx::remove(self, slot, &sequences).await?;
        if is_all {
            copies::delete(self.connection(), slot).await?;
        }
        Ok(is_all)
    }

    async fn versions(&mut self, slot: Slot, ids: &[RecordId]) -> Result<Vec<Row>, StoreError> {
        let dialect = self.dialect;
        bulk::versions(self.connection(), dialect, slot, ids).await
    }

    async fn put(&mut self, slot: Slot, rows: &[Row]) -> Result<(), StoreError> {
        let dialect = self.dialect;
        bulk::put(self.connection(), dialect, slot, rows).await
    }

    async fn remove(&mut self, slot: Slot, rows: &[Sequence]) -> Result<(), StoreError> {
        let dialect = self.dialect;
        records::remove(self.connection(), dialect, slot, rows).await
    }

    async fn enter(&mut self, slot: Slot, entries: &[Entry]) -> Result<(), StoreError> {
        let dialect = self.dialect;
        records::enter(self.connection(), dialect, slot, entries).await
    }

    async fn entered_under(
        &mut self,
        slot: Slot,
        word: &str,
        after: Sequence,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let dialect = self.dialect;
        let db = self.connection();
        let (word, after) = (dialect.word(word), slot.position(after));
        let mut positions = records::find_positions(db, dialect, &word, after, limit).await?;
        positions.retain(|position| *position <= slot.position(Sequence::MAX));
        let stored = records::at(db, dialect, &positions).await?;
        Ok(stored.into_iter().map(|stored| stored.row).collect())
    }

    async fn set_entered(&mut self, slot: Slot) -> Result<(), StoreError> {
        copies::set_entered(self.connection(), slot).await
    }

    async fn stage(&mut self, slot: Slot, rows: &[Row]) -> Result<(), StoreError> {
        let dialect = self.dialect;
        bulk::stage(self.connection(), dialect, slot, rows).await
    }

    async fn staged(
        &mut self,
        slot: Slot,
        after: Sequence,
        only_removed: bool,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let dialect = self.dialect;
        bulk::staged(self.connection(), dialect, slot, after, only_removed, limit).await
    }

    async fn staged_extent(&mut self, slot: Slot) -> Result<Option<(Sequence, u64)>, StoreError> {
        let (last, count): (i64, i64) = sqlx::query_as(
            "select coalesce(max(position), -1), count(*) from staged
             where position > $1 and position <= $2",
        )
        .bind(slot.position(Sequence(0)))
        .bind(slot.position(Sequence::MAX))
        .fetch_one(self.connection())
        .await
        .map_err(failed)?;
        Ok((last >= 0).then_some((Sequence(last as u64 & Sequence::MAX.0), count as u64)))
    }

    async fn unstage(
        &mut self,
        slot: Slot,
        to: Sequence,
        only_removed: bool,
    ) -> Result<(), StoreError> {
        let sql = match only_removed {
            true => "delete from staged where position > $1 and position <= $2 and removed = 1",
            false => "delete from staged where position > $1 and position <= $2",
        };
        sqlx::query(sql)
            .bind(slot.position(Sequence(0)))
            .bind(slot.position(to))
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
        seals::remember(self.connection(), feed, epoch_counter, number, seal).await
    }

    async fn insert_equivocation(
        &mut self,
        found: &FoundEquivocation,
        now_us: i64,
    ) -> Result<(), StoreError> {
        seals::insert_equivocation(self.connection(), found, now_us).await
    }

    async fn put_statement(
        &mut self,
        list: &str,
        number: u64,
        statement: &[u8],
        now_us: i64,
    ) -> Result<(), StoreError> {
        seals::put_statement(self.connection(), list, number, statement, now_us).await
    }

    async fn looked_up(
        &mut self,
        slot: Slot,
        lookups: &[[u8; 16]],
    ) -> Result<Vec<([u8; 16], RecordId)>, StoreError> {
        let dialect = self.dialect;
        help_requests::looked_up(self.connection(), dialect, slot, lookups).await
    }

    async fn pass(&mut self, turn: Turn) -> Result<bool, StoreError> {
        lanes::pass(self.connection(), turn).await
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
