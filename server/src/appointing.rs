//! The authority appoints another issuer: one whose key was lost or may have been seen, or before that.
//!
//! The new issuer's certificate names a new key for the roster too. Certificates that the former issuer
//! has given out stay good until they end, since the roster says whom they let in; every node learns of
//! the new issuer with its next certificate. The roster then goes on in an epoch that the new key signs.

use std::path::Path;

use ed25519_dalek::SigningKey;

use crate::{
    config::Config,
    found::KEYS,
    identity::{
        authority::Subject,
        error::Error as IdentityError,
        keys::{KeyDirectory, TlsIdentity, TlsKey, read_authority},
        spki::Fingerprint,
    },
    node::{NodeError, lock},
    outside::Outside,
};

#[derive(Debug, thiserror::Error)]
pub enum AppointError {
    #[error("this node did not found the network: the issuer is at {founder}")]
    NotFounder { founder: String },
    #[error("the authority's key is not here")]
    NoAuthority,
    #[error("this is the authority of another network")]
    OtherAuthority,
    #[error("the node's directory cannot be used")]
    Node(#[from] NodeError),
    #[error("keys or certificates failed")]
    Identity(#[from] IdentityError),
}

impl AppointError {
    /// Stable, for scripts.
    pub fn reason(&self) -> &'static str {
        match self {
            AppointError::NotFounder { .. } => "NOT_FOUNDING_NODE",
            AppointError::NoAuthority => "NO_AUTHORITY",
            AppointError::OtherAuthority => "WRONG_AUTHORITY",
            AppointError::Node(error) => error.reason(),
            AppointError::Identity(error) => error.reason(),
        }
    }

    /// What to do, in English and Chinese.
    pub fn advice(&self) -> (&'static str, &'static str) {
        match self {
            AppointError::NotFounder { .. } => {
                ("run it at the founding node", "请在创始节点上执行")
            }
            AppointError::NoAuthority => (
                "bring authority.pem from its safe (mode 0600) and name it by --authority",
                "请取出保管的 authority.pem（权限 0600），并用 --authority 指明",
            ),
            AppointError::OtherAuthority => (
                "bring the authority.pem that `init` has made here",
                "请使用本网络创建时的 authority.pem",
            ),
            AppointError::Node(NodeError::Running) => ("stop the node first", "请先停止该节点"),
            AppointError::Node(_) | AppointError::Identity(_) => {
                ("see the message above, and try again", "请参看上面的说明后重试")
            }
        }
    }
}

/// Puts the new issuer's keys and this node's new certificate in place. Whoever calls opens the roster's
/// next epoch then. Cut short at any moment, it may be done again.
pub fn replace_issuer(
    dir: &Path,
    config: &Config,
    authority: Option<&Path>,
    outside: &Outside,
) -> Result<Fingerprint, AppointError> {
    let _lock = lock(dir)?;
    let directory = KeyDirectory::open(&dir.join(KEYS))?;
    if config.point != config.founder {
        let founder = config.founder.as_ref().map(ToString::to_string).unwrap_or_default();
        return Err(AppointError::NotFounder { founder });
    }
    let authority = match authority {
        Some(path) => read_authority(path)?,
        None => directory.load_authority()?.ok_or(AppointError::NoAuthority)?,
    };
    let tls = directory.load_tls()?;
    if tls.chain.authority_fingerprint() != authority.fingerprint() {
        return Err(AppointError::OtherAuthority);
    }
    let now = outside.now();
    let roster_key = SigningKey::from_bytes(&outside.random());
    let issuer = authority.appoint(
        &config.network,
        TlsKey::generate()?,
        &roster_key.verifying_key(),
        now,
    )?;
    // The names are those of the certificate that it has; the roster may not be read without a node.
    let peer = tls.chain.peer().clone();
    let public_host = crate::found::public_host(&config.listen_public);
    let subject = Subject { point: peer.point, node: peer.node, public_host };
    let chain = issuer.issue(&subject, tls.key.spki(), now)?;
    let renewed = TlsIdentity::new(tls.key, chain)?;
    directory.save_roster_key(&roster_key)?;
    directory.save_issuer(&issuer)?;
    directory.save_tls(&renewed)?;
    Ok(authority.fingerprint())
}
