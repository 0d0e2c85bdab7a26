//! What the other side has to hear, from what is stored here: posted first, forgotten afterwards. A
//! crash between the two posts it twice, and it has one effect.

use std::collections::{BTreeMap, BTreeSet};

use tracing::warn;
use yizhan_proto::v1::{self, Letter, handoff_word::Kind as Said, letter};

use super::{
    entering::{is_over, moved_message},
    passed,
    stored::{Noted, in_work},
    telling,
};
use crate::{
    app::{
        App,
        error::{Error, Result},
        help_requests::stored::{found_at, sealed_feed},
        records::{self, Found},
    },
    domain::{
        handoff::{self, HandoffMove, HandoffState, Side},
        id::{PointCode, RecordId},
        kind::Kind,
        notice::Fact,
        time::Time,
    },
    feed::change::{Change, CommitError},
    parcel::office::SendError,
    store::handoffs,
    wire::{help_request::clock_value, value},
};

/// Messages that are listed together, and looked at in one run.
const MESSAGES: u32 = 64;
const RUN_MAX: u32 = 8_192;

/// Posts the words of all our homes, and asks clients.
pub async fn send(app: &App) -> Result<()> {
    for home in app.keys.homes() {
        for noted in in_work(app, &home).await? {
            if let Err(error) = send_one(app, &home, noted).await {
                let error = &error as &dyn std::error::Error;
                warn!(error, "word on a handoff waits to be sent");
            }
        }
    }
    Ok(())
}

async fn send_one(app: &App, home: &PointCode, mut noted: Noted) -> Result<()> {
    if noted.side() == Side::Origin && noted.state()? == HandoffState::Asked {
        if noted.handoff.client_told {
            return Ok(());
        }
        telling::client_of(app, &noted, Fact::ConsentAsked).await?;
        noted.handoff.client_told = true;
    } else {
        let Some(word) = noted.handoff.outgoing.take() else { return Ok(()) };
        let other = noted.other()?;
        if word.kind() == Said::Release {
            passed::remember(app, noted.request()?, &other, word.owner_number).await?;
        }
        post(app, home, &other, word).await?;
    }
    match app.writer.commit(noted.put(Change::new())).await {
        // It has moved on meanwhile, with another word.
        Ok(_) | Err(CommitError::Stale) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn post(app: &App, home: &PointCode, to: &PointCode, word: v1::HandoffWord) -> Result<()> {
    let letter = Letter { kind: Some(letter::Kind::HandoffWord(word)) };
    app.post.send(home.clone(), to.clone(), letter).await.map_err(|error: SendError| {
        Error::Precondition { reason: "NOT_SENT", message: error.to_string() }
    })
}

/// Offers that nobody answered in time end; before that, whoever can help is told that they take long, and
/// where one was accepted, that the request does not come.
pub async fn expire(app: &App) -> Result<()> {
    let now = app.outside.now();
    for home in app.keys.homes() {
        for mut noted in in_work(app, &home).await? {
            if !noted.state()?.is_open() {
                continue;
            }
            // Told before the commit and named by the handoff: a crash between them tells nobody twice.
            if noted.side() == Side::Origin && is_over(&noted.handoff, now) {
                telling::desk(app, &noted, Fact::HandoffDecided).await?;
                noted.step(HandoffMove::Expire, now)?;
            } else if !noted.handoff.delay_told && is_late(&noted, now) {
                telling::late(app, &noted).await?;
                noted.handoff.delay_told = true;
                if noted.state()? != HandoffState::Accepted {
                    noted.note_breach(now);
                }
            } else {
                continue;
            }
            match app.writer.commit(noted.put(Change::new())).await {
                Ok(_) | Err(CommitError::Stale) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// Does it take longer than was promised at the destination, or than either should wait unheard?
fn is_late(noted: &Noted, now: Time) -> bool {
    let is_old = |since: Option<prost_types::Timestamp>, field: &str| {
        let since = since.and_then(|at| value::time(at, field).ok());
        since.is_some_and(|since| now.0 - since.0 > handoff::OFFER_OLD_US)
    };
    match noted.side() {
        Side::Origin => is_old(noted.handoff.offer_time, "offer_time"),
        Side::Destination if noted.state().is_ok_and(|state| state == HandoffState::Accepted) => {
            is_old(noted.handoff.decide_time, "decide_time")
        }
        Side::Destination => {
            let ack = noted.handoff.ack.clone().and_then(|ack| clock_value(ack).ok());
            ack.and_then(|ack| ack.due).is_some_and(|due| due < now)
        }
    }
}

/// Messages of requests that were passed on follow them. One whose owner cannot be written to now keeps
/// no other back.
pub async fn send_messages(app: &App) -> Result<()> {
    for home in app.keys.homes() {
        send_messages_of(app, &home).await?;
    }
    Ok(())
}

async fn send_messages_of(app: &App, home: &PointCode) -> Result<()> {
    let feed = sealed_feed(home);
    let Some(held) = app.heads.find(&feed).and_then(|view| view.held) else { return Ok(()) };
    let mut owners: BTreeMap<Vec<u8>, Option<PointCode>> = BTreeMap::new();
    let mut closed: BTreeSet<PointCode> = BTreeSet::new();
    let mut after = i64::MIN;
    for _ in 0..RUN_MAX / MESSAGES {
        let left = {
            let mut db = app.db.reader().await?;
            let positions = handoffs::list_left_behind(&mut db, held.slot, after, MESSAGES).await?;
            let Some(last) = positions.last() else { break };
            after = *last;
            found_at(app, &mut db, &positions).await?
        };
        for found in left.iter().filter(|found| found.feed == feed) {
            let message: v1::HelpMessage = found.message()?;
            let owner = match owners.get(&message.request) {
                Some(owner) => owner.clone(),
                None => {
                    let owner = owner_of(app, home, &message.request).await?;
                    owners.insert(message.request.clone(), owner.clone());
                    owner
                }
            };
            let Some(owner) = owner.filter(|owner| !closed.contains(owner)) else { continue };
            if let Err(error) = send_message(app, home, &owner, found, message).await {
                let error = &error as &dyn std::error::Error;
                warn!(%owner, error, "messages wait to follow their requests");
                closed.insert(owner);
            }
        }
    }
    Ok(())
}

async fn send_message(
    app: &App,
    home: &PointCode,
    owner: &PointCode,
    found: &Found,
    message: v1::HelpMessage,
) -> Result<()> {
    let id = found.row.id;
    let word = v1::HandoffWord {
        // Of whichever handoff: it belongs to the request.
        handoff: message.request.clone(),
        request: message.request.clone(),
        kind: Said::Message.into(),
        message_id: id.0.to_vec(),
        message: Some(message),
        ..v1::HandoffWord::default()
    };
    post(app, home, owner, word).await?;
    app.writer.commit(moved_message(Change::new(), home, id)).await?;
    Ok(())
}

/// Where a request went; none if its record is not a stub, or if it is not known to have come there: what
/// belongs to a request stays where it would be taken back.
pub(super) async fn owner_of(
    app: &App,
    home: &PointCode,
    request: &[u8],
) -> Result<Option<PointCode>> {
    let Ok(id) = request.try_into().map(RecordId) else { return Ok(None) };
    let feed = sealed_feed(home);
    let found = records::find(app, id).await?;
    let stub = found.iter().find(|found| found.feed == feed && found.row.kind == Kind::HELP_STUB);
    let Some(stub) = stub else { return Ok(None) };
    let stub = stub.message::<v1::HelpStub>()?;
    Ok(stub.owner.parse().ok().filter(|_| stub.kept.is_none()))
}
