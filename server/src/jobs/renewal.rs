//! Renews the node's certificate at half life, or an expired one whenever the parent answers.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tracing::{info, warn};

use super::runner::Job;
use crate::{
    config::Address,
    feed::{heads::Heads, keyring::Keyring},
    identity::{
        authority::{Issuer, Subject},
        error::Error as IdentityError,
        join::{self, JoinError},
        keys::KeyDirectory,
        renewal,
        tls::{Clock, Credentials, enrolment_client},
    },
    listen::dial::{DialError, connect_for_enrolment, open_tcp},
};

/// How often it is looked whether a renewal is due.
pub const EVERY: Duration = Duration::from_secs(30);

pub struct Renewal {
    pub credentials: Arc<Credentials>,
    pub clock: Clock,
    pub directory: KeyDirectory,
    pub keys: Arc<Keyring>,
    pub heads: Arc<Heads>,
    /// The founding node makes its own certificate.
    pub issuer: Option<Arc<Issuer>>,
    pub parent: Option<Address>,
    /// Rewritten with what clients pin.
    pub ca_file: PathBuf,
    /// From 0 to 1, drawn once per run of the node, so that nodes which joined together do not renew
    /// together.
    pub chance: f64,
}

#[derive(Debug, thiserror::Error)]
pub enum RenewalError {
    #[error("keys or certificates failed")]
    Identity(#[from] IdentityError),
    #[error("the parent cannot be reached")]
    Dial(#[from] DialError),
    #[error("the parent did not renew")]
    Join(#[from] JoinError),
    #[error("there is no parent to renew at")]
    NoParent,
    #[error("what clients pin cannot be written")]
    CaFile(#[source] std::io::Error),
}

impl Job for Renewal {
    const NAME: &'static str = "renewal";
    type Error = RenewalError;

    async fn run_once(&self) -> Result<(), RenewalError> {
        let now = self.clock.now();
        let chain = self.credentials.chain();
        if renewal::due(now, chain.validity(), self.chance) > now {
            return Ok(());
        }
        if renewal::is_late(now, chain.validity()) {
            warn!("two thirds of the certificate's life are over and it is not renewed");
        }
        let identity = self.directory.load_tls()?;
        let renewed = match &self.issuer {
            Some(issuer) => {
                let peer = chain.peer();
                let roster = self.keys.roster();
                let public_host = roster
                    .get(&peer.point)
                    .and_then(|entry| entry.node(peer.node)?.public_host.clone());
                let subject = Subject { point: peer.point.clone(), node: peer.node, public_host };
                let chain = issuer.issue(&subject, identity.key.spki(), now)?;
                let renewed = identity.renewed(chain)?;
                self.directory.save_tls(&renewed)?;
                renewed
            }
            None => {
                let parent = self.parent.as_ref().ok_or(RenewalError::NoParent)?;
                let tls = enrolment_client(chain.authority_fingerprint(), &self.clock)?;
                let stream = open_tcp(&parent.to_string()).await?;
                let (channel, _) = connect_for_enrolment(stream, tls).await?;
                let seal = self.keys.seal_key();
                join::renew(channel, &identity, seal, &self.directory, now).await?
            }
        };
        self.credentials.swap(&renewed, now)?;
        // The authority may have appointed another issuer meanwhile.
        if self.keys.set_issuer(renewed.chain.roster_key()) {
            info!("the authority has appointed another issuer");
            // Open sessions look again at what they could not check before.
            self.heads.update(&self.keys.roster_feed(), |_| {});
        }
        std::fs::write(&self.ca_file, renewed.chain.authority_pem())
            .map_err(RenewalError::CaFile)?;
        info!("certificate renewed");
        Ok(())
    }
}
