//! Numbers of references: taken in blocks, so that a submission waits for no other, and never given
//! twice.

use std::collections::HashMap;

use tokio::sync::Mutex;

use crate::{
    app::{
        App,
        error::{Error, Result},
    },
    domain::{
        audience::{Audience, FeedId},
        help_reference::NUMBER_MAX,
        id::PointCode,
    },
    store::help_requests,
};

/// Numbers of the first block of a run; the next ones are larger, so that a busy day waits seldom
/// and a quiet year loses few.
const BLOCK_FIRST: u32 = 8;
const BLOCK_MAX: u32 = 1_024;
/// Numbers left out after the feed's state was lost: people may have seen them.
const SKIP: i64 = 1_000;

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
        let feed = FeedId::new(point.clone(), Audience::Sealed);
        let epoch = app.heads.find(&feed).and_then(|view| view.held);
        let epoch = epoch.map_or(1, |held| held.epoch.counter);
        let (app, spoken) = (app.clone(), point.clone());
        // In a task of its own: a client that hangs up must not leave a statement half done.
        let taking = tokio::spawn(async move {
            let of = (spoken.as_str(), i64::from(year));
            let mut db = app.db.local().await?;
            help_requests::take_numbers(&mut db, of, epoch as i64, i64::from(size), SKIP).await
        });
        let first = taking.await.map_err(|_| Error::Busy)??;
        let first = u32::try_from(first).ok().filter(|first| *first <= NUMBER_MAX - BLOCK_MAX);
        let first = first.ok_or(Error::Busy)?;
        blocks.insert(key, Block { next: first + 1, end: first + size, size });
        Ok(first)
    }
}
