//! Join tokens: `yz1.<id>.<secret>.<authority fingerprint>.<roster sequence>.<point code>`.
//!
//! The secret is shown once, to the person who asked for the token; it is stored hashed, never
//! logged, and neither `Debug` nor `Display` of a token says it.

use std::{fmt, str::FromStr, sync::LazyLock, time::Duration};

use data_encoding::{Encoding, Specification};
use rand::Rng;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{error::Error, spki::Fingerprint};
use crate::{
    domain::{id::PointCode, text::Invalid, time::Time},
    store::tokens::StoredToken,
};

pub const TTL_DEFAULT: Duration = Duration::from_secs(10 * 60);
/// For a point whose operator sleeps when ours is awake.
pub const TTL_MAX: Duration = Duration::from_secs(24 * 3600);
/// Wrong secrets after which a token is worth nothing.
pub const FAILURES_MAX: i64 = 5;
/// Longest token, in bytes.
pub const TOKEN_MAX: usize = 256;

const VERSION: &str = "yz1";
const SECRET_CONTEXT: &[u8] = b"yizhan 2026 join token secret\0";

/// How long may a token live?
pub fn check_ttl(ttl: Duration) -> Result<(), Invalid> {
    match ttl.is_zero() || ttl > TTL_MAX {
        true => Err(Invalid::new("ttl", "out_of_range").hint("more than 0, at most 24 h")),
        false => Ok(()),
    }
}

/// Crockford's base 32: no I, L, O, U, so that a token can be read out on the telephone.
static CROCKFORD: LazyLock<Encoding> = LazyLock::new(|| {
    let mut specification = Specification::new();
    specification.symbols.push_str("0123456789ABCDEFGHJKMNPQRSTVWXYZ");
    specification.translate.from.push_str("abcdefghjkmnpqrstvwxyzILOilo");
    specification.translate.to.push_str("ABCDEFGHJKMNPQRSTVWXYZ110110");
    specification.encoding().expect("BUG: Crockford's alphabet is one")
});

/// A token in full, as the joining side holds it.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    pub id: [u8; 5],
    secret: Zeroizing<[u8; 16]>,
    /// What the joining side pins.
    pub authority: Fingerprint,
    /// An older roster is refused.
    pub roster_sequence: u64,
    pub point: PointCode,
}

impl JoinToken {
    /// Makes a token, and what is stored of it.
    pub fn make(
        point: PointCode,
        authority: Fingerprint,
        roster_sequence: u64,
        ttl: Duration,
        now: Time,
    ) -> Result<(JoinToken, StoredToken), Invalid> {
        check_ttl(ttl)?;
        let mut secret = Zeroizing::new([0; 16]);
        rand::rng().fill_bytes(secret.as_mut());
        let id = rand::random();
        let token = JoinToken { id, secret, authority, roster_sequence, point };
        let ttl_us = i64::try_from(ttl.as_micros()).expect("BUG: 24 h fit");
        let stored = StoredToken {
            id,
            secret_sha256: token.secret_sha256(),
            point: token.point.clone(),
            public_host: None,
            created: now,
            expires: Time(now.0.saturating_add(ttl_us)),
            failures: 0,
            used_by: None,
            answer: None,
        };
        Ok((token, stored))
    }

    /// The whole token, secret included: for the person who asked for it, and for the wire.
    pub fn reveal(&self) -> Zeroizing<String> {
        let secret = Zeroizing::new(CROCKFORD.encode(self.secret.as_ref()));
        Zeroizing::new(format!(
            "{VERSION}.{}.{}.{}.{}.{}",
            CROCKFORD.encode(&self.id),
            *secret,
            CROCKFORD.encode(&self.authority.0),
            self.roster_sequence,
            self.point,
        ))
    }

    pub fn secret_sha256(&self) -> [u8; 32] {
        Sha256::new().chain_update(SECRET_CONTEXT).chain_update(*self.secret).finalize().into()
    }
}

impl FromStr for JoinToken {
    type Err = Error;

    fn from_str(text: &str) -> Result<JoinToken, Error> {
        let wrong = || Error::malformed("the join token");
        if text.len() > TOKEN_MAX {
            return Err(wrong());
        }
        let parts: Vec<&str> = text.trim().split('.').collect();
        let [VERSION, id, secret, authority, sequence, point] = parts[..] else {
            return Err(wrong());
        };
        if sequence.is_empty() || !sequence.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        Ok(JoinToken {
            id: *part::<5>(id).ok_or_else(wrong)?,
            secret: part(secret).ok_or_else(wrong)?,
            authority: Fingerprint(*part::<32>(authority).ok_or_else(wrong)?),
            roster_sequence: sequence.parse().map_err(|_| wrong())?,
            point: point.parse().map_err(|_| wrong())?,
        })
    }
}

fn part<const N: usize>(text: &str) -> Option<Zeroizing<[u8; N]>> {
    let bytes = Zeroizing::new(CROCKFORD.decode(text.as_bytes()).ok()?);
    bytes.as_slice().try_into().ok().map(Zeroizing::new)
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinToken({} for {})", CROCKFORD.encode(&self.id), self.point)
    }
}

/// What a presented token is worth.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Unused: to be claimed.
    Fresh,
    /// Used by this very key. The answer, if it was ready; if not, the work is done again.
    Again {
        answer: Option<Vec<u8>>,
    },
    /// The secret is wrong, or there is no such token: alike, so that an id alone tells nothing.
    /// A failure is to be counted if there is one.
    Unknown,
    Burnt,
    Expired,
    Used,
    OtherPoint,
}

