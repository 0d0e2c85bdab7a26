//! The test kit: what a test needs to stand outside the network and be nasty to it.
//!
//! Every fault that the kit can set is counted where it takes effect, so that a test can prove that
//! its fault has fired. Nothing here looks inside a node: nodes are processes, spoken to by commands.

pub mod binaries;
pub mod client;
pub mod clock;
pub mod cluster;
pub mod mail;
pub mod node;
pub mod postgres;
pub mod proxy;
pub mod waiting;
