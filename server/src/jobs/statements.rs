//! Signs, for each home served here, the lists of its heads: who does not hear them for long knows that
//! the home is cut off, and not merely quiet.

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
    domain::{
        audience::{Audience, FeedId},
        id::PointCode,
    },
    feed::{
        heads::{Heard, Position, list_of},
        seal::Seal,
        statement,
    },
};

/// How often it is looked whether a home has something to say: one that is new says it at once.
pub const EVERY: Duration = Duration::from_secs(2);

/// The groups of readers, each with a list of its own.
const LISTS: [Audience; 3] = [Audience::Public, Audience::Network, Audience::Domestic];

pub struct Statements {
    app: App,
    /// How long a home's word is good.
    every: Duration,
    /// When each home said its word to each group of readers in this run of the node.
    said: Mutex<BTreeMap<(PointCode, Audience), Instant>>,
}

impl Statements {
    pub fn new(app: App, every: Duration) -> Statements {
        Statements { app, every, said: Mutex::default() }
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<(PointCode, Audience), Instant>) -> T) -> T {
        act(&mut self.said.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_due(&self, list: &(PointCode, Audience)) -> bool {
        self.with(|said| said.get(list).is_none_or(|at| at.elapsed() >= self.every))
    }
}

impl Job for Statements {
    const NAME: &'static str = "statements";
    type Error = Infallible;

    async fn run_once(&self) -> Result<(), Infallible> {
        let app = &self.app;
        let now = app.outside.now();
        let views = app.heads.all();
        let homes = app.keys.homes();
        let lists =
            homes.into_iter().flat_map(|home| LISTS.map(|audience| (home.clone(), audience)));
        for list in lists.filter(|list| self.is_due(list)) {
            let (home, audience) = &list;
            let is_listed = |feed: &FeedId| {
                feed.home == *home
                    && feed.audience.is_shared()
                    && list_of(feed.audience) == *audience
            };
            let seals: Vec<Arc<Seal>> = views
                .iter()
                .filter(|(feed, _)| is_listed(feed))
                .filter_map(|(_, view)| view.held.as_ref()?.seal.clone())
                .collect();
            // What is for anybody is said even if there is nothing: the home is alive.
            if seals.is_empty() && *audience != Audience::Public {
                continue;
            }
            // The clock makes the number rise over restarts; where it was put back, the number of the
            // last statement does.
            let last = app.heads.heard(home).map_or(0, |heard| heard.number);
            let number = (now.0.max(0) as u64).max(last + 1);
            let key = app.keys.seal_key();
            let signed =
                statement::sign(&app.keys.network, (home, *audience), &seals, number, now, key);
            let heads =
                seals.iter().map(|seal| (seal.statement().feed.audience, Position::of(seal)));
            let (heads, statement) = (heads.collect(), Arc::new(signed));
            let heard = Heard { number, at: now, audience: Some(*audience), heads, statement };
            app.heads.hear(home, heard.clone(), |_| true);
            app.writer.hear(home.clone(), heard).await;
            self.with(|said| said.insert(list, Instant::now()));
        }
        Ok(())
    }
}
