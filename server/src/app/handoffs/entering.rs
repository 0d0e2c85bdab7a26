//! What has come from the other side, entered into the feed of the point that it is for: one word,
//! one commit, and the word is forgotten only after it.

use prost::Message;
use tracing::warn;
use yizhan_proto::v1::{self, handoff_word::Kind as Said, tombstone::Reason};

use super::{
    deciding::{self, Known, may_follow},
    files,
    following::Looked,
    forgetting::forget_here,
    passed,
    stored::{Noted, damaged, find},
    telling,
};
use crate::{
    app::{
        App,
        error::{Error, Result},
        help_requests::{
            retention::note_deleted,
            stored::{Stored, put_key, sealed_feed},
        },
        records,
    },
    domain::{
        audience::FeedId,
        handoff::{Effect, HandoffState, Holding, Side},
        help_request::HelpRequest,
        id::{PointCode, RecordId},
        kind::Kind,
        notice::Fact,
        position::{PAYLOAD_MAX, Sequence},
        text::Invalid,
        time::Time,
    },
    feed::change::{Change, CommitError, Op, Write},
    store::handoffs::{self, Arrived, Lane},
    wire::{help_request as help_wire, value},
};

/// Words that are listed together.
const AT_ONCE: u32 = 256;
/// Words of either lane that are entered in one run, and at most a list more.
const ENTERED_MAX: usize = 512;
/// A word whose request, or whose RELEASE, never came is given up after so long.
const ORPHAN_US: i64 = 30 * 24 * 60 * 60 * 1_000_000;

/// Enters what has come: first what is said of handoffs, then what follows requests. What waits is
/// passed over, so that it keeps nothing else waiting.
pub async fn enter(app: &App) -> Result<()> {
    for lane in [Lane::Said, Lane::Following] {
        enter_lane(app, lane).await?;
    }
    Ok(())
}

async fn enter_lane(app: &App, lane: Lane) -> Result<()> {
    let mut looked = Looked::default();
    let mut after: Option<Arrived> = None;
    let mut entered = 0;
    while entered < ENTERED_MAX {
        let words = {
            let mut db = app.db.reader().await?;
            handoffs::list(&mut db, lane, after.as_ref(), AT_ONCE).await?
        };
        let Some(last) = words.last() else { break };
        after = Some(last.clone());
        for word in words {
            match enter_one(app, &mut looked, &word).await {
                Ok(true) => {
                    forget(app, word).await?;
                    entered += 1;
                }
                Ok(false) => {}
                // Written by somebody who does not keep to the rules: it will not get better.
                Err(Error::Invalid(fields)) => {
                    let reason = fields.first().map_or("", |field| field.reason);
                    warn!(from = %word.sender, reason, "word on a handoff refused");
                    forget(app, word).await?;
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    warn!(error, "word on a handoff will be tried again");
                }
            }
        }
    }
    Ok(())
}

async fn forget(app: &App, word: Arrived) -> Result<()> {
    let app = app.clone();
    let forgetting = tokio::spawn(async move {
        let mut db = app.db.local().await?;
        handoffs::delete(&mut db, &word).await
    });
    Ok(forgetting.await.map_err(|_| Error::Busy)??)
}

/// False: not yet.
async fn enter_one(app: &App, looked: &mut Looked, arrived: &Arrived) -> Result<bool> {
    let home: PointCode = arrived.owner.parse().map_err(|_| damaged())?;
    if arrived.lane == Lane::Following {
        return enter_following(app, looked, &home, arrived).await;
    }
    let Some(word) = read(app, arrived).await? else { return Ok(true) };
    let request = arrived.request;
    if word.kind() == Said::Forget {
        let sender: PointCode = arrived.sender.parse().map_err(|_| damaged())?;
        return forget_here(app, &home, (request, &sender), &word).await;
    }
    let noted = find(app, &home, arrived.handoff).await?;
    if noted.is_none() && is_taken(app, &home, arrived.handoff).await? {
        return Err(Invalid::new("handoff", "taken").into());
    }
    let held = Held::of(app, &home, request).await?;
    let effect = deciding::hear(noted.as_ref(), held.known(app), &arrived.sender, &word)?;
    let noted = noted
        .unwrap_or_else(|| deciding::first_note(&home, arrived.handoff, &arrived.sender, &word));
    let entered = match effect {
        Effect::Nothing => true,
        Effect::Refused => return Err(Invalid::new("handoff", "not_permitted").into()),
        Effect::Becomes(state) => becomes(app, noted, state, &word).await?,
        Effect::Answer(answer) => {
            let mut noted = noted;
            noted.say(answer);
            commit(app, noted.put(Change::new())).await?
        }
        Effect::Releases => release(app, noted, held, &word).await?,
        Effect::Settled => settled(app, held, &arrived.sender).await?,
        Effect::Later => is_orphan(app, arrived),
        Effect::Owns => own(app, noted, held, word).await?,
    };
    if entered {
        app.help.post.notify_one();
    }
    Ok(entered)
}

