//! What only a client of the help desk and its handlers can read: the tracking code, what is derived
//! from it, and the sealing of content. Pure, and shared by both ends.
//!
//! Of the code a client sends two derived values and keeps the third, so that whoever holds the
//! node's tables can neither look a request up nor read it.

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use rand::Rng;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Crockford's base 32: no I, L, O and U.
const SYMBOLS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Symbols that carry the secret: 95 bits.
const DATA: usize = 19;
/// Separates this use of the code from any other.
const SALT: &[u8] = b"yizhan tracking code v1";
/// Sizes that content is padded to, its length and the tag included: who sees it stored learns no
/// more of its length.
const BUCKETS: [usize; 6] = [256, 1_024, 4 * 1_024, 16 * 1_024, 32 * 1_024, 48 * 1_024];
/// Bytes before what is sealed that say how long it is.
const LENGTH: usize = 4;
const NONCE: usize = 24;
const TAG: usize = 16;

/// A key to seal under.
pub type Key = Zeroizing<[u8; 32]>;

/// The secret of one request: 19 symbols and a check symbol.
#[derive(Clone, PartialEq, Eq)]
pub struct TrackingCode([u8; DATA]);

/// Why a text is no tracking code.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadCode {
    #[error("has not twenty symbols")]
    Length,
    #[error("has a sign that no code has")]
    Symbol,
    /// A symbol is mistyped, or two have changed places.
    #[error("is mistyped")]
    Check,
}

impl TrackingCode {
    pub fn random() -> TrackingCode {
        let mut symbols = [0u8; DATA];
        rand::rng().fill_bytes(&mut symbols);
        TrackingCode(symbols.map(|byte| byte & 31))
    }

    /// The code that a key leads to, for whoever knows `secret`: a submission that is repeated gets
    /// the same one.
    pub fn of_key(secret: &[u8; 32], key: &str) -> TrackingCode {
        let mut symbols = [0; DATA];
        let derived = Hkdf::<Sha256>::new(Some(SALT), secret);
        derived
            .expand_multi_info(&[b"code of key", key.as_bytes()], &mut symbols)
            .expect("BUG: 19 bytes can be derived");
        TrackingCode(symbols.map(|byte| byte & 31))
    }

    /// Reads a code as people type it: any case, hyphens or blanks anywhere, O for 0, I and L for 1.
    pub fn parse(text: &str) -> Result<TrackingCode, BadCode> {
        let mut symbols = Vec::with_capacity(DATA + 1);
        for c in text.chars().filter(|c| *c != '-' && !c.is_whitespace()) {
            let c = match c.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            };
            let at = SYMBOLS.iter().position(|symbol| char::from(*symbol) == c);
            symbols.push(at.ok_or(BadCode::Symbol)? as u8);
            if symbols.len() > DATA + 1 {
                return Err(BadCode::Length);
            }
        }
        let (check, data) = symbols.split_last().ok_or(BadCode::Length)?;
        let data: [u8; DATA] = data.try_into().map_err(|_| BadCode::Length)?;
        if *check != check_symbol(&data) {
            return Err(BadCode::Check);
        }
        Ok(TrackingCode(data))
    }

    /// Twenty symbols in five groups. Shown once, and never put into a log or an address.
    pub fn reveal(&self) -> String {
        let all = self.0.iter().copied().chain([check_symbol(&self.0)]);
        let mut text = String::with_capacity(DATA + 5);
        for (at, symbol) in all.enumerate() {
            if at > 0 && at % 4 == 0 {
                text.push('-');
            }
            text.push(char::from(SYMBOLS[usize::from(symbol)]));
        }
        text
    }

    /// What the node may see.
    pub fn lookup_id(&self) -> [u8; 32] {
        *self.derive(b"look-up id")
    }

    /// What the node may see, to tell the client from others who know the look-up id.
    pub fn mac_key(&self) -> [u8; 32] {
        *self.derive(b"mac key")
    }

    /// What never leaves the client.
    pub fn reply_key(&self) -> Key {
        self.derive(b"reply key")
    }

    fn derive(&self, purpose: &[u8]) -> Key {
        let mut key = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(Some(SALT), &self.0)
            .expand(purpose, key.as_mut())
            .expect("BUG: 32 bytes can be derived");
        key
    }
}

impl std::fmt::Debug for TrackingCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TrackingCode")
    }
}

/// The sum of all symbols, each times another power of a generator, in the field of 32 elements:
/// one wrong symbol, and any two that change places, change it.
fn check_symbol(data: &[u8; DATA]) -> u8 {
    let (mut sum, mut weight) = (0, 1);
    for symbol in data {
        weight = times(weight, 2);
        sum ^= times(weight, *symbol);
    }
    sum
}

/// Product in GF(32) modulo x^5 + x^2 + 1.
fn times(a: u8, b: u8) -> u8 {
    let mut product = 0u16;
    for bit in 0..5 {
        if b & (1 << bit) != 0 {
            product ^= u16::from(a) << bit;
        }
    }
    for bit in (5..9).rev() {
        if product & (1 << bit) != 0 {
            product ^= 0b10_0101 << (bit - 5);
        }
    }
    product as u8
}

/// What a node keeps of a derived value.
pub fn hash(value: &[u8]) -> [u8; 32] {
    Sha256::digest(value).into()
}

pub fn random_key() -> Key {
    let mut key = Zeroizing::new([0; 32]);
    rand::rng().fill_bytes(key.as_mut());
    key
}

