//! Takes a backup of a running node.
//!
//! The plain copy never leaves the node's own directory, where the tables lie in plain anyway; what
//! is written to the target is encrypted from its first byte. The target appears whole or not at all,
//! and never in the place of something else.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::sync::mpsc;

use super::{CERTIFICATE, DATABASE, SETTINGS, archive::ArchiveWriter};
use crate::{
    domain::time::Time,
    found::CA_FILE,
    store::{StoreError, database::Database, dialect::Dialect},
};

/// The plain copy, in the node's directory. Left behind by a crash, it is removed at the next start.
const COPY: &str = "yizhan.db.copy";
/// Between two words on progress.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("the tables of this node lie on PostgreSQL: {}", super::POSTGRES_ADVICE)]
    Postgres,
    #[error("a backup of this node is being taken already")]
    Running,
    #[error("{file} exists already, and is not overwritten")]
    Exists { file: String },
    #[error("{file} is not an absolute path to a file")]
    Path { file: String },
    #[error("{file} cannot be written")]
    Target { file: String, source: io::Error },
    #[error("the node's directory cannot be used")]
    Directory(#[source] io::Error),
    #[error("the database cannot be copied")]
    Copy(#[from] StoreError),
}

impl BackupError {
    /// Stable, for scripts.
    pub fn reason(&self) -> &'static str {
        match self {
            BackupError::Postgres => "BACKUP_ON_POSTGRES",
            BackupError::Running => "BACKUP_RUNNING",
            BackupError::Exists { .. } => "FILE_EXISTS",
            BackupError::Path { .. } => "FILE_PATH",
            BackupError::Target { .. } => "FILE_NOT_WRITTEN",
            BackupError::Directory(_) => "DIRECTORY",
            BackupError::Copy(_) => "STORAGE_FAILED",
        }
    }
}

/// How far a backup is, in bytes.
pub struct Step {
    pub subject: &'static str,
    pub done: u64,
    /// 0: not known.
    pub total: u64,
}

/// A finished backup.
pub struct Taken {
    pub file: PathBuf,
    pub size_bytes: u64,
    pub snapshot: Time,
}

/// What is backed up, and who can open it.
#[derive(Clone)]
pub struct Source {
    pub db: Database,
    pub dir: PathBuf,
    pub recipient: age::x25519::Recipient,
}

impl Source {
    /// Removes what a crash during a backup has left. The caller holds the directory's lock.
    pub fn tidy(dir: &Path) {
        let _ = fs::remove_file(dir.join(COPY));
    }

    /// Writes a backup into a new file. Runs in a task of its own: who asked may hang up.
    pub async fn take(
        self,
        file: PathBuf,
        now: Time,
        steps: mpsc::Sender<Step>,
    ) -> Result<Taken, BackupError> {
        if self.db.dialect == Dialect::Postgres {
            return Err(BackupError::Postgres);
        }
        let (Some(directory), true) = (file.parent().map(Path::to_owned), file.is_absolute())
        else {
            return Err(BackupError::Path { file: file.display().to_string() });
        };
        let target = Temporary::claim(&file).map_err(|error| refused(&file, error))?;
        let copy = Temporary::claim(&self.dir.join(COPY)).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => BackupError::Running,
            _ => BackupError::Directory(error),
        })?;
        self.copy(&copy.path, &steps).await?;
        let part = Temporary::claim(&directory.join(format!(
            ".{}.{:016x}.part",
            file.file_name().unwrap_or_default().to_string_lossy(),
            rand::random::<u64>()
        )))
        .map_err(|error| refused(&file, error))?;

        let (node_dir, recipient) = (self.dir.clone(), self.recipient.clone());
        let encrypt = move || -> io::Result<Taken> {
            let size_bytes = encrypt(&node_dir, &copy.path, &part.path, &recipient, &steps)?;
            drop(copy);
            // Over the empty file that keeps the name for us.
            fs::rename(&part.path, &target.path)?;
            File::open(&directory)?.sync_all()?;
            part.keep();
            let file = target.path.clone();
            target.keep();
            Ok(Taken { file, size_bytes, snapshot: now })
        };
        let encrypted = tokio::task::spawn_blocking(encrypt).await;
        encrypted
            .map_err(io::Error::other)
            .flatten()
            .map_err(|source| BackupError::Target { file: file.display().to_string(), source })
    }

    /// One snapshot of the tables, while others go on writing.
    async fn copy(&self, to: &Path, steps: &mpsc::Sender<Step>) -> Result<(), BackupError> {
        let size = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
        let total = size(&self.dir.join(DATABASE));
        let mut tick = tokio::time::interval(PROGRESS_EVERY);
        let copying = self.db.copy_into(to);
        tokio::pin!(copying);
        loop {
            tokio::select! {
                copied = &mut copying => return Ok(copied?),
                _ = tick.tick() => {
                    let done = size(to);
                    let step = Step { subject: "copying", done, total: total.max(done) };
                    let _ = steps.try_send(step);
                }
            }
        }
    }
}

fn encrypt(
    dir: &Path,
    copy: &Path,
    to: &Path,
    recipient: &age::x25519::Recipient,
    steps: &mpsc::Sender<Step>,
) -> io::Result<u64> {
    let target = OpenOptions::new().write(true).open(to)?;
    let mut archive = ArchiveWriter::new(target, recipient)?;
    let settings = dir.join(crate::config::FILE);
    let entries = [(SETTINGS, settings), (CERTIFICATE, dir.join(CA_FILE)), (DATABASE, copy.into())];
    let total = fs::metadata(copy)?.len();
    for (name, path) in entries {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut done = 0;
        archive.add(name, length, file, |bytes| {
            done += bytes;
            // Nobody needs every word on progress.
            let _ = steps.try_send(Step { subject: "encrypting", done, total });
        })?;
    }
    let target = archive.finish()?;
    target.sync_all()?;
    Ok(target.metadata()?.len())
}

fn refused(file: &Path, error: io::Error) -> BackupError {
    let file = file.display().to_string();
    match error.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Exists { file },
        _ => BackupError::Target { file, source: error },
    }
}

/// A file of ours that goes again unless it is kept.
struct Temporary {
    path: PathBuf,
    kept: bool,
}

impl Temporary {
    /// Makes an empty file that was not there before.
    fn claim(path: &Path) -> io::Result<Temporary> {
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Temporary { path: path.to_owned(), kept: false })
    }

    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}
