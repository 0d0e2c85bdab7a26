//! What is done with requests with time: announced first, then done, each by what is stored alone, so
//! that a run that was broken off is finished by the next, and a second one changes nothing.
//!
//! Anonymising destroys the request's keys, its messages and everything in it that concerns a person;
//! the deputy's copy follows by the same feed; stubs on the way, and what was written about offers, by a
//! word to whoever keeps them. The key of an hour goes when nothing is sealed under it any more.

use std::collections::BTreeSet;

use prost::Message;
use tracing::{debug, warn};
use yizhan_client::sealed;
use yizhan_proto::v1::{self, Letter, handoff_word::Kind as Said, letter, tombstone::Reason};

use super::{
    sealing::{CONTENT, is_lost},
    stored::{Stored, amend, found_at, message_records, sealed_feed},
};
use crate::{
    app::{
        App,
        error::{Error, Result},
        handoffs,
    },
    domain::{
        audience::FeedId,
        audit::Deed,
        help_request::HelpRequest,
        help_state::{HelpMove, HelpState},
        id::{PointCode, RecordId},
        notice::Fact,
        retention::{RetentionStep, due, next},
        time::Time,
    },
    feed::change::{Change, CommitError},
    store::{StoreError, attachments, help_requests, scrubs},
};

/// Requests that are looked at together.
const PAGE: usize = 100;
/// Requests of one home and step in one run.
const RUN_MAX: usize = 10_000;
/// Messages that are removed in one commit.
const MESSAGES: usize = 500;
/// How it went where the client never answered.
const NO_ANSWER: &str = "no_answer";

/// Takes every step that is due at our homes.
pub async fn run(app: &App) -> Result<()> {
    let mut removed = false;
    for home in app.keys.homes() {
        let mut keys = BTreeSet::new();
        for &step in RetentionStep::ALL {
            removed |= take_due(app, &home, step, &mut keys).await?;
        }
        removed |= shred(app, &home, keys).await?;
    }
    if removed {
        note_deleted(app).await?;
    }
    Ok(())
}

/// Something was deleted here: the log is emptied soon.
pub async fn note_deleted(app: &App) -> Result<()> {
    let app = app.clone();
    let noting = tokio::spawn(async move {
        let mut db = app.db.local().await?;
        scrubs::note(&mut db, app.outside.now()).await
    });
    Ok(noting.await.map_err(|_| Error::Busy)??)
}

/// Empties the log if something was deleted since it was. Where a reader stands in the way, the next run
/// does.
pub async fn scrub(app: &App) -> Result<()> {
    let noted = scrubs::find(&mut *app.db.reader().await?).await?;
    let Some(noted) = noted else { return Ok(()) };
    if !app.db.truncate_log().await? {
        debug!("deleted bytes stay in the log until its readers have gone on");
        return Ok(());
    }
    let db = app.db.clone();
    let clearing = tokio::spawn(async move { scrubs::clear(&mut *db.local().await?, noted).await });
    Ok(clearing.await.map_err(|_| Error::Busy)??)
}

/// All requests of a home for which one step is due; true if something was deleted.
async fn take_due(
    app: &App,
    home: &PointCode,
    step: RetentionStep,
    keys: &mut BTreeSet<RecordId>,
) -> Result<bool> {
    let feed = sealed_feed(home);
    let Some(held) = app.heads.find(&feed).and_then(|view| view.held) else { return Ok(false) };
    let now = app.outside.now();
    let before = now.0.saturating_sub(app.help.periods.until(step));
    let mut after = (i64::MIN, RecordId([0; 16]));
    let mut removed = false;
    for _ in 0..RUN_MAX / PAGE {
        let (rows, found) = {
            let mut db = app.db.reader().await?;
            let asked = (step.number(), before);
            let rows = help_requests::list_kept(&mut db, held.slot, asked, after, PAGE).await?;
            let positions: Vec<i64> = rows.iter().map(|row| row.position).collect();
            (rows, found_at(app, &mut db, &positions).await?)
        };
        let Some(last) = rows.last() else { break };
        after = (last.at_us, last.id);
        for found in found {
            let stored = Stored::of(found)?;
            let Some((known, since)) = next(&stored.request) else { continue };
            if known != step || due(&stored.request, step, since, &app.help.periods) > now {
                continue;
            }
            keys.extend(stored.request.intake_key.filter(|_| step == RetentionStep::Anonymise));
            match take(app, &stored, step, now).await {
                Ok(()) => {
                    removed |=
                        matches!(step, RetentionStep::DeleteFiles | RetentionStep::Anonymise);
                }
                // Somebody has written meanwhile.
                Err(Error::Stale) => {}
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    warn!(error, step = step.name(), "a step of retention will be tried again");
                }
            }
        }
    }
    Ok(removed)
}

