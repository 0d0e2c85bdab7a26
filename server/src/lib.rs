//! One node of a network of contact points, in reading order.
//! One node of a network of contact points.
//!
//! Direction: `main -> node -> {api, web, jobs} -> app -> {link, parcel, identity} -> feed ->
//! {store, wire} -> domain`. A module imports what stands to its right, never to its left.

pub mod api;
pub mod app;
pub mod config;
pub mod domain;
pub mod feed;
pub mod link;
pub mod outside;
//! One node of a network of contact points.

pub mod identity;
pub mod listen;
pub mod store;
pub mod wire;
