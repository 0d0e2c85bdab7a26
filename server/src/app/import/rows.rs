//! One row of any table: what it amounts to, and what it adds to what is known.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use prost::Message;
use yizhan_proto::v1;

use super::{
    events::{self, AppearanceColumns, EventColumns, HostColumns},
    grants::{self, GrantColumns},
    groups::{self, GroupColumns, PlaceColumns},
    item::{Batch, Value},
    meeting::Seen,
    members::{self, MemberColumns},
    people::{Cards, People, Person, Speaker, Standing},
    persons::PersonColumns,
    points::{self, FigureColumns, OrgColumns, PointColumns},
    reading::{
        Asked, EVENTS_MAX, GROUPS_MAX, Known, Lookup, ORGS_MAX, POINTS_MAX, PROFILES_MAX, Settings,
    },
    requests::{self, RequestColumns},
    row::{Column, Header, Row},
    series::{self, SeriesColumns},
    speakers::{self, SeatColumns, SpeakerColumns, Waiting},
    table::Table,
};
use crate::app::people::display_names;
use crate::domain::{
    disclosure::{self, Bases, ConsentBasis},
    event::Appearance,
    event::EventPlan,
    grant::{Grant, Purpose, Scope},
    group::{GroupKind, Place},
    id::{GrantId, MemberId, PointCode, RecordId},
    kind::Kind,
    member::Member,
    org::OrgDetail,
    point::Point,
    text::Invalid,
    time::Time,
};

pub enum Columns {
    Points(Box<PointColumns>),
    Orgs(OrgColumns),
    Figures(FigureColumns),
    Speakers(SpeakerColumns),
    Seats(SeatColumns),
    Members(Box<MemberColumns>),
    Grants(GrantColumns),
    Series(SeriesColumns),
    Events(Box<EventColumns>),
    Hosts(HostColumns),
    Appearances(AppearanceColumns),
    Groups(GroupColumns),
    Places(PlaceColumns),
    Persons(Box<PersonColumns>),
    Requests(Box<RequestColumns>),
}

/// What earlier tables said.
#[derive(Default)]
pub struct Context {
    pub homes: Vec<PointCode>,
    pub home_numbers: HashMap<String, u32>,
    pub points: Vec<PointRow>,
    pub ids: HashSet<(Table, String)>,
    pub orgs: HashMap<String, RecordId>,
    /// What is told of organisations beside their own rows, and how many rows told it.
    pub details: BTreeMap<RecordId, (OrgDetail, u32)>,
    /// Parts of members, by source id, until the member comes.
    pub profiles: HashMap<String, Waiting>,
    pub groups: HashMap<String, RecordId>,
    pub cohorts: HashMap<u32, RecordId>,
    /// Who was in the files without an id.
    pub seen: Seen,
    pub grant_ids: HashSet<String>,
    pub people: People,
    pub read_members: bool,
    pub read_grants: bool,
    /// Members outside the files whose consents changed.
    pub redisclose: HashMap<RecordId, PointCode>,
    pub series: HashMap<String, String>,
    pub events: HashMap<String, EventAt>,
    pub plans: Vec<Planned>,
    /// References of help requests by the name of their row.
    pub requests: HashMap<String, String>,
}

