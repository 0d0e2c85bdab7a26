//! Addresses at rest: encrypted under a key that is derived from the point's case key, so that they
//! are in no backup and no copied database in the clear.

use chacha20poly1305::{
    ChaCha20Poly1305, Key, KeyInit, Nonce,
    aead::{Aead, Payload},
};

use crate::identity::keys::CaseKey;

const NONCE: usize = 12;

/// Encrypts an address for its place; `nonce` is random and used once.
pub fn seal(key: &CaseKey, place: &[u8], address: &str, nonce: [u8; NONCE]) -> Vec<u8> {
    let payload = Payload { msg: address.as_bytes(), aad: place };
    let sealed = cipher(key).encrypt(&Nonce::from(nonce), payload);
    [&nonce[..], &sealed.expect("BUG: an address is short")].concat()
}

/// None if it was encrypted under another key, or for another place.
pub fn open(key: &CaseKey, place: &[u8], sealed: &[u8]) -> Option<String> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
    let payload = Payload { msg: sealed, aad: place };
    let address = cipher(key).decrypt(&Nonce::from(*nonce), payload).ok()?;
    String::from_utf8(address).ok()
}

fn cipher(key: &CaseKey) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(&Key::from(*key.derive("yizhan notice address v1")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_opens_at_its_place_and_nowhere_else() {
        let key = CaseKey::generate();
        let sealed = seal(&key, b"wang", "wang@example.org", [1; NONCE]);
        assert_eq!(open(&key, b"wang", &sealed).as_deref(), Some("wang@example.org"));
        assert_eq!(open(&key, b"li", &sealed), None);
        assert_eq!(open(&CaseKey::generate(), b"wang", &sealed), None);
        assert_eq!(open(&key, b"wang", b"short"), None);
        assert!(!sealed.windows(4).any(|part| part == b"wang"));
    }
}