/// Judges a presented token. Pure: what has to be written, the caller writes.
pub fn judge(
    stored: Option<&StoredToken>,
    presented: &JoinToken,
    tls_key_sha256: &[u8; 32],
    now: Time,
) -> Verdict {
    let Some(stored) = stored else { return Verdict::Unknown };
    if stored.failures >= FAILURES_MAX {
        return Verdict::Burnt;
    }
    // Hashes of 128 random bits: where a comparison stops early tells nothing about the secret.
    if stored.secret_sha256 != presented.secret_sha256() {
        return Verdict::Unknown;
    }
    if stored.point != presented.point {
        return Verdict::OtherPoint;
    }
    if now >= stored.expires {
        return Verdict::Expired;
    }
    match &stored.used_by {
        None => Verdict::Fresh,
        Some(key) if key == tls_key_sha256 => Verdict::Again { answer: stored.answer.clone() },
        Some(_) => Verdict::Used,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_000_000);

    fn made() -> (JoinToken, StoredToken) {
        let point = "GB-LON".parse().unwrap();
        JoinToken::make(point, Fingerprint([7; 32]), 42, TTL_DEFAULT, NOW).unwrap()
    }

    #[test]
    fn a_token_survives_paper_and_telephone() {
        let (token, _) = made();
        let text = token.reveal();
        assert_eq!(text.parse::<JoinToken>().unwrap(), token);
        let mut parts: Vec<String> = text.split('.').map(str::to_owned).collect();
        parts[2] = parts[2].to_ascii_lowercase().replace('0', "o").replace('1', "l");
        assert_eq!(parts.join(".").parse::<JoinToken>().unwrap(), token);
        assert_eq!(format!(" {}\n", *text).parse::<JoinToken>().unwrap(), token);
    }

    #[test]
    fn a_truncated_or_altered_token_is_no_token_or_another() {
        let (token, stored) = made();
        let text = token.reveal();
        for end in 0..text.len() {
            match text[..end].parse::<JoinToken>() {
                Err(_) => {}
                Ok(cut) => {
                    let verdict = judge(Some(&stored), &cut, &[0; 32], NOW);
                    assert_ne!(verdict, Verdict::Fresh, "{end}");
                }
            }
        }
        for wrong in ["yz2.", "yz1", "yz1.....", "yz1.0.0.0.0.GB-LON"] {
            assert!(wrong.parse::<JoinToken>().is_err(), "{wrong}");
        }
        assert!("x".repeat(1 << 20).parse::<JoinToken>().is_err());
        assert!(text.replace(".42.", ".+42.").parse::<JoinToken>().is_err());
    }

    #[test]
    fn a_token_does_not_show_its_secret() {
        let (token, stored) = made();
        let secret = text_of_secret(&token);
        assert!(token.reveal().contains(&secret));
        assert!(!format!("{token:?} {stored:?}").contains(&secret));
        assert_ne!(stored.secret_sha256[..16], *token.secret);
    }

    fn text_of_secret(token: &JoinToken) -> String {
        CROCKFORD.encode(token.secret.as_ref())
    }

    #[test]
    fn a_token_is_worth_what_the_table_says() {
        let (token, stored) = made();
        let (other_secret, _) = made();
        let other_secret = JoinToken { id: token.id, ..other_secret };
        let other_point = JoinToken { point: "HK".parse().unwrap(), ..token.clone() };
        let key = [1; 32];
        let used = StoredToken { used_by: Some(key), ..stored.clone() };
        let answered = StoredToken { answer: Some(b"answer".to_vec()), ..used.clone() };
        let burnt = StoredToken { failures: FAILURES_MAX, ..stored.clone() };
        let almost = StoredToken { failures: FAILURES_MAX - 1, ..stored.clone() };
        let late = stored.expires;
        let soon = Time(late.0 - 1);
        for (name, stored, presented, key, now, verdict) in [
            ("fresh", Some(&stored), &token, key, NOW, Verdict::Fresh),
            ("last moment", Some(&stored), &token, key, soon, Verdict::Fresh),
            ("expired", Some(&stored), &token, key, late, Verdict::Expired),
            ("no such token", None, &token, key, NOW, Verdict::Unknown),
            ("wrong secret", Some(&stored), &other_secret, key, NOW, Verdict::Unknown),
            ("other point", Some(&stored), &other_point, key, NOW, Verdict::OtherPoint),
            ("almost burnt", Some(&almost), &token, key, NOW, Verdict::Fresh),
            ("burnt", Some(&burnt), &token, key, NOW, Verdict::Burnt),
            ("again, unanswered", Some(&used), &token, key, NOW, Verdict::Again { answer: None }),
            (
                "again",
                Some(&answered),
                &token,
                key,
                NOW,
                Verdict::Again { answer: Some(b"answer".to_vec()) },
            ),
            ("again, too late", Some(&answered), &token, key, late, Verdict::Expired),
            ("other key", Some(&answered), &token, [2; 32], NOW, Verdict::Used),
        ] {
            assert_eq!(judge(stored, presented, &key, now), verdict, "{name}");
        }
    }

    #[test]
    fn a_token_lives_a_day_at_most() {
        let make = |ttl| {
            JoinToken::make("HK".parse().unwrap(), Fingerprint([0; 32]), 0, ttl, NOW).map(|_| ())
        };
        assert!(make(TTL_MAX).is_ok());
        assert!(make(TTL_MAX + Duration::from_secs(1)).is_err());
        assert!(make(Duration::ZERO).is_err());
    }
}
