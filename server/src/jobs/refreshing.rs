//! Looks again and again whether another node of the point has written into the shared database.

use std::{convert::Infallible, time::Duration};

use super::runner::Job;
use crate::app::App;

/// So long may another node's commit stay unseen.
pub const EVERY: Duration = Duration::from_millis(200);

pub struct Refreshing {
    pub app: App,
}

impl Job for Refreshing {
    const NAME: &'static str = "refreshing";
    type Error = Infallible;

    async fn run_once(&self) -> Result<(), Infallible> {
        self.app.writer.refresh().await;
        Ok(())
    }
}
