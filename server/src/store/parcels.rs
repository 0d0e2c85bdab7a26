//! The outbox, the inbox's memory of numbers, and receipts for removals.
//!
//! Every function is a few statements inside the caller's transaction; none is a whole by itself.

use sqlx::{AnyConnection, FromRow, Row as _, any::AnyRow};

use super::{
    CopyState, Slot, StoreError,
    database::failed,
    dialect::{Dialect, OPTIMIZE_TERMS},
};
use crate::domain::{
    audience::{Audience, FeedId},
    id::PointCode,
    position::Sequence,
    time::Time,
};

/// What the queries of this file take; the caller owns it.
pub type Connection = AnyConnection;

/// Numbers kept above the mark. A parcel beyond is left to come again.
pub const ABOVE_MARK_MAX: u64 = 10_000;
/// Epochs of one sender whose numbers are kept.
pub const EPOCHS_MAX: i64 = 16;

/// Names a series of parcels: numbers rise by one within it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Series {
    pub from: PointCode,
    pub to: PointCode,
    pub sender_epoch: u64,
}

/// A durable parcel in the outbox.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outgoing {
    pub series: Series,
    pub number: u64,
    /// Empty: in no order with others.
    pub subject: Vec<u8>,
    /// Encoded Parcel.
    pub parcel: Vec<u8>,
    /// The letter, sealed to the sender's own case key.
    pub kept: Vec<u8>,
    pub sealed_to: Vec<u8>,
    pub written: Time,
}

/// What the inbox knows of a number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    New,
    /// Settled before: with the reason if it was refused.
    Settled(Option<String>),
    /// Too far above the mark, or of an epoch that has been forgotten.
    Beyond,
}

/// Why parcels were closed without effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    Undeliverable,
    Refused,
}

impl Failure {
    fn name(self) -> &'static str {
        match self {
            Failure::Undeliverable => "undeliverable",
            Failure::Refused => "refused",
        }
    }
}

/// Parcels to one destination that were closed without effect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failed {
    pub to: PointCode,
    /// `undeliverable` or `refused`.
    pub outcome: String,
    /// The newest reason.
    pub reason: String,
    pub parcels: u64,
    pub newest: Time,
}

// --- outbox

/// The next number of a series; used up even if the caller does not use it.
pub async fn next_number(db: &mut Connection, series: &Series) -> Result<u64, StoreError> {
    let row = sqlx::query(
        "insert into outbox_numbers (sender, destination, sender_epoch, newest)
         values ($1, $2, $3, 1)
         on conflict (sender, destination, sender_epoch)
         do update set newest = outbox_numbers.newest + 1
         returning newest",
    )
    .bind(series.from.as_str())
    .bind(series.to.as_str())
    .bind(series.sender_epoch as i64)
    .fetch_one(db)
    .await
    .map_err(failed)?;
    Ok(row.try_get::<i64, _>(0)? as u64)
}

/// The lowest number of a series that is not closed.
pub async fn find_oldest(db: &mut Connection, series: &Series) -> Result<Option<u64>, StoreError> {
    let oldest: Option<i64> = sqlx::query_scalar(
        "select min(number) from outbox
         where sender = $1 and destination = $2 and sender_epoch = $3",
    )
    .bind(series.from.as_str())
    .bind(series.to.as_str())
    .bind(series.sender_epoch as i64)
    .fetch_one(db)
    .await
    .map_err(failed)?;
    Ok(oldest.map(|number| number as u64))
}

/// Parcels from one point to another that are not closed.
pub async fn count_outgoing(
    db: &mut Connection,
    from: &PointCode,
    to: &PointCode,
) -> Result<u64, StoreError> {
    let count: i64 =
        sqlx::query_scalar("select count(*) from outbox where sender = $1 and destination = $2")
            .bind(from.as_str())
            .bind(to.as_str())
            .fetch_one(db)
            .await
            .map_err(failed)?;
    Ok(count as u64)
}

