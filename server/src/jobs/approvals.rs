//! Does what two persons have agreed to and a crash has interrupted, and carries between points what
//! waits for the province's word.

use std::time::Duration;

use super::runner::Job;
use crate::app::{App, approvals, error::Error, points};

/// How often it is looked. A run that finds nothing costs a few small queries.
pub const EVERY: Duration = Duration::from_secs(2);

pub struct Approvals {
    pub app: App,
}

impl Job for Approvals {
    const NAME: &'static str = "approvals";
    type Error = Error;

    async fn run_once(&self) -> Result<(), Error> {
        let app = self.app.clone();
        // In a task of its own: a stop must not leave a transaction open.
        let resuming = tokio::spawn(async move {
            points::areas::forward(&app).await?;
            points::areas::enter(&app).await?;
            approvals::resume(&app).await
        });
        resuming.await.map_err(|_| Error::Busy)?
    }
}