/// A point of the files, and where it was read.
pub struct PointRow {
    pub row: u64,
    pub point: Point,
    /// Columns that the file does not have.
    pub untold: Arc<[&'static str]>,
    /// Its record, if it is stored.
    pub known: Option<RecordId>,
}

pub enum EventAt {
    Here(usize),
    Elsewhere,
    Rejected,
}

pub struct Planned {
    pub home: PointCode,
    pub row: u64,
    pub rows: u32,
    pub plan: EventPlan,
}

/// What became of a row that is not refused.
pub enum Fate {
    /// It made an item, or will.
    Taken,
    /// Its home is not served here.
    Skipped,
    /// Nothing stands in it: it is no row.
    Blank,
    /// It fits several members, and was told so.
    Doubted,
}

/// The columns of a table, and the names of all that it can have.
pub fn columns(
    table: Table,
    header: &Header,
) -> Result<(Columns, &'static [&'static str]), Invalid> {
    Ok(match table {
        Table::Points => {
            (Columns::Points(Box::new(PointColumns::of(header)?)), PointColumns::NAMES)
        }
        Table::Orgs => (Columns::Orgs(OrgColumns::of(header)?), OrgColumns::NAMES),
        Table::OrgFigures => (Columns::Figures(FigureColumns::of(header)?), FigureColumns::NAMES),
        Table::Speakers => (Columns::Speakers(SpeakerColumns::of(header)?), SpeakerColumns::NAMES),
        Table::Seats => (Columns::Seats(SeatColumns::of(header)?), SeatColumns::NAMES),
        Table::Members => {
            (Columns::Members(Box::new(MemberColumns::of(header)?)), MemberColumns::NAMES)
        }
        Table::Grants => (Columns::Grants(GrantColumns::of(header)?), GrantColumns::NAMES),
        Table::Series => (Columns::Series(SeriesColumns::of(header)?), SeriesColumns::NAMES),
        Table::Events => {
            (Columns::Events(Box::new(EventColumns::of(header)?)), EventColumns::NAMES)
        }
        Table::EventHosts => (Columns::Hosts(HostColumns::of(header)?), HostColumns::NAMES),
        Table::Appearances => {
            (Columns::Appearances(AppearanceColumns::of(header)?), AppearanceColumns::NAMES)
        }
        Table::Groups => (Columns::Groups(GroupColumns::of(header)?), GroupColumns::NAMES),
        Table::GroupMembers => (Columns::Places(PlaceColumns::of(header)?), PlaceColumns::NAMES),
        Table::KeyContacts | Table::People => {
            (Columns::Persons(Box::new(PersonColumns::of(header)?)), PersonColumns::NAMES)
        }
        Table::Requests => {
            (Columns::Requests(Box::new(RequestColumns::of(header)?)), RequestColumns::NAMES)
        }
    })
}

/// One row of one table, with everything it may need.
pub struct RowReader<'a, 'l> {
    pub settings: &'a Settings,
    pub known: &'a mut Context,
    pub lookup: &'a mut Lookup<'l>,
    /// Name of the file.
    pub file: &'a str,
    pub table: Table,
    pub row_number: u64,
    pub header: &'a Header,
}

impl RowReader<'_, '_> {
    pub fn read(
        &mut self,
        row: &Row<'_>,
        columns: &Columns,
        batch: &mut Batch,
    ) -> Result<Fate, Invalid> {
        match columns {
            Columns::Points(columns) => self.point(row, columns),
            Columns::Orgs(columns) => self.org(row, columns, batch),
            Columns::Figures(columns) => self.figure(row, columns),
            Columns::Speakers(columns) => self.speaker(row, columns),
            Columns::Seats(columns) => self.seat(row, columns),
            Columns::Groups(columns) => self.group(row, columns, batch),
            Columns::Places(columns) => self.place(row, columns, batch),
            Columns::Persons(columns) => self.person(row, columns, batch),
            Columns::Members(columns) => self.member(row, columns, batch),
            Columns::Grants(columns) => self.grant(row, columns, batch),
            Columns::Series(columns) => self.series(row, columns, batch),
            Columns::Events(columns) => self.event(row, columns),
            Columns::Hosts(columns) => self.host(row, columns),
            Columns::Appearances(columns) => self.appearance(row, columns),
            Columns::Requests(columns) => self.request(row, columns, batch),
        }
    }

    fn point(&mut self, row: &Row<'_>, columns: &PointColumns) -> Result<Fate, Invalid> {
        let point = points::point(row, columns)?;
        self.first_of_its_id(&point.source, "point_id")?;
        if self.known.points.len() >= POINTS_MAX {
            return Err(Invalid::new("point_id", "too_many"));
        }
        let untold = match self.known.points.last() {
            Some(last) => Arc::clone(&last.untold),
            None => {
                let names = PointColumns::NAMES.iter().copied();
                names.filter(|name| !self.header.column(name).is_there()).collect()
            }
        };
        let known = (self.lookup)(Asked::Point(&point.code)).pop().map(|known| known.id);
        self.known.points.push(PointRow { row: self.row_number, point, untold, known });
        Ok(Fate::Taken)
    }

