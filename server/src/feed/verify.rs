//! Adds up every copy anew and holds it against its seal, and looks whether each of its rows can be found
//! as it should: what `yizhand verify` does.

use super::{
    apply,
    digest::{Elements, Sum},
    keyring::Keyring,
    seal::Seal,
};
use crate::{
    domain::{
        audience::FeedId,
        entry::Entry,
        position::{Row, Sequence},
    },
    store::{Copy, CopyState, Entered, FeedStore, StoreError, database::Database},
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

/// Rows named of a copy that are not entered as they should be.
const NAMED: usize = 10;

/// Rows that cannot be found as they should.
#[derive(Default)]
struct Missing {
    count: u64,
    named: Vec<String>,
}

impl Missing {
    fn look(&mut self, copy: &Copy, rows: &[Row], entered: &Entered) {
        let is_due = |entry: &Entry| match copy.state {
            CopyState::Own | CopyState::Current | CopyState::CatchingUp => true,
            CopyState::Indexing => entry.sequence <= copy.indexed,
            CopyState::Filling | CopyState::Retired => false,
        };
        for entry in apply::entries(copy, rows).iter().filter(|entry| is_due(entry)) {
            let at = entry.sequence;
            let wanted = [
                ("words", !entry.terms.is_empty() && !entered.words.contains(&at)),
                ("date", entry.starts_at.is_some() && !entered.events.contains(&at)),
                ("desk", entry.desk.is_some() && !entered.desk.contains(&at)),
            ];
            for (what, _) in wanted.into_iter().filter(|(_, is_missing)| *is_missing) {
                self.count += 1;
                let row = rows.iter().find(|row| row.sequence == at);
                if let Some(row) = row.filter(|_| self.named.len() < NAMED) {
                    self.named.push(format!("{} ({what})", row.id));
                }
            }
        }
    }

    fn faults(self, copy: &Copy) -> Option<Fault> {
        let named = self.named.join(", ");
        let detail = format!("{} entries are missing: {named}", self.count);
        (self.count > 0).then(|| Fault {
            feed: copy.feed.clone(),
            reason: "INDEX_INCOMPLETE",
            detail,
        })
    }
}

/// Checks one copy; the second value is how many rows it has.
pub async fn check_copy(
    store: &Database,
    keys: &Keyring,
    copy: &Copy,
) -> Result<(Vec<Fault>, u64), StoreError> {
    let fault = |reason, detail: String| Fault { feed: copy.feed.clone(), reason, detail };
    let mut faults = Vec::new();
    let elements = Elements::of(&copy.feed);
    let mut sum = Sum::empty();
    let (mut after, mut rows, mut live) = (Sequence(0), 0u64, 0u64);
    let mut missing = Missing::default();
    while let Some(page) = store.page(copy.slot, after, PAGE, PAGE_BYTES).await? {
        if page.copy.number != copy.number || page.copy.state != copy.state {
            // Written meanwhile: the caller takes the newer state and begins again.
            return Ok((vec![fault("CHANGED_MEANWHILE", String::new())], rows));
        }
        let Some(last) = page.rows.last() else { break };
        // The next page tells whether it was written meanwhile.
        let entered = store.entered(copy.slot, after, last.sequence).await?;
        missing.look(copy, &page.rows, &entered);
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
    faults.extend(missing.faults(copy));
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
