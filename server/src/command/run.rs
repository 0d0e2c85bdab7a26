//! `yizhand run`: serves until SIGTERM or SIGINT, then drains.

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use yizhan_client::{
    answer::Answer,
    error::{Error, Result},
};

use super::{Dir, failure, settings};
use crate::{node::Node, outside::Outside, telemetry};

#[derive(Args)]
pub struct Run {
    #[command(flatten)]
    pub dir: Dir,
}

impl Run {
    pub async fn run(self) -> Result<Answer> {
        let config = settings(&self.dir.dir, &[])?;
        telemetry::start(&config);
        // Asked for before the node is ready, so that no signal finds nobody at home.
        let unlistened =
            |error| Error::failed("SIGNALS", format!("signals cannot be received: {error}"));
        let mut terminate = signal(SignalKind::terminate()).map_err(unlistened)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(unlistened)?;

        let node = Node::open(&self.dir.dir, config, Outside::real())
            .await
            .map_err(|error| failure(error.reason(), &error))?;
        let running = node.start().await.map_err(|error| failure(error.reason(), &error))?;
        eprintln!("ready link={} public={}", running.link, running.public);
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        running.stop().await;
        Ok(Answer::nothing())
    }
}
