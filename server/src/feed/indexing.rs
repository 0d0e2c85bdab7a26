//! Making a verified copy searchable, chunk by chunk: the words of the next chunk are made while the
//! one before is written.

use std::collections::HashMap;

use tokio::task::JoinHandle;

use super::apply;
use crate::{
    domain::{entry::Entry, position::Sequence},
    store::{Copy, FeedStore, Slot, StoreError},
};

/// Rows made searchable in one transaction. Larger ones merge less in the full-text index; smaller ones
/// let others write sooner.
const CHUNK: usize = 16_384;
/// Payload bytes of a chunk, so that large rows do not fill the memory.
const CHUNK_BYTES: usize = 8 * 1024 * 1024;

/// Entries of one chunk, and the row it ends with; none if nothing is left.
pub type Chunk = (Vec<Entry>, Option<Sequence>);

/// Chunks that are being prepared.
#[derive(Default)]
pub struct Indexing {
    ahead: HashMap<Slot, (Sequence, JoinHandle<Result<Chunk, StoreError>>)>,
}

impl Indexing {
    /// The copy is whole, or gone: its slot may mean another copy next.
    pub fn forget(&mut self, slot: Slot) {
        self.ahead.remove(&slot);
    }

    /// The chunk after `copy.indexed`; starts on the one behind it.
    pub async fn next<S: FeedStore>(
        &mut self,
        store: &S,
        copy: &Copy,
    ) -> Result<Chunk, StoreError> {
        let prepared = self.ahead.remove(&copy.slot).filter(|(after, _)| *after == copy.indexed);
        let chunk = match prepared {
            Some((_, preparing)) => {
                preparing.await.unwrap_or(Err(StoreError::Damaged { what: "chunk" }))?
            }
            None => prepare(store.clone(), copy.clone(), copy.indexed).await?,
        };
        if let Some(last) = chunk.1 {
            let preparing = tokio::spawn(prepare(store.clone(), copy.clone(), last));
            self.ahead.insert(copy.slot, (last, preparing));
        }
        Ok(chunk)
    }
}

async fn prepare<S: FeedStore>(store: S, copy: Copy, after: Sequence) -> Result<Chunk, StoreError> {
    let page = store.page(copy.slot, after, CHUNK, CHUNK_BYTES).await?;
    let rows = page.map(|page| page.rows).unwrap_or_default();
    let last = rows.last().map(|row| row.sequence);
    Ok((apply::entries(&copy, &rows), last))
}
