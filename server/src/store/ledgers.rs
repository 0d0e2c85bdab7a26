//! What the ledgers outside the database hold, as the nodes of one point tell each other.

use sqlx::{AnyConnection, FromRow, Row as _, any::AnyRow};

use super::{Result, database::failed};
use crate::domain::{
    id::{PointCode, RecordId},
    time::Time,
};

/// What the queries of this file take; the caller owns it.
pub type Connection = AnyConnection;

/// An entry of a ledger, and when it came in among all of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    pub record: RecordId,
    pub order: RecordId,
    pub home: PointCode,
    pub ordered: Time,
    pub number: i64,
}

/// Puts an entry in, in the place of an older one of the same record. Numbers follow the order of
/// commits only inside the one writing transaction.
pub async fn put(db: &mut Connection, ledger: &str, entry: &Entry) -> Result<()> {
    let sql = "insert into ledger_entries (ledger, record, order_id, home, ordered_us, number)
               values ($1, $2, $3, $4, $5,
                       (select coalesce(max(number), 0) + 1 from ledger_entries where ledger = $1))
               on conflict (ledger, record) do update set order_id = excluded.order_id,
                 home = excluded.home, ordered_us = excluded.ordered_us, number = excluded.number
               where ledger_entries.ordered_us < excluded.ordered_us";
    let query = sqlx::query(sql).bind(ledger).bind(entry.record.0.to_vec());
    let query = query.bind(entry.order.0.to_vec()).bind(entry.home.as_str());
    query.bind(entry.ordered.0).execute(db).await.map_err(failed)?;
    Ok(())
}

/// Entries that came in after number `after`, in their order.
pub async fn list(db: &mut Connection, ledger: &str, after: i64, limit: u32) -> Result<Vec<Entry>> {
    let sql = "select record, order_id, home, ordered_us, number from ledger_entries
               where ledger = $1 and number > $2 order by number limit $3";
    let query = sqlx::query_as(sql).bind(ledger).bind(after).bind(i64::from(limit));
    query.fetch_all(db).await.map_err(failed)
}

impl FromRow<'_, AnyRow> for Entry {
    fn from_row(row: &AnyRow) -> sqlx::Result<Entry> {
        let wrong = |what: &str| sqlx::Error::Decode(what.to_owned().into());
        let id = |name: &str| -> sqlx::Result<RecordId> {
            let bytes: Vec<u8> = row.try_get(name)?;
            Ok(RecordId(bytes.try_into().map_err(|_| wrong("ledger entry"))?))
        };
        let home: String = row.try_get("home")?;
        Ok(Entry {
            record: id("record")?,
            order: id("order_id")?,
            home: home.parse().map_err(|_| wrong("ledger home"))?,
            ordered: Time(row.try_get("ordered_us")?),
            number: row.try_get("number")?,
        })
    }
}
