//! What neighbours deliver, on its way into a copy.
//!
//! A first copy and a new epoch go straight into a copy of their own that nobody sees before it adds
//! up. For a copy that is in use, rows are put aside until what has arrived reaches a seal and adds up
//! with what is there; then they are applied, in one transaction if they are few.

use bytes::Bytes;

use super::{
    apply::{self, BadPage},
    digest::{Digest, Elements, Sum},
    seal::Seal,
};
use crate::{
    domain::{
        audience::FeedId,
        id::{PointCode, RecordId},
        position::{Epoch, Row, Sequence},
    },
    planted::{self, Fault},
    store::{Copy, CopyState, FeedTx, Slot, StoreError},
};

/// Rows that are applied in one transaction; more are applied in chunks.
pub const AT_ONCE_MAX: u64 = 10_000;
/// Rows of one chunk.
pub const CHUNK: usize = 8_192;

/// A page of a neighbour, decoded, checked for form and summed up by the session that received it.
pub struct Delivery {
    pub feed: FeedId,
    pub pull: u64,
    pub rows: Vec<Row>,
    pub sum: Sum,
    /// Verified seal of the state that the rows lead to.
    pub seal: Seal,
    pub reaches_seal: bool,
    /// Not what a page must be: without rows, and the end of its pull.
    pub bad: Option<BadPage>,
}

/// A pull that has been granted to one neighbour: one staging, one deliverer.
#[derive(Clone, Debug)]
pub struct Inflow {
    pub pull: u64,
    pub peer: PointCode,
    pub slot: Slot,
    pub epoch: Epoch,
    /// Into a copy of its own, not into one that is in use.
    pub fills: bool,
    /// Everything up to here has arrived.
    pub after: Sequence,
    /// What had been put aside before came from somebody else.
    pub mixed: bool,
    /// Number of the state that the copy was in.
    pub base: u64,
    /// Rows have been put aside for the copy.
    pub staged: bool,
}

impl Inflow {
    /// Has another node on the same database moved the copy on since the last page?
    pub fn is_overtaken(&self, copy: &Copy) -> bool {
        match copy.state {
            CopyState::Filling => !self.fills || copy.sequence != self.after,
            CopyState::Own | CopyState::Current => self.fills || copy.number != self.base,
            CopyState::Indexing | CopyState::CatchingUp | CopyState::Retired => true,
        }
    }
}

/// What a session is told about its delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Durable, and the pull goes on.
    Stored,
    /// Durable, and the copy has reached the seal.
    Reached,
    /// The pull is no longer granted to this session.
    Dropped,
    /// It does not add up, or is not what a page must be; everything put aside is gone.
    Mismatch,
}

/// A first copy or a new epoch before its first row.
pub fn new_copy(feed: FeedId, epoch: Epoch, distinct_to: Sequence) -> Copy {
    Copy {
        slot: Slot(0),
        feed,
        epoch,
        state: CopyState::Filling,
        number: 0,
        sequence: Sequence(0),
        live: 0,
        sum: Sum::empty().to_bytes(),
        seal: Vec::new(),
        target: Vec::new(),
        distinct_to,
        indexed: Sequence(0),
    }
}

fn sum_of(copy: &Copy) -> Result<Sum, StoreError> {
    Sum::from_bytes(&copy.sum).ok_or(StoreError::Damaged { what: "sum" })
}

fn ids(rows: &[Row]) -> Vec<RecordId> {
    rows.iter().map(|row| row.id).collect()
}

/// The state of a copy is the one that the seal states.
fn adds_up(copy: &Copy, sum: &Sum, seal: &Seal) -> bool {
    let statement = seal.statement();
    let digest: Digest = sum.digest();
    (digest == statement.digest && copy.live == statement.live)
        || planted::is(Fault::ApplyBeforeVerify)
}

/// Writes into `copy` that it is in the state of `seal`.
fn arrive(copy: &mut Copy, sum: &Sum, seal: &Seal) {
    let statement = seal.statement();
    copy.sum = sum.to_bytes();
    copy.number = statement.number;
    copy.sequence = statement.sequence;
    copy.seal = seal.encode();
    copy.target = Vec::new();
}

