//! Ends consents whose time is over, and takes away the cards that rested on them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tracing::info;

use super::runner::Job;
use crate::{
    app::{App, error::Error, members},
    domain::{
        audience::{Audience, FeedId},
        id::{PointCode, RecordId},
        position::{Epoch, Sequence},
        time::Time,
    },
};

/// How often it is looked. Of each home only what was written since is read.
pub const EVERY: Duration = Duration::from_secs(5);
/// Expiries of a home that are kept in mind, the earliest. When they are over, it is read again.
const DUE_MAX: usize = 100_000;

/// What is known of a home's consents.
#[derive(Clone, Default)]
struct Known {
    epoch: Option<Epoch>,
    /// Rows up to here have been read.
    read: Sequence,
    due: BTreeSet<(Time, RecordId)>,
    /// There were more than are kept in mind.
    is_cut: bool,
}

pub struct Expiring {
    app: App,
    known: Mutex<BTreeMap<PointCode, Known>>,
}

impl Expiring {
    pub fn new(app: App) -> Expiring {
        Expiring { app, known: Mutex::default() }
    }

    async fn look_at(&self, home: PointCode) -> Result<(), Error> {
        let app = &self.app;
        let feed = FeedId::new(home.clone(), Audience::Home);
        let Some(held) = app.heads.find(&feed).and_then(|view| view.held) else { return Ok(()) };
        let mut known = self.with(|all| all.get(&home).cloned()).unwrap_or_default();
        let is_exhausted = known.is_cut && known.due.is_empty();
        if known.epoch != Some(held.epoch) || is_exhausted {
            known = Known { epoch: Some(held.epoch), ..Known::default() };
        }
        while known.read < held.sequence {
            let found = members::expiring(app, &home, known.read).await?;
            known.read = found.read;
            known.due.extend(found.due);
            while known.due.len() > DUE_MAX {
                known.due.pop_last();
                known.is_cut = true;
            }
            if found.is_all {
                break;
            }
        }
        let now = app.outside.now();
        let mut members = 0;
        while let Some((ends, member)) = known.due.first().copied().filter(|(at, _)| *at <= now) {
            if members::expire(app, &home, member).await? {
                members += 1;
            }
            known.due.remove(&(ends, member));
        }
        if members > 0 {
            info!(%home, members, "consents have run out, and what rested on them is gone");
        }
        self.with(|all| all.insert(home, known));
        Ok(())
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<PointCode, Known>) -> T) -> T {
        act(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Job for Expiring {
    const NAME: &'static str = "expiring";
    type Error = Error;

    async fn run_once(&self) -> Result<(), Error> {
        if !self.app.writer.recovery().is_over() {
            return Ok(());
        }
        for home in self.app.keys.homes() {
            self.look_at(home).await?;
        }
        Ok(())
    }
}
