//! Help requests and their parts, message <-> value.

use yizhan_proto::v1::{self, help_request::ClockState};

use super::value::{
    at_most, optional, optional_point, point_message, required, time, time_message,
};
use crate::domain::{
    code::{code, source},
    help_category::HelpCategory,
    help_clock::{Clock, ClockKind, Clocks},
    help_reference::Reference,
    help_request::{
        ATTACHMENTS_MAX, CONTACT_MAX, HelpRequest, Quantities, SUPPLIES_MAX, TEXT_MAX, WRAP_MAX,
    },
    help_state::{HelpState, Urgency},
    id::RecordId,
    language::Language,
    region::Region,
    retention::RetentionStep,
    routing::{Alternative, Route},
    text::{self, Invalid},
    time::Time,
    working_time::WorkingTime,
};

/// Clocks of one request.
const CLOCKS_MAX: usize = 8;
/// Length of what a client derives from its code.
pub const SECRET_LEN: usize = 32;

impl TryFrom<v1::HelpRequest> for HelpRequest {
    type Error = Invalid;

    fn try_from(message: v1::HelpRequest) -> Result<HelpRequest, Invalid> {
        at_most(&message.clocks, CLOCKS_MAX, "clocks")?;
        if message.client_wrap.len() > WRAP_MAX {
            return Err(Invalid::new("client_wrap", "too_long"));
        }
        let moment = |time_of: Option<prost_types::Timestamp>, field: &str| {
            time_of.map(|message| time(message, field)).transpose()
        };
        Ok(HelpRequest {
            reference: Reference::parse(&message.reference, "reference")?,
            category: HelpCategory::parse(&message.category, "category")?,
            urgency: Urgency::from_number(message.urgency, "urgency")?,
            region: Region::parse(&message.region, "region")?,
            language: Language::parse(&message.language, "language")?,
            state: HelpState::from_number(message.state, "state")?,
            received: time(required(message.received_time, "received_time")?, "received_time")?,
            route: message.route.map(route).unwrap_or_default(),
            clocks: Clocks(message.clocks.into_iter().map(clock_value).collect::<Result<_, _>>()?),
            assignee: message.assignee,
            lookup_hash: message.lookup_hash,
            mac_hash: message.mac_hash,
            client_wrap: message.client_wrap,
            intake_key: optional_id(&message.intake_key, "intake_key")?,
            wrap: message.wrap,
            content: message.content,
            reopened: count(message.reopened, "reopened")?,
            resolved: moment(message.resolve_time, "resolve_time")?,
            closed: moment(message.close_time, "close_time")?,
            redirect: message.redirect,
            duplicate_of: optional(&message.duplicate_of, |text| {
                Reference::parse(text, "duplicate_of")
            })?,
            outcome: match message.outcome.as_str() {
                "" => String::new(),
                text => code(text, "outcome")?,
            },
            rating: count(message.rating, "rating").and_then(rating)?,
            source: source(&message.source, "source")?,
            intake: message.intake,
            key_hash: message.key_hash,
            for_other: message.for_other,
            escalation: count(message.escalation, "escalation")?,
            channel: message.channel,
            updated: moment(message.update_time, "update_time")?.unwrap_or(Time(0)),
            triaged: moment(message.triage_time, "triage_time")?,
            assigned: moment(message.assign_time, "assign_time")?,
            waiting: moment(message.wait_time, "wait_time")?,
            handoff: optional_id(&message.handoff, "handoff")?,
            owner_number: message.owner_number,
            notices: message.notices,
            kept: match message.retention_step {
                0 => None,
                number => Some(RetentionStep::from_number(number, "retention_step")?),
            },
            kept_at: moment(message.retention_time, "retention_time")?,
            passed: moment(message.pass_time, "pass_time")?,
            kept_by: optional_point(&message.kept_by, "kept_by")?,
            taken_over: moment(message.take_over_time, "take_over_time")?,
        })
    }
}