/// None if somebody else has entered it.
async fn read(app: &App, arrived: &Arrived) -> Result<Option<v1::HandoffWord>> {
    let word = handoffs::read(&mut *app.db.reader().await?, arrived).await?;
    let Some(word) = word else { return Ok(None) };
    let word = v1::HandoffWord::decode(&word[..]).map_err(|_| damaged())?;
    match word.request == arrived.request.0 {
        true => Ok(Some(word)),
        false => Err(Invalid::new("request", "not_permitted").into()),
    }
}

/// Does another record of the home lie under the id that a handoff was given elsewhere?
async fn is_taken(app: &App, home: &PointCode, id: RecordId) -> Result<bool> {
    let feed = sealed_feed(home);
    Ok(records::find(app, id).await?.iter().any(|found| found.feed == feed))
}

/// What this home has of a request.
#[derive(Default)]
pub(super) struct Held {
    /// The record, whatever it is.
    pub(super) at: Option<Sequence>,
    pub(super) owned: Option<Stored>,
    pub(super) stub: Option<v1::HelpStub>,
}

impl Held {
    pub(super) async fn of(app: &App, home: &PointCode, id: RecordId) -> Result<Held> {
        let feed = sealed_feed(home);
        let mut held = Held::default();
        for found in records::find(app, id).await?.into_iter().filter(|found| found.feed == feed) {
            held.at = Some(found.row.sequence);
            match found.row.kind {
                Kind::HELP_REQUEST => held.owned = Some(Stored::of(found)?),
                Kind::HELP_STUB => held.stub = Some(found.message()?),
                _ => return Err(Invalid::new("request", "taken").into()),
            }
        }
        Ok(held)
    }

    fn known(&self, app: &App) -> Known<'_> {
        let owned = self.owned.as_ref().map(|stored| &stored.request);
        let kept_by = owned.and_then(|request| request.kept_by.as_ref());
        // Who has left the network gets nothing back.
        let is_kept = kept_by.is_some_and(|point| !app.keys.roster().has_left(point));
        Known { owned, stub: self.stub.as_ref(), is_kept }
    }
}

async fn becomes(
    app: &App,
    mut noted: Noted,
    state: HandoffState,
    word: &v1::HandoffWord,
) -> Result<bool> {
    let hours = app.help.desks.get(app).await?.hours(&noted.feed.home);
    let is_dropped = noted.handoff.preview.is_some() && noted.side() == Side::Destination;
    deciding::become_state(&mut noted, state, word, app.outside.now(), &hours)?;
    let is_dropped = is_dropped && noted.handoff.preview.is_none();
    // Told before the commit and named by the handoff: a crash between them tells nobody twice.
    match (noted.side(), state) {
        (Side::Destination, HandoffState::Offered) => {
            telling::desk(app, &noted, Fact::HandoffOffered).await?;
        }
        (Side::Origin, HandoffState::Declined) => {
            telling::desk(app, &noted, Fact::HandoffDecided).await?;
        }
        _ => {}
    }
    let done = commit(app, noted.put(Change::new())).await?;
    if done && is_dropped {
        note_deleted(app).await?;
    }
    Ok(done)
}

/// The origin lets go: in one commit its record becomes a stub, and the request is on its way, its
/// keys wrapped for the destination.
async fn release(app: &App, mut noted: Noted, held: Held, word: &v1::HandoffWord) -> Result<bool> {
    let stored = held.owned.ok_or_else(damaged)?;
    let (feed, id) = (stored.feed().clone(), stored.id());
    let to = noted.other()?;
    let (request, key) = wrapped(app, &feed, id, stored.request.clone(), &to).await?;
    let (now, both) = (app.outside.now(), (stored.request, request));
    let stub = deciding::let_go(&mut noted, both, &word.decided_by, key, now)?;
    telling::desk(app, &noted, Fact::HandoffDecided).await?;
    let change = Change::new().expect(feed.clone(), id, held.at).put(
        feed,
        Kind::HELP_STUB,
        id,
        stub.encode_to_vec(),
    );
    commit(app, noted.put(change)).await
}

/// A request with its keys wrapped for another point, and the record of the key that they lie under; none
/// for what was imported.
pub(super) async fn wrapped(
    app: &App,
    feed: &FeedId,
    id: RecordId,
    mut request: HelpRequest,
    to: &PointCode,
) -> Result<(HelpRequest, Option<(RecordId, v1::HelpKey)>)> {
    if request.intake_key.is_none() {
        return Ok((request, None));
    }
    let keys = app.help.keys.open(app, feed, id, &request).await?;
    let current = app.help.keys.current(app, to).await?;
    request.wrap = current.wrap(id, &keys);
    request.intake_key = Some(current.id);
    Ok((request, Some((current.id, current.record.clone()))))
}

