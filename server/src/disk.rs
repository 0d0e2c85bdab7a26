//! Room on the disk that a node lives on.
//!
//! While there is enough, a reserve is put by. When little is left the reserve is given up, and only
//! what cannot wait is still written: calls for help and their answers, erasures, the audit, what the
//! node owes to itself. Staff and copies of other homes wait until there is room again.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use tracing::{info, warn};

/// The reserve, in a node's directory.
pub const RESERVE_FILE: &str = "reserve";
/// Bytes of the reserve; on a small disk less.
const RESERVE_BYTES: u64 = 64 * 1024 * 1024;
const RESERVE_PART: u64 = 32;
/// Bytes below which little is left; on a small disk less.
const ENOUGH_BYTES: u64 = 512 * 1024 * 1024;
const ENOUGH_PART: u64 = 20;

/// What was seen of a disk.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Room {
    /// Bytes that the node may still use, its reserve not among them.
    pub free: u64,
    /// Bytes of the whole disk.
    pub total: u64,
}

impl Room {
    fn of(dir: &Path) -> io::Result<Room> {
        let seen = statvfs(dir)?;
        let bytes = |blocks: u64| blocks.saturating_mul(seen.f_frsize);
        Ok(Room { free: bytes(seen.f_bavail), total: bytes(seen.f_blocks) })
    }

    /// Bytes to put by on such a disk.
    fn reserve(self) -> u64 {
        RESERVE_BYTES.min(self.total / RESERVE_PART)
    }

    /// Is too little left? Once it was, there must be room for the reserve, too, until it is not.
    fn is_scarce(self, was_scarce: bool) -> bool {
        let enough = ENOUGH_BYTES.min(self.total / ENOUGH_PART);
        let back = if was_scarce { self.reserve() } else { 0 };
        self.free < enough.saturating_add(back)
    }
}

/// The disk of a node. One made by `default` has room for ever.
#[derive(Default)]
pub struct Disk {
    dir: Option<PathBuf>,
    is_scarce: AtomicBool,
    seen: Mutex<Option<Room>>,
}

impl Disk {
    pub fn of(dir: &Path) -> Disk {
        Disk { dir: Some(dir.to_owned()), ..Disk::default() }
    }

    /// Is only that to be written which cannot wait?
    pub fn is_scarce(&self) -> bool {
        self.is_scarce.load(Ordering::Relaxed)
    }

    /// What was seen at the last look.
    pub fn room(&self) -> Option<Room> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks how much is left; gives the reserve up, or puts it by. Blocks on the disk.
    pub fn look(&self) -> io::Result<()> {
        let Some(dir) = &self.dir else { return Ok(()) };
        let room = Room::of(dir)?;
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(room);
        let (was_scarce, file) = (self.is_scarce(), dir.join(RESERVE_FILE));
        let is_scarce = room.is_scarce(was_scarce);
        self.is_scarce.store(is_scarce, Ordering::Relaxed);
        match (was_scarce, is_scarce) {
            (false, true) => {
                let (free, total) = (room.free, room.total);
                warn!(
                    free,
                    total, "little room is left on the disk: only what cannot wait is written"
                );
            }
            (true, false) => info!(free = room.free, "there is room on the disk again"),
            _ => {}
        }
        if is_scarce {
            match fs::remove_file(file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => return Ok(()),
            }
        }
        put_by(&file, room.reserve())
    }
}

/// Takes `bytes` of the disk for `file`. A file system that cannot promise them has no reserve.
fn put_by(file: &Path, bytes: u64) -> io::Result<()> {
    if fs::metadata(file).is_ok_and(|known| known.len() == bytes) {
        return Ok(());
    }
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(file)?;
    match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::INVAL) => Ok(()),
        done => Ok(done?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1024 * 1024 * 1024;
    const MIB: u64 = 1024 * 1024;

    #[test]
    fn a_large_disk_runs_short_at_half_a_gibibyte_and_a_small_one_at_a_twentieth() {
        let large = |free| Room { free, total: 500 * GIB };
        assert!(!large(512 * MIB).is_scarce(false) && large(512 * MIB - 1).is_scarce(false));
        let small = |free| Room { free, total: 100 * MIB };
        assert!(!small(5 * MIB).is_scarce(false) && small(5 * MIB - 1).is_scarce(false));
    }

    #[test]
    fn giving_the_reserve_up_does_not_end_the_shortage() {
        for total in [32 * MIB, GIB, 500 * GIB] {
            let before = (1..).map(|step| step * 64 * 1024).map(|free| Room { free, total });
            let last_scarce = before.take_while(|room| room.is_scarce(false)).last();
            let last_scarce = last_scarce.expect("an empty disk is short of room");
            let after = Room { free: last_scarce.free + last_scarce.reserve(), total };
            assert!(after.is_scarce(true), "{after:?}");
        }
    }

    #[test]
    fn the_reserve_is_there_while_there_is_room() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::of(dir.path());
        disk.look().unwrap();
        let room = disk.room().unwrap();
        assert!(room.total > 0);
        assert_eq!(dir.path().join(RESERVE_FILE).exists(), !disk.is_scarce());
    }
}
