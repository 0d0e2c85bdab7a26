//! The outbox of notices, and where people want to be told. Local to this database.

use sqlx::{AnyConnection, FromRow, Row, any::AnyRow};

use super::{Result, database::failed};
use crate::domain::time::Time;

/// What the queries of this file take; the caller owns it.
pub type Connection = AnyConnection;

/// Somebody's address and quiet hours, as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Address {
    /// Encrypted to this point.
    pub target: Vec<u8>,
    pub language: String,
    /// Empty: no quiet hours.
    pub zone: String,
    pub quiet_from: i64,
    pub quiet_to: i64,
}

/// A notice that waits.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    pub id: Vec<u8>,
    pub channel: i64,
    pub fact: i64,
    pub reference: String,
    pub label: String,
    pub attempts: i64,
    pub address: Address,
}

/// Puts a notice into the outbox; false if this person was told of it, or will be.
pub async fn insert(db: &mut Connection, notice: &Waiting, due: Time, now: Time) -> Result<bool> {
    let sql = "insert into notices (id, channel, target, fact, language, reference, label, zone,
                 quiet_from, quiet_to, attempts, due_us, created_us, over_us, failed)
               values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, $11, $12, 0, 0)
               on conflict (id) do nothing";
    let Address { target, language, zone, quiet_from, quiet_to } = &notice.address;
    let query = sqlx::query(sql).bind(notice.id.clone()).bind(notice.channel).bind(target.clone());
    let query = query.bind(notice.fact).bind(language).bind(&notice.reference).bind(&notice.label);
    let query = query.bind(zone).bind(*quiet_from).bind(*quiet_to).bind(due.0).bind(now.0);
    Ok(query.execute(db).await.map_err(failed)?.rows_affected() == 1)
}

/// Those that are due, oldest first.
pub async fn list_due(db: &mut Connection, now: Time, limit: u32) -> Result<Vec<Waiting>> {
    let sql = "select id, channel, target, fact, language, reference, label, zone, quiet_from,
                 quiet_to, attempts
               from notices where over_us = 0 and due_us <= $1 order by due_us limit $2";
    let query = sqlx::query_as(sql).bind(now.0).bind(i64::from(limit));
    query.fetch_all(db).await.map_err(failed)
}

/// Counts an attempt before it is made and sets when the next one is due; false if somebody else has
/// begun one meanwhile.
pub async fn begin(db: &mut Connection, notice: &Waiting, next: Time) -> Result<bool> {
    let sql = "update notices set attempts = attempts + 1, due_us = $1
               where id = $2 and attempts = $3 and over_us = 0";
    let query = sqlx::query(sql).bind(next.0).bind(notice.id.clone()).bind(notice.attempts);
    Ok(query.execute(db).await.map_err(failed)?.rows_affected() == 1)
}

/// Puts it off, without an attempt.
pub async fn put_off(db: &mut Connection, id: &[u8], until: Time) -> Result<()> {
    let sql = "update notices set due_us = $1 where id = $2 and over_us = 0";
    sqlx::query(sql).bind(until.0).bind(id.to_vec()).execute(db).await.map_err(failed)?;
    Ok(())
}

/// It was delivered, or given up. The address goes; the name of the notice stays for a while, so
/// that nobody is told twice.
pub async fn end(db: &mut Connection, id: &[u8], is_failed: bool, now: Time) -> Result<()> {
    let sql = "update notices set over_us = $1, failed = $2, target = $3 where id = $4";
    let query = sqlx::query(sql).bind(now.0).bind(i64::from(is_failed)).bind(Vec::<u8>::new());
    query.bind(id.to_vec()).execute(db).await.map_err(failed)?;
    Ok(())
}

/// Forgets what has been over since before `before`.
pub async fn sweep(db: &mut Connection, before: Time) -> Result<u64> {
    let sql = "delete from notices where over_us > 0 and over_us < $1";
    Ok(sqlx::query(sql).bind(before.0).execute(db).await.map_err(failed)?.rows_affected())
}

/// How many wait, and how many were given up.
pub async fn figures(db: &mut Connection) -> Result<(i64, i64)> {
    let sql = "select cast(coalesce(sum(case when over_us = 0 then 1 else 0 end), 0) as bigint)
                 as waiting, cast(coalesce(sum(failed), 0) as bigint) as failed from notices";
    let row = sqlx::query(sql).fetch_one(db).await.map_err(failed)?;
    Ok((row.try_get("waiting")?, row.try_get("failed")?))
}

/// Does anybody want to be told at an address of their own?
pub async fn has_addresses(db: &mut Connection) -> Result<bool> {
    let sql = "select account from notice_addresses limit 1";
    let found: Option<String> = sqlx::query_scalar(sql).fetch_optional(db).await.map_err(failed)?;
    Ok(found.is_some())
}

