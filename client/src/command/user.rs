//! `yizhan user`.

use clap::Subcommand;
use yizhan_client::{
    answer::Answer,
    error::Result,
    notices::{self, Notices},
    users::{self, Add, Confirm, Disable, List, Otp, Password, SetRole},
};

use super::Context;

#[derive(Subcommand)]
pub enum User {
    /// Add an account
    Add(Add),
    /// List accounts
    List(List),
    /// Disable an account for good
    Disable(Disable),
    /// Say that a member's account is in the member's own hands; not by who has set its password
    Confirm(Confirm),
    /// Change an account's role
    Role(SetRole),
    /// One-time codes for your own sign-in
    Otp(Otp),
    /// Where you are told of news: by mail, or through a robot of your own
    Notices(Notices),
    /// Change a password, your own if no name is given
    Passwd(Password),
}

impl User {
    pub async fn run(self, context: &Context) -> Result<Answer> {
        let node = context.node().await?;
        match self {
            User::Add(add) => users::add(&node, add, "staff").await,
            User::List(list) => users::list(&node, list).await,
            User::Disable(disable) => users::disable(&node, disable).await,
            User::Confirm(confirm) => users::confirm(&node, confirm).await,
            User::Role(role) => users::set_role(&node, role).await,
            User::Otp(otp) => users::set_otp(&node, otp).await,
            User::Notices(notices) => notices::run(&node, notices).await,
            User::Passwd(password) => users::set_password(&node, password).await,
        }
    }
}
