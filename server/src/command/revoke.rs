//! `yizhand revoke`: shuts a point out of the network.

use clap::Args;
use serde_json::json;
use yizhan_client::{answer::Answer, channel::once, document::time, error::Result};
use yizhan_proto::v1::RevokePointRequest;

use super::Dir;

#[derive(Args)]
pub struct Revoke {
    #[command(flatten)]
    dir: Dir,
    /// Code of the point
    #[arg(long, value_name = "CODE")]
    point: String,
    /// Why, for people
    #[arg(long, default_value = "", value_name = "TEXT")]
    reason: String,
}

impl Revoke {
    pub async fn run(self) -> Result<Answer> {
        let local = self.dir.connect().await?;
        let request = RevokePointRequest { point: self.point, reason: self.reason };
        let answer = once(local.node.control().revoke_point(request)).await?;
        let revoked_at = time(answer.revoke_time.as_ref());
        Ok(Answer::one(json!({"point": answer.point, "revoked_at": revoked_at})))
    }
}
