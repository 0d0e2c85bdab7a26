//! The end of the audit, outside the database: whoever cuts lines off there has to find this, too.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    sync::Mutex,
};

use crate::domain::audit::Mark;

/// In a node's directory.
pub const FILE: &str = "audit-mark";
/// Two places are written in turn, so that a torn write leaves the older one.
const PLACE: u64 = 512;
/// Number, hash, and the hash of both.
const LENGTH: usize = 8 + 32 + 32;

pub struct MarkFile {
    file: Option<File>,
    /// The mark, and how many were written.
    newest: Mutex<(Option<Mark>, u64)>,
}

impl MarkFile {
    pub fn open(dir: Option<&Path>) -> io::Result<MarkFile> {
        let Some(dir) = dir else {
            return Ok(MarkFile { file: None, newest: Mutex::new((None, 0)) });
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(dir.join(FILE))?;
        let marks: Vec<(u64, Mark)> =
            (0..2).filter_map(|place| Some((place, read(&file, place)?))).collect();
        let newest = marks.into_iter().max_by_key(|(_, mark)| mark.number);
        // The next one goes into the other place.
        let written = newest.map_or(0, |(place, _)| place + 1);
        Ok(MarkFile {
            file: Some(file),
            newest: Mutex::new((newest.map(|(_, mark)| mark), written)),
        })
    }

    pub fn get(&self) -> Option<Mark> {
        self.newest.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).0
    }

    /// Returns when the mark would survive a power cut.
    pub fn put(&self, mark: Mark) -> io::Result<()> {
        let mut newest = self.newest.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if newest.0.is_some_and(|known| known.number > mark.number) {
            return Ok(());
        }
        if let Some(file) = &self.file {
            file.write_all_at(&encode(mark), (newest.1 % 2) * PLACE)?;
            file.sync_data()?;
        }
        *newest = (Some(mark), newest.1 + 1);
        Ok(())
    }
}

fn encode(mark: Mark) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[..8].copy_from_slice(&mark.number.to_le_bytes());
    bytes[8..40].copy_from_slice(&mark.hash);
    let hash = blake3::hash(&bytes[..40]);
    bytes[40..].copy_from_slice(hash.as_bytes());
    bytes
}

fn read(file: &File, place: u64) -> Option<Mark> {
    let mut bytes = [0; LENGTH];
    file.read_exact_at(&mut bytes, place * PLACE).ok()?;
    let mut mark = Mark::NONE;
    mark.number = u64::from_le_bytes(bytes[..8].try_into().ok()?);
    mark.hash.copy_from_slice(&bytes[8..40]);
    (encode(mark) == bytes && mark != Mark::NONE).then_some(mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_whole_mark_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let mark = |number| Mark { number, hash: [number as u8; 32] };
        let file = MarkFile::open(Some(dir.path())).unwrap();
        assert_eq!(file.get(), None);
        file.put(mark(1)).unwrap();
        file.put(mark(2)).unwrap();
        file.put(mark(1)).unwrap();
        let file = MarkFile::open(Some(dir.path())).unwrap();
        assert_eq!(file.get(), Some(mark(2)));
        file.put(mark(3)).unwrap();
        // It went into the place of the first: a torn write of it leaves the second.
        let torn = OpenOptions::new().write(true).open(dir.path().join(FILE)).unwrap();
        torn.write_at(&[0xff; 4], 20).unwrap();
        assert_eq!(MarkFile::open(Some(dir.path())).unwrap().get(), Some(mark(2)));
    }
}
