//! Accounts and sessions in the database. They belong to this node alone, so they are changed here
//! directly and not by `feed::apply`. Every function is one statement and needs no transaction.

use sqlx::{AnyConnection, FromRow, Row, any::AnyRow};

use crate::{
    domain::{
        account::{Account, AccountId, RoleGrant},
        id::{PointCode, RecordId},
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
    let sql = "insert into accounts (id, name, role, point, password_hash, created_us, member,
                 password_given, password_by, confirmed_by)
               values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict (name) do nothing";
    let query = sqlx::query(sql).bind(account.id.0.to_vec()).bind(&account.name);
    let query = query.bind(account.role.name()).bind(account.point.as_str()).bind(password_hash);
    let member = account.member.map(|member| member.0.to_vec());
    let query = query.bind(account.created.0).bind(member).bind(i64::from(account.password_given));
    let query = query.bind(&account.password_by).bind(&account.confirmed_by);
    Ok(query.execute(db).await?.rows_affected() == 1)
}

/// An account and its password hash.
pub async fn find(db: &mut AnyConnection, name: &str) -> Result<Option<(Account, String)>> {
    let sql = "select id, name, role, point, created_us, disabled_us, member, otp_secret,
                      password_given, password_by, confirmed_by, password_hash
               from accounts where name = $1";
    let row = sqlx::query(sql).bind(name).fetch_optional(db).await?;
    row.map(|row| Ok((Account::from_row(&row)?, row.try_get("password_hash")?))).transpose()
}

pub async fn find_by_id(db: &mut AnyConnection, id: AccountId) -> Result<Option<Account>> {
    let sql =
        "select id, name, role, point, created_us, disabled_us, member, otp_secret, password_given,
                password_by, confirmed_by
         from accounts where id = $1";
    Ok(sqlx::query_as(sql).bind(id.0.to_vec()).fetch_optional(db).await?)
}

/// Accounts by name, from just after `after`; of one point, or of all.
pub async fn list(
    db: &mut AnyConnection,
    point: Option<&str>,
    after: &str,
    limit: u32,
) -> Result<Vec<Account>> {
    let sql = "select id, name, role, point, created_us, disabled_us, member, otp_secret,
                      password_given, password_by, confirmed_by
               from accounts
               where name > $1 and ($2 = '' or point = $2) order by name limit $3";
    let query = sqlx::query_as(sql).bind(after).bind(point.unwrap_or(""));
    Ok(query.bind(i64::from(limit)).fetch_all(db).await?)
}

/// The accounts of a member.
pub async fn of_member(db: &mut AnyConnection, member: RecordId) -> Result<Vec<Account>> {
    let sql =
        "select id, name, role, point, created_us, disabled_us, member, otp_secret, password_given,
                password_by, confirmed_by
         from accounts where member = $1 order by name";
    Ok(sqlx::query_as(sql).bind(member.0.to_vec()).fetch_all(db).await?)
}

/// Disables an account; an earlier time stays.
pub async fn disable(db: &mut AnyConnection, id: AccountId, now: Time) -> Result<()> {
    let sql = "update accounts set disabled_us = $1 where id = $2 and disabled_us is null";
    sqlx::query(sql).bind(now.0).bind(id.0.to_vec()).execute(db).await?;
    Ok(())
}

/// Replaces a password that its owner has changed.
pub async fn change_password(db: &mut AnyConnection, id: AccountId, hash: &str) -> Result<()> {
    let sql = "update accounts set password_hash = $1, password_given = 0 where id = $2";
    sqlx::query(sql).bind(hash).bind(id.0.to_vec()).execute(db).await?;
    Ok(())
}

/// Replaces a password by one that somebody else has set; `by` is empty for the node's operator.
pub async fn give_password(
    db: &mut AnyConnection,
    id: AccountId,
    hash: &str,
    by: &str,
) -> Result<()> {
    let sql = "update accounts set password_hash = $1, password_given = $2, password_by = $3,
                 confirmed_by = '' where id = $4";
    let query = sqlx::query(sql).bind(hash).bind(i64::from(!by.is_empty())).bind(by);
    query.bind(id.0.to_vec()).execute(db).await?;
    Ok(())
}

/// Notes who has made sure that the account is in its owner's hands.
pub async fn confirm(db: &mut AnyConnection, id: AccountId, by: &str) -> Result<()> {
    let sql = "update accounts set confirmed_by = $1 where id = $2 and password_given = 0";
    sqlx::query(sql).bind(by).bind(id.0.to_vec()).execute(db).await?;
    Ok(())
}

/// Is an account tied to this record that is not disabled?
pub async fn has_account(db: &mut AnyConnection, member: RecordId) -> Result<bool> {
    let sql = "select count(*) from accounts where member = $1 and disabled_us is null";
    let count: i64 = sqlx::query(sql).bind(member.0.to_vec()).fetch_one(db).await?.try_get(0)?;
    Ok(count > 0)
}

pub async fn update_role(db: &mut AnyConnection, id: AccountId, role: Role) -> Result<()> {
    let sql = "update accounts set role = $1 where id = $2";
    sqlx::query(sql).bind(role.name()).bind(id.0.to_vec()).execute(db).await?;
    Ok(())
}

