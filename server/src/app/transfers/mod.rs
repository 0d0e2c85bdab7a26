//! Copies of a member's card for one destination: through the gate, by parcel, in the person's ledger,
//! and taken back by parcel.
//!
//! What has been decided is one commit to the home's own feed, with the word for the destination in
//! it; a job sends the word afterwards. The rules are in `domain/transfer.rs`.

mod desk;
mod entering;
mod following;
mod gate;
mod reading;
mod sending;
mod stored;

pub use desk::{Sent, transfer};
pub use entering::enter;
pub use following::{follow, recheck};
pub(crate) use gate::{refused, way_between};
pub use reading::{AUDIENCE, ledger, received};
pub use sending::send;
