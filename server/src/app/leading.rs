//! Does this node lead its point? Nodes that share a database agree by a lease on one that dials and
//! runs the jobs; a node with a database of its own always leads.
//!
//! Two that both believe to lead for a moment cost double work and nothing else: every change still
//! goes through one transaction at a time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long a lease lasts. A node that dies is followed by another within this time.
pub const LEASE: Duration = Duration::from_secs(15);
/// How often it is renewed, or asked for.
pub const RENEW_EVERY: Duration = Duration::from_secs(4);

/// Cheap to clone.
#[derive(Clone)]
pub struct Leading {
    /// Until when; none: no longer, or not yet.
    until: Arc<watch::Sender<Option<Until>>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Until {
    Ever,
    Instant(Instant),
}

impl Until {
    fn is_ahead(self) -> bool {
        match self {
            Until::Ever => true,
            Until::Instant(until) => Instant::now() < until,
        }
    }
}

impl Leading {
    /// On a database that no other node uses.
    pub fn always() -> Leading {
        Leading { until: Arc::new(watch::Sender::new(Some(Until::Ever))) }
    }

    /// On a shared one: not before a lease was taken.
    pub fn by_lease() -> Leading {
        Leading { until: Arc::new(watch::Sender::new(None)) }
    }

    pub fn is_leader(&self) -> bool {
        self.until.borrow().is_some_and(Until::is_ahead)
    }

    /// A lease was taken by a question asked at `asked`.
    pub fn take(&self, asked: Instant) {
        self.until.send_replace(Some(Until::Instant(asked + LEASE)));
    }

    /// Somebody else holds the lease, or it cannot be renewed and its time is over.
    pub fn lose(&self) {
        self.until.send_if_modified(|until| until.take().is_some());
    }

    /// Runs `work` whenever this node leads, and stops it when it leads no more.
    pub async fn whenever_leading<F>(
        &self,
        stop: CancellationToken,
        work: impl Fn(CancellationToken) -> F,
    ) where
        F: Future<Output = ()>,
    {
        let mut until = self.until.subscribe();
        while !stop.is_cancelled() {
            tokio::select! {
                () = holds(&mut until, Option::is_some) => {}
                () = stop.cancelled() => return,
            }
            let token = stop.child_token();
            let working = work(token.clone());
            tokio::pin!(working);
            tokio::select! {
                () = &mut working => {}
                () = holds(&mut until, Option::is_none) => {
                    token.cancel();
                    working.await;
                }
            }
        }
    }
}

/// Resolves when it is so; the sender lives as long as the `Leading` that waits.
async fn holds(until: &mut watch::Receiver<Option<Until>>, so: fn(&Option<Until>) -> bool) {
    let _ = until.wait_for(so).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_while_leading_and_at_no_other_time() {
        let leading = Leading::by_lease();
        let (began, mut begun) = tokio::sync::mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let work = {
            let (leading, stop) = (leading.clone(), stop.clone());
            tokio::spawn(async move {
                leading
                    .whenever_leading(stop, |token| {
                        let _ = began.send(true);
                        let began = began.clone();
                        async move {
                            token.cancelled().await;
                            let _ = began.send(false);
                        }
                    })
                    .await;
            })
        };
        for _ in 0..2 {
            assert!(!leading.is_leader());
            leading.take(Instant::now());
            assert_eq!(begun.recv().await, Some(true));
            assert!(leading.is_leader());
            leading.lose();
            assert_eq!(begun.recv().await, Some(false));
        }
        leading.take(Instant::now());
        assert_eq!(begun.recv().await, Some(true));
        stop.cancel();
        assert_eq!(begun.recv().await, Some(false));
        work.await.unwrap();
    }

    #[test]
    fn a_lease_that_was_not_renewed_in_time_is_none() {
        let leading = Leading::by_lease();
        leading.take(Instant::now() - LEASE);
        assert!(!leading.is_leader());
        assert!(Leading::always().is_leader());
    }
}
