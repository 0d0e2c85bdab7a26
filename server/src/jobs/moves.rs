//! Moves of members: enters what has come, ends what nobody answered, sends what is to be heard, and
//! says when no card of an old home is left.

use std::{convert::Infallible, time::Duration};

use tracing::warn;

use super::runner::Job;
use crate::app::{App, moves};

/// How often it is looked. A run that finds nothing costs a few small queries.
pub const EVERY: Duration = Duration::from_millis(500);

pub struct Moves {
    pub app: App,
}

impl Job for Moves {
    const NAME: &'static str = "moves";
    type Error = Infallible;

    async fn run_once(&self) -> Result<(), Infallible> {
        let app = &self.app;
        if !app.writer.recovery().is_over() {
            return Ok(());
        }
        // None of these waits for another to succeed.
        let done = [
            ("enter", moves::enter(app).await),
            ("expire", moves::expire(app).await),
            ("send", moves::send(app).await),
            ("clear", moves::clear(app).await),
        ];
        for (step, result) in done {
            if let Err(error) = result {
                warn!(step, error = &error as &dyn std::error::Error, "will be tried again");
            }
        }
        Ok(())
    }
}
