//! The one writer: takes what waits, does it in one transaction, answers after the commit.
//!
//! Between transactions it does one step of whatever long work there is (making a first copy
//! searchable, applying a large catch-up, clearing away a retired copy), so that nobody waits for it.

mod doubles;
mod doubt;
mod engine;
mod group;
mod handle;
mod inflows;
mod leaving;
mod recovery;
mod showing;
mod witness;
mod work;

pub use handle::{Granted, Parts, Writer};
pub use recovery::Recovery;
