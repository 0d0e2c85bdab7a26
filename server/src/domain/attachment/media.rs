//! The kinds of file that are taken, and how each is told from its content.

use super::Invalid;
use crate::domain::code::named;

named! { /// A kind of file that is taken. Everything else is refused: nothing is executed, nothing
    /// is unpacked, and nothing that could carry a program is passed on.
    Media, "unknown_media_type";
    Jpeg = 1 "image/jpeg",
    Png = 2 "image/png",
    Webp = 3 "image/webp",
    Pdf = 4 "application/pdf",
    Text = 5 "text/plain",
}

/// What an ending promises.
const ENDINGS: &[(&str, Media)] = &[
    ("jpg", Media::Jpeg),
    ("jpeg", Media::Jpeg),
    ("jpe", Media::Jpeg),
    ("png", Media::Png),
    ("webp", Media::Webp),
    ("pdf", Media::Pdf),
    ("txt", Media::Text),
];

/// How files begin that could pass for text.
const NOT_TEXT: &[&[u8]] = &[b"#!", b"MZ", b"<svg", b"<html", b"<!doctype", b"<script", b"{\\rtf"];

impl Media {
    /// What the content is, by its first bytes; at least 16, or the whole file.
    pub fn of(head: &[u8]) -> Option<Media> {
        match head {
            [0xff, 0xd8, 0xff, ..] => Some(Media::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Media::Png),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Media::Webp),
            [b'%', b'P', b'D', b'F', b'-', ..] => Some(Media::Pdf),
            head if is_text(head) => Some(Media::Text),
            _ => None,
        }
    }

    /// What the ending of a name promises; nothing if there is none. An ending that is not in the
    /// list is refused.
    pub fn promised(name: &str) -> Result<Option<Media>, Invalid> {
        let Some((_, ending)) = name.rsplit_once('.') else { return Ok(None) };
        let known = ENDINGS.iter().find(|(known, _)| known.eq_ignore_ascii_case(ending));
        let endings = || ENDINGS.iter().map(|(ending, _)| *ending).collect::<Vec<_>>().join(", ");
        match known {
            Some((_, media)) => Ok(Some(*media)),
            None => Err(Invalid::new("attachment.name", "type_not_allowed").hint(endings())),
        }
    }
}

/// Text as far as the first bytes tell; the walk looks at all of it.
fn is_text(head: &[u8]) -> bool {
    let lower = head.to_ascii_lowercase();
    let begins = lower.trim_ascii_start();
    let foreign = NOT_TEXT.iter().any(|known| {
        let known = known.to_ascii_lowercase();
        begins.starts_with(&known)
    });
    // A character may be cut in two at the end.
    let whole = match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    !foreign && whole && !head.iter().any(|byte| super::text::is_control(*byte))
}
