//! Frames: limits of what they carry, and pages to and from their bytes.

use bytes::Bytes;
use prost::Message;
use yizhan_proto::v1;

use crate::{
    domain::position::{PAYLOAD_MAX, Row},
    feed::inflow,
};

/// Rows of one page.
pub const PAGE_ROWS: usize = 512;
/// Payload bytes of one page; a single larger row still makes a page of its own.
pub const PAGE_BYTES: usize = 256 * 1024;
/// Bytes of an encoded page before compression: payloads, and for each row its fields.
pub const PAGE_LEN_MAX: usize = PAGE_BYTES + PAYLOAD_MAX + PAGE_ROWS * 64;
/// Bytes of the same after compression: what zstd cannot compress grows by less than this.
pub const PACKED_LEN_MAX: usize = PAGE_LEN_MAX + PAGE_LEN_MAX / 128;
/// Seals in one frame of heads.
pub const HEADS_MAX: usize = 256;
/// Bytes of one frame on the wire.
pub const FRAME_MAX: usize = 4 * 1024 * 1024;
/// Fast enough not to be what limits a local line, and within a few percent of what level 3 saves.
const ZSTD_LEVEL: i32 = 1;

pub fn frame(kind: v1::frame::Kind) -> v1::Frame {
    v1::Frame { kind: Some(kind) }
}

/// Compresses rows with a context that is used again: making one costs more than a small page.
pub struct Packer(zstd::bulk::Compressor<'static>);

impl Packer {
    pub fn new() -> Packer {
        let context = zstd::bulk::Compressor::new(ZSTD_LEVEL);
        Packer(context.expect("BUG: the level is one that zstd has"))
    }

    /// (compressed, size before).
    pub fn pack(&mut self, rows: Vec<Row>) -> (Bytes, u32) {
        let rows = rows.into_iter().map(|row| v1::Row {
            sequence: row.sequence.0,
            id: row.id.0.to_vec(),
            kind: row.kind.0,
            removed: row.removed,
            payload: row.payload,
        });
        let plain = v1::Rows { rows: rows.collect() }.encode_to_vec();
        let packed = self.0.compress(&plain).expect("BUG: the buffer is as large as it can get");
        (Bytes::from(packed), plain.len() as u32)
    }
}

impl Default for Packer {
    fn default() -> Packer {
        Packer::new()
    }
}

/// Reads a page's rows: none if it is larger than said or allowed, or not rows at all. A bomb costs
/// no more memory than a page.
pub struct Unpacker(zstd::bulk::Decompressor<'static>);

impl Unpacker {
    pub fn new() -> Unpacker {
        Unpacker(zstd::bulk::Decompressor::new().expect("BUG: a context needs memory alone"))
    }

    pub fn unpack(&mut self, packed: &[u8], len: u32) -> Option<Vec<Row>> {
        let len = len as usize;
        if len > PAGE_LEN_MAX {
            return None;
        }
        if len == 0 {
            return packed.is_empty().then(Vec::new);
        }
        let plain = self.0.decompress(packed, len).ok()?;
        if plain.len() != len {
            return None;
        }
        inflow::decode_rows(Bytes::from(plain))
    }
}

impl Default for Unpacker {
    fn default() -> Unpacker {
        Unpacker::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{id::RecordId, kind::Kind, position::Sequence};

    fn rows(count: u64, len: usize) -> Vec<Row> {
        let row = |n| Row {
            sequence: Sequence(n),
            id: RecordId([n as u8; 16]),
            kind: Kind::CARD,
            removed: n % 3 == 0,
            payload: Bytes::from(vec![n as u8; len]),
        };
        (1..=count).map(row).collect()
    }

    #[test]
    fn rows_survive_the_wire() {
        for rows in [rows(1, 0), rows(512, 400), rows(1, PAYLOAD_MAX)] {
            let (packed, len) = Packer::new().pack(rows.clone());
            assert_eq!(Unpacker::new().unpack(&packed, len), Some(rows));
        }
    }

    #[test]
    fn a_bomb_is_refused_at_the_size_it_claims() {
        let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 19).unwrap();
        assert_eq!(Unpacker::new().unpack(&bomb, 1_000), None);
        assert_eq!(Unpacker::new().unpack(&bomb, 64 << 20), None);
        assert_eq!(Unpacker::new().unpack(b"no zstd at all", 100), None);
    }

    #[test]
    fn a_page_of_another_size_than_it_says_is_refused() {
        let (packed, len) = Packer::new().pack(rows(3, 10));
        assert_eq!(Unpacker::new().unpack(&packed, len + 1), None);
        assert_eq!(Unpacker::new().unpack(&packed, len - 1), None);
    }
}
