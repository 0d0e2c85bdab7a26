//! Names beside appearances follow the releases of members of other nodes' homes.

use std::time::Duration;

use super::runner::Job;
use crate::app::{App, error::Error, releases};

/// How often homes are asked. Who names nobody of another node asks nobody.
pub const EVERY: Duration = Duration::from_secs(10);

pub struct Releasing {
    pub app: App,
}

impl Job for Releasing {
    const NAME: &'static str = "releasing";
    type Error = Error;

    async fn run_once(&self) -> Result<(), Error> {
        if !self.app.writer.recovery().is_over() {
            return Ok(());
        }
        let app = self.app.clone();
        // In a task of its own: a stop must not leave a transaction open.
        let following = tokio::spawn(async move { releases::follow(&app).await });
        following.await.map_err(|_| Error::Busy)?
    }
}
