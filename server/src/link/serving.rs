//! Serving a neighbour's pulls: pages in sequence order, as far as its credit reaches.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use tokio::sync::{Notify, mpsc};
use tracing::warn;
use yizhan_proto::v1::{self, Frame, frame::Kind};

use super::frame::{PAGE_BYTES, PAGE_ROWS, Packer, frame};
use crate::{
    domain::position::{Epoch, Sequence},
    store::{CopyState, FeedStore, Slot},
};

/// What the neighbour still lets us send. Shared by all pulls of a session.
#[derive(Default)]
pub struct Credit {
    bytes: AtomicI64,
    more: Notify,
}

/// Credit beyond this is not an honest neighbour's.
const CREDIT_MAX: i64 = 64 * 1024 * 1024;

impl Credit {
    pub fn add(&self, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(CREDIT_MAX).min(CREDIT_MAX);
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > CREDIT_MAX {
            self.bytes.store(CREDIT_MAX, Ordering::Relaxed);
        }
        self.more.notify_waiters();
    }

    /// Waits until there is some. A page may exceed it; the next one then waits longer.
    async fn wait(&self) {
        loop {
            let more = self.more.notified();
            if self.bytes.load(Ordering::Relaxed) > 0 {
                return;
            }
            more.await;
        }
    }

    fn spend(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes as i64, Ordering::Relaxed);
    }
}

/// One pull that this side answers.
pub struct Serving {
    pub pull: u64,
    pub slot: Slot,
    pub epoch: Epoch,
    pub after: Sequence,
}

/// Sends pages until the copy's seal is reached, the copy is gone, or the session is.
pub async fn serve<S: FeedStore>(
    store: S,
    serving: Serving,
    credit: Arc<Credit>,
    pages: mpsc::Sender<Frame>,
) {
    let Serving { pull, slot, epoch, mut after } = serving;
    let mut packer = Packer::new();
    let mut read = store.page(slot, after, PAGE_ROWS, PAGE_BYTES).await;
    loop {
        let page = match read {
            Ok(Some(page)) => page,
            Ok(None) => return gone(pull, &pages).await,
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "page cannot be read");
                return gone(pull, &pages).await;
            }
        };
        let relayed = page.copy.state != CopyState::Filling && page.copy.state.is_relayed();
        if !relayed || page.copy.epoch != epoch {
            return gone(pull, &pages).await;
        }
        let Ok(seal) = prost::Message::decode(&page.copy.seal[..]) else {
            return gone(pull, &pages).await;
        };
        let seal: v1::Seal = seal;
        after = page.rows.last().map_or(after, |row| row.sequence);
        let reaches_seal = page.reaches_end;
        let send = async {
            let (rows_zstd, rows_len) = match page.rows.is_empty() {
                true => Default::default(),
                false => packer.pack(page.rows),
            };
            credit.wait().await;
            credit.spend(rows_zstd.len());
            let seal = Some(seal);
            let page = v1::Page { pull, rows_zstd, rows_len, seal, reaches_seal, gone: false };
            pages.send(frame(Kind::Page(page))).await.is_ok()
        };
        if reaches_seal {
            send.await;
            return;
        }
        // The next page is read while this one is packed and sent.
        let (next, sent) = tokio::join!(store.page(slot, after, PAGE_ROWS, PAGE_BYTES), send);
        if !sent {
            return;
        }
        read = next;
    }
}

async fn gone(pull: u64, pages: &mpsc::Sender<Frame>) {
    let page = v1::Page { pull, gone: true, ..Default::default() };
    // If the session is over, nobody waits for this.
    let _ = pages.send(frame(Kind::Page(page))).await;
}
