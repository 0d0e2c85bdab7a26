//! `yizhand restore`: puts a backup back.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use yizhan_client::{
    answer::Answer,
    error::{Error, Result},
    progress,
};

use super::{Dir, failure, settings};
use crate::backup;

#[derive(Args)]
pub struct Restore {
    #[command(flatten)]
    pub dir: Dir,
    /// What `yizhand backup` wrote
    #[arg(long, value_name = "FILE")]
    pub from: PathBuf,
}

impl Restore {
    pub async fn run(self) -> Result<Answer> {
        let config = settings(&self.dir.dir, &[])?;
        let bar = progress::bar(0, "bytes");
        let restored = {
            let (dir, from, bar) = (self.dir.dir.clone(), self.from.clone(), bar.clone());
            let restore = move || backup::restore(&dir, &config, &from, |bytes| bar.inc(bytes));
            tokio::task::spawn_blocking(restore).await
        };
        bar.finish_and_clear();
        let restored = restored
            .map_err(|error| Error::failed("RESTORE_FAILED", error.to_string()))?
            .map_err(|error| failure(error.reason(), &error).advice(error.advice()))?;
        progress::note(
            "start the node now: it first takes back from its neighbours what they have of its \
             feeds, and then goes on in a new epoch; `yizhand status` shows under `recovery` how \
             far it is, and where no neighbour can be reached `yizhand recover` goes on without",
        );
        Ok(Answer::one(json!({
            "size_bytes": restored.size_bytes,
            "put_aside": restored.aside.map(|path| path.display().to_string()),
            "next": "run",
        })))
    }
}
