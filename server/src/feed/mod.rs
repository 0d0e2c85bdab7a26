//! Signed state: what a node may believe, and how it changes.
//!
//! A feed is the latest version of each live record plus a tombstone for each removed one. Its home
//! seals every state it passes through; a copy moves from one sealed state to the next and is never
//! anything else. All writing, our own and what neighbours deliver, goes through one writer.

pub mod apply;
pub mod change;
pub mod continuity;
pub mod digest;
pub mod heads;
pub mod indexing;
pub mod inflow;
pub mod keyring;
pub mod own;
pub mod seal;
pub mod statement;
pub mod verify;
pub mod writer;