/// Takes a page into a copy that nobody sees yet. Where that leaves the copy is written down by the
/// caller, once for all pages of its transaction.
pub async fn fill<T: FeedTx>(
    tx: &mut T,
    copy: &mut Copy,
    delivery: &Delivery,
) -> Result<Outcome, StoreError> {
    let mut sum = sum_of(copy)?;
    // Only rows that were written after the pull began can replace rows that have arrived.
    let late: Vec<RecordId> = delivery
        .rows
        .iter()
        .filter(|row| row.sequence > copy.distinct_to)
        .map(|row| row.id)
        .collect();
    let replaced = tx.versions(copy.slot, &late).await?;
    let elements = Elements::of(&copy.feed);
    for row in &replaced {
        sum.subtract(&elements.element(row));
        copy.live -= u64::from(!row.removed);
    }
    let gone: Vec<Sequence> = replaced.iter().map(|row| row.sequence).collect();
    tx.remove(copy.slot, &gone).await?;
    tx.put(copy.slot, &delivery.rows).await?;
    sum.join(&delivery.sum);
    copy.live += delivery.rows.iter().filter(|row| !row.removed).count() as u64;
    if let Some(last) = delivery.rows.last() {
        copy.sequence = last.sequence;
    }
    if !delivery.reaches_seal {
        copy.sum = sum.to_bytes();
        return Ok(Outcome::Stored);
    }
    if !adds_up(copy, &sum, &delivery.seal) {
        return give_up(tx, copy, true).await;
    }
    arrive(copy, &sum, &delivery.seal);
    copy.state = CopyState::Indexing;
    Ok(Outcome::Reached)
}

/// Drops everything that was put aside, or the copy that was being filled.
pub async fn give_up<T: FeedTx>(
    tx: &mut T,
    copy: &mut Copy,
    fills: bool,
) -> Result<Outcome, StoreError> {
    match fills {
        true => copy.state = CopyState::Retired,
        false => tx.unstage(copy.slot, Sequence::MAX, false).await?,
    }
    Ok(Outcome::Mismatch)
}

/// Takes a page for a copy that is in use; `staged`: rows have been put aside for it.
pub async fn update<T: FeedTx>(
    tx: &mut T,
    copy: &mut Copy,
    home_state: CopyState,
    staged: bool,
    delivery: &Delivery,
) -> Result<Outcome, StoreError> {
    if !delivery.reaches_seal {
        tx.stage(copy.slot, &delivery.rows).await?;
        return Ok(Outcome::Stored);
    }
    if !staged {
        // The usual case: one page brings the copy from one seal to the next.
        return update_at_once(tx, copy, home_state, &delivery.rows, &delivery.seal).await;
    }
    tx.stage(copy.slot, &delivery.rows).await?;
    let Some((_, count)) = tx.staged_extent(copy.slot).await? else { return Ok(Outcome::Stored) };
    if !staged_adds_up(tx, copy, &delivery.seal).await? {
        return give_up(tx, copy, false).await;
    }
    copy.target = delivery.seal.encode();
    copy.state = CopyState::CatchingUp;
    if count <= AT_ONCE_MAX {
        while !advance(tx, copy, home_state).await? {}
    } else {
        tx.update_copy(copy).await?;
    }
    Ok(Outcome::Reached)
}

async fn update_at_once<T: FeedTx>(
    tx: &mut T,
    copy: &mut Copy,
    home_state: CopyState,
    rows: &[Row],
    seal: &Seal,
) -> Result<Outcome, StoreError> {
    let old = tx.versions(copy.slot, &ids(rows)).await?;
    let mut sum = sum_of(copy)?;
    let mut after = copy.clone();
    apply::replace(&mut after, &mut sum, rows, &old);
    if !adds_up(&after, &sum, seal) {
        return Ok(Outcome::Mismatch);
    }
    let mut sum = sum_of(copy)?;
    apply::apply(tx, copy, &mut sum, rows, &old).await?;
    arrive(copy, &sum, seal);
    copy.indexed = copy.sequence;
    copy.state = home_state;
    tx.update_copy(copy).await?;
    Ok(Outcome::Reached)
}