pub async fn insert_outgoing(db: &mut Connection, parcel: &Outgoing) -> Result<(), StoreError> {
    sqlx::query(
        "insert into outbox (sender, destination, sender_epoch, number, subject, parcel, kept,
           sealed_to, written_us)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(parcel.series.from.as_str())
    .bind(parcel.series.to.as_str())
    .bind(parcel.series.sender_epoch as i64)
    .bind(parcel.number as i64)
    .bind(parcel.subject.clone())
    .bind(parcel.parcel.clone())
    .bind(parcel.kept.clone())
    .bind(parcel.sealed_to.clone())
    .bind(parcel.written.0)
    .execute(db)
    .await
    .map_err(failed)?;
    Ok(())
}

/// Parcels that may be sent now, oldest first: of each subject only the first.
pub async fn list_due(
    db: &mut Connection,
    from: &PointCode,
    to: &PointCode,
    limit: usize,
) -> Result<Vec<Outgoing>, StoreError> {
    sqlx::query_as(
        "select sender, destination, sender_epoch, number, subject, parcel, kept, sealed_to,
                written_us
         from outbox
         where sender = $1 and destination = $2 and not exists (
           select 1 from outbox as earlier
           where length(outbox.subject) > 0 and earlier.sender = outbox.sender
             and earlier.destination = outbox.destination and earlier.subject = outbox.subject
             and (earlier.sender_epoch, earlier.number) < (outbox.sender_epoch, outbox.number))
         order by sender_epoch, number limit $3",
    )
    .bind(from.as_str())
    .bind(to.as_str())
    .bind(limit as i64)
    .fetch_all(db)
    .await
    .map_err(failed)
}

/// The first parcel of a sender that is not closed.
pub async fn first_of(
    db: &mut Connection,
    from: &PointCode,
) -> Result<Option<Outgoing>, StoreError> {
    sqlx::query_as(
        "select sender, destination, sender_epoch, number, subject, parcel, kept, sealed_to,
                written_us
         from outbox where sender = $1 order by destination, sender_epoch, number limit 1",
    )
    .bind(from.as_str())
    .fetch_optional(db)
    .await
    .map_err(failed)
}

/// Is a parcel about this subject still on its way?
pub async fn is_outgoing(
    db: &mut Connection,
    from: &PointCode,
    to: &PointCode,
    subject: &[u8],
) -> Result<bool, StoreError> {
    let found: i64 = sqlx::query_scalar(
        "select count(*) from outbox where sender = $1 and destination = $2 and subject = $3",
    )
    .bind(from.as_str())
    .bind(to.as_str())
    .bind(subject.to_vec())
    .fetch_one(db)
    .await
    .map_err(failed)?;
    Ok(found > 0)
}

/// When parcels from one point to another were last closed as undeliverable, for this reason.
pub async fn given_up(
    db: &mut Connection,
    from: &PointCode,
    to: &PointCode,
    reason: &str,
) -> Result<Option<Time>, StoreError> {
    let newest: Option<i64> = sqlx::query_scalar(
        "select newest_us from outbox_failures
         where sender = $1 and destination = $2 and outcome = $3 and reason = $4",
    )
    .bind(from.as_str())
    .bind(to.as_str())
    .bind(Failure::Undeliverable.name())
    .bind(reason)
    .fetch_optional(db)
    .await
    .map_err(failed)?;
    Ok(newest.map(Time))
}

/// Puts a parcel in its own place, sealed to another key.
pub async fn reseal(
    db: &mut Connection,
    series: &Series,
    number: u64,
    parcel: &[u8],
    sealed_to: &[u8],
) -> Result<(), StoreError> {
    sqlx::query(
        "update outbox set parcel = $5, sealed_to = $6
         where sender = $1 and destination = $2 and sender_epoch = $3 and number = $4",
    )
    .bind(series.from.as_str())
    .bind(series.to.as_str())
    .bind(series.sender_epoch as i64)
    .bind(number as i64)
    .bind(parcel.to_vec())
    .bind(sealed_to.to_vec())
    .execute(db)
    .await
    .map_err(failed)?;
    Ok(())
}

