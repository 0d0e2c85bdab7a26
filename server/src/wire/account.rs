//! Accounts.

use yizhan_proto::v1::{self, AccountRole};

use super::value::time_message;
use crate::domain::{
    account::{Account, RoleGrant},
    policy::Role,
    text::Invalid,
};

impl From<Account> for v1::User {
    fn from(account: Account) -> v1::User {
        v1::User {
            name: account.name,
            role: role_message(account.role).into(),
            point: account.point.to_string(),
            create_time: Some(time_message(account.created)),
            disable_time: account.disabled.map(time_message),
            grants: account.grants.into_iter().map(v1::RoleGrant::from).collect(),
            member: account.member.map(|member| member.to_string()).unwrap_or_default(),
            otp: account.otp,
            password_given: account.password_given,
            password_by: account.password_by,
            confirmed_by: account.confirmed_by,
        }
    }
}

impl From<RoleGrant> for v1::RoleGrant {
    fn from(grant: RoleGrant) -> v1::RoleGrant {
        v1::RoleGrant {
            role: role_message(grant.role).into(),
            point: grant.point.to_string(),
            categories: grant.categories,
            from_time: Some(time_message(grant.from)),
            to_time: grant.to.map(time_message),
            granted_by: grant.granted_by,
        }
    }
}

/// The role of an account that a message names.
pub fn role(number: i32, field: &str) -> Result<Role, Invalid> {
    match AccountRole::try_from(number) {
        Ok(AccountRole::Member) => Ok(Role::Member),
        Ok(AccountRole::Volunteer) => Ok(Role::Volunteer),
        Ok(AccountRole::Staff) => Ok(Role::Staff),
        Ok(AccountRole::PointAdmin) => Ok(Role::PointAdmin),
        Ok(AccountRole::ProvincialAdmin) => Ok(Role::ProvincialAdmin),
        Ok(AccountRole::Auditor) => Ok(Role::Auditor),
        Ok(AccountRole::Unspecified) => Err(Invalid::new(field, "required")),
        Err(_) => Err(Invalid::new(field, "unknown_role")),
    }
}

/// What a message says of a role; nothing of those that no account has.
pub fn role_message(role: Role) -> AccountRole {
    match role {
        Role::Member => AccountRole::Member,
        Role::Volunteer => AccountRole::Volunteer,
        Role::Staff => AccountRole::Staff,
        Role::PointAdmin => AccountRole::PointAdmin,
        Role::ProvincialAdmin => AccountRole::ProvincialAdmin,
        Role::Auditor => AccountRole::Auditor,
        Role::Client | Role::Peer | Role::Operator => AccountRole::Unspecified,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roles_of_accounts_survive_the_wire_and_no_other_does() {
        for known in Role::ALL {
            let read = role(role_message(known).into(), "role").ok();
            assert_eq!(read.is_some(), Role::OF_ACCOUNTS.contains(&known), "{known:?}");
            assert!(read.is_none_or(|read| read == known));
        }
    }
}
