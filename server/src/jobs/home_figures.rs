//! Counts anew what a home says of rows that do not leave it, when any of them has changed.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::runner::Job;
use crate::{
    app::{App, error::Error, report},
    domain::{audience::Audience, id::PointCode},
};

/// How often it is looked. So long may a number be behind the rows at other points; the home itself
/// counts its rows when it is asked.
pub const EVERY: Duration = Duration::from_secs(1);

pub struct HomeFigures {
    app: App,
    seen: Mutex<Seen>,
}

/// Homes whose rows may have changed since they were counted. Starts with all of them.
#[derive(Default)]
struct Seen {
    revision: u64,
    changed: BTreeSet<PointCode>,
}

impl HomeFigures {
    pub fn new(app: App) -> HomeFigures {
        HomeFigures { app, seen: Mutex::default() }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Seen) -> T) -> T {
        act(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Job for HomeFigures {
    const NAME: &'static str = "home_figures";
    type Error = Error;

    async fn run_once(&self) -> Result<(), Error> {
        let (changed, revision) = self.app.heads.since(self.with(|seen| seen.revision));
        let homes = self.with(|seen| {
            seen.revision = revision;
            for (feed, _) in changed {
                let is_counted = matches!(feed.audience, Audience::Home | Audience::Network);
                if is_counted && self.app.keys.is_home(&feed.home) {
                    seen.changed.insert(feed.home);
                }
            }
            seen.changed.clone()
        });
        for home in homes {
            report::refresh(&self.app, &home).await?;
            self.with(|seen| seen.changed.remove(&home));
        }
        Ok(())
    }
}
