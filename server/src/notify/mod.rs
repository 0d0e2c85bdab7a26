//! The way out for notices: mail and webhooks, over connections of their own.
//!
//! What is sent names a reference and nothing personal; addresses stay encrypted until they are
//! used, and never stand in a log or an error.

pub mod http;
pub mod mail;
pub mod robot;
pub mod setup;
pub mod target;

use std::time::Duration;

use crate::domain::{notice::Channel, time::Time};
use mail::Mail;
use robot::Robot;

/// How long one delivery may take, from looking the host up to its last word.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// Something to tell somebody.
pub struct Message<'a> {
    pub id: &'a [u8],
    /// Empty for the point's own robot.
    pub address: &'a str,
    pub subject: &'a str,
    pub body: &'a str,
    pub now: Time,
}

/// Why nobody was told. Never names an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("this way is not set up")]
    NotSetUp,
    /// It may work later.
    #[error("{0}")]
    Passing(&'static str),
    /// It will not work later either.
    #[error("{0}")]
    Lasting(&'static str),
}

/// The ways that are set up.
#[derive(Default)]
pub struct Ways {
    pub mail: Option<Mail>,
    pub robot: Option<Robot>,
}

impl Ways {
    pub fn is_open(&self, channel: Channel) -> bool {
        match channel {
            Channel::Email => self.mail.is_some(),
            Channel::Webhook => self.robot.is_some(),
        }
    }

    /// Tells somebody, or says why not, within `TIMEOUT`.
    pub async fn tell(&self, channel: Channel, message: &Message<'_>) -> Result<(), Failure> {
        let telling = async {
            match channel {
                Channel::Email => self.mail.as_ref().ok_or(Failure::NotSetUp)?.send(message).await,
                Channel::Webhook => {
                    self.robot.as_ref().ok_or(Failure::NotSetUp)?.send(message).await
                }
            }
        };
        let told = tokio::time::timeout(TIMEOUT, telling).await;
        told.unwrap_or(Err(Failure::Passing("no answer in time")))
    }
}

#[cfg(test)]
mod tests;
