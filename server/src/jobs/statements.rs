//! Signs, for each home served here, the lists of its heads: who does not hear them for long knows that
//! the home is cut off, and not merely quiet. Who hears them again knows that it is back, and sends what
//! waits for it.

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

/// A home whose way to the network was away says its word when it is back, if the last one is so old:
/// a line that comes and goes is not a word each time.
const AGAIN: Duration = Duration::from_secs(5);

/// The groups of readers, each with a list of its own.
const LISTS: [Audience; 3] = [Audience::Public, Audience::Network, Audience::Domestic];

pub struct Statements {
    app: App,
    /// How long a home's word is good.
    every: Duration,
    /// When each home said its word to each group of readers in this run of the node, and how many
    /// sessions the node had opened by then.
    said: Mutex<BTreeMap<(PointCode, Audience), (Instant, u64)>>,
}

impl Statements {
    pub fn new(app: App, every: Duration) -> Statements {
        Statements { app, every, said: Mutex::default() }
    }

    fn is_due(&self, list: &(PointCode, Audience), dialled: u64, now: Instant) -> bool {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.get(list).is_none_or(|(at, before)| {
            let good_for = if *before == dialled { self.every } else { self.every.min(AGAIN) };
            now.duration_since(*at) >= good_for
        })
    }

    fn note(&self, list: (PointCode, Audience), dialled: u64) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.insert(list, (Instant::now(), dialled));
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
        let dialled = app.links.dialled();
        let lists =
            homes.into_iter().flat_map(|home| LISTS.map(|audience| (home.clone(), audience)));
        for list in lists.filter(|list| self.is_due(list, dialled, Instant::now())) {
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
            self.note(list, dialled);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::samples::{FOUNDER, code, founder};

    #[tokio::test]
    async fn a_home_speaks_when_its_word_is_old_or_its_way_was_away() {
        let node = founder().await;
        let statements = Statements::new(node.app.clone(), Duration::from_secs(600));
        let list = (code(FOUNDER), Audience::Public);
        let begin = Instant::now();
        assert!(statements.is_due(&list, 1, begin), "who is new speaks at once");
        statements.note(list.clone(), 1);
        let due =
            |dialled, s| statements.is_due(&list, dialled, Instant::now() + Duration::from_secs(s));
        assert!(!due(1, 300) && due(1, 600));
        assert!(!due(2, 3), "a line that comes and goes is not a word each time");
        assert!(due(2, 5));
    }
}
