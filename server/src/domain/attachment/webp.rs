//! WebP (RFC 9649): one still picture. Metadata chunks are overwritten in place, because the size of
//! the whole stands at the front; their place is marked as a chunk that readers skip.

use super::Broken;

const FILE_HEADER: usize = 12;
const CHUNK_HEADER: usize = 8;
/// Of the flags in VP8X: Exif and XMP are there.
const METADATA_FLAGS: u8 = 0x08 | 0x04;
const SKIPPED: &[u8; 4] = b"JUNK";

#[derive(Default)]
pub(super) struct Webp {
    state: State,
    drawn: bool,
    /// Bytes of the file that are to come after its header.
    left: u64,
}

enum State {
    FileHeader(Vec<u8>),
    ChunkHeader(Vec<u8>),
    Body {
        left: u64,
        keep: Keep,
    },
    /// What comes behind the size that the file gives is dropped.
    End,
}

#[derive(Clone, Copy, PartialEq)]
enum Keep {
    All,
    /// The first byte holds flags.
    Flags,
    Nothing,
}

impl Default for State {
    fn default() -> State {
        State::FileHeader(Vec::new())
    }
}

impl Webp {
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match &mut self.state {
                State::FileHeader(header) => {
                    let (now, later) = rest.split_at(rest.len().min(FILE_HEADER - header.len()));
                    header.extend_from_slice(now);
                    rest = later;
                    if let Ok(whole) = <[u8; FILE_HEADER]>::try_from(&header[..]) {
                        self.state = self.file(whole, out)?;
                    }
                }
                State::ChunkHeader(header) => {
                    let (now, later) = rest.split_at(rest.len().min(CHUNK_HEADER - header.len()));
                    header.extend_from_slice(now);
                    rest = later;
                    if let Ok(whole) = <[u8; CHUNK_HEADER]>::try_from(&header[..]) {
                        self.state = self.chunk(whole, out)?;
                    }
                }
                State::Body { left, keep } => {
                    let now = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    match keep {
                        Keep::All => out.extend_from_slice(&rest[..now]),
                        Keep::Flags => {
                            out.push(rest[0] & !METADATA_FLAGS);
                            out.extend_from_slice(&rest[1..now]);
                            *keep = Keep::All;
                        }
                        Keep::Nothing => out.resize(out.len() + now, 0),
                    }
                    rest = &rest[now..];
                    *left -= now as u64;
                    if *left == 0 {
                        self.state = self.next();
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

    fn next(&self) -> State {
        match self.left {
            0 => State::End,
            _ => State::ChunkHeader(Vec::with_capacity(CHUNK_HEADER)),
        }
    }

    fn file(&mut self, header: [u8; FILE_HEADER], out: &mut Vec<u8>) -> Result<State, Broken> {
        let [r, i, f, f2, a, b, c, d, name @ ..] = header;
        let size = u32::from_le_bytes([a, b, c, d]);
        if [r, i, f, f2] != *b"RIFF" || name != *b"WEBP" || size % 2 == 1 {
            return Err(Broken);
        }
        self.left = u64::from(size).checked_sub(4).ok_or(Broken)?;
        out.extend(header);
        Ok(self.next())
    }

    fn chunk(&mut self, header: [u8; CHUNK_HEADER], out: &mut Vec<u8>) -> Result<State, Broken> {
        let [n0, n1, n2, n3, a, b, c, d] = header;
        let size = u64::from(u32::from_le_bytes([a, b, c, d]));
        let padded = size + size % 2;
        self.left = self.left.checked_sub(CHUNK_HEADER as u64 + padded).ok_or(Broken)?;
        let keep = match &[n0, n1, n2, n3] {
            b"VP8 " | b"VP8L" => {
                self.drawn = true;
                Keep::All
            }
            b"VP8X" if size == 10 => Keep::Flags,
            b"ALPH" | b"ICCP" => Keep::All,
            // Moving pictures hold chunks within chunks.
            b"VP8X" | b"ANIM" | b"ANMF" => return Err(Broken),
            _ => Keep::Nothing,
        };
        match keep {
            Keep::Nothing => out.extend(SKIPPED),
            Keep::All | Keep::Flags => out.extend([n0, n1, n2, n3]),
        }
        out.extend([a, b, c, d]);
        Ok(if padded == 0 { self.next() } else { State::Body { left: padded, keep } })
    }
}
