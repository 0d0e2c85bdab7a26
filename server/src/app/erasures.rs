//! The ledger of erasures: a file outside the database, durable before the first deletion.
//!
//! Whoever is in it is gone, whatever a database that was put back says: nobody in it is read, and at
//! every start those who are back are erased again.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{
        Mutex, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::domain::{
    id::{PointCode, RecordId},
    time::Time,
};

/// In a node's directory; no backup holds it, and no restore replaces it.
pub const FILE: &str = "erasures";
/// Order, record, time, length of the home's code, the code, and a hash of all before.
const ENTRY: usize = 16 + 16 + 8 + 1 + PointCode::MAX_LEN + 16;

/// An erasure that was ordered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Erasure {
    pub order: RecordId,
    pub record: RecordId,
    pub home: PointCode,
    pub ordered: Time,
}

#[derive(Default)]
pub struct Ledger {
    file: Option<Mutex<File>>,
    entries: RwLock<HashMap<RecordId, Erasure>>,
    /// Rises with every entry.
    revision: AtomicU64,
}

impl Ledger {
    /// A torn last entry was never acted upon, and goes. Any other damage is an error: somebody might
    /// come back.
    pub fn open(dir: &Path) -> io::Result<Ledger> {
        Ledger::open_as(dir, FILE)
    }

    /// The same in a file of another name.
    pub fn open_as(dir: &Path, name: &str) -> io::Result<Ledger> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600);
        let mut file = options.open(dir.join(name))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let whole = bytes.len() - bytes.len() % ENTRY;
        let mut entries = HashMap::new();
        let mut kept = 0;
        for entry in bytes[..whole].chunks(ENTRY) {
            match decode(entry) {
                Some(erasure) => entries.insert(erasure.record, erasure),
                None if kept + ENTRY == whole && whole == bytes.len() => break,
                None => return Err(io::Error::other(format!("the ledger of {name} is damaged"))),
            };
            kept += ENTRY;
        }
        if kept < bytes.len() {
            file.set_len(kept as u64)?;
        }
        file.sync_all()?;
        File::open(dir)?.sync_all()?;
        let (file, entries) = (Some(Mutex::new(file)), RwLock::new(entries));
        Ok(Ledger { file, entries, revision: AtomicU64::new(0) })
    }

    /// Returns when the order would survive a power cut, with the entry as it stands: never as old as
    /// the one of the record before it.
    pub fn add(&self, mut erasure: Erasure) -> io::Result<Erasure> {
        if let Some(known) = self.find(erasure.record) {
            erasure.ordered = erasure.ordered.max(Time(known.ordered.0 + 1));
        }
        if let Some(file) = &self.file {
            let mut file = file.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let before = file.metadata()?.len();
            let written = file.write_all(&encode(&erasure)).and_then(|()| file.sync_data());
            if let Err(error) = written {
                // Half an entry would make the ones after it unreadable.
                let _ = file.set_len(before);
                return Err(error);
            }
        }
        let mut entries = self.entries.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        entries.insert(erasure.record, erasure.clone());
        self.revision.fetch_add(1, Ordering::AcqRel);
        Ok(erasure)
    }

    /// Tells whether anything was added since it was asked before.
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// The erasure of a record, if one was ordered.
    pub fn find(&self, record: RecordId) -> Option<Erasure> {
        let entries = self.entries.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        entries.get(&record).cloned()
    }

    /// Is this somebody whom nobody may see any more?
    pub fn holds(&self, record: RecordId) -> bool {
        let entries = self.entries.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        entries.contains_key(&record)
    }

    pub fn all(&self) -> Vec<Erasure> {
        let entries = self.entries.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        entries.values().cloned().collect()
    }
}

fn encode(erasure: &Erasure) -> [u8; ENTRY] {
    let mut bytes = [0; ENTRY];
    bytes[..16].copy_from_slice(&erasure.order.0);
    bytes[16..32].copy_from_slice(&erasure.record.0);
    bytes[32..40].copy_from_slice(&erasure.ordered.0.to_le_bytes());
    let home = erasure.home.as_str().as_bytes();
    bytes[40] = home.len() as u8;
    bytes[41..41 + home.len()].copy_from_slice(home);
    let hash = blake3::hash(&bytes[..ENTRY - 16]);
    bytes[ENTRY - 16..].copy_from_slice(&hash.as_bytes()[..16]);
    bytes
}

fn decode(bytes: &[u8]) -> Option<Erasure> {
    let hash = blake3::hash(&bytes[..ENTRY - 16]);
    if bytes[ENTRY - 16..] != hash.as_bytes()[..16] {
        return None;
    }
    let home = bytes.get(41..41 + usize::from(bytes[40]))?;
    Some(Erasure {
        order: RecordId(bytes[..16].try_into().ok()?),
        record: RecordId(bytes[16..32].try_into().ok()?),
        home: std::str::from_utf8(home).ok()?.parse().ok()?,
        ordered: Time(i64::from_le_bytes(bytes[32..40].try_into().ok()?)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn erasure(n: u8) -> Erasure {
        Erasure {
            order: RecordId([n; 16]),
            record: RecordId([n + 100; 16]),
            home: "US-BOS-2".parse().unwrap(),
            ordered: Time(n.into()),
        }
    }

    #[test]
    fn what_was_added_is_there_after_a_start_and_a_torn_end_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        ledger.add(erasure(1)).unwrap();
        ledger.add(erasure(2)).unwrap();
        let path = dir.path().join(FILE);
        let whole = std::fs::read(&path).unwrap();
        for torn in [whole.len() - 1, whole.len() - ENTRY + 1] {
            std::fs::write(&path, &whole[..torn]).unwrap();
            let ledger = Ledger::open(dir.path()).unwrap();
            assert!(ledger.holds(erasure(1).record) && !ledger.holds(erasure(2).record));
            ledger.add(erasure(3)).unwrap();
            let ledger = Ledger::open(dir.path()).unwrap();
            assert_eq!(ledger.find(erasure(3).record), Some(erasure(3)));
            assert_eq!(ledger.all().len(), 2);
        }
    }

    #[test]
    fn a_damaged_ledger_is_not_read_over() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        ledger.add(erasure(1)).unwrap();
        ledger.add(erasure(2)).unwrap();
        let path = dir.path().join(FILE);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[20] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert!(Ledger::open(dir.path()).is_err());
    }
}
