//! One node of a network of contact points, in reading order.

pub mod domain;
pub mod feed;
pub mod store;
pub mod wire;
