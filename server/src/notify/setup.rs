//! Opens the ways out that the settings name. What is set up wrongly keeps the node from starting:
//! a notice that nobody ever gets would not be noticed.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use zeroize::Zeroizing;

use super::{
    Robots, Ways,
    http::Address,
    mail::{Mail, SetUpError, Settings},
    robot::Robot,
};
use crate::{
    config::Config,
    identity::{
        error::Error as IdentityError,
        keys::{ForeignSecret, KeyDirectory},
        tls::provider,
    },
};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("mail: {0}")]
    Mail(#[from] SetUpError),
    #[error("webhook_kind is set, and keys/webhook.url {0}")]
    Webhook(&'static str),
    #[error("webhook_language is not a language")]
    Language,
    #[error("outgoing_ca cannot be read or is no certificate")]
    Trusted,
    #[error("a secret in keys cannot be read")]
    Keys(#[from] IdentityError),
}

pub fn ways(config: &Config, keys: &KeyDirectory) -> Result<Ways, Error> {
    let trusted = match config.outgoing_ca.as_str() {
        "" => None,
        file => Some(std::fs::read(file).map_err(|_| Error::Trusted)?),
    };
    let mail = match &config.mail_server {
        None => None,
        Some(server) => Some(Mail::new(Settings {
            server,
            security: config.mail_security,
            from: &config.mail_from,
            user: &config.mail_user,
            password: keys.find_foreign(ForeignSecret::MailPassword)?,
            trusted: trusted.clone(),
        })?),
    };
    let robot = match config.webhook_kind {
        None => None,
        Some(manner) => {
            let url = keys.find_foreign(ForeignSecret::WebhookUrl)?;
            let url = url.ok_or(Error::Webhook("is missing"))?;
            let secret = keys.find_foreign(ForeignSecret::WebhookSecret)?;
            Some(Robot {
                manner,
                address: Address::parse(&url).map_err(Error::Webhook)?,
                secret: secret.unwrap_or_else(|| Zeroizing::new(String::new())),
                tls: outgoing(trusted.as_deref())?,
            })
        }
    };
    let hosts: Vec<String> = config.webhook_hosts.split_whitespace().map(str::to_owned).collect();
    let robots = match hosts.is_empty() {
        true => None,
        false => Some(Robots { hosts, tls: outgoing(trusted.as_deref())? }),
    };
    Ok(Ways { mail, robot, robots })
}

/// TLS to servers of the public web, and to those whose certificate the operator trusts.
fn outgoing(trusted: Option<&[u8]>) -> Result<Arc<ClientConfig>, Error> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    for certificate in trusted.map(CertificateDer::pem_slice_iter).into_iter().flatten() {
        let certificate = certificate.map_err(|_| Error::Trusted)?;
        roots.add(certificate).map_err(|_| Error::Trusted)?;
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|_| Error::Trusted)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
