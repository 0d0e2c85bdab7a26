//! Values and rules: no I/O, no async, no clock.
//!
//! A value of this folder is checked when it is made; nothing past it checks again.

pub mod account;
pub mod audience;
pub mod id;
pub mod kind;
pub mod message;
pub mod policy;
pub mod text;
pub mod time;
