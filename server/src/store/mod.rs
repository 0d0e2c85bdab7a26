//! All SQL, and the narrow face of it that feeds need. Nothing else imports sqlx.
//!
//! Queries take a connection; the caller owns the transaction. There is one writing transaction at a
//! time per database, however many nodes share it.

pub mod accounts;
pub mod approvals;
pub mod attachments;
pub mod audit;
pub mod bulk;
mod copies;
pub mod database;
pub mod dialect;
pub mod events;
pub mod feeds;
pub mod freezes;
pub mod hand_overs;
pub mod handoffs;
pub mod help_requests;
pub mod lanes;
pub mod leases;
pub mod leaving;
pub mod ledgers;
pub mod notices;
pub mod parcels;
pub mod records;
pub mod scrubs;
mod seals;
pub mod search;
pub mod tokens;
pub mod words;

pub use seals::SEALS_KEPT;

use std::{collections::BTreeSet, future::Future};

use crate::domain::{
    audience::FeedId,
    audit::Notes,
    entry::Entry,
    id::RecordId,
    position::{Epoch, Row, Sequence, Turn},
    time::Time,
};

/// Why storage failed. Nothing of the transaction has happened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("database failed")]
    Database(#[from] sqlx::Error),
    #[error("disk is full")]
    Full(#[source] sqlx::Error),
    /// What had been written may or may not be on the disk.
    #[error("disk fails")]
    Io(#[source] sqlx::Error),
    #[error("stored {what} cannot be read back")]
    Damaged { what: &'static str },
    #[error("database is of a newer version of this program (migration {found})")]
    Newer { found: i64 },
    #[error("SQLite {found} loses data under load; 3.51.3 or newer is needed")]
    UnsafeSqlite { found: String },
    #[error("database address is not sqlite: or postgres://")]
    UnknownDatabase,
}

/// Numbers the copies of one node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Slot(pub u32);

impl Slot {
    /// The key of a row within the node. The highest slot keeps it within 63 bits.
    pub fn position(self, sequence: Sequence) -> i64 {
        (i64::from(self.0) << 40) | sequence.0 as i64
    }

    pub const MAX: Slot = Slot((1 << 22) - 1);
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum CopyState {
    /// Written here.
    Own = 1,
    /// A first copy, or a new epoch, on its way in. Nobody sees it.
    Filling = 2,
    /// Verified; its rows are becoming searchable. Relayed, not yet read.
    Indexing = 3,
    /// A state that its home sealed.
    Current = 4,
    /// Between two such states, both verified. Read with that remark, not relayed.
    CatchingUp = 5,
    /// Replaced or disproved; its rows are being cleared away.
    Retired = 6,
}

impl CopyState {
    pub fn from_number(number: i64) -> Option<CopyState> {
        use CopyState::*;
        [Own, Filling, Indexing, Current, CatchingUp, Retired]
            .into_iter()
            .find(|state| *state as i64 == number)
    }

    /// Answers may rest on it.
    pub fn is_readable(self) -> bool {
        matches!(self, CopyState::Own | CopyState::Current | CopyState::CatchingUp)
    }

    /// Neighbours may have it.
    pub fn is_relayed(self) -> bool {
        matches!(self, CopyState::Own | CopyState::Current | CopyState::Indexing)
    }
}

pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// What a node keeps of one incarnation of a feed, beside the rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Copy {
    pub slot: Slot,
    pub feed: FeedId,
    pub epoch: Epoch,
    pub state: CopyState,
    pub number: u64,
    pub sequence: Sequence,
    pub live: u64,
    /// 2,048 bytes: the set hash of the rows that are stored.
    pub sum: Vec<u8>,
    /// Encoded seal of this state; empty while filling.
    pub seal: Vec<u8>,
    /// Encoded, verified seal that is being moved to; empty unless catching up.
    pub target: Vec<u8>,
    /// Rows up to here cannot replace each other while filling.
    pub distinct_to: Sequence,
    /// Rows up to here are searchable.
    pub indexed: Sequence,
}

/// Rows for a neighbour, read in one snapshot with the seal they lead to.
#[derive(Clone, Debug)]
pub struct StoredPage {
    pub rows: Vec<Row>,
    pub copy: Copy,
    /// The copy has no row beyond these.
    pub reaches_end: bool,
}

/// Where feeds live. Two implementations: SQL here, and the memory of the simulator.
pub trait FeedStore: Clone + Send + Sync + 'static {
    type Tx: FeedTx;

    /// Begins the one writing transaction; waits for the one before.
    fn begin(&self) -> impl Future<Output = Result<Self::Tx, StoreError>> + Send;

    fn copies(&self) -> impl Future<Output = Result<Vec<Copy>, StoreError>> + Send;

    /// Rows of a copy after `after`: at most `rows` of them, and no further row once their payloads
    /// exceed `bytes`. `None` if the copy is gone.
    fn page(
        &self,
        slot: Slot,
        after: Sequence,
        rows: usize,
        bytes: usize,
    ) -> impl Future<Output = Result<Option<StoredPage>, StoreError>> + Send;

    /// Newest seals remembered of a feed, newest first.
    fn recent_seals(
        &self,
        feed: &FeedId,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Vec<u8>>, StoreError>> + Send;

    fn equivocations(
        &self,
    ) -> impl Future<Output = Result<Vec<FoundEquivocation>, StoreError>> + Send;

    /// Newest list of heads of each home: (encoded, when heard).
    fn statements(&self) -> impl Future<Output = Result<Vec<(Vec<u8>, i64)>, StoreError>> + Send;

    /// Copies whose rows another version has entered. The simulator's memory enters none.
    fn entered_otherwise(&self) -> impl Future<Output = Result<Vec<Copy>, StoreError>> + Send {
        async { Ok(Vec::new()) }
    }

    /// Do other nodes write here too?
    fn is_shared(&self) -> bool {
        false
    }

    /// What has changed after `turn`, whoever changed it.
    fn changed(&self, turn: u64) -> impl Future<Output = Result<Changed, StoreError>> + Send {
        async move { Ok(Changed { turn, copies: Vec::new() }) }
    }
}

/// For which rows of a stretch something is entered.
#[derive(Clone, Debug, Default)]
pub struct Entered {
    /// In the full-text index.
    pub words: BTreeSet<Sequence>,
    /// In the calendar.
    pub events: BTreeSet<Sequence>,
    /// Among the desk's requests and messages.
    pub desk: BTreeSet<Sequence>,
}

/// Changes of a shared database.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The writing transaction up to which this is everything.
    pub turn: u64,
    /// All copies of each feed of which one has changed.
    pub copies: Vec<Copy>,
}

/// A stored proof that a home sealed two states under one number.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundEquivocation {
    pub feed: FeedId,
    pub epoch_counter: u64,
    pub proof: Vec<u8>,
}

/// The one writing transaction. Dropped without `commit`, nothing has happened.
pub trait FeedTx: Send {
    fn copies(
        &mut self,
        feed: &FeedId,
    ) -> impl Future<Output = Result<Vec<Copy>, StoreError>> + Send;
    fn insert_copy(&mut self, copy: Copy) -> impl Future<Output = Result<Copy, StoreError>> + Send;
    fn update_copy(&mut self, copy: &Copy) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Clears away up to `limit` rows of a retired copy, then the copy; true when nothing is left.
    fn clear(
        &mut self,
        slot: Slot,
        limit: usize,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// The stored versions of these records.
    fn versions(
        &mut self,
        slot: Slot,
        ids: &[RecordId],
    ) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;

    fn put(
        &mut self,
        slot: Slot,
        rows: &[Row],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Deletes rows and whatever was entered for them.
    fn remove(
        &mut self,
        slot: Slot,
        rows: &[Sequence],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Makes rows findable.
    fn enter(
        &mut self,
        slot: Slot,
        entries: &[Entry],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Rows after `after` that are entered under a word, in sequence order. The simulator's memory enters
    /// none.
    fn entered_under(
        &mut self,
        _slot: Slot,
        _word: &str,
        _after: Sequence,
        _limit: usize,
    ) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send {
        async { Ok(Vec::new()) }
    }

    /// Notes that this version has entered the rows of a copy, where an earlier one had.
    fn set_entered(&mut self, _slot: Slot) -> impl Future<Output = Result<(), StoreError>> + Send {
        async { Ok(()) }
    }

    /// Puts rows aside, each in the place of an earlier one of the same record.
    fn stage(
        &mut self,
        slot: Slot,
        rows: &[Row],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Staged rows after `after`, in sequence order; only tombstones if asked.
    fn staged(
        &mut self,
        slot: Slot,
        after: Sequence,
        only_removed: bool,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;

    /// Highest staged sequence, and how many rows are staged.
    fn staged_extent(
        &mut self,
        slot: Slot,
    ) -> impl Future<Output = Result<Option<(Sequence, u64)>, StoreError>> + Send;

    /// Takes staged rows away again, up to `to`: only tombstones if asked.
    fn unstage(
        &mut self,
        slot: Slot,
        to: Sequence,
        only_removed: bool,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Remembers a seal; answers with a different one of the same (feed, epoch counter, number) if
    /// that is what is stored.
    fn remember_seal(
        &mut self,
        feed: &FeedId,
        epoch_counter: u64,
        number: u64,
        seal: &[u8],
    ) -> impl Future<Output = Result<Option<Vec<u8>>, StoreError>> + Send;

    /// Keeps a proof; a whole one, of two seals, in place of a seal that did not add up.
    fn insert_equivocation(
        &mut self,
        found: &FoundEquivocation,
        now_us: i64,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Keeps a home's list of heads unless a newer one is kept. `list`: the home, or for the list of
    /// one audience `home/audience`.
    fn put_statement(
        &mut self,
        list: &str,
        number: u64,
        statement: &[u8],
        now_us: i64,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// What these look-up ids lead to in one copy, stubs left out. The simulator's memory has no
    /// requests.
    fn looked_up(
        &mut self,
        _slot: Slot,
        _lookups: &[[u8; 16]],
    ) -> impl Future<Output = Result<Vec<([u8; 16], RecordId)>, StoreError>> + Send {
        async { Ok(Vec::new()) }
    }

    /// Passes a lane; false if somebody else has since the turn was read. The simulator's memory has no
    /// lanes.
    fn pass(&mut self, _turn: Turn) -> impl Future<Output = Result<bool, StoreError>> + Send {
        async { Ok(true) }
    }

    /// Adds lines to the audit, whose salts come from `seed`. The simulator's memory keeps none.
    fn note(
        &mut self,
        _notes: &Notes,
        _now: Time,
        _seed: [u8; 32],
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        async { Ok(()) }
    }

    fn commit(self) -> impl Future<Output = Result<(), StoreError>> + Send;
}
