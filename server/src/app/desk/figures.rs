//! Every point's desk in figures: what the province sees of it. Counts below five are not told.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::{StreamExt, stream};
use yizhan_proto::v1::{
    self, DeskFigures, HelpFigures, HelpFiguresQuestion, Letter,
    desk_figures::{Cell, Channel},
    help_figures::PointFigures,
    letter,
};

use crate::{
    app::{
        App,
        error::{Error, Result},
        help_requests::stored::sealed_feed,
        sight,
    },
    domain::{
        help_category::HelpCategory,
        id::PointCode,
        policy::{Operation, Reach},
    },
    identity::caller::Caller,
    store::help_requests,
};

/// Cells below this could point at a person.
const SMALLEST: i32 = 5;
/// How long a point has to answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// Points that are asked at the same time.
const AT_ONCE: usize = 32;
const MINUTE_US: i64 = 60_000_000;

/// Counts per point, as the caller may see them: exact for its own desk.
pub async fn figures(
    app: &App,
    caller: &Caller,
    point: Option<PointCode>,
) -> Result<Vec<DeskFigures>> {
    let reach = caller.may(Operation::ReadDeskFigures)?;
    let own = sight::homes(app, caller, Operation::ReadHelpRequest);
    let roster = app.keys.roster();
    let mut wanted: BTreeSet<PointCode> = match reach {
        Reach::Everything => roster
            .points()
            .filter(|entry| entry.revoked.is_none())
            .map(|entry| entry.code.clone())
            .collect(),
        _ => own.iter().cloned().collect(),
    };
    if let Some(point) = point {
        if !wanted.contains(&point) {
            return Err(Error::NotFound { noun: "point" });
        }
        wanted = [point].into();
    }
    let mut servers: BTreeSet<PointCode> = BTreeSet::new();
    for point in wanted.iter().filter(|point| !app.keys.is_home(point)) {
        servers.extend(roster.server_of(point).cloned());
    }
    app.audit.looked_at_network(caller, Operation::ReadDeskFigures).await?;
    let here = local(app).await?;
    let mut known: Vec<PointFigures> = here.points;
    let mut limits = BTreeMap::new();
    for point in wanted.iter().filter(|point| own.contains(point)) {
        limits.insert(point.clone(), limit(app, caller, point).await?);
    }
    let asked = stream::iter(servers).map(|server| async move { ask(app, &server).await });
    let mut asked = asked.buffer_unordered(AT_ONCE);
    while let Some(answer) = asked.next().await {
        known.extend(answer);
    }
    let shown = |point: &PointCode| {
        let found = known.iter().find(|one| one.point == point.as_str());
        match found {
            Some(found) => shown(found, limits.get(point), reach == Reach::Everything),
            None => DeskFigures { point: point.to_string(), ..DeskFigures::default() },
        }
    };
    Ok(wanted.iter().map(shown).collect())
}

/// How far somebody sees into a desk of the own: all of it, or some categories and what is open of them.
enum Limit {
    None,
    To { categories: Vec<HelpCategory>, open: i64, overdue: i64, oldest_minutes: i64 },
}

async fn limit(app: &App, caller: &Caller, home: &PointCode) -> Result<Limit> {
    let handles = |category| {
        let about = (home, category);
        sight::handles(app, caller, Operation::ReadHelpRequest, about, false)
    };
    // A category that is not known any more is for whoever handles all.
    if handles(None) {
        return Ok(Limit::None);
    }
    let mut categories = HelpCategory::ALL.to_vec();
    categories.retain(|category| handles(Some(*category)));
    let (mut all, mut late, mut oldest) = (0, 0, None::<i64>);
    if let Some(held) = app.heads.find(&sealed_feed(home)).and_then(|view| view.held) {
        let now = app.outside.now();
        let mut db = app.db.reader().await?;
        for category in &categories {
            let (open, overdue, first) =
                help_requests::count_open(&mut db, held.slot, now.0, category.name()).await?;
            (all, late) = (all + open, late + overdue);
            oldest = [oldest, first].into_iter().flatten().min();
        }
        oldest = oldest.map(|at| ((now.0 - at) / MINUTE_US).max(0));
    }
    let oldest_minutes = oldest.unwrap_or(0);
    Ok(Limit::To { categories, open: all, overdue: late, oldest_minutes })
}

