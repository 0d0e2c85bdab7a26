//! Puts what people are to be told of help requests into the outbox.

use std::time::Duration;

use super::runner::Job;
use crate::app::{App, error::Error, help_requests::telling};

/// How often it is looked. Of each home only what was written since is read.
pub const EVERY: Duration = Duration::from_secs(1);

pub struct Telling {
    pub app: App,
}

impl Job for Telling {
    const NAME: &'static str = "telling";
    type Error = Error;

    async fn run_once(&self) -> Result<(), Error> {
        telling::tell(&self.app).await
    }
}
