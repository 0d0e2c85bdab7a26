//! The time machine of routing: past requests against a draft of areas and hours. Reads what a queue
//! knows in clear, and writes nothing.

use std::collections::BTreeMap;

use serde::Deserialize;
use yizhan_proto::v1::{
    SimulateDeskRoutesResponse,
    simulate_desk_routes_response::{Load, Moved},
};

use crate::{
    app::{
        App,
        error::Result,
        help_requests::{
            desks::Desks,
            stored::{Stored, found_at, sealed_feed},
        },
        sight,
    },
    domain::{
        help_clock::ClockKind,
        help_request::HelpRequest,
        hours::{CLOSURES_MAX, Closure, HOURS_MAX, Hours},
        id::PointCode,
        language::{Language, languages},
        point::{AREAS_MAX, Area, PointState, SERVICES_MAX},
        policy::Operation,
        region::RegionPrefix,
        routing::{Ask, Desk, route},
        text::Invalid,
    },
    identity::caller::Caller,
    store::help_requests,
};

/// Requests replayed at most.
const REPLAYED_MAX: usize = 200_000;
/// Read at one time.
const PAGE: usize = 1_000;
/// Moved requests that are listed; all are counted.
const LISTED_MAX: usize = 1_000;
/// Largest draft, in bytes.
const DRAFT_MAX: usize = 200 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Draft {
    #[serde(default)]
    points: Vec<PointDraft>,
}

/// What a draft says of one point; what it leaves out stays as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PointDraft {
    code: String,
    areas: Option<Vec<AreaDraft>>,
    services: Option<Vec<String>>,
    languages: Option<Vec<String>>,
    hours: Option<Vec<String>>,
    closures: Option<Vec<String>>,
    state: Option<String>,
    cover: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum AreaDraft {
    Prefix(String),
    Whole {
        prefix: String,
        #[serde(default)]
        languages: Vec<String>,
        #[serde(default)]
        priority: u32,
    },
}

/// Replays requests received in a span of time.
pub async fn simulate(
    app: &App,
    caller: &Caller,
    draft: &str,
    span: std::ops::Range<i64>,
) -> Result<SimulateDeskRoutesResponse> {
    caller.may(Operation::SimulateRoutes)?;
    let now = app.help.desks.get(app).await?;
    let mut after = Desks { all: now.all.clone(), duty: now.duty.clone(), left: now.left.clone() };
    apply(&mut after, draft)?;
    let mut replay = Replay::new(&now, &after);
    for home in sight::homes(app, caller, Operation::SimulateRoutes) {
        let Some(held) = app.heads.find(&sealed_feed(&home)).and_then(|view| view.held) else {
            continue;
        };
        let mut from = 0;
        let mut db = app.db.reader().await?;
        while replay.response.replayed < REPLAYED_MAX as i32 {
            let positions =
                help_requests::list_received(&mut db, held.slot, span.clone(), from, PAGE).await?;
            let Some(last) = positions.last() else { break };
            from = *last;
            for found in found_at(app, &mut db, &positions).await? {
                replay.one(&Stored::of(found)?.request);
            }
            if positions.len() < PAGE {
                break;
            }
        }
    }
    Ok(replay.finish())
}

struct Replay<'a> {
    now: &'a Desks,
    after: &'a Desks,
    response: SimulateDeskRoutesResponse,
    loads: BTreeMap<PointCode, (i32, i32)>,
}