async fn ask(app: &App, server: &PointCode) -> Vec<PointFigures> {
    let letter = Letter { kind: Some(letter::Kind::HelpFiguresQuestion(HelpFiguresQuestion {})) };
    let answer = app.post.ask(server, letter, DEADLINE).await.ok().and_then(|answer| answer.kind);
    let roster = app.keys.roster();
    match answer {
        // A point speaks for itself and for those it hosts, and for nobody else.
        Some(letter::Kind::HelpFigures(figures)) => figures
            .points
            .into_iter()
            .filter(|one| {
                let code: Option<PointCode> = one.point.parse().ok();
                code.is_some_and(|code| roster.server_of(&code) == Some(server))
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// Figures of the homes written here, exact.
pub async fn local(app: &App) -> Result<HelpFigures> {
    let now = app.outside.now();
    let mut points = Vec::new();
    for home in app.keys.homes() {
        let mut one = PointFigures { point: home.to_string(), ..PointFigures::default() };
        if let Some(held) = app.heads.find(&sealed_feed(&home)).and_then(|view| view.held) {
            let mut db = app.db.reader().await?;
            for (category, state, count) in help_requests::count(&mut db, held.slot).await? {
                one.cells.push(v1::help_figures::Cell {
                    category,
                    state: state as i32,
                    count: i32::try_from(count).unwrap_or(i32::MAX),
                });
            }
            for (channel, count) in help_requests::count_channels(&mut db, held.slot).await? {
                let count = i32::try_from(count).unwrap_or(i32::MAX);
                one.channels.push(v1::help_figures::Channel { channel, count });
            }
            let (open, overdue, oldest) =
                help_requests::count_open(&mut db, held.slot, now.0, "").await?;
            one.open = i32::try_from(open).unwrap_or(i32::MAX);
            one.overdue = i32::try_from(overdue).unwrap_or(i32::MAX);
            one.oldest_minutes = oldest.map_or(0, |at| ((now.0 - at) / MINUTE_US).max(0));
        }
        points.push(one);
    }
    Ok(HelpFigures { points })
}

/// Answers a point above: who lies higher may count, and read no word.
pub async fn answer(app: &App, from: &PointCode) -> HelpFigures {
    let roster = app.keys.roster();
    let mut above = roster.parent(&app.keys.point);
    for _ in 0..crate::domain::roster::DEPTH_MAX {
        match above {
            Some(point) if point == from => {
                return local(app).await.unwrap_or_default();
            }
            Some(point) => above = roster.parent(point),
            None => break,
        }
    }
    HelpFigures::default()
}

/// What is shown of a desk: exact where the caller works on it (`limit`), without small counts where the
/// caller only counts (`counts`), and nothing else.
fn shown(figures: &PointFigures, limit: Option<&Limit>, counts: bool) -> DeskFigures {
    let told = |count: i32, is_own: bool| match count {
        1..SMALLEST if !is_own => format!("<{SMALLEST}"),
        count => count.to_string(),
    };
    let is_own = |category: &str| match limit {
        Some(Limit::None) => true,
        Some(Limit::To { categories, .. }) => categories.iter().any(|one| one.name() == category),
        None => false,
    };
    let cells = figures.cells.iter().filter(|cell| counts || is_own(&cell.category));
    let cells = cells.map(|cell| Cell {
        category: cell.category.clone(),
        state: cell.state,
        count: told(cell.count, is_own(&cell.category)),
    });
    let exact = matches!(limit, Some(Limit::None));
    let (open, overdue, oldest_minutes) = match limit {
        Some(Limit::To { open, overdue, oldest_minutes, .. }) if !counts => {
            (open.to_string(), overdue.to_string(), *oldest_minutes)
        }
        _ => (told(figures.open, exact), told(figures.overdue, exact), figures.oldest_minutes),
    };
    // How requests came is not counted by category: whoever sees some of them alone is not told.
    let channels = figures
        .channels
        .iter()
        .filter(|_| exact || counts)
        .map(|one| Channel { channel: one.channel.clone(), count: told(one.count, exact) });
    DeskFigures {
        point: figures.point.clone(),
        answered: true,
        channels: channels.collect(),
        cells: cells.collect(),
        open,
        overdue,
        oldest_minutes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_counts_of_others_are_not_told_and_other_categories_not_at_all() {
        let cell = |category: &str, count| v1::help_figures::Cell {
            category: category.into(),
            state: 1,
            count,
        };
        let figures = PointFigures {
            point: "GB-LON".into(),
            cells: vec![cell("legal", 3), cell("housing", 5)],
            open: 8,
            overdue: 0,
            oldest_minutes: 7,
            channels: vec![
                v1::help_figures::Channel { channel: "client".into(), count: 6 },
                v1::help_figures::Channel { channel: "phone".into(), count: 2 },
            ],
        };
        let legal = || Limit::To {
            categories: vec![HelpCategory::Legal],
            open: 3,
            overdue: 1,
            oldest_minutes: 2,
        };
        for (limit, counts, cells, channels, (open, overdue, oldest)) in [
            (None, true, &["<5", "5"][..], &["6", "<5"][..], ("8", "0", 7)),
            (Some(Limit::None), false, &["3", "5"], &["6", "2"], ("8", "0", 7)),
            (Some(legal()), false, &["3"], &[], ("3", "1", 2)),
            // Who also counts for the province sees the others as the province does.
            (Some(legal()), true, &["3", "5"], &["6", "<5"], ("8", "0", 7)),
            (None, false, &[], &[], ("8", "0", 7)),
        ] {
            let shown = shown(&figures, limit.as_ref(), counts);
            let counted: Vec<_> = shown.cells.iter().map(|cell| cell.count.as_str()).collect();
            assert_eq!(counted, cells);
            let came: Vec<_> = shown.channels.iter().map(|one| one.count.as_str()).collect();
            assert_eq!(came, channels);
            let totals = (shown.open.as_str(), shown.overdue.as_str(), shown.oldest_minutes);
            assert_eq!(totals, (open, overdue, oldest));
        }
    }
}
