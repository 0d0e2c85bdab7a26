//! Who is who: keys, certificates, and the checks that turn a connection into a known peer.
//!
//! Nothing is believed on first sight: every certificate is checked against the authority, and
//! names, validity and rights in it are the issuer's words, never the request's.

pub mod authority;
pub mod caller;
pub mod chain;
pub mod enrolment;
pub mod error;
pub mod join;
pub mod keys;
pub mod peer;
pub mod proof;
pub mod renewal;
#[cfg(test)]
pub(crate) mod samples;
pub mod spki;
pub mod tls;
pub mod token;
