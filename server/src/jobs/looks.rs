//! Tells homes who has looked at their members here.

use std::time::Duration;

use super::runner::Job;
use crate::app::{App, error::Error, looks};

/// How often it is looked. A run that finds nothing costs one small query.
pub const EVERY: Duration = Duration::from_secs(2);

pub struct Looks {
    pub app: App,
}

impl Job for Looks {
    const NAME: &'static str = "looks";
    type Error = Error;

    async fn run_once(&self) -> Result<(), Error> {
        looks::tell(&self.app).await
    }
}
