//! Help requests as clients and desks read them.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};
use yizhan_proto::v1::{self, HelpState, HelpUrgency, sealed_message::Author};

use super::{Texts, time, value_of, word};
use crate::{answer::Column, error::Result};

pub const QUEUE_COLUMNS: &[Column] = &[
    "reference",
    "category",
    "urgency",
    "state",
    "language",
    "region",
    "assignee",
    "channel",
    "next_due_at",
    "owner",
];

/// A request in a queue.
#[derive(Clone, Default, PartialEq, Debug, Serialize)]
pub struct Queued {
    pub reference: String,
    pub id: String,
    pub category: String,
    pub urgency: String,
    pub state: String,
    pub region: String,
    pub language: String,
    pub owner: String,
    pub assignee: String,
    pub received_at: Option<String>,
    pub next_due_at: Option<String>,
    pub clocks: Vec<Clock>,
    pub route: Route,
    pub escalation: i32,
    pub reopened: i32,
    pub resolved_at: Option<String>,
    pub closed_at: Option<String>,
    pub outcome: String,
    pub rating: i32,
    pub duplicate_of: String,
    pub for_other: bool,
    pub source: String,
    pub channel: String,
}

#[derive(Clone, Default, PartialEq, Debug, Serialize)]
pub struct Clock {
    pub kind: String,
    pub target_minutes: i32,
    pub elapsed_minutes: i32,
    pub due_at: Option<String>,
    pub met_at: Option<String>,
    pub breached_at: Option<String>,
    pub paused: bool,
}

#[derive(Clone, Default, PartialEq, Debug, Serialize)]
pub struct Route {
    pub rule: String,
    pub reason: String,
    pub alternatives: Vec<Alternative>,
}

#[derive(Clone, Default, PartialEq, Debug, Serialize)]
pub struct Alternative {
    pub point: String,
    pub note: String,
}

impl From<&v1::HelpClock> for Clock {
    fn from(clock: &v1::HelpClock) -> Clock {
        Clock {
            kind: clock.kind.clone(),
            target_minutes: clock.target_minutes,
            elapsed_minutes: clock.elapsed_minutes,
            due_at: time(clock.due_time.as_ref()),
            met_at: time(clock.met_time.as_ref()),
            breached_at: time(clock.breach_time.as_ref()),
            paused: clock.paused,
        }
    }
}

impl From<&v1::HelpRoute> for Route {
    fn from(route: &v1::HelpRoute) -> Route {
        let alternative = |one: &v1::help_route::Alternative| Alternative {
            point: one.point.clone(),
            note: one.note.clone(),
        };
        Route {
            rule: route.rule.clone(),
            reason: route.reason.clone(),
            alternatives: route.alternatives.iter().map(alternative).collect(),
        }
    }
}

impl From<&v1::DeskRequest> for Queued {
    fn from(request: &v1::DeskRequest) -> Queued {
        let clocks: Vec<Clock> = request.clocks.iter().map(Clock::from).collect();
        let running = clocks.iter().filter(|clock| clock.met_at.is_none() && !clock.paused);
        Queued {
            next_due_at: running.filter_map(|clock| clock.due_at.clone()).min(),
            reference: request.reference.clone(),
            id: request.id.clone(),
            category: request.category.clone(),
            urgency: urgency_word(request.urgency),
            state: state_word(request.state),
            region: request.region.clone(),
            language: request.language.clone(),
            owner: request.owner.clone(),
            assignee: request.assignee.clone(),
            received_at: time(request.received_time.as_ref()),
            clocks,
            route: request.route.as_ref().map(Route::from).unwrap_or_default(),
            escalation: request.escalation,
            reopened: request.reopened,
            resolved_at: time(request.resolve_time.as_ref()),
            closed_at: time(request.close_time.as_ref()),
            outcome: request.outcome.clone(),
            rating: request.rating,
            duplicate_of: request.duplicate_of.clone(),
            for_other: request.for_other,
            source: request.source.clone(),
            channel: request.channel.clone(),
        }
    }
}

pub fn state_word(state: i32) -> String {
    word::<HelpState>(state, HelpState::as_str_name, "HELP_STATE_")
}

pub fn state_value(word: &str) -> Result<i32> {
    value_of(word, HelpState::from_str_name, "HELP_STATE_", "state")
}

pub fn urgency_word(urgency: i32) -> String {
    word::<HelpUrgency>(urgency, HelpUrgency::as_str_name, "HELP_URGENCY_")
}

pub fn urgency_value(word: &str) -> Result<i32> {
    value_of(word, HelpUrgency::from_str_name, "HELP_URGENCY_", "urgency")
}

pub fn author_word(author: i32) -> String {
    word::<Author>(author, Author::as_str_name, "AUTHOR_")
}

/// What was written first, with answers by question.
pub fn content(content: &v1::HelpContent) -> Value {
    let answers: BTreeMap<&str, &str> =
        content.answers.iter().map(|one| (&one.question[..], &one.text[..])).collect();
    json!({
        "text": content.text,
        "contact": content.contact,
        "name": content.name,
        "answers": answers,
        "supplies": content.supplies.iter().map(supply).collect::<Vec<_>>(),
        "advice_slot_at": time(content.advice_slot_time.as_ref()),
        "attachments": attachments(content),
    })
}

/// Names alone where files were only named; a file's key is nobody's to print.
fn attachments(content: &v1::HelpContent) -> Vec<Value> {
    if content.files.is_empty() {
        return content.attachments.iter().map(|name| json!({"name": name})).collect();
    }
    let file = |file: &v1::HelpFile| json!({"id": file.id, "name": file.name, "media_type": file.media_type, "size": file.size});
    content.files.iter().map(file).collect()
}

fn supply(line: &v1::SupplyLine) -> Value {
    json!({
        "item": line.item, "unit": line.unit, "needed": line.needed, "pledged": line.pledged,
        "sent": line.sent, "received": line.received,
    })
}

/// The label in the reader's language, else in Chinese and English.
pub fn label(labels: &[v1::LocalText], language: &str) -> String {
    let exact = labels.iter().find(|label| label.language == language);
    let primary = language.split('-').next().unwrap_or_default();
    let alike = || labels.iter().find(|label| label.language.starts_with(primary));
    match exact.or_else(alike) {
        Some(label) => label.text.clone(),
        None => labels.last().map(|label| label.text.clone()).unwrap_or_default(),
    }
}

/// A point that can read a request, and why.
pub fn reader(reader: &v1::HelpReader) -> Value {
    use v1::help_reader::Role;
    let role = word::<Role>(reader.role, Role::as_str_name, "ROLE_");
    json!({ "point": reader.point, "role": role })
}

/// The question whether a request may be passed on.
pub fn handoff_asked(asked: &v1::HandoffAsked) -> Value {
    json!({
        "to": asked.to,
        "names": texts(&asked.names).0,
        "summary": asked.summary,
        "expires_at": time(asked.expire_time.as_ref()),
    })
}

pub fn texts(texts: &Vec<v1::LocalText>) -> Texts {
    texts.into()
}
