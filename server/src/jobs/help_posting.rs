//! Sends help requests to owners at other points, enters those that have come, and sends sealed copies
//! to deputies.

use std::{convert::Infallible, time::Duration};

use tracing::warn;

use super::runner::Job;
use crate::app::{App, help_requests::posting};

/// How often it is looked. A run that finds nothing costs four small queries.
pub const EVERY: Duration = Duration::from_millis(500);

pub struct HelpPosting {
    pub app: App,
}

impl Job for HelpPosting {
    const NAME: &'static str = "help posting";
    type Error = Infallible;

    async fn run_once(&self) -> Result<(), Infallible> {
        let app = &self.app;
        // None of them waits for another to succeed.
        let done = [
            ("readdress", posting::readdress(app).await),
            ("send", posting::send(app).await),
            ("enter", posting::enter(app).await),
            ("copy", posting::copy(app).await),
        ];
        for (step, result) in done {
            if let Err(error) = result {
                warn!(step, error = &error as &dyn std::error::Error, "will be tried again");
            }
        }
        Ok(())
    }
}
