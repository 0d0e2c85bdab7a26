//! Parcels 驿递: sealed messages from one point to another, exactly once in effect.
//!
//! The sender keeps a parcel until the destination's signed word on it has come back; the destination
//! acts and notes the number in one transaction; whoever lies between sees addresses and sizes only,
//! and keeps nothing.

mod arrival;
pub mod delivery;
mod handoff;
mod help;
mod lanes;
pub mod letters;
pub mod looks;
pub mod office;
pub mod questions;
pub mod receipts;
pub mod seal;
pub mod settlement;
pub mod words;
