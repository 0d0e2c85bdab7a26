//! Accounts.

use serde_json::{Value, json};
use yizhan_proto::v1::{AccountRole, RoleGrant, User};

use super::{time, value_of, word};
use crate::{answer::Column, error::Result};

pub const COLUMNS: &[Column] = &["name", "role", "point", "state", "created_at"];

pub fn user(user: &User) -> Value {
    json!({
        "name": user.name,
        "role": word(user.role, AccountRole::as_str_name, "ACCOUNT_ROLE_"),
        "point": user.point,
        "state": if user.disable_time.is_some() { "disabled" } else { "active" },
        "created_at": time(user.create_time.as_ref()),
        "disabled_at": time(user.disable_time.as_ref()),
        "member": user.member,
        "otp": user.otp,
        "password_given": user.password_given,
        "password_by": user.password_by,
        "confirmed_by": user.confirmed_by,
        "grants": user.grants.iter().map(grant).collect::<Vec<_>>(),
    })
}

fn grant(grant: &RoleGrant) -> Value {
    json!({
        "role": word(grant.role, AccountRole::as_str_name, "ACCOUNT_ROLE_"),
        "point": grant.point,
        "categories": grant.categories,
        "from": time(grant.from_time.as_ref()),
        "to": time(grant.to_time.as_ref()),
        "granted_by": grant.granted_by,
    })
}

/// The number of a role's name.
pub fn role(name: &str) -> Result<i32> {
    value_of(name, AccountRole::from_str_name, "ACCOUNT_ROLE_", "role")
}
