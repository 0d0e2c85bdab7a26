//! `yizhand status`: the same document as `yizhan status`.

use clap::Args;
use yizhan_client::{answer::Answer, channel::once, document::node, error::Result};
use yizhan_proto::v1::GetStatusRequest;

use super::Dir;

#[derive(Args)]
pub struct Status {
    #[command(flatten)]
    dir: Dir,
}

impl Status {
    pub async fn run(self) -> Result<Answer> {
        let local = self.dir.connect().await?;
        let answer = once(local.node.nodes().get_status(GetStatusRequest {})).await?;
        Ok(node::answer(&answer))
    }
}
