//! Keeps the end of the audit marked outside the database, and removes lines that are too old.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use super::runner::Job;
use crate::{app::audit::Audit, store::StoreError};

/// Lines younger than this may be cut off unnoticed.
pub const EVERY: Duration = Duration::from_secs(1);
/// How often it is looked for lines that are too old.
const REMOVE_EVERY: Duration = Duration::from_secs(60 * 60);

pub struct Auditing {
    audit: Audit,
    removed: Mutex<Option<Instant>>,
}

impl Auditing {
    pub fn new(audit: Audit) -> Auditing {
        Auditing { audit, removed: Mutex::default() }
    }

    fn is_time_to_remove(&self) -> bool {
        let mut removed = self.removed.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let is_time = removed.is_none_or(|at| at.elapsed() >= REMOVE_EVERY);
        if is_time {
            *removed = Some(Instant::now());
        }
        is_time
    }
}

impl Job for Auditing {
    const NAME: &'static str = "auditing";
    type Error = StoreError;

    async fn run_once(&self) -> Result<(), StoreError> {
        if self.is_time_to_remove() {
            let audit = self.audit.clone();
            // In a task of its own: a stop must not leave a transaction open.
            let removing = tokio::spawn(async move { audit.remove_old().await });
            removing
                .await
                .unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))?;
        }
        self.audit.keep_mark().await
    }
}
