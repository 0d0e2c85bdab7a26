//! Networks and identities for the tests of this folder and of the listeners.

use ed25519_dalek::SigningKey;

use super::{
    authority::{Authority, Issuer, Subject},
    keys::{TlsIdentity, TlsKey},
};
use crate::domain::{id::PointCode, roster::NodeId, time::Time};

/// 2023-10-20T00:00:00Z.
pub const NOW: Time = Time(1_697_760_000_000_000);

/// A network that has just been founded.
pub struct Network {
    pub authority: Authority,
    pub issuer: Issuer,
    pub roster: SigningKey,
}

impl Network {
    pub fn found() -> Network {
        Network::found_at(NOW)
    }

    pub fn found_at(now: Time) -> Network {
        let authority = Authority::found("gd", now).unwrap();
        let roster = SigningKey::from_bytes(&rand::random());
        let key = TlsKey::generate().unwrap();
        let issuer = authority.appoint("gd", key, &roster.verifying_key(), now).unwrap();
        Network { authority, issuer, roster }
    }

    pub fn identity(&self, code: &str, node: u8) -> TlsIdentity {
        self.identity_at(code, node, NOW)
    }

    pub fn identity_at(&self, code: &str, node: u8, now: Time) -> TlsIdentity {
        let key = TlsKey::generate().unwrap();
        let subject = Subject { point: point(code), node: NodeId([node; 8]), public_host: None };
        let chain = self.issuer.issue(&subject, key.spki(), now).unwrap();
        TlsIdentity::new(key, chain).unwrap()
    }
}

pub fn point(code: &str) -> PointCode {
    code.parse().unwrap()
}
