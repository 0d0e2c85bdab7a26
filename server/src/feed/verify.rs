//! Adds up every copy anew and holds it against its seal: what `yizhand verify` does.

use super::{
    digest::{Elements, Sum},
    keyring::Keyring,
    seal::Seal,
};
use crate::{
    domain::{audience::FeedId, position::Sequence},
    store::{Copy, CopyState, FeedStore, StoreError},
};

/// Rows read at one time.
const PAGE: usize = 2_000;
const PAGE_BYTES: usize = 16 * 1024 * 1024;

/// Something that is not as its home sealed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub feed: FeedId,
    pub reason: &'static str,
    pub detail: String,
}

/// Checks one copy; the second value is how many rows it has.
pub async fn check_copy<S: FeedStore>(
    store: &S,
    keys: &Keyring,
    copy: &Copy,
) -> Result<(Vec<Fault>, u64), StoreError> {
    let fault = |reason, detail: String| Fault { feed: copy.feed.clone(), reason, detail };
    let mut faults = Vec::new();
    let elements = Elements::of(&copy.feed);
    let mut sum = Sum::empty();
    let (mut after, mut rows, mut live) = (Sequence(0), 0u64, 0u64);
    while let Some(page) = store.page(copy.slot, after, PAGE, PAGE_BYTES).await? {
        if page.copy.number != copy.number || page.copy.state != copy.state {
            // Written meanwhile: the caller takes the newer state and begins again.
            return Ok((vec![fault("CHANGED_MEANWHILE", String::new())], rows));
        }
        let Some(last) = page.rows.last() else { break };
        after = last.sequence;
        for row in &page.rows {
            sum.add(&elements.element(row));
            rows += 1;
            live += u64::from(!row.removed);
        }
    }
    if sum.to_bytes() != copy.sum {
        faults.push(fault("ROWS_DIFFER", "rows do not add up to the stored sum".into()));
    }
    if live != copy.live {
        faults.push(fault("COUNT_DIFFERS", format!("{live} live rows, {} stated", copy.live)));
    }
    if matches!(copy.state, CopyState::Own | CopyState::Current | CopyState::Indexing)
        && copy.number > 0
    {
        match Seal::decode(&copy.seal) {
            Err(_) => faults.push(fault("SEAL_UNREADABLE", String::new())),
            Ok(seal) => {
                if let Err(error) = keys.verify(&seal) {
                    faults.push(fault("SEAL_NOT_VALID", error.to_string()));
                }
                let statement = seal.statement();
                if statement.digest != sum.digest()
                    || statement.sequence != copy.sequence
                    || statement.live != live
                {
                    faults.push(fault("SEAL_DIFFERS", format!("seal {}", statement.number)));
                }
            }
        }
    }
    Ok((faults, rows))
}
