//! Join tokens at rest. Each function is one statement, so that a caller may be dropped between any
//! two of them: using a token is decided by `claim` alone.

use sqlx::{Any, AnyConnection, FromRow, Row, any::AnyRow};

use crate::domain::{id::PointCode, time::Time};

/// What the queries of this file take; the caller owns it.
pub type Connection = AnyConnection;
/// What they fail with.
pub type StorageError = sqlx::Error;

/// A token as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredToken {
    pub id: [u8; 5],
    pub secret_sha256: [u8; 32],
    pub point: PointCode,
    /// Host that the joining node's public certificate may cover.
    pub public_host: Option<String>,
    pub created: Time,
    pub expires: Time,
    pub failures: i64,
    /// SHA-256 of the TLS key that used it.
    pub used_by: Option<[u8; 32]>,
    /// Encoded EnrolResponse.
    pub answer: Option<Vec<u8>>,
}

pub async fn insert(db: &mut Connection, token: &StoredToken) -> sqlx::Result<()> {
    let sql = "insert into join_tokens
               (id, secret_sha256, point, created_us, expires_us, failures, used_by, answer, public_host)
               values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    sqlx::query::<Any>(sql)
        .bind(token.id.to_vec())
        .bind(token.secret_sha256.to_vec())
        .bind(token.point.as_str().to_owned())
        .bind(token.created.0)
        .bind(token.expires.0)
        .bind(token.failures)
        .bind(token.used_by.map(Vec::from).unwrap_or_default())
        .bind(token.answer.clone().unwrap_or_default())
        .bind(token.public_host.clone().unwrap_or_default())
        .execute(db)
        .await?;
    Ok(())
}

pub async fn find(db: &mut Connection, id: [u8; 5]) -> sqlx::Result<Option<StoredToken>> {
    let sql = "select id, secret_sha256, point, created_us, expires_us, failures, used_by, answer,
                 public_host
               from join_tokens where id = $1";
    sqlx::query_as::<Any, StoredToken>(sql).bind(id.to_vec()).fetch_optional(db).await
}

/// Gives an unused token to a TLS key; false if it is used, burnt or expired by now. Of any number
/// of callers at once exactly one gets it.
pub async fn claim(
    db: &mut Connection,
    id: [u8; 5],
    tls_key_sha256: [u8; 32],
    now: Time,
    failures_max: i64,
) -> sqlx::Result<bool> {
    let sql = "update join_tokens set used_by = $1
               where id = $2 and length(used_by) = 0 and expires_us > $3 and failures < $4";
    let done = sqlx::query::<Any>(sql)
        .bind(tls_key_sha256.to_vec())
        .bind(id.to_vec())
        .bind(now.0)
        .bind(failures_max)
        .execute(db)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Counts a wrong secret.
pub async fn count_failure(db: &mut Connection, id: [u8; 5]) -> sqlx::Result<()> {
    let sql = "update join_tokens set failures = failures + 1 where id = $1";
    sqlx::query::<Any>(sql).bind(id.to_vec()).execute(db).await?;
    Ok(())
}

/// Keeps the answer for a caller that did not receive it.
pub async fn keep_answer(
    db: &mut Connection,
    id: [u8; 5],
    tls_key_sha256: [u8; 32],
    answer: &[u8],
) -> sqlx::Result<()> {
    let sql = "update join_tokens set answer = $1 where id = $2 and used_by = $3";
    sqlx::query::<Any>(sql)
        .bind(answer.to_vec())
        .bind(id.to_vec())
        .bind(tls_key_sha256.to_vec())
        .execute(db)
        .await?;
    Ok(())
}

/// Forgets tokens that expired before a moment; says how many.
pub async fn delete_expired(db: &mut Connection, before: Time) -> sqlx::Result<u64> {
    let sql = "delete from join_tokens where expires_us < $1";
    Ok(sqlx::query::<Any>(sql).bind(before.0).execute(db).await?.rows_affected())
}

impl FromRow<'_, AnyRow> for StoredToken {
    fn from_row(row: &AnyRow) -> sqlx::Result<StoredToken> {
        let point: String = row.try_get("point")?;
        let used_by: Vec<u8> = row.try_get("used_by")?;
        let answer: Vec<u8> = row.try_get("answer")?;
        let public_host: String = row.try_get("public_host")?;
        Ok(StoredToken {
            id: array(row.try_get("id")?)?,
            secret_sha256: array(row.try_get("secret_sha256")?)?,
            point: point.parse().map_err(|_| sqlx::Error::Decode("point code".into()))?,
            public_host: (!public_host.is_empty()).then_some(public_host),
            created: Time(row.try_get("created_us")?),
            expires: Time(row.try_get("expires_us")?),
            failures: row.try_get("failures")?,
            used_by: if used_by.is_empty() { None } else { Some(array(used_by)?) },
            answer: (!answer.is_empty()).then_some(answer),
        })
    }
}

