//! Who is asking. Every request has a caller; one that was not recognised is anonymous.
//!
//! A caller is put into the request by the policy layer, from the listener (operator), the
//! certificate (peer) or the session token (account), and never from anything the client says.

use tonic::metadata::MetadataMap;

use crate::domain::{
    account::AccountId,
    id::PointCode,
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

    /// How far the caller reaches, without refusing.
    pub fn reach(&self, operation: Operation) -> Reach {
        policy::reach(self.role(), operation)
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
