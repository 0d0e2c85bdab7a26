//! Closes help requests that have fallen silent, deletes their files, anonymises them.

use std::time::Duration;

use super::runner::Job;
use crate::app::{App, error::Error, help_requests::retention};

/// How often it is looked. A run that finds nothing costs six small queries per home.
pub const EVERY: Duration = Duration::from_secs(10);

pub struct Retention {
    pub app: App,
}

impl Job for Retention {
    const NAME: &'static str = "retention";
    type Error = Error;

    async fn run_once(&self) -> Result<(), Error> {
        if !self.app.writer.recovery().is_over() {
            return Ok(());
        }
        retention::run(&self.app).await
    }
}
