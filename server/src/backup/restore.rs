//! Puts a backup back into a directory that has the point's keys.
//!
//! Nothing is touched before the whole file has been read and is genuine. Then, in this order, so
//! that a crash in between leaves a node that knows itself behind: the old tables are put aside, the
//! restored ones take their place, and the continuity marks go. A node without marks does not write
//! before its neighbours have been asked for its own feeds.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::{
    DATABASE, SETTINGS,
    archive::{ArchiveReader, OpenError},
};
use crate::{
    app::audit,
    config::{Config, DatabaseUrl},
    found::{KEYS, MARKS},
    identity::{error::Error as IdentityError, keys::KeyDirectory},
    node::{self, NodeError},
};

/// The tables on their way in.
const ARRIVING: &str = "yizhan.db.restoring";
/// The tables that were there.
const ASIDE: &str = "yizhan.db.before-restore";
/// What SQLite keeps beside its file.
const LOG: &str = "-wal";
const LOG_INDEX: &str = "-shm";
/// A small file of a backup that is larger than this is not one of ours.
const SMALL_MAX: u64 = 1 << 20;
/// First bytes of every SQLite file (sqlite.org/fileformat.html, 1.3).
const SQLITE: &[u8] = b"SQLite format 3\0";

#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error("the backup key of this directory cannot be read")]
    Key(#[source] IdentityError),
    #[error("the tables of this node lie on PostgreSQL: {}", super::POSTGRES_ADVICE)]
    Postgres,
    #[error("{file} cannot be opened")]
    Open { file: String, source: io::Error },
    #[error(transparent)]
    Refused(OpenError),
    #[error("the file is damaged or was cut short")]
    Damaged(#[source] io::Error),
    #[error("the file is a backup of {found}, and this directory is of {expected}")]
    OtherNode { found: String, expected: String },
    #[error("the directory cannot be written")]
    Directory(#[source] io::Error),
}

impl RestoreError {
    /// Stable, for scripts.
    pub fn reason(&self) -> &'static str {
        match self {
            RestoreError::Node(error) => error.reason(),
            RestoreError::Key(_) => "BACKUP_KEY",
            RestoreError::Postgres => "RESTORE_ON_POSTGRES",
            RestoreError::Open { .. } => "FILE_NOT_READ",
            RestoreError::Refused(OpenError::NotABackup) => "NOT_A_BACKUP",
            RestoreError::Refused(OpenError::OtherKey) => "OTHER_BACKUP_KEY",
            RestoreError::Refused(OpenError::Read(_)) | RestoreError::Damaged(_) => {
                "BACKUP_DAMAGED"
            }
            RestoreError::OtherNode { .. } => "BACKUP_OF_ANOTHER_NODE",
            RestoreError::Directory(_) => "DIRECTORY",
        }
    }

    /// What to do.
    pub fn advice(&self) -> &'static str {
        match self {
            RestoreError::Node(NodeError::Running) => "stop the node first",
            RestoreError::Node(_) | RestoreError::Key(_) => {
                "put back the directory `keys`, `yizhan.toml` and `ca.pem` of this node first"
            }
            RestoreError::Refused(OpenError::OtherKey) => {
                "the backup opens in a directory whose keys/backup.key is the one it was made with"
            }
            RestoreError::Postgres => "see the message above",
            _ => "nothing was changed; try another backup",
        }
    }
}

/// What a restore has done.
pub struct Restored {
    pub size_bytes: u64,
    /// The tables that were there before, if any.
    pub aside: Option<PathBuf>,
}

/// Puts the backup in `file` in the place of the tables in `dir`.
pub fn restore(
    dir: &Path,
    config: &Config,
    file: &Path,
    moved: impl FnMut(u64),
) -> Result<Restored, RestoreError> {
    let Some(point) = &config.point else {
        return Err(NodeError::NoNode(dir.display().to_string()).into());
    };
    let _lock = node::lock(dir)?;
    if config.database != DatabaseUrl::Sqlite {
        return Err(RestoreError::Postgres);
    }
    let key = KeyDirectory::open(&dir.join(KEYS)).and_then(|keys| keys.load_backup());
    let key = key.map_err(RestoreError::Key)?;
    let open = |source| RestoreError::Open { file: file.display().to_string(), source };
    let backup = File::open(file).map_err(open)?;
    let mut archive = ArchiveReader::open(backup, &key).map_err(|error| match error {
        OpenError::Read(source) => RestoreError::Damaged(source),
        refused => RestoreError::Refused(refused),
    })?;

    let arriving = dir.join(ARRIVING);
    let read = read(&mut archive, &arriving, moved).and_then(|(found, length)| {
        let expected = format!("{} in {}", point, config.network);
        match found == expected {
            true => Ok(length),
            false => Err(RestoreError::OtherNode { found, expected }),
        }
    });
    let length = read.inspect_err(|_| {
        let _ = fs::remove_file(&arriving);
    })?;

    let aside = put_in_place(dir, &arriving).map_err(RestoreError::Directory)?;
    Ok(Restored { size_bytes: length, aside })
}

