//! Empties the database's log of what was deleted for somebody's sake, soon after.

use std::time::Duration;

use super::runner::Job;
use crate::app::{App, error::Error, help_requests::retention};

/// How often it is looked. A run that finds nothing costs one small query.
pub const EVERY: Duration = Duration::from_secs(1);

pub struct Scrubbing {
    pub app: App,
}

impl Job for Scrubbing {
    const NAME: &'static str = "scrubbing";
    type Error = Error;

    async fn run_once(&self) -> Result<(), Error> {
        retention::scrub(&self.app).await
    }
}
