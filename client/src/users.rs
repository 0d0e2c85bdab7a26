//! Administering accounts: the same for `yizhan user` over the network and `yizhand user` on the
//! node's local socket.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use yizhan_proto::v1::{
    ConfirmUserRequest, CreateUserRequest, DisableUserRequest, GetCallerRequest, ListUsersRequest,
    SetOtpRequest, SetPasswordRequest, SetRoleRequest, User,
};

use crate::{
    answer::Answer,
    channel::{Node, once, repeating},
    document::{
        account::{COLUMNS, role, user},
        parse_time,
    },
    error::{Error, Result, present},
    pages::{Page, Paging},
    progress::note,
    secret::password,
};

#[derive(Args)]
pub struct Add {
    /// Name of the account: letters, digits and .-_@
    #[arg(long)]
    name: String,
    /// member, volunteer, staff, point_admin, provincial_admin or auditor
    #[arg(long)]
    role: Option<String>,
    /// Code of the point; the own one if not given
    #[arg(long, default_value = "")]
    point: String,
    /// Record id of the person whose account it is; role member only
    #[arg(long, default_value = "", value_name = "ID")]
    member: String,
    /// File whose first line is the password; asked for if not given
    #[arg(long, value_name = "F")]
    password_file: Option<PathBuf>,
}

#[derive(Args)]
pub struct List {
    #[command(flatten)]
    paging: Paging,
}

#[derive(Args)]
pub struct Disable {
    /// Name of the account
    #[arg(long)]
    name: String,
}

#[derive(Args)]
pub struct Confirm {
    /// Name of the account
    #[arg(long)]
    name: String,
}

#[derive(Args)]
pub struct SetRole {
    /// Name of the account
    #[arg(long)]
    name: String,
    /// The new role
    #[arg(long)]
    role: String,
    /// Give it besides the first one
    #[arg(long)]
    also: bool,
    /// Take such a one away
    #[arg(long, conflicts_with = "also")]
    ended: bool,
    /// Code of the point that it is for; the account's own if not given
    #[arg(long, default_value = "", value_name = "POINT")]
    point: String,
    /// Categories of help requests that it is limited to
    #[arg(long, value_delimiter = ',', value_name = "C,..")]
    categories: Vec<String>,
    /// From this moment on
    #[arg(long, value_name = "T")]
    from: Option<String>,
    /// Until this moment
    #[arg(long, value_name = "T")]
    to: Option<String>,
}

#[derive(Args)]
pub struct Otp {
    /// Six digits of the new secret, which turn codes on; of the one in use, to turn them off
    #[arg(long, default_value = "", value_name = "CODE")]
    code: String,
    /// Turn codes off
    #[arg(long)]
    off: bool,
    /// File whose first line is your password; asked for if not given
    #[arg(long, value_name = "F")]
    password_file: Option<PathBuf>,
}

#[derive(Args)]
pub struct Password {
    /// Name of the account
    #[arg(long, default_value = "")]
    name: String,
    /// File whose first line is the new password; asked for if not given
    #[arg(long, value_name = "F")]
    password_file: Option<PathBuf>,
    /// File whose first line is the current password; for the own account only
    #[arg(long, value_name = "F")]
    current_password_file: Option<PathBuf>,
}

/// Adds an account, with `role` if the arguments name none.
pub async fn add(node: &Node, add: Add, role_default: &str) -> Result<Answer> {
    let role = role(add.role.as_deref().unwrap_or(role_default))?;
    let password = password(add.password_file.as_deref(), "Password of the new account")?;
    let (name, point, member) = (add.name, add.point, add.member);
    let request = CreateUserRequest { name, password, role, point, member };
    let added = once(node.accounts().create_user(request)).await?;
    if !added.approval.is_empty() {
        return Ok(needs_approval(added.approval));
    }
    answer(added.user)
}

