//! Brings the ledgers outside the database together where several nodes of a point share one.

use std::time::Duration;

use super::runner::Job;
use crate::app::{App, error::Error, ledgers::Shared, shared_ledgers};

/// How often it is looked. A run that finds nothing costs two small queries.
pub const EVERY: Duration = Duration::from_secs(2);

pub struct Ledgers {
    shared: [Shared; 2],
}

impl Ledgers {
    pub fn new(app: &App) -> Ledgers {
        Ledgers { shared: shared_ledgers(app) }
    }
}

impl Job for Ledgers {
    const NAME: &'static str = "ledgers";
    type Error = Error;

    async fn run_once(&self) -> Result<(), Error> {
        for shared in &self.shared {
            shared.meet().await?;
        }
        Ok(())
    }
}
