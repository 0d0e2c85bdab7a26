//! Pulling: what is asked for, and what becomes of the pages that come.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream::FuturesUnordered};
use tokio::time::Instant;
use tracing::warn;
use yizhan_proto::v1::{self, frame::Kind};

use super::running::{Ended, Session};
use crate::{
    domain::{
        audience::{Audience, FeedId},
        position::Sequence,
    },
    feed::{
        apply::BadPage,
        inflow::{self, Outcome},
        seal::Seal,
    },
    link::{
        budget::STORING_MAX,
        frame::{PACKED_LEN_MAX, PAGE_LEN_MAX, frame},
        outgoing::NotReading,
    },
    store::FeedStore,
};

/// Pulls this side has open with one peer.
const PULLS_MAX: usize = 8;

/// Compressed bytes that may arrive beyond what was granted: a page may exceed the credit, and each
/// pull may have one under way.
const OVERDRAFT_MAX: u64 = (PULLS_MAX * PACKED_LEN_MAX) as u64;

/// Pages that wait to be stored, however small they are. Honest ones hold hundreds of rows each, the
/// last of each pull excepted.
const WAITING_MAX: usize = 4_096;

/// Back-off after a delivery that did not add up.
const MISMATCH_BACKOFF_MIN: Duration = Duration::from_secs(1);

const MISMATCH_BACKOFF_MAX: Duration = Duration::from_secs(300);

/// A pull of ours.
pub(super) struct Pulling {
    pub(super) feed: FeedId,
    pub(super) after: Sequence,
    /// Its last page has arrived.
    pub(super) ends: bool,
}

/// Pages that have arrived and wait to be stored.
pub(super) struct Waiting {
    pub(super) page: v1::Page,
    /// The page's, not yet judged.
    pub(super) seal: Seal,
    pub(super) arrived: usize,
}

pub(super) struct Backoff {
    pub(super) until: Instant,
    pub(super) next: Duration,
}

pub(super) type Deliveries =
    FuturesUnordered<std::pin::Pin<Box<dyn Future<Output = (u64, usize, Outcome)> + Send>>>;

impl<S: FeedStore> Session<S> {
    /// Asks for every feed the peer is ahead in, the roster first.
    pub(super) async fn ask(&mut self) -> Result<(), Ended> {
        let now = Instant::now();
        let mut wanted: Vec<Arc<Seal>> = Vec::new();
        for (feed, seal) in &self.theirs {
            self.recheck(seal);
            if self.pulls.values().any(|pulling| pulling.feed == *feed)
                || self.backoff.get(feed).is_some_and(|backoff| backoff.until > now)
            {
                continue;
            }
            if self.parts.heads.find(feed).is_none_or(|view| view.lacks(seal)) {
                wanted.push(seal.clone());
            }
        }
        wanted.sort_by_key(|seal| seal.statement().feed.audience != Audience::Roster);
        for seal in wanted {
            if self.pulls.len() >= PULLS_MAX {
                break;
            }
            let feed = seal.statement().feed.clone();
            let Some(granted) = self.parts.writer.open(seal, self.peer.point.clone()).await else {
                continue;
            };
            let pull = v1::Pull {
                home: feed.home.to_string(),
                audience: feed.audience as u32,
                epoch: Some(granted.epoch.into()),
                after: granted.after.0,
                pull: granted.pull,
                cancel: false,
            };
            self.pulls.insert(granted.pull, Pulling { feed, after: granted.after, ends: false });
            self.out.control(frame(Kind::Pull(pull)))?;
        }
        Ok(())
    }

    pub(super) async fn page(&mut self, mut page: v1::Page) -> Result<(), Ended> {
        let mut arrived = page.rows_zstd.len();
        self.window.arrived(arrived as u64, Instant::now());
        // A page of a pull that was given up: its bytes have used up credit all the same.
        let Some(pulling) = self.pulls.get_mut(&page.pull) else {
            self.window.stored(arrived as u64);
            return self.grant();
        };
        if page.gone {
            if let Some(pulling) = self.pulls.remove(&page.pull) {
                self.theirs.remove(&pulling.feed);
                self.parts.writer.close(pulling.feed, page.pull).await;
            }
            return Ok(());
        }
        if std::mem::replace(&mut pulling.ends, page.reaches_seal) {
            return Err(Ended::Protocol("page after the last"));
        }
        let seal = page.seal.take().and_then(|message| Seal::read(message).ok());
        let seal = seal.filter(|seal| seal.statement().feed == pulling.feed);
        let Some(seal) = seal else { return Err(Ended::Protocol("page without a good seal")) };
        if page.rows_len as usize > PAGE_LEN_MAX || arrived > PACKED_LEN_MAX {
            // What its size says is all that is wanted of it.
            page.rows_zstd.clear();
            self.window.stored(std::mem::take(&mut arrived) as u64);
        }
        self.waiting_bytes += arrived;
        self.waiting.push_back(Waiting { page, seal, arrived });
        let unstored = (self.waiting_bytes + self.storing) as u64;
        if unstored > self.window.outstanding() + OVERDRAFT_MAX || self.waiting.len() > WAITING_MAX
        {
            return Err(Ended::Protocol("more pages than were granted"));
        }
        self.store_waiting().await
    }

