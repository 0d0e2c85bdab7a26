//! The authority, the issuer it appoints, and the certificates the issuer gives out.
//!
//! Of a node only its public key is taken; names, validity, rights and serial number are ours.

use std::{net::IpAddr, time::Duration};

use ed25519_dalek::VerifyingKey;
use rand::Rng;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer as Signer, KeyUsagePurpose, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use rustls_pki_types::CertificateDer;

use super::{
    chain::{Chain, roster_key_in, roster_key_name, spki_of},
    error::Error,
    keys::TlsKey,
    peer::link_name,
    spki::{Fingerprint, Spki},
};
use crate::domain::{id::PointCode, roster::NodeId, time::Time};

/// A node's certificate is good for this long.
pub const CERTIFICATE_LIFE: Duration = Duration::from_secs(72 * 3600);
/// A certificate begins this much before it is issued, for clocks that are behind.
pub const BACKDATED: Duration = Duration::from_secs(5 * 60);
/// The authority lies in a safe and outlives what it signs.
const AUTHORITY_LIFE: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
const ISSUER_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
const SERIAL_BYTES: usize = 16;

/// What every public certificate covers, for callers on the same machine.
const LOCAL_HOST: &str = "localhost";
const LOCAL_ADDRESSES: [IpAddr; 2] =
    [IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)];

/// Whom a certificate is for: always from the roster, never from a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subject {
    pub point: PointCode,
    pub node: NodeId,
    /// Host of its public address, if it has one of its own.
    pub public_host: Option<String>,
}

/// The key that a network is known by.
pub struct Authority {
    key: TlsKey,
    certificate: CertificateDer<'static>,
}

impl Authority {
    /// Founds a network.
    pub fn found(network: &str, now: Time) -> Result<Authority, Error> {
        let key = TlsKey::generate()?;
        let mut params = blank(&format!("{network} authority"), now, AUTHORITY_LIFE)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let certificate = params.self_signed(key.pair())?.der().clone();
        Ok(Authority { key, certificate })
    }

    pub fn new(key: TlsKey, certificate: CertificateDer<'static>) -> Result<Authority, Error> {
        if spki_of(&certificate)? != *key.spki() {
            return Err(Error::KeyMismatch);
        }
        Ok(Authority { key, certificate })
    }

    pub fn key(&self) -> &TlsKey {
        &self.key
    }

    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    pub fn fingerprint(&self) -> Fingerprint {
        self.key.spki().fingerprint()
    }

    /// Makes a key the issuer's, and names the key that signs the roster. A later appointment
    /// replaces an earlier one; nodes learn of it from their next certificate.
    pub fn appoint(
        &self,
        network: &str,
        issuer: TlsKey,
        roster_key: &VerifyingKey,
        now: Time,
    ) -> Result<Issuer, Error> {
        let mut params = blank(&format!("{network} issuer"), now, ISSUER_LIFE)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        params.subject_alt_names = vec![dns(&roster_key_name(roster_key))?];
        params.use_authority_key_identifier_extension = true;
        let public = public_key(issuer.spki())?;
        let signer = Signer::from_ca_cert_der(&self.certificate, self.key.pair())?;
        let certificate = params.signed_by(&public, &signer)?.der().clone();
        Issuer::new(issuer, certificate, self.certificate.clone())
    }
}

/// The key that signs node certificates, at the founding node.
pub struct Issuer {
    key: TlsKey,
    certificate: CertificateDer<'static>,
    authority: CertificateDer<'static>,
}

impl Issuer {
    pub fn new(
        key: TlsKey,
        certificate: CertificateDer<'static>,
        authority: CertificateDer<'static>,
    ) -> Result<Issuer, Error> {
        if spki_of(&certificate)? != *key.spki() {
            return Err(Error::KeyMismatch);
        }
        roster_key_in(&certificate)?;
        Ok(Issuer { key, certificate, authority })
    }

    pub fn key(&self) -> &TlsKey {
        &self.key
    }

    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    pub fn authority(&self) -> &CertificateDer<'static> {
        &self.authority
    }

    /// A certificate for a node's key. One leaf serves both addresses: the link identity, and the
    /// names by which people's programs call the public address.
    pub fn issue(&self, subject: &Subject, spki: &Spki, now: Time) -> Result<Chain, Error> {
        let identity = link_name(&subject.point, subject.node);
        let mut params = blank(&identity, now, CERTIFICATE_LIFE)?;
        params.subject_alt_names = vec![dns(&identity)?, dns(LOCAL_HOST)?];
        params.subject_alt_names.extend(LOCAL_ADDRESSES.map(SanType::IpAddress));
        if let Some(host) = &subject.public_host {
            let host = crate::wire::roster::public_host(host)?;
            params.subject_alt_names.push(match host.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => dns(&host)?,
            });
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let signer = Signer::from_ca_cert_der(&self.certificate, self.key.pair())?;
        let leaf = params.signed_by(&public_key(spki)?, &signer)?.der().clone();
        Chain::new(vec![leaf, self.certificate.clone(), self.authority.clone()])
    }
}

fn public_key(spki: &Spki) -> Result<SubjectPublicKeyInfo, Error> {
    Ok(SubjectPublicKeyInfo::from_der(spki.as_der())?)
}

fn dns(name: &str) -> Result<SanType, Error> {
    Ok(SanType::DnsName(name.try_into()?))
}

/// A certificate that says nothing yet but a name for people, a time and a random number.
fn blank(name: &str, now: Time, life: Duration) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let mut serial = [0; SERIAL_BYTES];
    rand::rng().fill_bytes(&mut serial);
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let now = Duration::from_micros(u64::try_from(now.0).unwrap_or(0));
    params.not_before = epoch + now.saturating_sub(BACKDATED);
    params.not_after = epoch + now + life;
    Ok(params)
}

#[cfg(test)]
#[path = "authority_tests.rs"]
mod tests;
