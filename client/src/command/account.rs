//! `yizhan login | logout | whoami`.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use yizhan_client::{
    answer::Answer,
    channel::{Node, once, repeating},
    document::{self, account::user},
    error::{Error, Result, present},
    profiles::Session,
    progress::note,
    secret::password,
};
use yizhan_proto::v1::{GetCallerRequest, SignInRequest, SignOutRequest};

use super::Context;

#[derive(Args)]
pub struct Login {
    /// Name of the account
    #[arg(long)]
    name: String,
    /// File whose first line is the password; asked for if not given
    #[arg(long, value_name = "F")]
    password_file: Option<PathBuf>,
    /// Six digits of your authenticator, if your account has one-time codes
    #[arg(long, default_value = "", value_name = "CODE")]
    otp: String,
}

impl Login {
    pub async fn run(self, context: &Context) -> Result<Answer> {
        let target = context.target()?;
        let node = Node::connect(&target.server, target.ca.as_bytes()).await?;
        let password = password(self.password_file.as_deref(), "Password")?;
        let request = SignInRequest { name: self.name, password, otp: self.otp };
        let answer = once(node.accounts().sign_in(request)).await?;

        let signed_in = present(answer.user)?;
        if signed_in.password_given {
            note("an administrator has set your password: change it with yizhan user passwd");
        } else if !signed_in.password_by.is_empty() && signed_in.confirmed_by.is_empty() {
            let by = &signed_in.password_by;
            note(&format!(
                "{by} has set the password of this account, and it was changed since: if that was not \
                 you, tell another administrator"
            ));
        }
        let expires_at = document::time(answer.expire_time.as_ref()).unwrap_or_default();
        let session = Session {
            ca: target.ca,
            user: signed_in.name.clone(),
            token: answer.token,
            expires_at: expires_at.clone(),
        };
        context.profiles()?.update(context.profile(), |profile| {
            profile.server = target.server.clone();
            profile.sessions.insert(target.server.clone(), session);
        })?;
        Ok(Answer::one(user(&signed_in))
            .with("server", target.server.into())
            .with("profile", context.profile().into())
            .with("expires_at", expires_at.into()))
    }
}

/// Ends the session there, and forgets it here even if the server is out of reach: what was asked
/// for is that nobody goes on from this machine.
pub async fn logout(context: &Context) -> Result<Answer> {
    let target = context.target()?;
    let Some(session) = target.session else {
        return Ok(Answer::one(json!({"server": target.server, "signed_out": false})));
    };
    context.profiles()?.update(context.profile(), |profile| {
        if let Some(session) = profile.sessions.get_mut(&target.server) {
            session.token.clear();
        }
    })?;
    let node = Node::connect(&target.server, target.ca.as_bytes()).await?;
    let node = node.signed_in(Some(&session.token))?;
    repeating(|| {
        let mut accounts = node.accounts();
        async move { accounts.sign_out(SignOutRequest {}).await }
    })
    .await?;
    Ok(Answer::one(json!({"server": target.server, "signed_out": true})))
}

pub async fn whoami(context: &Context) -> Result<Answer> {
    let had_session = context.target()?.session.is_some();
    let node = context.node().await?;
    let answer = repeating(|| {
        let mut accounts = node.accounts();
        async move { accounts.get_caller(GetCallerRequest {}).await }
    })
    .await?;
    let caller = match &answer.user {
        Some(signed_in) => user(signed_in),
        None if had_session => return Err(Error::session_ended()),
        None => json!({"name": Value::Null, "role": "client", "point": Value::Null}),
    };
    let expires_at = document::time(answer.expire_time.as_ref());
    Ok(Answer::one(caller)
        .with("server", context.target()?.server.into())
        .with("expires_at", expires_at.into()))
}