impl<'a> Replay<'a> {
    fn new(now: &'a Desks, after: &'a Desks) -> Replay<'a> {
        let response = SimulateDeskRoutesResponse::default();
        Replay { now, after, response, loads: BTreeMap::new() }
    }

    fn one(&mut self, request: &HelpRequest) {
        let ask = Ask {
            region: request.region,
            category: request.category,
            language: request.language.clone(),
            urgency: request.urgency,
            at: request.received,
        };
        let before = route(&self.now.all, &self.now.duty, &ask);
        let after = route(&self.after.all, &self.after.duty, &ask);
        let response = &mut self.response;
        response.replayed += 1;
        response.fallback_before += i32::from(before.is_fallback);
        response.fallback_after += i32::from(after.is_fallback);
        self.loads.entry(before.owner.clone()).or_default().0 += 1;
        self.loads.entry(after.owner.clone()).or_default().1 += 1;
        let first = request.clocks.find(ClockKind::FirstResponse);
        let target = first
            .map_or_else(|| ClockKind::FirstResponse.target(request.urgency), |clock| clock.target);
        let due_before = self.now.hours(&before.owner).due(request.received, target);
        let due_after = self.after.hours(&after.owner).due(request.received, target);
        response.later += i32::from(due_after > due_before);
        if let Some(met) = first.and_then(|clock| clock.met) {
            let late = |due: Option<_>| due.is_some_and(|due| met > due);
            response.breached_before += i32::from(late(due_before));
            response.breached += i32::from(late(due_after) && !late(due_before));
        }
        if before.owner != after.owner {
            response.moved += 1;
            if response.moves.len() < LISTED_MAX {
                response.moves.push(Moved {
                    reference: request.reference.to_string(),
                    from: before.owner.to_string(),
                    to: after.owner.to_string(),
                    rule: after.route.rule,
                });
            }
        }
    }

    fn finish(mut self) -> SimulateDeskRoutesResponse {
        let load = |(point, (before, after)): (PointCode, (i32, i32))| Load {
            point: point.to_string(),
            before,
            after,
        };
        self.response.loads = self.loads.into_iter().map(load).collect();
        self.response
    }
}

/// Puts a draft over the desks.
fn apply(desks: &mut Desks, draft: &str) -> Result<(), Invalid> {
    if draft.len() > DRAFT_MAX {
        return Err(Invalid::new("draft", "too_long"));
    }
    let draft: Draft = serde_json::from_str(draft)
        .map_err(|error| Invalid::new("draft", "not_decodable").hint(error))?;
    for point in draft.points {
        let code: PointCode = point
            .code
            .parse()
            .map_err(|_| Invalid::new("draft.points.code", "not_a_point_code"))?;
        let at = desks.all.iter().position(|desk| desk.code == code);
        let at = match at {
            Some(at) => at,
            None => {
                // A point that is yet to be opened serves what the draft says.
                let mut desk = crate::app::help_requests::desks::of_code(&code);
                desk.areas.clear();
                desks.all.push(desk);
                desks.all.len() - 1
            }
        };
        change(&mut desks.all[at], point)?;
    }
    Ok(())
}

fn change(desk: &mut Desk, draft: PointDraft) -> Result<(), Invalid> {
    if let Some(areas) = draft.areas {
        bounded(areas.len(), AREAS_MAX, "draft.points.areas")?;
        desk.areas = areas.into_iter().map(area).collect::<Result<_, _>>()?;
    }
    if let Some(services) = draft.services {
        bounded(services.len(), SERVICES_MAX, "draft.points.services")?;
        desk.services = services;
    }
    if let Some(tags) = draft.languages {
        desk.languages = languages(tags.iter().map(String::as_str), "draft.points.languages")?;
    }
    if let Some(texts) = draft.hours {
        bounded(texts.len(), HOURS_MAX, "draft.points.hours")?;
        let hours = texts.iter().map(|text| Hours::parse(text, "draft.points.hours"));
        desk.hours = hours.collect::<Result<_, _>>()?;
    }
    if let Some(texts) = draft.closures {
        bounded(texts.len(), CLOSURES_MAX, "draft.points.closures")?;
        let closures = texts.iter().map(|text| Closure::parse(text, "draft.points.closures"));
        desk.closures = closures.collect::<Result<_, _>>()?;
    }
    if let Some(state) = draft.state {
        desk.state = PointState::parse(&state, "draft.points.state")?;
    }
    if let Some(cover) = draft.cover {
        let code = cover.parse();
        desk.cover =
            Some(code.map_err(|_| Invalid::new("draft.points.cover", "not_a_point_code"))?);
    }
    desk.working = Desk::working_time(&desk.code, &desk.zone, &desk.hours, &desk.closures);
    Ok(())
}

fn area(draft: AreaDraft) -> Result<Area, Invalid> {
    let (prefix, tags, priority) = match draft {
        AreaDraft::Prefix(prefix) => (prefix, Vec::new(), 0),
        AreaDraft::Whole { prefix, languages, priority } => (prefix, languages, priority),
    };
    let field = "draft.points.areas";
    let languages: Result<Vec<Language>, Invalid> =
        tags.iter().map(|tag| Language::parse(tag, field)).collect();
    Ok(Area { prefix: RegionPrefix::parse(&prefix, field)?, languages: languages?, priority })
}

fn bounded(len: usize, max: usize, field: &str) -> Result<(), Invalid> {
    if len > max { Err(Invalid::new(field, "too_many")) } else { Ok(()) }
}