/// Closes a parcel; false if it was closed before.
pub async fn close(db: &mut Connection, series: &Series, number: u64) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "delete from outbox
         where sender = $1 and destination = $2 and sender_epoch = $3 and number = $4",
    )
    .bind(series.from.as_str())
    .bind(series.to.as_str())
    .bind(series.sender_epoch as i64)
    .bind(number as i64)
    .execute(db)
    .await
    .map_err(failed)?;
    Ok(done.rows_affected() == 1)
}

/// Parcels from one point to another that are not closed, oldest first.
pub async fn list_outgoing(
    db: &mut Connection,
    from: &PointCode,
    to: &PointCode,
    limit: usize,
) -> Result<Vec<Outgoing>, StoreError> {
    sqlx::query_as(
        "select sender, destination, sender_epoch, number, subject, parcel, kept, sealed_to,
                written_us
         from outbox where sender = $1 and destination = $2
         order by sender_epoch, number limit $3",
    )
    .bind(from.as_str())
    .bind(to.as_str())
    .bind(limit as i64)
    .fetch_all(db)
    .await
    .map_err(failed)
}

/// Counts parcels that were closed without effect.
pub async fn count_failure(
    db: &mut Connection,
    (from, to): (&PointCode, &PointCode),
    failure: Failure,
    reason: &str,
    parcels: u64,
    now: Time,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into outbox_failures (sender, destination, outcome, reason, parcels, newest_us)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (sender, destination, outcome) do update set reason = excluded.reason,
           parcels = outbox_failures.parcels + excluded.parcels, newest_us = excluded.newest_us",
    )
    .bind(from.as_str())
    .bind(to.as_str())
    .bind(failure.name())
    .bind(reason)
    .bind(parcels as i64)
    .bind(now.0)
    .execute(db)
    .await
    .map_err(failed)?;
    Ok(())
}

/// Parcels that were closed without effect, by destination and outcome.
pub async fn list_failures(db: &mut Connection) -> Result<Vec<Failed>, StoreError> {
    sqlx::query_as(
        "select destination, outcome, reason, parcels, newest_us from outbox_failures
         order by destination, outcome, sender",
    )
    .fetch_all(db)
    .await
    .map_err(failed)
}

/// Every (sender, destination) with parcels that are not closed.
pub async fn list_conversations(
    db: &mut Connection,
) -> Result<Vec<(PointCode, PointCode)>, StoreError> {
    let rows = sqlx::query("select distinct sender, destination from outbox")
        .fetch_all(db)
        .await
        .map_err(failed)?;
    rows.iter().map(|row| Ok((point(row, "sender")?, point(row, "destination")?))).collect()
}

/// How many parcels wait, and since when the oldest.
pub async fn outbox_figures(db: &mut Connection) -> Result<(u64, Option<Time>), StoreError> {
    let row = sqlx::query("select count(*) as parcels, min(written_us) as oldest_us from outbox")
        .fetch_one(db)
        .await
        .map_err(failed)?;
    let parcels: i64 = row.try_get("parcels")?;
    Ok((parcels as u64, row.try_get::<Option<i64>, _>("oldest_us")?.map(Time)))
}

// --- inbox

/// What is known of a number. `oldest`: all lower ones are closed at the sender.
pub async fn standing(
    db: &mut Connection,
    series: &Series,
    number: u64,
    oldest: u64,
) -> Result<Standing, StoreError> {
    let kept = find_mark(db, series).await?;
    if kept.is_none() && is_forgotten(db, series).await? {
        return Ok(Standing::Beyond);
    }
    let mark = kept.unwrap_or(0).max(oldest.saturating_sub(1));
    let settled: Option<String> = sqlx::query_scalar(
        "select reason from inbox_settled
         where sender = $1 and destination = $2 and sender_epoch = $3 and number = $4",
    )
    .bind(series.from.as_str())
    .bind(series.to.as_str())
    .bind(series.sender_epoch as i64)
    .bind(number as i64)
    .fetch_optional(db)
    .await
    .map_err(failed)?;
    Ok(match settled {
        Some(reason) => Standing::Settled((!reason.is_empty()).then_some(reason)),
        None if number <= mark => Standing::Settled(None),
        None if number - mark > ABOVE_MARK_MAX => Standing::Beyond,
        None => Standing::New,
    })
}

