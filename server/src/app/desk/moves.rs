//! What a desk does with a request: each a move of the table, in one commit with what is said.

use prost::Message;
use yizhan_client::sealed;
use yizhan_proto::v1::{self, sealed_message::Author};

use super::{find, name_of, show::desk_request};
use crate::{
    app::{
        App,
        error::{Error, Result},
        help_requests::{
            sealing::{MESSAGE, NOTE, REDIRECT, RequestKeys},
            stored::{NewMessage, Stored, amend, has_message, with_reference},
        },
        sight,
    },
    domain::{
        code::code,
        help_category::HelpCategory,
        help_reference::Reference,
        help_request::{CONTACT_MAX, HelpRequest, TEXT_MAX},
        help_state::{HelpMove, Urgency},
        id::RecordId,
        kind::Kind,
        policy::Operation,
        text::{self, Invalid},
        time::Time,
        working_time::WorkingTime,
    },
    identity::caller::Caller,
    wire::value::time_message,
};

/// What to put right.
pub struct Triage {
    pub category: Option<HelpCategory>,
    pub urgency: Option<Urgency>,
}

pub async fn triage(
    app: &App,
    caller: &Caller,
    reference: &str,
    to: Triage,
) -> Result<v1::DeskRequest> {
    let stored = find(app, caller, Operation::WorkHelpRequest, reference).await?;
    moved(app, caller, &stored, HelpMove::Triage, |request, now, hours| {
        if let Some(category) = to.category {
            request.category = category;
        }
        if let Some(urgency) = to.urgency.filter(|urgency| *urgency != request.urgency) {
            request.urgency = urgency;
            request.clocks.on_urgency(urgency, now, hours);
        }
        Ok(Vec::new())
    })
    .await
}

/// Takes a request, or gives it to somebody who may handle it.
pub async fn assign(
    app: &App,
    caller: &Caller,
    reference: &str,
    to: &str,
) -> Result<v1::DeskRequest> {
    let stored = find(app, caller, Operation::AssignHelpRequest, reference).await?;
    let to = if to.is_empty() { name_of(caller) } else { to.to_owned() };
    let unknown = || Invalid::new("to", "unknown_handler");
    let handler = app.accounts.find_caller(&to, app.outside.now()).await?.ok_or_else(unknown)?;
    // Could the handler work on it, once it is given to that account?
    let about = (&stored.feed().home, Some(stored.request.category));
    if !sight::handles(app, &handler, Operation::ReplyHelpRequest, about, true) {
        return Err(unknown().into());
    }
    moved(app, caller, &stored, HelpMove::Assign, |request, _, _| {
        request.assignee.clone_from(&to);
        Ok(Vec::new())
    })
    .await
}

/// Answers the client.
pub async fn reply(
    app: &App,
    caller: &Caller,
    reference: &str,
    text: &str,
    request_id: Option<RecordId>,
) -> Result<v1::DeskRequest> {
    let stored = find(app, caller, Operation::ReplyHelpRequest, reference).await?;
    let words = words(text, "text", caller)?;
    let id = request_id.unwrap_or_else(|| app.outside.record_id());
    if has_message(app, stored.feed(), stored.id(), id).await? {
        return shown(app, &stored).await;
    }
    let keys = keys(app, &stored).await?;
    let sealed = seal(&keys, MESSAGE, id, &words)?;
    moved(app, caller, &stored, HelpMove::Reply, |_, now, _| {
        Ok(vec![message(&stored, id, Author::Desk, now, sealed.clone())])
    })
    .await
}

/// A note among handlers: no move, and never seen by the client.
pub async fn note(
    app: &App,
    caller: &Caller,
    reference: &str,
    text: &str,
    request_id: Option<RecordId>,
) -> Result<v1::DeskRequest> {
    let stored = find(app, caller, Operation::ReplyHelpRequest, reference).await?;
    let words = words(text, "text", caller)?;
    let id = request_id.unwrap_or_else(|| app.outside.record_id());
    if has_message(app, stored.feed(), stored.id(), id).await? {
        return shown(app, &stored).await;
    }
    let keys = keys(app, &stored).await?;
    let sealed = seal(&keys, NOTE, id, &words)?;
    let now = app.outside.now();
    let done = amend(
        app,
        stored.feed(),
        stored.id(),
        &caller.deed(Operation::ReplyHelpRequest),
        |request, _| {
            request.updated = now;
            Ok(vec![message(&stored, id, Author::Note, now, sealed.clone())])
        },
    )
    .await?;
    shown(app, &done).await
}

