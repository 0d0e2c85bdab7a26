//! The high-water mark outside the database: the newest seal number that anyone may have seen of each
//! own feed. It is durable before a seal is shown; a database that lies behind it was put back from a
//! backup or cloned, and must not write before it has been taken forward again.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    sync::{Arc, Mutex},
};

use crate::domain::{
    audience::{Audience, FeedId},
    position::Epoch,
};

/// What may have been seen of a feed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    pub epoch: Epoch,
    pub number: u64,
}

pub type Marks = BTreeMap<FeedId, Mark>;

/// Where marks are kept: a file, or the simulated machine's memory of one.
pub enum MarkFile {
    /// With the generation that was found in it: later writes come after it, whoever counts them.
    File(File, u64),
    Memory(Arc<Mutex<Option<Marks>>>),
}

/// The file holds two blocks, written in turn, so that a torn write leaves the older one.
const BLOCK: u64 = 1 << 20;
const MAGIC: &[u8; 8] = b"yzmarks1";

impl MarkFile {
    /// Opens or creates the file; the second value is what it holds, `None` if it is new or damaged
    /// in both blocks.
    pub fn open(path: &Path) -> io::Result<(MarkFile, Option<Marks>)> {
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        // Room for both blocks from the beginning: a disk that is full must not keep the marks from
        // being written that go with the last thing it took.
        if file.metadata()?.len() < 2 * BLOCK {
            file.seek(SeekFrom::End(0))?;
            let missing = 2 * BLOCK - file.metadata()?.len();
            io::copy(&mut io::repeat(0).take(missing), &mut file)?;
            file.sync_all()?;
        }
        let newest = (0..2).filter_map(|block| read_block(&mut file, block)).max_by_key(|b| b.0);
        let found = newest.as_ref().map_or(0, |(generation, _)| *generation);
        Ok((MarkFile::File(file, found), newest.map(|(_, marks)| marks)))
    }

    /// Returns when the marks would survive a power cut. `generation` counts from 1 at every start.
    pub fn write(&mut self, generation: u64, marks: &Marks) -> io::Result<()> {
        match self {
            MarkFile::Memory(kept) => {
                *kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(marks.clone());
                Ok(())
            }
            MarkFile::File(file, found) => {
                let generation = *found + generation;
                let bytes = encode(generation, marks);
                if bytes.len() as u64 > BLOCK {
                    return Err(io::Error::other("more own feeds than the mark file holds"));
                }
                file.seek(SeekFrom::Start((generation % 2) * BLOCK))?;
                file.write_all(&bytes)?;
                file.sync_data()
            }
        }
    }
}

/// Layout: magic, generation, count, entries, BLAKE3 of all before.
fn encode(generation: u64, marks: &Marks) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&generation.to_le_bytes());
    bytes.extend_from_slice(&(marks.len() as u32).to_le_bytes());
    for (feed, mark) in marks {
        let home = feed.home.as_str().as_bytes();
        bytes.push(home.len() as u8);
        bytes.extend_from_slice(home);
        bytes.push(feed.audience as u8);
        bytes.extend_from_slice(&mark.epoch.counter.to_le_bytes());
        bytes.extend_from_slice(&mark.epoch.random);
        bytes.extend_from_slice(&mark.number.to_le_bytes());
    }
    let hash = blake3::hash(&bytes);
    bytes.extend_from_slice(hash.as_bytes());
    bytes
}

fn read_block(file: &mut File, block: u64) -> Option<(u64, Marks)> {
    file.seek(SeekFrom::Start(block * BLOCK)).ok()?;
    let mut bytes = Vec::new();
    file.take(BLOCK).read_to_end(&mut bytes).ok()?;
    decode(&bytes)
}

fn decode(bytes: &[u8]) -> Option<(u64, Marks)> {
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let mut take = |len: usize| {
        let (part, after) = rest.split_at_checked(len)?;
        rest = after;
        Some(part)
    };
    let generation = u64::from_le_bytes(take(8)?.try_into().ok()?);
    let count = u32::from_le_bytes(take(4)?.try_into().ok()?);
    let mut marks = Marks::new();
    for _ in 0..count {
        let len = take(1)?[0] as usize;
        let home = std::str::from_utf8(take(len)?).ok()?.parse().ok()?;
        let audience = Audience::from_number(i64::from(take(1)?[0]))?;
        let counter = u64::from_le_bytes(take(8)?.try_into().ok()?);
        let random = take(16)?.try_into().ok()?;
        let number = u64::from_le_bytes(take(8)?.try_into().ok()?);
        marks
            .insert(FeedId::new(home, audience), Mark { epoch: Epoch { counter, random }, number });
    }
    let hash = take(32)?.to_vec();
    let written = bytes.len() - rest.len() - 32;
    (*blake3::hash(&bytes[..written]).as_bytes() == hash[..]).then_some((generation, marks))
}

/// Own feeds whose stored state lies behind what may have been seen.
pub fn behind(marks: &Marks, stored: &Marks) -> Marks {
    let lags = |feed: &FeedId, mark: &Mark| {
        stored.get(feed).is_none_or(|stored| {
            (stored.epoch.counter, stored.number) < (mark.epoch.counter, mark.number)
        })
    };
    marks.iter().filter(|(feed, mark)| lags(feed, mark)).map(|(f, m)| (f.clone(), *m)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(number: u64) -> Marks {
        let mark = Mark { epoch: Epoch { counter: 1, random: [4; 16] }, number };
        [("HK", Audience::Home), ("CN-440100", Audience::Public)]
            .map(|(home, audience)| (FeedId::new(home.parse().unwrap(), audience), mark))
            .into()
    }

    #[test]
    fn the_newest_whole_block_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("marks");
        let (mut file, found) = MarkFile::open(&path).unwrap();
        assert_eq!(found, None);
        file.write(1, &marks(10)).unwrap();
        file.write(2, &marks(11)).unwrap();
        assert_eq!(MarkFile::open(&path).unwrap().1, Some(marks(11)));

        // A torn write of the block that was being written leaves the other.
        let torn = OpenOptions::new().write(true).open(&path).unwrap();
        std::os::unix::fs::FileExt::write_at(&torn, &[0xff; 20], 30).unwrap();
        assert_eq!(MarkFile::open(&path).unwrap().1, Some(marks(10)));
    }

    #[test]
    fn marks_of_a_later_start_are_newer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("marks");
        let (mut file, _) = MarkFile::open(&path).unwrap();
        for generation in 1..=5 {
            file.write(generation, &marks(generation)).unwrap();
        }
        let (mut file, _) = MarkFile::open(&path).unwrap();
        file.write(1, &marks(6)).unwrap();
        assert_eq!(MarkFile::open(&path).unwrap().1, Some(marks(6)));
    }

    #[test]
    fn a_database_behind_the_marks_is_noticed() {
        assert!(behind(&marks(10), &marks(10)).is_empty());
        assert!(behind(&marks(10), &marks(12)).is_empty());
        assert_eq!(behind(&marks(10), &marks(9)).len(), 2);
        assert_eq!(behind(&marks(10), &Marks::new()).len(), 2);
    }
}
