//! `yizhand approve-epoch`: lets a home go on after it has contradicted itself.

use clap::Args;
use serde_json::json;
use yizhan_client::{answer::Answer, channel::once, error::Result};
use yizhan_proto::v1::ApproveEpochRequest;

use super::Dir;

#[derive(Args)]
#[command(
    after_help = "Ask the home's operator, by a way that you trust, whether the second machine is \
                        stopped, and for the epoch: whoever holds the home's keys can open one. \
                        请先通过可信的方式向该联络点的管理员确认另一台机器已停用，并核对纪元编号。"
)]
pub struct ApproveEpoch {
    #[command(flatten)]
    dir: Dir,
    /// The frozen feed, such as GB-LON/network
    #[arg(long, value_name = "FEED")]
    feed: String,
    /// The epoch, as `yizhand recover --feed` has printed it at the home
    #[arg(long, value_name = "EPOCH")]
    epoch: String,
}

impl ApproveEpoch {
    pub async fn run(self) -> Result<Answer> {
        let local = self.dir.connect().await?;
        let request = ApproveEpochRequest { feed: self.feed, epoch: self.epoch };
        let answer = once(local.node.control().approve_epoch(request)).await?;
        Ok(Answer::one(json!({"feed": answer.feed, "epoch": answer.epoch})))
    }
}
