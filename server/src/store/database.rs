//! Opening, migrating, and the one writing connection.
//!
//! SQLite: one file, WAL, synchronous FULL, one writer and a few readers. PostgreSQL: several nodes of
//! one point may share a database; an advisory lock makes their writing transactions one queue.

use std::{os::unix::fs::OpenOptionsExt, path::Path, str::FromStr, sync::Arc};

use sqlx::{
    AnyConnection, AnyPool, AssertSqlSafe, Connection, Executor, Row as _,
    any::{AnyConnectOptions, AnyPoolOptions},
    pool::PoolConnection,
};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{Entered, Slot, StoreError, dialect::Dialect, records};
use crate::domain::position::Sequence;

/// Connections that read at the same time, unless more are asked for.
const READERS: u32 = 4;
/// How long a reader waits for a connection.
const READER_WAIT: std::time::Duration = std::time::Duration::from_secs(5);
/// First SQLite version without the WAL-reset race that loses acknowledged writes
/// (sqlite.org/wal.html).
const SQLITE_MIN: [u32; 3] = [3, 51, 3];
/// Names this program's writers among PostgreSQL's advisory locks.
const WRITER_LOCK: i64 = 0x59_69_7a_68_61_6e;

/// Files in the order they are applied; several may make up one number.
const MIGRATIONS: &[(i64, Option<Dialect>, &str)] = &[
    (1, None, include_str!("../../migrations/0001_feeds.sql")),
    (1, Some(Dialect::Sqlite), include_str!("../../migrations/0001_terms.sqlite.sql")),
    (1, Some(Dialect::Postgres), include_str!("../../migrations/0001_terms.postgres.sql")),
    (1, None, include_str!("../../migrations/0001_events.sql")),
    (2, None, include_str!("../../migrations/0002_tokens.sql")),
    (3, None, include_str!("../../migrations/0003_accounts.sql")),
    (4, None, include_str!("../../migrations/0004_parcels.sql")),
    (5, None, include_str!("../../migrations/0005_sharing.sql")),
    (10, None, include_str!("../../migrations/0010_staging.sql")),
    (10, Some(Dialect::Sqlite), include_str!("../../migrations/0010_terms.sqlite.sql")),
    (20, None, include_str!("../../migrations/0020_hand_over.sql")),
    (30, None, include_str!("../../migrations/0030_audit.sql")),
    (31, None, include_str!("../../migrations/0031_people.sql")),
    (50, None, include_str!("../../migrations/0050_help_requests.sql")),
    (60, None, include_str!("../../migrations/0060_notices.sql")),
    (61, None, include_str!("../../migrations/0061_handoffs.sql")),
    (62, None, include_str!("../../migrations/0062_attachments.sql")),
    (63, None, include_str!("../../migrations/0063_notice_marks.sql")),
    (64, None, include_str!("../../migrations/0064_words.sql")),
    (65, None, include_str!("../../migrations/0065_retention.sql")),
    (100, None, include_str!("../../migrations/0100_handoff_arrivals.sql")),
    (101, None, include_str!("../../migrations/0101_moving_in.sql")),
    (110, None, include_str!("../../migrations/0110_token_hosts.sql")),
    (120, None, include_str!("../../migrations/0120_passwords.sql")),
    (130, None, include_str!("../../migrations/0130_lanes.sql")),
    (140, None, include_str!("../../migrations/0140_escalated.sql")),
    (150, None, include_str!("../../migrations/0150_confirmed.sql")),
    (151, None, include_str!("../../migrations/0151_forwarded.sql")),
    (152, None, include_str!("../../migrations/0152_ledgers.sql")),
    (160, None, include_str!("../../migrations/0160_hand_over.sql")),
    (161, None, include_str!("../../migrations/0161_freezes.sql")),
    (170, None, include_str!("../../migrations/0170_scrubs.sql")),
    (171, None, include_str!("../../migrations/0171_help_channels.sql")),
    (172, None, include_str!("../../migrations/0172_help_parcels.sql")),
    (173, None, include_str!("../../migrations/0173_returned_parcels.sql")),
    (174, None, include_str!("../../migrations/0174_entered.sql")),
    (184, None, include_str!("../../migrations/0184_copied_stubs.sql")),
    (194, None, include_str!("../../migrations/0194_looks.sql")),
];

/// Settings of every SQLite connection.
const SQLITE_SETTINGS: &str = "pragma busy_timeout = 5000; pragma foreign_keys = on;
    pragma trusted_schema = off; pragma cell_size_check = on; pragma mmap_size = 0;
    pragma secure_delete = on; pragma temp_store = memory; pragma synchronous = full;";
