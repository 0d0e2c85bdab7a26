//! Public TLS keys, and what is signed with them. P-256 only, in one encoding only: whatever else
//! a SubjectPublicKeyInfo could say is refused before a parser of it runs.

use std::{fmt, str::FromStr};

use rustls_pki_types::{SignatureVerificationAlgorithm, alg_id};
use sha2::{Digest, Sha256};

use super::error::Error;

/// DER of a P-256 SubjectPublicKeyInfo up to the 64 bytes of the uncompressed point (RFC 5480).
const P256_PREFIX: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];
/// Bytes of the only SubjectPublicKeyInfo there is here.
pub const SPKI_LEN: usize = 91;
/// Where the uncompressed point begins, its leading 4 included.
const POINT_AT: usize = 26;

/// A P-256 public key as SubjectPublicKeyInfo. That the point lies on the curve shows when a
/// signature is checked; no certificate is issued without one.
#[derive(Clone, PartialEq, Eq)]
pub struct Spki([u8; SPKI_LEN]);

impl Spki {
    pub fn parse(der: &[u8]) -> Result<Spki, Error> {
        let der: [u8; SPKI_LEN] =
            der.try_into().map_err(|_| Error::malformed("the TLS public key"))?;
        if der[..P256_PREFIX.len()] != P256_PREFIX {
            return Err(Error::malformed("the TLS public key"));
        }
        Ok(Spki(der))
    }

    pub fn as_der(&self) -> &[u8] {
        &self.0
    }

    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.0)
    }

    /// Checks an ECDSA signature with SHA-256 in DER.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Error> {
        p256()
            .verify_signature(&self.0[POINT_AT..], message, signature)
            .map_err(|_| Error::BadSignature)
    }
}

impl fmt::Debug for Spki {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Spki({})", self.fingerprint())
    }
}

fn p256() -> &'static dyn SignatureVerificationAlgorithm {
    let all = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.all;
    *all.iter()
        .find(|algorithm| {
            algorithm.public_key_alg_id() == alg_id::ECDSA_P256
                && algorithm.signature_alg_id() == alg_id::ECDSA_SHA256
        })
        .expect("BUG: the provider has P-256 with SHA-256")
}

/// SHA-256 of a SubjectPublicKeyInfo. The authority's is what a token pins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    pub fn of(spki_der: &[u8]) -> Fingerprint {
        Fingerprint(Sha256::digest(spki_der).into())
    }
}

impl FromStr for Fingerprint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Fingerprint, Error> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| Error::malformed("the fingerprint"))?;
        Ok(Fingerprint(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PublicKeyData, SigningKey};

    use super::*;

    #[test]
    fn a_p256_key_is_read_and_its_signature_checked() {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let spki = Spki::parse(&key.subject_public_key_info()).unwrap();
        let signature = key.sign(b"message").unwrap();
        assert!(spki.verify(b"message", &signature).is_ok());
        assert!(spki.verify(b"massage", &signature).is_err());
        assert!(spki.verify(b"message", &signature[1..]).is_err());
    }

    #[test]
    fn any_other_public_key_is_refused() {
        let p256 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let good = p256.subject_public_key_info();
        let mut trailing = good.clone();
        trailing.push(0);
        let mut compressed = good.clone();
        compressed[26] = 2;
        let mut other_curve = good.clone();
        other_curve[22] = 6;
        let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let table: [(&str, Vec<u8>); 9] = [
            ("empty", vec![]),
            ("truncated", good[..90].to_vec()),
            ("trailing byte", trailing),
            ("compressed point", compressed),
            ("other curve", other_curve),
            ("P-384", p384.subject_public_key_info()),
            ("Ed25519", ed25519.subject_public_key_info()),
            ("zeros", vec![0; SPKI_LEN]),
            ("a megabyte", vec![0x30; 1 << 20]),
        ];
        for (name, der) in table {
            assert!(Spki::parse(&der).is_err(), "{name}");
        }
    }

    #[test]
    fn a_point_off_the_curve_proves_nothing() {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let mut der = key.subject_public_key_info();
        der[90] ^= 1;
        let spki = Spki::parse(&der).unwrap();
        assert!(spki.verify(b"message", &key.sign(b"message").unwrap()).is_err());
    }
}
