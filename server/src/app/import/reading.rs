//! Drives the tables: which file is open, which row comes next, what it amounts to.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use prost::Message;
use yizhan_proto::v1;

use super::{
    csv::{Cells, Next, Records},
    item::{Batch, Hosted, Origin, Value, Verdict},
    people::Cards,
    row::{Header, Row, midnight_ms},
    rows::{Columns, Context, Fate, Planned, PointRow, RowReader, columns},
    speakers::Waiting,
    table::{FileHead, NAMES_MAX, Table},
};
use crate::domain::{
    disclosure::{self, Bases, ConsentBasis, Disclosed},
    event::{Host, HostRole, HostState},
    id::{PointCode, RecordId},
    kind::Kind,
    likeness::By,
    text::Invalid,
    time::Time,
};

/// Most points of one import: they are kept until all are known.
pub const POINTS_MAX: usize = 10_000;
/// Most events of one import: they are kept until hosts and appearances are known.
pub const EVENTS_MAX: usize = 100_000;
/// Most organisations of one import of which figures or mailboxes are told.
pub const ORGS_MAX: usize = 100_000;
/// Most groups of one import.
pub const GROUPS_MAX: usize = 10_000;
/// Most members of one import with a part in the pool or a seat: they wait for the members.
pub const PROFILES_MAX: usize = 100_000;
/// Bytes of rows that come back in one import.
pub const CELLS_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Items after which a batch is handed out.
const BATCH_ITEMS: usize = 2_000;
/// Deepest nesting of points.
const DEPTH_MAX: usize = 32;

/// What reading has to know of this network and node.
#[derive(Clone)]
pub struct Settings {
    pub network: String,
    /// The point of this node.
    pub own: PointCode,
    /// The founding point: home of organisations.
    pub root: PointCode,
    /// Points that run a node of their own, this one included.
    pub nodes: HashSet<PointCode>,
    /// Points whose records this node writes, as far as is known without `points.csv`.
    pub served: HashSet<PointCode>,
    /// Only tables of this kind; the others are read for what they say of references.
    pub kind: Option<String>,
    pub now: Time,
    /// The day that the files are of: a consent given later lies in the future.
    pub as_of: Time,
    /// Home of persons whose rows name none.
    pub home: PointCode,
    /// Whether the caller may enter persons. Whoever may not is not told either who is here.
    pub persons: bool,
    /// Rows that stay out come back cell by cell.
    pub with_cells: bool,
    /// Makes the tokens that stand for persons in counts.
    pub token_key: [u8; 32],
}

/// A record that is stored already.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Known {
    pub home: PointCode,
    pub id: RecordId,
    pub payload: Vec<u8>,
}

/// What reading asks of what is stored.
#[derive(Clone, Copy, Debug)]
pub enum Asked<'a> {
    /// The record that was imported from this row, of whatever home; none if there are several.
    Source(Kind, &'a str),
    /// The entry of a point.
    Point(&'a PointCode),
    /// Groups with this number.
    Cohort(u32),
    /// Members of a home that a trait leads to.
    Like(&'a PointCode, By<'a>),
    /// Consents of a member.
    Grants(&'a PointCode, RecordId),
    /// Places of a member in groups.
    Places(&'a PointCode, RecordId),
}

impl Asked<'_> {
    /// Is it answered with what only a home may know of its people?
    pub fn is_of_persons(&self) -> bool {
        match self {
            Asked::Source(kind, _) => matches!(*kind, Kind::MEMBER | Kind::GRANT),
            Asked::Like(..) | Asked::Grants(..) | Asked::Places(..) => true,
            Asked::Point(_) | Asked::Cohort(_) => false,
        }
    }
}

/// Finds stored records.
pub type Lookup<'a> = dyn FnMut(Asked<'_>) -> Vec<Known> + 'a;

/// Whether the caller has to take the batch or to bring bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// The batch is full; more is to come from what was brought.
    Full,
    /// Everything that was brought is read.
    Wanting,
}

