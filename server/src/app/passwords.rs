//! Hashing and checking passwords at a bounded cost, and slowing those who guess.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier},
};
use tokio::sync::Semaphore;

use super::error::{Error, Result};
use crate::domain::time::Time;

/// Argon2id as OWASP advises (password storage cheat sheet, 2025): 19 MiB, 2 passes, 1 lane.
const MEMORY_KIB: u32 = 19 * 1_024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Hashes computed at once: bounds the memory to 38 MiB and leaves processors to the rest.
const HASHES_AT_ONCE: usize = 2;
/// Attempts that wait for their turn; more are told to come back.
const HASHES_WAITING: usize = 64;

/// Failed attempts in a row that cost nothing but their hash.
const FREE_FAILURES: u32 = 5;
/// The wait after the first failure that costs; it doubles with each further one.
const WAIT_FIRST_MS: i64 = 1_000;
const WAIT_MAX_MS: i64 = 60_000;
/// A name without failures for this long starts anew.
const FORGET_MS: i64 = 15 * 60 * 1_000;
/// Names whose failures are remembered. Beyond it, the one that failed longest ago is forgotten.
const NAMES_MAX: usize = 10_000;

/// Computes Argon2id hashes off the async threads, a few at a time.
#[derive(Clone)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    places: Arc<Semaphore>,
    /// What the password of an unknown name is compared with, so that it takes as long.
    decoy: Arc<str>,
}

impl Passwords {
    /// `random` is anything unpredictable: nobody signs in with it.
    pub fn new(random: [u8; 32]) -> Passwords {
        let (password, salt) = random.split_at(16);
        let decoy = hash(password, salt.try_into().expect("BUG: 16 of 32 bytes"));
        Passwords {
            turns: Arc::new(Semaphore::new(HASHES_AT_ONCE)),
            places: Arc::new(Semaphore::new(HASHES_AT_ONCE + HASHES_WAITING)),
            decoy: decoy.into(),
        }
    }

    /// The PHC string to store for a password. `salt` is 16 fresh random bytes.
    pub async fn hash(&self, password: &str, salt: [u8; 16]) -> Result<String> {
        let password = password.to_owned();
        self.in_turn(move || hash(password.as_bytes(), salt)).await
    }

    /// Is this the password? Without a stored hash it takes as long to say no.
    pub async fn verify(&self, password: &str, stored: Option<&str>) -> Result<bool> {
        let password = password.to_owned();
        let known = stored.is_some();
        let stored = stored.unwrap_or(&self.decoy).to_owned();
        let matches =
            move || argon2().verify_password(password.as_bytes(), stored.as_str()).is_ok();
        Ok(self.in_turn(matches).await? && known)
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| Error::Busy)?;
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| Error::Busy)?;
        // The permits go with the work: a caller who hangs up must not make room for another hash
        // while this one still runs.
        let work = move || {
            let (_place, _turn) = (place, turn);
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| Error::Busy)
    }
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)
        .expect("BUG: the parameters are constants in range");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash(password: &[u8], salt: [u8; 16]) -> String {
    argon2()
        .hash_password_with_salt(password, &salt)
        .expect("BUG: salt and parameters are in range")
        .to_string()
}

/// Failed sign-ins by name, in memory: a restart forgives, and nothing is stored about guesses.
#[derive(Default)]
pub struct Failures {
    names: Mutex<HashMap<String, Failed>>,
}

#[derive(Clone, Copy)]
struct Failed {
    times: u32,
    last: Time,
}

impl Failed {
    fn wait_ms(self) -> i64 {
        match self.times.checked_sub(FREE_FAILURES) {
            None => 0,
            Some(beyond) => WAIT_FIRST_MS.saturating_mul(1_i64 << beyond.min(16)).min(WAIT_MAX_MS),
        }
    }

    fn forgotten(self, now: Time) -> bool {
        now.millis() - self.last.millis() >= FORGET_MS
    }
}

impl Failures {
    /// Counts an attempt as failed before its password is looked at, so that many at once are no
    /// way around the wait; `forgive` takes it back. Known and unknown names are treated alike.
    pub fn begin(&self, name: &str, now: Time) -> Result<()> {
        let mut names = self.names.lock().expect("BUG: a panic while counting");
        let before = names.get(name).copied().filter(|failed| !failed.forgotten(now));
        if let Some(failed) = before {
            let left = failed.last.millis() + failed.wait_ms() - now.millis();
            // A clock set back must not lock a name for longer than the longest wait.
            if left > 0 && left <= WAIT_MAX_MS {
                return Err(Error::SlowDown { retry_after_ms: left.unsigned_abs() });
            }
        }
        if names.len() >= NAMES_MAX && !names.contains_key(name) {
            make_room(&mut names, now);
        }
        let times = before.map_or(0, |failed| failed.times).saturating_add(1);
        names.insert(name.to_owned(), Failed { times, last: now });
        Ok(())
    }

    /// The name signed in: its failures are forgotten.
    pub fn forgive(&self, name: &str) {
        self.names.lock().expect("BUG: a panic while counting").remove(name);
    }
}

fn make_room(names: &mut HashMap<String, Failed>, now: Time) {
    names.retain(|_, failed| !failed.forgotten(now));
    if names.len() >= NAMES_MAX {
        let oldest =
            names.iter().min_by_key(|(_, failed)| failed.last).map(|(name, _)| name.clone());
        oldest.map(|name| names.remove(&name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Time {
        Time::from_millis(ms)
    }

    #[tokio::test]
    async fn a_password_matches_its_own_hash_only() {
        let passwords = Passwords::new([1; 32]);
        let stored = passwords.hash("correct horse", [2; 16]).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(passwords.verify("correct horse", Some(&stored)).await.unwrap());
        assert!(!passwords.verify("correct horsf", Some(&stored)).await.unwrap());
        assert!(!passwords.verify("correct horse", None).await.unwrap());
    }

    #[test]
    fn the_sixth_attempt_in_a_row_waits_and_the_wait_doubles_up_to_a_minute() {
        let failures = Failures::default();
        let mut now = 0;
        for _ in 0..FREE_FAILURES {
            failures.begin("a", at(now)).unwrap();
        }
        for wait in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
            let refused = failures.begin("a", at(now)).unwrap_err();
            assert!(
                matches!(refused, Error::SlowDown { retry_after_ms } if retry_after_ms == wait)
            );
            failures.begin("b", at(now)).ok();
            now += i64::try_from(wait).unwrap();
            failures.begin("a", at(now)).unwrap();
        }
    }

    #[test]
    fn success_and_a_quiet_quarter_of_an_hour_start_anew() {
        let failures = Failures::default();
        for _ in 0..FREE_FAILURES {
            failures.begin("a", at(0)).unwrap();
            failures.begin("b", at(0)).unwrap();
        }
        failures.forgive("a");
        assert!(failures.begin("a", at(0)).is_ok());
        assert!(failures.begin("b", at(0)).is_err());
        assert!(failures.begin("b", at(FORGET_MS)).is_ok());
        assert!(failures.begin("b", at(FORGET_MS)).is_ok());
    }

    #[test]
    fn the_memory_of_failures_is_bounded() {
        let failures = Failures::default();
        for n in 0..NAMES_MAX + 10 {
            failures.begin(&n.to_string(), at(i64::try_from(n).unwrap())).unwrap();
        }
        assert_eq!(failures.names.lock().unwrap().len(), NAMES_MAX);
    }
}
