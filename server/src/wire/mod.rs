//! Message <-> value, one file per noun. Past it, nothing is checked twice.

pub mod roster;