    /// Hands over as many waiting pages as may be under way at one time: the writer begins with the
    /// first while the next is unpacked.
    pub(super) async fn store_waiting(&mut self) -> Result<(), Ended> {
        while let Some(next) = self.waiting.front() {
            if self.storing > 0 && self.storing + next.arrived > STORING_MAX {
                break;
            }
            let Some(waiting) = self.waiting.pop_front() else { break };
            let (number, arrived) = (waiting.page.pull, waiting.arrived);
            self.waiting_bytes -= arrived;
            let Some(delivery) = self.unpack(waiting)? else {
                self.window.stored(arrived as u64);
                self.grant()?;
                continue;
            };
            let stored = self.parts.writer.deliver(delivery).await;
            self.storing += arrived;
            self.deliveries.push(Box::pin(async move { (number, arrived, stored.await) }));
        }
        Ok(())
    }

    /// Stores every page that has arrived whole, and asks for nothing more.
    pub(super) async fn store_rest(&mut self) {
        while self.store_waiting().await.is_ok() {
            let Some((_, bytes, outcome)) = self.deliveries.next().await else { return };
            self.storing -= bytes;
            if outcome != Outcome::Stored {
                return;
            }
        }
    }

    /// None: its pull was given up meanwhile.
    pub(super) fn unpack(&mut self, waiting: Waiting) -> Result<Option<inflow::Delivery>, Ended> {
        let Waiting { page, seal, .. } = waiting;
        let Some(pulling) = self.pulls.get(&page.pull) else { return Ok(None) };
        let (feed, after) = (pulling.feed.clone(), pulling.after);
        if self.parts.keys.verify(&seal).is_err() {
            return Err(Ended::Protocol("page without a good seal"));
        }
        if page.rows_len as usize > PAGE_LEN_MAX {
            // More than any rows of allowed size make: one of them is larger.
            return Ok(Some(inflow::bad_delivery(feed, page.pull, seal, BadPage::TooLarge)));
        }
        let rows = self.unpacker.unpack(&page.rows_zstd, page.rows_len);
        let Some(rows) = rows else { return Err(Ended::Protocol("page cannot be read")) };
        if rows.is_empty() && !page.reaches_seal {
            return Err(Ended::Protocol("page of nothing"));
        }
        let last = rows.last().map(|row| row.sequence);
        let delivery = inflow::delivery(after, feed, page.pull, rows, seal, page.reaches_seal);
        if delivery.bad == Some(BadPage::OutOfOrder) {
            return Err(Ended::Protocol("rows out of order"));
        }
        if let (Some(last), Some(pulling)) = (last, self.pulls.get_mut(&page.pull)) {
            pulling.after = last;
        }
        Ok(Some(delivery))
    }

    pub(super) async fn delivered(
        &mut self,
        pull: u64,
        bytes: usize,
        outcome: Outcome,
    ) -> Result<(), Ended> {
        self.storing -= bytes;
        self.window.stored(bytes as u64);
        self.grant()?;
        match outcome {
            Outcome::Stored => return self.store_waiting().await,
            Outcome::Reached => {
                if let Some(pulling) = self.pulls.remove(&pull) {
                    self.backoff.remove(&pulling.feed);
                }
            }
            Outcome::Dropped => {
                if let Some(pulling) = self.pulls.remove(&pull) {
                    self.cancel(pull, &pulling)?;
                }
            }
            Outcome::Mismatch => {
                if let Some(pulling) = self.pulls.remove(&pull) {
                    warn!(peer = %self.peer.point, feed = %pulling.feed, "delivery does not add up");
                    self.cancel(pull, &pulling)?;
                    let request = v1::RecentSealsRequest {
                        home: pulling.feed.home.to_string(),
                        audience: pulling.feed.audience as u32,
                    };
                    self.out.control(frame(Kind::RecentSealsRequest(request)))?;
                    self.seals_asked += 1;
                    let backoff = self
                        .backoff
                        .entry(pulling.feed)
                        .or_insert(Backoff { until: Instant::now(), next: MISMATCH_BACKOFF_MIN });
                    backoff.until = Instant::now() + backoff.next;
                    backoff.next = (backoff.next * 2).min(MISMATCH_BACKOFF_MAX);
                }
            }
        }
        self.store_waiting().await?;
        self.ask().await
    }

    pub(super) fn cancel(&self, pull: u64, pulling: &Pulling) -> Result<(), NotReading> {
        let cancel = v1::Pull {
            home: pulling.feed.home.to_string(),
            audience: pulling.feed.audience as u32,
            pull,
            cancel: true,
            ..Default::default()
        };
        self.out.control(frame(Kind::Pull(cancel)))
    }

    pub(super) fn grant(&mut self) -> Result<(), Ended> {
        let bytes = self.window.grant(Instant::now());
        if bytes > 0 {
            self.out.control(frame(Kind::Credit(v1::Credit { bytes })))?;
        }
        Ok(())
    }
}
