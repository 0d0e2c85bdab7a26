//! Who is who.

pub mod caller;
