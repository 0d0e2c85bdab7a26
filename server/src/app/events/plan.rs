//! Plans: made as drafts, read and changed at home.

use std::collections::BTreeSet;

use prost::Message;
use yizhan_proto::v1::{self, tombstone::Reason};

use super::list::{draft, shown};
use crate::{
    app::{
        App, answers,
        error::{Error, Result},
        people,
        records::{self, Found},
        sight::{self, Sight},
    },
    domain::{
        analyzer::{Filter, filter},
        audience::{Audience, FeedId},
        audit::Deed,
        disclosure,
        event::{self, EventPlan, EventState, Host, HostRole, HostState, ISSUE_MAX},
        id::{PointCode, RecordId},
        kind::Kind,
        policy::Operation,
        text::Invalid,
    },
    feed::change::{Change, CommitError},
    identity::caller::Caller,
    wire::value::time_message,
};

/// What the caller may see of an event.
pub struct Seen {
    pub event: v1::Event,
    pub plan: Option<v1::EventPlan>,
    pub point: v1::PointState,
}

/// Makes a draft. The home becomes its lead, other hosts are invited, and an event of a series
/// without a number gets the lowest free one.
pub async fn create(
    app: &App,
    caller: &Caller,
    mut new: v1::EventPlan,
    home: Option<PointCode>,
    request_id: &str,
) -> Result<v1::EventPlan> {
    caller.may(Operation::EditEvent)?;
    let home = sight::home_for(app, caller, Operation::EditEvent, home)?;
    let id = records::id_of_request(app, &home, Kind::EVENT, request_id)?;
    if let Some(known) = find_plan(app, &home, id).await? {
        return plan_message(app, &known);
    }
    let now = time_message(app.outside.now());
    let event = new.event.as_mut().ok_or_else(|| Invalid::new("plan.event", "required"))?;
    event.state = EventState::Draft.number();
    (event.create_time, event.update_time) = (Some(now), Some(now));
    (event.sequence, event.rescheduled_from_time) = (0, None);
    if event.format.is_empty() {
        event.format = "other".to_owned();
    }
    number(app, event, None).await?;
    new.source.clear();
    people::identify(app, caller, &home, id, &mut new, None).await?;
    let mut plan: EventPlan = new.try_into().map_err(|invalid: Invalid| invalid.under("plan"))?;
    hosts(app, &home, &mut plan, &[])?;

    let change = Change::new().expect(home_feed(&home), id, None);
    let change = change.by(caller.deed(Operation::EditEvent));
    match app.writer.commit(put(change, &home, id, plan, false)).await {
        Err(CommitError::Stale) if !request_id.is_empty() => (),
        done => drop(done?),
    }
    let found = find_plan(app, &home, id).await?.ok_or(Error::NotFound { noun: "event" })?;
    let found = keep_apart(app, caller, &home, found).await?;
    plan_message(app, &found)
}

/// Two creations at one moment may have taken the same number of a series. Both are in the feed by
/// now, one after the other: the later one moves on, before anybody is told its number.
async fn keep_apart(
    app: &App,
    caller: &Caller,
    home: &PointCode,
    mut found: Found,
) -> Result<Found> {
    for _ in 0..RENUMBERINGS_MAX {
        let mut plan: v1::EventPlan = found.message()?;
        let Some(event) = plan.event.as_mut().filter(|event| event.issue != 0) else { break };
        let name = format!("{}-{}", event.series, event.issue);
        let is_earlier = |other: &Found| {
            other.row.id != found.row.id
                && (other.feed != found.feed || other.row.sequence < found.row.sequence)
        };
        if !of_issue(app, &name).await?.iter().any(is_earlier) {
            break;
        }
        event.issue = 0;
        number(app, event, None).await?;
        let moved: EventPlan = plan.try_into().map_err(|invalid: Invalid| invalid.under("plan"))?;
        commit(app, &found, moved, caller.deed(Operation::EditEvent)).await?;
        let again = find_plan(app, home, found.row.id).await?;
        found = again.ok_or(Error::NotFound { noun: "event" })?;
    }
    Ok(found)
}

/// Times that a new event gives way to another that took its number at the same moment.
const RENUMBERINGS_MAX: usize = 100;

