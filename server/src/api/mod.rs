//! gRPC edge, one file per noun: decode, call, encode.

pub mod enrolment;
