//! Confirms removals to their homes, after the bytes are gone here.

use std::time::Duration;

use super::runner::Job;
use crate::{parcel::receipts::Receipts, store::StoreError};

/// How often it is looked. What a run costs grows with what was removed, not with what is there; if no
/// feed has changed, that is all that it finds out.
pub const EVERY: Duration = Duration::from_millis(100);

impl Job for Receipts {
    const NAME: &'static str = "receipts";
    type Error = StoreError;

    async fn run_once(&self) -> Result<(), StoreError> {
        Receipts::run_once(self).await
    }
}
