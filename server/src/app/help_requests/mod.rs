//! Help requests as their clients meet them: taking in, tracking, answering, taking back.
//!
//! What is personal is sealed before it touches the disk, under a content key that only the client
//! and the handling point can get at; what stands in clear names nobody.

pub mod desks;
pub mod numbers;
pub mod past;
pub mod posting;
pub mod readers;
pub mod retention;
#[cfg(test)]
mod retention_tests;
pub mod sealing;
pub mod stored;
mod submit;
pub mod telling;
#[cfg(test)]
mod telling_tests;
#[cfg(test)]
mod tests;
mod track;

use std::sync::Arc;

pub use submit::{NewHelpRequest, Submitted, submit};
use tokio::sync::Notify;
pub use track::{
    Secret, Tracked, categories, owned, passed_to, rate, reply, stub_owner, track, withdraw,
};

use self::{desks::DeskCache, numbers::Numbers, sealing::IntakeKeys};
use crate::{domain::retention::Periods, identity::keys::CaseKey};

/// What help requests need of a node besides the rest of it.
pub struct Help {
    pub keys: IntakeKeys,
    pub desks: DeskCache,
    pub numbers: Numbers,
    /// Something has to be sent to another point, or has come from one.
    pub post: Notify,
    /// How long requests are kept.
    pub periods: Periods,
}

impl Help {
    pub fn new(case_key: CaseKey, periods: Periods) -> Arc<Help> {
        Arc::new(Help {
            keys: IntakeKeys::new(case_key),
            desks: DeskCache::default(),
            numbers: Numbers::default(),
            post: Notify::new(),
            periods,
        })
    }
}
