//! When a certificate is renewed, and how long is waited after a failure. Pure: moments and chances
//! come from the caller.

use std::time::Duration;

use super::chain::Validity;
use crate::domain::time::Time;

/// A renewal is due at half life, give or take a tenth of that, so that nodes which joined together
/// do not renew together.
const SPREAD: f64 = 0.1;
/// Longest wait between two tries.
pub const RETRY_MAX: Duration = Duration::from_secs(300);
/// Longest wait after the first failure.
pub const RETRY_FIRST: Duration = Duration::from_secs(5);

/// When to renew; now, if that is past. `chance` is from 0 to 1, drawn once per certificate.
pub fn due(now: Time, validity: Validity, chance: f64) -> Time {
    let share = 0.5 * (1.0 - SPREAD + 2.0 * SPREAD * chance.clamp(0.0, 1.0));
    now.max(after(validity, share))
}

/// Two thirds of its life are over: somebody has to be told.
pub fn is_late(now: Time, validity: Validity) -> bool {
    now >= after(validity, 2.0 / 3.0)
}

/// How long to wait after the n-th failure in a row, counted from 1: full jitter up to a bound that
/// doubles. `chance` is drawn for each.
pub fn retry(failures: u32, chance: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let bound = RETRY_FIRST.saturating_mul(1 << doublings).min(RETRY_MAX);
    bound.mul_f64(chance.clamp(0.0, 1.0))
}

fn after(validity: Validity, share: f64) -> Time {
    let life = validity.not_after.0.saturating_sub(validity.not_before.0);
    Time(validity.not_before.0.saturating_add((life as f64 * share) as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALIDITY: Validity = Validity { not_before: Time(1_000), not_after: Time(2_000) };

    #[test]
    fn renewal_is_due_around_half_life() {
        assert_eq!(due(Time(0), VALIDITY, 0.0), Time(1_450));
        assert_eq!(due(Time(0), VALIDITY, 0.5), Time(1_500));
        assert_eq!(due(Time(0), VALIDITY, 1.0), Time(1_550));
        assert_eq!(due(Time(1_501), VALIDITY, 0.5), Time(1_501));
        assert_eq!(due(Time(9_000), VALIDITY, 0.5), Time(9_000));
    }

    #[test]
    fn a_certificate_is_late_after_two_thirds() {
        assert!(!is_late(Time(1_665), VALIDITY));
        assert!(is_late(Time(1_667), VALIDITY));
    }

    #[test]
    fn retries_spread_and_stay_bounded() {
        assert_eq!(retry(1, 1.0), RETRY_FIRST);
        assert_eq!(retry(2, 1.0), 2 * RETRY_FIRST);
        assert_eq!(retry(2, 0.0), Duration::ZERO);
        assert_eq!(retry(u32::MAX, 1.0), RETRY_MAX);
    }
}
