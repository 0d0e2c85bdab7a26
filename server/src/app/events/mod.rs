//! Events: a plan at home, and of it what anybody may know.
//!
//! Every change of a plan changes the public event in the same commit. An event that never was
//! public leaves no trace outside its home.

mod list;
mod moves;
mod plan;

pub use list::{Asked, Page, list};
pub use moves::{Step, advance};
pub(crate) use plan::put;
pub use plan::{Seen, create, get, update};

#[cfg(test)]
mod tests;
