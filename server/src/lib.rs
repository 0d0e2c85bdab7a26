//! One node of a network of contact points, in reading order.
#![forbid(unsafe_code)]

pub mod domain;
pub mod feed;
pub mod store;