/// Settings of the writer alone. Checkpoints of 20,000 pages suit its batches; a log of that size is
/// kept, so that it is not cut off and made longer again at each of them.
const SQLITE_WRITER_SETTINGS: &str = "pragma journal_mode = wal; pragma cache_size = -65536;
    pragma wal_autocheckpoint = 20000; pragma journal_size_limit = 100663296;";
const SQLITE_READER_SETTINGS: &str = "pragma query_only = on; pragma cache_size = -8192;";

/// A connection for reading.
pub type Reader = PoolConnection<sqlx::Any>;

/// A node's database. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    pub dialect: Dialect,
    options: AnyConnectOptions,
    readers: AnyPool,
    writer: Arc<Mutex<Writing>>,
}

/// The writing connection between transactions.
struct Writing {
    connection: AnyConnection,
    /// A transaction was dropped, or failed: the connection is not to be trusted as it is.
    dirty: bool,
}

impl Database {
    /// Address of the database that lies in a node's own directory.
    pub fn address_in(dir: &Path) -> String {
        format!("sqlite:{}", dir.join("yizhan.db").display())
    }

    /// Opens a database by address (`sqlite:PATH`, `postgres://…`) and brings its tables up to date.
    pub async fn open(address: &str) -> Result<Database, StoreError> {
        Database::open_with(address, READERS).await
    }

    /// The same with so many connections that read.
    pub async fn open_with(address: &str, readers: u32) -> Result<Database, StoreError> {
        sqlx::any::install_default_drivers();
        let (dialect, address, path) = match address.split_once(':') {
            Some(("sqlite", path)) => {
                (Dialect::Sqlite, format!("sqlite:{path}?mode=rwc"), Some(Path::new(path)))
            }
            Some(("postgres" | "postgresql", _)) => (Dialect::Postgres, address.to_owned(), None),
            _ => return Err(StoreError::UnknownDatabase),
        };
        if let Some(path) = path.filter(|path| !path.exists()) {
            // SQLite gives its log the mode of the file.
            let mut owners = std::fs::OpenOptions::new();
            let made = owners.write(true).create(true).truncate(false).mode(0o600).open(path);
            made.map_err(sqlx::Error::Io)?;
        }
        let options = AnyConnectOptions::from_str(&address)?;
        let mut connection = connect_writer(dialect, &options).await?;
        migrate(dialect, &mut connection).await?;
        let readers = AnyPoolOptions::new()
            .max_connections(readers)
            .acquire_timeout(READER_WAIT)
            // SQLite has no line that could have broken, and asking costs as much as a look-up.
            .test_before_acquire(dialect == Dialect::Postgres)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    if dialect == Dialect::Sqlite {
                        connection.execute(SQLITE_SETTINGS).await?;
                        connection.execute(SQLITE_READER_SETTINGS).await?;
                    }
                    Ok(())
                })
            })
            .connect_lazy_with(options.clone());
        let writer = Arc::new(Mutex::new(Writing { connection, dirty: false }));
        Ok(Database { dialect, options, readers, writer })
    }

    /// A connection for reading. Every statement sees the newest committed state.
    pub async fn reader(&self) -> Result<Reader, StoreError> {
        Ok(self.readers.acquire().await?)
    }

    /// Begins the one writing transaction. Must run in a task of its own, never in the future of an
    /// RPC: a client that hangs up drops that.
    pub async fn begin(&self) -> Result<Transaction, StoreError> {
        let mut writing = self.sound_writer().await?;
        // Before it begins: a caller that is dropped while it does must not leave a transaction
        // behind that nobody knows of.
        writing.dirty = true;
        let begun = match self.dialect {
            Dialect::Sqlite => writing.connection.execute("begin immediate").await.map(drop),
            Dialect::Postgres => begin_postgres(&mut writing.connection).await,
        };
        begun.map_err(failed)?;
        Ok(Transaction { dialect: self.dialect, writing })
    }

    /// The writing connection for single statements on this node's own tables, which no feed
    /// replicates. Each is durable when it returns.
    pub async fn local(&self) -> Result<Local, StoreError> {
        Ok(Local(self.sound_writer().await?))
    }

    async fn sound_writer(&self) -> Result<OwnedMutexGuard<Writing>, StoreError> {
        let mut writing = self.writer.clone().lock_owned().await;
        if writing.dirty {
            // A rollback heals a dropped transaction; a connection that cannot even do that is lost.
            if writing.connection.execute("rollback").await.is_err() {
                writing.connection = connect_writer(self.dialect, &self.options).await?;
            }
            writing.dirty = false;
        }
        Ok(writing)
    }

    /// Moves what the log holds into the main file and empties the log: after that, no byte of a
    /// deleted row is left in either. False if a reader stood in the way.
    pub async fn truncate_log(&self) -> Result<bool, StoreError> {
        if self.dialect == Dialect::Postgres {
            return Ok(true);
        }
        let mut writing = self.sound_writer().await?;
        let row = writing.connection.fetch_one("pragma wal_checkpoint(truncate)").await?;
        Ok(row.try_get::<i64, _>(0)? == 0)
    }

    /// Writes a consistent copy of an SQLite database into a new file.
    pub async fn copy_into(&self, file: &Path) -> Result<(), StoreError> {
        let mut reader = connect_writer(self.dialect, &self.options).await?;
        sqlx::query("vacuum into $1")
            .bind(file.display().to_string())
            .execute(&mut reader)
            .await
            .map_err(failed)?;
        Ok(())
    }

    /// What SQLite itself finds wrong with its file; empty if nothing, or on PostgreSQL.
    pub async fn integrity_faults(&self) -> Result<Vec<String>, StoreError> {
        if self.dialect == Dialect::Postgres {
            return Ok(Vec::new());
        }
        // A connection of its own: FTS5 keeps the structure of its index per connection, and its
        // check (unlike a search) does not notice that another connection has rewritten it.
        let mut fresh = connect_writer(self.dialect, &self.options).await?;
        let rows = fresh.fetch_all("pragma integrity_check(20)").await?;
        fresh.close().await.map_err(failed)?;
        let mut faults = Vec::new();
        for row in rows {
            let line: String = row.try_get(0)?;
            if line != "ok" {
                faults.push(line);
            }
        }
        Ok(faults)
    }

    /// What is entered for the rows of a copy after `after` and up to `to`.
    pub async fn entered(
        &self,
        slot: Slot,
        after: Sequence,
        to: Sequence,
    ) -> Result<Entered, StoreError> {
        records::entered(&mut *self.reader().await?, self.dialect, slot, after, to).await
    }

    /// Closes all connections; the log is checkpointed by the last one.
    pub async fn close(&self) {
        self.readers.close().await;
        let mut writing = self.writer.lock().await;
        if self.dialect == Dialect::Sqlite {
            let _ = writing.connection.execute("pragma wal_checkpoint(truncate)").await;
        }
    }
}