/// Changes a plan without moving it on.
pub async fn update(
    app: &App,
    caller: &Caller,
    mut changed: v1::EventPlan,
) -> Result<v1::EventPlan> {
    caller.may(Operation::EditEvent)?;
    let event = changed.event.as_mut().ok_or_else(|| Invalid::new("plan.event", "required"))?;
    let id = RecordId::parse(&event.id, "plan.event.id")?;
    if event.etag.is_empty() {
        return Err(Invalid::new("plan.event.etag", "required").into());
    }
    let found = own(app, caller, Operation::EditEvent, id).await?;
    found.check_etag(app, &event.etag)?;
    let before: EventPlan = found.value::<v1::EventPlan, _>()?;
    let known = &before.event;
    event.state = known.state.number();
    event.sequence = known.sequence;
    event.create_time = Some(time_message(known.create_time));
    event.update_time = Some(time_message(app.outside.now()));
    event.rescheduled_from_time = known.rescheduled_from_time.map(time_message);
    number(app, event, known.issue.as_ref()).await?;
    changed.source.clone_from(&before.source);
    let home = found.feed.home.clone();
    people::identify(app, caller, &home, id, &mut changed, Some(&before)).await?;
    let mut plan: EventPlan =
        changed.try_into().map_err(|invalid: Invalid| invalid.under("plan"))?;
    let times = |event: &event::Event| (event.start_time, event.end_time);
    if known.state.is_public() && times(&plan.event) != times(known) {
        // A new time has a number of its own, which calendars rely on: that is `reschedule`.
        return Err(Invalid::new("plan.event.start_time", "move_refused").into());
    }
    hosts(app, &home, &mut plan, &known.hosts)?;
    commit(app, &found, plan, caller.deed(Operation::EditEvent)).await?;
    let found = own(app, caller, Operation::EditEvent, id).await?;
    plan_message(app, &found)
}

/// Gets an event by id, or by series and number; the plan too at the caller's own home.
pub async fn get(app: &App, caller: &Caller, name: &str) -> Result<Seen> {
    let sight = Sight::of(app, caller, Operation::ReadEvent, Operation::ReadEvent)?;
    let mut found = match event::issue(name) {
        Some(_) => of_issue(app, name).await?,
        None => records::find(app, RecordId::parse(name, "id")?).await?,
    };
    found.retain(|found| {
        sight.allows(&found.feed) && matches!(found.row.kind, Kind::EVENT | Kind::EVENT_PLAN)
    });
    let public = found.iter().find(|found| found.row.kind == Kind::EVENT);
    let id = public.or(found.first()).ok_or(Error::NotFound { noun: "event" })?.row.id;
    let plan = found.iter().find(|found| found.row.kind == Kind::EVENT_PLAN && found.row.id == id);
    let event = match (public, plan) {
        (Some(public), _) => shown(app, public)?,
        (None, Some(plan)) => draft(app, plan)?,
        (None, None) => return Err(Error::NotFound { noun: "event" }),
    };
    let home = public.or(plan).map_or_else(|| app.keys.point.clone(), |at| at.feed.home.clone());
    let point = answers::point(app, &sight, &home, &[Audience::Public]);
    let plan = plan.map(|plan| plan_message(app, plan)).transpose()?;
    Ok(Seen { event, plan, point })
}

/// The plan of an event that the caller may do something to. Of others the caller learns what
/// anybody may: where the home is, if the event is public.
pub(super) async fn own(
    app: &App,
    caller: &Caller,
    operation: Operation,
    id: RecordId,
) -> Result<Found> {
    caller.may(operation)?;
    let homes = sight::homes(app, caller, operation);
    let mut public = None;
    for found in records::find(app, id).await? {
        if found.is(Kind::EVENT_PLAN, Audience::Home) && homes.contains(&found.feed.home) {
            return Ok(found);
        }
        if found.is(Kind::EVENT, Audience::Public) {
            public = Some(found.feed.home);
        }
    }
    Err(match public {
        Some(home) if app.keys.is_home(&home) => Error::Denied,
        Some(home) => Error::NotHome { home: home.to_string() },
        None => Error::NotFound { noun: "event" },
    })
}

/// Stores a plan and the event that follows from it, unless it changed meanwhile.
pub(super) async fn commit(app: &App, found: &Found, plan: EventPlan, deed: Deed) -> Result<()> {
    let (home, id) = (&found.feed.home, found.row.id);
    let was_public =
        records::find(app, id).await?.iter().any(|at| at.is(Kind::EVENT, Audience::Public));
    let change = Change::new().expect(found.feed.clone(), id, Some(found.row.sequence));
    app.writer.commit(put(change.by(deed), home, id, plan, was_public)).await?;
    Ok(())
}