/// A settled number of a series, with the reason if it was refused.
pub type SettledNumber = (u64, String);

/// Marks of a destination, from just after a series, in the order of senders and epochs.
pub async fn list_marks(
    db: &mut Connection,
    to: &PointCode,
    (sender, sender_epoch): (&str, u64),
    limit: u32,
) -> Result<Vec<(Series, u64)>, StoreError> {
    let rows = sqlx::query(
        "select sender, destination, sender_epoch, mark from inbox_marks
         where destination = $1 and (sender, sender_epoch) > ($2, $3)
         order by sender, sender_epoch limit $4",
    )
    .bind(to.as_str())
    .bind(sender)
    .bind(sender_epoch as i64)
    .bind(i64::from(limit))
    .fetch_all(db)
    .await
    .map_err(failed)?;
    rows.iter()
        .map(|row| {
            let sender_epoch = row.try_get::<i64, _>("sender_epoch")? as u64;
            let from = point(row, "sender")?;
            let series = Series { from, to: point(row, "destination")?, sender_epoch };
            Ok((series, row.try_get::<i64, _>("mark")? as u64))
        })
        .collect()
}

/// Numbers of a series that are kept beside its mark, after `after`.
pub async fn list_settled(
    db: &mut Connection,
    series: &Series,
    after: u64,
    limit: u32,
) -> Result<Vec<SettledNumber>, StoreError> {
    let rows: Vec<(i64, String)> = sqlx::query_as(
        "select number, reason from inbox_settled
         where sender = $1 and destination = $2 and sender_epoch = $3 and number > $4
         order by number limit $5",
    )
    .bind(series.from.as_str())
    .bind(series.to.as_str())
    .bind(series.sender_epoch as i64)
    .bind(after as i64)
    .bind(i64::from(limit))
    .fetch_all(db)
    .await
    .map_err(failed)?;
    Ok(rows.into_iter().map(|(number, reason)| (number as u64, reason)).collect())
}

/// Takes over what a former host knows of a series: nothing that it knows is acted on again.
pub async fn put_settled(
    db: &mut Connection,
    series: &Series,
    mark: u64,
    numbers: &[SettledNumber],
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into inbox_marks (sender, destination, sender_epoch, mark) values ($1, $2, $3, $4)
         on conflict (sender, destination, sender_epoch) do update set mark = excluded.mark
         where inbox_marks.mark < excluded.mark",
    )
    .bind(series.from.as_str())
    .bind(series.to.as_str())
    .bind(series.sender_epoch as i64)
    .bind(mark as i64)
    .execute(&mut *db)
    .await
    .map_err(failed)?;
    for (number, reason) in numbers {
        sqlx::query(
            "insert into inbox_settled (sender, destination, sender_epoch, number, reason)
             values ($1, $2, $3, $4, $5) on conflict do nothing",
        )
        .bind(series.from.as_str())
        .bind(series.to.as_str())
        .bind(series.sender_epoch as i64)
        .bind(*number as i64)
        .bind(reason)
        .execute(&mut *db)
        .await
        .map_err(failed)?;
    }
    Ok(())
}

