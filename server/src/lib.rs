//! One node of a network of contact points, in reading order.

pub mod domain;
pub mod feed;
pub mod link;
pub mod outside;
//! One node of a network of contact points.

pub mod identity;
pub mod listen;
pub mod store;
pub mod wire;
