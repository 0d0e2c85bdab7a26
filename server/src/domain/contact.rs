//! How somebody is reached: phones, e-mail addresses, handles.

use std::fmt;

use super::text::{self, Invalid};

/// Longest e-mail address, in bytes (RFC 5321 4.5.3.1.3).
pub const EMAIL_MAX: usize = 254;
/// Longest local part, in bytes (RFC 5321 4.5.3.1.1).
const LOCAL_PART_MAX: usize = 64;
pub const HANDLES_MAX: usize = 16;

/// A phone number in E.164.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Phone(String);

/// Digits after the country code, where the plan of the network fixes them. Other countries: E.164
/// leaves 7 to 15 digits in all.
const NATIONAL_DIGITS: &[(&str, &[usize])] = &[
    ("86", &[10, 11]),
    ("852", &[8]),
    ("853", &[8]),
    ("886", &[8, 9]),
    ("65", &[8]),
    ("1", &[10]),
    ("44", &[9, 10]),
    ("61", &[9]),
    ("33", &[9]),
];

impl Phone {
    /// Reads E.164 and nothing else.
    pub fn parse(text: &str, field: &str) -> Result<Phone, Invalid> {
        let malformed =
            || Invalid::new(field, "phone_malformed").hint("E.164, such as +8613800138000");
        let digits = text.strip_prefix('+').ok_or_else(malformed)?;
        if !(7..=15).contains(&digits.len())
            || digits.starts_with('0')
            || !digits.bytes().all(|byte| byte.is_ascii_digit())
        {
            return Err(malformed());
        }
        for (country, lengths) in NATIONAL_DIGITS {
            if let Some(national) = digits.strip_prefix(country)
                && !lengths.contains(&national.len())
            {
                return Err(malformed());
            }
        }
        Ok(Phone(text.to_owned()))
    }

    /// Reads a number as people write it: spaces, hyphens, brackets and full-width digits are put
    /// right, `00` means `+`, and eleven digits that begin with 1 are a mainland mobile.
    pub fn tidy(text: &str, field: &str) -> Result<Phone, Invalid> {
        let mut plain = String::with_capacity(text.len() + 3);
        for c in text.chars() {
            match c {
                '0'..='9' | '+' => plain.push(c),
                '０'..='９' => plain.push((b'0' + (c as u32 - '０' as u32) as u8) as char),
                '＋' => plain.push('+'),
                ' ' | '\u{3000}' | '\u{a0}' | '-' | '－' | '‐' | '–' | '(' | ')' | '（' | '）'
                | '.' => (),
                _ => return Err(Invalid::new(field, "phone_malformed")),
            }
        }
        if let Some(rest) = plain.strip_prefix("00") {
            plain = format!("+{rest}");
        } else if plain.len() == 11 && plain.starts_with('1') {
            plain.insert_str(0, "+86");
        }
        Phone::parse(&plain, field)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Phone {
    /// Never the number: it would end up in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phone(..)")
    }
}

/// An e-mail address (RFC 5321; RFC 6531 allows any script in the local part). The domain is
/// lower-cased.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Email(String);

impl Email {
    pub fn parse(text: &str, field: &str) -> Result<Email, Invalid> {
        let malformed = || Invalid::new(field, "email_malformed");
        let (local, domain) = text.rsplit_once('@').ok_or_else(malformed)?;
        if text.len() > EMAIL_MAX
            || local.len() > LOCAL_PART_MAX
            || !local.split('.').all(is_atom)
            || !is_domain(domain)
        {
            return Err(malformed());
        }
        let mut email = text.to_owned();
        if domain.chars().any(char::is_uppercase) {
            email.truncate(local.len() + 1);
            email.push_str(&domain.to_lowercase());
        }
        Ok(Email(email))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Email {
    /// Never the address: it would end up in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(..)")
    }
}

fn is_atom(part: &str) -> bool {
    let special = "!#$%&'*+-/=?^_`{|}~";
    !part.is_empty()
        && part.chars().all(|c| {
            c.is_ascii_alphanumeric()
                || special.contains(c)
                || (!c.is_ascii() && c.is_alphanumeric())
        })
}

fn is_domain(domain: &str) -> bool {
    domain.contains('.')
        && domain.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|c| c == '-' || c.is_alphanumeric())
        })
}

/// An account at a service: `wechat:yz_000002`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Handle {
    pub service: String,
    pub value: String,
}

impl Handle {
    pub const SERVICE_MAX: usize = 32;
    pub const VALUE_MAX: usize = 128;

    pub fn new(service: &str, value: &str, field: &str) -> Result<Handle, Invalid> {
        let good = (1..=Handle::SERVICE_MAX).contains(&service.len())
            && service.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let value = text::line(value, field, Handle::VALUE_MAX)?;
        if !good || value.is_empty() {
            return Err(Invalid::new(field, "handle_malformed").hint("service:value"));
        }
        Ok(Handle { service: service.to_owned(), value })
    }

    /// Reads `service:value`.
    pub fn parse(text: &str, field: &str) -> Result<Handle, Invalid> {
        let (service, value) = text.split_once(':').unwrap_or((text, ""));
        Handle::new(service, value, field)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({}:..)", self.service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phones_are_taken_in_e164_only() {
        for good in
            ["+8613800138000", "+85291234567", "+85364000003", "+16175550115", "+447700900007"]
        {
            assert!(Phone::parse(good, "phone").is_ok(), "{good}");
        }
        for bad in
            ["", "+", "138001380", "+8529123456", "+0123456789", "+86 13800138000", "+١٢٣٤٥٦٧٨"]
        {
            assert_eq!(Phone::parse(bad, "phone").unwrap_err().reason, "phone_malformed", "{bad}");
        }
    }

    #[test]
    fn phones_as_people_write_them_are_put_right() {
        for text in
            ["138 0013 8000", "１３８００１３８０００", "0086-138-0013-8000", "+86 (138) 0013 8000"]
        {
            assert_eq!(Phone::tidy(text, "phone").unwrap().as_str(), "+8613800138000", "{text}");
        }
        assert!(Phone::tidy("138001380", "phone").is_err());
        assert!(Phone::tidy("call me", "phone").is_err());
    }

    #[test]
    fn a_chinese_local_part_is_an_address_and_the_domain_is_lower_cased() {
        assert_eq!(
            Email::parse("梁承书@Example.ORG", "email").unwrap().as_str(),
            "梁承书@example.org"
        );
        for bad in [
            "",
            "a@b",
            "@b.org",
            "a@",
            "a..b@c.org",
            "a b@c.org",
            "a@-c.org",
            "a@b@c .org",
            "a\0@b.org",
        ] {
            assert_eq!(Email::parse(bad, "email").unwrap_err().reason, "email_malformed", "{bad}");
        }
    }

    #[test]
    fn handles_name_their_service() {
        assert_eq!(Handle::parse("wechat:yz_000002", "handle").unwrap().value, "yz_000002");
        for bad in ["", "wechat", "wechat:", ":x", "We Chat:x"] {
            assert!(Handle::parse(bad, "handle").is_err(), "{bad}");
        }
    }
}
