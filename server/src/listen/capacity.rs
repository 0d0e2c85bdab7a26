//! How many requests of a listener are worked on at once. What is beyond that is refused at once: a
//! queue would only make everybody late. A part is kept for people who ask for help.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::limits::Limits;

/// Paths that may use the part that is kept.
const INTAKE_PREFIX: &str = "/yizhan.v1.HelpRequestService/";

pub(super) struct Capacity {
    ordinary: Arc<Semaphore>,
    reserve: Arc<Semaphore>,
}

impl Capacity {
    pub fn new(limits: &Limits) -> Capacity {
        let reserve = limits.requests_reserved.min(limits.requests);
        Capacity {
            ordinary: Arc::new(Semaphore::new(limits.requests - reserve)),
            reserve: Arc::new(Semaphore::new(reserve)),
        }
    }

    /// Room for a request; none if the listener has enough to do.
    pub fn enter(&self, path: &str) -> Option<OwnedSemaphorePermit> {
        let ordinary = self.ordinary.clone().try_acquire_owned().ok();
        ordinary.or_else(|| match path.starts_with(INTAKE_PREFIX) {
            true => self.reserve.clone().try_acquire_owned().ok(),
            false => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::limits::PUBLIC, *};

    #[test]
    fn a_part_is_kept_for_intake() {
        let capacity = Capacity::new(&Limits { requests: 4, requests_reserved: 1, ..PUBLIC });
        let search = "/yizhan.v1.MemberService/SearchMembers";
        let intake = "/yizhan.v1.HelpRequestService/SubmitHelpRequest";
        let searching: Vec<_> = (0..3).map(|_| capacity.enter(search).unwrap()).collect();
        assert!(capacity.enter(search).is_none());
        let asking = capacity.enter(intake);
        assert!(asking.is_some());
        assert!(capacity.enter(intake).is_none(), "that has an end too");
        drop(searching);
        assert!(capacity.enter(search).is_some() && capacity.enter(intake).is_some());
    }
}
