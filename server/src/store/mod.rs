//! All SQL; nothing else imports sqlx.

pub mod tokens;
