//! One import from its first byte to its report: reading on a thread of its own, committing beside
//! it.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, sync::mpsc};
use yizhan_proto::v1::import_response::{Report, RowVerdict};

use super::{
    committing::Committer,
    item::{Batch, Verdict},
    reading::{Asked, Known, Reading, Settings, Step},
    table::{FileHead, Table},
};
use crate::{
    app::{
        App,
        error::{Error, Result},
        groups, members, people, points,
        records::{self, Found},
        report, sight,
    },
    domain::{
        analyzer::{Filter, filter},
        audience::Audience,
        group::cohort_number,
        id::{PointCode, RecordId},
        kind::Kind,
        message,
        policy::{Operation, Reach},
        text::Invalid,
        time::Time,
    },
    identity::caller::Caller,
};

/// Batches that are read ahead of what is committed.
const BATCHES_AHEAD: usize = 2;
/// Rows that are listed by name, of those that stay out; all are counted.
const LISTED_MAX: usize = 10_000;
/// Rest between two words on how it is going.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// How to import.
#[derive(Clone, Default, Debug)]
pub struct Order {
    /// Reads and checks everything, writes nothing.
    pub dry_run: bool,
    /// Only tables of this kind; empty: all.
    pub kind: String,
    /// The day that the files are of; none: now.
    pub as_of: Option<Time>,
    /// Home of persons whose rows name none; none: the caller's point.
    pub home: Option<PointCode>,
    /// Rows that stay out come back cell by cell.
    pub with_cells: bool,
}

/// A piece of what is imported. Without `End` the import broke off.
#[derive(Debug)]
pub enum Part {
    File(FileHead),
    Bytes(Vec<u8>),
    End,
}

/// How it is going.
#[derive(Clone, Copy, Default, Debug)]
pub struct Progress {
    pub file: &'static str,
    pub rows: u64,
    pub bytes: u64,
}

/// Imports what comes through `parts`. A call that breaks off leaves whole batches.
pub async fn run(
    app: &App,
    caller: &Caller,
    order: Order,
    parts: mpsc::Receiver<Part>,
    progress: mpsc::Sender<Progress>,
) -> Result<Report> {
    let operation = if order.dry_run { Operation::TryImport } else { Operation::Import };
    caller.may(operation)?;
    let known = Table::ALL.iter().any(|table| table.kind() == order.kind);
    if !known && !order.kind.is_empty() {
        return Err(Invalid::new("settings.kind", "unknown_kind").into());
    }
    let served: HashSet<_> = sight::homes(app, caller, operation).into_iter().collect();
    let roster = app.keys.roster();
    let now = app.outside.now();
    if order.as_of.is_some_and(|as_of| as_of > now) {
        return Err(Invalid::new("settings.as_of_time", "in_future").into());
    }
    let home = sight::home_for(app, caller, operation, order.home)?;
    let settings = Settings {
        network: app.keys.network.clone(),
        own: app.keys.point.clone(),
        root: app.keys.founder.clone(),
        nodes: roster.points().filter(|at| at.has_node()).map(|at| at.code.clone()).collect(),
        served: served.clone(),
        kind: Some(order.kind.clone()).filter(|kind| !kind.is_empty()),
        now,
        as_of: order.as_of.unwrap_or(now),
        home,
        persons: caller.reach(Operation::CreateMember) != Reach::Nothing,
        with_cells: order.with_cells,
        token_key: people::token_key(app),
    };

    let (batches, mut read) = mpsc::channel(BATCHES_AHEAD);
    let reader = Reader { app: app.clone(), handle: Handle::current(), parts, batches, progress };
    let reading = tokio::task::spawn_blocking(move || reader.read_all(settings));
    let mut committer = Committer::new(app.clone(), caller.clone(), served, order.dry_run);
    let mut report = Report::default();
    while let Some(batch) = read.recv().await {
        // What a row is told of somebody who is here is a look, whether or not it goes in.
        let met = batch.met.iter().map(|id| (Kind::MEMBER, *id));
        app.audit.looked(caller, operation, met).await?;
        note(&mut report, &batch);
        let late = committer.take(batch).await?;
        note(&mut report, &late);
    }
    let (counts, late) = committer.finish().await?;
    note(&mut report, &late);
    if !order.dry_run {
        // Whoever asks for a report next, anywhere, is to see what went in.
        for home in sight::homes(app, caller, operation) {
            report::refresh(app, &home).await?;
        }
    }
    report.accepted = counts.accepted;
    report.unchanged = counts.unchanged;
    report.skipped += counts.skipped;
    match reading.await {
        Ok(true) => Ok(report),
        Ok(false) | Err(_) => Err(Error::Precondition {
            reason: "IMPORT_BROKE_OFF",
            message: "the import broke off: repeat it, rows that went in stay unchanged".into(),
        }),
    }
}