impl From<HelpRequest> for v1::HelpRequest {
    fn from(request: HelpRequest) -> v1::HelpRequest {
        v1::HelpRequest {
            reference: request.reference.to_string(),
            category: request.category.name().to_owned(),
            urgency: request.urgency.number(),
            region: request.region.code().to_owned(),
            language: request.language.to_string(),
            state: request.state.number(),
            received_time: Some(time_message(request.received)),
            route: Some(route_message(request.route)),
            clocks: request.clocks.0.iter().map(clock_state).collect(),
            assignee: request.assignee,
            lookup_hash: request.lookup_hash,
            mac_hash: request.mac_hash,
            client_wrap: request.client_wrap,
            intake_key: request.intake_key.map(|id| id.0.to_vec()).unwrap_or_default(),
            wrap: request.wrap,
            content: request.content,
            reopened: request.reopened as i32,
            resolve_time: request.resolved.map(time_message),
            close_time: request.closed.map(time_message),
            redirect: request.redirect,
            duplicate_of: request.duplicate_of.map(|it| it.to_string()).unwrap_or_default(),
            outcome: request.outcome,
            rating: request.rating as i32,
            source: request.source,
            intake: request.intake,
            key_hash: request.key_hash,
            for_other: request.for_other,
            escalation: request.escalation as i32,
            channel: request.channel,
            update_time: Some(time_message(request.updated)),
            triage_time: request.triaged.map(time_message),
            assign_time: request.assigned.map(time_message),
            wait_time: request.waiting.map(time_message),
            handoff: request.handoff.map(|id| id.0.to_vec()).unwrap_or_default(),
            owner_number: request.owner_number,
            notices: request.notices,
            retention_step: request.kept.map_or(0, RetentionStep::number),
            retention_time: request.kept_at.map(time_message),
            pass_time: request.passed.map(time_message),
            kept_by: point_message(request.kept_by),
            take_over_time: request.taken_over.map(time_message),
        }
    }
}

pub fn route(message: v1::HelpRoute) -> Route {
    let alternative =
        |one: v1::help_route::Alternative| Alternative { point: one.point, note: one.note };
    Route {
        rule: message.rule,
        reason: message.reason,
        alternatives: message.alternatives.into_iter().map(alternative).collect(),
    }
}

pub fn route_message(route: Route) -> v1::HelpRoute {
    let alternative =
        |one: Alternative| v1::help_route::Alternative { point: one.point, note: one.note };
    v1::HelpRoute {
        rule: route.rule,
        reason: route.reason,
        alternatives: route.alternatives.into_iter().map(alternative).collect(),
    }
}

pub fn clock_value(message: ClockState) -> Result<Clock, Invalid> {
    let moment = |of: Option<prost_types::Timestamp>| of.map(|t| time(t, "clocks")).transpose();
    Ok(Clock {
        kind: ClockKind::parse(&message.kind, "clocks")?,
        target: count(message.target_minutes, "clocks")?,
        started: moment(message.start_time)?.unwrap_or(Time(0)),
        spent: count(message.spent_minutes, "clocks")?,
        running_since: moment(message.running_since)?,
        due: moment(message.due_time)?,
        met: moment(message.met_time)?,
        breached: moment(message.breach_time)?,
    })
}

pub fn clock_state(clock: &Clock) -> ClockState {
    ClockState {
        kind: clock.kind.name().to_owned(),
        target_minutes: minutes(clock.target),
        spent_minutes: minutes(clock.spent),
        running_since: clock.running_since.map(time_message),
        due_time: clock.due.map(time_message),
        met_time: clock.met.map(time_message),
        breach_time: clock.breached.map(time_message),
        start_time: Some(time_message(clock.started)),
    }
}