    fn org(&mut self, row: &Row<'_>, c: &OrgColumns, batch: &mut Batch) -> Result<Fate, Invalid> {
        if !self.settings.served.contains(&self.settings.root) {
            return Ok(Fate::Skipped);
        }
        let (org, mailbox, created_ms) = points::org(row, c)?;
        self.first_of_its_id(&org.source, "org_id")?;
        let id = RecordId::of_source(&self.settings.network, Kind::ORG.0, &org.source, created_ms);
        if self.known.orgs.len() >= ORGS_MAX {
            return Err(Invalid::new("org_id", "too_many"));
        }
        self.known.orgs.insert(org.source.clone(), id);
        if mailbox.is_some() {
            self.known.details.entry(id).or_default().0.contact_mailbox = mailbox;
        }
        batch.put(&self.settings.root, id, Value::Org(Box::new(org)), 1);
        Ok(Fate::Taken)
    }

    fn figure(&mut self, row: &Row<'_>, c: &FigureColumns) -> Result<Fate, Invalid> {
        if !self.settings.served.contains(&self.settings.root) {
            return Ok(Fate::Skipped);
        }
        let source = row.required(c.org())?;
        let id = match self.known.orgs.get(source) {
            Some(id) => *id,
            None => {
                let stored = (self.lookup)(Asked::Source(Kind::ORG, source)).pop();
                stored.ok_or_else(|| Invalid::new(c.org().name, "unknown_org"))?.id
            }
        };
        let figure = points::figure(row, c)?;
        if self.known.details.len() >= ORGS_MAX && !self.known.details.contains_key(&id) {
            return Err(Invalid::new(c.org().name, "too_many"));
        }
        let (detail, rows) = self.known.details.entry(id).or_default();
        detail.report(figure)?;
        *rows += 1;
        Ok(Fate::Taken)
    }

    /// The profile that waits for a member.
    fn waiting(&mut self, source: &str, field: &str) -> Result<&mut Waiting, Invalid> {
        let profiles = &mut self.known.profiles;
        if profiles.len() >= PROFILES_MAX && !profiles.contains_key(source) {
            return Err(Invalid::new(field, "too_many"));
        }
        Ok(profiles.entry(source.to_owned()).or_default())
    }

    fn speaker(&mut self, row: &Row<'_>, c: &SpeakerColumns) -> Result<Fate, Invalid> {
        let source = row.required(c.member())?;
        let speaker = speakers::speaker(row, c)?;
        let place = (self.table, self.row_number);
        let waiting = self.waiting(source, c.member().name)?;
        if waiting.profile.speaker.is_some() {
            return Err(Invalid::new(c.member().name, "duplicate_id"));
        }
        waiting.profile.speaker = Some(speaker);
        waiting.rows.push(place);
        Ok(Fate::Taken)
    }

    fn seat(&mut self, row: &Row<'_>, c: &SeatColumns) -> Result<Fate, Invalid> {
        let source = row.required(c.member())?;
        let place = (self.table, self.row_number);
        let waiting = self.waiting(source, c.member().name)?;
        speakers::add_seat(row, c, &mut waiting.profile)?;
        waiting.rows.push(place);
        Ok(Fate::Taken)
    }

