//! Copies for one destination: enters what has come, takes back what rests on nothing any more, sends
//! what is to be heard.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tracing::warn;

use super::runner::Job;
use crate::{
    app::{App, error::Result, transfers},
    domain::roster::Roster,
};

/// How often it is looked. A run that finds nothing costs a few small queries.
pub const EVERY: Duration = Duration::from_millis(500);
/// Copies are held against roster, consents and cards at every change of the roster, and this often.
const RECHECK_EVERY: Duration = Duration::from_secs(60);

pub struct Transfers {
    app: App,
    checked: Mutex<Option<(Arc<Roster>, Instant)>>,
}

impl Transfers {
    pub fn new(app: App) -> Transfers {
        Transfers { app, checked: Mutex::default() }
    }

    async fn recheck(&self) -> Result<()> {
        let roster = self.app.keys.roster();
        let is_due = {
            let checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
            checked.as_ref().is_none_or(|(known, at)| {
                !Arc::ptr_eq(known, &roster) || at.elapsed() >= RECHECK_EVERY
            })
        };
        if is_due {
            transfers::recheck(&self.app).await?;
            let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
            *checked = Some((roster, Instant::now()));
        }
        Ok(())
    }
}

impl Job for Transfers {
    const NAME: &'static str = "transfers";
    type Error = Infallible;

    async fn run_once(&self) -> Result<(), Infallible> {
        let app = &self.app;
        if !app.writer.recovery().is_over() {
            return Ok(());
        }
        // None of these waits for another to succeed.
        let done = [
            ("enter", transfers::enter(app).await),
            ("recheck", self.recheck().await),
            ("send", transfers::send(app).await),
        ];
        for (step, result) in done {
            if let Err(error) = result {
                warn!(step, error = &error as &dyn std::error::Error, "will be tried again");
            }
        }
        Ok(())
    }
}
