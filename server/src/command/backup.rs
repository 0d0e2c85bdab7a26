//! `yizhand backup`: an encrypted copy of a running node.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use yizhan_client::{
    answer::Answer,
    document::time,
    error::{Error, Result},
    progress,
};
use yizhan_proto::v1::{BackUpRequest, back_up_response::Kind};

use super::Dir;

#[derive(Args)]
pub struct Backup {
    #[command(flatten)]
    dir: Dir,
    /// Where to; the file must not exist
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

impl Backup {
    pub async fn run(self) -> Result<Answer> {
        let shown = self.to.display().to_string();
        // The node has a working directory of its own.
        let file = std::path::absolute(&self.to)
            .ok()
            .and_then(|path| path.into_os_string().into_string().ok())
            .ok_or_else(|| Error::usage(format!("--to is not a usable path: {shown}")))?;
        let local = self.dir.connect().await?;
        let mut answers = local.node.control().back_up(BackUpRequest { file }).await?.into_inner();
        let bar = progress::bar(0, "bytes");
        while let Some(answer) = answers.message().await? {
            match answer.kind {
                Some(Kind::Progress(progress)) => {
                    bar.set_position(progress.done);
                    bar.set_message(progress.subject);
                }
                Some(Kind::Summary(summary)) => {
                    bar.finish_and_clear();
                    return Ok(Answer::one(json!({
                        "file": summary.file,
                        "size_bytes": summary.size_bytes,
                        "snapshot_at": time(summary.snapshot_time.as_ref()),
                    })));
                }
                None => (),
            }
        }
        Err(Error::failed("BACKUP_BROKE_OFF", "the node ended the backup without a summary")
            .advice("the file, if any, is not complete"))
    }
}
