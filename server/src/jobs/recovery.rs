//! After a restore: once neighbours have had their say about our own feeds, writing goes on in a new
//! epoch. Where the continuity marks say that something is missing which no neighbour has, only the
//! operator decides.

use std::{convert::Infallible, time::Duration};

use tracing::warn;

use super::runner::Job;
use crate::{app::App, link::links::LinkState};

/// How often it is looked.
pub const EVERY: Duration = Duration::from_secs(1);
/// How long a link has to be up before silence about a feed means that the neighbour has no more.
const SILENCE_MS: i64 = 3_000;

pub struct Recovery {
    pub app: App,
}

impl Job for Recovery {
    const NAME: &'static str = "recovery";
    type Error = Infallible;

    async fn run_once(&self) -> Result<(), Infallible> {
        let app = &self.app;
        let recovery = app.writer.recovery();
        if recovery.feeds.is_empty() {
            return Ok(());
        }
        let now = app.outside.now();
        let roster = app.keys.roster();
        let alone = !roster.points().any(|entry| entry.has_node() && entry.code != app.keys.point);
        let heard = app.links.all().iter().any(|link| {
            link.state == LinkState::Connected && now.millis() - link.since.millis() > SILENCE_MS
        });
        if !alone && !heard {
            return Ok(());
        }
        let waiting = recovery.feeds.keys().any(|feed| {
            app.heads
                .find(feed)
                .is_some_and(|view| view.busy || view.filling.is_some() || view.is_behind())
        });
        if waiting {
            return Ok(());
        }
        if recovery.unmarked {
            app.writer.open_epochs().await;
        } else {
            warn!(
                "neighbours do not have what this node has shown: `yizhand recover` goes on without"
            );
        }
        Ok(())
    }
}
