//! `yizhand recover`: goes on without what neighbours do not have, or with a feed that was frozen.

use clap::Args;
use serde_json::{Value, json};
use yizhan_client::{
    answer::{Answer, Column},
    channel::once,
    error::Result,
};
use yizhan_proto::v1::{RecoverRequest, RecoveredFeed};

use super::Dir;

const COLUMNS: &[Column] = &["feed", "epoch", "epoch_name"];

#[derive(Args)]
pub struct Recover {
    #[command(flatten)]
    dir: Dir,
    /// A feed of this node that is frozen, such as GB-LON/network: opens its next epoch. Others take
    /// it once `yizhand approve-epoch` has been run at the founding node. May be repeated
    #[arg(long = "feed", value_name = "FEED")]
    feeds: Vec<String>,
}

impl Recover {
    pub async fn run(self) -> Result<Answer> {
        let local = self.dir.connect().await?;
        let answer =
            once(local.node.control().recover(RecoverRequest { feeds: self.feeds })).await?;
        let item = |feed: &RecoveredFeed| {
            let counter = feed.epoch.as_ref().map(|epoch| epoch.counter);
            json!({"feed": feed.feed, "epoch": counter, "epoch_name": feed.epoch_name})
        };
        let items: Vec<Value> = answer.feeds.iter().map(item).collect();
        Ok(Answer::shaped(json!({"items": items}), "items", COLUMNS))
    }
}
