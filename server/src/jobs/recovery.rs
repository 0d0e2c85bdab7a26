//! After a restore, or with an empty disk where there were records before: once neighbours have had
//! their say about our own feeds, writing goes on in a new epoch. Where the continuity marks say that
//! something is missing which no neighbour has, only the operator decides.

use std::time::Duration;

use tracing::warn;

use super::runner::Job;
use crate::{
    app::{
        App,
        error::Error,
        moving_in::{self, Arrival},
    },
    feed::heads::View,
    link::links::LinkState,
    store::CopyState,
};

/// How often it is looked.
pub const EVERY: Duration = Duration::from_secs(1);
/// How long a link has to be up before silence about a feed means that the neighbour has no more.
const SILENCE_MS: i64 = 3_000;

pub struct Recovery {
    pub app: App,
}

impl Job for Recovery {
    const NAME: &'static str = "recovery";
    type Error = Error;

    async fn run_once(&self) -> Result<(), Error> {
        let app = &self.app;
        let recovery = app.writer.recovery();
        if recovery.is_taken_back() {
            return Ok(());
        }
        let now = app.outside.now();
        let roster = app.keys.roster();
        if roster.get(&app.keys.point).is_none() {
            // Nothing about us is believed, and nothing of us is known, before the roster is here.
            return Ok(());
        }
        let alone = !roster.points().any(|entry| entry.has_node() && entry.code != app.keys.point);
        let heard = app.links.all().iter().any(|link| {
            link.state == LinkState::Connected && now.millis() - link.since.millis() > SILENCE_MS
        });
        if !alone && !heard {
            return Ok(());
        }
        if recovery.unmarked {
            match moving_in::look(app).await? {
                Arrival::NotExpected => {}
                Arrival::Awaited => return Ok(()),
                Arrival::Complete(marks) => app.writer.expect(marks).await,
            }
        }
        let views = app.heads.all();
        let mut own = views.iter().filter(|(feed, _)| app.keys.signer(feed).is_some());
        if own.any(|(_, view)| is_coming(view)) {
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

/// A neighbour has more of it, or what it gave is not yet all there.
fn is_coming(view: &View) -> bool {
    let is_own = view.held.as_ref().is_none_or(|held| held.state == CopyState::Own);
    view.busy || view.filling.is_some() || view.is_behind() || !is_own
}
