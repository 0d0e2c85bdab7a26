//! requests.csv: help requests of the past. What is personal in a row leaves this program sealed only.

use yizhan_proto::v1;

use super::row::{Row, columns};
use crate::{
    domain::{
        code::{code, source},
        help_category::HelpCategory,
        help_clock::Clocks,
        help_reference::Reference,
        help_request::{ATTACHMENTS_MAX, HelpRequest, QUANTITY_MAX},
        help_state::{HelpState, Urgency},
        id::PointCode,
        language::Language,
        region::Region,
        routing::Route,
        text::{Invalid, LINE_MAX, line},
        time::Time,
    },
    wire::{help_request::content, value::time_message},
};

/// Longest promise and pause, in minutes.
const MINUTES_MAX: u32 = 1_000_000;

columns!(RequestColumns {
    request_id, r#ref, received_at, country, category, urgency, lang, text, owner_point, status;
    channel, region_code, audience, client_name, client_email, client_phone, supply_lines,
    advice_slot_at, attachments, origin_point, route_rule, first_response_target_min, triaged_at,
    assigned_at, first_responded_at, waiting_since, paused_min, resolved_at, closed_at, reopened,
    rating, outcome_code, duplicate_of,
});

/// A row, before its content is sealed and its clocks are set by the owner's calendar.
#[derive(Clone, PartialEq, Debug)]
pub struct PastRequest {
    pub request: HelpRequest,
    pub content: v1::HelpContent,
    pub first_response_target: Option<u32>,
    pub first_responded: Option<Time>,
    pub paused_minutes: u32,
}

/// Reads one request, and the home that handles it. `reference` knows the references of rows that
/// came before.
pub fn request(
    row: &Row<'_>,
    c: &RequestColumns,
    reference: impl Fn(&str) -> Option<String>,
) -> Result<(PointCode, PastRequest), Invalid> {
    let home = row.read(c.owner_point, super::points::point_code)?;
    let category = row.read(c.category, HelpCategory::parse)?;
    let received =
        row.time(c.received_at)?.ok_or_else(|| Invalid::new(c.received_at.name, "required"))?;
    let country = row.read(c.country, Region::parse)?;
    let content = contents(row, c)?;
    crate::wire::help_request::supplies(&content.supplies)?;
    self::content(&content, category)?;
    let state = row.read(c.status, HelpState::parse)?;
    let duplicate_of = match row.text(c.duplicate_of) {
        "" => None,
        known => {
            let unknown = || Invalid::new(c.duplicate_of.name, "unknown_request");
            let text = reference(known).ok_or_else(unknown)?;
            Some(Reference::parse(&text, c.duplicate_of.name)?)
        }
    };
    let (resolved, closed) = (row.time(c.resolved_at)?, row.time(c.closed_at)?);
    let rule = line(row.text(c.route_rule), c.route_rule.name, LINE_MAX)?;
    let request = HelpRequest {
        reference: row.read(c.r#ref, Reference::parse)?,
        category,
        urgency: row.read(c.urgency, Urgency::parse)?,
        region: row.optional(c.region_code, Region::parse)?.unwrap_or(country),
        language: row.read(c.lang, Language::parse)?,
        state,
        received,
        route: Route { reason: rule.clone(), rule, alternatives: Vec::new() },
        clocks: Clocks::default(),
        assignee: String::new(),
        lookup_hash: Vec::new(),
        mac_hash: Vec::new(),
        client_wrap: Vec::new(),
        intake_key: None,
        wrap: Vec::new(),
        content: Vec::new(),
        reopened: row.number(c.reopened, 1_000)?.unwrap_or(0),
        resolved,
        closed,
        redirect: Vec::new(),
        duplicate_of,
        outcome: row.optional(c.outcome_code, code)?.unwrap_or_default(),
        rating: row.number(c.rating, 5)?.unwrap_or(0),
        source: row.read(c.request_id, source)?,
        intake: row.text(c.origin_point).to_owned(),
        key_hash: Vec::new(),
        for_other: row.text(c.audience) == "other",
        escalation: 0,
        channel: line(row.text(c.channel), c.channel.name, LINE_MAX)?,
        updated: closed.or(resolved).unwrap_or(received),
        triaged: row.time(c.triaged_at)?,
        assigned: row.time(c.assigned_at)?,
        waiting: row.time(c.waiting_since)?,
        handoff: None,
        owner_number: 0,
        notices: Vec::new(),
        kept: None,
        kept_at: None,
        passed: None,
        kept_by: None,
        taken_over: None,
    };
    let past = PastRequest {
        request,
        content,
        first_response_target: row.number(c.first_response_target_min, MINUTES_MAX)?,
        first_responded: row.time(c.first_responded_at)?,
        paused_minutes: row.number(c.paused_min, MINUTES_MAX)?.unwrap_or(0),
    };
    Ok((home, past))
}

fn contents(row: &Row<'_>, c: &RequestColumns) -> Result<v1::HelpContent, Invalid> {
    let contact = [row.text(c.client_email), row.text(c.client_phone)];
    let contact: Vec<&str> = contact.into_iter().filter(|text| !text.is_empty()).collect();
    let supplies = row.list(c.supply_lines).map(|text| supply(text, c.supply_lines.name));
    let names: Vec<String> = row.list(c.attachments).map(str::to_owned).collect();
    if names.len() > ATTACHMENTS_MAX {
        return Err(Invalid::new(c.attachments.name, "too_many"));
    }
    Ok(v1::HelpContent {
        files: Vec::new(),
        text: row.required(c.text)?.to_owned(),
        contact: contact.join(" "),
        name: row.text(c.client_name).to_owned(),
        answers: Vec::new(),
        supplies: supplies.collect::<Result<_, _>>()?,
        advice_slot_time: row.time(c.advice_slot_at)?.map(time_message),
        attachments: names,
    })
}

/// `mask:piece:140:140:140:140`: item, unit, asked, pledged, sent, received.
fn supply(text: &str, field: &str) -> Result<v1::SupplyLine, Invalid> {
    let malformed = || Invalid::new(field, "supply_malformed");
    let parts: Vec<&str> = text.split(':').collect();
    let &[item, unit, ref numbers @ ..] = &parts[..] else { return Err(malformed()) };
    let number = |text: &&str| {
        let number: u32 = text.parse().map_err(|_| malformed())?;
        if number > QUANTITY_MAX { Err(malformed()) } else { Ok(number as i32) }
    };
    let numbers = numbers.iter().map(number).collect::<Result<Vec<i32>, Invalid>>()?;
    let &[needed, pledged, sent, received] = &numbers[..] else { return Err(malformed()) };
    let (item, unit) = (item.to_owned(), unit.to_owned());
    Ok(v1::SupplyLine { item, unit, needed, pledged, sent, received })
}
