//! Help requests as their clients meet them: taking in, tracking, answering, taking back.
//!
//! What is personal is sealed before it touches the disk, under a content key that only the client
//! and the handling point can get at; what stands in clear names nobody.

pub mod desks;
#[cfg(test)]
mod escalation_tests;
pub mod leading_on;
mod lookups;
pub mod numbers;
pub mod past;
pub mod posting;
pub mod readers;
pub mod retention;
#[cfg(test)]
mod retention_tests;
pub mod sealing;
pub mod stored;
pub mod submit;
pub mod telling;
#[cfg(test)]
mod telling_tests;
#[cfg(test)]
pub(crate) mod tests;
mod track;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

pub use submit::{NewHelpRequest, Submitted, submit};
use tokio::sync::Notify;
pub use track::{
    Passed, Secret, Tracked, categories, owned, passed_to, rate, reply, stub_of, track, withdraw,
};

use self::{desks::DeskCache, lookups::Lookups, numbers::Numbers, sealing::IntakeKeys};
use super::{App, error::Result};
use crate::{domain::retention::Periods, identity::keys::CaseKey, store::help_requests};

/// What help requests need of a node besides the rest of it.
pub struct Help {
    pub keys: IntakeKeys,
    pub desks: DeskCache,
    pub numbers: Numbers,
    /// Something has to be sent to another point, or has come from one.
    pub post: Notify,
    pub apart: Apart,
    pub lookups: Arc<Lookups>,
    /// How long requests are kept.
    pub periods: Periods,
}

impl Help {
    pub fn new(case_key: CaseKey, periods: Periods) -> Arc<Help> {
        Arc::new(Help {
            keys: IntakeKeys::new(case_key),
            desks: DeskCache::default(),
            numbers: Numbers::default(),
            post: Notify::new(),
            apart: Apart::default(),
            lookups: Arc::default(),
            periods,
        })
    }
}

/// Whether requests may lie beside the feeds: taken in while own feeds could not be written, and not
/// entered yet. Those of an earlier run may, until it was looked.
pub struct Apart(AtomicU64);

impl Default for Apart {
    fn default() -> Apart {
        Apart(AtomicU64::new(1))
    }
}

impl Apart {
    /// One more lies there.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// May one be there? Looked at only until none was found.
    pub async fn may_be(&self, app: &App) -> Result<bool> {
        if !app.writer.recovery().is_over() {
            return Ok(true);
        }
        let before = self.0.load(Ordering::SeqCst);
        if before == 0 {
            return Ok(false);
        }
        let some = {
            let mut db = app.db.reader().await?;
            help_requests::list_arrivals(&mut db, help_requests::FIRST_ARRIVAL, 1).await?
        };
        if some.is_empty() {
            // Unless one was added meanwhile.
            let _ = self.0.compare_exchange(before, 0, Ordering::SeqCst, Ordering::SeqCst);
        }
        Ok(!some.is_empty())
    }
}
