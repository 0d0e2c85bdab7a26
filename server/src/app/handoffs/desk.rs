//! What people at either desk do: offer, take back, accept, decline, look.

use prost::Message;
use yizhan_proto::v1;

use super::stored::{Noted, all, find, in_work, view};
use crate::{
    app::{
        App,
        approvals::{self, Task},
        desk,
        error::{Error, Result},
        help_requests::{
            retention::note_deleted,
            stored::{Stored, sealed_feed},
        },
        sight,
    },
    domain::{
        audit::Deed,
        handoff::{self, HandoffMove, HandoffState, Side, Word},
        help_category::HelpCategory,
        help_clock::{Clock, ClockKind},
        help_state::Urgency,
        id::{PointCode, RecordId},
        kind::Kind,
        policy::Operation,
        text::Invalid,
        time::Time,
    },
    feed::change::Change,
    identity::caller::Caller,
    wire::{
        help_request::{clock_state, clock_value},
        value::time_message,
    },
};

/// Handoffs that are listed.
const LISTED_MAX: usize = 1_000;

/// What to offer.
pub struct Offer {
    pub reference: String,
    pub to: PointCode,
    pub summary: String,
    /// Empty: the client is asked.
    pub override_reason: String,
}

/// What became of an offer.
pub enum Offered {
    Now(Box<v1::HandoffView>),
    /// Nothing yet: a second person has to agree that the client is not asked.
    Asked(RecordId),
}

pub fn not_found() -> Error {
    Error::NotFound { noun: "handoff" }
}

/// Offers a request. The client is asked first; passing on without asking needs a reason and two
/// persons who may answer for it. Once they have agreed it is offered, and asked again it is the same.
pub async fn offer(app: &App, caller: &Caller, offer: Offer) -> Result<Offered> {
    let offer = check(app, caller, offer).await?;
    if let Some(known) = find_open(app, &offer).await? {
        return Ok(Offered::Now(Box::new(known)));
    }
    let home = offer.stored.feed().home.clone();
    let reason = offer.override_reason.clone();
    if !reason.is_empty() && caller.persons(Operation::OverrideConsent) > 1 {
        let reference = offer.stored.request.reference.to_string();
        let subject = format!("{reference} to {}: {reason}", offer.to);
        let (to, summary) = (offer.to.to_string(), offer.summary);
        let task = Task::OfferHandoff { reference, to, summary, reason };
        let about = (&home, subject.as_str());
        let asked = approvals::order(app, caller, Operation::OverrideConsent, about, &task).await?;
        return Ok(Offered::Asked(asked));
    }
    let operation = match reason.is_empty() {
        true => Operation::OfferHandoff,
        false => Operation::OverrideConsent,
    };
    let view = put(app, caller, caller.deed(operation), offer).await?;
    Ok(Offered::Now(Box::new(view)))
}

/// Offers what two persons have agreed to offer without asking the client, if whoever asked still may
/// and the request still is where it was.
pub async fn offer_agreed(
    app: &App,
    asker: &Caller,
    deed: Deed,
    offer: Offer,
) -> Result<v1::HandoffView> {
    let offer = check(app, asker, offer).await?;
    match find_open(app, &offer).await? {
        Some(known) => Ok(known),
        None => put(app, asker, deed, offer).await,
    }
}

/// An offer that breaks no rule.
struct Checked {
    stored: Stored,
    to: PointCode,
    summary: String,
    override_reason: String,
}

async fn check(app: &App, caller: &Caller, offer: Offer) -> Result<Checked> {
    let stored = desk::find(app, caller, Operation::OfferHandoff, &offer.reference).await?;
    let summary = handoff::summary(&offer.summary)?;
    let override_reason = match offer.override_reason.as_str() {
        "" => String::new(),
        reason => {
            caller.may(Operation::OverrideConsent)?;
            handoff::reason(reason, "override_reason")?
        }
    };
    check_destination(app, &stored.feed().home, &offer.to)?;
    if !stored.request.state.is_open() {
        let state = stored.request.state.name();
        return Err(Invalid::new("state", "move_refused").hint(state).into());
    }
    Ok(Checked { stored, to: offer.to, summary, override_reason })
}