/// The writing connection outside a transaction.
pub struct Local(OwnedMutexGuard<Writing>);

impl std::ops::Deref for Local {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        &self.0.connection
    }
}

impl std::ops::DerefMut for Local {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.0.connection
    }
}

/// The one writing transaction. Dropped without `commit`, nothing has happened.
pub struct Transaction {
    pub dialect: Dialect,
    writing: OwnedMutexGuard<Writing>,
}

impl Transaction {
    pub fn connection(&mut self) -> &mut AnyConnection {
        &mut self.writing.connection
    }

    /// Returns when the change is durable.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        if self.dialect == Dialect::Postgres {
            let counted = "update turns set number = number + 1";
            self.writing.connection.execute(counted).await.map_err(failed)?;
        }
        self.writing.connection.execute("commit").await.map_err(failed)?;
        self.writing.dirty = false;
        Ok(())
    }
}

/// Primary result code of I/O errors: the low byte of SQLite's extended ones
/// (sqlite.org/rescode.html).
const SQLITE_IOERR: i32 = 10;
/// The index of the log could not be enlarged: the disk is full, whatever the name says.
const SQLITE_IOERR_SHMSIZE: i32 = SQLITE_IOERR | (19 << 8);
const SQLITE_FULL: i32 = 13;
/// PostgreSQL's disk_full.
const POSTGRES_FULL: &str = "53100";

/// Tells a full disk and a failing one from everything else. PostgreSQL stops by itself on a disk
/// that fails.
pub(super) fn failed(error: sqlx::Error) -> StoreError {
    let sqlx::Error::Database(database) = &error else { return StoreError::Database(error) };
    let code = database.code().unwrap_or_default().into_owned();
    // PostgreSQL's codes have five characters, SQLite's are numbers below 10,000.
    let number = if code.len() < 5 { code.parse().unwrap_or(0) } else { 0 };
    match number {
        SQLITE_FULL | SQLITE_IOERR_SHMSIZE => StoreError::Full(error),
        io if io & 0xff == SQLITE_IOERR => StoreError::Io(error),
        _ if code == POSTGRES_FULL => StoreError::Full(error),
        _ => StoreError::Database(error),
    }
}

/// Asks the library that runs: the crate is pinned to bundle one, but a build may link another than the
/// one it was compiled against.
async fn guard_sqlite(connection: &mut AnyConnection) -> Result<(), StoreError> {
    let found: String = sqlx::query_scalar("select sqlite_version()").fetch_one(connection).await?;
    if is_safe_sqlite(&found) { Ok(()) } else { Err(StoreError::UnsafeSqlite { found }) }
}

