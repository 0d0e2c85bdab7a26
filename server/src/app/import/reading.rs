//! Drives the tables: which file is open, which row comes next, what it amounts to.

use std::collections::{HashMap, HashSet, VecDeque};

use prost::Message;
use yizhan_proto::v1;

use super::{
    csv::{Cells, Next, Records},
    item::{Batch, Hosted, Value},
    people::Cards,
    row::{Header, Row, midnight_ms},
    rows::{Columns, Context, Fate, Planned, RowReader, columns},
};
use crate::domain::{
    disclosure::{self, Bases, ConsentBasis, Disclosed},
    event::{Host, HostRole, HostState},
    id::{PointCode, RecordId},
    kind::Kind,
    text::Invalid,
    time::Time,
};

/// File names in the order in which they have to come, with the kind they are asked for by.
pub const TABLES: [(&str, &str); 8] = [
    ("points.csv", "point"),
    ("orgs.csv", "org"),
    ("members.csv", "member"),
    ("grants.csv", "member"),
    ("series.csv", "series"),
    ("events.csv", "event"),
    ("event_hosts.csv", "event"),
    ("appearances.csv", "event"),
];

/// Most points of one import: they are kept until all are known.
pub const POINTS_MAX: usize = 10_000;
/// Most events of one import: they are kept until hosts and appearances are known.
pub const EVENTS_MAX: usize = 100_000;
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
    /// Makes the tokens that stand for persons in counts.
    pub token_key: [u8; 32],
}

/// A record that is stored already, found by the name of its source row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Known {
    pub home: PointCode,
    pub id: RecordId,
    /// Code of a series; empty for other kinds.
    pub code: String,
}

/// Finds stored records of kinds MEMBER and SERIES by source id.
pub type Lookup<'a> = dyn FnMut(Kind, &str) -> Option<Known> + 'a;

/// Whether the caller has to take the batch or to bring bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// The batch is full; more is to come from what was brought.
    Full,
    /// Everything that was brought is read.
    Wanting,
}

enum Input {
    File(String),
    Bytes(Vec<u8>),
    End,
}

/// Reads the tables of one import.
pub struct Reading {
    settings: Settings,
    input: VecDeque<Input>,
    records: Records,
    cells: Cells,
    open: Option<Table>,
    /// Number of the next table that may come.
    next_table: usize,
    known: Context,
    undisclosed: Vec<(PointCode, RecordId, Option<Cards>)>,
    plans: std::vec::IntoIter<Planned>,
}

