//! `yizhand user`: the accounts of a node.

use clap::{Args, Subcommand};
use yizhan_client::{
    answer::Answer,
    error::Result,
    users::{self, Add, Confirm, Disable, List, Password},
};

use super::Dir;

/// Role of an account added here without one: the first account of a node is its administrator's.
const ROLE_DEFAULT: &str = "point_admin";

#[derive(Subcommand)]
pub enum User {
    /// Add an account
    Add(At<Add>),
    /// List accounts
    List(At<List>),
    /// Disable an account for good
    Disable(At<Disable>),
    /// Say that a member's account is in the member's own hands
    Confirm(At<Confirm>),
    /// Set an account's password
    Passwd(At<Password>),
}

/// Arguments, and the node they are for.
#[derive(Args)]
pub struct At<T: Args> {
    #[command(flatten)]
    pub(super) dir: Dir,
    #[command(flatten)]
    pub(super) arguments: T,
}

impl User {
    pub async fn run(self) -> Result<Answer> {
        match self {
            User::Add(at) => {
                let local = at.dir.connect().await?;
                users::add(&local.node, at.arguments, ROLE_DEFAULT).await
            }
            User::List(at) => users::list(&at.dir.connect().await?.node, at.arguments).await,
            User::Disable(at) => users::disable(&at.dir.connect().await?.node, at.arguments).await,
            User::Confirm(at) => users::confirm(&at.dir.connect().await?.node, at.arguments).await,
            User::Passwd(at) => {
                users::set_password(&at.dir.connect().await?.node, at.arguments).await
            }
        }
    }
}
