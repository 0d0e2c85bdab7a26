//! Receipts for removals: a point's word to a feed's home that removed records are gone here, from
//! tables, index and files.
//!
//! The word is given only after the bytes are gone, and one receipt covers every removal up to its
//! seal. What was sent is stored with the parcel, in one transaction.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::Instant;
use tracing::{debug, info};
use yizhan_proto::v1::{self, Letter, letter::Kind};

use super::{
    letters,
    office::{Office, SendError},
    seal::is_admitted,
};
use crate::{
    domain::{
        audience::{Audience, FeedId},
        id::PointCode,
    },
    feed::seal::Seal,
    store::{
        CopyState, StoreError,
        database::Database,
        parcels::{self, Extent, Receipt},
    },
};

/// Shortest time between two rewritings of the index. All feeds' removals that came in meanwhile share
/// one, so that many erasures cost little more than one; a home waits for the word of every point.
const SCRUB_EVERY: Duration = Duration::from_millis(500);
/// and it takes at most one part in so many of the node's time.
const SCRUB_SHARE: u32 = 10;
/// Attempts to empty the log while readers stand in the way, and the pause between them.
const LOG_ATTEMPTS: u32 = 20;
const LOG_PAUSE: Duration = Duration::from_millis(50);

/// Feeds whose removals may not be confirmed yet. Starts with all of them.
#[derive(Default)]
struct Progress {
    revision: u64,
    candidates: BTreeSet<FeedId>,
    not_before: Option<Instant>,
    /// What an earlier run of this program has sent has been sent once more.
    repeated: bool,
}

/// The job that gives receipts.
pub struct Receipts {
    office: Arc<Office>,
    progress: Mutex<Progress>,
}

/// A feed whose home is to hear from us.
struct Due {
    seal: Arc<Seal>,
    /// The bytes are gone since the last time.
    scrubbed: bool,
}

impl Due {
    fn feed(&self) -> &FeedId {
        &self.seal.statement().feed
    }

    fn extent(&self) -> Extent {
        let statement = self.seal.statement();
        Extent {
            epoch_counter: statement.epoch.counter,
            number: statement.number,
            sequence: statement.sequence,
        }
    }
}

impl Receipts {
    pub fn new(office: Arc<Office>) -> Receipts {
        Receipts { office, progress: Mutex::default() }
    }

    /// Confirms all removals that are not confirmed yet; the next run takes up what has to wait.
    pub async fn run_once(&self) -> Result<(), StoreError> {
        if self.with(|progress| progress.not_before.is_some_and(|at| Instant::now() < at)) {
            return Ok(());
        }
        let due = self.list_due().await?;
        if due.is_empty() {
            return Ok(());
        }
        let needs_scrub = due.iter().any(|due| !due.scrubbed);
        let office = self.office.clone();
        // In a task of its own: a stop must not leave a transaction open.
        let confirming = tokio::spawn(async move {
            let began = Instant::now();
            if needs_scrub && !scrub(&office.parts.database).await? {
                debug!("removed bytes are still in the log, receipts wait");
                return Ok(began.elapsed());
            }
            let took = began.elapsed();
            confirm(&office, due).await?;
            Ok::<_, StoreError>(took)
        });
        let took = confirming
            .await
            .unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))?;
        if needs_scrub {
            let pause = SCRUB_EVERY.max(took * SCRUB_SHARE);
            self.with(|progress| progress.not_before = Some(Instant::now() + pause));
        }
        Ok(())
    }

    /// Feeds with removals that their home has no word on, and none on its way.
    async fn list_due(&self) -> Result<Vec<Due>, StoreError> {
        let parts = &self.office.parts;
        let revision = self.with(|progress| progress.revision);
        let (changed, revision) = parts.heads.since(revision);
        let (candidates, repeat) = self.with(|progress| {
            progress.revision = revision;
            // Points are not removed from the roster, and it is not about persons.
            let feeds = changed.into_iter().map(|(feed, _)| feed);
            let feeds = feeds.filter(|feed| feed.audience != Audience::Roster);
            // What goes over to a point's own node by parcels is no copy of anybody's.
            let is_copy =
                |feed: &FeedId| feed.audience.is_shared() || parts.keys.is_home(&feed.home);
            let feeds = feeds.filter(is_copy);
            progress.candidates.extend(feeds);
            (progress.candidates.clone(), !std::mem::replace(&mut progress.repeated, true))
        });
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        let mut db = parts.database.reader().await?;
        let sent: BTreeMap<_, _> =
            parcels::list_sent_receipts(&mut db).await?.into_iter().collect();
        let clearing = parcels::list_clearing(&mut db).await?;
        let mut due = Vec::new();
        for feed in candidates {
            let held = parts.heads.find(&feed).and_then(|view| view.held);
            let settled = held
                .filter(|held| matches!(held.state, CopyState::Own | CopyState::Current))
                .filter(|_| !clearing.contains(&feed));
            let Some((slot, Some(seal))) = settled.map(|held| (held.slot, held.seal)) else {
                continue;
            };
            let newest = parcels::find_newest_removal(&mut db, slot).await?;
            let own = parts.keys.is_home(&feed.home);
            let confirmed = match own {
                true => own_extent(&mut db, &feed, &parts.keys.point).await?,
                false => sent.get(&feed).copied(),
            };
            let epoch = seal.statement().epoch.counter;
            let scrubbed = newest.is_none_or(|newest| {
                confirmed.is_some_and(|confirmed| confirmed.covers(epoch, newest))
            });
            // The home may have lost our word with its disk: once per start it is given again.
            let again = repeat && newest.is_some() && !own;
            if scrubbed && !again {
                self.with(|progress| progress.candidates.remove(&feed));
                continue;
            }
            let roster = parts.keys.roster();
            let reachable =
                is_admitted(&roster, &feed.home) && roster.case_key(&feed.home).is_some();
            if !own && !reachable {
                continue;
            }
            let (from, subject) = (&parts.keys.point, letters::subject(&letter(&seal, 0)));
            if own || !parcels::is_outgoing(&mut db, from, &feed.home, &subject).await? {
                due.push(Due { seal, scrubbed });
            }
        }
        Ok(due)
    }

    fn with<T>(&self, act: impl FnOnce(&mut Progress) -> T) -> T {
        act(&mut self.progress.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }
}

