//! Proofs that a node holds the private halves of the keys it names, over a fresh nonce.
//!
//! TLS and seal keys sign. A case key cannot sign: it seals to a key made for the nonce, in HPKE's
//! auth mode (RFC 9180, 5.1.3), which nobody without its private half can do.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use hpke::{
    Deserializable, Kem as _, OpModeR, OpModeS, Serializable, aead::ChaCha20Poly1305,
    kdf::HkdfSha256, single_shot_open, single_shot_seal,
};
use prost::Message;
use sha2::{Digest, Sha256};
use std::time::Duration;
use yizhan_proto::v1;

use super::{
    error::Error,
    keys::{CaseKem, CaseKey, TlsKey},
    spki::Spki,
};
use crate::domain::time::Time;

/// What is signed begins with one of these, so that no signature fits anything else.
const ENROL_CONTEXT: &[u8] = b"yizhan 2026 enrol\0";
const RENEW_CONTEXT: &[u8] = b"yizhan 2026 renew\0";
const CASE_CONTEXT: &[u8] = b"yizhan 2026 enrol case key\0";
const NONCE_CONTEXT: &str = "yizhan 2026 enrolment nonce";
const CHALLENGE_CONTEXT: &str = "yizhan 2026 enrolment challenge key";

/// A nonce is good for this long.
pub const NONCE_LIFE: Duration = Duration::from_secs(60);
/// Largest signed body, in bytes.
pub const BODY_MAX: usize = 4 * 1024;

const MOMENT_LEN: usize = 8;
const RANDOM_LEN: usize = 16;
const MAC_LEN: usize = 16;
const NONCE_LEN: usize = MOMENT_LEN + RANDOM_LEN + MAC_LEN;

/// Makes nonces and knows them again without keeping them: each carries its moment and a MAC under
/// a key that lives as long as the process.
pub struct Nonces {
    key: [u8; 32],
}

impl Default for Nonces {
    fn default() -> Nonces {
        Nonces { key: rand::random() }
    }
}

impl Nonces {
    pub fn make(&self, now: Time) -> v1::GetNonceResponse {
        let mut nonce = Vec::with_capacity(NONCE_LEN);
        nonce.extend(now.0.to_be_bytes());
        nonce.extend(rand::random::<[u8; RANDOM_LEN]>());
        let mac = self.mac(&nonce);
        nonce.extend(mac);
        let (_, public) = self.challenge(&nonce);
        v1::GetNonceResponse { challenge_key: public.to_bytes().to_vec(), nonce }
    }

    pub fn check(&self, nonce: &[u8], now: Time) -> Result<(), NotFresh> {
        let Some((stated, mac)) = nonce.split_at_checked(NONCE_LEN - MAC_LEN) else {
            return Err(NotFresh);
        };
        let mac: [u8; MAC_LEN] = mac.try_into().map_err(|_| NotFresh)?;
        if !constant_time_eq(&mac, &self.mac(stated)) {
            return Err(NotFresh);
        }
        let (moment, _) = stated.split_first_chunk::<MOMENT_LEN>().ok_or(NotFresh)?;
        let age_us = now.0.checked_sub(i64::from_be_bytes(*moment)).ok_or(NotFresh)?;
        let age = Duration::from_micros(u64::try_from(age_us).map_err(|_| NotFresh)?);
        if age > NONCE_LIFE { Err(NotFresh) } else { Ok(()) }
    }

    /// Checks that the sender of an enrolment holds its case key. Only the node that gave the nonce
    /// can; an issuer further up relies on it.
    pub fn check_case_key(
        &self,
        nonce: &[u8],
        case_key: &[u8; 32],
        request: &v1::EnrolRequest,
    ) -> Result<(), Error> {
        let wrong = |_| Error::BadSignature;
        let (private, _) = self.challenge(nonce);
        let sender = <CaseKem as hpke::Kem>::PublicKey::from_bytes(case_key).map_err(wrong)?;
        let encapsulated =
            <CaseKem as hpke::Kem>::EncappedKey::from_bytes(&request.case_encapsulated)
                .map_err(wrong)?;
        let digest = Sha256::digest(&request.body);
        let opened = single_shot_open::<ChaCha20Poly1305, HkdfSha256, CaseKem>(
            &OpModeR::Auth(sender),
            &private,
            &encapsulated,
            CASE_CONTEXT,
            &request.case_ciphertext,
            &digest,
        )
        .map_err(wrong)?;
        if opened[..] == digest[..] { Ok(()) } else { Err(Error::BadSignature) }
    }

    fn mac(&self, stated: &[u8]) -> [u8; MAC_LEN] {
        let key = blake3::derive_key(NONCE_CONTEXT, &self.key);
        let mut mac = [0; MAC_LEN];
        mac.copy_from_slice(&blake3::keyed_hash(&key, stated).as_bytes()[..MAC_LEN]);
        mac
    }

    fn challenge(
        &self,
        nonce: &[u8],
    ) -> (<CaseKem as hpke::Kem>::PrivateKey, <CaseKem as hpke::Kem>::PublicKey) {
        let key = blake3::derive_key(CHALLENGE_CONTEXT, &self.key);
        CaseKem::derive_keypair(blake3::keyed_hash(&key, nonce).as_bytes())
    }
}

/// The nonce is not ours, or too old.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotFresh;

