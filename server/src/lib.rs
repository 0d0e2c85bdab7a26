//! One node of a network of contact points.

pub mod api;
pub mod domain;
pub mod identity;
pub mod listen;
pub mod store;
pub mod wire;
