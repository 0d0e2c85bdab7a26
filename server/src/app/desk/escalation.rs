//! Promises that were not kept: noted, shown to the supervisor, then to the parent point.
//!
//! What is done follows from what is stored alone, and doing it twice changes nothing.

use std::collections::BTreeSet;

use prost::Message;
use tracing::warn;
use yizhan_proto::v1::{self, HelpEscalation, Letter, letter};

use crate::{
    app::{
        App,
        error::{Error, Result},
        help_requests::{
            desks::Desks,
            stored::{Stored, amend, found_at, get, sealed_feed},
        },
    },
    domain::{
        audit::Deed,
        help_request::PARENT,
        id::{PointCode, RecordId},
        time::Time,
        working_time::WorkingTime,
    },
    store::help_requests::{self, Escalated},
    wire::value::time_message,
};

/// Overdue requests that are read at one time.
const PAGE: usize = 500;
/// Requests of a home that its parent knows of, listed at one time.
const TOLD: usize = 1_000;
/// Escalated requests that a parent point is shown.
pub const SHOWN_MAX: usize = 100;

/// Looks at every running clock that has run out.
pub async fn run(app: &App) -> Result<()> {
    let desks = app.help.desks.get(app).await?;
    for home in app.keys.homes() {
        escalate(app, &desks, &home).await?;
        settle(app, &desks, &home).await?;
        drop_of_those_who_left(app, &home).await?;
    }
    Ok(())
}

/// Who has left the network never says that something is over.
async fn drop_of_those_who_left(app: &App, home: &PointCode) -> Result<()> {
    let roster = app.keys.roster();
    let owners = {
        let mut db = app.db.reader().await?;
        help_requests::list_escalating(&mut db, home.as_str()).await?
    };
    for owner in owners {
        if !owner.parse().is_ok_and(|owner| roster.has_left(&owner)) {
            continue;
        }
        let (app, home) = (app.clone(), home.clone());
        let dropping = tokio::spawn(async move {
            let mut db = app.db.local().await?;
            help_requests::remove_escalations_of(&mut db, (&owner, home.as_str())).await
        });
        dropping.await.map_err(|_| Error::Busy)??;
    }
    Ok(())
}

/// Tells parents of what is over: they look at what somebody waits for.
async fn settle(app: &App, desks: &Desks, home: &PointCode) -> Result<()> {
    if !app.writer.recovery().is_over() {
        // What is not here may come back.
        return Ok(());
    }
    let (now, hours) = (app.outside.now(), desks.hours(home));
    for told in told(app, home).await? {
        let still = match get(app, &sealed_feed(home), told.request).await {
            Ok(stored) => stored.request.overdue(now, &hours) > 0,
            Err(Error::NotFound { .. }) => false,
            Err(error) => return Err(error),
        };
        if !still && let Err(error) = tell_over(app, home, told).await {
            warn!(error = &error as &dyn std::error::Error, "a word to the parent waits");
        }
    }
    Ok(())
}

async fn told(app: &App, home: &PointCode) -> Result<Vec<Escalated>> {
    let mut all: Vec<Escalated> = Vec::new();
    loop {
        let after = all.last().map(|told| told.request);
        let mut db = app.db.reader().await?;
        let page = help_requests::list_escalated(&mut db, home.as_str(), after, TOLD).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

async fn tell_over(app: &App, home: &PointCode, told: Escalated) -> Result<()> {
    let parent: PointCode = told.parent.parse().map_err(Error::from)?;
    let reference = told.reference.clone();
    tell(app, home, &parent, HelpEscalation { reference, over: true, ..Default::default() })
        .await?;
    let (app, home) = (app.clone(), home.clone());
    let forgetting = tokio::spawn(async move {
        let mut db = app.db.local().await?;
        help_requests::remove_escalated(&mut db, home.as_str(), told.request).await
    });
    Ok(forgetting.await.map_err(|_| Error::Busy)??)
}

async fn escalate(app: &App, desks: &Desks, home: &PointCode) -> Result<()> {
    let feed = sealed_feed(home);
    let Some(held) = app.heads.find(&feed).and_then(|view| view.held) else { return Ok(()) };
    let (now, hours) = (app.outside.now(), desks.hours(home));
    let told: BTreeSet<RecordId> =
        told(app, home).await?.into_iter().map(|told| told.request).collect();
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
            let known = told.contains(&stored.id());
            if let Err(error) = escalate_one(app, home, &stored, known, (now, &hours)).await {
                warn!(error = &error as &dyn std::error::Error, "an escalation waits");
            }
        }
    }
}

async fn escalate_one(
    app: &App,
    home: &PointCode,
    stored: &Stored,
    parent_knows: bool,
    (now, hours): (Time, &WorkingTime),
) -> Result<()> {
    let request = &stored.request;
    let level = request.overdue(now, hours);
    if level >= PARENT && !parent_knows {
        tell_parent(app, home, stored).await?;
    }
    let is_news = request.clocks.clone().note_breaches(now);
    if is_news.is_empty() && level <= request.escalation {
        return Ok(());
    }
    amend(app, stored.feed(), stored.id(), &Deed::of_node("escalate"), |request, _| {
        request.clocks.note_breaches(now);
        request.escalation = request.escalation.max(level);
        Ok(Vec::new())
    })
    .await?;
    Ok(())
}

/// Names nobody: the parent learns that, where and how pressing, and no word of what.
async fn tell_parent(app: &App, home: &PointCode, stored: &Stored) -> Result<()> {
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
        over: false,
    };
    tell(app, home, &parent, escalation).await?;
    let told = Escalated {
        request: stored.id(),
        reference: request.reference.to_string(),
        parent: parent.to_string(),
    };
    let (app, home) = (app.clone(), home.clone());
    let noting = tokio::spawn(async move {
        let mut db = app.db.local().await?;
        help_requests::put_escalated(&mut db, home.as_str(), &told).await
    });
    Ok(noting.await.map_err(|_| Error::Busy)??)
}

/// By parcel, or on this node at once.
async fn tell(
    app: &App,
    home: &PointCode,
    parent: &PointCode,
    escalation: HelpEscalation,
) -> Result<()> {
    if !app.keys.is_home(parent) {
        let letter = Letter { kind: Some(letter::Kind::HelpEscalation(escalation)) };
        let sent = app.post.send(home.clone(), parent.clone(), letter).await;
        return sent.map_err(|error| Error::Precondition {
            reason: "NOT_SENT",
            message: error.to_string(),
        });
    }
    let (app, home, parent) = (app.clone(), home.clone(), parent.clone());
    let noting = tokio::spawn(async move {
        let of = (&escalation.reference[..], home.as_str(), parent.as_str());
        let (now, encoded) = (app.outside.now(), escalation.encode_to_vec());
        let mut db = app.db.local().await?;
        match escalation.over {
            true => help_requests::remove_escalation(&mut db, of).await,
            false => help_requests::put_escalation(&mut db, of, &encoded, now.0).await,
        }
    });
    Ok(noting.await.map_err(|_| Error::Busy)??)
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
