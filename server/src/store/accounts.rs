//! Accounts and sessions in the database. They belong to this node alone, so they are changed here
//! directly and not by `feed::apply`. Every function is one statement and needs no transaction.

use sqlx::{AnyConnection, FromRow, Row, any::AnyRow};

use crate::{
    domain::{
        account::{Account, AccountId},
        policy::Role,
        time::Time,
    },
    store::Result,
};

/// Adds an account; false if the name is taken.
pub async fn insert(
    db: &mut AnyConnection,
    account: &Account,
    password_hash: &str,
) -> Result<bool> {
    let sql = "insert into accounts (id, name, role, point, password_hash, created_us)
               values ($1, $2, $3, $4, $5, $6) on conflict (name) do nothing";
    let query = sqlx::query(sql).bind(account.id.0.to_vec()).bind(&account.name);
    let query = query.bind(account.role.name()).bind(account.point.as_str()).bind(password_hash);
    Ok(query.bind(account.created.0).execute(db).await?.rows_affected() == 1)
}

/// An account and its password hash.
pub async fn find(db: &mut AnyConnection, name: &str) -> Result<Option<(Account, String)>> {
    let sql = "select id, name, role, point, created_us, disabled_us, password_hash
               from accounts where name = $1";
    let row = sqlx::query(sql).bind(name).fetch_optional(db).await?;
    row.map(|row| Ok((Account::from_row(&row)?, row.try_get("password_hash")?))).transpose()
}

/// Accounts by name, from just after `after`; of one point, or of all.
pub async fn list(
    db: &mut AnyConnection,
    point: Option<&str>,
    after: &str,
    limit: u32,
) -> Result<Vec<Account>> {
    let sql = "select id, name, role, point, created_us, disabled_us from accounts
               where name > $1 and ($2 = '' or point = $2) order by name limit $3";
    let query = sqlx::query_as(sql).bind(after).bind(point.unwrap_or(""));
    Ok(query.bind(i64::from(limit)).fetch_all(db).await?)
}

/// Disables an account; an earlier time stays.
pub async fn disable(db: &mut AnyConnection, id: AccountId, now: Time) -> Result<()> {
    let sql = "update accounts set disabled_us = $1 where id = $2 and disabled_us is null";
    sqlx::query(sql).bind(now.0).bind(id.0.to_vec()).execute(db).await?;
    Ok(())
}

pub async fn update_password(
    db: &mut AnyConnection,
    id: AccountId,
    password_hash: &str,
) -> Result<()> {
    let sql = "update accounts set password_hash = $1 where id = $2";
    sqlx::query(sql).bind(password_hash).bind(id.0.to_vec()).execute(db).await?;
    Ok(())
}

pub async fn update_role(db: &mut AnyConnection, id: AccountId, role: Role) -> Result<()> {
    let sql = "update accounts set role = $1 where id = $2";
    sqlx::query(sql).bind(role.name()).bind(id.0.to_vec()).execute(db).await?;
    Ok(())
}

pub async fn insert_session(
    db: &mut AnyConnection,
    token_hash: &[u8; 32],
    account: AccountId,
    now: Time,
    expires: Time,
) -> Result<()> {
    let sql = "insert into sessions (token_hash, account, used_us, expires_us)
               values ($1, $2, $3, $4)";
    let query = sqlx::query(sql).bind(token_hash.to_vec()).bind(account.0.to_vec());
    query.bind(now.0).bind(expires.0).execute(db).await?;
    Ok(())
}

/// A session that is neither over nor idle, of an account that is not disabled.
pub struct Session {
    pub account: Account,
    pub used: Time,
    pub expires: Time,
}

/// The session of a token, if it lives: used after `idle_since` and ending after `now`.
pub async fn find_session(
    db: &mut AnyConnection,
    token_hash: &[u8; 32],
    now: Time,
    idle_since: Time,
) -> Result<Option<Session>> {
    let sql = "select id, name, role, point, created_us, disabled_us, used_us, expires_us
               from sessions join accounts on accounts.id = sessions.account
               where token_hash = $1 and expires_us > $2 and used_us > $3
                 and disabled_us is null";
    let query = sqlx::query(sql).bind(token_hash.to_vec()).bind(now.0).bind(idle_since.0);
    let Some(row) = query.fetch_optional(db).await? else { return Ok(None) };
    Ok(Some(Session {
        account: Account::from_row(&row)?,
        used: Time(row.try_get("used_us")?),
        expires: Time(row.try_get("expires_us")?),
    }))
}

/// Notes that a session was used; time never runs backwards in it.
pub async fn touch_session(db: &mut AnyConnection, token_hash: &[u8; 32], now: Time) -> Result<()> {
    let sql = "update sessions set used_us = $1 where token_hash = $2 and used_us < $1";
    sqlx::query(sql).bind(now.0).bind(token_hash.to_vec()).execute(db).await?;
    Ok(())
}

pub async fn delete_session(db: &mut AnyConnection, token_hash: &[u8; 32]) -> Result<()> {
    let sql = "delete from sessions where token_hash = $1";
    sqlx::query(sql).bind(token_hash.to_vec()).execute(db).await?;
    Ok(())
}

pub async fn delete_sessions_of(db: &mut AnyConnection, account: AccountId) -> Result<()> {
    let sql = "delete from sessions where account = $1";
    sqlx::query(sql).bind(account.0.to_vec()).execute(db).await?;
    Ok(())
}

/// Deletes what is dead anyway.
pub async fn delete_ended_sessions(
    db: &mut AnyConnection,
    now: Time,
    idle_since: Time,
) -> Result<()> {
    let sql = "delete from sessions where expires_us <= $1 or used_us <= $2";
    sqlx::query(sql).bind(now.0).bind(idle_since.0).execute(db).await?;
    Ok(())
}

impl FromRow<'_, AnyRow> for Account {
    fn from_row(row: &AnyRow) -> Result<Account, sqlx::Error> {
        let id: Vec<u8> = row.try_get("id")?;
        let role: String = row.try_get("role")?;
        let point: String = row.try_get("point")?;
        let wrong = |what: &str| sqlx::Error::Decode(what.to_owned().into());
        Ok(Account {
            id: AccountId(id.try_into().map_err(|_| wrong("account id"))?),
            name: row.try_get("name")?,
            role: Role::of_account(&role, "role").map_err(|_| wrong("account role"))?,
            point: point.parse().map_err(|_| wrong("account point"))?,
            created: Time(row.try_get("created_us")?),
            disabled: row.try_get::<Option<i64>, _>("disabled_us")?.map(Time),
        })
    }
}