pub async fn list(node: &Node, list: List) -> Result<Answer> {
    let fetch = async |page_size, page_token: String| {
        let request = ListUsersRequest { page_size, page_token };
        let answer = repeating(|| {
            let (mut accounts, request) = (node.accounts(), request.clone());
            async move { accounts.list_users(request).await }
        });
        let answer = answer.await?;
        Ok(Page { items: answer.users, next_page_token: answer.next_page_token, rest: () })
    };
    let page = list.paging.fetch(fetch).await?;
    Ok(Answer::list(page.items.iter().map(user).collect(), page.next_page_token, COLUMNS))
}

pub async fn disable(node: &Node, disable: Disable) -> Result<Answer> {
    let answered = repeating(|| {
        let mut accounts = node.accounts();
        let request = DisableUserRequest { name: disable.name.clone() };
        async move { accounts.disable_user(request).await }
    });
    let answered = answered.await?;
    if !answered.approval.is_empty() {
        return Ok(needs_approval(answered.approval));
    }
    answer(answered.user)
}

/// Says that a member's account is in the member's own hands.
pub async fn confirm(node: &Node, confirm: Confirm) -> Result<Answer> {
    let answered = repeating(|| {
        let mut accounts = node.accounts();
        let request = ConfirmUserRequest { name: confirm.name.clone() };
        async move { accounts.confirm_user(request).await }
    });
    answer(answered.await?.user)
}

pub async fn set_role(node: &Node, set: SetRole) -> Result<Answer> {
    let moment = |text: &Option<String>, field| {
        text.as_deref().map(|text| parse_time(text, field)).transpose()
    };
    let request = SetRoleRequest {
        role: role(&set.role)?,
        from_time: moment(&set.from, "from")?,
        to_time: moment(&set.to, "to")?,
        name: set.name,
        also: set.also,
        ended: set.ended,
        point: set.point,
        categories: set.categories,
    };
    let changed = once(node.accounts().set_role(request)).await?;
    if !changed.approval.is_empty() {
        return Ok(needs_approval(changed.approval));
    }
    answer(changed.user)
}

/// Nothing has changed: a second person has to agree.
pub fn needs_approval(id: String) -> Answer {
    note(&format!("a second person has to agree: yizhan approval give {id}"));
    Answer::one(json!({"approval": id}))
}

/// Turns one's own one-time codes on or off.
pub async fn set_otp(node: &Node, set: Otp) -> Result<Answer> {
    let current_password = password(set.password_file.as_deref(), "Current password")?;
    let request = SetOtpRequest { current_password, code: set.code, off: set.off };
    let codes = once(node.accounts().set_otp(request)).await?;
    let (secret, url) = (codes.secret, codes.url);
    Ok(Answer::one(json!({"active": codes.active, "secret": secret, "url": url})))
}

/// Changes a password. For the own account the current one is asked for as well.
pub async fn set_password(node: &Node, set: Password) -> Result<Answer> {
    let caller = once(node.accounts().get_caller(GetCallerRequest {})).await?.user;
    let own = caller.map(|caller| caller.name).unwrap_or_default();
    let name = match set.name.to_lowercase() {
        name if !name.is_empty() => name,
        _ if !own.is_empty() => own.clone(),
        _ => return Err(Error::usage("whose password is it?").advice("give --name N")),
    };
    let current_password = match name == own {
        true => password(set.current_password_file.as_deref(), "Current password")?,
        false => String::new(),
    };
    let new_password = password(set.password_file.as_deref(), "New password")?;
    let request = SetPasswordRequest { name: name.clone(), new_password, current_password };
    let set = once(node.accounts().set_password(request)).await?;
    if !set.approval.is_empty() {
        return Ok(needs_approval(set.approval));
    }
    Ok(Answer::one(json!({"name": name, "changed": true})))
}

fn answer(changed: Option<User>) -> Result<Answer> {
    Ok(Answer::one(user(&present(changed)?)))
}
