//! The way out for notices: mail and webhooks, over connections of their own.
//!
//! What is sent names a reference and nothing personal; addresses stay encrypted until they are
//! used, and never stand in a log or an error.

pub mod http;
pub mod mail;
pub mod robot;
#[cfg(test)]
pub mod samples;
pub mod setup;
pub mod target;

use std::{sync::Arc, time::Duration};

use rustls::ClientConfig;

use crate::domain::{contact::Email, notice::Channel, time::Time};
use mail::Mail;
use robot::Robot;
use target::{Target, Webhook};

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
    /// The point's own.
    pub robot: Option<Robot>,
    /// Robots that people have named for themselves.
    pub robots: Option<Robots>,
}

/// Where robots of people may stand, and how they are spoken to.
pub struct Robots {
    pub hosts: Vec<String>,
    pub tls: Arc<ClientConfig>,
}

/// By which way, and to whom.
#[derive(Clone, Copy, Debug)]
pub enum Way<'a> {
    Mail(&'a Email),
    /// The point's own robot.
    Desk,
    Robot(&'a Webhook),
}

impl Ways {
    pub fn is_open(&self, channel: Channel) -> bool {
        match channel {
            Channel::Email => self.mail.is_some(),
            Channel::Webhook => self.robot.is_some(),
        }
    }

    /// Can somebody be told there?
    pub fn reaches(&self, target: &Target) -> bool {
        match target {
            Target::Email(_) => self.mail.is_some(),
            Target::Webhook(_) => self.robots.is_some(),
        }
    }

    /// Hosts on which robots of people may stand.
    pub fn hosts(&self) -> &[String] {
        self.robots.as_ref().map_or(&[], |robots| &robots.hosts)
    }

    /// Tells somebody, or says why not, within `TIMEOUT`.
    pub async fn tell(&self, way: Way<'_>, message: &Message<'_>) -> Result<(), Failure> {
        let telling = async {
            match way {
                Way::Mail(_) => self.mail.as_ref().ok_or(Failure::NotSetUp)?.send(message).await,
                Way::Desk => self.robot.as_ref().ok_or(Failure::NotSetUp)?.send(message).await,
                Way::Robot(webhook) => {
                    let robots = self.robots.as_ref().ok_or(Failure::NotSetUp)?;
                    robots.send(webhook, message).await
                }
            }
        };
        let told = tokio::time::timeout(TIMEOUT, telling).await;
        told.unwrap_or(Err(Failure::Passing("no answer in time")))
    }
}

impl Robots {
    /// The operator may have changed what is allowed since the robot was named.
    async fn send(&self, webhook: &Webhook, message: &Message<'_>) -> Result<(), Failure> {
        let address = http::Address::parse(&webhook.url).map_err(Failure::Lasting)?;
        if !self.hosts.iter().any(|host| host == address.host()) {
            return Err(Failure::Lasting("the robot's host is not allowed"));
        }
        let (manner, secret) = (webhook.manner, webhook.secret.clone());
        Robot { manner, address, secret, tls: self.tls.clone() }.send(message).await
    }
}

#[cfg(test)]
mod tests;