fn array<const N: usize>(bytes: Vec<u8>) -> sqlx::Result<[u8; N]> {
    bytes.try_into().map_err(|_| sqlx::Error::Decode("length of a column".into()))
}

#[cfg(test)]
pub(crate) mod tests {
    use sqlx::Connection;

    use super::*;

    pub(crate) async fn database() -> AnyConnection {
        sqlx::any::install_default_drivers();
        let mut db = AnyConnection::connect("sqlite::memory:").await.unwrap();
        for sql in [
            include_str!("../../migrations/0002_tokens.sql"),
            include_str!("../../migrations/0110_token_hosts.sql"),
        ] {
            let sql = sql.replace("bytea", "blob");
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut db).await.unwrap();
        }
        db
    }

    fn token() -> StoredToken {
        StoredToken {
            id: [1; 5],
            secret_sha256: [2; 32],
            point: "GB-LON".parse().unwrap(),
            public_host: Some("lon.example.org".into()),
            created: Time(10),
            expires: Time(20),
            failures: 0,
            used_by: None,
            answer: None,
        }
    }

    #[tokio::test]
    async fn a_token_comes_back_as_it_was_stored() {
        let mut db = database().await;
        insert(&mut db, &token()).await.unwrap();
        assert_eq!(find(&mut db, [1; 5]).await.unwrap(), Some(token()));
        assert_eq!(find(&mut db, [9; 5]).await.unwrap(), None);
        assert!(insert(&mut db, &token()).await.is_err());
    }

    #[tokio::test]
    async fn a_token_is_claimed_once() {
        let mut db = database().await;
        insert(&mut db, &token()).await.unwrap();
        assert!(claim(&mut db, [1; 5], [3; 32], Time(15), 5).await.unwrap());
        assert!(!claim(&mut db, [1; 5], [4; 32], Time(15), 5).await.unwrap());
        assert!(!claim(&mut db, [1; 5], [3; 32], Time(15), 5).await.unwrap());
        keep_answer(&mut db, [1; 5], [4; 32], b"other").await.unwrap();
        keep_answer(&mut db, [1; 5], [3; 32], b"answer").await.unwrap();
        let stored = find(&mut db, [1; 5]).await.unwrap().unwrap();
        assert_eq!(stored.used_by, Some([3; 32]));
        assert_eq!(stored.answer.unwrap(), b"answer");
    }

    #[tokio::test]
    async fn an_expired_or_burnt_token_is_not_claimed() {
        let mut db = database().await;
        insert(&mut db, &token()).await.unwrap();
        assert!(!claim(&mut db, [1; 5], [3; 32], Time(20), 5).await.unwrap());
        for _ in 0..5 {
            count_failure(&mut db, [1; 5]).await.unwrap();
        }
        assert!(!claim(&mut db, [1; 5], [3; 32], Time(15), 5).await.unwrap());
        assert_eq!(delete_expired(&mut db, Time(20)).await.unwrap(), 0);
        assert_eq!(delete_expired(&mut db, Time(21)).await.unwrap(), 1);
    }
}