enum Input {
    File(FileHead),
    Bytes(Vec<u8>),
    End,
}

/// Reads the tables of one import.
pub struct Reading {
    settings: Settings,
    input: VecDeque<Input>,
    records: Records,
    cells: Cells,
    open: Option<Open>,
    /// The table that came last.
    last: Option<Table>,
    /// Bytes of rows that may still come back.
    cells_left: usize,
    known: Context,
    undisclosed: Vec<(PointCode, RecordId, Option<Cards>)>,
    plans: std::vec::IntoIter<Planned>,
}

struct Open {
    table: Table,
    head: FileHead,
    /// Name of the file, shared by all that its rows make.
    file: Arc<str>,
    row: u64,
    header: Option<(Header, Columns)>,
    /// The header is bad: nothing of the file is read.
    is_refused: bool,
}

impl Reading {
    pub fn new(settings: Settings) -> Reading {
        Reading {
            settings,
            input: VecDeque::new(),
            records: Records::default(),
            cells: Cells::default(),
            open: None,
            last: None,
            cells_left: CELLS_BYTES_MAX,
            known: Context::default(),
            undisclosed: Vec::new(),
            plans: Vec::new().into_iter(),
        }
    }

    /// A file begins.
    pub fn file(&mut self, head: impl Into<FileHead>) {
        self.input.push_back(Input::File(head.into()));
    }