/// Records a new number as settled, in the transaction of its effect, and moves the mark on.
pub async fn settle(
    db: &mut Connection,
    series: &Series,
    number: u64,
    oldest: u64,
    refused: Option<&str>,
) -> Result<(), StoreError> {
    let kept = find_mark(db, series).await?;
    if kept.is_none() {
        forget_oldest_epoch(db, series).await?;
    }
    let before = kept.unwrap_or(0).max(oldest.saturating_sub(1));
    sqlx::query(
        "insert into inbox_settled (sender, destination, sender_epoch, number, reason)
         values ($1, $2, $3, $4, $5)",
    )
    .bind(series.from.as_str())
    .bind(series.to.as_str())
    .bind(series.sender_epoch as i64)
    .bind(number as i64)
    .bind(refused.unwrap_or_default())
    .execute(&mut *db)
    .await
    .map_err(failed)?;
    let mark = next_mark(db, series, before).await?;
    sqlx::query(
        "insert into inbox_marks (sender, destination, sender_epoch, mark) values ($1, $2, $3, $4)
         on conflict (sender, destination, sender_epoch) do update set mark = excluded.mark",
    )
    .bind(series.from.as_str())
    .bind(series.to.as_str())
    .bind(series.sender_epoch as i64)
    .bind(mark as i64)
    .execute(&mut *db)
    .await
    .map_err(failed)?;
    // The mark says "done" of all below it; a reason is kept until nobody asks for it any more.
    sqlx::query(
        "delete from inbox_settled where sender = $1 and destination = $2 and sender_epoch = $3
           and number <= $4 and (reason = '' or number < $5 or number <= $6)",
    )
    .bind(series.from.as_str())
    .bind(series.to.as_str())
    .bind(series.sender_epoch as i64)
    .bind(mark as i64)
    .bind(oldest as i64)
    .bind(mark.saturating_sub(ABOVE_MARK_MAX) as i64)
    .execute(db)
    .await
    .map_err(failed)?;
    Ok(())
}

/// The mark below which all numbers of a series are settled.
pub async fn find_mark(db: &mut Connection, series: &Series) -> Result<Option<u64>, StoreError> {
    let mark: Option<i64> = sqlx::query_scalar(
        "select mark from inbox_marks
         where sender = $1 and destination = $2 and sender_epoch = $3",
    )
    .bind(series.from.as_str())
    .bind(series.to.as_str())
    .bind(series.sender_epoch as i64)
    .fetch_optional(db)
    .await
    .map_err(failed)?;
    Ok(mark.map(|mark| mark as u64))
}

/// The highest number up to which none is missing.
async fn next_mark(db: &mut Connection, series: &Series, before: u64) -> Result<u64, StoreError> {
    let above: Vec<i64> = sqlx::query_scalar(
        "select number from inbox_settled
         where sender = $1 and destination = $2 and sender_epoch = $3 and number > $4
         order by number limit $5",
    )
    .bind(series.from.as_str())
    .bind(series.to.as_str())
    .bind(series.sender_epoch as i64)
    .bind(before as i64)
    .bind(ABOVE_MARK_MAX as i64 + 1)
    .fetch_all(db)
    .await
    .map_err(failed)?;
    let next = above.iter().zip(before + 1..).take_while(|(a, b)| **a as u64 == *b);
    Ok(before + next.count() as u64)
}

/// Is it an epoch below all that are kept, when no more are kept?
async fn is_forgotten(db: &mut Connection, series: &Series) -> Result<bool, StoreError> {
    let row = sqlx::query(
        "select count(*) as epochs, min(sender_epoch) as lowest from inbox_marks
         where sender = $1 and destination = $2",
    )
    .bind(series.from.as_str())
    .bind(series.to.as_str())
    .fetch_one(db)
    .await
    .map_err(failed)?;
    let (epochs, lowest): (i64, Option<i64>) = (row.try_get("epochs")?, row.try_get("lowest")?);
    Ok(epochs >= EPOCHS_MAX && lowest.is_some_and(|lowest| (series.sender_epoch as i64) < lowest))
}

