//! `yizhan approval`.

use clap::Subcommand;
use yizhan_client::{
    answer::Answer,
    approvals::{self, Give, List},
    error::Result,
};

use super::Context;

#[derive(Subcommand)]
pub enum Approval {
    /// What waits for you, and what you have asked for
    List(List),
    /// Agree to what somebody else has asked for, which is then done
    Give(Give),
}

impl Approval {
    pub async fn run(self, context: &Context) -> Result<Answer> {
        let node = context.node().await?;
        match self {
            Approval::List(list) => approvals::list(&node, list).await,
            Approval::Give(give) => approvals::give(&node, give).await,
        }
    }
}
