//! The point's side when it gets a node of its own after another one hosted it.
//!
//! Its node does not write before it has its disclosed feeds from neighbours, its other rows by
//! parcels, and all of them add up to what the host has sealed last. Then it opens its own epochs and
//! puts the rows in. Every step starts from what is stored.

use std::collections::BTreeMap;

use tracing::{info, warn};
use yizhan_proto::v1::{HomeHandOver, Letter, letter};

use super::{App, error::Result, handing_over::PRIVATE};
use crate::{
    domain::{
        audience::{Audience, FeedId},
        id::PointCode,
        position::{Row, Sequence},
    },
    feed::{
        change::{Change, CommitError},
        continuity::{Mark, Marks},
        digest::{Elements, Sum},
        seal::Seal,
    },
    parcel::office::SendError,
    store::{
        CopyState, Slot, StoreError, bulk,
        hand_overs::{self, Arriving, Moving},
    },
};

/// Rows read, checked or put in at once, and their bytes: at least one.
const ROWS: usize = 1_000;
const BYTES: usize = 8 * 1_024 * 1_024;

/// What this node has of what its former host hands over.
#[derive(Debug)]
pub enum Arrival {
    /// Nobody hosted this point, or its node has written since.
    NotExpected,
    Awaited,
    /// All rows are here and add up. Where the feeds that do not go over links have to go on.
    Complete(Marks),
}

/// Looks what has arrived.
pub async fn look(app: &App) -> Result<Arrival> {
    let point = &app.keys.point;
    let roster = app.keys.roster();
    if roster.handed_over_by(point).is_none() || has_begun(app) {
        return Ok(Arrival::NotExpected);
    }
    let Some(seals) = seals(app).await? else { return Ok(Arrival::Awaited) };
    for (audience, seal) in &seals {
        let arrived = match audience.is_shared() {
            true => is_taken_back(app, seal),
            false => adds_up(app, *audience, seal).await?,
        };
        if !arrived {
            return Ok(Arrival::Awaited);
        }
    }
    let private = seals.into_iter().filter(|(audience, _)| !audience.is_shared());
    let marks = private.map(|(_, seal)| {
        let statement = seal.statement();
        let mark = Mark { epoch: statement.epoch, number: statement.number };
        (statement.feed.clone(), mark)
    });
    Ok(Arrival::Complete(marks.collect()))
}

/// Is there something to put in?
pub async fn is_waiting(app: &App) -> Result<bool> {
    let seals = hand_overs::list_seals(&mut *app.db.reader().await?).await?;
    Ok(seals.is_some() && app.keys.roster().handed_over_by(&app.keys.point).is_some())
}

/// Puts what has arrived into the own feeds, and tells the host. What is there already stays: it is
/// newer. Whoever calls has seen to it that nobody else writes.
pub async fn move_in(app: &App) -> Result<()> {
    let Some(host) = app.keys.roster().handed_over_by(&app.keys.point).cloned() else {
        return Ok(());
    };
    let Some(seals) = seals(app).await? else { return Ok(()) };
    if !is_verified(app, &seals).await? {
        return Ok(());
    }
    for audience in PRIVATE.into_iter().filter(|audience| seals.contains_key(audience)) {
        while put_in(app, audience).await? {}
    }
    let finishing = tokio::spawn(finish(app.clone(), host));
    finishing.await.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
}

/// Do all rows add up? That is noted before the first of them is put in: after a crash some are in the
/// feeds, and cannot be added up here any more.
async fn is_verified(app: &App, seals: &BTreeMap<Audience, Seal>) -> Result<bool> {
    let home = &app.keys.point;
    let moving = hand_overs::moving(&mut *app.db.reader().await?, home).await?;
    if moving.stage >= Arriving::Verified {
        return Ok(true);
    }
    for audience in PRIVATE {
        let Some(seal) = seals.get(&audience) else { continue };
        if !adds_up(app, audience, seal).await? {
            warn!(audience = audience.name(), "what the host has handed over does not add up");
            return Ok(false);
        }
    }
    let moving = Moving { stage: Arriving::Verified, ..moving };
    hand_overs::put_moving(&mut *app.db.local().await?, home, moving).await?;
    Ok(true)
}