/// Asks the client, and stops the clocks until there is an answer.
pub async fn wait(
    app: &App,
    caller: &Caller,
    reference: &str,
    text: &str,
) -> Result<v1::DeskRequest> {
    let stored = find(app, caller, Operation::ReplyHelpRequest, reference).await?;
    let said = said(app, caller, &stored, text).await?;
    let now = app.outside.now();
    let done = amend(
        app,
        stored.feed(),
        stored.id(),
        &caller.deed(Operation::ReplyHelpRequest),
        |request, hours| {
            // Asking is answering: the promise of a first word is kept by it.
            if said.is_some() {
                request.clocks.on_reply(request.urgency, now, hours);
            }
            request.step(HelpMove::Wait, now, hours)?;
            Ok(said
                .iter()
                .map(|(id, sealed)| message(&stored, *id, Author::Desk, now, sealed.clone()))
                .collect())
        },
    )
    .await?;
    shown(app, &done).await
}

/// Not ours: with the reason, and where to go instead.
pub async fn redirect(
    app: &App,
    caller: &Caller,
    reference: &str,
    (reason, to, contact): (&str, &str, &str),
) -> Result<v1::DeskRequest> {
    let stored = find(app, caller, Operation::WorkHelpRequest, reference).await?;
    let reason = text::required(text::line(reason, "reason", TEXT_MAX)?, "reason")?;
    let to = text::required(text::line(to, "to", CONTACT_MAX)?, "to")?;
    let contact = text::required(text::line(contact, "contact", CONTACT_MAX)?, "contact")?;
    let words = v1::HelpText { text: format!("{reason}\n{to}\n{contact}"), by: name_of(caller) };
    let keys = keys(app, &stored).await?;
    let advice = sealed::seal(&keys.content, REDIRECT, &stored.id().0, &words.encode_to_vec());
    let advice = advice.ok_or_else(|| Invalid::new("reason", "too_long"))?;
    moved(app, caller, &stored, HelpMove::Redirect, |request, _, _| {
        request.redirect.clone_from(&advice);
        Ok(Vec::new())
    })
    .await
}

/// The same as another request of this home.
pub async fn duplicate(
    app: &App,
    caller: &Caller,
    reference: &str,
    of: &str,
) -> Result<v1::DeskRequest> {
    let stored = find(app, caller, Operation::WorkHelpRequest, reference).await?;
    let of = Reference::parse(of, "of")?;
    if of == stored.request.reference {
        return Err(Invalid::new("of", "is_itself_request").into());
    }
    let found = with_reference(app, &of).await?;
    let known = found
        .into_iter()
        .find(|found| found.row.kind == Kind::HELP_REQUEST && found.feed == *stored.feed());
    let Some(known) = known else {
        return Err(Invalid::new("of", "unknown_request").into());
    };
    // A double of a double would lead in a circle sooner or later.
    if Stored::of(known)?.request.duplicate_of.is_some() {
        return Err(Invalid::new("of", "is_duplicate").into());
    }
    moved(app, caller, &stored, HelpMove::MarkDuplicate, |request, _, _| {
        request.duplicate_of = Some(of.clone());
        Ok(Vec::new())
    })
    .await
}

pub async fn resolve(
    app: &App,
    caller: &Caller,
    reference: &str,
    (text, outcome): (&str, &str),
) -> Result<v1::DeskRequest> {
    let stored = find(app, caller, Operation::ReplyHelpRequest, reference).await?;
    let outcome = if outcome.is_empty() { "helped" } else { outcome };
    let outcome = code(outcome, "outcome")?;
    let said = said(app, caller, &stored, text).await?;
    moved(app, caller, &stored, HelpMove::Resolve, |request, now, _| {
        request.outcome.clone_from(&outcome);
        let one = said.iter();
        Ok(one
            .map(|(id, sealed)| message(&stored, *id, Author::Desk, now, sealed.clone()))
            .collect())
    })
    .await
}

