//! Opening a request that one does not handle: two persons, a reason, and the client is told before a
//! word is shown. A deputy opens its copy in the same way when the owner cannot be reached, or has lost
//! its key.

use std::time::Duration;

use prost::Message;
use yizhan_client::sealed;
use yizhan_proto::v1::{
    self, HelpLookup, Letter, handoff_word::Kind as Said, letter, sealed_message::Author,
};

use super::{
    handles, name_of,
    show::{open, open_with},
};
use crate::{
    app::{
        App,
        approvals::{Permit, permit},
        error::{Error, Result},
        handoffs,
        help_requests::{
            readers,
            sealing::MESSAGE,
            stored::{NewMessage, Stored, amend, not_found, sealed_feed, with_reference},
        },
        records::Found,
        sight,
    },
    domain::{
        deputy::deputy_of,
        handoff,
        help_reference::Reference,
        id::{PointCode, RecordId},
        kind::Kind,
        notice::Fact,
        policy::Operation,
        position::{Row, Sequence},
        text::Invalid,
        time::Time,
    },
    identity::caller::Caller,
    store::help_requests::{self, HeldCopy},
    wire::value::{self, time_message},
};

/// Copies that are read at one time.
const PAGE: usize = 500;
/// Messages of a copy that are shown, the newest.
const MESSAGES_MAX: usize = 500;
/// How long an owner has to show that it can be reached.
const WAIT: Duration = Duration::from_secs(4);

/// Which request, and why.
pub struct Asked {
    pub reference: String,
    pub reason: String,
    pub key_lost: bool,
}

/// What became of it.
pub enum Glass {
    /// This approval is needed first; then the same is asked again, with the same reason.
    Asked(RecordId),
    Opened(Box<v1::GetDeskRequestResponse>),
}

pub async fn break_glass(app: &App, caller: &Caller, asked: Asked) -> Result<Glass> {
    caller.may(Operation::BreakGlass)?;
    let reference = Reference::parse(&asked.reference, "reference")?;
    let reason = handoff::reason(&asked.reason, "reason")?;
    // Asked before anything is looked up: one person alone learns nothing, not even what there is.
    let point = caller.point().cloned().unwrap_or_else(|| app.keys.point.clone());
    let subject = format!("{reference}: {reason}");
    if let Permit::Asked(id) =
        permit(app, caller, Operation::BreakGlass, (&point, &subject)).await?
    {
        return Ok(Glass::Asked(id));
    }
    let homes = sight::homes(app, caller, Operation::BreakGlass);
    for found in with_reference(app, &reference).await? {
        if found.row.kind != Kind::HELP_REQUEST {
            continue;
        }
        let stored = Stored::of(found)?;
        if handles(app, caller, Operation::BreakGlass, &stored) {
            return Ok(Glass::Opened(Box::new(open_here(app, caller, &stored, &reason).await?)));
        }
    }
    let copy = find_copy(app, &reference, &homes).await?.filter(|(stored, deputy)| {
        let about = (deputy, Some(stored.request.category));
        sight::handles(app, caller, Operation::BreakGlass, about, false)
    });
    if let Some((stored, deputy)) = copy {
        let opened = open_copy(app, caller, stored, &deputy, (&reason, asked.key_lost)).await?;
        return Ok(Glass::Opened(Box::new(opened)));
    }
    app.audit.refused(caller, Operation::BreakGlass, None, "not_found").await?;
    Err(not_found())
}

/// What the client reads, in both languages.
fn words(reason: &str) -> String {
    format!(
        "经两人批准，您的求助被特别查阅。理由：{reason}\n\
         Two persons opened your request for a stated reason: {reason}"
    )
}

fn sealed_words(key: &[u8; 32], id: RecordId, caller: &Caller, reason: &str) -> Result<Vec<u8>> {
    let text = v1::HelpText { text: words(reason), by: name_of(caller) };
    sealed::seal(key, MESSAGE, &id.0, &text.encode_to_vec())
        .ok_or_else(|| Invalid::new("reason", "too_long").into())
}

fn system_message(request: RecordId, at: Time, sealed: Vec<u8>) -> v1::HelpMessage {
    v1::HelpMessage {
        request: request.0.to_vec(),
        author: Author::System.into(),
        time: Some(time_message(at)),
        sealed,
        client_told: false,
    }
}

/// The client's word about it is durable before anything is shown; a notice follows from it.
async fn open_here(
    app: &App,
    caller: &Caller,
    stored: &Stored,
    reason: &str,
) -> Result<v1::GetDeskRequestResponse> {
    let (feed, request_id) = (stored.feed(), stored.id());
    let looked = [(Kind::HELP_REQUEST, request_id)];
    app.audit.looked(caller, Operation::BreakGlass, looked).await?;
    if stored.request.content.is_empty() {
        return open(app, stored).await;
    }
    let keys = app.help.keys.open(app, feed, request_id, &stored.request).await?;
    let (id, now) = (app.outside.record_id(), app.outside.now());
    let sealed = sealed_words(&keys.content, id, caller, reason)?;
    let deed = caller.deed(Operation::BreakGlass);
    let done = amend(app, feed, request_id, &deed, |request, _| {
        request.updated = now;
        let message = system_message(request_id, now, sealed.clone());
        Ok(vec![NewMessage { id, message }])
    });
    open(app, &done.await?).await
}

