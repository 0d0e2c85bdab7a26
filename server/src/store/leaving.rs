//! What goes along with the records of a point that gets a node of its own, out of its host's own
//! tables; and what is removed there in the end. Every function runs in the caller's transaction.

use sqlx::{AnyConnection, FromRow, Row as _, any::AnyRow};

use super::{Slot, StoreError, database::failed, words::Channel};
use crate::domain::{
    account::Account,
    id::{PointCode, RecordId},
    policy::Role,
};

/// What the queries of this file take; the caller owns it.
pub type Connection = AnyConnection;

/// Something that had come for a point by parcel and was not in its feeds yet.
pub struct Waiting {
    pub sender: String,
    pub arrived_us: i64,
    /// As it was stored.
    pub bytes: Vec<u8>,
}

impl FromRow<'_, AnyRow> for Waiting {
    fn from_row(row: &AnyRow) -> sqlx::Result<Waiting> {
        Ok(Waiting {
            sender: row.try_get("sender")?,
            arrived_us: row.try_get("arrived_us")?,
            bytes: row.try_get("bytes")?,
        })
    }
}

/// Takes the oldest help request that has come for a point and waits.
pub async fn take_request(
    db: &mut Connection,
    home: &PointCode,
) -> Result<Option<Waiting>, StoreError> {
    let sql = "delete from help_parcels where (sender, id) in
                 (select sender, id from help_parcels where owner = $1
                  order by arrived_us, id, sender limit 1)
               returning sender, arrived_us, parcel as bytes";
    sqlx::query_as(sql).bind(home.as_str()).fetch_optional(db).await.map_err(failed)
}

/// Takes the oldest word on a handoff that has come for a point and waits.
pub async fn take_handoff_word(
    db: &mut Connection,
    home: &PointCode,
) -> Result<Option<Waiting>, StoreError> {
    let sql = "delete from handoff_arrivals where (owner, sender, handoff, kind, extra) in
                 (select owner, sender, handoff, kind, extra from handoff_arrivals
                  where owner = $1 order by arrived_us, kind, sender, handoff, extra limit 1)
               returning sender, arrived_us, word as bytes";
    sqlx::query_as(sql).bind(home.as_str()).fetch_optional(db).await.map_err(failed)
}

/// Takes the oldest word about a person that has come for a point and waits.
pub async fn take_word(
    db: &mut Connection,
    channel: Channel,
    home: &PointCode,
) -> Result<Option<Waiting>, StoreError> {
    let sql = "delete from words where (channel, owner, subject, kind, part) in
                 (select channel, owner, subject, kind, part from words
                  where channel = $1 and owner = $2 order by arrived_us, kind, part limit 1)
               returning sender, arrived_us, word as bytes";
    let query = sqlx::query_as(sql).bind(channel as i64).bind(home.as_str());
    query.fetch_optional(db).await.map_err(failed)
}

/// A file that a request of this copy has taken, and the request.
pub async fn next_file(
    db: &mut Connection,
    slot: Slot,
) -> Result<Option<(RecordId, RecordId)>, StoreError> {
    let sql = "select a.id, a.request from help_requests r join attachments a on a.request = r.id
               where r.slot = $1 and a.whole > 0 order by a.id limit 1";
    let row: Option<(Vec<u8>, Vec<u8>)> =
        sqlx::query_as(sql).bind(i64::from(slot.0)).fetch_optional(db).await.map_err(failed)?;
    let id = |bytes: Vec<u8>| {
        bytes.try_into().map(RecordId).map_err(|_| StoreError::Damaged { what: "attachment" })
    };
    row.map(|(file, request)| Ok((id(file)?, id(request)?))).transpose()
}

/// A point's accounts as they are stored, but those that only two persons may make.
pub async fn accounts(
    db: &mut Connection,
    home: &PointCode,
    after: &str,
    limit: u32,
) -> Result<Vec<(Account, String)>, StoreError> {
    let sql = "select id, name, role, point, created_us, disabled_us, member, otp_secret,
                      password_given, password_by, confirmed_by, password_hash
               from accounts where point = $1 and name > $2 and role <> $3 order by name limit $4";
    let query = sqlx::query(sql).bind(home.as_str()).bind(after);
    let query = query.bind(Role::ProvincialAdmin.name()).bind(i64::from(limit));
    let rows = query.fetch_all(db).await.map_err(failed)?;
    rows.iter().map(|row| Ok((Account::from_row(row)?, row.try_get("password_hash")?))).collect()
}

/// Removes what a node has kept for itself of a point that is not here any more: accounts and what
/// hangs on them, orders that waited, and files that no stored request has taken.
pub async fn clear(db: &mut Connection, home: &PointCode) -> Result<(), StoreError> {
    for sql in [
        "delete from notice_addresses where account in
           (select name from accounts where point = $1)",
        "delete from sessions where account in (select id from accounts where point = $1)",
        "delete from role_grants where point = $1 or account in
           (select id from accounts where point = $1)",
        "delete from accounts where point = $1",
        "delete from approvals where point = $1",
        "delete from help_counters where point = $1",
        "delete from help_deputies where home = $1",
        "delete from help_escalations where parent = $1",
    ] {
        sqlx::query(sql).bind(home.as_str()).execute(&mut *db).await.map_err(failed)?;
    }
    for sql in [
        "delete from attachment_pieces where attachment in
           (select id from attachments where whole = 2 and not exists
             (select 1 from help_requests r where r.id = attachments.request))",
        "delete from attachments where whole = 2 and not exists
           (select 1 from help_requests r where r.id = attachments.request)",
    ] {
        sqlx::query(sql).execute(&mut *db).await.map_err(failed)?;
    }
    Ok(())
}
