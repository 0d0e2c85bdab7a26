//! One node of a network of contact points.

pub mod domain;
