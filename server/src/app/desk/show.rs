//! Opening a request: its content and what was written, for those who handle it.

use prost::Message;
use yizhan_client::sealed;
use yizhan_proto::v1::{self, sealed_message::Author};

use super::find;
use crate::{
    app::{
        App,
        error::{Error, Result},
        help_requests::{
            sealing::{CONTENT, MESSAGE, NOTE, REDIRECT, RequestKeys},
            stored::{Stored, messages},
        },
    },
    domain::{
        id::RecordId,
        kind::Kind,
        policy::Operation,
        text::{LINE_MAX, line},
        time::Time,
        working_time::WorkingTime,
    },
    identity::caller::Caller,
    store::StoreError,
    wire::{
        help_request::{clock_message, route_message},
        value::time_message,
    },
};

/// Messages of a request that are opened at once, the newest.
const MESSAGES_MAX: usize = 500;

/// A request, opened.
pub async fn get(
    app: &App,
    caller: &Caller,
    reference: &str,
    purpose: &str,
) -> Result<v1::GetDeskRequestResponse> {
    line(purpose, "purpose", LINE_MAX)?;
    let stored = find(app, caller, Operation::ReadHelpRequest, reference).await?;
    // Noted before a word is shown.
    let looked = [(Kind::HELP_REQUEST, stored.id())];
    app.audit.looked(caller, Operation::ReadHelpRequest, looked).await?;
    open(app, &stored).await
}

/// Content and messages of a request, for whoever may see them.
pub(super) async fn open(app: &App, stored: &Stored) -> Result<v1::GetDeskRequestResponse> {
    let (feed, id) = (stored.feed(), stored.id());
    let messages = match stored.request.content.is_empty() {
        true => Vec::new(),
        false => messages(app, feed, id, MESSAGES_MAX).await?,
    };
    open_with(app, stored, messages).await
}

/// The same with messages that lie elsewhere.
pub(super) async fn open_with(
    app: &App,
    stored: &Stored,
    messages: Vec<(RecordId, v1::HelpMessage)>,
) -> Result<v1::GetDeskRequestResponse> {
    let hours = app.help.desks.get(app).await?.hours(&stored.feed().home);
    let shown = desk_request(stored, &hours, app.outside.now());
    let mut response = v1::GetDeskRequestResponse {
        request: Some(shown),
        ..v1::GetDeskRequestResponse::default()
    };
    if stored.request.content.is_empty() {
        // Brought in without content, or anonymised since.
        return Ok(response);
    }
    let (feed, id) = (stored.feed(), stored.id());
    let keys = app.help.keys.open(app, feed, id, &stored.request).await?;
    response.content = Some(content(&keys, stored)?);
    for (id, message) in messages {
        response.messages.push(opened(&keys, id, message)?);
    }
    response.readers = app.help.keys.readers(app, feed, &stored.request).await?;
    if !stored.request.redirect.is_empty() {
        let plain = sealed::open(&keys.content, REDIRECT, &id.0, &stored.request.redirect);
        response.redirect = text(plain)?.text;
    }
    Ok(response)
}

/// A file of a request: whose it is, and what the content says of it.
pub async fn attachment(
    app: &App,
    caller: &Caller,
    reference: &str,
    id: &str,
) -> Result<(RecordId, v1::HelpFile)> {
    let stored = find(app, caller, Operation::ReadHelpRequest, reference).await?;
    let looked = [(Kind::HELP_REQUEST, stored.id())];
    app.audit.looked(caller, Operation::ReadHelpRequest, looked).await?;
    let missing = || Error::NotFound { noun: "attachment" };
    if stored.request.content.is_empty() {
        return Err(missing());
    }
    let keys = app.help.keys.open(app, stored.feed(), stored.id(), &stored.request).await?;
    let files = content(&keys, &stored)?.files;
    let file = files.into_iter().find(|file| file.id == id).ok_or_else(missing)?;
    Ok((stored.id(), file))
}

/// What the client wrote first.
pub(super) fn content(keys: &RequestKeys, stored: &Stored) -> Result<v1::HelpContent> {
    let plain = sealed::open(&keys.content, CONTENT, &stored.id().0, &stored.request.content);
    v1::HelpContent::decode(&plain.ok_or_else(damaged)?[..]).map_err(|_| damaged())
}

/// A message that cannot be opened is shown as such: a client may have sealed anything.
fn opened(keys: &RequestKeys, id: RecordId, message: v1::HelpMessage) -> Result<v1::DeskMessage> {
    let (key, purpose) = match message.author() {
        Author::Note => (&keys.note, NOTE),
        _ => (&keys.content, MESSAGE),
    };
    let plain = sealed::open(key, purpose, &id.0, &message.sealed);
    let words = match text(plain) {
        Err(_) if message.author() == Author::Client => {
            v1::HelpText { text: "[unreadable]".into(), by: String::new() }
        }
        words => words?,
    };
    let by = if message.author() == Author::Client { String::new() } else { words.by };
    Ok(v1::DeskMessage {
        id: id.to_string(),
        author: message.author,
        time: message.time,
        text: words.text,
        by,
    })
}

fn text(plain: Option<zeroize::Zeroizing<Vec<u8>>>) -> Result<v1::HelpText> {
    v1::HelpText::decode(&plain.ok_or_else(damaged)?[..]).map_err(|_| damaged())
}

fn damaged() -> Error {
    Error::Storage(StoreError::Damaged { what: "sealed content" })
}

/// A request as a queue shows it: nothing that was sealed.
pub fn desk_request(stored: &Stored, hours: &WorkingTime, now: Time) -> v1::DeskRequest {
    let request = &stored.request;
    v1::DeskRequest {
        reference: request.reference.to_string(),
        id: stored.id().to_string(),
        category: request.category.name().to_owned(),
        urgency: request.urgency.number(),
        region: request.region.code().to_owned(),
        language: request.language.to_string(),
        state: request.state.number(),
        owner: stored.feed().home.to_string(),
        assignee: request.assignee.clone(),
        received_time: Some(time_message(request.received)),
        clocks: request.clocks.0.iter().map(|clock| clock_message(clock, now, hours)).collect(),
        route: Some(route_message(request.route.clone())),
        escalation: request.escalation as i32,
        reopened: request.reopened as i32,
        resolve_time: request.resolved.map(time_message),
        close_time: request.closed.map(time_message),
        outcome: request.outcome.clone(),
        rating: request.rating as i32,
        duplicate_of: request.duplicate_of.as_ref().map(ToString::to_string).unwrap_or_default(),
        for_other: request.for_other,
        source: request.source.clone(),
        channel: request.channel.clone(),
    }
}
