//! The one path from rows to tables, for our own rows and everybody else's: a copy can never mean
//! something else than the original.

use std::collections::HashSet;

use super::digest::{Elements, Sum};
use crate::{
    domain::{
        entry::Entry,
        id::RecordId,
        position::{PAYLOAD_MAX, Row, Sequence},
    },
    store::{Copy, FeedTx, StoreError},
    wire,
};

/// Replaces versions by newer ones: rows, entries, set hash, counts. `rows` hold each record once;
/// `old` are the stored versions of the same records.
pub async fn apply<T: FeedTx>(
    tx: &mut T,
    copy: &mut Copy,
    sum: &mut Sum,
    rows: &[Row],
    old: &[Row],
) -> Result<(), StoreError> {
    replace(copy, sum, rows, old);
    let gone: Vec<Sequence> = old.iter().map(|row| row.sequence).collect();
    tx.remove(copy.slot, &gone).await?;
    tx.put(copy.slot, rows).await?;
    tx.enter(copy.slot, &entries(copy, rows)).await
}

/// The part of `apply` that is arithmetic: what the copy would be afterwards.
pub fn replace(copy: &mut Copy, sum: &mut Sum, rows: &[Row], old: &[Row]) {
    let elements = Elements::of(&copy.feed);
    for row in old {
        sum.subtract(&elements.element(row));
        copy.live -= u64::from(!row.removed);
    }
    for row in rows {
        sum.add(&elements.element(row));
        copy.live += u64::from(!row.removed);
    }
}

/// What makes these rows findable. A payload that cannot be read is entered as such, and counted.
pub fn entries(copy: &Copy, rows: &[Row]) -> Vec<Entry> {
    rows.iter().filter(|row| !row.removed).map(|row| wire::entry::entry(&copy.feed, row)).collect()
}

/// Why a neighbour's page is not what a page must be, whatever it adds up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPage {
    #[error("rows are not in sequence order")]
    OutOfOrder,
    #[error("a row lies beyond the seal")]
    BeyondSeal,
    #[error("one record twice in one page")]
    RecordTwice,
    #[error("a sealed row is larger than 64 KiB")]
    TooLarge,
}

/// Checks what a page must be whatever it says: sequences rise from just after `after` and end at the
/// seal, each record once, no payload too large.
pub fn check_page(after: Sequence, rows: &[Row], sealed: Sequence) -> Result<(), BadPage> {
    let mut last = after;
    let mut seen: HashSet<RecordId> = HashSet::with_capacity(rows.len());
    for row in rows {
        if row.sequence <= last {
            return Err(BadPage::OutOfOrder);
        }
        last = row.sequence;
        if !seen.insert(row.id) {
            return Err(BadPage::RecordTwice);
        }
        if row.payload.len() > PAYLOAD_MAX {
            return Err(BadPage::TooLarge);
        }
    }
    if last > sealed { Err(BadPage::BeyondSeal) } else { Ok(()) }
}
