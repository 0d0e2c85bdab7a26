//! What reading yields: records to put, rows that stay out, and how many of each.

use std::sync::Arc;

use super::{requests::PastRequest, speakers::Profile, table::Table};
use crate::domain::{
    disclosure::Disclosed,
    event::EventPlan,
    grant::Grant,
    group::{Group, Place},
    id::{PointCode, RecordId},
    kind::Kind,
    member::Member,
    org::{Org, OrgDetail},
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
    /// Made by the same row as the item before it: if either changes something, the row has.
    pub follows: bool,
    /// None: made by several rows.
    pub origin: Option<Origin>,
}

/// The row that made an item.
#[derive(Clone, PartialEq, Debug)]
pub struct Origin {
    /// Name of the file.
    pub file: Arc<str>,
    pub row: u64,
    /// The row as it was read, if rows that stay out are to come back.
    pub cells: Vec<String>,
}

/// What a record is to say.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// `untold`: columns that the file does not have.
    Point {
        point: Box<Point>,
        untold: Arc<[&'static str]>,
    },
    Org(Box<Org>),
    /// The id is the organisation's. Adds to what is known of it.
    OrgDetail(Box<OrgDetail>),
    Member(Box<Member>),
    /// The id is that of a member who is no more, and of whom nothing is to be here. Whoever is
    /// here stays: erasing takes two persons.
    Erased {
        erase_time: Time,
    },
    /// The id is a member's who is not in the files: what they say of its part in the pool and its
    /// seats.
    Profile(Box<Profile>),
    Grant(Box<Grant>),
    /// The id is a member's: exactly these cards are to exist, and no others. Makes no row of its
    /// own. Comes after the member's consents.
    Disclosed(Box<Disclosed>),
    /// The id is a member's whose record or consents changed, but the files do not hold both: what
    /// is disclosed has to be derived again from what is stored. Makes no row of its own.
    Redisclose,
    Group(Box<Group>),
    /// A place in a group. Comes after its member and the member's consents. `only_new`: one that
    /// is known already stays as it is.
    Place {
        place: Box<Place>,
        only_new: bool,
    },
    Series(Box<Series>),
    /// The public event follows from it (`disclosure::event`).
    EventPlan(Box<EventPlan>),
    /// Stays as it is once it is here: its content is sealed anew each time.
    HelpRequest(Box<PastRequest>),
}

impl Value {
    /// Kind of the record that is put or removed; cards are named by their member.
    pub fn kind(&self) -> Kind {
        match self {
            Value::Point { .. } => Kind::POINT,
            Value::Org(_) => Kind::ORG,
            Value::OrgDetail(_) => Kind::ORG_DETAIL,
            Value::Member(_) | Value::Erased { .. } | Value::Profile(_) => Kind::MEMBER,
            Value::Grant(_) => Kind::GRANT,
            Value::Disclosed(_) | Value::Redisclose => Kind::CARD,
            Value::Group(_) => Kind::GROUP,
            Value::Place { .. } => Kind::GROUP_MEMBER,
            Value::Series(_) => Kind::SERIES,
            Value::EventPlan(_) => Kind::EVENT_PLAN,
            Value::HelpRequest(_) => Kind::HELP_REQUEST,
        }
    }

    /// The table that its rows mostly come from.
    pub fn table(&self) -> Table {
        match self {
            Value::Point { .. } => Table::Points,
            Value::Org(_) => Table::Orgs,
            Value::OrgDetail(_) => Table::OrgFigures,
            Value::Member(_) | Value::Erased { .. } => Table::Members,
            Value::Profile(_) => Table::Speakers,
            Value::Grant(_) | Value::Disclosed(_) | Value::Redisclose => Table::Grants,
            Value::Group(_) => Table::Groups,
            Value::Place { .. } => Table::GroupMembers,
            Value::Series(_) => Table::Series,
            Value::EventPlan(_) => Table::Events,
            Value::HelpRequest(_) => Table::Requests,
        }
    }
}

/// What is said of a row: why it stays out, or what is worth knowing of one that went in.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Verdict {
    pub file: String,
    /// 1 is the first row after the header, in a sheet the header; 0 the file as a whole.
    pub row: u64,
    pub invalid: Invalid,
    /// Members that an ambiguous row meets.
    pub matches: Vec<RecordId>,
    /// The widest audience that sees something of a person who went in; empty otherwise.
    pub visibility: &'static str,
    /// The row as it was read, if it was asked for.
    pub cells: Vec<String>,
}

impl Verdict {
    pub fn new(file: &str, row: u64, invalid: Invalid) -> Verdict {
        Verdict { file: file.to_owned(), row, invalid, ..Verdict::default() }
    }
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
    pub remarks: Vec<Verdict>,
    /// Members who are here and whom rows were held against.
    pub met: Vec<RecordId>,
    pub counts: Counts,
}

impl Batch {
    pub(super) fn put(&mut self, home: &PointCode, id: RecordId, value: Value, rows: u32) {
        let home = home.clone();
        self.items.push(Item { home, id, value, rows, follows: false, origin: None });
    }

    /// Puts what the row of the item before says as well.
    pub(super) fn put_also(&mut self, home: &PointCode, id: RecordId, value: Value) {
        let home = home.clone();
        self.items.push(Item { home, id, value, rows: 0, follows: true, origin: None });
    }

    /// Says which row the items from `first` on were made by.
    pub(super) fn made_by(&mut self, first: usize, origin: &Origin) {
        for item in &mut self.items[first..] {
            item.origin = Some(origin.clone());
        }
    }

    /// A row that stays out for what it says. Row 0 is the file, and no row.
    pub(super) fn reject(&mut self, file: &str, row: u64, invalid: Invalid) {
        if row > 0 {
            self.counts.rejected += 1;
        }
        self.rejected.push(Verdict::new(file, row, invalid));
    }

    /// A row that fits several members, or one of another name.
    pub(super) fn doubt(&mut self, file: &str, row: u64, field: &str, matches: Vec<RecordId>) {
        self.counts.ambiguous += 1;
        let invalid = Invalid::new(field, "ambiguous_match");
        let verdict = Verdict::new(file, row, invalid);
        self.ambiguous.push(Verdict { matches, ..verdict });
    }
}
