//! The set hash: a sum over all rows of a feed that does not depend on their order.
//!
//! LtHash16-1024 over BLAKE3 ("Securing Update Propagation with Homomorphic Hashing", Lewi, Kim,
//! Maykov, Weis, 2019). Replacing a version is one subtraction and one addition, so a commit costs
//! what changed and not what is there. Every row counts, tombstones included.

use solana_lattice_hash::lt_hash::LtHash;

use crate::domain::audience::FeedId;
use crate::domain::position::Row;

/// Separates these elements from every other use of BLAKE3.
const CONTEXT: &str = "yizhan 2026 feed element v1";

/// The sum over a set of rows.
#[derive(Clone, PartialEq, Eq)]
pub struct Sum(Box<LtHash>);

/// What a seal says of a sum: BLAKE3 of its 2,048 bytes.
pub type Digest = [u8; 32];

impl Sum {
    pub const LEN: usize = LtHash::NUM_ELEMENTS * 2;

    pub fn empty() -> Sum {
        Sum(Box::new(LtHash([0; LtHash::NUM_ELEMENTS])))
    }

    pub fn add(&mut self, element: &Element) {
        self.0.mix_in(&element.0);
    }

    pub fn subtract(&mut self, element: &Element) {
        self.0.mix_out(&element.0);
    }

    /// Adds a sum over other rows.
    pub fn join(&mut self, other: &Sum) {
        self.0.mix_in(&other.0);
    }

    pub fn digest(&self) -> Digest {
        *blake3::hash(&self.to_bytes()).as_bytes()
    }

    /// 1,024 numbers of 16 bits, little-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.0.iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Sum> {
        if bytes.len() != Sum::LEN {
            return None;
        }
        let mut sum = Sum::empty();
        for (number, pair) in sum.0.0.iter_mut().zip(bytes.as_chunks::<2>().0) {
            *number = u16::from_le_bytes(*pair);
        }
        Some(sum)
    }
}

impl std::fmt::Debug for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sum({})", hex::encode(&self.digest()[..4]))
    }
}

/// A row as a summand.
pub struct Element(LtHash);

/// Makes elements of one feed's rows; the part of the hash that is the same for all is done once.
pub struct Elements(blake3::Hasher);

impl Elements {
    pub fn of(feed: &FeedId) -> Elements {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(&[feed.home.as_str().len() as u8]).update(feed.home.as_str().as_bytes());
        hasher.update(&[feed.audience as u8]);
        Elements(hasher)
    }

    /// Fixed-length fields first, so that no two rows share one encoding.
    pub fn element(&self, row: &Row) -> Element {
        let mut head = [0; 16 + 8 + 4 + 1];
        head[..16].copy_from_slice(&row.id.0);
        head[16..24].copy_from_slice(&row.sequence.0.to_le_bytes());
        head[24..28].copy_from_slice(&row.kind.0.to_le_bytes());
        head[28] = u8::from(row.removed);
        let mut hasher = self.0.clone();
        hasher.update(&head).update(&row.payload);
        Element(LtHash::with(&hasher))
    }

    pub fn sum<'a>(&self, rows: impl IntoIterator<Item = &'a Row>) -> Sum {
        let mut sum = Sum::empty();
        for row in rows {
            sum.add(&self.element(row));
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::position::Sequence;
    use crate::domain::{audience::Audience, id::RecordId, kind::Kind};

    fn feed(home: &str) -> FeedId {
        FeedId::new(home.parse().unwrap(), Audience::Network)
    }

    fn row(sequence: u64, payload: &[u8]) -> Row {
        Row {
            sequence: Sequence(sequence),
            id: RecordId([7; 16]),
            kind: Kind::CARD,
            removed: false,
            payload: Bytes::copy_from_slice(payload),
        }
    }

    #[test]
    fn every_field_of_a_row_and_its_feed_count() {
        let elements = Elements::of(&feed("HK"));
        let plain = elements.sum([&row(1, b"a")]).digest();
        let mut others = vec![
            elements.sum([&row(2, b"a")]).digest(),
            elements.sum([&row(1, b"b")]).digest(),
            elements.sum([&Row { removed: true, ..row(1, b"a") }]).digest(),
            elements.sum([&Row { kind: Kind::GRANT, ..row(1, b"a") }]).digest(),
            elements.sum([&Row { id: RecordId([8; 16]), ..row(1, b"a") }]).digest(),
            Elements::of(&feed("MO")).sum([&row(1, b"a")]).digest(),
            Sum::empty().digest(),
        ];
        assert!(!others.contains(&plain));
        others.sort();
        others.dedup();
        assert_eq!(others.len(), 7);
    }

    proptest! {
        #[test]
        fn order_does_not_matter_and_subtraction_undoes_addition(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..20),
        ) {
            let elements = Elements::of(&feed("GB-LON"));
            let rows: Vec<Row> =
                payloads.iter().enumerate().map(|(i, payload)| row(i as u64, payload)).collect();
            let forwards = elements.sum(&rows);
            let backwards = elements.sum(rows.iter().rev());
            prop_assert_eq!(forwards.digest(), backwards.digest());

            let mut without_last = forwards.clone();
            without_last.subtract(&elements.element(rows.last().unwrap()));
            prop_assert_eq!(&without_last, &elements.sum(&rows[..rows.len() - 1]));
            prop_assert_eq!(Sum::from_bytes(&forwards.to_bytes()).unwrap(), forwards);
        }
    }
}
