//! Signs, for each home served here, the list of all its heads: who does not hear it for long knows
//! that the home is cut off, and not merely quiet.

use std::{convert::Infallible, sync::Arc};

use super::runner::Job;
use crate::{
    app::App,
    feed::{heads::Heard, seal::Seal, statement},
};

pub struct Statements {
    pub app: App,
}

impl Job for Statements {
    const NAME: &'static str = "statements";
    type Error = Infallible;

    async fn run_once(&self) -> Result<(), Infallible> {
        let app = &self.app;
        let now = app.outside.now();
        let views = app.heads.all();
        for home in app.keys.homes() {
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
            app.writer.hear(home, heard).await;
        }
        Ok(())
    }
}
