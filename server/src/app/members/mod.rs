//! Members: what a home knows of a person, and what the person lets others see.
//!
//! Every change of a member or of a consent changes the cards in the same commit, so no card is
//! ever wider than what it rests on.

mod access;
mod consents;
mod copies;
mod disclosing;
mod erase;
mod expiring;
mod likeness;
mod naming;
mod read;
mod search;
mod write;

pub use access::access;
pub use consents::{give, list_grants, withdraw};
pub(crate) use consents::{grant_ids, in_force, with_ids};
pub use copies::list_copies;
pub use disclosing::disclose;
pub use erase::{Answer as ErasureAnswer, Wish, erase};
pub(crate) use erase::{check_erasable, erasure, execute_erasure, forget_locally, replay};
pub use expiring::{Expiring, expire, expiring};
pub use likeness::LIKE_MAX;
pub(crate) use likeness::{check_new, like};
pub(crate) use naming::follow as follow_names;
pub(crate) use read::own;
pub use read::{Seen, get};
pub use search::{Search, own_item, search};
pub use write::{New, create, leave, update};
pub(crate) use write::{change_with, commit_with};

#[cfg(test)]
mod tests;
