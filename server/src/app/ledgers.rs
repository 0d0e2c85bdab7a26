//! The ledgers of erasures and departures on a database that several nodes of one point share.
//!
//! Each node keeps a file of its own, and reads people by that alone: it outlives a database that is put
//! back. What one node enters goes through the database into the files of the others, before anything is
//! deleted for it; and what files know and a database that was put back does not, goes into that again.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::{
    erasures::{Erasure, Ledger},
    error::{Error, Result},
};
use crate::{
    domain::id::RecordId,
    store::{
        database::Database,
        dialect::Dialect,
        ledgers::{self, Entry},
    },
};

/// Entries of one page.
const PAGE: u32 = 1_000;

/// A ledger that nodes share.
pub struct Shared {
    name: &'static str,
    db: Database,
    ledger: Arc<Ledger>,
    met: Mutex<Met>,
}

/// How far file and database have been brought together.
#[derive(Default)]
struct Met {
    /// The newest entry of the database that is in the file.
    read: Option<(i64, RecordId)>,
    /// The revision of the file that is in the database.
    told: Option<u64>,
}

impl Shared {
    pub fn new(name: &'static str, db: Database, ledger: Arc<Ledger>) -> Shared {
        Shared { name, db, ledger, met: Mutex::default() }
    }

    /// Brings file and database together. A database that nobody else uses needs none of it.
    pub async fn meet(&self) -> Result<()> {
        if self.db.dialect == Dialect::Sqlite {
            return Ok(());
        }
        self.exchange().await
    }

    /// The same on any database.
    pub async fn exchange(&self) -> Result<()> {
        let mut met = self.met.lock().await;
        if let Some((number, record)) = met.read {
            let db = &mut *self.db.reader().await?;
            let there = ledgers::list(db, self.name, number - 1, 1).await?;
            if there.first().is_none_or(|one| (one.number, one.record) != (number, record)) {
                // An older database was put in the place of the one that was read.
                *met = Met::default();
            }
        }
        self.read_new(&mut met).await?;
        let revision = self.ledger.revision();
        if met.told != Some(revision) {
            self.tell().await?;
            met.told = Some(revision);
        }
        Ok(())
    }

    /// Into the file, durable, what others have entered.
    async fn read_new(&self, met: &mut Met) -> Result<()> {
        loop {
            let after = met.read.map_or(0, |(number, _)| number);
            let page = {
                let db = &mut *self.db.reader().await?;
                ledgers::list(db, self.name, after, PAGE).await?
            };
            let Some(last) = page.last().map(|one| (one.number, one.record)) else {
                return Ok(());
            };
            for entry in page {
                let Entry { record, order, home, ordered, .. } = entry;
                let known = self.ledger.find(record);
                if known.is_none_or(|known| known.ordered < ordered) {
                    add(&self.ledger, Erasure { order, record, home, ordered }).await?;
                }
            }
            met.read = Some(last);
        }
    }

    /// Into the database what only the file knows.
    async fn tell(&self) -> Result<()> {
        let mut all = self.ledger.all();
        let mut after = 0;
        loop {
            let page = {
                let db = &mut *self.db.reader().await?;
                ledgers::list(db, self.name, after, PAGE).await?
            };
            let Some(last) = page.last().map(|entry| entry.number) else { break };
            after = last;
            for known in page {
                all.retain(|one| one.record != known.record || one.ordered > known.ordered);
            }
        }
        for some in all.chunks(PAGE as usize) {
            put(&self.db, self.name, some.to_vec()).await?;
        }
        Ok(())
    }
}

/// Enters something durably: in the file of this node, and where other nodes find it.
pub async fn enter(
    db: &Database,
    name: &'static str,
    ledger: &Arc<Ledger>,
    entry: Erasure,
) -> Result<()> {
    let entry = add(ledger, entry).await?;
    if db.dialect == Dialect::Postgres {
        put(db, name, vec![entry]).await?;
    }
    Ok(())
}

async fn add(ledger: &Arc<Ledger>, entry: Erasure) -> Result<Erasure> {
    let ledger = ledger.clone();
    match tokio::task::spawn_blocking(move || ledger.add(entry)).await {
        Ok(Ok(entry)) => Ok(entry),
        Ok(Err(failed)) => {
            tracing::error!(error = %failed, "a ledger cannot be written: what needs it waits");
            Err(Error::StorageFull)
        }
        Err(_) => Err(Error::Busy),
    }
}

async fn put(db: &Database, name: &'static str, entries: Vec<Erasure>) -> Result<()> {
    let db = db.clone();
    // In a task of its own: a caller that goes away must not leave a transaction open.
    let putting = tokio::spawn(async move {
        let mut tx = db.begin().await?;
        for entry in entries {
            let Erasure { order, record, home, ordered } = entry;
            let entry = Entry { record, order, home, ordered, number: 0 };
            ledgers::put(tx.connection(), name, &entry).await?;
        }
        tx.commit().await
    });
    Ok(putting.await.map_err(|_| Error::Busy)??)
}