/// What cannot be read as a version is none that is known to be safe.
fn is_safe_sqlite(version: &str) -> bool {
    let parts: Result<Vec<u32>, _> = version.split('.').map(str::parse).collect();
    parts.is_ok_and(|parts| parts[..] >= SQLITE_MIN[..])
}

async fn connect_writer(
    dialect: Dialect,
    options: &AnyConnectOptions,
) -> Result<AnyConnection, StoreError> {
    let mut connection = AnyConnection::connect_with(options).await?;
    if dialect == Dialect::Sqlite {
        guard_sqlite(&mut connection).await?;
        connection.execute(SQLITE_SETTINGS).await?;
        connection.execute(SQLITE_WRITER_SETTINGS).await?;
    }
    Ok(connection)
}

async fn begin_postgres(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    connection.execute("begin").await?;
    sqlx::query("select pg_advisory_xact_lock($1)").bind(WRITER_LOCK).execute(connection).await?;
    Ok(())
}

/// Applies what is missing, all of it or nothing.
async fn migrate(dialect: Dialect, connection: &mut AnyConnection) -> Result<(), StoreError> {
    match dialect {
        Dialect::Sqlite => connection.execute("begin immediate").await.map(drop).map_err(failed)?,
        Dialect::Postgres => begin_postgres(connection).await.map_err(failed)?,
    }
    connection
        .execute("create table if not exists migrations (number bigint not null)")
        .await
        .map_err(failed)?;
    let row = connection.fetch_one("select coalesce(max(number), 0) from migrations").await?;
    let done: i64 = row.try_get(0)?;
    let newest = MIGRATIONS.iter().map(|(number, ..)| *number).max().unwrap_or(0);
    if done > newest {
        connection.execute("rollback").await?;
        return Err(StoreError::Newer { found: done });
    }
    for (number, only, text) in MIGRATIONS {
        if *number <= done || only.is_some_and(|only| only != dialect) {
            continue;
        }
        let text = match dialect {
            Dialect::Sqlite => {
                text.replace("bigint primary key", "integer primary key").replace(" bytea", " blob")
            }
            Dialect::Postgres => (*text).to_owned(),
        };
        // Our own files, compiled in: nothing of anybody's input is in them.
        connection.execute(sqlx::raw_sql(AssertSqlSafe(text))).await.map_err(failed)?;
        sqlx::query("insert into migrations (number) values ($1)")
            .bind(number)
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
    }
    connection.execute("commit").await.map_err(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_library_that_runs_is_the_one_that_is_bundled_and_safe() {
        for (version, is_safe) in [
            ("3.51.3", true),
            ("3.52.0", true),
            ("4.0.0", true),
            ("3.51.2", false),
            ("3.50.9", false),
            ("3.9.10", false),
            ("", false),
            ("3.51.x", false),
        ] {
            assert_eq!(is_safe_sqlite(version), is_safe, "{version}");
        }
        let dir = tempfile::tempdir().unwrap();
        let db = Database::open(&Database::address_in(dir.path())).await.unwrap();
        let mut local = db.local().await.unwrap();
        let running: String =
            sqlx::query_scalar("select sqlite_version()").fetch_one(&mut *local).await.unwrap();
        assert_eq!(Ok(running.as_str()), libsqlite3_sys::SQLITE_VERSION.to_str());
        assert!(is_safe_sqlite(&running), "{running}");
    }

    #[tokio::test]
    async fn what_the_writer_commits_is_on_the_disk() {
        const FULL: i64 = 2;
        let dir = tempfile::tempdir().unwrap();
        let db = Database::open(&Database::address_in(dir.path())).await.unwrap();
        let mut local = db.local().await.unwrap();
        let mode: String =
            sqlx::query_scalar("pragma journal_mode").fetch_one(&mut *local).await.unwrap();
        let synchronous: i64 =
            sqlx::query_scalar("pragma synchronous").fetch_one(&mut *local).await.unwrap();
        assert_eq!((mode.as_str(), synchronous), ("wal", FULL));
    }

    #[tokio::test]
    async fn what_is_prepared_stays_prepared() {
        let dir = tempfile::tempdir().unwrap();
        let db = Database::open(&Database::address_in(dir.path())).await.unwrap();
        let mut local = db.local().await.unwrap();
        let options: Vec<String> =
            sqlx::query_scalar("pragma compile_options").fetch_all(&mut *local).await.unwrap();
        assert!(
            options.iter().any(|option| option == "ENABLE_QPSG"),
            "built without .cargo/config.toml: {options:?}"
        );
    }
}
