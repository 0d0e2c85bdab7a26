//! One node of a network of contact points, in reading order.

pub mod api;
pub mod app;
pub mod appointing;
pub mod backup;
pub mod command;
pub mod config;
pub mod demo;
pub mod disk;
pub mod domain;
pub mod feed;
pub mod found;
pub mod identity;
pub mod jobs;
pub mod link;
pub mod listen;
pub mod node;
pub mod notify;
pub mod outside;
pub mod parcel;
pub mod planted;
pub mod socket;
pub mod store;
pub mod telemetry;
pub mod wire;
