//! Files that people send along: what is taken, decided by content and never by name alone, and what
//! is left of it. Nothing here decodes a picture: structure is walked, metadata falls out.
//!
//! A file passes through `Intake` as it arrives; memory is bounded whatever comes.

mod jpeg;
mod media;
mod png;
mod text;
mod webp;

use jpeg::Jpeg;
pub use media::Media;
use png::Png;
use text::Text;
use webp::Webp;

use super::text::Invalid;

/// Largest file, in bytes as they arrive.
pub const SIZE_MAX: u64 = 20 * 1_024 * 1_024;
/// Files of one help request.
pub const COUNT_MAX: usize = 20;
/// Longest file name, in characters.
pub const NAME_MAX: usize = 120;
/// Enough of a file to tell what it is.
const HEAD: usize = 16;

/// Why a file is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// More bytes than `SIZE_MAX`.
    #[error("the file is larger than {} MB", SIZE_MAX / 1_024 / 1_024)]
    TooLarge,
    #[error("{0}")]
    Invalid(Invalid),
}

impl Refused {
    fn of(reason: &'static str) -> Refused {
        Refused::Invalid(Invalid { field: FIELD.into(), reason, hint: String::new() })
    }

    /// The stable reason, as in the list of fields.
    pub fn reason(&self) -> &'static str {
        match self {
            Refused::TooLarge => "too_large",
            Refused::Invalid(invalid) => invalid.reason,
        }
    }
}

impl From<Invalid> for Refused {
    fn from(invalid: Invalid) -> Refused {
        Refused::Invalid(invalid)
    }
}

const FIELD: &str = "attachment";

/// A file's name and kind, and how much of it is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub name: String,
    pub media: Media,
    /// Bytes that were given out.
    pub size: u64,
}

/// Takes a file piece by piece and gives out what is to be kept of it.
pub struct Intake {
    name: String,
    promised: Option<Media>,
    received: u64,
    given: u64,
    head: Vec<u8>,
    walk: Option<Walk>,
}

/// One walk per kind of file.
enum Walk {
    Jpeg(Jpeg),
    Png(Png),
    Webp(Webp),
    Text(Text),
    Pdf,
}

impl Intake {
    /// Begins with the name that the sender gave: its last part counts, and what its ending
    /// promises has to come true.
    pub fn new(name: &str) -> Result<Intake, Refused> {
        let name = file_name(name)?;
        let promised = Media::promised(&name)?;
        Ok(Intake { name, promised, received: 0, given: 0, head: Vec::new(), walk: None })
    }

    /// Takes the next bytes and adds to `out` what is kept.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
        self.received += bytes.len() as u64;
        if self.received > SIZE_MAX {
            return Err(Refused::TooLarge);
        }
        let before = out.len();
        let mut rest = bytes;
        if self.walk.is_none() {
            // The same bytes decide, however the file is cut into pieces.
            let (head, later) = rest.split_at(rest.len().min(HEAD - self.head.len()));
            self.head.extend_from_slice(head);
            rest = later;
            if self.head.len() == HEAD {
                self.begin(out)?;
            }
        }
        if let Some(walk) = &mut self.walk {
            walk.push(rest, out)?;
        }
        self.given += (out.len() - before) as u64;
        Ok(())
    }

    /// The file is over. Refuses one that is empty or breaks off.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<Accepted, Refused> {
        if self.received == 0 {
            return Err(Refused::of("empty"));
        }
        let before = out.len();
        if self.walk.is_none() {
            self.begin(out)?;
        }
        self.given += (out.len() - before) as u64;
        let walk = self.walk.take().expect("BUG: begun above");
        let media = walk.finish()?;
        Ok(Accepted { name: self.name, media, size: self.given })
    }

    /// Decides by content what the file is, and whether that is what its name says.
    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), Refused> {
        let media = match (Media::of(&self.head), self.promised) {
            (Some(media), Some(promised)) if media != promised => {
                return Err(Refused::of("type_mismatch"));
            }
            (Some(media), _) => media,
            (None, Some(_)) => return Err(Refused::of("type_mismatch")),
            (None, None) => return Err(Refused::of("type_not_allowed")),
        };
        let mut walk = match media {
            Media::Jpeg => Walk::Jpeg(Jpeg::default()),
            Media::Png => Walk::Png(Png::default()),
            Media::Webp => Walk::Webp(Webp::default()),
            Media::Text => Walk::Text(Text::default()),
            Media::Pdf => Walk::Pdf,
        };
        let head = std::mem::take(&mut self.head);
        walk.push(&head, out)?;
        self.walk = Some(walk);
        Ok(())
    }
}

/// The file does not keep to the format that it begins with.
struct Broken;

impl From<Broken> for Refused {
    fn from(_: Broken) -> Refused {
        Refused::of("file_broken")
    }
}

impl Walk {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
        match self {
            Walk::Jpeg(jpeg) => jpeg.push(bytes, out)?,
            Walk::Png(png) => png.push(bytes, out)?,
            Walk::Webp(webp) => webp.push(bytes, out)?,
            // A text with other bytes in it is no text, whatever its name says.
            Walk::Text(text) => {
                text.push(bytes, out).map_err(|Broken| Refused::of("type_mismatch"))?;
            }
            // Left as it is: rewriting a document would break its signatures.
            Walk::Pdf => out.extend_from_slice(bytes),
        }
        Ok(())
    }

    fn finish(self) -> Result<Media, Refused> {
        let (media, whole) = match self {
            Walk::Jpeg(jpeg) => (Media::Jpeg, jpeg.is_whole()),
            Walk::Png(png) => (Media::Png, png.is_whole()),
            Walk::Webp(webp) => (Media::Webp, webp.is_whole()),
            Walk::Text(text) => (Media::Text, text.is_whole()),
            Walk::Pdf => (Media::Pdf, true),
        };
        if whole { Ok(media) } else { Err(Broken.into()) }
    }
}

/// The last part of a name, checked. Nobody's folders are of interest, and nothing is ever stored
/// under this name.
fn file_name(name: &str) -> Result<String, Invalid> {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let last = super::text::line(last, "attachment.name", NAME_MAX)?;
    // Turned writing would make `gpj.exe` read as `exe.jpg`.
    if last.chars().any(is_invisible) {
        return Err(Invalid::new("attachment.name", "control_character"));
    }
    super::text::required(last, "attachment.name")
}

/// Zero-width characters and those that turn the direction of writing (Unicode UAX 9).
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests;