/// Whoever released the request to this home keeps nothing of it any more.
async fn settled(app: &App, held: Held, sender: &str) -> Result<bool> {
    let stored = held.owned.ok_or_else(damaged)?;
    if stored.request.kept_by.as_ref().is_none_or(|point| point.as_str() != sender) {
        return Ok(true);
    }
    let (feed, id, at) = (stored.feed().clone(), stored.id(), stored.found.row.sequence);
    let request = HelpRequest { kept_by: None, ..stored.request };
    let payload = v1::HelpRequest::from(request).encode_to_vec();
    let change =
        Change::new().expect(feed.clone(), id, Some(at)).put(feed, Kind::HELP_REQUEST, id, payload);
    commit(app, change).await
}

/// The destination owns the request from here on.
async fn own(app: &App, mut noted: Noted, held: Held, word: v1::HandoffWord) -> Result<bool> {
    let home = noted.feed.home.clone();
    let id = help_wire::id(&word.request, "request")?;
    let desks = app.help.desks.get(app).await?;
    let from: PointCode = noted.handoff.from.parse().map_err(|_| damaged())?;
    let hours = (&desks.hours(&from), &desks.hours(&home));
    let request = deciding::take_over(&mut noted, &word, app.outside.now(), hours)?;
    passed::take_back(app, id, &home, request.owner_number).await?;
    let feed = sealed_feed(&home);
    let mut change = Change::new().expect(feed.clone(), id, held.at).put(
        feed.clone(),
        Kind::HELP_REQUEST,
        id,
        v1::HelpRequest::from(request).encode_to_vec(),
    );
    if let Some(key) = &word.key {
        let key_id = help_wire::id(&word.key_id, "key_id")?;
        change = put_key(app, change, &feed, key_id, key).await?;
    }
    check_size(&change)?;
    // That it was passed on, the client is told from what is stored.
    commit(app, noted.put(change)).await
}

/// No record that came from elsewhere may be larger than a feed can carry.
fn check_size(change: &Change) -> Result<()> {
    let is_too_large =
        |write: &Write| matches!(&write.op, Op::Put { payload, .. } if payload.len() > PAYLOAD_MAX);
    match change.writes.iter().any(is_too_large) {
        true => Err(Invalid::new("word", "too_long").into()),
        false => Ok(()),
    }
}

/// Messages and files follow their request. What comes before it waits; what comes after the request
/// has gone on follows it from here. From whoever has had nothing to do with it nothing is taken.
async fn enter_following(
    app: &App,
    looked: &mut Looked,
    home: &PointCode,
    arrived: &Arrived,
) -> Result<bool> {
    let is_orphan = is_orphan(app, arrived);
    let request = arrived.request;
    if looked.is_unknown(home, request) {
        return Ok(is_orphan);
    }
    let held = Held::of(app, home, request).await?;
    if held.known(app).holding() == Holding::Nothing {
        looked.unknown(home, request);
        return Ok(is_orphan);
    }
    let Some(word) = read(app, arrived).await? else { return Ok(true) };
    let author = word.message.as_ref().map(v1::HelpMessage::author);
    let author = author.filter(|_| word.kind() == Said::Message);
    let followers = looked.followers(app, home, request, &held, &arrived.sender).await?;
    match may_follow(&followers, author) {
        Some(true) => {}
        Some(false) => return Err(Invalid::new("request", "not_permitted").into()),
        None => return Ok(is_orphan),
    }
    match word.kind() {
        Said::File => files::enter(app, request, word).await,
        _ => enter_message(app, home, request, word).await,
    }
}

/// Has it waited so long that what it waits for will not come?
fn is_orphan(app: &App, arrived: &Arrived) -> bool {
    app.outside.now().0 - arrived.arrived.0 > ORPHAN_US
}

async fn enter_message(
    app: &App,
    home: &PointCode,
    request: RecordId,
    word: v1::HandoffWord,
) -> Result<bool> {
    let id = help_wire::id(&word.message_id, "message_id")?;
    let message = word.message.ok_or_else(|| Invalid::new("message", "required"))?;
    if message.request != request.0 {
        return Err(Invalid::new("message", "not_permitted").into());
    }
    let feed = sealed_feed(home);
    let change = Change::new().expect(feed.clone(), id, None).put(
        feed,
        Kind::HELP_MESSAGE,
        id,
        message.encode_to_vec(),
    );
    check_size(&change)?;
    match app.writer.commit(change).await {
        Ok(_) | Err(CommitError::Stale) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// False if somebody else was faster: what is stored is looked at again.
async fn commit(app: &App, change: Change) -> Result<bool> {
    match app.writer.commit(change).await {
        Ok(_) => Ok(true),
        Err(CommitError::Stale) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A message that is on its way to the new owner, out of the record of the old one.
pub(super) fn moved_message(change: Change, home: &PointCode, id: RecordId) -> Change {
    change.remove(sealed_feed(home), id, Reason::Moved)
}

/// Is an offer over its time?
pub(super) fn is_over(handoff: &v1::Handoff, now: Time) -> bool {
    let expires = handoff.expire_time.and_then(|time| value::time(time, "expire_time").ok());
    expires.is_some_and(|expires| expires < now)
}
