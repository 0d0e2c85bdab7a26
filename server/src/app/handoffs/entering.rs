//! What has come from the other side, entered into the feed of the point that it is for: one word,
//! one commit, and the word is forgotten only after it.

use prost::Message;
use tracing::warn;
use yizhan_proto::v1::{self, handoff_word::Kind as Said, tombstone::Reason};

use super::{
    desk::ack_clock,
    stored::{Noted, damaged, find},
    telling,
};
use crate::{
    app::{
        App,
        error::{Error, Result},
        help_requests::stored::{Stored, sealed_feed},
        records,
    },
    domain::{
        handoff::{self, Effect, HandoffState, Holding, Side, Word},
        help_request::HelpRequest,
        help_state::HelpState,
        id::{PointCode, RecordId},
        kind::Kind,
        notice::Fact,
        position::Sequence,
        text::Invalid,
        time::Time,
    },
    feed::change::{Change, CommitError},
    store::handoffs::{self, Arrived},
    wire::{handoff as wire, help_request as help_wire, help_request::clock_state, value},
};

/// Words of one run.
const AT_ONCE: u32 = 256;
/// A message whose request never came is given up after so long.
const ORPHAN_US: i64 = 30 * 24 * 60 * 60 * 1_000_000;

/// Enters what has come.
pub async fn enter(app: &App) -> Result<()> {
    let words = {
        let mut db = app.db.reader().await?;
        handoffs::list(&mut db, AT_ONCE).await?
    };
    for word in words {
        match enter_one(app, &word).await {
            Ok(true) => forget(app, word).await?,
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
async fn enter_one(app: &App, arrived: &Arrived) -> Result<bool> {
    let word = v1::HandoffWord::decode(&arrived.word[..]).map_err(|_| damaged())?;
    let home: PointCode = arrived.owner.parse().map_err(|_| damaged())?;
    let request = help_wire::id(&word.request, "request")?;
    if word.kind() == Said::Message {
        return enter_message(app, &home, request, arrived, word).await;
    }
    let Some(said) = wire::said(&word) else { return Ok(true) };
    let noted = find(app, &home, arrived.handoff).await?;
    if noted
        .as_ref()
        .is_some_and(|noted| noted.other().ok().is_none_or(|o| o.as_str() != arrived.sender))
    {
        return Err(Invalid::new("handoff", "not_permitted").into());
    }
    let held = Held::of(app, &home, request).await?;
    let effect = match &noted {
        Some(noted) if noted.side() == Side::Origin => {
            let may = held.owned.as_ref().is_some_and(|stored| {
                stored.request.state.is_open() && stored.request.handoff == Some(noted.id)
            });
            handoff::hear_at_origin(noted.state()?, said, may)
        }
        noted => {
            let state = noted.as_ref().map(Noted::state).transpose()?;
            handoff::hear_at_destination(state, held.holding, said)
        }
    };
    let noted = noted.unwrap_or_else(|| first_note(&home, arrived, &word));
    let entered = match effect {
        Effect::Nothing => true,
        Effect::Becomes(state) => becomes(app, noted, state, &word).await?,
        Effect::Answer(answer) => {
            let mut noted = noted;
            noted.say(answer);
            commit(app, noted.put(Change::new())).await?
        }
        Effect::Releases => release(app, noted, held, &word).await?,
        Effect::Owns => own(app, noted, held, word, said).await?,
    };
    if entered {
        app.help.post.notify_one();
    }
    Ok(entered)
}

/// What this home has of a request.
struct Held {
    holding: Holding,
    /// The record, whatever it is.
    at: Option<Sequence>,
    owned: Option<Stored>,
}

impl Held {
    async fn of(app: &App, home: &PointCode, id: RecordId) -> Result<Held> {
        let feed = sealed_feed(home);
        let mut held = Held { holding: Holding::Nothing, at: None, owned: None };
        for found in records::find(app, id).await?.into_iter().filter(|found| found.feed == feed) {
            held.at = Some(found.row.sequence);
            match found.row.kind {
                Kind::HELP_REQUEST => {
                    let stored = Stored::of(found)?;
                    held.holding = Holding::Owner(stored.request.owner_number);
                    held.owned = Some(stored);
                }
                Kind::HELP_STUB => {
                    let stub: v1::HelpStub = found.message()?;
                    held.holding = Holding::Stub(stub.owner_number);
                }
                _ => return Err(Invalid::new("request", "taken").into()),
            }
        }
        Ok(held)
    }
}

/// A handoff that this home hears of for the first time.
fn first_note(home: &PointCode, arrived: &Arrived, word: &v1::HandoffWord) -> Noted {
    Noted {
        feed: sealed_feed(home),
        id: arrived.handoff,
        at: None,
        handoff: v1::Handoff {
            reference: word.reference.clone(),
            request: word.request.clone(),
            from: arrived.sender.clone(),
            to: home.to_string(),
            ..v1::Handoff::default()
        },
    }
}

async fn becomes(
    app: &App,
    mut noted: Noted,
    state: HandoffState,
    word: &v1::HandoffWord,
) -> Result<bool> {
    let now = app.outside.now();
    match state {
        HandoffState::Offered => {
            noted.handoff.preview = Some(wire::preview(word.preview.clone())?);
            noted.handoff.offered_by.clone_from(&word.offered_by);
            noted.handoff.expire_time = word.expire_time;
            noted.handoff.offer_time = Some(value::time_message(now));
            let hours = app.help.desks.get(app).await?.hours(&noted.feed.home);
            let urgency = noted.handoff.preview.as_ref().map_or(0, |preview| preview.urgency);
            noted.handoff.ack = Some(clock_state(&ack_clock(urgency, now, &hours)));
            noted.handoff.state = state.number();
        }
        HandoffState::Declined => {
            noted.handoff.reason = handoff::reason(&word.reason, "reason")?;
            let suggested = value::optional_point(&word.suggested_point, "suggested_point")?;
            noted.handoff.suggested_point = value::point_message(suggested);
            noted.handoff.decided_by.clone_from(&word.decided_by);
            noted.become_state(state, None, now);
        }
        _ => noted.become_state(state, Some(HandoffState::Offered), now),
    }
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
    commit(app, noted.put(Change::new())).await
}

/// The origin lets go: in one commit its record becomes a stub, and the request is on its way, its
/// keys wrapped for the destination.
async fn release(app: &App, mut noted: Noted, held: Held, word: &v1::HandoffWord) -> Result<bool> {
    let stored = held.owned.ok_or_else(damaged)?;
    let (_, number) = held.holding.after_own_release().ok_or_else(damaged)?;
    let (feed, id) = (stored.feed().clone(), stored.id());
    let to = noted.other()?;
    let now = app.outside.now();
    let mut request = stored.request;
    noted.handoff.decided_by.clone_from(&word.decided_by);
    noted.become_state(HandoffState::Released, Some(HandoffState::Offered), now);
    let mut said = wire::word(noted.id, &noted.handoff, Word::Release(number));
    if request.intake_key.is_some() {
        let keys = app.help.keys.open(app, &feed, id, &request).await?;
        let key = app.help.keys.current(app, &to).await?;
        request.wrap = key.wrap(id, &keys);
        request.intake_key = Some(key.id);
        said.key_id = key.id.0.to_vec();
        said.key = Some(key.record.clone());
    }
    request.owner_number = number;
    request.handoff = None;
    let stub = v1::HelpStub {
        reference: request.reference.to_string(),
        lookup_hash: request.lookup_hash.clone(),
        mac_hash: request.mac_hash.clone(),
        owner: to.to_string(),
        key_hash: request.key_hash.clone(),
        received_time: Some(value::time_message(request.received)),
        owner_number: number,
        ..v1::HelpStub::default()
    };
    said.help_request = Some(request.into());
    noted.handoff.outgoing = Some(said);
    telling::desk(app, &noted, Fact::HandoffDecided).await?;
    let change = Change::new().expect(feed.clone(), id, held.at).put(
        feed,
        Kind::HELP_STUB,
        id,
        stub.encode_to_vec(),
    );
    commit(app, noted.put(change)).await
}

/// The destination owns the request from here on. Clocks keep what has passed and go on in this
/// point's hours; whoever handled it elsewhere does not any more.
async fn own(
    app: &App,
    mut noted: Noted,
    held: Held,
    word: v1::HandoffWord,
    said: Word,
) -> Result<bool> {
    let Word::Release(number) = said else { return Err(damaged()) };
    let home = noted.feed.home.clone();
    let id = help_wire::id(&word.request, "request")?;
    let message = word.help_request.ok_or_else(|| Invalid::new("help_request", "required"))?;
    let mut request = HelpRequest::try_from(message)?;
    let now = app.outside.now();
    let desks = app.help.desks.get(app).await?;
    let from: PointCode = noted.handoff.from.parse().map_err(|_| damaged())?;
    request.clocks.on_new_owner(now, &desks.hours(&from), &desks.hours(&home));
    request.owner_number = number;
    request.handoff = None;
    request.assignee.clear();
    request.escalation = 0;
    request.updated = now;
    if request.state.is_open() && request.state != HelpState::WaitingClient {
        request.state = HelpState::Received;
    }
    if noted.handoff.reference.is_empty() {
        noted.handoff.reference = request.reference.to_string();
    }
    noted.handoff.state = HandoffState::Released.number();
    noted.handoff.decide_time = Some(value::time_message(now));
    let feed = sealed_feed(&home);
    let mut change = Change::new().expect(feed.clone(), id, held.at).put(
        feed.clone(),
        Kind::HELP_REQUEST,
        id,
        v1::HelpRequest::from(request.clone()).encode_to_vec(),
    );
    if let Some(key) = word.key {
        let key_id = help_wire::id(&word.key_id, "key_id")?;
        change = change.put(feed, Kind::HELP_KEY, key_id, key.encode_to_vec());
    }
    let entered = commit(app, noted.put(change)).await?;
    if entered {
        telling::client(app, &noted.feed, id, &request, Fact::PassedOn, &noted.id.to_string())
            .await?;
        telling::desk(app, &noted, Fact::NewRequest).await?;
    }
    Ok(entered)
}

/// A message follows its request. What comes before it waits; what comes after the request has gone
/// on follows it from here.
async fn enter_message(
    app: &App,
    home: &PointCode,
    request: RecordId,
    arrived: &Arrived,
    word: v1::HandoffWord,
) -> Result<bool> {
    let held = Held::of(app, home, request).await?;
    if held.holding == Holding::Nothing {
        return Ok(app.outside.now().0 - arrived.arrived.0 > ORPHAN_US);
    }
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
