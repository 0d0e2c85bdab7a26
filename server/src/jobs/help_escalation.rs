//! Notes promises of the desk that were not kept, and tells those who can help.

use std::time::Duration;

use super::runner::Job;
use crate::app::{App, desk, error::Error};

/// So late may it be noticed that a clock has run out.
pub const EVERY: Duration = Duration::from_secs(20);

pub struct HelpEscalation {
    pub app: App,
}

impl Job for HelpEscalation {
    const NAME: &'static str = "help escalation";
    type Error = Error;

    async fn run_once(&self) -> Result<(), Error> {
        desk::escalate(&self.app).await
    }
}