    fn member(
        &mut self,
        row: &Row<'_>,
        c: &MemberColumns,
        batch: &mut Batch,
    ) -> Result<Fate, Invalid> {
        let taken_out = match self.taken_out(row, c)? {
            TakenOut::Elsewhere => return Ok(Fate::Skipped),
            TakenOut::Here(id, member) => Some((id, member)),
            TakenOut::No => None,
        };
        let known = &mut *self.known;
        let head = members::head(row, c, |text| home_code(known, text))?;
        if self.known.people.has(head.source) {
            return Err(Invalid::new("member_id", "duplicate_id"));
        }
        let Waiting { profile, rows } = self.known.profiles.remove(head.source).unwrap_or_default();
        let part_rows = rows.len() as u32;
        let id = match &taken_out {
            Some((id, _)) => *id,
            None => self.settings.id_of(Kind::MEMBER, head.source, head.create_time),
        };
        let mut person = Person {
            id: MemberId(id.0),
            home: self.home_number(&head.home),
            state: if head.is_erased { Standing::Erased } else { Standing::Living },
            cards: None,
            speaker: None,
            contact: None,
        };
        let is_served = self.settings.served.contains(&head.home);
        if head.is_erased {
            // The row has lost the moment that the id was made from.
            if let Some(stored) = (self.lookup)(Asked::Source(Kind::MEMBER, head.source)).pop() {
                if self.settings.served.contains(&stored.home) {
                    reject_all(batch, rows, "member_rejected");
                    person.state = Standing::Rejected;
                    self.known.people.add(head.source, person);
                    return Err(two_persons(stored.id));
                }
                person.id = MemberId(stored.id.0);
            }
            let id = person.id.record();
            self.known.people.add(head.source, person);
            if !is_served {
                batch.counts.skipped += u64::from(part_rows);
                return Ok(Fate::Skipped);
            }
            reject_all(batch, rows, "unknown_member");
            batch.put(&head.home, id, Value::Erased { erase_time: head.update_time }, 1);
            return Ok(Fate::Taken);
        }
        if head.is_speaker
            && let Ok(names) = members::names(row, c)
        {
            let display_names = display_names(&names);
            person.speaker = Some(Box::new(Speaker { display_names, releases: Vec::new() }));
        }
        if !is_served {
            batch.counts.skipped += u64::from(part_rows);
            self.known.people.add(head.source, person);
            return Ok(Fate::Skipped);
        }
        let member = members::member(row, c, &head, profile);
        match member {
            Ok(mut member) => {
                if let Some((_, known)) = taken_out {
                    member.source = known.source;
                    member.create_time = known.create_time;
                    // The cards are made from these, too.
                    member.names = member.names.or_known(known.names);
                }
                person.cards = Some(Box::new(cards(&member)));
                let (id, value) = (person.id.record(), Value::Member(Box::new(member)));
                batch.put(&head.home, id, value, 1 + part_rows);
                self.known.people.add(head.source, person);
                Ok(Fate::Taken)
            }
            Err(invalid) => {
                reject_all(batch, rows, "member_rejected");
                person.state = Standing::Rejected;
                self.known.people.add(head.source, person);
                Err(invalid)
            }
        }
    }

    /// The member of a row that an export of this node has written, by the record's id.
    fn taken_out(&mut self, row: &Row<'_>, c: &MemberColumns) -> Result<TakenOut, Invalid> {
        let Some(id) = row.optional(c.id(), |text, _| RecordId::parse(text, "id"))? else {
            return Ok(TakenOut::No);
        };
        let home = home_code(self.known, row.required(c.home())?)?;
        if !self.settings.served.contains(&home) {
            return Ok(TakenOut::Elsewhere);
        }
        let stored = (self.lookup)(Asked::Source(Kind::MEMBER, &id.to_string())).pop();
        let stored = stored.filter(|stored| stored.home == home && stored.id == id);
        let member = stored.and_then(|stored| {
            let member = v1::Member::decode(&stored.payload[..]).ok()?;
            Member::try_from(member).ok()
        });
        // Whoever has gone since then does not come back as somebody new.
        let member = member.ok_or_else(|| Invalid::new(c.id().name, "unknown_member"))?;
        Ok(TakenOut::Here(id, Box::new(member)))
    }

    /// A consent's id: of the record, where the file calls it so; else made from the name that the file
    /// has for it.
    fn named_grant(
        &mut self,
        c: &GrantColumns,
        grant: Grant,
    ) -> Result<(RecordId, Grant), Invalid> {
        let Ok(named) = RecordId::parse(&grant.source, c.grant().name) else {
            let id = self.settings.id_of(Kind::GRANT, &grant.source, grant.given_time);
            return Ok((id, grant));
        };
        let known = (self.lookup)(Asked::Source(Kind::GRANT, &grant.source)).pop();
        let known = known.and_then(|known| grant_of(&known));
        let known = known.filter(|known| known.member == grant.member);
        let known = known.ok_or_else(|| Invalid::new(c.grant().name, "unknown_grant"))?;
        let Grant { source, text_hash, evidence_hash, .. } = known;
        Ok((named, Grant { source, text_hash, evidence_hash, ..grant }))
    }