/// Up to where this node has carried out the removals of a feed of its own.
async fn own_extent(
    db: &mut parcels::Connection,
    feed: &FeedId,
    own: &PointCode,
) -> Result<Option<Extent>, StoreError> {
    let receipts = parcels::list_receipts(db, feed).await?;
    Ok(receipts.into_iter().find(|receipt| receipt.point == *own).map(|receipt| receipt.extent))
}

/// Rewrites the index and empties the log; false if a reader stood in the way to the end.
pub async fn scrub(database: &Database) -> Result<bool, StoreError> {
    let mut tx = database.begin().await?;
    let dialect = tx.dialect;
    parcels::optimize_terms(tx.connection(), dialect).await?;
    tx.commit().await?;
    for _ in 0..LOG_ATTEMPTS {
        if database.truncate_log().await? {
            return Ok(true);
        }
        tokio::time::sleep(LOG_PAUSE).await;
    }
    Ok(false)
}

/// Posts the receipts, and remembers them, in one transaction. Those of our own feeds go straight
/// into the ledger.
async fn confirm(office: &Office, due: Vec<Due>) -> Result<(), StoreError> {
    let parts = &office.parts;
    let (own, now) = (&parts.keys.point, parts.outside.now());
    let mut posted = Vec::new();
    let mut tx = parts.database.begin().await?;
    let db = tx.connection();
    for due in &due {
        let (feed, extent) = (due.feed(), due.extent());
        if parts.keys.is_home(&feed.home) {
            let receipt = Receipt { point: own.clone(), extent, scrubbed: now, received: now };
            parcels::put_receipt(db, feed, &receipt).await?;
            continue;
        }
        match office.write(db, own, &feed.home, &letter(&due.seal, now.0)).await {
            Ok(()) => {
                parcels::put_sent_receipt(db, feed, extent, now).await?;
                posted.push(feed.home.clone());
            }
            Err(SendError::Storage(error)) => return Err(error),
            // Its home is revoked, or cannot be written to yet; the feed stays a candidate.
            Err(error) => debug!(%feed, %error, "no receipt"),
        }
    }
    tx.commit().await?;
    info!(feeds = due.len(), "removals carried out");
    for home in posted {
        office.written(own, &home);
    }
    Ok(())
}

pub(super) fn letter(seal: &Seal, scrubbed_us: i64) -> Letter {
    let statement = seal.statement();
    let receipt = v1::RemovalReceipt {
        home: statement.feed.home.to_string(),
        audience: statement.feed.audience as u32,
        epoch: Some(statement.epoch.into()),
        number: statement.number,
        sequence: statement.sequence.0,
        scrubbed_us,
    };
    Letter { kind: Some(Kind::RemovalReceipt(receipt)) }
}