/// The very offer that is open already, as two persons have agreed to it; any other open one stands in
/// the way.
async fn find_open(app: &App, offer: &Checked) -> Result<Option<v1::HandoffView>> {
    let home = &offer.stored.feed().home;
    let Some(open) = offer.stored.request.handoff else { return Ok(None) };
    let Some(known) = find(app, home, open).await? else { return Ok(None) };
    if !known.state()?.is_open() {
        return Ok(None);
    }
    let handoff = &known.handoff;
    let summary = handoff.preview.as_ref().map(|preview| preview.summary.as_str());
    let is_agreed = !offer.override_reason.is_empty()
        && (&handoff.to, &handoff.override_reason)
            == (&offer.to.to_string(), &offer.override_reason)
        && summary == Some(offer.summary.as_str());
    if is_agreed {
        return Ok(Some(shown(app, home, open).await?));
    }
    Err(Error::Precondition {
        reason: "HANDOFF_OPEN",
        message: format!("offered to {} already: recall that first", handoff.to),
    })
}

/// Commits an offer in somebody's name.
async fn put(app: &App, by: &Caller, deed: Deed, offer: Checked) -> Result<v1::HandoffView> {
    let Checked { stored, to, summary, override_reason } = offer;
    let home = stored.feed().home.clone();
    let mut request = stored.request.clone();
    let now = app.outside.now();
    let id = app.outside.record_id();
    let asked = override_reason.is_empty();
    let state = if asked { HandoffState::Asked } else { HandoffState::Offered };
    let mut noted = Noted {
        feed: stored.feed().clone(),
        id,
        at: None,
        handoff: v1::Handoff {
            reference: request.reference.to_string(),
            request: stored.id().0.to_vec(),
            from: home.to_string(),
            to: to.to_string(),
            offered_by: name_of(by),
            preview: Some(v1::HandoffPreview {
                category: request.category.name().to_owned(),
                region: request.region.code().to_owned(),
                language: request.language.to_string(),
                urgency: request.urgency.number(),
                summary,
            }),
            override_reason,
            offer_time: Some(time_message(now)),
            expire_time: Some(time_message(handoff::expires(now, app.help.periods.offer_hours))),
            state: state.number(),
            ..v1::Handoff::default()
        },
    };
    if state == HandoffState::Offered {
        noted.say(Word::Offer);
    }
    request.handoff = Some(id);
    request.updated = now;
    let change = Change::new()
        .expect(stored.feed().clone(), stored.id(), Some(stored.found.row.sequence))
        .put(
            stored.feed().clone(),
            Kind::HELP_REQUEST,
            stored.id(),
            v1::HelpRequest::from(request).encode_to_vec(),
        );
    app.writer.commit(noted.put(change).by(deed)).await?;
    app.help.post.notify_one();
    shown(app, &home, id).await
}

fn check_destination(app: &App, home: &PointCode, to: &PointCode) -> Result<(), Invalid> {
    if to == home {
        return Err(Invalid::new("to", "is_itself"));
    }
    let roster = app.keys.roster();
    let known = roster.get(to).is_some_and(|entry| entry.revoked.is_none());
    if !known || roster.case_key(to).is_none() {
        return Err(Invalid::new("to", "unknown_point"));
    }
    Ok(())
}

pub async fn accept(app: &App, caller: &Caller, id: RecordId) -> Result<v1::HandoffView> {
    let noted = at(app, caller, id, Side::Destination).await?;
    decide(app, caller, noted, HandoffMove::Accept, |_| Ok(())).await
}

pub async fn decline(
    app: &App,
    caller: &Caller,
    id: RecordId,
    reason: &str,
    suggested: Option<PointCode>,
) -> Result<v1::HandoffView> {
    let noted = at(app, caller, id, Side::Destination).await?;
    let reason = handoff::reason(reason, "reason")?;
    decide(app, caller, noted, HandoffMove::Decline, |handoff| {
        handoff.reason.clone_from(&reason);
        handoff.suggested_point = suggested.as_ref().map(ToString::to_string).unwrap_or_default();
        Ok(())
    })
    .await
}

pub async fn recall(app: &App, caller: &Caller, id: RecordId) -> Result<v1::HandoffView> {
    let noted = at(app, caller, id, Side::Origin).await?;
    decide(app, caller, noted, HandoffMove::Recall, |_| Ok(())).await
}

