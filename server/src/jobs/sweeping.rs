//! Removes files that no help request has taken.

use std::time::Duration;

use super::runner::Job;
use crate::app::{App, attachments, error::Error};

/// How often it is looked.
pub const EVERY: Duration = Duration::from_secs(60);

pub struct Sweeping {
    pub app: App,
}

impl Job for Sweeping {
    const NAME: &'static str = "sweeping";
    type Error = Error;

    async fn run_once(&self) -> Result<(), Error> {
        attachments::sweep(&self.app).await
    }
}