/// Would the copy be in the state of `seal` once everything that is put aside is applied?
async fn staged_adds_up<T: FeedTx>(
    tx: &mut T,
    copy: &Copy,
    seal: &Seal,
) -> Result<bool, StoreError> {
    let mut sum = sum_of(copy)?;
    let mut after = copy.clone();
    let mut last = Sequence(0);
    loop {
        let rows = tx.staged(copy.slot, last, false, CHUNK).await?;
        let Some(end) = rows.last() else { break };
        last = end.sequence;
        let old = tx.versions(copy.slot, &ids(&rows)).await?;
        apply::replace(&mut after, &mut sum, &rows, &old);
    }
    Ok(adds_up(&after, &sum, seal))
}

/// Applies one chunk of verified rows, removals first; true when the copy has reached its target.
pub async fn advance<T: FeedTx>(
    tx: &mut T,
    copy: &mut Copy,
    home_state: CopyState,
) -> Result<bool, StoreError> {
    let mut rows = tx.staged(copy.slot, Sequence(0), true, CHUNK).await?;
    let removals = !rows.is_empty();
    if !removals {
        rows = tx.staged(copy.slot, Sequence(0), false, CHUNK).await?;
    }
    let mut sum = sum_of(copy)?;
    if rows.is_empty() {
        let target =
            Seal::decode(&copy.target).map_err(|_| StoreError::Damaged { what: "target" })?;
        if !adds_up(copy, &sum, &target) {
            return Err(StoreError::Damaged { what: "copy that was verified" });
        }
        arrive(copy, &sum, &target);
        copy.indexed = copy.sequence;
        copy.state = home_state;
        tx.update_copy(copy).await?;
        return Ok(true);
    }
    let old = tx.versions(copy.slot, &ids(&rows)).await?;
    apply::apply(tx, copy, &mut sum, &rows, &old).await?;
    let last = rows.last().map_or(Sequence(0), |row| row.sequence);
    tx.unstage(copy.slot, last, removals).await?;
    copy.sum = sum.to_bytes();
    tx.update_copy(copy).await?;
    Ok(false)
}

/// Turns decoded rows into a delivery: form first, then the sum, which is the costly part and is done
/// here so that it is not done in the writer.
pub fn delivery(
    inflow_after: Sequence,
    feed: FeedId,
    pull: u64,
    rows: Vec<Row>,
    seal: Seal,
    reaches_seal: bool,
) -> Delivery {
    if let Err(bad) = apply::check_page(inflow_after, &rows, seal.statement().sequence) {
        return bad_delivery(feed, pull, seal, bad);
    }
    let sum = Elements::of(&feed).sum(&rows);
    Delivery { feed, pull, rows, sum, seal, reaches_seal, bad: None }
}

/// Stands in for a page that is not what a page must be.
pub fn bad_delivery(feed: FeedId, pull: u64, seal: Seal, bad: BadPage) -> Delivery {
    let (rows, sum) = (Vec::new(), Sum::empty());
    Delivery { feed, pull, rows, sum, seal, reaches_seal: false, bad: Some(bad) }
}

/// Reads the rows of a page: `None` if they are not what a page may hold.
pub fn decode_rows(bytes: Bytes) -> Option<Vec<Row>> {
    use prost::Message;
    let message = yizhan_proto::v1::Rows::decode(bytes).ok()?;
    message.rows.into_iter().map(decode_row).collect()
}

fn decode_row(row: yizhan_proto::v1::Row) -> Option<Row> {
    Some(Row {
        sequence: (row.sequence <= Sequence::MAX.0).then_some(Sequence(row.sequence))?,
        id: RecordId(row.id.try_into().ok()?),
        kind: crate::domain::kind::Kind(row.kind),
        removed: row.removed,
        payload: row.payload,
    })
}