/// What sealed bytes are bound to: their purpose and the record they belong to.
fn bound(purpose: &str, id: &[u8]) -> Vec<u8> {
    let mut bound = format!("yizhan help {purpose} v1\0").into_bytes();
    bound.extend_from_slice(id);
    bound
}

/// Seals under a key, padded to one of a few sizes. None: too long for any.
pub fn seal(key: &[u8; 32], purpose: &str, id: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
    let size = BUCKETS.into_iter().find(|size| NONCE + LENGTH + plain.len() + TAG <= *size)?;
    let mut padded = Zeroizing::new(Vec::with_capacity(size));
    padded.extend((plain.len() as u32).to_le_bytes());
    padded.extend_from_slice(plain);
    padded.resize(size - NONCE - TAG, 0);
    Some(seal_exactly(key, purpose, id, &padded))
}

/// Opens what `seal` made. None: another key, another purpose, another record, or damaged.
pub fn open(key: &[u8; 32], purpose: &str, id: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let padded = open_exactly(key, purpose, id, sealed)?;
    let (length, rest) = padded.split_first_chunk::<LENGTH>()?;
    let plain = rest.get(..u32::from_le_bytes(*length) as usize)?;
    Some(Zeroizing::new(plain.to_vec()))
}

/// The same without padding, for keys.
pub fn seal_exactly(key: &[u8; 32], purpose: &str, id: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut nonce = [0u8; NONCE];
    rand::rng().fill_bytes(&mut nonce);
    let aad = bound(purpose, id);
    let sealed = XChaCha20Poly1305::new(&(*key).into())
        .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: &aad })
        .expect("BUG: a few kilobytes can be sealed");
    let mut out = nonce.to_vec();
    out.extend(sealed);
    out
}

pub fn open_exactly(
    key: &[u8; 32],
    purpose: &str,
    id: &[u8],
    sealed: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
    let aad = bound(purpose, id);
    let plain = XChaCha20Poly1305::new(&(*key).into())
        .decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: &aad })
        .ok()?;
    Some(Zeroizing::new(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let code = TrackingCode::of_key(&[7; 32], "k");
        let text = code.reveal();
        assert_eq!((text.len(), text.split('-').count()), (24, 5));
        assert_eq!(TrackingCode::parse(&text.to_lowercase().replace('-', " ")), Ok(code.clone()));
        let alike = text.replace('0', "o").replace('1', "l");
        assert_eq!(TrackingCode::parse(&alike), Ok(code));
        assert_eq!(TrackingCode::parse(&text[1..]), Err(BadCode::Length));
        assert_eq!(TrackingCode::parse(&format!("{text}0")), Err(BadCode::Length));
        assert_eq!(TrackingCode::parse(&text.replacen(&text[..1], "U", 1)), Err(BadCode::Symbol));
        assert_eq!(TrackingCode::parse(""), Err(BadCode::Length));
    }

    #[test]
    fn every_single_slip_and_every_swap_is_noticed() {
        for n in 0..20u8 {
            let code = TrackingCode::of_key(&[n; 32], "slips");
            let text: Vec<u8> = code.reveal().bytes().filter(|b| *b != b'-').collect();
            let read = |text: &[u8]| TrackingCode::parse(std::str::from_utf8(text).unwrap());
            for at in 0..text.len() {
                for symbol in SYMBOLS.iter().filter(|symbol| **symbol != text[at]) {
                    let mut slip = text.clone();
                    slip[at] = *symbol;
                    assert_eq!(read(&slip), Err(BadCode::Check));
                }
                for other in at + 1..text.len() {
                    let mut swap = text.clone();
                    swap.swap(at, other);
                    assert_eq!(read(&swap).is_ok(), text[at] == text[other]);
                }
            }
        }
    }

    #[test]
    fn what_is_derived_tells_nothing_of_the_rest() {
        let code = TrackingCode::random();
        let all = [code.lookup_id(), code.mac_key(), *code.reply_key()];
        assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2]);
        assert_eq!(TrackingCode::parse(&code.reveal()).unwrap().lookup_id(), all[0]);
        assert_ne!(TrackingCode::random().lookup_id(), all[0]);
        assert_eq!(format!("{code:?}"), "TrackingCode");
    }

    #[test]
    fn content_opens_under_its_key_for_its_purpose_and_record_alone() {
        let (key, other) = (random_key(), random_key());
        let sealed = seal(&key, "content", b"id", b"words").unwrap();
        assert_eq!(sealed.len(), BUCKETS[0]);
        assert_eq!(**open(&key, "content", b"id", &sealed).unwrap(), *b"words");
        assert!(open(&other, "content", b"id", &sealed).is_none());
        assert!(open(&key, "message", b"id", &sealed).is_none());
        assert!(open(&key, "content", b"di", &sealed).is_none());
        let mut damaged = sealed.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert!(open(&key, "content", b"id", &damaged).is_none());
        assert!(open(&key, "content", b"id", &[]).is_none());
        assert!(seal(&key, "content", b"id", &vec![0; 49_152]).is_none());
    }

    #[test]
    fn sizes_say_no_more_than_the_bucket() {
        let key = random_key();
        let sizes = [0, 1, 100, 212].map(|len| seal(&key, "c", b"", &vec![1; len]).unwrap().len());
        assert_eq!(sizes, [256; 4]);
        assert_eq!(seal(&key, "c", b"", &[1; 213]).unwrap().len(), 1_024);
    }
}
