//! Links: sessions between neighbouring nodes.
//!
//! A child dials its parent, and from then on both sides are equal: each announces heads, pulls what it
//! lacks and serves what the other may hold. A peer can only harm itself: everything it may make this
//! node do, hold or wait for has a limit here.

pub mod budget;
pub mod frame;
pub mod links;
pub mod outgoing;
pub mod serving;
pub mod session;
