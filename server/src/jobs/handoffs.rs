//! Handoffs: enters what has come, sends what is to be heard, ends offers that nobody answered.

use std::{convert::Infallible, time::Duration};

use tracing::warn;

use super::runner::Job;
use crate::app::{App, handoffs};

/// How often it is looked. A run that finds nothing costs a few small queries.
pub const EVERY: Duration = Duration::from_millis(500);

pub struct Handoffs {
    pub app: App,
}

impl Job for Handoffs {
    const NAME: &'static str = "handoffs";
    type Error = Infallible;

    async fn run_once(&self) -> Result<(), Infallible> {
        let app = &self.app;
        // None of these waits for another to succeed.
        let done = [
            ("enter", handoffs::enter(app).await),
            ("settle", handoffs::settle(app).await),
            ("expire", handoffs::expire(app).await),
            ("send", handoffs::send(app).await),
            ("messages", handoffs::send_messages(app).await),
            ("files", handoffs::send_files(app).await),
        ];
        for (step, result) in done {
            if let Err(error) = result {
                warn!(step, error = &error as &dyn std::error::Error, "will be tried again");
            }
        }
        Ok(())
    }
}