/// The roles of an account besides the first.
pub async fn grants(db: &mut AnyConnection, id: AccountId) -> Result<Vec<RoleGrant>> {
    let sql = "select role, point, categories, from_us, to_us, granted_by from role_grants
               where account = $1 order by role, point";
    Ok(sqlx::query_as(sql).bind(id.0.to_vec()).fetch_all(db).await?)
}

/// Gives a role besides the first, in the place of the same one at that point.
pub async fn put_grant(db: &mut AnyConnection, id: AccountId, grant: &RoleGrant) -> Result<()> {
    let sql =
        "insert into role_grants (account, role, point, categories, from_us, to_us, granted_by)
               values ($1, $2, $3, $4, $5, $6, $7)
               on conflict (account, role, point) do update set categories = excluded.categories,
                 from_us = excluded.from_us, to_us = excluded.to_us,
                 granted_by = excluded.granted_by";
    let query = sqlx::query(sql).bind(id.0.to_vec()).bind(grant.role.name());
    let query = query.bind(grant.point.as_str()).bind(grant.categories.join(" "));
    let query = query.bind(grant.from.0).bind(grant.to.map(|to| to.0)).bind(&grant.granted_by);
    query.execute(db).await?;
    Ok(())
}

/// Takes a role besides the first away; false if there was none.
pub async fn delete_grant(
    db: &mut AnyConnection,
    id: AccountId,
    role: Role,
    point: &PointCode,
) -> Result<bool> {
    let sql = "delete from role_grants where account = $1 and role = $2 and point = $3";
    let query = sqlx::query(sql).bind(id.0.to_vec()).bind(role.name()).bind(point.as_str());
    Ok(query.execute(db).await?.rows_affected() == 1)
}

/// What an account knows of one-time codes.
#[derive(Clone, Default)]
pub struct OneTime {
    pub secret: Option<Vec<u8>>,
    /// A new secret that waits for its first code.
    pub pending: Option<Vec<u8>>,
    /// The newest step whose code was taken.
    pub step: Option<i64>,
}

pub async fn one_time(db: &mut AnyConnection, id: AccountId) -> Result<OneTime> {
    let sql = "select otp_secret, otp_pending, otp_step from accounts where id = $1";
    let row = sqlx::query(sql).bind(id.0.to_vec()).fetch_one(db).await?;
    Ok(OneTime {
        secret: row.try_get("otp_secret")?,
        pending: row.try_get("otp_pending")?,
        step: row.try_get("otp_step")?,
    })
}

/// Replaces what an account knows of one-time codes.
pub async fn put_one_time(db: &mut AnyConnection, id: AccountId, known: OneTime) -> Result<()> {
    let sql = "update accounts set otp_secret = $2, otp_pending = $3, otp_step = $4 where id = $1";
    let query = sqlx::query(sql).bind(id.0.to_vec()).bind(known.secret).bind(known.pending);
    query.bind(known.step).execute(db).await?;
    Ok(())
}

/// Takes a code: false if one of that step or a later one was taken before.
pub async fn take_step(db: &mut AnyConnection, id: AccountId, step: i64) -> Result<bool> {
    let sql = "update accounts set otp_step = $2
               where id = $1 and (otp_step is null or otp_step < $2)";
    let query = sqlx::query(sql).bind(id.0.to_vec()).bind(step);
    Ok(query.execute(db).await?.rows_affected() == 1)
}

/// Removes the accounts of a person, with their sessions.
pub async fn delete_of_member(db: &mut AnyConnection, member: RecordId) -> Result<()> {
    for sql in [
        "delete from notice_addresses where account in
           (select name from accounts where member = $1)",
        "delete from sessions where account in (select id from accounts where member = $1)",
        "delete from role_grants where account in (select id from accounts where member = $1)",
        "delete from accounts where member = $1",
    ] {
        sqlx::query(sql).bind(member.0.to_vec()).execute(&mut *db).await?;
    }
    Ok(())
}

impl FromRow<'_, AnyRow> for RoleGrant {
    fn from_row(row: &AnyRow) -> Result<RoleGrant, sqlx::Error> {
        let wrong = |what: &str| sqlx::Error::Decode(what.to_owned().into());
        let (role, point): (String, String) = (row.try_get("role")?, row.try_get("point")?);
        let categories: String = row.try_get("categories")?;
        Ok(RoleGrant {
            role: Role::of_account(&role, "role").map_err(|_| wrong("granted role"))?,
            point: point.parse().map_err(|_| wrong("granted point"))?,
            categories: categories.split_whitespace().map(str::to_owned).collect(),
            from: Time(row.try_get("from_us")?),
            to: row.try_get::<Option<i64>, _>("to_us")?.map(Time),
            granted_by: row.try_get("granted_by")?,
        })
    }
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
    let sql = "select id, name, role, point, created_us, disabled_us, member, otp_secret,
                      password_given, password_by, confirmed_by, used_us, expires_us
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
            member: row
                .try_get::<Option<Vec<u8>>, _>("member")?
                .map(|id| id.try_into().map(RecordId).map_err(|_| wrong("account member")))
                .transpose()?,
            otp: row.try_get::<Option<Vec<u8>>, _>("otp_secret")?.is_some(),
            password_given: row.try_get::<i64, _>("password_given")? != 0,
            password_by: row.try_get("password_by")?,
            confirmed_by: row.try_get("confirmed_by")?,
            grants: Vec::new(),
        })
    }
}
