//! A node's certificate chain: node, issuer, authority, always these three and in this order.
//!
//! The issuer's certificate also names the Ed25519 key that signs the roster's feed, so that one
//! signature of the authority vouches for both.

use ed25519_dalek::VerifyingKey;
use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::{
    error::Error,
    peer::{self, Peer},
    spki::{Fingerprint, Spki},
};
use crate::domain::time::Time;

/// What the issuer's statement of the roster key ends with; before it, 52 base32 digits.
pub const ROSTER_KEY_SUFFIX: &str = ".roster.yizhan.internal";
/// Certificates in a chain.
const CHAIN_LEN: usize = 3;
/// Largest chain in PEM that is looked at, in bytes.
pub const CHAIN_PEM_MAX: usize = 16 * 1024;

/// From the first to the last moment at which a certificate is good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Validity {
    pub not_before: Time,
    pub not_after: Time,
}

impl Validity {
    pub fn covers(&self, now: Time) -> bool {
        self.not_before <= now && now <= self.not_after
    }
}

/// A chain that is consistent in itself: each certificate is signed by the next one, and all keys
/// are P-256. Whose authority it is, and whether it is valid now, `check` says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chain {
    /// Node, issuer, authority.
    certificates: [CertificateDer<'static>; CHAIN_LEN],
    peer: Peer,
    validity: Validity,
    authority: Fingerprint,
    roster_key: VerifyingKey,
}

impl Chain {
    pub fn from_pem(pem: &str) -> Result<Chain, Error> {
        if pem.len() > CHAIN_PEM_MAX {
            return Err(Error::malformed("the certificate chain"));
        }
        let certificates = CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| Error::malformed("the certificate chain"))?;
        Chain::new(certificates)
    }

    pub fn new(certificates: Vec<CertificateDer<'static>>) -> Result<Chain, Error> {
        let certificates: [CertificateDer<'static>; CHAIN_LEN] =
            certificates.try_into().map_err(|_| Error::malformed("the certificate chain"))?;
        let [node, issuer, authority] = &certificates;
        check_signed(node, issuer)?;
        check_signed(issuer, authority)?;
        check_signed(authority, authority)?;
        let validity = validity(node)?;
        Ok(Chain {
            peer: Peer::of(node)?,
            validity,
            authority: spki_of(authority)?.fingerprint(),
            roster_key: roster_key_in(issuer)?,
            certificates,
        })
    }

    /// Is it of this authority, and valid at this moment?
    pub fn check(&self, authority: &Fingerprint, now: Time) -> Result<(), Error> {
        if self.authority != *authority {
            return Err(Error::WrongAuthority);
        }
        if !self.validity.covers(now) {
            return Err(Error::NotValidNow);
        }
        Ok(())
    }

    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    pub fn validity(&self) -> Validity {
        self.validity
    }

    pub fn authority_fingerprint(&self) -> Fingerprint {
        self.authority
    }

    pub fn authority_certificate(&self) -> &CertificateDer<'static> {
        &self.certificates[2]
    }

    /// The key that signs the roster's feed, by the authority's word.
    pub fn roster_key(&self) -> VerifyingKey {
        self.roster_key
    }

    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    pub fn to_pem(&self) -> String {
        self.certificates.iter().map(certificate_pem).collect()
    }

    /// What clients pin: the content of `ca.pem`.
    pub fn authority_pem(&self) -> String {
        certificate_pem(self.authority_certificate())
    }
}

/// The public key of a certificate.
pub fn spki_of(certificate: &CertificateDer<'_>) -> Result<Spki, Error> {
    peer::spki(&peer::parse(certificate)?)
}

/// The roster key in an issuer's certificate.
pub fn roster_key_in(issuer: &CertificateDer<'_>) -> Result<VerifyingKey, Error> {
    let wrong = || Error::malformed("the roster key in the issuer's certificate");
    let issuer = peer::parse(issuer)?;
    let mut names = peer::dns_names(&issuer)?.filter_map(|n| n.strip_suffix(ROSTER_KEY_SUFFIX));
    let (Some(digits), None) = (names.next(), names.next()) else { return Err(wrong()) };
    let upper = digits.to_ascii_uppercase();
    let bytes = data_encoding::BASE32_NOPAD.decode(upper.as_bytes()).map_err(|_| wrong())?;
    let bytes: [u8; 32] = bytes.try_into().map_err(|_| wrong())?;
    let key = VerifyingKey::from_bytes(&bytes).map_err(|_| wrong())?;
    if key.is_weak() { Err(wrong()) } else { Ok(key) }
}

/// The other direction of `roster_key_in`.
pub(super) fn roster_key_name(key: &VerifyingKey) -> String {
    let digits = data_encoding::BASE32_NOPAD.encode(key.as_bytes()).to_ascii_lowercase();
    format!("{digits}{ROSTER_KEY_SUFFIX}")
}

pub fn validity(certificate: &CertificateDer<'_>) -> Result<Validity, Error> {
    let certificate = peer::parse(certificate)?;
    let moment = |seconds: i64| Time(seconds.saturating_mul(1_000_000));
    let validity = certificate.validity();
    Ok(Validity {
        not_before: moment(validity.not_before.timestamp()),
        not_after: moment(validity.not_after.timestamp()),
    })
}

fn check_signed(
    certificate: &CertificateDer<'_>,
    signer: &CertificateDer<'_>,
) -> Result<(), Error> {
    let signer = spki_of(signer)?;
    let certificate = peer::parse(certificate)?;
    signer.verify(certificate.tbs_certificate.as_ref(), &certificate.signature_value.data)
}

pub(super) fn certificate_pem(certificate: &CertificateDer<'_>) -> String {
    pem("CERTIFICATE", certificate)
}

/// One PEM block (RFC 7468).
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    const LINE: usize = 64;
    let body = zeroize::Zeroizing::new(data_encoding::BASE64.encode(der));
    let mut text = String::with_capacity(body.len() + body.len() / LINE + 2 * label.len() + 40);
    text.push_str(&format!("-----BEGIN {label}-----\n"));
    for line in body.as_bytes().chunks(LINE) {
        text.extend(line.iter().map(|&byte| byte as char));
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}
