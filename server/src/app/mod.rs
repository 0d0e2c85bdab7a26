//! Use cases, one file per noun: authorise, decide, commit.

pub mod accounts;
pub mod error;
pub mod import;
pub mod passwords;
