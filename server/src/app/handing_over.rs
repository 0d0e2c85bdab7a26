//! The host's side when a point that it hosted gets a node of its own.
//!
//! The writer has stopped writing and sealed a last state that names the new key. What lies in `home`
//! and `sealed` goes by parcels, a bounded number at a time; each is posted in the transaction that
//! notes how far it has come, so that a crash loses and doubles nothing. The rows stay here until the
//! point has said that it has them.

use prost::Message;
use tracing::{debug, info};
use yizhan_proto::v1::{self, HomeHandOver, Letter, letter};

use super::{App, error::Result, people};
use crate::{
    domain::{
        audience::{Audience, FeedId},
        audit::Deed,
        grant::{Grant, Purpose},
        id::PointCode,
        kind::Kind,
        position::{Row, Sequence},
    },
    feed::{change::Change, seal::Seal},
    link::frame::{PAGE_BYTES, PAGE_ROWS, Packer},
    parcel::office::SendError,
    store::{
        CopyState, FeedStore, Slot,
        hand_overs::{self, Progress, Stage},
        parcels,
    },
};

/// Letters posted in one run of the job.
const AT_ONCE: usize = 64;
/// Letters to the point that are not settled; more wait.
const UNDER_WAY_MAX: u64 = 64;
/// Audiences whose rows never go over a link.
pub const PRIVATE: [Audience; 2] = [Audience::Sealed, Audience::Home];

/// Goes on with every home that this node has hosted and that has a node of its own now.
pub async fn run(app: &App) -> Result<()> {
    let roster = app.keys.roster();
    let own = &app.keys.point;
    let left = roster.points().filter(|entry| roster.handed_over_by(&entry.code) == Some(own));
    let left: Vec<PointCode> = left.map(|entry| entry.code.clone()).collect();
    for home in left {
        for _ in 0..AT_ONCE {
            // In a task of its own: a stop must not leave a transaction open.
            let step = tokio::spawn(step(app.clone(), home.clone()));
            let step = step.await;
            if !step.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))? {
                break;
            }
        }
    }
    Ok(())
}

/// Posts the next letter; false if there is nothing to do now.
async fn step(app: App, home: PointCode) -> Result<bool> {
    let own = app.keys.point.clone();
    let mut tx = app.db.begin().await?;
    let progress = hand_overs::find(tx.connection(), &home).await?.unwrap_or_default();
    match progress.stage {
        Stage::Sending => {}
        Stage::Sent => return Ok(false),
        Stage::Settled => {
            drop(tx);
            note_releases(&app, &home).await?;
            retire(&app, &home).await;
            return Ok(false);
        }
    }
    let Some(seals) = last_seals(&app, &home) else { return Ok(false) };
    if parcels::count_outgoing(tx.connection(), &own, &home).await? >= UNDER_WAY_MAX {
        return Ok(false);
    }
    let (part, next) = match next_rows(&app, &home, progress).await? {
        Some((feed, rows)) => {
            let sequence = rows.last().map_or(Sequence(0), |row| row.sequence);
            let audience = feed.audience as i64;
            (rows_part(&feed, rows), Progress { audience, sequence, ..progress })
        }
        None => {
            let seals = seals.iter().map(|seal| seal.message().clone()).collect();
            let part =
                HomeHandOver { home: home.to_string(), last: true, seals, ..Default::default() };
            (part, Progress { stage: Stage::Sent, ..progress })
        }
    };
    let letter = Letter { kind: Some(letter::Kind::HomeHandOver(part)) };
    match app.post.write(tx.connection(), &own, &home, &letter).await {
        Ok(()) => {}
        Err(SendError::Storage(error)) => return Err(error.into()),
        Err(error) => {
            debug!(%home, %error, "records cannot be handed over yet");
            return Ok(false);
        }
    }
    hand_overs::put(tx.connection(), &home, next).await?;
    tx.commit().await?;
    app.post.written(&own, &home);
    if next.stage == Stage::Sent {
        info!(%home, "records are on their way to the point's own node");
    }
    Ok(true)
}

/// The last seals of a home's feeds; none as long as one is not sealed for the last time.
fn last_seals(app: &App, home: &PointCode) -> Option<Vec<Seal>> {
    let successor = app.keys.successor(home)?;
    let mut seals = Vec::new();
    for audience in Audience::RECORDS {
        let held = app.heads.find(&FeedId::new(home.clone(), audience)).and_then(|view| view.held);
        let Some(held) = held else { continue };
        match held.seal {
            Some(seal) if seal.statement().successor == Some(successor) => {
                seals.push(seal.as_ref().clone());
            }
            _ if held.state == CopyState::Own => return None,
            // The point writes it already: its operator did not wait for us.
            _ => {}
        }
    }
    Some(seals)
}

/// The rows after those that are in the outbox.
async fn next_rows(
    app: &App,
    home: &PointCode,
    progress: Progress,
) -> Result<Option<(FeedId, Vec<Row>)>> {
    for audience in PRIVATE {
        let after = match audience as i64 {
            number if number < progress.audience => continue,
            number if number == progress.audience => progress.sequence,
            _ => Sequence(0),
        };
        let feed = FeedId::new(home.clone(), audience);
        let Some(slot) = own_slot(app, &feed) else { continue };
        let page = app.db.page(slot, after, PAGE_ROWS, PAGE_BYTES).await?;
        if let Some(page) = page.filter(|page| !page.rows.is_empty()) {
            return Ok(Some((feed, page.rows)));
        }
    }
    Ok(None)
}

fn own_slot(app: &App, feed: &FeedId) -> Option<Slot> {
    let held = app.heads.find(feed)?.held?;
    (held.state == CopyState::Own).then_some(held.slot)
}

fn rows_part(feed: &FeedId, rows: Vec<Row>) -> HomeHandOver {
    let (rows_zstd, rows_len) = Packer::new().pack(rows);
    HomeHandOver {
        home: feed.home.to_string(),
        audience: feed.audience as u32,
        rows_zstd,
        rows_len,
        ..Default::default()
    }
}

/// Events of the homes here that name members of the point by a release of theirs have to ask there from
/// now on whether they still may.
async fn note_releases(app: &App, home: &PointCode) -> Result<()> {
    let feed = FeedId::new(home.clone(), Audience::Home);
    let Some(slot) = own_slot(app, &feed) else { return Ok(()) };
    let mut after = Sequence(0);
    loop {
        let page = app.db.page(slot, after, PAGE_ROWS, PAGE_BYTES).await?;
        let rows = page.map(|page| page.rows).unwrap_or_default();
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.sequence;
        for row in rows.into_iter().filter(|row| row.kind == Kind::GRANT && !row.removed) {
            let grant = v1::Grant::decode(&row.payload[..]).ok();
            let Some(grant) = grant.and_then(|grant| Grant::try_from(grant).ok()) else { continue };
            if grant.purpose != Purpose::MediaRelease {
                continue;
            }
            let member = grant.member.record();
            let change = Change::new().by(Deed::of_node("hand_over"));
            let change = people::gone_to(app, change, (home, home), member).await?;
            if !change.writes.is_empty() {
                app.writer.commit(change).await?;
            }
        }
    }
}

/// What the point has, is not kept here.
async fn retire(app: &App, home: &PointCode) {
    for audience in PRIVATE {
        let feed = FeedId::new(home.clone(), audience);
        if own_slot(app, &feed).is_some() {
            info!(%feed, "handed over: cleared away here");
            app.writer.retire(feed).await;
        }
    }
}
