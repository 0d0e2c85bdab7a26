//! A pool over SQLite or PostgreSQL.

use sqlx::{Any, AnyPool, any::AnyPoolOptions, pool::PoolConnection};

use super::Result;

#[derive(Clone)]
pub struct Database {
    pool: AnyPool,
}

impl Database {
    /// A database in memory, for tests.
    pub async fn in_memory() -> Result<Database> {
        sqlx::any::install_default_drivers();
        let options =
            AnyPoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
        let pool = options.connect("sqlite::memory:").await?;
        let sql = include_str!("../../migrations/0003_accounts.sql").replace("bytea", "blob");
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&pool).await?;
        Ok(Database { pool })
    }

    pub async fn reader(&self) -> Result<PoolConnection<Any>> {
        self.pool.acquire().await
    }

    /// A connection for a statement on this node's own tables, which no feed replicates.
    pub async fn local(&self) -> Result<PoolConnection<Any>> {
        self.pool.acquire().await
    }
}