/// Adds a plan to a change, and the event that follows from it. What was called off before anybody
/// knew of it stays unknown.
pub(crate) fn put(
    change: Change,
    home: &PointCode,
    id: RecordId,
    plan: EventPlan,
    was_public: bool,
) -> Change {
    let public_feed = FeedId::new(home.clone(), Audience::Public);
    let is_known = was_public || plan.event.state != EventState::Cancelled;
    let public = disclosure::event(&plan).filter(|_| is_known);
    let payload = v1::EventPlan::from(plan).encode_to_vec();
    let change = change.put(home_feed(home), Kind::EVENT_PLAN, id, payload);
    match public {
        Some(event) => {
            change.put(public_feed, Kind::EVENT, id, v1::Event::from(event).encode_to_vec())
        }
        None => change.remove(public_feed, id, Reason::Withdrawn),
    }
}

fn home_feed(home: &PointCode) -> FeedId {
    FeedId::new(home.clone(), Audience::Home)
}

async fn find_plan(app: &App, home: &PointCode, id: RecordId) -> Result<Option<Found>> {
    let found = records::find(app, id).await?;
    Ok(found
        .into_iter()
        .find(|at| at.is(Kind::EVENT_PLAN, Audience::Home) && at.feed.home == *home))
}

/// The plan with what only answers carry.
fn plan_message(app: &App, found: &Found) -> Result<v1::EventPlan> {
    let mut plan: v1::EventPlan = found.message()?;
    plan.event = Some(draft(app, found)?);
    Ok(plan)
}

async fn of_issue(app: &App, name: &str) -> Result<Vec<Found>> {
    records::carrying_anywhere(app, filter(Filter::Issue, name)).await
}

/// Gives an event of a series its number: the one it had, the one asked for if that is free and
/// leaves no gap, or the lowest free one.
async fn number(app: &App, event: &mut v1::Event, before: Option<&(String, u32)>) -> Result<()> {
    if event.series.is_empty() {
        return Ok(());
    }
    if before.is_some_and(|(series, issue)| {
        *series == event.series && (event.issue == 0 || event.issue == *issue)
    }) {
        event.issue = before.map_or(0, |(_, issue)| *issue);
        return Ok(());
    }
    let term = filter(Filter::Series, &event.series);
    let found = records::carrying_anywhere(app, term).await?;
    if !found.iter().any(|found| found.row.kind == Kind::SERIES) {
        return Err(Invalid::new("plan.event.series", "unknown_series").into());
    }
    let mut taken = BTreeSet::new();
    for found in &found {
        let issue = match found.row.kind {
            Kind::EVENT => found.message::<v1::Event>()?.issue,
            Kind::EVENT_PLAN => found.message::<v1::EventPlan>()?.event.map_or(0, |at| at.issue),
            _ => 0,
        };
        taken.insert(issue);
    }
    let free = (1..=ISSUE_MAX).find(|issue| !taken.contains(issue));
    let free = free.ok_or_else(|| Invalid::new("plan.event.issue", "too_large"))?;
    if event.issue != 0 && event.issue != free {
        let reason = if taken.contains(&event.issue) { "taken" } else { "out_of_range" };
        return Err(Invalid::new("plan.event.issue", reason)
            .hint(format_args!("the next one is {free}"))
            .into());
    }
    event.issue = free;
    Ok(())
}

/// The home leads; who hosts with it has said so itself.
fn hosts(app: &App, home: &PointCode, plan: &mut EventPlan, before: &[Host]) -> Result<()> {
    let now = app.outside.now();
    let hosts = &mut plan.event.hosts;
    hosts.retain(|host| host.point != *home);
    for host in hosts.iter_mut() {
        host.role = HostRole::Cohost;
        let known = before.iter().find(|known| known.point == host.point);
        *host = known.cloned().unwrap_or_else(|| Host {
            point: host.point.clone(),
            role: HostRole::Cohost,
            state: HostState::Invited,
            invite_time: Some(now),
            decide_time: None,
        });
    }
    hosts.push(Host {
        point: home.clone(),
        role: HostRole::Lead,
        state: HostState::Accepted,
        invite_time: None,
        decide_time: None,
    });
    plan.event = plan.event.clone().checked()?;
    Ok(())
}