/// Adds what stays out to the report.
fn note(report: &mut Report, batch: &Batch) {
    report.rows += batch.counts.rows;
    report.skipped += batch.counts.skipped;
    report.rejected_rows += batch.counts.rejected;
    report.ambiguous_rows += batch.counts.ambiguous;
    let room = LISTED_MAX.saturating_sub(report.rejected.len());
    report.rejected.extend(batch.rejected.iter().take(room).map(verdict));
    let room = LISTED_MAX.saturating_sub(report.ambiguous.len());
    report.ambiguous.extend(batch.ambiguous.iter().take(room).map(verdict));
    let room = LISTED_MAX.saturating_sub(report.remarks.len());
    report.remarks.extend(batch.remarks.iter().take(room).map(verdict));
}

fn verdict(verdict: &Verdict) -> RowVerdict {
    let Verdict { file, row, invalid, matches, visibility, cells } = verdict;
    let (zh, en) = message::of(invalid.reason);
    RowVerdict {
        file: file.clone(),
        row: *row,
        field: invalid.field.clone(),
        reason: invalid.reason.to_owned(),
        message: en.to_owned(),
        message_zh: zh.to_owned(),
        hint: invalid.hint.clone(),
        matches: matches.iter().map(ToString::to_string).collect(),
        visibility: (*visibility).to_owned(),
        cells: cells.clone(),
    }
}

/// The reading half, on a thread where it may take its time.
struct Reader {
    app: App,
    handle: Handle,
    parts: mpsc::Receiver<Part>,
    batches: mpsc::Sender<Batch>,
    progress: mpsc::Sender<Progress>,
}

impl Reader {
    /// False: it broke off.
    fn read_all(mut self, settings: Settings) -> bool {
        let persons = settings.persons;
        let mut reading = Reading::new(settings);
        let mut batch = Batch::default();
        let mut going = Progress::default();
        let mut said = Instant::now();
        while let Some(part) = self.parts.blocking_recv() {
            let is_end = matches!(part, Part::End);
            match part {
                Part::File(head) => reading.file(head),
                Part::Bytes(bytes) => {
                    going.bytes += bytes.len() as u64;
                    reading.bytes(&bytes);
                }
                Part::End => reading.end(),
            }
            let (app, handle) = (&self.app, &self.handle);
            // What cannot be looked up must not pass for what is not there.
            let mut is_blind = false;
            let mut lookup = |asked: Asked<'_>| {
                if asked.is_of_persons() && !persons {
                    return Vec::new();
                }
                let found = handle.block_on(stored(app, asked));
                is_blind |= found.is_err();
                found.unwrap_or_default()
            };
            while reading.read(&mut lookup, &mut batch) == Step::Full {
                going.rows += batch.counts.rows;
                if self.batches.blocking_send(std::mem::take(&mut batch)).is_err() {
                    return false;
                }
            }
            if is_blind {
                return false;
            }
            if let Some((file, _)) = reading.position() {
                going.file = file;
            }
            if said.elapsed() >= PROGRESS_EVERY {
                said = Instant::now();
                let rows = going.rows + batch.counts.rows;
                // Whoever does not listen misses a word, and no more.
                let _ = self.progress.try_send(Progress { rows, ..going });
            }
            if is_end {
                return self.batches.blocking_send(batch).is_ok();
            }
        }
        false
    }
}

/// Most records that one question is answered with.
const FOUND_MAX: usize = 100;

/// Finds stored records.
async fn stored(app: &App, asked: Asked<'_>) -> Result<Vec<Known>> {
    let found = match asked {
        Asked::Source(kind, source) => {
            let mut found = anywhere(app, kind, Filter::Source, source).await?;
            if found.is_empty()
                && let Ok(id) = RecordId::parse(source, "id")
            {
                // What came from no file is called by the id of its record.
                found = of_kind(records::find(app, id).await?, kind);
            }
            if found.len() > 1 {
                found.clear();
            }
            found
        }
        Asked::Point(code) => points::find(app, code).await?.into_iter().collect(),
        Asked::Cohort(number) => {
            anywhere(app, Kind::GROUP, Filter::Issue, &cohort_number(number)).await?
        }
        Asked::Like(home, by) => members::like(app, home, by).await?,
        Asked::Grants(home, member) => records::grants_of(app, home, member).await?,
        Asked::Places(home, member) => groups::places_of(app, home, member).await?,
    };
    Ok(found.into_iter().take(FOUND_MAX).map(known).collect())
}

async fn anywhere(app: &App, kind: Kind, by: Filter, value: &str) -> Result<Vec<Found>> {
    Ok(of_kind(records::carrying_anywhere(app, filter(by, value)).await?, kind))
}

/// Those versions that say everything of a record.
fn of_kind(mut found: Vec<Found>, kind: Kind) -> Vec<Found> {
    let audience = match kind {
        Kind::MEMBER | Kind::GRANT => Audience::Home,
        Kind::GROUP => Audience::Network,
        _ => Audience::Public,
    };
    found.retain(|found| found.is(kind, audience));
    found
}

fn known(found: Found) -> Known {
    Known { home: found.feed.home, id: found.row.id, payload: found.row.payload.to_vec() }
}
