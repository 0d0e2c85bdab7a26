//! One node of a network of contact points.
//!
//! Direction: `main -> node -> {api, web, jobs} -> app -> {link, parcel, identity} -> feed ->
//! {store, wire} -> domain`. A module imports what stands to its right, never to its left.

pub mod api;
pub mod app;
pub mod config;
pub mod domain;
pub mod identity;
pub mod store;
