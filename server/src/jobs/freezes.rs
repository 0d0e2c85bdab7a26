//! Tells homes that feeds of theirs are frozen here.

use std::time::Duration;

use super::runner::Job;
use crate::app::{App, error::Error, freezes};

/// How often it is looked. A run that finds nothing costs one small query.
pub const EVERY: Duration = Duration::from_secs(5);

pub struct Freezes {
    pub app: App,
}

impl Job for Freezes {
    const NAME: &'static str = "freezes";
    type Error = Error;

    async fn run_once(&self) -> Result<(), Error> {
        freezes::tell(&self.app).await
    }
}
