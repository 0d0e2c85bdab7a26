//! Where something stands in a feed: epochs, sequence numbers, rows.

use std::{fmt, str::FromStr};

use bytes::Bytes;

use super::{id::RecordId, kind::Kind, text::Invalid};

/// Largest payload of a row. A larger one is refused at its home, and by everybody else.
pub const PAYLOAD_MAX: usize = 64 * 1024;

/// A place in a feed. Rises with every committed version; a number that anyone may have seen is
/// never used again within an epoch. 0: before the first row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Sequence(pub u64);

impl Sequence {
    /// Rows share one key space per node with 40 bits for the sequence: a trillion versions of a
    /// feed before it needs a new epoch.
    pub const MAX: Sequence = Sequence((1 << 40) - 1);
}

/// Incarnation of a feed. Only a higher counter replaces it; one counter with two randoms proves
/// equivocation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch {
    pub counter: u64,
    pub random: [u8; 16],
}

impl fmt::Display for Epoch {
    /// As operators pass it on: `2-` and 32 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.counter, hex::encode(self.random))
    }
}

impl FromStr for Epoch {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Epoch, Invalid> {
        let wrong = || Invalid::new("epoch", "not_an_epoch");
        let (counter, digits) = text.split_once('-').ok_or_else(wrong)?;
        let counter: u64 = counter.parse().map_err(|_| wrong())?;
        let mut random = [0; 16];
        hex::decode_to_slice(digits, &mut random).map_err(|_| wrong())?;
        match counter {
            1..=0x7fff_ffff_ffff_ffff => Ok(Epoch { counter, random }),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02x}{:02x}", self.counter, self.random[0], self.random[1])
    }
}

/// One version of a record, or the tombstone of a removed one, exactly as the home wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub sequence: Sequence,
    pub id: RecordId,
    pub kind: Kind,
    pub removed: bool,
    pub payload: Bytes,
}

/// How often a lane was passed when it was looked at (`store/lanes.rs`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Turn {
    pub lane: u32,
    pub at: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_read_as_it_is_written() {
        let epoch = Epoch { counter: 2, random: [0xab; 16] };
        assert_eq!(epoch.to_string(), format!("2-{}", "ab".repeat(16)));
        assert_eq!(epoch.to_string().parse(), Ok(epoch));
        for wrong in [
            "",
            "2",
            "2-ab",
            "0-abababababababababababababababab",
            "x-abababababababababababababababab",
        ] {
            assert!(wrong.parse::<Epoch>().is_err(), "{wrong}");
        }
    }
}
