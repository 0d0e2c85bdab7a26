//! What makes a record findable, beside its own bytes.

use super::{id::RecordId, position::Sequence, time::Time};

/// To be raised whenever rows are entered otherwise than before: other words, dates or queue entries, or
/// kinds that could not be read. What was not understood then is tried again at the next start.
pub const VERSION: u32 = 1;

/// The entry of one live record. A tombstone has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    pub sequence: Sequence,
    /// Words of the full-text index, separated by single spaces (domain/analyzer.rs).
    pub terms: String,
    /// Where it stands in the calendar, for events.
    pub starts_at: Option<Time>,
    /// How the desk finds it, for help requests and their messages.
    pub desk: Option<DeskEntry>,
}

/// What a desk's tables know of a sealed record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeskEntry {
    Request(Box<QueueEntry>),
    Message { id: RecordId, request: RecordId, time_us: i64 },
}

/// A help request, or the stub of one that another point handles, as a queue finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueEntry {
    pub id: RecordId,
    pub reference: String,
    /// First half of the hash of the look-up id.
    pub lookup: [u8; 16],
    /// Number of the state; 0: a stub.
    pub state: i32,
    /// Still worked on; of a stub: still to be sent.
    pub is_open: bool,
    pub category: &'static str,
    pub channel: String,
    pub urgency: i32,
    pub region: &'static str,
    pub language: String,
    pub assignee: String,
    pub received_us: i64,
    pub due_us: i64,
    /// Number of the next step of retention; 0: none.
    pub keep_step: i32,
    /// When the phase of that step began.
    pub keep_since_us: i64,
    /// The key that wraps the request's keys; none if there is nothing sealed in it.
    pub key: Option<RecordId>,
}
