//! Signs, for each home served here, the list of all its heads: who does not hear it for long knows
//! that the home is cut off, and not merely quiet.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::runner::Job;
use crate::{
    app::App,
    domain::id::PointCode,
    feed::{heads::Heard, seal::Seal, statement},
};

/// How often it is looked whether a home has something to say: one that is new says it at once.
pub const EVERY: Duration = Duration::from_secs(2);

pub struct Statements {
    app: App,
    /// How long a home's word is good.
    every: Duration,
    /// When each home said its word in this run of the node.
    said: Mutex<BTreeMap<PointCode, Instant>>,
}

impl Statements {
    pub fn new(app: App, every: Duration) -> Statements {
        Statements { app, every, said: Mutex::default() }
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<PointCode, Instant>) -> T) -> T {
        act(&mut self.said.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_due(&self, home: &PointCode) -> bool {
        self.with(|said| said.get(home).is_none_or(|at| at.elapsed() >= self.every))
    }
}

impl Job for Statements {
    const NAME: &'static str = "statements";
    type Error = Infallible;

    async fn run_once(&self) -> Result<(), Infallible> {
        let app = &self.app;
        let now = app.outside.now();
        let views = app.heads.all();
        for home in app.keys.homes() {
            if !self.is_due(&home) {
                continue;
            }
            let seals: Vec<Arc<Seal>> = views
                .iter()
                .filter(|(feed, _)| feed.home == home && feed.audience.is_shared())
                .filter_map(|(_, view)| view.held.as_ref()?.seal.clone())
                .collect();
            // The clock makes the number rise over restarts; where it was put back, the number of the
            // last statement does.
            let last = app.heads.heard(&home).map_or(0, |heard| heard.number);
            let number = (now.0.max(0) as u64).max(last + 1);
            let key = app.keys.seal_key();
            let signed = statement::sign(&app.keys.network, &home, &seals, number, now, key);
            let heard = Heard { number, at: now, statement: Arc::new(signed) };
            app.heads.hear(&home, heard.clone());
            app.writer.hear(home.clone(), heard).await;
            self.with(|said| said.insert(home, Instant::now()));
        }
        Ok(())
    }
}
