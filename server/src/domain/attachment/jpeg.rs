//! JPEG (ITU-T T.81 annex B; JFIF in T.871): segment by segment, keeping what a picture needs.
//!
//! Exif and XMP (APP1), IPTC (APP13), comments, thumbnails, makers' segments and whatever follows the
//! end of the picture fall out. Kept are tables, frames and scans, the density of JFIF, colour
//! profiles and Adobe's colour transform. The orientation is part of Exif and goes too.

use super::Broken;

const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;
const APP0: u8 = 0xe0;
const APP2: u8 = 0xe2;
const APP14: u8 = 0xee;
/// Bytes of a JFIF segment without its thumbnail.
const JFIF: usize = 14;

#[derive(Default)]
pub(super) struct Jpeg {
    state: State,
    scanned: bool,
}

#[derive(Default)]
enum State {
    /// Before the first marker, with so many bytes of it seen.
    #[default]
    Start,
    Opened,
    /// A marker has to come.
    Marker,
    /// After one 0xff or several.
    Code,
    LengthHigh(u8),
    LengthLow(u8, u8),
    /// Code, bytes so far, bytes to come. At most 64 KiB.
    Segment(u8, Vec<u8>, usize),
    /// Entropy-coded data, in which a marker may follow any 0xff.
    Scan,
    ScanCode,
    /// What comes after the picture is dropped.
    End,
}

impl Jpeg {
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            let state = std::mem::take(&mut self.state);
            self.state = match state {
                State::Start if byte == 0xff => State::Opened,
                State::Opened if byte == SOI => {
                    out.extend([0xff, SOI]);
                    State::Marker
                }
                State::Marker if byte == 0xff => State::Code,
                State::Code if byte == 0xff => State::Code,
                State::Code => self.marker(byte, out)?,
                State::LengthHigh(code) => State::LengthLow(code, byte),
                State::LengthLow(code, high) => {
                    let length = usize::from(u16::from_be_bytes([high, byte]));
                    let body = length.checked_sub(2).ok_or(Broken)?;
                    self.segment(code, Vec::with_capacity(body), body, out)
                }
                State::Segment(code, mut body, left) => {
                    body.push(byte);
                    let more = rest.len().min(left - 1);
                    let (now, later) = rest.split_at(more);
                    body.extend_from_slice(now);
                    rest = later;
                    self.segment(code, body, left - 1 - more, out)
                }
                State::Scan if byte == 0xff => State::ScanCode,
                State::Scan => {
                    let run = rest.iter().position(|byte| *byte == 0xff).unwrap_or(rest.len());
                    let (now, later) = rest.split_at(run);
                    out.push(byte);
                    out.extend_from_slice(now);
                    rest = later;
                    State::Scan
                }
                State::ScanCode => match byte {
                    // A stuffed 0xff, or a restart within the scan.
                    0x00 | 0xd0..=0xd7 => {
                        out.extend([0xff, byte]);
                        State::Scan
                    }
                    0xff => State::ScanCode,
                    code => self.marker(code, out)?,
                },
                State::End => return self.end(),
                State::Start | State::Opened | State::Marker => return Err(Broken),
            };
        }
        Ok(())
    }

    pub fn is_whole(&self) -> bool {
        matches!(self.state, State::End)
    }

    fn end(&mut self) -> Result<(), Broken> {
        self.state = State::End;
        Ok(())
    }

    fn marker(&self, code: u8, out: &mut Vec<u8>) -> Result<State, Broken> {
        match code {
            EOI if self.scanned => {
                out.extend([0xff, EOI]);
                Ok(State::End)
            }
            // Markers that stand alone belong to the start or into a scan.
            0x00..=0xbf | 0xd0..=0xd9 => Err(Broken),
            code => Ok(State::LengthHigh(code)),
        }
    }

    /// A segment as far as it has come; given out when it is whole.
    fn segment(&mut self, code: u8, body: Vec<u8>, left: usize, out: &mut Vec<u8>) -> State {
        if left > 0 {
            return State::Segment(code, body, left);
        }
        let kept: Option<Vec<u8>> = match code {
            0xc0..=0xdf => Some(body),
            APP0 if body.starts_with(b"JFIF\0") && body.len() >= JFIF => {
                let mut plain = body;
                plain.truncate(JFIF);
                // No thumbnail: zero by zero points.
                plain[JFIF - 2..].fill(0);
                Some(plain)
            }
            APP2 if body.starts_with(b"ICC_PROFILE\0") => Some(body),
            APP14 if body.starts_with(b"Adobe") && body.len() == 12 => Some(body),
            _ => None,
        };
        if let Some(kept) = kept {
            let length = (kept.len() + 2) as u16;
            out.extend([0xff, code]);
            out.extend(length.to_be_bytes());
            out.extend(kept);
        }
        if code == SOS {
            self.scanned = true;
            return State::Scan;
        }
        State::Marker
    }
}
