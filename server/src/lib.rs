//! One node of a network of contact points, in reading order.

pub mod api;
pub mod app;
pub mod config;
pub mod domain;
pub mod feed;
pub mod identity;
pub mod link;
pub mod listen;
pub mod outside;
pub mod planted;
pub mod store;
pub mod wire;