/// Puts the next rows of an audience in; false if there are none.
async fn put_in(app: &App, audience: Audience) -> Result<bool> {
    let feed = FeedId::new(app.keys.point.clone(), audience);
    let rows = next_rows(app, audience, Sequence(0)).await?;
    let Some(last) = rows.last().map(|row| row.sequence) else { return Ok(false) };
    let mut known = Vec::new();
    if let Some(slot) = own_slot(app, &feed) {
        let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
        let mut db = app.db.reader().await?;
        let stored = bulk::versions(&mut db, app.db.dialect, slot, &ids).await?;
        known = stored.into_iter().map(|row| row.id).collect();
    }
    let mut change = Change::new();
    // A tombstone's work is done: the feed goes on in another epoch.
    for row in rows.into_iter().filter(|row| !row.removed && !known.contains(&row.id)) {
        change = change.put(feed.clone(), row.kind, row.id, row.payload.to_vec());
    }
    if !change.writes.is_empty() {
        match app.writer.reconcile(change).await {
            // Somebody writes meanwhile: next time.
            Err(CommitError::Stale) => return Ok(true),
            done => drop(done?),
        }
    }
    hand_overs::remove_rows(&mut *app.db.local().await?, audience, last).await?;
    Ok(true)
}

/// Forgets what has been put in, notes that nothing more is expected and posts the word for the host, in
/// one transaction.
async fn finish(app: App, host: PointCode) -> Result<()> {
    let own = app.keys.point.clone();
    let part = HomeHandOver { home: own.to_string(), last: true, ..Default::default() };
    let letter = Letter { kind: Some(letter::Kind::HomeHandOver(part)) };
    let mut tx = app.db.begin().await?;
    hand_overs::clear_seals(tx.connection()).await?;
    let moving = hand_overs::moving(tx.connection(), &own).await?;
    let moving = Moving { stage: Arriving::MovedIn, ..moving };
    hand_overs::put_moving(tx.connection(), &own, moving).await?;
    match app.post.write(tx.connection(), &own, &host, &letter).await {
        Ok(()) => {}
        Err(SendError::Storage(error)) => return Err(error.into()),
        // The host is revoked: nobody waits for our word.
        Err(error) => warn!(%host, %error, "the former host cannot be told"),
    }
    tx.commit().await?;
    app.post.written(&own, &host);
    info!(%host, "the records that the former host kept are here");
    Ok(())
}

/// The last seals that the host has made, by audience; none before it has said so.
async fn seals(app: &App) -> Result<Option<BTreeMap<Audience, Seal>>> {
    let stored = hand_overs::list_seals(&mut *app.db.reader().await?).await?;
    let Some(stored) = stored else { return Ok(None) };
    let mut seals = BTreeMap::new();
    for bytes in stored {
        let seal = Seal::decode(&bytes).map_err(|_| StoreError::Damaged { what: "seal" })?;
        seals.insert(seal.statement().feed.audience, seal);
    }
    Ok(Some(seals))
}

/// Has a neighbour given us the feed as far as the host has sealed it?
fn is_taken_back(app: &App, last: &Seal) -> bool {
    let held = app.heads.find(&last.statement().feed).and_then(|view| view.held);
    let held = held.filter(|held| held.state == CopyState::Own).and_then(|held| held.seal);
    held.is_some_and(|held| !last.is_after(&held))
}

/// Are the rows that have arrived exactly those that the host has sealed?
async fn adds_up(app: &App, audience: Audience, seal: &Seal) -> Result<bool> {
    let statement = seal.statement();
    let elements = Elements::of(&statement.feed);
    let (mut sum, mut live, mut after) = (Sum::empty(), 0, Sequence(0));
    loop {
        let rows = next_rows(app, audience, after).await?;
        let Some(last) = rows.last() else { break };
        after = last.sequence;
        sum.join(&elements.sum(&rows));
        live += rows.iter().filter(|row| !row.removed).count() as u64;
    }
    Ok(sum.digest() == statement.digest && live == statement.live)
}

async fn next_rows(app: &App, audience: Audience, after: Sequence) -> Result<Vec<Row>> {
    let mut rows =
        hand_overs::rows_after(&mut *app.db.reader().await?, audience, after, ROWS).await?;
    let mut bytes = 0;
    let fits = rows.iter().take_while(|row| {
        let before = bytes;
        bytes += row.payload.len();
        before == 0 || bytes <= BYTES
    });
    let fits = fits.count();
    rows.truncate(fits);
    Ok(rows)
}

/// Has this point's own key sealed anything? Then its node is no newcomer.
fn has_begun(app: &App) -> bool {
    let first = app.keys.first_epoch(&app.keys.point);
    app.heads.all().into_iter().any(|(feed, view)| {
        feed.home == app.keys.point
            && feed.audience != Audience::Roster
            && view.head.is_some_and(|head| head.statement().epoch.counter >= first)
    })
}

fn own_slot(app: &App, feed: &FeedId) -> Option<Slot> {
    let held = app.heads.find(feed)?.held?;
    (held.state == CopyState::Own).then_some(held.slot)
}

#[cfg(test)]
#[path = "moving_in_tests.rs"]
mod tests;