async fn take(app: &App, stored: &Stored, step: RetentionStep, now: Time) -> Result<()> {
    match step {
        RetentionStep::SayClosing => {
            announce(app, stored, step, Fact::ClosingAhead).await?;
            change(app, stored, step, |request| {
                request.keep(step, now);
                Ok(())
            })
            .await
        }
        RetentionStep::Close => close(app, stored, now).await,
        RetentionStep::SayFilesGo => {
            if !files(app, stored.id()).await?.is_empty() {
                announce(app, stored, step, Fact::DeletionAhead).await?;
            }
            change(app, stored, step, |request| {
                request.keep(step, now);
                Ok(())
            })
            .await
        }
        RetentionStep::DeleteFiles => delete_files(app, stored, now).await,
        RetentionStep::SayAnonymise => {
            announce(app, stored, step, Fact::DeletionAhead).await?;
            change(app, stored, step, |request| {
                request.keep(step, now);
                Ok(())
            })
            .await
        }
        RetentionStep::Anonymise => anonymise(app, stored, now).await,
    }
}

/// Tells the client, under a name that this silence and step alone have.
async fn announce(app: &App, stored: &Stored, step: RetentionStep, fact: Fact) -> Result<()> {
    let since = next(&stored.request).map_or(0, |(_, since)| since.0);
    let occasion = format!("{} {since}", step.name());
    handoffs::tell_client(app, stored.feed(), stored.id(), &stored.request, fact, &occasion).await
}

/// Changes the request if the step is still its next one.
async fn change(
    app: &App,
    stored: &Stored,
    step: RetentionStep,
    act: impl Fn(&mut HelpRequest) -> Result<()>,
) -> Result<()> {
    let deed = Deed::of_node("retention");
    let done = amend(app, stored.feed(), stored.id(), &deed, |request, _| {
        if next(request).is_none_or(|(known, _)| known != step) {
            return Err(Error::Stale);
        }
        act(request)?;
        Ok(Vec::new())
    });
    done.await.map(drop)
}

async fn close(app: &App, stored: &Stored, now: Time) -> Result<()> {
    let hours = app.help.desks.get(app).await?.hours(&stored.feed().home);
    change(app, stored, RetentionStep::Close, |request| {
        if request.state == HelpState::WaitingClient {
            request.step(HelpMove::Resolve, now, &hours)?;
            NO_ANSWER.clone_into(&mut request.outcome);
        }
        request.step(HelpMove::Close, now, &hours)?;
        request.keep(RetentionStep::Close, now);
        Ok(())
    })
    .await
}

async fn files(app: &App, request: RecordId) -> Result<Vec<RecordId>, StoreError> {
    attachments::list_of(&mut *app.db.reader().await?, request).await
}

/// Deletes all files of a request that are here.
pub async fn remove_files(app: &App, request: RecordId) -> Result<()> {
    let ids = files(app, request).await?;
    let db = app.db.clone();
    let removing = tokio::spawn(async move {
        for id in ids {
            let mut tx = db.begin().await?;
            attachments::delete(tx.connection(), id).await?;
            tx.commit().await?;
        }
        Ok::<(), StoreError>(())
    });
    Ok(removing.await.map_err(|_| Error::Busy)??)
}

/// The files, and their keys and names in the content.
async fn delete_files(app: &App, stored: &Stored, now: Time) -> Result<()> {
    let (feed, id) = (stored.feed(), stored.id());
    remove_files(app, id).await?;
    let keys = match stored.request.content.is_empty() {
        true => None,
        false => match app.help.keys.open(app, feed, id, &stored.request).await {
            Err(error) if is_lost(&error) => None,
            keys => Some(keys?),
        },
    };
    change(app, stored, RetentionStep::DeleteFiles, |request| {
        request.keep(RetentionStep::DeleteFiles, now);
        let Some(keys) = &keys else {
            // The files' names and keys cannot be taken out of what does not open: it goes with them.
            request.content.clear();
            return Ok(());
        };
        let plain = sealed::open(&keys.content, CONTENT, &id.0, &request.content);
        let content = plain.and_then(|plain| v1::HelpContent::decode(&plain[..]).ok());
        let damaged = || Error::Storage(StoreError::Damaged { what: "sealed content" });
        let mut content = content.ok_or_else(damaged)?;
        if content.files.is_empty() && content.attachments.is_empty() {
            return Ok(());
        }
        content.files.clear();
        content.attachments.clear();
        let sealed = sealed::seal(&keys.content, CONTENT, &id.0, &content.encode_to_vec());
        request.content = sealed.ok_or_else(damaged)?;
        Ok(())
    })
    .await
}

