//! One node of a network of contact points, in reading order.

pub mod config;
pub mod outside;
pub mod socket;
pub mod command;
pub mod node;
pub mod found;
pub mod api;
pub mod listen;
pub mod jobs;
pub mod app;
pub mod link;
pub mod identity;
pub mod feed;
pub mod store;
pub mod wire;
pub mod domain;
