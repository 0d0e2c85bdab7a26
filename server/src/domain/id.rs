//! Typed ids, so that no id can stand in for another.
//!
//! Records are named by UUIDv7 (RFC 9562) as 16 bytes; points by a permanent code.

use std::{fmt, str::FromStr, sync::Arc};

use super::text::Invalid;

/// Declares one id type per noun over 16 bytes.
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            pub fn record(self) -> RecordId {
                RecordId(self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                uuid::Uuid::from_bytes(self.0).hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl From<$name> for RecordId {
            fn from(id: $name) -> RecordId {
                RecordId(id.0)
            }
        }
    )+};
}

ids!(
    /// Any record, whatever its kind.
    MemberId,
    GrantId,
    EventId,
    SeriesId,
);

/// A record of any kind, as feeds know it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(pub [u8; 16]);

impl RecordId {
    /// Reads the hyphenated form that people and URLs use.
    pub fn parse(text: &str, field: &'static str) -> Result<RecordId, Invalid> {
        uuid::Uuid::try_parse(text)
            .map(|id| RecordId(id.into_bytes()))
            .map_err(|_| Invalid::new(field, "not_an_id"))
    }

    /// The id a record of a source file gets: a UUIDv7 of the source's creation time whose random
    /// part is derived from network, kind and source id, so that every node that reads the same
    /// file names the record alike and a second import meets the first.
    pub fn of_source(network: &str, kind: u32, source: &str, created_ms: u64) -> RecordId {
        let mut hasher = blake3::Hasher::new_derive_key("yizhan 2026 record id of a source row");
        hasher.update(&(network.len() as u64).to_le_bytes()).update(network.as_bytes());
        hasher.update(&kind.to_le_bytes()).update(source.as_bytes());
        let hash = hasher.finalize();
        let mut random = [0; 10];
        random.copy_from_slice(&hash.as_bytes()[..10]);
        RecordId(
            uuid::Builder::from_unix_timestamp_millis(created_ms, &random).into_uuid().into_bytes(),
        )
    }

    /// When the record was made, as its id says: milliseconds since 1970, 0 where nobody knew.
    pub fn created_ms(self) -> u64 {
        let mut ms = [0; 8];
        ms[2..].copy_from_slice(&self.0[..6]);
        u64::from_be_bytes(ms)
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_bytes(self.0).hyphenated().fmt(f)
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordId({self})")
    }
}

/// The permanent code of a contact point: `CN-` and six digits, `HK`, `MO`, or a UN/LOCODE with a
/// hyphen, each with an optional `-n`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PointCode(Arc<str>);

impl PointCode {
    pub const MAX_LEN: usize = 16;

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PointCode {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<PointCode, Invalid> {
        let text = &*super::text::seen(text);
        let wrong = || Invalid::new("point", "not_a_point_code");
        if text.len() > PointCode::MAX_LEN {
            return Err(wrong());
        }
        let mut parts = text.split('-');
        let country = parts.next().unwrap_or("");
        if country.len() != 2 || !country.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(wrong());
        }
        let number = |part: &str| {
            (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        let mut rest: Vec<&str> = parts.collect();
        if country != "HK" && country != "MO" {
            let place = if rest.is_empty() { "" } else { rest.remove(0) };
            let gb =
                country == "CN" && place.len() == 6 && place.bytes().all(|b| b.is_ascii_digit());
            let locode = country != "CN"
                && place.len() == 3
                && place.bytes().all(|b| b.is_ascii_uppercase() || (b'2'..=b'9').contains(&b));
            if !gb && !locode {
                return Err(wrong());
            }
        }
        match rest[..] {
            [] => Ok(PointCode(text.into())),
            [n] if number(n) => Ok(PointCode(text.into())),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for PointCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for PointCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_all_four_forms_are_read() {
        for code in ["CN-440100", "HK", "MO-2", "GB-LON", "US-BOS-2", "GB-LON-2"] {
            assert_eq!(code.parse::<PointCode>().unwrap().as_str(), code);
        }
    }

    #[test]
    fn anything_else_is_no_code() {
        for code in [
            "",
            "CN",
            "CN-4401",
            "cn-440100",
            "GB-L0N",
            "HK-",
            "GB-LON-2-3",
            "GB/LON",
            "CN-440100\0",
        ] {
            assert!(code.parse::<PointCode>().is_err(), "{code}");
        }
    }

    #[test]
    fn a_source_row_gets_one_id_everywhere() {
        let id = RecordId::of_source("gd", 3, "M-000001", 1_635_987_806_000);
        assert_eq!(id, RecordId::of_source("gd", 3, "M-000001", 1_635_987_806_000));
        assert_ne!(id, RecordId::of_source("gd", 4, "M-000001", 1_635_987_806_000));
        assert_eq!(uuid::Uuid::from_bytes(id.0).get_version_num(), 7);
    }
}