    fn grant(
        &mut self,
        row: &Row<'_>,
        c: &GrantColumns,
        batch: &mut Batch,
    ) -> Result<Fate, Invalid> {
        let source = row.required(c.member())?;
        let now = self.settings.now;
        let Some(person) = self.known.people.get(source) else {
            return self.grant_of_stored(row, c, source, batch);
        };
        match person.state {
            Standing::Rejected => return Err(Invalid::new(c.member().name, "member_rejected")),
            Standing::Erased => return Err(Invalid::new(c.member().name, "unknown_member")),
            Standing::Living => (),
        }
        let home = self.known.homes[person.home as usize].clone();
        let is_served = self.settings.served.contains(&home);
        if !is_served && person.speaker.is_none() {
            return Ok(Fate::Skipped);
        }
        let grant = match grants::grant(row, c, person.id, self.settings.as_of) {
            // So that no job has to end it afterwards.
            Ok(grant) => grant.settled_at(now),
            Err(_) if !is_served => return Ok(Fate::Skipped),
            Err(invalid) => return Err(invalid),
        };
        let name = grant.source.clone();
        let (id, grant) = match is_served {
            true => self.named_grant(c, grant)?,
            false => {
                let made = self.settings.id_of(Kind::GRANT, &name, grant.given_time);
                (RecordId::parse(&name, c.grant().name).unwrap_or(made), grant)
            }
        };
        let Context { people, grant_ids, .. } = &mut *self.known;
        let Some(person) = people.get_mut(source) else { return Ok(Fate::Skipped) };
        if let Some(speaker) = &mut person.speaker
            && grant.purpose == Purpose::MediaRelease
            && grant.holds_at(now)
            && let Scope::Unlimited | Scope::Event(_) = &grant.scope
        {
            speaker.releases.push((grant.scope.as_str().to_owned(), GrantId(id.0)));
        }
        if grant.purpose == Purpose::ContactByPoints && grant.holds_at(now) {
            person.contact = Some(GrantId(id.0));
        }
        if !is_served {
            return Ok(Fate::Skipped);
        }
        if !grant_ids.insert(name) {
            return Err(Invalid::new("grant_id", "duplicate_id"));
        }
        if let Some(cards) = &mut person.cards {
            cards.bases.add(&grant, now);
        }
        batch.put(&home, id, Value::Grant(Box::new(grant)), 1);
        Ok(Fate::Taken)
    }

    /// A consent of a member that is not in the files.
    fn grant_of_stored(
        &mut self,
        row: &Row<'_>,
        c: &GrantColumns,
        source: &str,
        batch: &mut Batch,
    ) -> Result<Fate, Invalid> {
        let unknown = || Invalid::new(c.member().name, "unknown_member");
        let stored = (self.lookup)(Asked::Source(Kind::MEMBER, source)).pop();
        let stored = stored.ok_or_else(unknown)?;
        if !self.settings.served.contains(&stored.home) {
            return Ok(Fate::Skipped);
        }
        let grant: Grant = grants::grant(row, c, MemberId(stored.id.0), self.settings.as_of)?;
        let grant = grant.settled_at(self.settings.now);
        if !self.known.grant_ids.insert(grant.source.clone()) {
            return Err(Invalid::new("grant_id", "duplicate_id"));
        }
        let (id, grant) = self.named_grant(c, grant)?;
        batch.put(&stored.home, id, Value::Grant(Box::new(grant)), 1);
        self.known.redisclose.insert(stored.id, stored.home);
        Ok(Fate::Taken)
    }

    fn series(
        &mut self,
        row: &Row<'_>,
        c: &SeriesColumns,
        batch: &mut Batch,
    ) -> Result<Fate, Invalid> {
        let (home, series, created_ms) = series::series(row, c)?;
        self.first_of_its_id(&series.source, "series_id")?;
        self.known.series.insert(series.source.clone(), series.code.clone());
        if !self.settings.served.contains(&home) {
            return Ok(Fate::Skipped);
        }
        let network = &self.settings.network;
        let id = RecordId::of_source(network, Kind::SERIES.0, &series.source, created_ms);
        batch.put(&home, id, Value::Series(Box::new(series)), 1);
        Ok(Fate::Taken)
    }

