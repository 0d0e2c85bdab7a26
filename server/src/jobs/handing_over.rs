//! Sends the records of points that were hosted here to the nodes that they have got.

use std::time::Duration;

use super::runner::Job;
use crate::app::{App, error::Error, handing_over};

/// How often it is looked. With nothing to hand over it costs a look at the roster.
pub const EVERY: Duration = Duration::from_millis(500);

pub struct HandingOver {
    pub app: App,
}

impl Job for HandingOver {
    const NAME: &'static str = "handing_over";
    type Error = Error;

    async fn run_once(&self) -> Result<(), Error> {
        handing_over::run(&self.app).await
    }
}
