//! Every point's desk in figures: what the province sees of it. Counts below five are not told.

use std::{collections::BTreeSet, time::Duration};

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
    let here = local(app).await?;
    let mut known: Vec<PointFigures> = here.points;
    let asked = stream::iter(servers).map(|server| async move { ask(app, &server).await });
    let mut asked = asked.buffer_unordered(AT_ONCE);
    while let Some(answer) = asked.next().await {
        known.extend(answer);
    }
    let shown = |point: &PointCode| {
        let found = known.iter().find(|one| one.point == point.as_str());
        match found {
            Some(found) => shown(found, own.contains(point)),
            None => DeskFigures { point: point.to_string(), ..DeskFigures::default() },
        }
    };
    Ok(wanted.iter().map(shown).collect())
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
                help_requests::count_open(&mut db, held.slot, now.0).await?;
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

fn shown(figures: &PointFigures, is_own: bool) -> DeskFigures {
    let told = |count: i32| match count {
        1..SMALLEST if !is_own => format!("<{SMALLEST}"),
        count => count.to_string(),
    };
    let cell = |cell: &v1::help_figures::Cell| Cell {
        category: cell.category.clone(),
        state: cell.state,
        count: told(cell.count),
    };
    let channel = |one: &v1::help_figures::Channel| Channel {
        channel: one.channel.clone(),
        count: told(one.count),
    };
    DeskFigures {
        point: figures.point.clone(),
        answered: true,
        channels: figures.channels.iter().map(channel).collect(),
        cells: figures.cells.iter().map(cell).collect(),
        open: told(figures.open),
        overdue: told(figures.overdue),
        oldest_minutes: figures.oldest_minutes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_counts_of_others_are_not_told() {
        let figures = PointFigures {
            point: "GB-LON".into(),
            cells: vec![
                v1::help_figures::Cell { category: "legal".into(), state: 1, count: 3 },
                v1::help_figures::Cell { category: "housing".into(), state: 1, count: 5 },
            ],
            open: 8,
            overdue: 0,
            oldest_minutes: 7,
            channels: vec![
                v1::help_figures::Channel { channel: "client".into(), count: 6 },
                v1::help_figures::Channel { channel: "phone".into(), count: 2 },
            ],
        };
        let counts = |is_own| {
            let shown = shown(&figures, is_own);
            (shown.cells[0].count.clone(), shown.cells[1].count.clone(), shown.open, shown.overdue)
        };
        let told = |a: &str, b: &str| (a.to_owned(), b.to_owned(), "8".to_owned(), "0".to_owned());
        assert_eq!(counts(false), told("<5", "5"));
        assert_eq!(counts(true), told("3", "5"));
        let channels = |is_own| {
            let shown = shown(&figures, is_own);
            (shown.channels[0].count.clone(), shown.channels[1].count.clone())
        };
        assert_eq!(channels(false), ("6".to_owned(), "<5".to_owned()));
        assert_eq!(channels(true), ("6".to_owned(), "2".to_owned()));
    }
}
