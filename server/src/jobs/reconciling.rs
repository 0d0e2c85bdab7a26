//! After own feeds were taken back: brings home records in line with them, and lets writing begin.
//!
//! A node that was not behind has done this before it opened its listeners.

use std::time::Duration;

use super::runner::Job;
use crate::app::{App, error::Error, moving_in, recovery};

/// How often it is looked whether the own feeds are back.
pub const EVERY: Duration = Duration::from_secs(1);

pub struct Reconciling {
    pub app: App,
}

impl Job for Reconciling {
    const NAME: &'static str = "reconciling";
    type Error = Error;

    async fn run_once(&self) -> Result<(), Error> {
        let recovery = self.app.writer.recovery();
        if !recovery.is_taken_back() {
            return Ok(());
        }
        if !recovery.reconciling {
            // What a former host has handed over may arrive after the operator went on without it.
            if !moving_in::is_waiting(&self.app).await? {
                return Ok(());
            }
            self.app.writer.begin_reconciling().await;
        }
        recovery::reconcile(&self.app).await
    }
}
