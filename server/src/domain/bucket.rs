//! How often something may happen, for whoever it is: one moment per caller is all that is kept
//! (GCRA, ITU-T I.371). Callers are known by numbers that lead back to nobody.

use std::collections::HashMap;

/// A rate: so many at once, then one per interval.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    pub burst: i64,
    pub interval_us: i64,
}

/// One caller's share.
pub type Who = [u8; 16];

/// The shares of many callers, at most `max`. Beyond that, strangers share one.
pub struct Buckets {
    rate: Rate,
    max: usize,
    /// When each bucket is full again, in microseconds.
    full_at: HashMap<Who, i64>,
}

/// Who finds no place of their own.
const CROWD: Who = [0; 16];

impl Buckets {
    pub fn new(rate: Rate, max: usize) -> Buckets {
        Buckets { rate, max, full_at: HashMap::new() }
    }

    /// Takes one; else says after how many microseconds there will be one.
    pub fn take(&mut self, who: Who, now_us: i64) -> Result<(), i64> {
        let who = self.place(who, now_us);
        let next = self.after_one_more(who, now_us)?;
        self.full_at.insert(who, next);
        Ok(())
    }

    /// Whether there is one to take; else says after how many microseconds there will be.
    pub fn look(&mut self, who: Who, now_us: i64) -> Result<(), i64> {
        let who = self.place(who, now_us);
        self.after_one_more(who, now_us).map(|_| ())
    }

    fn after_one_more(&self, who: Who, now_us: i64) -> Result<i64, i64> {
        let full_at = self.full_at.get(&who).copied().unwrap_or(now_us).max(now_us);
        let next = full_at + self.rate.interval_us;
        let over = next - now_us - self.rate.burst * self.rate.interval_us;
        if over > 0 { Err(over) } else { Ok(next) }
    }

    pub fn clear(&mut self) {
        self.full_at.clear();
    }

    pub fn len(&self) -> usize {
        self.full_at.len()
    }

    pub fn is_empty(&self) -> bool {
        self.full_at.is_empty()
    }

    fn place(&mut self, who: Who, now_us: i64) -> Who {
        if self.full_at.contains_key(&who) || self.full_at.len() < self.max {
            return who;
        }
        // Full buckets are as good as none.
        self.full_at.retain(|_, full_at| *full_at > now_us);
        if self.full_at.len() < self.max { who } else { CROWD }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: Rate = Rate { burst: 20, interval_us: 30_000_000 };

    fn who(n: u32) -> Who {
        let mut who = [1; 16];
        who[..4].copy_from_slice(&n.to_le_bytes());
        who
    }

    #[test]
    fn twenty_at_once_and_then_one_per_interval() {
        let mut buckets = Buckets::new(RATE, 10);
        for _ in 0..20 {
            assert_eq!(buckets.take(who(1), 5), Ok(()));
        }
        assert_eq!(buckets.take(who(1), 5), Err(30_000_000));
        assert_eq!(buckets.take(who(2), 5), Ok(()));
        assert_eq!(buckets.take(who(1), 5 + 29_999_999), Err(1));
        assert_eq!(buckets.take(who(1), 5 + 30_000_000), Ok(()));
        assert!(buckets.take(who(1), 5 + 30_000_000).is_err());
    }

    #[test]
    fn looking_takes_nothing() {
        let mut buckets = Buckets::new(RATE, 10);
        for _ in 0..1_000 {
            assert_eq!(buckets.look(who(1), 0), Ok(()));
        }
        for _ in 0..20 {
            assert_eq!(buckets.take(who(1), 0), Ok(()));
        }
        assert_eq!(buckets.look(who(1), 0), Err(30_000_000));
    }

    #[test]
    fn a_crowd_of_addresses_fills_no_memory_and_shares_one_bucket() {
        let mut buckets = Buckets::new(RATE, 100);
        let taken = (0..10_000).filter(|n| buckets.take(who(*n), 0).is_ok()).count();
        assert!(buckets.len() <= 101);
        assert_eq!(taken, 120);
        // Who was there before keeps a bucket.
        assert_eq!(buckets.take(who(5), 0), Ok(()));
        // Later there is room again.
        assert_eq!(buckets.take(who(9_999), 60_000_000), Ok(()));
    }

    proptest! {
        #[test]
        fn no_window_lets_more_through_than_the_rate(waits in prop::collection::vec(0i64..90_000_000, 1..200)) {
            let mut buckets = Buckets::new(RATE, 10);
            let (mut now, mut taken) = (0, 0);
            for wait in waits {
                now += wait;
                taken += i64::from(buckets.take(who(1), now).is_ok());
                prop_assert!(taken <= RATE.burst + now / RATE.interval_us);
            }
        }
    }
}
