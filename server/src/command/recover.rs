//! `yizhand recover`: goes on without what neighbours do not have.

use clap::Args;
use serde_json::{Value, json};
use yizhan_client::{
    answer::{Answer, Column},
    channel::once,
    error::Result,
};
use yizhan_proto::v1::RecoverRequest;

use super::Dir;

const COLUMNS: &[Column] = &["feed", "epoch"];

#[derive(Args)]
pub struct Recover {
    #[command(flatten)]
    dir: Dir,
}

impl Recover {
    pub async fn run(self) -> Result<Answer> {
        let local = self.dir.connect().await?;
        let answer = once(local.node.control().recover(RecoverRequest {})).await?;
        let item = |feed: &yizhan_proto::v1::RecoveredFeed| json!({"feed": feed.feed, "epoch": feed.epoch.as_ref().map(|epoch| epoch.counter)});
        let items: Vec<Value> = answer.feeds.iter().map(item).collect();
        Ok(Answer::shaped(json!({"items": items}), "items", COLUMNS))
    }
}
