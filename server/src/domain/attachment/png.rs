//! PNG (W3C PNG third edition, section 5): chunk by chunk, keeping those that draw.
//!
//! Texts, times, Exif and every chunk that is not in the list fall out, and so does whatever follows
//! the end of the picture.

use super::Broken;

const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";
/// Length and type of a chunk.
const HEADER: usize = 8;
const CRC: u64 = 4;
/// A chunk may have so many bytes (section 5.3).
const LENGTH_MAX: u32 = (1 << 31) - 1;

/// Chunks that decide how a picture looks. All other ancillary ones are dropped.
const KEPT: [&[u8; 4]; 18] = [
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT",
    b"bKGD", b"pHYs", b"cICP", b"mDCV", b"cLLI", b"acTL", b"fcTL", b"fdAT",
];

#[derive(Default)]
pub(super) struct Png {
    state: State,
    begun: bool,
    drawn: bool,
}

enum State {
    /// Bytes of the signature that have come.
    Signature(usize),
    Header(Vec<u8>),
    Body {
        left: u64,
        kept: bool,
        last: bool,
    },
    End,
}

impl Default for State {
    fn default() -> State {
        State::Signature(0)
    }
}

impl Png {
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match &mut self.state {
                State::Signature(seen) => {
                    if rest[0] != SIGNATURE[*seen] {
                        return Err(Broken);
                    }
                    *seen += 1;
                    rest = &rest[1..];
                    if *seen == SIGNATURE.len() {
                        out.extend(SIGNATURE);
                        self.state = State::Header(Vec::with_capacity(HEADER));
                    }
                }
                State::Header(header) => {
                    let (now, later) = rest.split_at(rest.len().min(HEADER - header.len()));
                    header.extend_from_slice(now);
                    rest = later;
                    if let Ok(whole) = <[u8; HEADER]>::try_from(&header[..]) {
                        self.state = self.chunk(whole, out)?;
                    }
                }
                State::Body { left, kept, last } => {
                    let now = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    if *kept {
                        out.extend_from_slice(&rest[..now]);
                    }
                    rest = &rest[now..];
                    *left -= now as u64;
                    if *left == 0 {
                        self.state = match *last {
                            true => State::End,
                            false => State::Header(Vec::with_capacity(HEADER)),
                        };
                    }
                }
                State::End => return Ok(()),
            }
        }
        Ok(())
    }

    pub fn is_whole(&self) -> bool {
        self.drawn && matches!(self.state, State::End)
    }

    fn chunk(&mut self, header: [u8; HEADER], out: &mut Vec<u8>) -> Result<State, Broken> {
        let [a, b, c, d, name @ ..] = header;
        let length = u32::from_be_bytes([a, b, c, d]);
        let kept = KEPT.contains(&&name);
        // A decoder may not leave out what begins with a capital.
        let needed = name[0].is_ascii_uppercase();
        let sound = length <= LENGTH_MAX
            && name.iter().all(u8::is_ascii_alphabetic)
            && self.begun == (&name != b"IHDR")
            && (kept || !needed)
            && (&name != b"IHDR" || length == 13)
            && (&name != b"IEND" || length == 0);
        if !sound {
            return Err(Broken);
        }
        self.begun = true;
        self.drawn |= &name == b"IDAT";
        if kept {
            out.extend(header);
        }
        Ok(State::Body { left: u64::from(length) + CRC, kept, last: &name == b"IEND" })
    }
}
