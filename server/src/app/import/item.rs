//! What reading yields: records to put, rows that stay out, and how many of each.

use crate::domain::{
    disclosure::Disclosed,
    event::EventPlan,
    grant::Grant,
    id::{PointCode, RecordId},
    kind::Kind,
    member::Member,
    org::Org,
    point::Point,
    series::Series,
    text::Invalid,
    time::Time,
};

/// A record that the files speak of, at a home that this node serves.
#[derive(Clone, PartialEq, Debug)]
pub struct Item {
    pub home: PointCode,
    pub id: RecordId,
    pub value: Value,
    /// Rows that made it: they count as accepted if it changes what is stored, else as unchanged.
    pub rows: u32,
}

/// What a record is to say.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    Point(Box<Point>),
    Org(Box<Org>),
    Member(Box<Member>),
    /// The id is that of a member who is no more: everything goes, and a tombstone stays.
    Erased {
        erase_time: Time,
    },
    Grant(Box<Grant>),
    /// The id is a member's: exactly these cards are to exist, and no others. Makes no row of its
    /// own. Comes after the member's consents.
    Disclosed(Box<Disclosed>),
    /// The id is a member's whose record or consents changed, but the files do not hold both: what
    /// is disclosed has to be derived again from what is stored. Makes no row of its own.
    Redisclose,
    Series(Box<Series>),
    /// The public event follows from it (`disclosure::event`).
    EventPlan(Box<EventPlan>),
}

impl Value {
    /// Kind of the record that is put or removed; cards are named by their member.
    pub fn kind(&self) -> Kind {
        match self {
            Value::Point(_) => Kind::POINT,
            Value::Org(_) => Kind::ORG,
            Value::Member(_) | Value::Erased { .. } => Kind::MEMBER,
            Value::Grant(_) => Kind::GRANT,
            Value::Disclosed(_) | Value::Redisclose => Kind::CARD,
            Value::Series(_) => Kind::SERIES,
            Value::EventPlan(_) => Kind::EVENT_PLAN,
        }
    }
}

/// Why a row stays out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    pub file: &'static str,
    /// 1 is the first row after the header; 0 the file as a whole.
    pub row: u64,
    pub invalid: Invalid,
}

/// What became of the rows that make no item.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// All rows read, those of items included.
    pub rows: u64,
    pub skipped: u64,
    pub rejected: u64,
    pub ambiguous: u64,
}

/// A point of the data that runs no node in this network, and the one whose node is to serve it.
#[derive(Clone, PartialEq, Debug)]
pub struct Hosted {
    pub point: Point,
    pub host: PointCode,
}

/// What reading yielded since the caller last took it.
#[derive(Default, Debug)]
pub struct Batch {
    /// Has to be settled before the items: some of them may belong to these points.
    pub hosted: Vec<Hosted>,
    pub items: Vec<Item>,
    pub rejected: Vec<Verdict>,
    pub ambiguous: Vec<Verdict>,
    pub counts: Counts,
}

impl Batch {
    pub(super) fn put(&mut self, home: &PointCode, id: RecordId, value: Value, rows: u32) {
        self.items.push(Item { home: home.clone(), id, value, rows });
    }

    /// A row that stays out for what it says. Row 0 is the file, and no row.
    pub(super) fn reject(&mut self, file: &'static str, row: u64, invalid: Invalid) {
        if row > 0 {
            self.counts.rejected += 1;
        }
        self.rejected.push(Verdict { file, row, invalid });
    }
}