    /// The next bytes of the file that began last.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.input.push_back(Input::Bytes(bytes.to_vec()));
    }

    /// No more files follow.
    pub fn end(&mut self) {
        self.input.push_back(Input::End);
    }

    /// Name of the file that is read, and its rows so far.
    pub fn position(&self) -> Option<(&'static str, u64)> {
        self.open.as_ref().map(|open| (open.table.file(), open.row))
    }

    /// Reads on until the batch is full or everything brought is read.
    pub fn read(&mut self, lookup: &mut Lookup<'_>, batch: &mut Batch) -> Step {
        while batch.items.len() < BATCH_ITEMS {
            if let Some((home, id, cards)) = self.undisclosed.pop() {
                batch.put(&home, id, disclosed(cards), 0);
            } else if let Some(planned) = self.plans.next() {
                self.put_plan(planned, batch);
            } else if !self.read_row(lookup, batch) && !self.take_input(lookup, batch) {
                return Step::Wanting;
            }
        }
        Step::Full
    }

    /// Reads one row of the open file. False: there is none in what was brought.
    fn read_row(&mut self, lookup: &mut Lookup<'_>, batch: &mut Batch) -> bool {
        let Some(open) = &mut self.open else { return false };
        let wanted = open.header.as_ref().map(|(header, _)| header.len());
        let next = self.records.next(&mut self.cells, wanted);
        if open.is_refused {
            return next != Next::Wanting;
        }
        let invalid = match (next, &open.header) {
            (Next::Wanting, _) => return false,
            (Next::Record, None) => {
                match Header::of(&self.cells, &open.head, open.table)
                    .and_then(|header| Ok((columns(open.table, &header)?, header)))
                {
                    Ok(((columns, names), header)) => {
                        for column in header.unread(names) {
                            let remark = Invalid::new(column, "column_ignored");
                            batch.remarks.push(Verdict::new(&open.head.name, 0, remark));
                        }
                        open.header = Some((header, columns));
                        return true;
                    }
                    Err(invalid) => invalid,
                }
            }
            (Next::Bad(reason), None) => Invalid::new("", reason),
            (next, Some((header, columns))) => {
                open.row += 1;
                let mut scratch = Batch::default();
                let is_asked = asked(&self.settings, open.table);
                let batch = if is_asked { batch } else { &mut scratch };
                let first = batch.items.len();
                let row_number = open.row + u64::from(open.head.is_sheet);
                let fate = match next {
                    Next::Bad(reason) => Err(Invalid::new("", reason)),
                    _ => Row::of(&self.cells, header).and_then(|row| {
                        if open.table.is_of_persons() && row.is_blank() {
                            return Ok(Fate::Blank);
                        }
                        let mut reader = RowReader {
                            settings: &self.settings,
                            known: &mut self.known,
                            lookup,
                            file: &open.head.name,
                            table: open.table,
                            row_number,
                            header,
                        };
                        reader.read(&row, columns, batch)
                    }),
                };
                batch.counts.rows += u64::from(!matches!(fate, Ok(Fate::Blank)));
                let is_out = fate.is_err() || matches!(fate, Ok(Fate::Doubted));
                let cells = match is_out && self.settings.with_cells && next == Next::Record {
                    true => self.cells.copied(&mut self.cells_left),
                    false => Vec::new(),
                };
                if batch.items.len() > first {
                    // It may yet stay out, for what is stored: what comes back then is counted there.
                    let mut room = CELLS_BYTES_MAX;
                    let cells = match self.settings.with_cells && !is_out {
                        true => self.cells.copied(&mut room),
                        false => Vec::new(),
                    };
                    let file = Arc::clone(&open.file);
                    batch.made_by(first, &Origin { file, row: row_number, cells });
                }
                match fate {
                    Ok(Fate::Taken | Fate::Blank) => (),
                    Ok(Fate::Doubted) => {
                        if let Some(verdict) = batch.ambiguous.last_mut() {
                            verdict.cells = cells;
                        }
                    }
                    Ok(Fate::Skipped) => batch.counts.skipped += 1,
                    Err(mut invalid) => {
                        invalid.field = header.shown(&invalid.field).to_owned();
                        batch.reject(&open.head.name, row_number, invalid);
                        if let Some(verdict) = batch.rejected.last_mut() {
                            verdict.cells = cells;
                        }
                    }
                }
                return true;
            }
        };
        open.is_refused = true;
        batch.reject(&open.head.name, 0, invalid);
        true
    }

    /// Takes the next thing that was brought. False: there is none.
    fn take_input(&mut self, lookup: &mut Lookup<'_>, batch: &mut Batch) -> bool {
        match self.input.pop_front() {
            None => return false,
            Some(Input::Bytes(bytes)) => {
                if self.open.is_some() {
                    self.records.push(&bytes);
                }
            }
            Some(next) if self.open.is_some() => {
                // The last record of a file may end without a line break: read it first.
                if self.records.end() {
                    self.close(batch);
                }
                self.input.push_front(next);
            }
            Some(Input::File(head)) => self.open(head, lookup, batch),
            Some(Input::End) => self.finish(lookup, batch),
        }
        true
    }

    fn open(&mut self, head: FileHead, lookup: &mut Lookup<'_>, batch: &mut Batch) {
        let Some(table) = head.table() else {
            batch.reject(&head.name, 0, Invalid::new("", "unknown_table"));
            return;
        };
        // Of sheets of persons there can be several.
        let again = |last: Table| last == table && !table.is_of_persons();
        if self.last.is_some_and(|last| last > table || again(last)) {
            batch.reject(&head.name, 0, Invalid::new("", "table_out_of_order"));
            return;
        }
        if table.is_of_persons() && !self.settings.persons {
            batch.reject(&head.name, 0, Invalid::new("", "not_permitted"));
            return;
        }
        if head.columns.len() > NAMES_MAX || head.values.len() > NAMES_MAX {
            batch.reject(&head.name, 0, Invalid::new("columns", "too_many"));
            return;
        }
        self.last = Some(table);
        self.records = Records::default();
        self.settle(Some(table), lookup, batch);
        let file = Arc::from(head.name.as_str());
        self.open = Some(Open { table, head, file, row: 0, header: None, is_refused: false });
    }

    fn close(&mut self, batch: &mut Batch) {
        let Some(open) = self.open.take() else { return };
        match open.table {
            Table::Points => self.put_points(batch),
            Table::Members => self.known.read_members |= open.header.is_some(),
            Table::Grants => self.known.read_grants |= open.header.is_some(),
            _ => (),
        }
    }

    fn finish(&mut self, lookup: &mut Lookup<'_>, batch: &mut Batch) {
        self.settle(None, lookup, batch);
        self.plans = std::mem::take(&mut self.known.plans).into_iter();
    }

    /// Hands out what waited for tables that are over once `next` opens; none: all are.
    fn settle(&mut self, next: Option<Table>, lookup: &mut Lookup<'_>, batch: &mut Batch) {
        let is_over = |table: Table| next.is_none_or(|next| next > table);
        if is_over(Table::OrgFigures) {
            self.put_details(batch);
        }
        if is_over(Table::Members) {
            self.put_profiles(lookup, batch);
        }
        if is_over(Table::Grants) {
            self.disclose();
        }
    }

    /// What was told of organisations beside their own rows.
    fn put_details(&mut self, batch: &mut Batch) {
        let is_asked = asked(&self.settings, Table::OrgFigures);
        for (id, (detail, rows)) in std::mem::take(&mut self.known.details) {
            if is_asked {
                batch.put(&self.settings.root, id, Value::OrgDetail(Box::new(detail)), rows);
            }
        }
    }

    /// Parts of members who are not in the files: they may be stored.
    fn put_profiles(&mut self, lookup: &mut Lookup<'_>, batch: &mut Batch) {
        let is_asked = asked(&self.settings, Table::Speakers);
        let waiting: Vec<_> = self.known.profiles.drain().collect();
        for (source, Waiting { profile, rows }) in waiting {
            if !is_asked {
                continue;
            }
            let Some(stored) = lookup(Asked::Source(Kind::MEMBER, &source)).pop() else {
                for (table, row) in rows {
                    let unknown = Invalid::new("member_id", "unknown_member");
                    batch.reject(table.file(), row, unknown);
                }
                continue;
            };
            if !self.settings.served.contains(&stored.home) {
                batch.counts.skipped += rows.len() as u64;
                continue;
            }
            let value = Value::Profile(Box::new(profile));
            batch.put(&stored.home, stored.id, value, rows.len() as u32);
            self.known.redisclose.insert(stored.id, stored.home);
        }
    }

    /// Queues what is to be disclosed of everybody here, once members and consents are read.
    fn disclose(&mut self) {
        if !asked(&self.settings, Table::Members) {
            return;
        }
        let both = self.known.read_members && self.known.read_grants;
        if std::mem::take(&mut self.known.read_members) {
            let homes = &self.known.homes;
            for person in self.known.people.all() {
                if let Some(cards) = person.cards.take() {
                    let home = homes[person.home as usize].clone();
                    self.undisclosed.push((home, person.id.record(), both.then_some(*cards)));
                }
            }
        }
        for (id, home) in self.known.redisclose.drain() {
            self.undisclosed.push((home, id, None));
        }
    }

    /// A point without a node of its own is served by its nearest ancestor that has one.
    fn put_points(&mut self, batch: &mut Batch) {
        let points = std::mem::take(&mut self.known.points);
        let parent = |at: &PointRow| (at.point.code.clone(), at.point.parent.clone());
        let parents: HashMap<PointCode, Option<PointCode>> = points.iter().map(parent).collect();
        let host = |code: &PointCode| {
            let mut at = code.clone();
            for _ in 0..DEPTH_MAX {
                if self.settings.nodes.contains(&at) {
                    return Some(at);
                }
                at = parents.get(&at)?.clone()?;
            }
            None
        };
        let is_asked = asked(&self.settings, Table::Points);
        let mut served = Vec::new();
        for PointRow { row, mut point, untold, known } in points {
            let node = host(&point.code);
            if let Some(node) = node.clone().filter(|node| *node != point.code) {
                batch.hosted.push(Hosted { point: point.clone(), host: node });
            }
            match node {
                Some(node) if node == self.settings.own => {
                    served.push(point.code.clone());
                    point.node = node;
                    let opened = point.opened_on.map_or(0, midnight_ms);
                    let network = &self.settings.network;
                    let id = known.unwrap_or_else(|| {
                        RecordId::of_source(network, Kind::POINT.0, point.code.as_str(), opened)
                    });
                    if is_asked {
                        let home = point.code.clone();
                        let first = batch.items.len();
                        let point = Box::new(point);
                        batch.put(&home, id, Value::Point { point, untold }, 1);
                        batch.made_by(first, &origin(Table::Points, row));
                    }
                }
                Some(_) if is_asked => batch.counts.skipped += 1,
                None if is_asked => {
                    let invalid = Invalid::new("parent_id", "no_node_above");
                    batch.reject(Table::Points.file(), row, invalid);
                }
                _ => (),
            }
        }
        self.settings.served.extend(served);
    }

    fn put_plan(&mut self, planned: Planned, batch: &mut Batch) {
        if !asked(&self.settings, Table::Events) {
            return;
        }
        let Planned { home, row, rows, mut plan } = planned;
        if !plan.event.hosts.iter().any(|host| host.role == HostRole::Lead) {
            plan.event.hosts.push(Host {
                point: home.clone(),
                role: HostRole::Lead,
                state: HostState::Accepted,
                invite_time: None,
                decide_time: None,
            });
        }
        let created = plan.event.create_time;
        let id = self.settings.id_of(Kind::EVENT, &plan.source, created);
        match plan.event.checked() {
            Ok(event) => {
                plan.event = event;
                let first = batch.items.len();
                batch.put(&home, id, Value::EventPlan(Box::new(plan)), rows);
                batch.made_by(first, &origin(Table::Events, row));
            }
            Err(invalid) => {
                batch.counts.rejected += u64::from(rows - 1);
                batch.reject("events.csv", row, invalid);
            }
        }
    }
}

