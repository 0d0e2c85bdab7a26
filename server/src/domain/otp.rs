//! One-time codes by the clock: RFC 6238 with its defaults (SHA-1, 30 s, six digits), which is what
//! authenticators understand.

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use super::time::Time;

/// Bytes of a secret (RFC 4226, 4: at least 128 bits, 160 recommended).
pub const SECRET: usize = 20;
const STEP_MS: i64 = 30_000;
/// Steps that clocks may be apart.
const SKEW: i64 = 1;

/// The step whose code this is, if it is one of now that was not taken before.
pub fn step_of(secret: &[u8], code: &str, now: Time, taken: Option<i64>) -> Option<i64> {
    let here = now.millis().div_euclid(STEP_MS);
    let given: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    let mut found = None;
    for step in here - SKEW..=here + SKEW {
        // All are looked at, so that the time taken says nothing.
        let same = same(self::code(secret, step).as_bytes(), given.as_bytes());
        if same && taken.is_none_or(|taken| taken < step) {
            found = Some(step);
        }
    }
    found
}

/// The code of a step.
pub fn code(secret: &[u8], step: i64) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret).expect("BUG: HMAC takes keys of any length");
    mac.update(&step.to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let at = usize::from(hash[hash.len() - 1] & 15);
    let word = u32::from_be_bytes([hash[at] & 0x7f, hash[at + 1], hash[at + 2], hash[at + 3]]);
    format!("{:06}", word % 1_000_000)
}

fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B, SHA-1, the last six of eight digits.
    #[test]
    fn codes_are_those_of_the_standard() {
        let secret = b"12345678901234567890";
        for (seconds, expected) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(code(secret, seconds / 30), expected);
        }
    }

    #[test]
    fn a_code_is_taken_once_and_in_time() {
        let secret = [7; SECRET];
        let now = Time::from_millis(1_000_000);
        let here = 1_000_000 / STEP_MS;
        let current = code(&secret, here);
        assert_eq!(step_of(&secret, &current, now, None), Some(here));
        assert_eq!(step_of(&secret, &current, now, Some(here)), None);
        assert_eq!(step_of(&secret, &code(&secret, here - 1), now, None), Some(here - 1));
        assert_eq!(step_of(&secret, &code(&secret, here - 1), now, Some(here)), None);
        assert_eq!(step_of(&secret, &code(&secret, here + 2), now, None), None);
        assert_eq!(step_of(&secret, "", now, None), None);
    }
}
