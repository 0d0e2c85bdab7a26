//! All SQL; nothing else imports sqlx.
