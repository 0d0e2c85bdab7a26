//! Short codes that stand for a thing of a list: tags, services, expertise.

use super::text::Invalid;

/// Longest code, in bytes.
pub const CODE_MAX: usize = 64;

/// Checks a code: lower-case ASCII letters, digits and underscores, a letter first.
pub fn code(text: &str, field: &str) -> Result<String, Invalid> {
    let text = &*super::text::seen(text);
    let good = text.len() <= CODE_MAX
        && text.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if good { Ok(text.to_owned()) } else { Err(Invalid::new(field, "code_malformed")) }
}

/// Checks a list of codes: none twice, at most `max`.
pub fn codes<'a>(
    texts: impl IntoIterator<Item = &'a str>,
    field: &str,
    max: usize,
) -> Result<Vec<String>, Invalid> {
    let mut codes = Vec::new();
    for text in texts {
        let code = code(text, field)?;
        if !codes.contains(&code) {
            codes.push(code);
        }
        if codes.len() > max {
            return Err(Invalid::new(field, "too_many"));
        }
    }
    Ok(codes)
}

/// Longest name of a source row, in bytes.
pub const SOURCE_MAX: usize = 64;

/// Checks the name of a source row, such as `M-000001`. Empty: the record was made here.
pub fn source(text: &str, field: &str) -> Result<String, Invalid> {
    let good = text.len() <= SOURCE_MAX
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if good { Ok(text.to_owned()) } else { Err(Invalid::new(field, "id_malformed")) }
}

/// Declares an enum whose values have a name in data and documents and a number on the wire.
macro_rules! named {
    (
        $(#[$doc:meta])* $name:ident, $reason:literal;
        $($(#[$variant_doc:meta])* $variant:ident = $number:literal $text:literal),+ $(,)?
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$variant_doc])* $variant = $number),+
        }

        impl $name {
            pub const ALL: &[$name] = &[$($name::$variant),+];

            pub fn name(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }

            pub fn parse(text: &str, field: &str) -> Result<$name, $crate::domain::text::Invalid> {
                match text {
                    $($text => Ok($name::$variant),)+
                    _ => Err($crate::domain::text::Invalid::new(field, $reason)),
                }
            }

            pub fn number(self) -> i32 {
                self as i32
            }

            /// The value of a number on the wire; 0 and unknown ones are refused.
            pub fn from_number(
                number: i32,
                field: &str,
            ) -> Result<$name, $crate::domain::text::Invalid> {
                match number {
                    $($number => Ok($name::$variant),)+
                    0 => Err($crate::domain::text::Invalid::new(field, "required")),
                    _ => Err($crate::domain::text::Invalid::new(field, $reason)),
                }
            }
        }
    };
}

pub(crate) use named;
