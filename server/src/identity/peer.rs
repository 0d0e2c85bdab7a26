//! The identity in a certificate: one DNS name under `point.yizhan.internal`, read strictly.
//!
//! DNS names and not URIs, because name constraints on URIs are refused by webpki altogether.

use rustls_pki_types::CertificateDer;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

use super::{error::Error, spki::Spki};
use crate::domain::{id::PointCode, roster::NodeId};

/// What every link identity ends with.
pub const LINK_SUFFIX: &str = ".point.yizhan.internal";

/// Who is at the other end: the point and node that a verified certificate names. Whether the
/// roster still knows them is a separate question.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Peer {
    pub point: PointCode,
    pub node: NodeId,
    /// SHA-256 of the SubjectPublicKeyInfo of its TLS key.
    pub spki_sha256: [u8; 32],
}

impl Peer {
    /// Reads the identity out of an end-entity certificate that has been verified.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Peer, Error> {
        let certificate = parse(certificate)?;
        let mut names = identity_names(&certificate)?;
        let (Some(name), None) = (names.next(), names.next()) else {
            return Err(Error::malformed("the identity of the certificate"));
        };
        let (point, node) = parse_link_name(name)?;
        let spki_sha256 = spki(&certificate)?.fingerprint().0;
        Ok(Peer { point, node, spki_sha256 })
    }

    pub fn link_name(&self) -> String {
        link_name(&self.point, self.node)
    }
}

/// `gb-lon.00ff10a0b0c0d0e0.point.yizhan.internal`
pub fn link_name(point: &PointCode, node: NodeId) -> String {
    format!("{}.{node}{LINK_SUFFIX}", point.as_str().to_ascii_lowercase())
}

/// The name asked for when a point is dialled, whichever of its nodes answers.
pub fn dialled_name(point: &PointCode) -> String {
    format!("{}{LINK_SUFFIX}", point.as_str().to_ascii_lowercase())
}

/// Reads exactly what `link_name` writes: two labels, lower case, nothing before or after.
pub fn parse_link_name(name: &str) -> Result<(PointCode, NodeId), Error> {
    let wrong = || Error::malformed("the identity of the certificate");
    let labels = name.strip_suffix(LINK_SUFFIX).ok_or_else(wrong)?;
    let (point, node) = labels.split_once('.').ok_or_else(wrong)?;
    if point.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(wrong());
    }
    let point = point.to_ascii_uppercase().parse().map_err(|_| wrong())?;
    Ok((point, node.parse().map_err(|_| wrong())?))
}

/// Parses a certificate and nothing behind it.
pub(super) fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Error> {
    match X509Certificate::from_der(certificate) {
        Ok(([], parsed)) => Ok(parsed),
        _ => Err(Error::malformed("the certificate")),
    }
}

pub(super) fn spki(certificate: &X509Certificate<'_>) -> Result<Spki, Error> {
    Spki::parse(certificate.public_key().raw)
}

/// All DNS names of a certificate.
pub(super) fn dns_names<'a>(
    certificate: &'a X509Certificate<'_>,
) -> Result<impl Iterator<Item = &'a str>, Error> {
    let extension = certificate
        .subject_alternative_name()
        .map_err(|_| Error::malformed("the names of the certificate"))?;
    let names = extension.map(|extension| extension.value.general_names.as_slice());
    Ok(names.unwrap_or_default().iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(*name),
        _ => None,
    }))
}

/// Names that claim to be a link identity, in any spelling: a second one is never overlooked.
fn identity_names<'a>(
    certificate: &'a X509Certificate<'_>,
) -> Result<impl Iterator<Item = &'a str>, Error> {
    Ok(dns_names(certificate)?
        .filter(|name| name.to_ascii_lowercase().contains("point.yizhan.internal")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_name_is_read_as_it_was_written() {
        let point: PointCode = "CN-440100-2".parse().unwrap();
        let name = link_name(&point, NodeId([0xab; 8]));
        assert_eq!(name, "cn-440100-2.abababababababab.point.yizhan.internal");
        assert_eq!(parse_link_name(&name).unwrap(), (point, NodeId([0xab; 8])));
    }

    #[test]
    fn any_other_spelling_of_a_link_name_is_refused() {
        for name in [
            "",
            ".point.yizhan.internal",
            "gb-lon.point.yizhan.internal",
            "GB-LON.abababababababab.point.yizhan.internal",
            "gb-lon.ABABABABABABABAB.point.yizhan.internal",
            "gb-lon.abababababababab.point.yizhan.internal.",
            "gb-lon.abababababababab.x.point.yizhan.internal",
            "x.gb-lon.abababababababab.point.yizhan.internal",
            "*.abababababababab.point.yizhan.internal",
            "gb-lon.abababababababab.point.yizhan.internal.example.org",
            "gb-lon.abababababababab.pointxyizhan.internal",
        ] {
            assert!(parse_link_name(name).is_err(), "{name}");
        }
    }
}