/// A copy that one of these homes keeps as the deputy of the request's owner.
async fn find_copy(
    app: &App,
    reference: &Reference,
    homes: &[PointCode],
) -> Result<Option<(Stored, PointCode)>> {
    let roster = app.keys.roster();
    let mut after = (String::new(), RecordId([0; 16]));
    loop {
        let copies = {
            let mut db = app.db.reader().await?;
            help_requests::list_copies(&mut db, Kind::HELP_REQUEST.0, &after, PAGE).await?
        };
        let Some(last) = copies.last() else { return Ok(None) };
        after = (last.home.clone(), last.id);
        for copy in copies {
            let Ok(message) = v1::HelpRequest::decode(&copy.payload[..]) else { continue };
            if message.reference != reference.as_str() {
                continue;
            }
            let Ok(home) = copy.home.parse::<PointCode>() else { continue };
            let Some(deputy) = deputy_of(&roster, &home).filter(|one| homes.contains(one)) else {
                continue;
            };
            return Ok(Some((Stored::of(found(&home, copy))?, deputy)));
        }
    }
}

fn found(home: &PointCode, copy: HeldCopy) -> Found {
    let row = Row {
        sequence: Sequence(copy.sequence),
        id: copy.id,
        kind: Kind::HELP_REQUEST,
        removed: false,
        payload: copy.payload.into(),
    };
    Found { feed: sealed_feed(home), row }
}

/// The word for the client goes to the owner, who enters it when it is back; by mail it is told now.
async fn open_copy(
    app: &App,
    caller: &Caller,
    stored: Stored,
    deputy: &PointCode,
    (reason, key_lost): (&str, bool),
) -> Result<v1::GetDeskRequestResponse> {
    let (feed, request_id) = (stored.feed().clone(), stored.id());
    if !key_lost && is_reachable(app, &feed.home).await {
        return Err(Error::Precondition {
            reason: "OWNER_REACHABLE",
            message: format!("{} answers: ask its desk", feed.home),
        });
    }
    app.audit.looked(caller, Operation::BreakGlass, [(Kind::HELP_REQUEST, request_id)]).await?;
    let keys = app.help.keys.open(app, &feed, request_id, &stored.request).await?;
    let (id, now) = (app.outside.record_id(), app.outside.now());
    let sealed = sealed_words(&keys.content, id, caller, reason)?;
    let client_told = readers::reaches_client(app, &feed, request_id, &stored.request).await?;
    let said = v1::HelpMessage { client_told, ..system_message(request_id, now, sealed) };
    let word = v1::HandoffWord {
        handoff: request_id.0.to_vec(),
        request: request_id.0.to_vec(),
        kind: Said::Message.into(),
        message_id: id.0.to_vec(),
        message: Some(said),
        ..v1::HandoffWord::default()
    };
    // Who has left the network comes back to nothing.
    if !app.keys.roster().has_left(&feed.home) {
        let letter = Letter { kind: Some(letter::Kind::HandoffWord(word)) };
        let sent = app.post.send(deputy.clone(), feed.home.clone(), letter).await;
        sent.map_err(|error| Error::Precondition {
            reason: "NOT_SENT",
            message: error.to_string(),
        })?;
    }
    let occasion = id.to_string();
    handoffs::tell_client(app, &feed, request_id, &stored.request, Fact::Opened, &occasion).await?;
    let messages = messages_of(app, &feed.home, request_id).await?;
    open_with(app, &stored, messages).await
}

/// Does the owner answer at all? It is asked nothing.
async fn is_reachable(app: &App, owner: &PointCode) -> bool {
    let nothing = Letter { kind: Some(letter::Kind::HelpLookup(HelpLookup { question: None })) };
    app.post.ask(owner, nothing, WAIT).await.is_ok()
}

async fn messages_of(
    app: &App,
    home: &PointCode,
    request: RecordId,
) -> Result<Vec<(RecordId, v1::HelpMessage)>> {
    let mut all = Vec::new();
    let mut after = (home.to_string(), RecordId([0; 16]));
    loop {
        let copies = {
            let mut db = app.db.reader().await?;
            help_requests::list_copies(&mut db, Kind::HELP_MESSAGE.0, &after, PAGE).await?
        };
        let Some(last) = copies.last() else { break };
        after = (last.home.clone(), last.id);
        let is_over = last.home != home.as_str();
        for copy in copies.into_iter().filter(|copy| copy.home == home.as_str()) {
            let Ok(message) = v1::HelpMessage::decode(&copy.payload[..]) else { continue };
            if message.request == request.0 {
                all.push((copy.id, message));
            }
        }
        if is_over {
            break;
        }
    }
    all.sort_by_key(|(id, message)| {
        let at = message.time.and_then(|time| value::time(time, "time").ok());
        (at.unwrap_or(Time(0)), *id)
    });
    let older = all.len().saturating_sub(MESSAGES_MAX);
    Ok(all.split_off(older))
}
