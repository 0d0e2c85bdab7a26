//! One node of a network of contact points, in reading order.

pub mod domain;
pub mod wire;
pub mod store;
pub mod feed;
