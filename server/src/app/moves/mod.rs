//! Moving a member to another point, with one home at every moment.
//!
//! What has been decided is one commit to the point's own feed, with the word for the other side in
//! it; a job sends the word afterwards, as often as it takes. What comes is kept before it is entered;
//! a copy is kept apart until its home lets go of it. The rules are in `domain/member_move.rs`.

mod confirming;
mod content;
mod departed;
mod desk;
mod entering;
mod sending;
mod stored;

pub use departed::{FILE as DEPARTURES, open, replay};
pub use desk::{Wish, accept, decline, list, recall, start};
pub use entering::enter;
pub use sending::{clear, expire, send};
pub use stored::{came_from, ended_with, follow, gone_to, of_member};

#[cfg(test)]
mod tests;