/// Everything that concerns a person: files, messages, what was said with handoffs, then the request
/// itself. Interrupted, it is the next step still.
async fn anonymise(app: &App, stored: &Stored, now: Time) -> Result<()> {
    let (feed, id) = (stored.feed(), stored.id());
    remove_files(app, id).await?;
    let mut concerned: BTreeSet<PointCode> = handoffs::anonymise(app, &feed.home, id, None).await?;
    concerned.extend(stored.request.intake.parse::<PointCode>().ok());
    concerned.remove(&feed.home);
    for point in concerned {
        forget_at(app, &feed.home, point, id, &stored.request).await?;
    }
    remove_messages(app, feed, id).await?;
    change(app, stored, RetentionStep::Anonymise, |request| {
        request.anonymise(now);
        Ok(())
    })
    .await
}

/// Removes all messages of a request that lie in a feed.
pub async fn remove_messages(app: &App, feed: &FeedId, id: RecordId) -> Result<()> {
    loop {
        let messages = message_records(app, id, MESSAGES).await?;
        let mut change = Change::new().by(Deed::of_node("retention"));
        for found in messages.iter().filter(|found| found.feed == *feed) {
            change = change.remove(feed.clone(), found.row.id, Reason::Erased);
        }
        if change.writes.is_empty() {
            return Ok(());
        }
        app.writer.commit(change).await?;
    }
}

/// Asks a point that keeps a stub to forget it. It believes who knows what the stub knows.
pub async fn forget_at(
    app: &App,
    home: &PointCode,
    point: PointCode,
    id: RecordId,
    request: &HelpRequest,
) -> Result<()> {
    forget_by(app, home, point, id, (&request.lookup_hash, &request.mac_hash)).await
}

/// The same by what a stub knows.
pub async fn forget_by(
    app: &App,
    home: &PointCode,
    point: PointCode,
    id: RecordId,
    (lookup_hash, mac_hash): (&[u8], &[u8]),
) -> Result<()> {
    if lookup_hash.is_empty() || app.keys.roster().is_revoked(&point) {
        return Ok(());
    }
    let word = v1::HandoffWord {
        handoff: id.0.to_vec(),
        request: id.0.to_vec(),
        kind: Said::Forget.into(),
        lookup_hash: lookup_hash.to_vec(),
        mac_hash: mac_hash.to_vec(),
        ..v1::HandoffWord::default()
    };
    let letter = Letter { kind: Some(letter::Kind::HandoffWord(word)) };
    app.post
        .send(home.clone(), point, letter)
        .await
        .map_err(|error| Error::Precondition { reason: "NOT_SENT", message: error.to_string() })
}

/// Removes keys under which nothing is sealed any more; true if there were any.
pub async fn shred(app: &App, home: &PointCode, keys: BTreeSet<RecordId>) -> Result<bool> {
    let feed = sealed_feed(home);
    let Some(held) = app.heads.find(&feed).and_then(|view| view.held) else { return Ok(false) };
    let now = app.outside.now();
    let mut change = Change::new().by(Deed::of_node("retention"));
    for key in keys {
        let used = help_requests::is_key_used(&mut *app.db.reader().await?, held.slot, key).await?;
        if !used && !app.help.keys.is_current(key, now) {
            app.help.keys.forget(key);
            change = change.remove(feed.clone(), key, Reason::Erased);
        }
    }
    if change.writes.is_empty() {
        return Ok(false);
    }
    match app.writer.commit(change).await {
        Ok(_) | Err(CommitError::Stale) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// When a client is told that its request will be closed, and what is personal in it deleted.
pub fn plan(app: &App, request: &HelpRequest) -> (Option<Time>, Option<Time>) {
    let Some((step, since)) = next(request) else { return (None, None) };
    let at = |step| Some(due(request, step, since, &app.help.periods));
    match step {
        RetentionStep::SayClosing | RetentionStep::Close => (at(RetentionStep::Close), None),
        _ => (None, at(RetentionStep::Anonymise)),
    }
}