/// Reads the archive to its end: whose it is, and the length of the tables, which lie in `arriving`.
fn read(
    archive: &mut ArchiveReader<File>,
    arriving: &Path,
    mut moved: impl FnMut(u64),
) -> Result<(String, u64), RestoreError> {
    let malformed = |what: &'static str| {
        RestoreError::Damaged(io::Error::new(io::ErrorKind::InvalidData, what))
    };
    let (mut whose, mut tables) = (None, None);
    while let Some(entry) = archive.next().map_err(RestoreError::Damaged)? {
        match entry.name.as_str() {
            DATABASE => {
                let mut file = OpenOptions::new();
                let mut file = file
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .mode(0o600)
                    .open(arriving)
                    .map_err(RestoreError::Directory)?;
                let mut head = Head { head: Vec::new(), to: &mut file };
                archive.copy_to(&entry, &mut head, &mut moved).map_err(RestoreError::Damaged)?;
                if head.head != SQLITE {
                    return Err(malformed("the tables are no SQLite database"));
                }
                file.sync_all().map_err(RestoreError::Directory)?;
                tables = Some(entry.length);
            }
            SETTINGS if entry.length <= SMALL_MAX => {
                let mut text = Vec::new();
                archive.copy_to(&entry, &mut text, |_| {}).map_err(RestoreError::Damaged)?;
                whose = node_of(&text);
            }
            // Of a later version, or what the directory has itself.
            _ => archive.copy_to(&entry, io::sink(), |_| {}).map_err(RestoreError::Damaged)?,
        }
    }
    let whose = whose.ok_or_else(|| malformed("the settings are missing"))?;
    let tables = tables.ok_or_else(|| malformed("the tables are missing"))?;
    Ok((whose, tables))
}

/// Point and network of a node's settings.
fn node_of(settings: &[u8]) -> Option<String> {
    let table: toml::Table = std::str::from_utf8(settings).ok()?.parse().ok()?;
    let text = |name: &str| table.get(name)?.as_str();
    Some(format!("{} in {}", text("point")?, text("network")?))
}

/// Keeps the first bytes of what passes.
struct Head<'a> {
    head: Vec<u8>,
    to: &'a mut File,
}

impl Write for Head<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let missing = SQLITE.len() - self.head.len();
        self.head.extend(bytes.iter().take(missing));
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

fn put_in_place(dir: &Path, arriving: &Path) -> io::Result<Option<PathBuf>> {
    let tables = dir.join(DATABASE);
    let aside = free_name(dir);
    // The log first: tables without their log are old, tables with another's log are damaged.
    rename_if_there(&beside(&tables, LOG), &beside(&aside, LOG))?;
    let _ = fs::remove_file(beside(&tables, LOG_INDEX));
    let were_there = rename_if_there(&tables, &aside)?;
    fs::rename(arriving, &tables)?;
    File::open(dir)?.sync_all()?;
    // The audit of the restored tables ends earlier; its next line says that the node started so.
    for mark in [MARKS, audit::FILE] {
        match fs::remove_file(dir.join(mark)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    File::open(dir)?.sync_all()?;
    Ok(were_there.then_some(aside))
}

/// A name under which nothing was put aside before.
fn free_name(dir: &Path) -> PathBuf {
    let numbered = (2..).map(|number| dir.join(format!("{ASIDE}.{number}")));
    std::iter::once(dir.join(ASIDE))
        .chain(numbered)
        .find(|path| !path.exists() && !beside(path, LOG).exists())
        .expect("BUG: numbers do not end")
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<bool> {
    match fs::rename(from, to) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
