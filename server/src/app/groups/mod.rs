//! Groups of members: planned and moved on by their home, filled by the homes of the members.
//!
//! Every change of a place changes what other points see of it in the same commit, so nobody is
//! shown longer than the consent holds.

mod duty;
mod places;
mod plan;

pub use duty::{list_duty, set_duty};
pub use places::{Enrolment, PlacePage, enrol, list_places, move_place};
pub(crate) use places::{places_of, put, revise};
pub(crate) use plan::is_taken;
pub use plan::{Asked, GroupPage, Seen, create, get, list, move_on};

#[cfg(test)]
mod tests;
