//! Counting a report: rows are read once, in the order of their places, and shown to every figure of
//! their kind; nothing but what is counted is kept.

use std::collections::{BTreeMap, BTreeSet};

use yizhan_proto::v1;

use super::{
    figures::{FIGURES, Figure, Row},
    homes,
};
use crate::app::{
    App, answers,
    error::{Error, Result},
    live::{self, Wanted},
    records::{Found, Readable},
    scan::Scan,
    sight::Sight,
};
use crate::{
    domain::{
        analyzer::{Filter, Term, filter},
        audience::Audience,
        calendar::Date,
        kind::Kind,
        policy::Operation,
        text::Invalid,
        time::Time,
    },
    identity::caller::Caller,
    store::{records, search},
    wire::value::date_message,
};

/// The one report that there is.
pub const ASSOCIATION: &str = "association";
/// Rows read in one go.
const BATCH: usize = 1_000;
/// The association's own calendar decides what day it is, and when a day ends.
const ZONE: &str = "Asia/Shanghai";

/// What one figure has counted so far: each thing once, however many rows show it.
#[derive(Default)]
pub struct Counted(BTreeMap<Vec<u8>, u64>);

impl Counted {
    pub fn add(&mut self, thing: Vec<u8>) {
        self.add_value(thing, 1);
    }

    /// A thing that stands for so many. Nothing is no row: of a home that has nothing to count only
    /// its own node knows that, and the digest is of what all see.
    pub fn add_value(&mut self, thing: Vec<u8>, value: u64) {
        match value {
            0 => self.0.remove(&thing),
            value => self.0.insert(thing, value),
        };
    }

    fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

/// Counts the figures of a report as of a day.
pub async fn get(
    app: &App,
    caller: &Caller,
    name: &str,
    as_of: Option<Date>,
    live: bool,
) -> Result<v1::GetReportResponse> {
    let sight = Sight::of(app, caller, Operation::ReadReport, Operation::ReadReport)?;
    if name != ASSOCIATION {
        return Err(Invalid::new("name", "unknown_report").hint(ASSOCIATION).into());
    }
    let as_of = match as_of {
        Some(day) => day,
        None => today(app.outside.now())?,
    };
    let until = end_of(as_of)?;
    let audiences = &[Audience::Public];
    let live = match live {
        true => Some(live::ask(app, caller, Wanted { audiences, figures: true }).await?),
        false => None,
    };
    // Before the rows: what comes in between is in the rows and not in the states, never missing.
    let mut points = answers::points(app, &sight, audiences);
    live.inspect(|live| live.mark(&mut points));
    let mut readable = BTreeMap::clone(&app.heads.readable_slots());
    readable.retain(|_, feed| feed.audience == Audience::Public);

    let mut counted: BTreeMap<&str, Counted> = BTreeMap::new();
    let kinds: BTreeSet<Kind> = FIGURES.iter().map(|figure| figure.kind).collect();
    for kind in kinds {
        count(app, &readable, kind, (as_of, until), &mut counted).await?;
    }
    // Its own homes a node counts itself: their published numbers are a moment behind the rows.
    for home in app.keys.homes() {
        let figures = homes::count(app, &home).await?;
        show(&Row::of_home(&home, figures, as_of), Kind::HOME_FIGURES, &mut counted);
    }
    let digest = digest(&counted);
    let figures = FIGURES.iter().map(|figure| message(figure, counted.get(figure.id)));
    Ok(v1::GetReportResponse {
        name: name.to_owned(),
        as_of: Some(date_message(as_of)),
        figures: figures.collect(),
        points,
        digest: digest.to_vec(),
    })
}

/// Shows every live row of a kind to the figures that count it.
async fn count(
    app: &App,
    readable: &Readable,
    kind: Kind,
    (as_of, until): (Date, Time),
    counted: &mut BTreeMap<&'static str, Counted>,
) -> Result<()> {
    let term = Term { text: filter(Filter::Kind, &kind.0.to_string()), prefix: false };
    let words = search::expression(app.db.dialect, &[term], &[]).unwrap_or_default();
    let mut scan = Scan::new(&app.db, words, readable.keys().copied().collect(), 0);
    while !scan.is_over() {
        if scan.is_tired() {
            // Never silently smaller.
            return Err(Error::Busy);
        }
        let mut db = app.db.reader().await?;
        let positions = scan.next(&mut db, BATCH).await?;
        for stored in records::at(&mut db, app.db.dialect, &positions).await? {
            let Some(found) = Found::of(readable, stored) else { continue };
            if kind == Kind::HOME_FIGURES && app.keys.is_home(&found.feed.home) {
                continue;
            }
            if let Some(row) = Row::read(&found, as_of, until) {
                show(&row, kind, counted);
            }
        }
    }
    Ok(())
}

fn show(row: &Row, kind: Kind, counted: &mut BTreeMap<&'static str, Counted>) {
    for figure in FIGURES.iter().filter(|figure| figure.kind == kind) {
        (figure.count)(row, counted.entry(figure.id).or_default());
    }
}

fn message(figure: &Figure, counted: Option<&Counted>) -> v1::Figure {
    let text = |language: &str, text: &str| v1::LocalText {
        language: language.to_owned(),
        text: text.to_owned(),
    };
    v1::Figure {
        id: figure.id.to_owned(),
        value: counted.map_or(0, Counted::total),
        basis: figure.basis.into(),
        definitions: vec![text("en", figure.en), text("zh-Hans", figure.zh)],
        suppressed: false,
    }
}

/// Over every figure, also where nothing was counted. Ids have no common length, so each is preceded
/// by its own.
fn digest(counted: &BTreeMap<&str, Counted>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("yizhan 2026 rows of a report");
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u32).to_le_bytes());
        hasher.update(bytes);
    };
    let none = Counted::default();
    for figure in FIGURES {
        let rows = counted.get(figure.id).unwrap_or(&none);
        add(figure.id.as_bytes());
        add(&(rows.0.len() as u64).to_le_bytes());
        for (thing, value) in &rows.0 {
            add(thing);
            add(&value.to_le_bytes());
        }
    }
    *hasher.finalize().as_bytes()
}

fn today(now: Time) -> Result<Date> {
    let unfit = |_| Invalid::new("as_of", "date_invalid");
    let now = jiff::Timestamp::from_microsecond(now.0).map_err(unfit)?;
    Ok(now.in_tz(ZONE).map_err(unfit)?.date())
}

/// The first moment of the day after.
fn end_of(day: Date) -> Result<Time> {
    let unfit = |_| Invalid::new("as_of", "date_invalid");
    let next = day.tomorrow().map_err(unfit)?.in_tz(ZONE).map_err(unfit)?;
    Ok(Time(next.timestamp().as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_counts_nothing_at_a_point_has_the_digest_of_those_who_hear_nothing_of_it() {
        let figure = FIGURES.last().expect("figures").id;
        let counted = |values: &[(&str, u64)]| {
            let mut counted = Counted::default();
            for (home, value) in values {
                counted.add_value(home.as_bytes().to_vec(), *value);
            }
            digest(&[(figure, counted)].into())
        };
        assert_eq!(counted(&[("CN-440000", 3), ("HK", 0)]), counted(&[("CN-440000", 3)]));
        assert_eq!(counted(&[("HK", 0)]), digest(&BTreeMap::new()));
        assert_ne!(counted(&[("HK", 1)]), counted(&[("MO", 1)]));
    }
}
