//! Confirms removals to their homes, after the bytes are gone here.

use super::runner::Job;
use crate::{parcel::receipts::Receipts, store::StoreError};

impl Job for Receipts {
    const NAME: &'static str = "receipts";
    type Error = StoreError;

    async fn run_once(&self) -> Result<(), StoreError> {
        Receipts::run_once(self).await
    }
}
