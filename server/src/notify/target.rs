//! Whom a notice goes to, and addresses at rest: encrypted under a key that is derived from the point's case key, so that they
//! are in no backup and no copied database in the clear.

use chacha20poly1305::{
    ChaCha20Poly1305, Key, KeyInit, Nonce,
    aead::{Aead, Payload},
};

use std::fmt;

use zeroize::Zeroizing;

use super::robot::Manner;
use crate::{
    domain::{contact::Email, text::Invalid},
    identity::keys::CaseKey,
};

const NONCE: usize = 12;
/// Longest URL and secret of somebody's own robot, in characters.
const URL_MAX: usize = 1_024;
const SECRET_MAX: usize = 256;

/// Where somebody is told.
#[derive(Clone, PartialEq, Debug)]
pub enum Target {
    Email(Email),
    Webhook(Webhook),
}

/// Somebody's own robot. Its URL and secret are keys: neither is ever shown or logged.
#[derive(Clone, PartialEq)]
pub struct Webhook {
    pub manner: Manner,
    pub url: Zeroizing<String>,
    pub secret: Zeroizing<String>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Webhook({})", self.manner.name())
    }
}

impl Webhook {
    /// `hosts` are those that the operator allows: nobody may send the node to other places.
    pub fn new(
        manner: Manner,
        url: &str,
        secret: &str,
        hosts: &[String],
        field: &str,
    ) -> Result<Webhook, Invalid> {
        let malformed = || Invalid::new(field, "webhook_malformed");
        let is_long = url.chars().count() > URL_MAX || secret.chars().count() > SECRET_MAX;
        let has_break = url.contains(char::is_control) || secret.contains(char::is_control);
        if is_long || has_break {
            return Err(malformed());
        }
        let address = super::http::Address::parse(url)
            .map_err(|why| malformed().hint(format_args!("{why}")))?;
        if !hosts.iter().any(|host| host == address.host()) {
            return Err(Invalid::new(field, "webhook_host_not_allowed").hint(hosts.join(", ")));
        }
        let (url, secret) = (url.to_owned().into(), secret.to_owned().into());
        Ok(Webhook { manner, url, secret })
    }
}

impl Target {
    /// One text; an address of mail has no line breaks.
    pub fn text(&self) -> Zeroizing<String> {
        match self {
            Target::Email(email) => email.as_str().to_owned().into(),
            Target::Webhook(Webhook { manner, url, secret }) => {
                format!("{}\n{}\n{}", manner.name(), url.as_str(), secret.as_str()).into()
            }
        }
    }

    pub fn read(text: &str) -> Option<Target> {
        let Some((manner, rest)) = text.split_once('\n') else {
            return Email::parse(text, "email").ok().map(Target::Email);
        };
        let (url, secret) = rest.split_once('\n')?;
        let (url, secret) = (url.to_owned().into(), secret.to_owned().into());
        Some(Target::Webhook(Webhook { manner: Manner::find(manner)?, url, secret }))
    }
}

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
    fn a_robot_is_named_by_an_allowed_host_alone_and_read_again_as_it_was() {
        let hosts = ["open.feishu.cn".to_owned()];
        let new = |url: &str| Webhook::new(Manner::Feishu, url, "s", &hosts, "url");
        let robot = Target::Webhook(new("https://open.feishu.cn/hook/abc").unwrap());
        assert_eq!(Target::read(&robot.text()), Some(robot.clone()));
        assert!(!format!("{robot:?}").contains("abc"));
        let reason = |url: &str| new(url).unwrap_err().reason;
        assert_eq!(reason("https://10.0.0.1/hook"), "webhook_host_not_allowed");
        assert_eq!(reason("https://open.feishu.cn.evil.example/"), "webhook_host_not_allowed");
        assert_eq!(reason("https://open.feishu.cn@evil.example/"), "webhook_host_not_allowed");
        assert_eq!(reason("http://open.feishu.cn/hook"), "webhook_malformed");
        assert_eq!(reason("https://open.feishu.cn/a\nb"), "webhook_malformed");
        let mail = Target::Email(Email::parse("wang@example.org", "email").unwrap());
        assert_eq!(Target::read(&mail.text()), Some(mail));
    }

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
