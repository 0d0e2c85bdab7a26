//! Values and rules: no I/O, no async, no clock.
//!
//! A value of this folder is checked when it is made; nothing past it checks again.

pub mod audience;
pub mod entry;
pub mod id;
pub mod kind;
pub mod position;
pub mod text;
pub mod time;
pub mod workdays;
pub mod working_time;
pub mod roster;
pub mod roster_entry;