/// A clock as people see it now.
pub fn clock_message(clock: &Clock, now: Time, hours: &WorkingTime) -> v1::HelpClock {
    let runs_out = match (clock.running_since, clock.due) {
        (Some(_), Some(due)) if due < now => Some(due),
        _ => None,
    };
    v1::HelpClock {
        kind: clock.kind.name().to_owned(),
        target_minutes: minutes(clock.target),
        elapsed_minutes: minutes(clock.elapsed(now, hours)),
        due_time: clock.due.map(time_message),
        met_time: clock.met.map(time_message),
        breach_time: clock.breached.or(runs_out).map(time_message),
        paused: clock.running_since.is_none() && clock.met.is_none(),
    }
}

/// Checks what a client wrote, in clear.
pub fn content(message: &v1::HelpContent, category: HelpCategory) -> Result<(), Invalid> {
    text::required(text::body(&message.text, "text", TEXT_MAX)?, "text")?;
    if message.text.trim().is_empty() {
        return Err(Invalid::new("text", "required"));
    }
    text::line(&message.contact, "contact", CONTACT_MAX)?;
    text::line(&message.name, "name", CONTACT_MAX)?;
    at_most(&message.answers, category.questions().len(), "answers")?;
    for answer in &message.answers {
        category.check(&answer.question, &answer.text, "answers")?;
    }
    at_most(&message.attachments, ATTACHMENTS_MAX, "attachments")?;
    for name in &message.attachments {
        text::line(name, "attachments", text::LINE_MAX)?;
    }
    at_most(&message.files, ATTACHMENTS_MAX, "attachments")?;
    for file in &message.files {
        text::line(&file.name, "attachments", text::LINE_MAX)?;
        if file.key.len() != 32 {
            return Err(Invalid::new("attachments", "wrong_length"));
        }
    }
    supplies(&message.supplies)
}

/// Checks lines of supplies.
pub fn supplies(lines: &[v1::SupplyLine]) -> Result<(), Invalid> {
    at_most(lines, SUPPLIES_MAX, "supplies")?;
    for line in lines {
        code(&line.item, "supplies")?;
        code(&line.unit, "supplies")?;
        quantities(line)?.check("supplies")?;
    }
    Ok(())
}

fn quantities(line: &v1::SupplyLine) -> Result<Quantities, Invalid> {
    Ok(Quantities {
        needed: count(line.needed, "supplies")?,
        pledged: count(line.pledged, "supplies")?,
        sent: count(line.sent, "supplies")?,
        received: count(line.received, "supplies")?,
    })
}

/// The hashes under which a secret is kept: of the look-up id and of the MAC key.
pub fn secret_hashes(secret: Option<v1::HelpSecret>) -> Result<([u8; 32], [u8; 32]), Invalid> {
    let secret = required(secret, "secret")?;
    for part in [&secret.lookup_id, &secret.mac_key] {
        if part.len() != SECRET_LEN {
            return Err(Invalid::new("secret", "wrong_length"));
        }
    }
    let hash = yizhan_client::sealed::hash;
    Ok((hash(&secret.lookup_id), hash(&secret.mac_key)))
}

pub fn rating(rating: u32) -> Result<u32, Invalid> {
    if rating > 5 { Err(Invalid::new("rating", "out_of_range").hint("1 to 5")) } else { Ok(rating) }
}

pub fn id(bytes: &[u8], field: &str) -> Result<RecordId, Invalid> {
    bytes.try_into().map(RecordId).map_err(|_| Invalid::new(field, "wrong_length"))
}

pub fn optional_id(bytes: &[u8], field: &str) -> Result<Option<RecordId>, Invalid> {
    if bytes.is_empty() { Ok(None) } else { id(bytes, field).map(Some) }
}

fn count(number: i32, field: &str) -> Result<u32, Invalid> {
    u32::try_from(number).map_err(|_| Invalid::new(field, "negative"))
}

fn minutes(minutes: u32) -> i32 {
    i32::try_from(minutes).unwrap_or(i32::MAX)
}
