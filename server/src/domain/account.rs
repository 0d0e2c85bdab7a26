//! Accounts and sessions: their names, secrets and limits.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};

use super::{
    id::{PointCode, RecordId},
    policy::Role,
    text::Invalid,
    time::Time,
};

/// Longest user name, in characters.
pub const USER_NAME_MAX: usize = 64;
/// Shortest password, in characters (ASVS 5.0, 6.2.1); what makes guessing hopeless besides it is
/// that failed sign-ins are slowed.
pub const PASSWORD_MIN: usize = 8;
/// Longest password, in bytes: bounds what one attempt can make the server hash.
pub const PASSWORD_MAX: usize = 1_024;

/// A session ends after this time without a call.
pub const SESSION_IDLE_MS: i64 = 15 * 60 * 1_000;
/// A session ends this long after sign-in, however busy it was.
pub const SESSION_MS: i64 = 12 * 60 * 60 * 1_000;

/// Sixteen bytes that name an account on its node; they leave it nowhere.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AccountId(pub [u8; 16]);

/// Somebody who can sign in here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    pub id: AccountId,
    pub name: String,
    pub role: Role,
    pub point: PointCode,
    pub created: Time,
    /// Disabled for good since then.
    pub disabled: Option<Time>,
    /// The record of the person whose account it is; members only.
    pub member: Option<RecordId>,
    /// Sign-in also needs a one-time code.
    pub otp: bool,
    /// Somebody else has set the password, and its owner has not changed it yet.
    pub password_given: bool,
    /// Who has set the password last, other than its owner, as the audit names actors. Empty: nobody,
    /// or the node's operator.
    pub password_by: String,
    /// Who else has made sure since then that the account is in its owner's hands.
    pub confirmed_by: String,
    /// Roles besides the first, also those that are over or have yet to begin.
    pub grants: Vec<RoleGrant>,
}

/// Whether what somebody says here is the word of the person whose account it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OwnWord {
    /// It is.
    Own,
    /// Somebody else has set the password and knows it as well.
    Given,
    /// The password was changed since then, by whoever knew it: nobody but who gave it has seen by whom.
    Unconfirmed,
}

impl Account {
    pub fn own_word(&self) -> OwnWord {
        match (self.password_given, self.password_by.is_empty(), self.confirmed_by.is_empty()) {
            (true, _, _) => OwnWord::Given,
            (false, false, true) => OwnWord::Unconfirmed,
            (false, _, _) => OwnWord::Own,
        }
    }
}

/// Roles that one account has besides the first.
pub const GRANTS_MAX: usize = 32;
/// Categories that one role is limited to.
pub const CATEGORIES_MAX: usize = 32;

/// A role that somebody has been given, for a while or for good.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoleGrant {
    pub role: Role,
    pub point: PointCode,
    /// Categories of help requests that it is limited to; empty: all.
    pub categories: Vec<String>,
    pub from: Time,
    /// Before.
    pub to: Option<Time>,
    /// Who gave it, as the audit names actors.
    pub granted_by: String,
}

impl RoleGrant {
    pub fn holds_at(&self, now: Time) -> bool {
        self.from <= now && self.to.is_none_or(|to| now < to)
    }
}

/// Checks a user name; upper and lower case are the same.
pub fn user_name(text: &str, field: &str) -> Result<String, Invalid> {
    let name = text.to_lowercase();
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '@');
    if name.is_empty() {
        return Err(Invalid::new(field, "required"));
    }
    if name.chars().count() > USER_NAME_MAX {
        return Err(Invalid::new(field, "too_long")
            .hint(format_args!("at most {USER_NAME_MAX} characters")));
    }
    if !name.chars().all(allowed) {
        return Err(Invalid::new(field, "not_a_user_name").hint("letters, digits and .-_@"));
    }
    Ok(name)
}

/// Checks a password that somebody wants to have.
pub fn new_password(text: &str, field: &str) -> Result<(), Invalid> {
    if text.chars().count() < PASSWORD_MIN {
        return Err(Invalid::new(field, "too_short")
            .hint(format_args!("at least {PASSWORD_MIN} characters")));
    }
    if text.len() > PASSWORD_MAX {
        return Err(
            Invalid::new(field, "too_long").hint(format_args!("at most {PASSWORD_MAX} bytes"))
        );
    }
    Ok(())
}

/// What a signed-in client sends with every call. It says nothing, and only its hash is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionToken([u8; 32]);

impl SessionToken {
    /// From 32 fresh random bytes.
    pub fn from_random(random: [u8; 32]) -> SessionToken {
        SessionToken(random)
    }

    pub fn parse(text: &str) -> Option<SessionToken> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        bytes.try_into().ok().map(SessionToken)
    }

    /// What the database knows of the token. A fast hash will do: 256 random bits are not guessed.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0).into()
    }

    /// The text that the client gets, once.
    pub fn reveal(&self) -> String {
        BASE64URL_NOPAD.encode(&self.0)
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_whatever_their_case() {
        assert_eq!(user_name("Admin.GZ@x", "name").unwrap(), "admin.gz@x");
        assert_eq!(user_name("王老师", "name").unwrap(), "王老师");
        for name in ["", "a b", "a\0", "a/b", &"x".repeat(65)] {
            assert!(user_name(name, "name").is_err(), "{name:?}");
        }
    }

    #[test]
    fn passwords_are_neither_short_nor_endless() {
        assert_eq!(new_password("1234567", "password").unwrap_err().reason, "too_short");
        assert_eq!(new_password(&"x".repeat(1_025), "password").unwrap_err().reason, "too_long");
        assert!(new_password("密码密码密码密码", "password").is_ok());
    }

    #[test]
    fn a_token_survives_its_text_and_nothing_else_is_one() {
        let token = SessionToken::from_random([7; 32]);
        assert_eq!(token.reveal().len(), 43);
        assert_eq!(SessionToken::parse(&token.reveal()), Some(token));
        for text in ["", "abc", "!!!", &"A".repeat(44)] {
            assert_eq!(SessionToken::parse(text), None);
        }
    }
}
