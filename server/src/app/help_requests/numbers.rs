//! Numbers of references: taken in blocks, so that a submission waits for no other, and never given
//! twice.

use std::collections::HashMap;

use tokio::sync::Mutex;

use crate::{
    app::{
        App,
        error::{Error, Result},
    },
    domain::{help_reference::NUMBER_MAX, id::PointCode},
    store::help_requests,
};

/// Numbers of the first block of a run; the next ones are larger, so that a busy day waits seldom
/// and a quiet year loses few.
const BLOCK_FIRST: u32 = 8;
const BLOCK_MAX: u32 = 1_024;
/// Numbers left out after a feed's state was lost: people may have seen them.
const SKIP: i64 = 10_000;

#[derive(Default)]
pub struct Numbers(Mutex<HashMap<(PointCode, i16), Block>>);

struct Block {
    next: u32,
    end: u32,
    size: u32,
}

impl Numbers {
    pub async fn take(&self, app: &App, point: &PointCode, year: i16) -> Result<u32> {
        let mut blocks = self.0.lock().await;
        let key = (point.clone(), year);
        if let Some(block) = blocks.get_mut(&key).filter(|block| block.next < block.end) {
            block.next += 1;
            return Ok(block.next - 1);
        }
        let size = blocks.get(&key).map_or(BLOCK_FIRST, |last| (last.size * 4).min(BLOCK_MAX));
        let (epoch, skip) = incarnation(app, point);
        let (app, spoken) = (app.clone(), point.clone());
        // In a task of its own: a client that hangs up must not leave a statement half done.
        let taking = tokio::spawn(async move {
            let of = (spoken.as_str(), i64::from(year));
            let mut db = app.db.local().await?;
            help_requests::take_numbers(&mut db, of, epoch, i64::from(size), skip).await
        });
        let first = taking.await.map_err(|_| Error::Busy)??;
        let first = u32::try_from(first).ok().filter(|first| *first <= NUMBER_MAX - BLOCK_MAX);
        let first = first.ok_or(Error::Busy)?;
        blocks.insert(key, Block { next: first + 1, end: first + size, size });
        Ok(first)
    }
}

/// What tells counters of before a loss from those of after it, and how many numbers are left out
/// between them. While own feeds are taken back it is another one in every run: where the same old
/// database is put back twice, what the first run gave is nowhere.
fn incarnation(app: &App, point: &PointCode) -> (i64, i64) {
    if !app.writer.recovery().is_taken_back() {
        let run = i64::from_le_bytes(app.outside.random());
        let more = i64::from(u16::from_le_bytes(app.outside.random()));
        return (run | i64::MIN, SKIP + more % SKIP);
    }
    // Of a home that has lost everything, the sealed feed begins anew; those that neighbours have do not.
    let held = app.heads.all().into_iter().filter(|(feed, _)| feed.home == *point);
    let epochs = held.filter_map(|(_, view)| Some(view.held?.epoch.counter));
    (epochs.max().unwrap_or(1) as i64, SKIP)
}