    fn event(&mut self, row: &Row<'_>, c: &EventColumns) -> Result<Fate, Invalid> {
        let source = row.required(c.event())?;
        let home = home_code(self.known, row.required(c.home())?)?;
        if self.known.events.contains_key(source) {
            return Err(Invalid::new(c.event().name, "duplicate_id"));
        }
        if self.known.events.len() >= EVENTS_MAX {
            return Err(Invalid::new(c.event().name, "too_many"));
        }
        if !self.settings.served.contains(&home) {
            self.known.events.insert(source.to_owned(), EventAt::Elsewhere);
            return Ok(Fate::Skipped);
        }
        let codes = &self.known.series;
        let lookup = &mut *self.lookup;
        let plan = events::plan(row, c, |series| {
            codes
                .get(series)
                .cloned()
                .or_else(|| series_code(&lookup(Asked::Source(Kind::SERIES, series)).pop()?))
        });
        let at = match &plan {
            Ok(_) => EventAt::Here(self.known.plans.len()),
            Err(_) => EventAt::Rejected,
        };
        self.known.events.insert(source.to_owned(), at);
        let plan = plan?;
        self.known.plans.push(Planned { home, row: self.row_number, rows: 1, plan });
        Ok(Fate::Taken)
    }

    /// The event that a row belongs to. None: another home's.
    fn event_of(&mut self, row: &Row<'_>, column: Column) -> Result<Option<usize>, Invalid> {
        match self.known.events.get(row.required(column)?) {
            Some(EventAt::Here(at)) => Ok(Some(*at)),
            Some(EventAt::Elsewhere) => Ok(None),
            Some(EventAt::Rejected) => Err(Invalid::new(column.name, "event_rejected")),
            None => Err(Invalid::new(column.name, "unknown_event")),
        }
    }

    fn host(&mut self, row: &Row<'_>, c: &HostColumns) -> Result<Fate, Invalid> {
        let Some(at) = self.event_of(row, c.event())? else { return Ok(Fate::Skipped) };
        let planned = &mut self.known.plans[at];
        events::add_host(row, c, &planned.home, &mut planned.plan.event)?;
        planned.rows += 1;
        Ok(Fate::Taken)
    }

    fn appearance(&mut self, row: &Row<'_>, c: &AppearanceColumns) -> Result<Fate, Invalid> {
        let Some(at) = self.event_of(row, c.event())? else { return Ok(Fate::Skipped) };
        let Context { plans, people, homes, .. } = &mut *self.known;
        let planned = &mut plans[at];
        let (settings, lookup) = (self.settings, &mut *self.lookup);
        let event_source = &planned.plan.source;
        events::add_appearance(row, c, &mut planned.plan.event, |appearance| {
            match (row.text(c.member()), row.text(c.token())) {
                ("", "") => Err(Invalid::new(c.member().name, "required")),
                ("", token) => {
                    appearance.token = settings.token(token.as_bytes());
                    Ok(())
                }
                (source, _) => match people.get(source) {
                    Some(person) => {
                        identify(settings, appearance, person, event_source, c.member())?;
                        let home = &homes[person.home as usize];
                        if appearance.release.is_some() && !settings.served.contains(home) {
                            appearance.home = Some(home.clone());
                        }
                        Ok(())
                    }
                    None => {
                        let unknown = || Invalid::new(c.member().name, "unknown_member");
                        let stored = lookup(Asked::Source(Kind::MEMBER, source)).pop();
                        let stored = stored.ok_or_else(unknown)?;
                        appearance.token = settings.token(&stored.id.0);
                        appearance.member = Some(MemberId(stored.id.0));
                        Ok(())
                    }
                },
            }
        })?;
        planned.rows += 1;
        Ok(Fate::Taken)
    }

    fn group(
        &mut self,
        row: &Row<'_>,
        c: &GroupColumns,
        batch: &mut Batch,
    ) -> Result<Fate, Invalid> {
        let (home, mut group, created_ms) = groups::group(row, c)?;
        self.first_of_its_id(&group.source, "group_id")?;
        if self.known.groups.len() >= GROUPS_MAX {
            return Err(Invalid::new("group_id", "too_many"));
        }
        let network = &self.settings.network;
        let mut id = RecordId::of_source(network, Kind::GROUP.0, &group.source, created_ms);
        let name = group.source.clone();
        if let Some(named) = row.optional(c.id(), |text, _| RecordId::parse(text, "id"))? {
            // An export has written the row.
            let stored = (self.lookup)(Asked::Source(Kind::GROUP, &named.to_string())).pop();
            let stored = stored.filter(|stored| stored.id == named);
            let known = stored.and_then(|stored| v1::Group::decode(&stored.payload[..]).ok());
            let known = known.ok_or_else(|| Invalid::new(c.id().name, "unknown_group"))?;
            (id, group.source) = (named, known.source);
        }
        self.known.groups.insert(name, id);
        if let (GroupKind::Cohort, Some(number)) = (group.kind, group.issue_no)
            && self.known.cohorts.insert(number, id).is_some()
        {
            return Err(Invalid::new("issue_no", "taken"));
        }
        if !self.settings.served.contains(&home) {
            return Ok(Fate::Skipped);
        }
        batch.put(&home, id, Value::Group(Box::new(group)), 1);
        Ok(Fate::Taken)
    }

