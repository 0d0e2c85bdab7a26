//! `yizhand approval`: the node's operator as the second person, where a point has only one.

use clap::Subcommand;
use yizhan_client::{
    answer::Answer,
    approvals::{self, Give, List},
    error::Result,
};

use super::user::At;

#[derive(Subcommand)]
pub enum Approval {
    /// What waits for a second person
    List(At<List>),
    /// Agree to it, which is then done
    Give(At<Give>),
}

impl Approval {
    pub async fn run(self) -> Result<Answer> {
        match self {
            Approval::List(at) => {
                approvals::list(&at.dir.connect().await?.node, at.arguments).await
            }
            Approval::Give(at) => {
                approvals::give(&at.dir.connect().await?.node, at.arguments).await
            }
        }
    }
}