/// Makes room for one more epoch of a sender.
async fn forget_oldest_epoch(db: &mut Connection, series: &Series) -> Result<(), StoreError> {
    let lowest: Option<i64> = sqlx::query_scalar(
        "select min(sender_epoch) from inbox_marks where sender = $1 and destination = $2
         having count(*) >= $3",
    )
    .bind(series.from.as_str())
    .bind(series.to.as_str())
    .bind(EPOCHS_MAX)
    .fetch_optional(&mut *db)
    .await
    .map_err(failed)?
    .flatten();
    let Some(lowest) = lowest else { return Ok(()) };
    for sql in [
        "delete from inbox_marks where sender = $1 and destination = $2 and sender_epoch = $3",
        "delete from inbox_settled where sender = $1 and destination = $2 and sender_epoch = $3",
    ] {
        sqlx::query(sql)
            .bind(series.from.as_str())
            .bind(series.to.as_str())
            .bind(lowest)
            .execute(&mut *db)
            .await
            .map_err(failed)?;
    }
    Ok(())
}

// --- receipts for removals

/// Up to where the removals of a feed are carried out at a point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    pub epoch_counter: u64,
    /// Number of the seal.
    pub number: u64,
    pub sequence: Sequence,
}

impl Extent {
    /// Does a receipt up to here cover a tombstone?
    pub fn covers(&self, epoch_counter: u64, sequence: Sequence) -> bool {
        self.epoch_counter == epoch_counter && sequence <= self.sequence
    }
}

/// A receipt in the home's ledger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Receipt {
    pub point: PointCode,
    pub extent: Extent,
    /// By the point's own clock.
    pub scrubbed: Time,
    pub received: Time,
}

/// Enters a receipt into the ledger, unless a newer one is there.
pub async fn put_receipt(
    db: &mut Connection,
    feed: &FeedId,
    receipt: &Receipt,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into removal_receipts (home, audience, point, epoch_counter, number, sequence,
           scrubbed_us, received_us)
         values ($1, $2, $3, $4, $5, $6, $7, $8)
         on conflict (home, audience, point) do update set
           epoch_counter = excluded.epoch_counter, number = excluded.number,
           sequence = excluded.sequence, scrubbed_us = excluded.scrubbed_us,
           received_us = excluded.received_us
         where (excluded.epoch_counter, excluded.number)
             > (removal_receipts.epoch_counter, removal_receipts.number)",
    )
    .bind(feed.home.as_str())
    .bind(feed.audience as i64)
    .bind(receipt.point.as_str())
    .bind(receipt.extent.epoch_counter as i64)
    .bind(receipt.extent.number as i64)
    .bind(receipt.extent.sequence.0 as i64)
    .bind(receipt.scrubbed.0)
    .bind(receipt.received.0)
    .execute(db)
    .await
    .map_err(failed)?;
    Ok(())
}

/// The newest receipt of each point for a feed.
pub async fn list_receipts(db: &mut Connection, feed: &FeedId) -> Result<Vec<Receipt>, StoreError> {
    sqlx::query_as(
        "select point, epoch_counter, number, sequence, scrubbed_us, received_us
         from removal_receipts where home = $1 and audience = $2 order by point",
    )
    .bind(feed.home.as_str())
    .bind(feed.audience as i64)
    .fetch_all(db)
    .await
    .map_err(failed)
}

/// Remembers the receipt that is being sent to a feed's home.
pub async fn put_sent_receipt(
    db: &mut Connection,
    feed: &FeedId,
    extent: Extent,
    now: Time,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into removal_receipts_sent (home, audience, epoch_counter, number, sequence,
           sent_us)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (home, audience) do update set epoch_counter = excluded.epoch_counter,
           number = excluded.number, sequence = excluded.sequence, sent_us = excluded.sent_us",
    )
    .bind(feed.home.as_str())
    .bind(feed.audience as i64)
    .bind(extent.epoch_counter as i64)
    .bind(extent.number as i64)
    .bind(extent.sequence.0 as i64)
    .bind(now.0)
    .execute(db)
    .await
    .map_err(failed)?;
    Ok(())
}

