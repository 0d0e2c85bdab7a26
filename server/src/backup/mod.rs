//! Backups: a consistent copy of a node's tables that only the point's backup key opens.
//!
//! In it: the database, the authority's certificate and the settings. Not in it: any private key.
//! Whoever finds a backup cannot be the node, cannot sign for it and cannot open what was sealed to
//! it, not even with the backup key; so `D/keys` is kept apart, once, and a backup is put back into
//! a directory that has it. PostgreSQL makes its own backups and is refused here.

mod archive;
mod restore;
mod take;
#[cfg(test)]
mod tests;

pub use restore::{RestoreError, Restored, restore};
pub use take::{BackupError, Source, Step, Taken};

/// Entries of a backup.
const DATABASE: &str = "yizhan.db";
const CERTIFICATE: &str = "ca.pem";
const SETTINGS: &str = "yizhan.toml";

/// What is said where the tables lie on PostgreSQL.
pub const POSTGRES_ADVICE: &str = "back up the database with PostgreSQL's own means (pg_basebackup \
    with WAL archiving, or pg_dump), and after putting it back remove the file `continuity` in the \
    directory of each node of the point before it starts";
