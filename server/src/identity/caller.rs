//! Who is asking. Every request has a caller; one that was not recognised is anonymous.
//!
//! A caller is put into the request by the policy layer, from the listener (operator), the
//! certificate (peer) or the session token (account), and never from anything the client says.

use tonic::metadata::MetadataMap;

use crate::domain::{
    account::{AccountId, RoleGrant},
    audit::{AccessPurpose, Author, Deed},
    id::{PointCode, RecordId},
    policy::{self, Operation, Reach, Role},
    time::Time,
};

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Caller {
    Anonymous,
    Account {
        account: AccountId,
        name: String,
        role: Role,
        point: PointCode,
        /// Roles that it has besides, of those in force now.
        also: Vec<RoleGrant>,
        /// The record of the person whose account it is; members only.
        member: Option<RecordId>,
        /// Why the caller calls, if it says so.
        purpose: Option<AccessPurpose>,
        /// When the session ends at the latest.
        expires: Time,
    },
    /// Another node of the network, by its certificate.
    Peer {
        point: PointCode,
    },
    /// Whoever opened the node's local socket.
    Operator {
        point: PointCode,
    },
}

/// Why a caller may not go on. Alike for every operation and every record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// Signing in might help.
    Unauthenticated,
    Denied,
}

impl Caller {
    /// The caller that the policy layer found.
    pub fn of<T>(request: &tonic::Request<T>) -> Caller {
        request.extensions().get().cloned().unwrap_or(Caller::Anonymous)
    }

    pub fn role(&self) -> Role {
        match self {
            Caller::Anonymous => Role::Client,
            Caller::Account { role, .. } => *role,
            Caller::Peer { .. } => Role::Peer,
            Caller::Operator { .. } => Role::Operator,
        }
    }

    /// The point whose records `Reach::OwnPoint` means.
    pub fn point(&self) -> Option<&PointCode> {
        match self {
            Caller::Anonymous => None,
            Caller::Account { point, .. } | Caller::Peer { point } | Caller::Operator { point } => {
                Some(point)
            }
        }
    }

    /// How far the caller reaches, without refusing: as far as the widest of its roles.
    pub fn reach(&self, operation: Operation) -> Reach {
        let first = policy::reach(self.role(), operation);
        let Caller::Account { also, point, .. } = self else { return first };
        let here = also.iter().filter(|grant| grant.point == *point);
        here.map(|grant| policy::reach(grant.role, operation)).fold(first, Reach::max)
    }

    /// The person whose account it is.
    pub fn member(&self) -> Option<RecordId> {
        match self {
            Caller::Account { member, .. } => *member,
            _ => None,
        }
    }

    /// Who the caller is, in the audit. A member's account has a name that may be the person's.
    pub fn author(&self) -> Author {
        let actor = match self {
            Caller::Anonymous => "anonymous".to_owned(),
            Caller::Account { account, role: Role::Member, .. } => {
                format!("member {}", hex::encode(account.0))
            }
            Caller::Account { name, .. } => name.clone(),
            Caller::Peer { point } => format!("peer {point}"),
            Caller::Operator { .. } => "operator".to_owned(),
        };
        let point = self.point().map(PointCode::to_string).unwrap_or_default();
        Author { actor, role: self.role().name(), point }
    }

    /// What the caller does and why, for the audit.
    pub fn deed(&self, operation: Operation) -> Deed {
        let stated = match self {
            Caller::Account { purpose, role, .. } => match role {
                Role::Member => Some(AccessPurpose::Own),
                _ => *purpose,
            },
            _ => None,
        };
        let purpose = stated.unwrap_or_else(|| AccessPurpose::of(operation)).name();
        Deed { author: self.author(), operation: operation.name(), purpose }
    }

    /// How far the caller reaches; refused if nowhere. Asked before anything is looked up.
    pub fn may(&self, operation: Operation) -> Result<Reach, Refused> {
        match (self.reach(operation), self) {
            (Reach::Nothing, Caller::Anonymous) => Err(Refused::Unauthenticated),
            (Reach::Nothing, _) => Err(Refused::Denied),
            (reach, _) => Ok(reach),
        }
    }
}

/// The session token of `authorization: Bearer <token>`.
pub fn bearer(metadata: &MetadataMap) -> Option<&str> {
    token_of(metadata.get("authorization")?.to_str().ok()?)
}

/// The token of an `authorization` header's value.
pub fn token_of(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_caller_is_asked_to_sign_in_and_a_known_one_is_denied() {
        let operator = Caller::Operator { point: "HK".parse().unwrap() };
        assert_eq!(Caller::Anonymous.may(Operation::Import), Err(Refused::Unauthenticated));
        assert_eq!(operator.may(Operation::Import), Err(Refused::Denied));
        assert_eq!(operator.may(Operation::KeepNode), Ok(Reach::Everything));
    }

    #[test]
    fn a_token_is_read_from_a_bearer_header_only() {
        let mut metadata = MetadataMap::new();
        assert_eq!(bearer(&metadata), None);
        metadata.insert("authorization", "Basic abc".parse().unwrap());
        assert_eq!(bearer(&metadata), None);
        metadata.insert("authorization", "bearer abc".parse().unwrap());
        assert_eq!(bearer(&metadata), Some("abc"));
    }
}