/// Handoffs of the caller's points, the newest first.
pub async fn list(app: &App, caller: &Caller, ended_too: bool) -> Result<Vec<v1::HandoffView>> {
    caller.may(Operation::OfferHandoff)?;
    let now = app.outside.now();
    let desks = app.help.desks.get(app).await?;
    let mut views = Vec::new();
    for home in sight::homes(app, caller, Operation::OfferHandoff) {
        let noted = if ended_too { all(app, &home).await? } else { in_work(app, &home).await? };
        let hours = desks.hours(&home);
        for noted in noted {
            if (ended_too || noted.state()?.is_open()) && may_see(app, caller, &noted) {
                views.push(view(&noted, &hours, now));
            }
        }
    }
    views.sort_by(|a, b| b.id.cmp(&a.id));
    views.truncate(LISTED_MAX);
    Ok(views)
}

/// Is it about something that one of the caller's roles is not kept from?
fn may_see(app: &App, caller: &Caller, noted: &Noted) -> bool {
    let preview = noted.handoff.preview.as_ref();
    let category = preview.and_then(|one| HelpCategory::parse(&one.category, "category").ok());
    let about = (&noted.feed.home, category);
    sight::handles(app, caller, Operation::OfferHandoff, about, false)
}

/// The caller's record of a handoff, at this end of it. One that was taken back is not there any more
/// for whoever it was offered to.
async fn at(app: &App, caller: &Caller, id: RecordId, side: Side) -> Result<Noted> {
    caller.may(Operation::OfferHandoff)?;
    for home in sight::homes(app, caller, Operation::OfferHandoff) {
        let Some(noted) = find(app, &home, id).await? else { continue };
        let gone = matches!(noted.state()?, HandoffState::Recalled | HandoffState::Expired)
            && side == Side::Destination;
        if noted.side() == side && !gone && may_see(app, caller, &noted) {
            return Ok(noted);
        }
    }
    Err(not_found())
}

async fn decide(
    app: &App,
    caller: &Caller,
    mut noted: Noted,
    step: HandoffMove,
    change: impl FnOnce(&mut v1::Handoff) -> Result<()>,
) -> Result<v1::HandoffView> {
    let (home, id, state) = (noted.feed.home.clone(), noted.id, noted.state()?);
    handoff::moved(noted.side(), state, step)?;
    let now = app.outside.now();
    if noted.side() == Side::Destination {
        noted.handoff.decided_by = name_of(caller);
        meet_ack(app, &mut noted, now).await?;
    }
    change(&mut noted.handoff)?;
    noted.step(step, now)?;
    let change = noted.put(Change::new()).by(caller.deed(Operation::OfferHandoff));
    app.writer.commit(change).await?;
    if noted.side() == Side::Destination && noted.handoff.preview.is_none() {
        note_deleted(app).await?;
    }
    app.help.post.notify_one();
    shown(app, &home, id).await
}

/// The promise to answer an offer is kept by an answer.
async fn meet_ack(app: &App, noted: &mut Noted, now: Time) -> Result<()> {
    let hours = app.help.desks.get(app).await?.hours(&noted.feed.home);
    let clock = noted.handoff.ack.take().and_then(|ack| clock_value(ack).ok());
    if let Some(mut clock) = clock {
        clock.meet(now, &hours);
        noted.handoff.ack = Some(clock_state(&clock));
    }
    Ok(())
}

/// The clock of an offer that has come.
pub fn ack_clock(
    urgency: i32,
    now: Time,
    hours: &crate::domain::working_time::WorkingTime,
) -> Clock {
    let urgency = Urgency::from_number(urgency, "urgency").unwrap_or(Urgency::Normal);
    Clock::start(ClockKind::HandoffAck, ClockKind::HandoffAck.target(urgency), now, hours)
}

async fn shown(app: &App, home: &PointCode, id: RecordId) -> Result<v1::HandoffView> {
    let noted = find(app, home, id).await?.ok_or_else(not_found)?;
    let hours = app.help.desks.get(app).await?.hours(&sealed_feed(home).home);
    Ok(view(&noted, &hours, app.outside.now()))
}

fn name_of(caller: &Caller) -> String {
    match caller {
        Caller::Account { name, .. } => name.clone(),
        Caller::Anonymous | Caller::Peer { .. } | Caller::Operator { .. } => String::new(),
    }
}
