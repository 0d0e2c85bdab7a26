//! Sockets: the accept loop of both listeners and of the local socket, and the dialling side.
//!
//! Every connection has a named limit on time, number and memory before its first byte is believed.
//! Who the other end is, is settled here and put into the request; what they may do is not.

mod body;
mod capacity;
mod census;
mod connection;
pub mod dial;
mod gate;
pub mod incoming;
pub mod limits;
mod pulse;
mod serve;

pub use gate::{Access, Admission, ENROLMENT_PREFIX, ERROR_DOMAIN};
pub use incoming::{Incoming, Source, TcpIncoming, UnixIncoming};
pub use limits::{LINK, LOCAL, Limits, PUBLIC};
pub use serve::{Options, Security, Serving, serve};

#[cfg(test)]
mod tests;