/// A row of a table that is put together with others.
fn origin(table: Table, row: u64) -> Origin {
    Origin { file: table.file().into(), row, cells: Vec::new() }
}

/// Is this table to go in, or only read for what it says of references?
fn asked(settings: &Settings, table: Table) -> bool {
    settings.kind.as_deref().is_none_or(|kind| kind == table.kind())
}

impl Settings {
    pub(super) fn id_of(&self, kind: Kind, source: &str, created: Time) -> RecordId {
        let created_ms = u64::try_from(created.millis()).unwrap_or(0);
        RecordId::of_source(&self.network, kind.0, source, created_ms)
    }

    /// Stands for a person in counts; only who has the key can tell for whom.
    pub(super) fn token(&self, person: &[u8]) -> [u8; 16] {
        crate::app::people::token(&self.token_key, person)
    }
}

fn disclosed(cards: Option<Cards>) -> Value {
    let Some(Cards { card, bases }) = cards else { return Value::Redisclose };
    let Bases { card: network, public_card: public } = bases;
    let with = |basis: ConsentBasis| {
        let card = card.as_deref()?;
        let mut message = v1::Card::decode(card).expect("BUG: encoded when the row was read");
        message.basis = Some(basis.into());
        let card: disclosure::Card =
            message.try_into().expect("BUG: a value when the row was read");
        Some(card)
    };
    let public_card = public.and_then(&with).map(|card| disclosure::PublicCard {
        names: card.names,
        expertise: card.expertise,
        biographies: Default::default(),
        basis: card.basis,
        home_number: card.home_number,
        former_home: card.former_home,
    });
    let card = network.and_then(|(audience, basis)| Some((audience, with(basis)?)));
    Value::Disclosed(Box::new(Disclosed { card, public_card }))
}
