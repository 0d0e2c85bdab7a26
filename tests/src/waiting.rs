//! Waiting for a condition under a deadline: the only way a test lets time pass.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long a test waits for something that ought to happen within a second or two.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How often a condition is asked.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// Asks until `check` says yes. Panics with `what` once `within` has passed.
pub async fn eventually(what: &str, within: Duration, mut check: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    let mut asked = 0_u32;
    loop {
        asked += 1;
        if check().await {
            return;
        }
        let waited = start.elapsed();
        assert!(waited < within, "{what}: not within {within:?} (asked {asked} times)");
        sleep(ASK_EVERY).await;
    }
}

/// Asks for as long as `span` lasts, and panics as soon as `check` says no: for what must not happen.
pub async fn throughout(what: &str, span: Duration, mut check: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while start.elapsed() < span {
        assert!(check().await, "{what}: no longer so after {:?}", start.elapsed());
        sleep(ASK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_condition_that_comes_true_ends_the_wait() {
        let mut asked = 0;
        eventually("third time", PATIENCE, async || {
            asked += 1;
            asked == 3
        })
        .await;
        assert_eq!(asked, 3);
    }

    #[tokio::test]
    #[should_panic(expected = "pigs fly: not within")]
    async fn a_condition_that_stays_false_fails_by_name() {
        eventually("pigs fly", Duration::from_millis(120), async || false).await;
    }

    #[tokio::test]
    #[should_panic(expected = "calm: no longer so")]
    async fn a_condition_that_breaks_is_noticed() {
        let mut asked = 0;
        throughout("calm", PATIENCE, async || {
            asked += 1;
            asked < 3
        })
        .await;
    }
}
