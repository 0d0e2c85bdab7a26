//! `yizhan status`.

use yizhan_client::{answer::Answer, channel::repeating, document::node, error::Result};
use yizhan_proto::v1::GetStatusRequest;

use super::Context;

pub async fn run(context: &Context) -> Result<Answer> {
    let client = context.node().await?;
    let answer = repeating(|| {
        let mut nodes = client.nodes();
        async move { nodes.get_status(GetStatusRequest {}).await }
    })
    .await?;
    Ok(node::answer(&answer))
}