/// The receipt last sent for each feed.
pub async fn list_sent_receipts(db: &mut Connection) -> Result<Vec<(FeedId, Extent)>, StoreError> {
    let rows = sqlx::query(
        "select home, audience, epoch_counter, number, sequence from removal_receipts_sent",
    )
    .fetch_all(db)
    .await
    .map_err(failed)?;
    rows.iter().map(|row| Ok((feed(row)?, extent(row)?))).collect()
}

/// Sequence of the newest tombstone of a copy.
pub async fn find_newest_removal(
    db: &mut Connection,
    slot: Slot,
) -> Result<Option<Sequence>, StoreError> {
    let newest: Option<i64> =
        sqlx::query_scalar("select max(position) from records where slot = $1 and removed = 1")
            .bind(i64::from(slot.0))
            .fetch_one(db)
            .await
            .map_err(failed)?;
    Ok(newest.map(|position| Sequence(position as u64 & Sequence::MAX.0)))
}

/// Feeds of which rows of a former copy are still being cleared away.
pub async fn list_clearing(db: &mut Connection) -> Result<Vec<FeedId>, StoreError> {
    let rows = sqlx::query("select distinct home, audience from copies where state = $1")
        .bind(CopyState::Retired as i64)
        .fetch_all(db)
        .await
        .map_err(failed)?;
    rows.iter().map(|row| Ok(feed(row)?)).collect()
}

/// Rewrites the full-text index without the words of removed records.
pub async fn optimize_terms(db: &mut Connection, dialect: Dialect) -> Result<(), StoreError> {
    sqlx::query(dialect.pick(OPTIMIZE_TERMS)).execute(db).await.map_err(failed)?;
    Ok(())
}

// --- rows

fn wrong(what: &str) -> sqlx::Error {
    sqlx::Error::Decode(what.to_owned().into())
}

fn point(row: &AnyRow, column: &str) -> Result<PointCode, sqlx::Error> {
    row.try_get::<String, _>(column)?.parse().map_err(|_| wrong(column))
}

fn number(row: &AnyRow, column: &str) -> Result<u64, sqlx::Error> {
    Ok(row.try_get::<i64, _>(column)? as u64)
}

fn feed(row: &AnyRow) -> Result<FeedId, sqlx::Error> {
    let audience = Audience::from_number(row.try_get("audience")?);
    Ok(FeedId::new(point(row, "home")?, audience.ok_or_else(|| wrong("audience"))?))
}

fn extent(row: &AnyRow) -> Result<Extent, sqlx::Error> {
    Ok(Extent {
        epoch_counter: number(row, "epoch_counter")?,
        number: number(row, "number")?,
        sequence: Sequence(number(row, "sequence")?),
    })
}

impl FromRow<'_, AnyRow> for Outgoing {
    fn from_row(row: &AnyRow) -> Result<Outgoing, sqlx::Error> {
        Ok(Outgoing {
            series: Series {
                from: point(row, "sender")?,
                to: point(row, "destination")?,
                sender_epoch: number(row, "sender_epoch")?,
            },
            number: number(row, "number")?,
            subject: row.try_get("subject")?,
            parcel: row.try_get("parcel")?,
            kept: row.try_get("kept")?,
            sealed_to: row.try_get("sealed_to")?,
            written: Time(row.try_get("written_us")?),
        })
    }
}

impl FromRow<'_, AnyRow> for Failed {
    fn from_row(row: &AnyRow) -> Result<Failed, sqlx::Error> {
        Ok(Failed {
            to: point(row, "destination")?,
            outcome: row.try_get("outcome")?,
            reason: row.try_get("reason")?,
            parcels: number(row, "parcels")?,
            newest: Time(row.try_get("newest_us")?),
        })
    }
}

impl FromRow<'_, AnyRow> for Receipt {
    fn from_row(row: &AnyRow) -> Result<Receipt, sqlx::Error> {
        Ok(Receipt {
            point: point(row, "point")?,
            extent: extent(row)?,
            scrubbed: Time(row.try_get("scrubbed_us")?),
            received: Time(row.try_get("received_us")?),
        })
    }
}

#[cfg(test)]
#[path = "parcels_tests.rs"]
mod tests;
