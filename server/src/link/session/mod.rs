//! One session with one neighbour: what is heard, what is asked for, what is answered.
//!
//! Both sides run the same code. Announced heads are checked before anything is made of them; rows are
//! asked for by who lacks them; nothing a peer sends can make this side wait for it to read.

mod heads;
mod pulling;
mod running;
mod serving;
#[cfg(test)]
mod tests;

pub use running::{Broken, Ended, Parts, Peer, Post, Pulse, run};
