//! Values and rules: no I/O, no async, no clock.
//!
//! A value of this folder is checked when it is made; nothing past it checks again.

pub mod audience;
pub mod id;
pub mod kind;
pub mod roster;
pub mod roster_entry;
pub mod text;
pub mod time;