struct Table {
    number: usize,
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
            next_table: 0,
            known: Context::default(),
            undisclosed: Vec::new(),
            plans: Vec::new().into_iter(),
        }
    }

    /// A file begins.
    pub fn file(&mut self, name: &str) {
        self.input.push_back(Input::File(name.to_owned()));
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
        self.open.as_ref().map(|table| (TABLES[table.number].0, table.row))
    }

    /// Reads on until the batch is full or everything brought is read.
    pub fn read(&mut self, lookup: &mut Lookup<'_>, batch: &mut Batch) -> Step {
        while batch.items.len() < BATCH_ITEMS {
            if let Some((home, id, cards)) = self.undisclosed.pop() {
                batch.put(&home, id, disclosed(cards), 0);
            } else if let Some(planned) = self.plans.next() {
                self.put_plan(planned, batch);
            } else if !self.read_row(lookup, batch) && !self.take_input(batch) {
                return Step::Wanting;
            }
        }
        Step::Full
    }

    /// Reads one row of the open file. False: there is none in what was brought.
    fn read_row(&mut self, lookup: &mut Lookup<'_>, batch: &mut Batch) -> bool {
        let Some(table) = &mut self.open else { return false };
        let wanted = table.header.as_ref().map(|(header, _)| header.len());
        let next = self.records.next(&mut self.cells, wanted);
        if table.is_refused {
            return next != Next::Wanting;
        }
        let file = TABLES[table.number].0;
        let invalid = match (next, &table.header) {
            (Next::Wanting, _) => return false,
            (Next::Record, None) => {
                match Header::of(&self.cells)
                    .and_then(|header| Ok((columns(table.number, &header)?, header)))
                {
                    Ok((columns, header)) => {
                        table.header = Some((header, columns));
                        return true;
                    }
                    Err(invalid) => invalid,
                }
            }
            (Next::Bad(reason), None) => Invalid::new("", reason),
            (next, Some((header, columns))) => {
                table.row += 1;
                let mut scratch = Batch::default();
                let is_asked =
                    self.settings.kind.as_deref().is_none_or(|kind| kind == TABLES[table.number].1);
                let batch = if is_asked { batch } else { &mut scratch };
                batch.counts.rows += 1;
                let fate = match next {
                    Next::Bad(reason) => Err(Invalid::new("", reason)),
                    _ => Row::of(&self.cells, header).and_then(|row| {
                        let mut reader = RowReader {
                            settings: &self.settings,
                            known: &mut self.known,
                            lookup,
                            number: table.number,
                            row_number: table.row,
                        };
                        reader.read(&row, columns, batch)
                    }),
                };
                match fate {
                    Ok(Fate::Taken) => (),
                    Ok(Fate::Skipped) => batch.counts.skipped += 1,
                    Err(invalid) => batch.reject(file, table.row, invalid),
                }
                return true;
            }
        };
        table.is_refused = true;
        batch.reject(file, 0, invalid);
        true
    }

    /// Takes the next thing that was brought. False: there is none.
    fn take_input(&mut self, batch: &mut Batch) -> bool {
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
            Some(Input::File(name)) => self.open(&name, batch),
            Some(Input::End) => self.finish(),
        }
        true
    }

    fn open(&mut self, name: &str, batch: &mut Batch) {
        let Some(number) = TABLES.iter().position(|(table, _)| *table == name) else {
            batch.reject("", 0, Invalid::new(name, "unknown_table"));
            return;
        };
        if number < self.next_table {
            batch.reject(TABLES[number].0, 0, Invalid::new("", "table_out_of_order"));
            return;
        }
        self.next_table = number + 1;
        self.records = Records::default();
        self.open = Some(Table { number, row: 0, header: None, is_refused: false });
        if number > 3 {
            self.disclose();
        }
    }

    fn close(&mut self, batch: &mut Batch) {
        let Some(table) = self.open.take() else { return };
        match table.number {
            0 => self.put_points(batch),
            2 => self.known.read_members |= table.header.is_some(),
            3 => self.known.read_grants |= table.header.is_some(),
            _ => (),
        }
    }

    fn finish(&mut self) {
        self.disclose();
        self.plans = std::mem::take(&mut self.known.plans).into_iter();
    }

    /// Queues what is to be disclosed of everybody here, once members and consents are read.
    fn disclose(&mut self) {
        if self.settings.kind.as_deref().is_some_and(|kind| kind != "member") {
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
        let parents: HashMap<PointCode, Option<PointCode>> =
            points.iter().map(|(_, point)| (point.code.clone(), point.parent.clone())).collect();
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
        let is_asked = self.settings.kind.as_deref().is_none_or(|kind| kind == TABLES[0].1);
        let mut served = Vec::new();
        for (row, mut point) in points {
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
                    let id =
                        RecordId::of_source(network, Kind::POINT.0, point.code.as_str(), opened);
                    if is_asked {
                        let home = point.code.clone();
                        batch.put(&home, id, Value::Point(Box::new(point)), 1);
                    }
                }
                Some(_) if is_asked => batch.counts.skipped += 1,
                None if is_asked => {
                    let invalid = Invalid::new("parent_id", "no_node_above");
                    batch.reject(TABLES[0].0, row, invalid);
                }
                _ => (),
            }
        }
        self.settings.served.extend(served);
    }

    fn put_plan(&mut self, planned: Planned, batch: &mut Batch) {
        if self.settings.kind.as_deref().is_some_and(|kind| kind != "event") {
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
                batch.put(&home, id, Value::EventPlan(Box::new(plan)), rows);
            }
            Err(invalid) => {
                batch.counts.rejected += u64::from(rows - 1);
                batch.reject("events.csv", row, invalid);
            }
        }
    }
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
    });
    let card = network.and_then(|(audience, basis)| Some((audience, with(basis)?)));
    Value::Disclosed(Box::new(Disclosed { card, public_card }))
}
