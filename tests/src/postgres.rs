//! A PostgreSQL server of the tests' own: found or installed, started once per test process, and
//! gone with it.
//!
//! `cargo test` runs the tests of one file in one process, so a server per process is a server per
//! file. A keeper process holds it: its stdin is a pipe of ours, which the system closes however we
//! end, and then the keeper stops the server and removes its files. There is no way to skip: without
//! a server [`Postgres::database`] fails the test and says why.

mod install;
mod keeper;

use std::{
    env, process,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use self::keeper::Keeper;

/// Names an existing server by the URL of a database on it, whose user may create databases. These
/// are called `yizhan_test_…` and stay there; nothing is installed or started.
pub const URL_VARIABLE: &str = "YIZHAN_POSTGRES_URL";

/// The test process's one server.
pub struct Postgres {
    /// A database to connect to for creating others.
    url: String,
    /// Holds the server; none if it is somebody else's.
    _keeper: Option<Keeper>,
}

impl Postgres {
    /// The URL of a new, empty database. The first call of a process starts the server.
    pub async fn database() -> String {
        let server = tokio::task::spawn_blocking(Postgres::server).await.expect("BUG: panicked");
        match server {
            Ok(server) => server.create().await.expect("a new database"),
            Err(error) => panic!("PostgreSQL is not to be had: {error}"),
        }
    }

    /// The URL of a new database with what one of ours holds now. Nobody may be connected to that one.
    pub async fn copy_of(url: &str) -> String {
        let server = tokio::task::spawn_blocking(Postgres::server).await.expect("BUG: panicked");
        let server = server.as_ref().expect("the server that the database is on");
        server.create_from(database_of(url)).await.expect("a copy of a database")
    }

    fn server() -> &'static Result<Postgres, String> {
        // An error is kept too: a second attempt would not fare better, only take as long.
        static SERVER: OnceLock<Result<Postgres, String>> = OnceLock::new();
        SERVER.get_or_init(|| Postgres::start().map_err(|error| format!("{error:#}")))
    }

    fn start() -> Result<Postgres> {
        if let Ok(url) = env::var(URL_VARIABLE) {
            return Ok(Postgres { url, _keeper: None });
        }
        let programs = install::find_or_install().with_context(|| {
            format!("install PostgreSQL 15 or newer, or name a server by {URL_VARIABLE}")
        })?;
        let keeper = Keeper::start(&programs, &env::temp_dir())?;
        Ok(Postgres { url: keeper.url(), _keeper: Some(keeper) })
    }

    async fn create(&self) -> Result<String> {
        self.create_from("template0").await
    }

    async fn create_from(&self, template: &str) -> Result<String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // The time keeps names apart on a server that outlives us and a pid that comes again.
        let started = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let name = format!("yizhan_test_{}_{started}_{number}", process::id());
        let mut connection = PgConnection::connect(&self.url).await?;
        let create = format!("create database {name} template {template} encoding 'UTF8'");
        // The names are made of letters and digits of ours; a database cannot be bound.
        sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut connection).await?;
        connection.close().await?;
        Ok(with_database(&self.url, &name))
    }
}

/// The database that a URL of ours names.
fn database_of(url: &str) -> &str {
    let path = url.split('?').next().unwrap_or(url);
    path.rsplit('/').next().expect("a URL has a path")
}

/// The same server, another database.
fn with_database(url: &str, name: &str) -> String {
    let (address, options) = match url.split_once('?') {
        Some((address, options)) => (address, format!("?{options}")),
        None => (url, String::new()),
    };
    let host_ends = address.find("://").map_or(0, |scheme| scheme + "://".len());
    let server = match address[host_ends..].find('/') {
        Some(path) => &address[..host_ends + path],
        None => address,
    };
    format!("{server}/{name}{options}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_led_to_another_database() {
        for (url, expected) in [
            ("postgres://a:b@h:5/old", "postgres://a:b@h:5/new"),
            ("postgres://h", "postgres://h/new"),
            ("postgres://h/?sslmode=disable", "postgres://h/new?sslmode=disable"),
        ] {
            assert_eq!(with_database(url, "new"), expected);
        }
    }

    #[tokio::test]
    async fn a_copy_holds_what_was_there_and_goes_its_own_way() {
        let url = Postgres::database().await;
        let mut connection = PgConnection::connect(&url).await.unwrap();
        sqlx::raw_sql("create table notes (id bigint); insert into notes values (1)")
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
        let copy = Postgres::copy_of(&url).await;
        let mut connection = PgConnection::connect(&url).await.unwrap();
        sqlx::raw_sql("insert into notes values (2)").execute(&mut connection).await.unwrap();
        let mut copied = PgConnection::connect(&copy).await.unwrap();
        let count = "select count(*) from notes";
        let counted: i64 = sqlx::query_scalar(count).fetch_one(&mut copied).await.unwrap();
        assert_eq!(counted, 1);
    }

    #[tokio::test]
    async fn every_database_is_new_and_durable() {
        let (first, second) = tokio::join!(Postgres::database(), Postgres::database());
        assert_ne!(first, second);
        let mut connection = PgConnection::connect(&first).await.unwrap();
        sqlx::raw_sql("create table notes (id bigint)").execute(&mut connection).await.unwrap();
        let fsync: String = sqlx::query_scalar("select current_setting('fsync')")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(fsync, "on");
        let mut other = PgConnection::connect(&second).await.unwrap();
        assert!(sqlx::raw_sql("select id from notes").execute(&mut other).await.is_err());
    }
}
