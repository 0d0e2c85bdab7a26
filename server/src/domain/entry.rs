//! What makes a record findable, beside its own bytes.

use super::{position::Sequence, time::Time};

/// The entry of one live record. A tombstone has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub sequence: Sequence,
    /// Words of the full-text index, separated by single spaces (domain/analyzer.rs).
    pub terms: String,
    /// Where it stands in the calendar, for events.
    pub starts_at: Option<Time>,
}
