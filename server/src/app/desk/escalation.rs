//! Promises that were not kept: noted, shown to the supervisor, then to the parent point.
//!
//! What is done follows from what is stored alone, and doing it twice changes nothing.

use prost::Message;
use tracing::warn;
use yizhan_proto::v1::{self, HelpEscalation, Letter, letter};

use crate::{
    app::{
        App,
        error::{Error, Result},
        help_requests::{
            desks::Desks,
            stored::{Stored, amend, found_at, sealed_feed},
        },
    },
    domain::{
        audit::Deed,
        help_clock::{Clock, Clocks},
        id::{PointCode, RecordId},
        time::Time,
        working_time::WorkingTime,
    },
    store::help_requests,
    wire::value::time_message,
};

/// Overdue requests that are read at one time.
const PAGE: usize = 500;
/// The supervisor has half of what was promised to act, and an hour at least, in working minutes.
const SUPERVISOR_MIN: u32 = 60;
/// Escalated requests that a parent point is shown.
pub const SHOWN_MAX: usize = 100;

/// Not escalated, to the supervisor, to the parent point.
pub const SUPERVISOR: u32 = 1;
pub const PARENT: u32 = 2;

/// Looks at every running clock that has run out.
pub async fn run(app: &App) -> Result<()> {
    let desks = app.help.desks.get(app).await?;
    for home in app.keys.homes() {
        escalate(app, &desks, &home).await?;
    }
    Ok(())
}

async fn escalate(app: &App, desks: &Desks, home: &PointCode) -> Result<()> {
    let feed = sealed_feed(home);
    let Some(held) = app.heads.find(&feed).and_then(|view| view.held) else { return Ok(()) };
    let (now, hours) = (app.outside.now(), desks.hours(home));
    let mut after = (i64::MIN, RecordId([0; 16]));
    loop {
        let rows = {
            let mut db = app.db.reader().await?;
            let rows = help_requests::list_open(&mut db, held.slot, after, PAGE).await?;
            let due: Vec<_> = rows.iter().filter(|row| row.at_us < now.0).copied().collect();
            let positions: Vec<i64> = due.iter().map(|row| row.position).collect();
            let found = found_at(app, &mut db, &positions).await?;
            let Some(last) = due.last() else { return Ok(()) };
            after = (last.at_us, last.id);
            found
        };
        for found in rows {
            let stored = Stored::of(found)?;
            if let Err(error) = escalate_one(app, home, &stored, &hours, now).await {
                warn!(error = &error as &dyn std::error::Error, "an escalation waits");
            }
        }
    }
}

async fn escalate_one(
    app: &App,
    home: &PointCode,
    stored: &Stored,
    hours: &WorkingTime,
    now: Time,
) -> Result<()> {
    let request = &stored.request;
    let level = level(&request.clocks, now, hours).max(request.escalation);
    let is_news = request.clocks.clone().note_breaches(now);
    if is_news.is_empty() && level == request.escalation {
        return Ok(());
    }
    if level >= PARENT && request.escalation < PARENT {
        tell_parent(app, home, stored, now).await?;
    }
    amend(app, stored.feed(), stored.id(), &Deed::of_node("escalate"), |request, _| {
        request.clocks.note_breaches(now);
        request.escalation = request.escalation.max(level);
        Ok(Vec::new())
    })
    .await?;
    Ok(())
}

/// How far it has to go by now.
fn level(clocks: &Clocks, now: Time, hours: &WorkingTime) -> u32 {
    let of = |clock: &Clock| {
        let late = match clock.due {
            Some(due) if due < now && clock.running_since.is_some() => hours.elapsed(due, now),
            _ => return 0,
        };
        if late >= SUPERVISOR_MIN.max(clock.target / 2) { PARENT } else { SUPERVISOR }
    };
    clocks.0.iter().map(of).max().unwrap_or(0)
}

/// Names nobody: the parent learns that, where and how pressing, and no word of what.
async fn tell_parent(app: &App, home: &PointCode, stored: &Stored, now: Time) -> Result<()> {
    let roster = app.keys.roster();
    let Some(parent) = roster.parent(home).cloned() else { return Ok(()) };
    let request = &stored.request;
    let overdue = request.clocks.0.iter().filter(|clock| clock.running_since.is_some());
    let Some(clock) = overdue.min_by_key(|clock| clock.due) else { return Ok(()) };
    let escalation = HelpEscalation {
        reference: request.reference.to_string(),
        category: request.category.name().to_owned(),
        urgency: request.urgency.number(),
        clock: clock.kind.name().to_owned(),
        due_time: clock.due.map(time_message),
        state: request.state.number(),
    };
    if app.keys.is_home(&parent) {
        let (app, home) = (app.clone(), home.clone());
        let reference = request.reference.to_string();
        let noting = tokio::spawn(async move {
            let of = (&reference[..], home.as_str(), parent.as_str());
            let mut db = app.db.local().await?;
            help_requests::put_escalation(&mut db, of, &escalation.encode_to_vec(), now.0).await
        });
        noting.await.map_err(|_| Error::Busy)??;
        return Ok(());
    }
    let letter = Letter { kind: Some(letter::Kind::HelpEscalation(escalation)) };
    app.post
        .send(home.clone(), parent, letter)
        .await
        .map_err(|error| Error::Precondition { reason: "NOT_SENT", message: error.to_string() })
}

/// What points below could not keep to, newest first.
pub async fn escalated(app: &App, homes: &[PointCode]) -> Result<Vec<v1::EscalatedRequest>> {
    let mut all = Vec::new();
    let mut db = app.db.reader().await?;
    for home in homes {
        let rows = help_requests::list_escalations(&mut db, home.as_str(), SHOWN_MAX).await?;
        for (owner, escalation, arrived_us) in rows {
            all.push(v1::EscalatedRequest {
                owner,
                escalation: HelpEscalation::decode(&escalation[..]).ok(),
                arrive_time: Some(time_message(Time(arrived_us))),
            });
        }
    }
    all.truncate(SHOWN_MAX);
    Ok(all)
}