/// Somebody who wants to be told, and one of the roles in which they work.
#[derive(Clone, Debug, PartialEq)]
pub struct Staff {
    pub account: String,
    pub role: String,
    pub point: String,
    /// What the role is limited to, as names with spaces between; empty: to nothing.
    pub categories: String,
    pub address: Address,
}

/// Whoever wants to be told and is not disabled, once per role.
pub async fn list_staff(db: &mut Connection, now: Time, limit: u32) -> Result<Vec<Staff>> {
    let sql = "select n.account, a.role, a.point, '' as categories, n.target, n.language, n.zone,
                 n.quiet_from, n.quiet_to
               from notice_addresses n join accounts a on a.name = n.account
               where a.disabled_us is null
               union all
               select n.account, g.role, g.point, g.categories, n.target, n.language, n.zone,
                 n.quiet_from, n.quiet_to
               from notice_addresses n join accounts a on a.name = n.account
                 join role_grants g on g.account = a.id
               where a.disabled_us is null and g.from_us <= $1
                 and (g.to_us is null or g.to_us > $1)
               order by 1, 2, 3 limit $2";
    let query = sqlx::query_as(sql).bind(now.0).bind(i64::from(limit));
    query.fetch_all(db).await.map_err(failed)
}

/// Up to where a home's sealed records have been looked at for news, in which epoch.
pub async fn find_mark(db: &mut Connection, home: &str) -> Result<(i64, i64)> {
    let sql = "select epoch, sequence from notice_marks where home = $1";
    let mark = sqlx::query_as(sql).bind(home).fetch_optional(db).await.map_err(failed)?;
    Ok(mark.unwrap_or((0, 0)))
}

pub async fn set_mark(
    db: &mut Connection,
    home: &str,
    (epoch, sequence): (i64, i64),
) -> Result<()> {
    let sql = "insert into notice_marks (home, epoch, sequence) values ($1, $2, $3)
               on conflict (home) do update set epoch = excluded.epoch,
                 sequence = excluded.sequence";
    let query = sqlx::query(sql).bind(home).bind(epoch).bind(sequence);
    query.execute(db).await.map_err(failed)?;
    Ok(())
}

/// Where an account wants to be told.
pub async fn find_address(db: &mut Connection, account: &str) -> Result<Option<Address>> {
    let sql = "select target, language, zone, quiet_from, quiet_to from notice_addresses
               where account = $1";
    sqlx::query_as(sql).bind(account).fetch_optional(db).await.map_err(failed)
}

pub async fn put_address(db: &mut Connection, account: &str, address: &Address) -> Result<()> {
    let sql = "insert into notice_addresses (account, target, language, zone, quiet_from, quiet_to)
               values ($1, $2, $3, $4, $5, $6)
               on conflict (account) do update set target = excluded.target,
                 language = excluded.language, zone = excluded.zone,
                 quiet_from = excluded.quiet_from, quiet_to = excluded.quiet_to";
    let query = sqlx::query(sql).bind(account).bind(address.target.clone()).bind(&address.language);
    let query = query.bind(&address.zone).bind(address.quiet_from).bind(address.quiet_to);
    query.execute(db).await.map_err(failed)?;
    Ok(())
}

pub async fn delete_address(db: &mut Connection, account: &str) -> Result<()> {
    let sql = "delete from notice_addresses where account = $1";
    sqlx::query(sql).bind(account).execute(db).await.map_err(failed)?;
    Ok(())
}

impl FromRow<'_, AnyRow> for Address {
    fn from_row(row: &AnyRow) -> sqlx::Result<Address> {
        Ok(Address {
            target: row.try_get("target")?,
            language: row.try_get("language")?,
            zone: row.try_get("zone")?,
            quiet_from: row.try_get("quiet_from")?,
            quiet_to: row.try_get("quiet_to")?,
        })
    }
}

impl FromRow<'_, AnyRow> for Staff {
    fn from_row(row: &AnyRow) -> sqlx::Result<Staff> {
        Ok(Staff {
            account: row.try_get("account")?,
            role: row.try_get("role")?,
            point: row.try_get("point")?,
            categories: row.try_get("categories")?,
            address: Address::from_row(row)?,
        })
    }
}

impl FromRow<'_, AnyRow> for Waiting {
    fn from_row(row: &AnyRow) -> sqlx::Result<Waiting> {
        Ok(Waiting {
            id: row.try_get("id")?,
            channel: row.try_get("channel")?,
            fact: row.try_get("fact")?,
            reference: row.try_get("reference")?,
            label: row.try_get("label")?,
            attempts: row.try_get("attempts")?,
            address: Address::from_row(row)?,
        })
    }
}
