//! Members: what a home knows of a person, and what the person lets others see.
//!
//! Every change of a member or of a consent changes the cards in the same commit, so no card is
//! ever wider than what it rests on.

mod consents;
mod copies;
mod disclosing;
mod expiring;
mod read;
mod search;
mod write;

pub(crate) use consents::in_force;
pub use consents::{give, list_grants, withdraw};
pub use copies::list_copies;
pub use disclosing::disclose;
pub use expiring::{Expiring, expire, expiring};
pub(crate) use read::own;
pub use read::{Seen, get};
pub use search::{Search, search};
pub(crate) use write::{commit_with, erasure};
pub use write::{create, erase, leave, update};

#[cfg(test)]
mod tests;
