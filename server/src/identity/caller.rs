//! Who is asking. Every request has a caller; one that was not recognised is anonymous.
//!
//! A caller is put into the request by the policy layer, from the listener (operator), the
//! certificate (peer) or the session token (account), and never from anything the client says.

use tonic::metadata::MetadataMap;

use crate::domain::{
    account::{AccountId, OwnWord, RoleGrant},
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
        /// The record of the person whose account it is.
        member: Option<RecordId>,
        /// Whether it speaks for the person whose account it is.
        own_word: OwnWord,
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

/// A role that a caller has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held<'a> {
    pub role: Role,
    /// The point that it is for; none for whoever belongs to none.
    pub point: Option<&'a PointCode>,
    /// Categories of help requests that it is limited to; empty: all.
    pub categories: &'a [String],
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

    /// Every role that the caller has now. Whoever has a record here is also a member, whatever else
    /// it is.
    pub fn roles(&self) -> impl Iterator<Item = Held<'_>> {
        let also: &[RoleGrant] = match self {
            Caller::Account { also, .. } => also,
            _ => &[],
        };
        let here = |role| Held { role, point: self.point(), categories: &[] };
        let also = also.iter().map(|grant| Held {
            role: grant.role,
            point: Some(&grant.point),
            categories: &grant.categories,
        });
        let person = self.member().map(|_| here(Role::Member));
        std::iter::once(here(self.role())).chain(person).chain(also)
    }

    /// The roles that it has at its own point.
    fn roles_here(&self) -> impl Iterator<Item = Role> {
        self.roles().filter(|held| held.point == self.point()).map(|held| held.role)
    }

    pub fn holds(&self, role: Role, point: &PointCode) -> bool {
        self.roles().any(|held| held.role == role && held.point == Some(point))
    }

    /// How far the caller reaches, without refusing: as far as the widest of its roles.
    pub fn reach(&self, operation: Operation) -> Reach {
        let reaches = self.roles_here().map(|role| policy::reach(role, operation));
        reaches.fold(Reach::Nothing, Reach::max)
    }

    /// How many persons it takes where the caller does this to others: as many as the strictest of
    /// the roles by which it reaches them, at whichever point. One role more never takes one less.
    pub fn persons(&self, operation: Operation) -> u8 {
        let wide = self.roles().filter(|held| policy::reach(held.role, operation) > Reach::Own);
        wide.map(|held| policy::persons(held.role, operation)).max().unwrap_or(1)
    }

    /// The person whose account it is.
    pub fn member(&self) -> Option<RecordId> {
        match self {
            Caller::Account { member, .. } => *member,
            _ => None,
        }
    }

    /// Is this the caller's own record? It lies where the account does, and nowhere else.
    pub fn is_person(&self, home: &PointCode, record: RecordId) -> bool {
        self.member() == Some(record) && self.point() == Some(home)
    }

    /// Is this the caller's own account? An empty name is.
    pub fn is_named(&self, name: &str) -> bool {
        match self {
            Caller::Account { name: own, .. } => name.is_empty() || name.to_lowercase() == *own,
            Caller::Anonymous | Caller::Peer { .. } | Caller::Operator { .. } => false,
        }
    }

    /// Is it the owner who signs in here? Whoever has given the password may have signed in with it.
    pub fn own_word(&self) -> OwnWord {
        match self {
            Caller::Account { own_word, .. } => *own_word,
            Caller::Anonymous | Caller::Peer { .. } | Caller::Operator { .. } => OwnWord::Own,
        }
    }

    /// The role by which the caller does something: the first of those that reach furthest.
    fn acting(&self, operation: Operation) -> Role {
        let reach = self.reach(operation);
        let mut roles = self.roles_here();
        roles.find(|role| policy::reach(*role, operation) == reach).unwrap_or(self.role())
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
        let role = self.acting(operation);
        let stated = match self {
            _ if role == Role::Member => Some(AccessPurpose::Own),
            // Nobody looks at others for the own record's sake.
            Caller::Account { purpose, .. } => purpose.filter(|one| *one != AccessPurpose::Own),
            _ => None,
        };
        let purpose = stated.unwrap_or_else(|| AccessPurpose::of(operation)).name();
        let author = Author { role: role.name(), ..self.author() };
        Deed { author, operation: operation.name(), purpose }
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

    fn account(role: Role, also: &[(Role, &str)], member: Option<RecordId>) -> Caller {
        let grant = |(role, point): &(Role, &str)| RoleGrant {
            role: *role,
            point: point.parse().unwrap(),
            categories: Vec::new(),
            from: Time(0),
            to: None,
            granted_by: String::new(),
        };
        Caller::Account {
            account: AccountId([1; 16]),
            name: "ann".into(),
            role,
            point: "HK".parse().unwrap(),
            also: also.iter().map(grant).collect(),
            member,
            own_word: OwnWord::Own,
            purpose: None,
            expires: Time(i64::MAX),
        }
    }

    #[test]
    fn no_second_role_makes_two_persons_one() {
        let own = Some(RecordId([7; 16]));
        for &operation in Operation::ALL {
            for first in Role::OF_ACCOUNTS {
                for second in Role::OF_ACCOUNTS {
                    let wide = |role: &Role| policy::reach(*role, operation) > Reach::Own;
                    let needed = [first, second].into_iter().filter(wide);
                    let needed = needed.map(|role| policy::persons(role, operation)).max();
                    for (point, member) in [("HK", None), ("GB-LON", None), ("HK", own)] {
                        let both = account(first, &[(second, point)], member);
                        let persons = both.persons(operation);
                        assert_eq!(persons, needed.unwrap_or(1), "{operation:?} as {both:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_record_is_its_persons_own_at_the_accounts_point_alone() {
        let (own, other) = (RecordId([7; 16]), RecordId([8; 16]));
        let (home, elsewhere) = ("HK".parse().unwrap(), "GB-LON".parse().unwrap());
        for role in Role::OF_ACCOUNTS {
            let caller = account(role, &[], Some(own));
            assert!(caller.is_person(&home, own));
            assert!(!caller.is_person(&elsewhere, own) && !caller.is_person(&home, other));
            assert!(caller.may(Operation::AccessMember).is_ok(), "{role:?}");
        }
    }

    #[test]
    fn the_audit_names_the_role_that_reached_and_no_purpose_that_cannot_be() {
        let own = Some(RecordId([7; 16]));
        let both = account(Role::Member, &[(Role::Staff, "HK")], own);
        let reading = both.deed(Operation::ReadMember);
        assert_eq!((reading.author.role, reading.purpose), ("staff", "service"));
        let person = account(Role::Volunteer, &[], own).deed(Operation::ReadMember);
        assert_eq!((person.author.role, person.purpose), ("member", "own"));
        let mut pretending = account(Role::Staff, &[], None);
        if let Caller::Account { purpose, .. } = &mut pretending {
            *purpose = Some(AccessPurpose::Own);
        }
        assert_eq!(pretending.deed(Operation::ReadCard).purpose, "matching");
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
