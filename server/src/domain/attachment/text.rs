//! Plain text: UTF-8 without control characters.

use super::Broken;

#[derive(Default)]
pub(super) struct Text {
    /// The beginning of a character whose rest has not come yet: at most three bytes.
    begun: Vec<u8>,
}

pub(super) fn is_control(byte: u8) -> bool {
    (byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c)) || byte == 0x7f
}

impl Text {
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        if bytes.iter().any(|byte| is_control(*byte)) {
            return Err(Broken);
        }
        self.begun.extend_from_slice(bytes);
        let good = match std::str::from_utf8(&self.begun) {
            Ok(text) => text.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => return Err(Broken),
        };
        out.extend(self.begun.drain(..good));
        Ok(())
    }

    pub fn is_whole(&self) -> bool {
        self.begun.is_empty()
    }
}
