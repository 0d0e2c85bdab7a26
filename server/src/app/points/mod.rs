//! The directory of contact points. Each point's entry lies in its own public feed, whoever's node
//! writes that; what other points' staff and what only the point itself know lies beside it.

pub mod areas;
mod propose;
mod read;
mod write;

pub use propose::{Answer, Wish, carry_out, update};
pub(crate) use read::find;
pub use read::{Asked, Page, Seen, get, list};
pub(super) use write::name_asserter;
pub use write::{Parts, close, create, roster_entry};

#[cfg(test)]
mod tests;