pub async fn reopen(
    app: &App,
    caller: &Caller,
    reference: &str,
    text: &str,
) -> Result<v1::DeskRequest> {
    let stored = find(app, caller, Operation::WorkHelpRequest, reference).await?;
    let mut notes = Vec::new();
    if !text.is_empty() {
        let id = app.outside.record_id();
        let keys = keys(app, &stored).await?;
        notes.push((id, seal(&keys, NOTE, id, &words(text, "text", caller)?)?));
    }
    moved(app, caller, &stored, HelpMove::Reopen, |_, now, _| {
        let one = notes.iter();
        Ok(one
            .map(|(id, sealed)| message(&stored, *id, Author::Note, now, sealed.clone()))
            .collect())
    })
    .await
}

/// Makes one move of the table, with what else changes and what is said.
async fn moved(
    app: &App,
    caller: &Caller,
    stored: &Stored,
    step: HelpMove,
    mut change: impl FnMut(&mut HelpRequest, Time, &WorkingTime) -> Result<Vec<NewMessage>>,
) -> Result<v1::DeskRequest> {
    let now = app.outside.now();
    let deed = caller.deed(operation_of(step));
    let done = amend(app, stored.feed(), stored.id(), &deed, |request, hours| {
        request.step(step, now, hours)?;
        change(request, now, hours)
    })
    .await?;
    shown(app, &done).await
}

/// What a move is called in the audit.
fn operation_of(step: HelpMove) -> Operation {
    match step {
        HelpMove::Assign => Operation::AssignHelpRequest,
        HelpMove::Reply | HelpMove::Wait | HelpMove::Resolve => Operation::ReplyHelpRequest,
        HelpMove::Answer | HelpMove::Withdraw => Operation::TrackHelpRequest,
        HelpMove::Triage
        | HelpMove::Close
        | HelpMove::Redirect
        | HelpMove::MarkDuplicate
        | HelpMove::Reopen => Operation::WorkHelpRequest,
    }
}

async fn shown(app: &App, stored: &Stored) -> Result<v1::DeskRequest> {
    let hours = app.help.desks.get(app).await?.hours(&stored.feed().home);
    Ok(desk_request(stored, &hours, app.outside.now()))
}

/// A word to the client, sealed, unless there is none.
async fn said(
    app: &App,
    caller: &Caller,
    stored: &Stored,
    text: &str,
) -> Result<Option<(RecordId, Vec<u8>)>> {
    if text.is_empty() {
        return Ok(None);
    }
    let words = words(text, "text", caller)?;
    let id = app.outside.record_id();
    let keys = keys(app, stored).await?;
    Ok(Some((id, seal(&keys, MESSAGE, id, &words)?)))
}

async fn keys(app: &App, stored: &Stored) -> Result<RequestKeys> {
    app.help.keys.open(app, stored.feed(), stored.id(), &stored.request).await
}

fn words(text: &str, field: &str, caller: &Caller) -> Result<v1::HelpText, Invalid> {
    let text = text::required(text::body(text, field, TEXT_MAX)?, field)?;
    Ok(v1::HelpText { text, by: name_of(caller) })
}

fn seal(
    keys: &RequestKeys,
    purpose: &str,
    id: RecordId,
    words: &v1::HelpText,
) -> Result<Vec<u8>, Error> {
    let key = if purpose == NOTE { &keys.note } else { &keys.content };
    sealed::seal(key, purpose, &id.0, &words.encode_to_vec())
        .ok_or_else(|| Invalid::new("text", "too_long").into())
}

fn message(stored: &Stored, id: RecordId, author: Author, at: Time, sealed: Vec<u8>) -> NewMessage {
    let message = v1::HelpMessage {
        request: stored.id().0.to_vec(),
        author: author.into(),
        time: Some(time_message(at)),
        sealed,
        client_told: false,
    };
    NewMessage { id, message }
}