    fn place(
        &mut self,
        row: &Row<'_>,
        c: &PlaceColumns,
        batch: &mut Batch,
    ) -> Result<Fate, Invalid> {
        let group = row.required(c.group())?;
        let group = match self.known.groups.get(group) {
            Some(id) => *id,
            None => {
                let stored = (self.lookup)(Asked::Source(Kind::GROUP, group)).pop();
                stored.ok_or_else(|| Invalid::new(c.group().name, "unknown_group"))?.id
            }
        };
        let source = row.required(c.member())?;
        let unknown = || Invalid::new(c.member().name, "unknown_member");
        let (home, member, is_living, contact) = match self.known.people.get(source) {
            Some(person) if person.state == Standing::Rejected => {
                return Err(Invalid::new(c.member().name, "member_rejected"));
            }
            Some(person) => {
                let home = self.known.homes[person.home as usize].clone();
                (home, person.id, person.state == Standing::Living, person.contact)
            }
            None => {
                let stored = (self.lookup)(Asked::Source(Kind::MEMBER, source)).pop();
                let stored = stored.ok_or_else(unknown)?;
                let held = self.in_force(&stored.home, stored.id);
                let contact = held.iter().find(|(_, held)| *held == Purpose::ContactByPoints);
                (stored.home, MemberId(stored.id.0), true, contact.map(|(id, _)| *id))
            }
        };
        if !self.settings.served.contains(&home) {
            return Ok(Fate::Skipped);
        }
        let mut place = groups::place(row, c, group)?;
        let id = match place.source.is_empty() {
            true => self.seatless(&home, member, &mut place, c)?,
            false => {
                let network = &self.settings.network;
                RecordId::of_source(network, Kind::GROUP_MEMBER.0, &place.source, 0)
            }
        };
        self.first_of_its_id(&id.to_string(), c.group().name)?;
        place.token = self.settings.token(&member.0);
        place.member = is_living.then_some(member);
        place.grant = contact.filter(|_| is_living && !row.text(c.grant()).is_empty());
        batch.put(&home, id, Value::Place { place: Box::new(place), only_new: false }, 1);
        Ok(Fate::Taken)
    }

    /// The place of a row without a number: the one that the member has in the group already, whoever
    /// made it; else a new one, the same whenever the file comes.
    fn seatless(
        &mut self,
        home: &PointCode,
        member: MemberId,
        place: &mut Place,
        c: &PlaceColumns,
    ) -> Result<RecordId, Invalid> {
        let member = member.record();
        let known = (self.lookup)(Asked::Places(home, member)).into_iter();
        let known = known.filter_map(|known| Some((known.id, place_of(&known)?)));
        let mut known: Vec<_> = known.filter(|(_, known)| known.group == place.group).collect();
        if known.len() > 1 {
            known.retain(|(_, known)| (known.role, known.from) == (place.role, place.from));
        }
        match &known[..] {
            [(id, known)] => {
                place.source.clone_from(&known.source);
                Ok(*id)
            }
            [] => {
                let source = format!("place {} {member}", place.group);
                Ok(self.settings.id_of(Kind::GROUP_MEMBER, &source, Time(0)))
            }
            _ => Err(Invalid::new(c.member().name, "ambiguous_match")),
        }
    }

    /// The one group with the number of a cohort.
    pub(super) fn cohort(&mut self, number: u32) -> Option<RecordId> {
        if let Some(id) = self.known.cohorts.get(&number) {
            return Some(*id);
        }
        let found = (self.lookup)(Asked::Cohort(number));
        let [one] = &found[..] else { return None };
        self.known.cohorts.insert(number, one.id);
        Some(one.id)
    }

