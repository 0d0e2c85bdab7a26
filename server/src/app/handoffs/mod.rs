//! Handoffs: passing a help request to another point, with one owner at every moment.
//!
//! What has been decided is one commit to the point's own feed, with the word for the other side in
//! it; a job sends the word afterwards, as often as it takes. What comes is kept before it is
//! entered. The rules are in `domain/handoff.rs`; what they make of records is in `deciding.rs`.

mod afar;
pub mod deciding;
mod desk;
mod entering;
pub mod files;
mod following;
mod forgetting;
mod passed;
mod sending;
mod settling;
mod stored;
mod telling;
#[cfg(test)]
mod tests;

pub use afar::{answer_lookup, consent, intakes_of, rate, reply, set_notices, track, withdraw};
pub use desk::{Offer, Offered, accept, decline, list, offer, offer_agreed, recall};
pub use entering::enter;
pub use files::send as send_files;
pub use forgetting::anonymise;
pub use passed::replay;
pub use sending::{expire, send, send_messages};
pub use settling::settle;
pub use stored::{Noted, asked, ended_with};
pub use telling::client as tell_client;