fn constant_time_eq(one: &[u8; MAC_LEN], other: &[u8; MAC_LEN]) -> bool {
    one.iter().zip(other).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

/// Signs an enrolment with all three keys.
pub fn prove_enrolment(
    body: &v1::EnrolBody,
    challenge_key: &[u8],
    tls: &TlsKey,
    seal: &SigningKey,
    case: &CaseKey,
) -> Result<v1::EnrolRequest, Error> {
    let wrong = |_| Error::malformed("the challenge key");
    let body = body.encode_to_vec();
    let signed = [ENROL_CONTEXT, &body].concat();
    let recipient = <CaseKem as hpke::Kem>::PublicKey::from_bytes(challenge_key).map_err(wrong)?;
    let private = case.private();
    let public = CaseKem::sk_to_pk(&private);
    let digest = Sha256::digest(&body);
    let (encapsulated, ciphertext) = single_shot_seal::<ChaCha20Poly1305, HkdfSha256, CaseKem>(
        &OpModeS::Auth((private, public)),
        &recipient,
        CASE_CONTEXT,
        &digest,
        &digest,
    )
    .map_err(wrong)?;
    Ok(v1::EnrolRequest {
        tls_signature: tls.sign(&signed)?,
        seal_signature: seal.sign(&signed).to_bytes().to_vec(),
        case_encapsulated: encapsulated.to_bytes().to_vec(),
        case_ciphertext: ciphertext,
        body,
    })
}

/// Checks the two signatures of an enrolment.
pub fn check_enrolment(
    request: &v1::EnrolRequest,
    tls: &Spki,
    seal: &[u8; 32],
) -> Result<(), Error> {
    let signed = [ENROL_CONTEXT, &request.body].concat();
    tls.verify(&signed, &request.tls_signature)?;
    check_seal(&signed, seal, &request.seal_signature)
}

/// Signs a renewal with TLS and seal key.
pub fn prove_renewal(
    body: &v1::RenewBody,
    tls: &TlsKey,
    seal: &SigningKey,
) -> Result<v1::RenewRequest, Error> {
    let body = body.encode_to_vec();
    let signed = [RENEW_CONTEXT, &body].concat();
    Ok(v1::RenewRequest {
        tls_signature: tls.sign(&signed)?,
        seal_signature: seal.sign(&signed).to_bytes().to_vec(),
        body,
    })
}

/// Checks the two signatures of a renewal.
pub fn check_renewal(request: &v1::RenewRequest, tls: &Spki, seal: &[u8; 32]) -> Result<(), Error> {
    let signed = [RENEW_CONTEXT, &request.body].concat();
    tls.verify(&signed, &request.tls_signature)?;
    check_seal(&signed, seal, &request.seal_signature)
}

fn check_seal(signed: &[u8], key: &[u8; 32], signature: &[u8]) -> Result<(), Error> {
    let key = VerifyingKey::from_bytes(key).map_err(|_| Error::malformed("the seal key"))?;
    let signature = Signature::from_slice(signature).map_err(|_| Error::BadSignature)?;
    key.verify_strict(signed, &signature).map_err(|_| Error::BadSignature)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_000_000_000);

    #[test]
    fn a_nonce_is_known_again_for_a_minute() {
        let nonces = Nonces::default();
        let nonce = nonces.make(NOW).nonce;
        let at = |seconds: i64| nonces.check(&nonce, Time(NOW.0 + seconds * 1_000_000));
        assert_eq!(at(0), Ok(()));
        assert_eq!(at(60), Ok(()));
        assert_eq!(at(61), Err(NotFresh));
        assert_eq!(at(-1), Err(NotFresh));
        assert_eq!(Nonces::default().check(&nonce, NOW), Err(NotFresh));
        for index in 0..nonce.len() {
            let mut other = nonce.clone();
            other[index] ^= 1;
            assert_eq!(nonces.check(&other, NOW), Err(NotFresh), "{index}");
            assert_eq!(nonces.check(&nonce[..index], NOW), Err(NotFresh));
        }
    }

    #[test]
    fn each_key_has_to_prove_itself() {
        let nonces = Nonces::default();
        let given = nonces.make(NOW);
        let (tls, other_tls) = (TlsKey::generate().unwrap(), TlsKey::generate().unwrap());
        let (seal, other_seal) =
            (SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32]));
        let (case, other_case) = (CaseKey::generate(), CaseKey::generate());
        let body = v1::EnrolBody { nonce: given.nonce.clone(), ..Default::default() };
        let prove = |tls, seal, case| {
            prove_enrolment(&body, &given.challenge_key, tls, seal, case).unwrap()
        };
        let check = |request: &v1::EnrolRequest| {
            check_enrolment(request, tls.spki(), &seal.verifying_key().to_bytes()).is_ok()
        };
        let check_case = |request: &v1::EnrolRequest| {
            nonces.check_case_key(&given.nonce, &case.public(), request).is_ok()
        };
        let good = prove(&tls, &seal, &case);
        assert!(check(&good) && check_case(&good));
        assert!(!check(&prove(&other_tls, &seal, &case)));
        assert!(!check(&prove(&tls, &other_seal, &case)));
        assert!(!check_case(&prove(&tls, &seal, &other_case)));
        let mut altered = good.clone();
        altered.body.push(0);
        assert!(!check(&altered) && !check_case(&altered));
        let other = nonces.make(NOW);
        assert!(nonces.check_case_key(&other.nonce, &case.public(), &good).is_err());
    }

    #[test]
    fn a_signature_for_renewal_does_not_enrol() {
        let (tls, seal) = (TlsKey::generate().unwrap(), SigningKey::from_bytes(&[1; 32]));
        let renewal = prove_renewal(&v1::RenewBody::default(), &tls, &seal).unwrap();
        let public = seal.verifying_key().to_bytes();
        assert!(check_renewal(&renewal, tls.spki(), &public).is_ok());
        let enrolment = v1::EnrolRequest {
            body: renewal.body,
            tls_signature: renewal.tls_signature,
            seal_signature: renewal.seal_signature,
            ..Default::default()
        };
        assert!(check_enrolment(&enrolment, tls.spki(), &public).is_err());
    }
}
