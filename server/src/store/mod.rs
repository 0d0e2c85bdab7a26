//! All SQL; nothing else imports sqlx.
//!
//! Queries take a connection, so that the caller owns the transaction.

pub mod accounts;
pub mod database;

pub type Error = sqlx::Error;
pub type Result<T> = std::result::Result<T, Error>;
