//! The gRPC edge, one file per noun: decode, call the use case, encode.

pub mod accounts;
pub mod control;
pub mod enrolment;
pub mod link;
pub mod nodes;
pub mod policy;
pub mod routes;
pub mod status;