    fn request(
        &mut self,
        row: &Row<'_>,
        c: &RequestColumns,
        batch: &mut Batch,
    ) -> Result<Fate, Invalid> {
        let known = &self.known.requests;
        let (home, past) = requests::request(row, c, |source| known.get(source).cloned())?;
        self.first_of_its_id(&past.request.source, "request_id")?;
        let (source, reference) = (&past.request.source, &past.request.reference);
        self.known.requests.insert(source.clone(), reference.to_string());
        if !self.settings.served.contains(&home) {
            return Ok(Fate::Skipped);
        }
        let created_ms = past.request.received.millis().max(0) as u64;
        let network = &self.settings.network;
        let id = RecordId::of_source(network, Kind::HELP_REQUEST.0, source, created_ms);
        batch.put(&home, id, Value::HelpRequest(Box::new(past)), 1);
        Ok(Fate::Taken)
    }

    fn first_of_its_id(&mut self, source: &str, field: &str) -> Result<(), Invalid> {
        if self.known.ids.insert((self.table, source.to_owned())) {
            Ok(())
        } else {
            Err(Invalid::new(field, "duplicate_id"))
        }
    }

    fn home_number(&mut self, home: &PointCode) -> u32 {
        self.known.home_numbers.get(home.as_str()).copied().unwrap_or(0)
    }
}

/// Whether an export of this node has written a row.
enum TakenOut {
    No,
    /// Of a home that is not served here.
    Elsewhere,
    Here(RecordId, Box<Member>),
}

fn place_of(known: &Known) -> Option<Place> {
    v1::GroupMember::decode(&known.payload[..]).ok().and_then(|place| place.try_into().ok())
}

/// What is said of a row that would erase somebody who is here.
pub(super) fn two_persons(id: RecordId) -> Invalid {
    Invalid::new("state", "two_persons_needed").hint(format_args!("yizhan member erase {id}"))
}

/// Rows of a member who does not go in.
fn reject_all(batch: &mut Batch, rows: Vec<(Table, u64)>, reason: &'static str) {
    for (table, row) in rows {
        batch.reject(
            table.file(),
            row,
            Invalid { field: "member_id".into(), reason, ..Invalid::default() },
        );
    }
}

fn grant_of(known: &Known) -> Option<Grant> {
    v1::Grant::decode(&known.payload[..]).ok().and_then(|grant| grant.try_into().ok())
}

fn series_code(known: &Known) -> Option<String> {
    v1::Series::decode(&known.payload[..]).ok().map(|series| series.code)
}

/// The code in a cell. Files name few homes many times: each is read once.
fn home_code(known: &mut Context, text: &str) -> Result<PointCode, Invalid> {
    if let Some(number) = known.home_numbers.get(text) {
        return Ok(known.homes[*number as usize].clone());
    }
    let code = points::point_code(text, "home_point")?;
    known.home_numbers.insert(text.to_owned(), known.homes.len() as u32);
    known.homes.push(code.clone());
    Ok(code)
}

/// What may become a card of a member, without a basis yet.
fn cards(member: &Member) -> Cards {
    let card = member.state.is_disclosable().then(|| {
        let none = ConsentBasis {
            purpose: Purpose::ProfileNetwork,
            text_version: String::new(),
            given_time: Time(0),
            expire_time: None,
        };
        let message = v1::Card { basis: None, ..disclosure::card(member, none).into() };
        message.encode_to_vec().into_boxed_slice()
    });
    Cards { card, bases: Bases::default() }
}

fn identify(
    settings: &Settings,
    appearance: &mut Appearance,
    person: &Person,
    event: &str,
    column: Column,
) -> Result<(), Invalid> {
    if person.state == Standing::Rejected {
        return Err(Invalid::new(column.name, "member_rejected"));
    }
    appearance.token = settings.token(&person.id.0);
    if person.state == Standing::Erased {
        return Ok(());
    }
    appearance.member = Some(person.id);
    if let Some(speaker) = &person.speaker {
        appearance.display_names = speaker.display_names.clone();
        appearance.release = speaker
            .releases
            .iter()
            .find(|(scope, _)| scope == event || scope.is_empty())
            .map(|(_, grant)| *grant);
    }
    Ok(())
}
