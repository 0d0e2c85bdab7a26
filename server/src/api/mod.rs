//! The gRPC edge, one file per noun: decode, call the use case, encode.

pub mod accounts;
pub mod approvals;
pub mod audit;
pub mod control;
mod cross_origin;
mod decode;
pub mod desk;
pub mod enrolment;
pub mod events;
pub mod exports;
pub mod groups;
pub mod handoffs;
pub mod help_requests;
pub mod imports;
pub mod link;
pub mod members;
pub mod nodes;
pub mod notices;
pub mod orgs;
pub mod points;
pub mod policy;
mod records;
pub mod reports;
pub mod routes;
pub mod series;
pub mod shelter;
pub mod status;
