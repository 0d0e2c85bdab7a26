//! Items into the feeds of their homes, batch by batch, several at a time so that one transaction
//! takes several of them.
//!
//! The file never takes back what was done here: an erased member stays gone, an ended consent
//! stays ended, and a record that was changed after the file's version of it stays as it is.

use std::collections::{HashMap, HashSet, VecDeque};

use prost::Message;
use tokio::task::JoinHandle;
use yizhan_proto::v1::{self, tombstone::Reason};

use super::{
    item::{Batch, Hosted, Item, Value, Verdict},
    points,
    reading::CELLS_BYTES_MAX,
    rows::two_persons,
};
use crate::{
    app::{
        App,
        error::{Error, Result},
        events, groups, help_requests, lanes, members, people,
        points::roster_entry,
        sight,
    },
    domain::{
        audience::{Audience, FeedId},
        disclosure::{self, Disclosed},
        event::EventPlan,
        grant::{Grant, GrantState, check_listed},
        group::{Group, Place},
        id::{GrantId, PointCode, RecordId},
        kind::Kind,
        member::{Member, MemberState, Study},
        org::OrgDetail,
        point::{Point, PointState},
        policy::{Operation, Reach},
        position::{PAYLOAD_MAX, Row},
        speaker::Speaker,
        text::Invalid,
        time::Time,
    },
    feed::change::{Change, CommitError, Committed, Op},
    found::roster_id,
    identity::caller::Caller,
    store,
};

/// Batches that are committed at the same time.
const IN_FLIGHT: usize = 4;
/// Tries of a batch of which something changed while it was prepared.
const TRIES: usize = 5;

/// What became of rows.
#[derive(Clone, Copy, Default, Debug)]
pub struct Totals {
    pub accepted: u64,
    pub unchanged: u64,
    pub skipped: u64,
}

/// The committing half of one import.
pub struct Committer {
    app: App,
    caller: Caller,
    /// Homes whose rows are written here.
    homes: HashSet<PointCode>,
    dry_run: bool,
    started: Time,
    /// What was kept against the file; what leans on it must not come from the file either.
    kept: Kept,
    running: VecDeque<Running>,
    totals: Totals,
    /// Rows that stay out after all, since they were last taken.
    out: Batch,
    /// Bytes of such rows that may still come back.
    cells_left: usize,
    /// What is worth knowing of rows of the batch that is being planned.
    remarks: Vec<Verdict>,
}

#[derive(Default)]
struct Kept {
    /// Members who are no more.
    gone: HashSet<RecordId>,
    /// Members whose cards follow from what is stored.
    changed: HashSet<RecordId>,
    /// Consents that have ended here.
    ended: HashSet<GrantId>,
    /// Members who were not here before, and have no other consents than those of the files.
    new: HashSet<RecordId>,
}

/// A batch that is being committed, with all that is needed to try it again.
struct Running {
    items: Vec<Item>,
    shares: Vec<Share>,
    said: Said,
    task: JoinHandle<Result<Committed, CommitError>>,
}

/// Rows of an item, and how many of the change's writes are its own.
struct Share {
    rows: u32,
    writes: usize,
}

/// A batch as a change.
#[derive(Default)]
struct Planned {
    change: Change,
    shares: Vec<Share>,
    said: Said,
}

/// What is said of rows once their batch is in: those that stay out and how many each stands for, and
/// what is worth knowing of others.
#[derive(Default)]
struct Said {
    rejected: Vec<(Verdict, u64)>,
    remarks: Vec<Verdict>,
}

/// Stored versions by feed and id, tombstones included.
type Stored = HashMap<(FeedId, RecordId), Row>;

impl Committer {
    pub fn new(app: App, caller: Caller, homes: HashSet<PointCode>, dry_run: bool) -> Committer {
        Committer {
            started: app.outside.now(),
            app,
            caller,
            homes,
            dry_run,
            kept: Kept::default(),
            running: VecDeque::new(),
            totals: Totals::default(),
            out: Batch::default(),
            cells_left: CELLS_BYTES_MAX,
            remarks: Vec::new(),
        }
    }

    /// Takes a batch; answers with rows that turn out to stay out after all.
    pub async fn take(&mut self, batch: Batch) -> Result<Batch> {
        self.settle(batch.hosted).await?;
        let mut refused = HashSet::new();
        let (mut items, mut late) = (Vec::with_capacity(batch.items.len()), Vec::new());
        for item in batch.items {
            let file = item.value.table().file();
            if !self.homes.contains(&item.home) {
                self.totals.skipped += u64::from(item.rows);
            } else if self.caller.reach(operation(&item.value)) == Reach::Nothing {
                self.out.counts.rejected += u64::from(item.rows);
                if item.rows > 0 && refused.insert(file) {
                    let invalid = Invalid::new("", "not_permitted");
                    self.out.rejected.push(Verdict::new(file, 0, invalid));
                }
            } else if is_late(&item) {
                late.push(item);
            } else {
                items.push(item);
            }
        }
        self.put(items).await?;
        // A dry run has no members for cards to rest on, and cards make no rows.
        late.retain(|item| !self.dry_run || !is_card(item));
        if !late.is_empty() {
            if self.running.iter().any(|running| !running.items.iter().all(is_late)) {
                self.wait_for(0).await?;
            }
            self.put(late).await?;
        }
        Ok(std::mem::take(&mut self.out))
    }

    /// Waits for what is under way, and counts it; answers also with rows that stay out after all.
    pub async fn finish(mut self) -> Result<(Totals, Batch)> {
        self.wait_for(0).await?;
        Ok((self.totals, self.out))
    }

    /// Enters points without a node into the roster, which only the founding node can.
    async fn settle(&mut self, hosted: Vec<Hosted>) -> Result<()> {
        let app = &self.app;
        let feed = app.keys.roster_feed();
        let may = app.keys.signer(&feed).is_some()
            && self.caller.point() == Some(&app.keys.point)
            && self.caller.reach(Operation::OpenPoint) != Reach::Nothing;
        if !may {
            return Ok(());
        }
        let roster = app.keys.roster();
        let mut change = Change::new();
        for Hosted { point, host } in hosted {
            if roster.get(&point.code).is_some() {
                continue;
            }
            if host == app.keys.point {
                self.homes.insert(point.code.clone());
            }
            let id = roster_id(&app.keys.network, &point.code);
            let payload = v1::RosterPoint::from(roster_entry(&point, host)).encode_to_vec();
            change = change.put(feed.clone(), Kind::ROSTER_POINT, id, payload);
        }
        if !self.dry_run && !change.writes.is_empty() {
            app.writer.commit(change.by(self.caller.deed(Operation::Import))).await?;
        }
        Ok(())
    }

    async fn put(&mut self, items: Vec<Item>) -> Result<()> {
        if items.is_empty() {
            return Ok(());
        }
        // Persons without an id are held against those who are here: the batches before included.
        let is_met = items.iter().any(|item| is_person(&item.value));
        self.wait_for(if is_met { 0 } else { IN_FLIGHT - 1 }).await?;
        let stored = self.stored(&items).await?;
        let Planned { change, shares, said } = self.plan(&items, &stored).await?;
        if self.dry_run {
            self.tell(said);
            let committed = Committed { changed: would_change(&change, &stored) };
            self.count(&shares, &committed);
            return Ok(());
        }
        let writer = self.app.writer.clone();
        let change = change.by(self.caller.deed(Operation::Import));
        let task = tokio::spawn(async move { writer.commit(change).await });
        self.running.push_back(Running { items, shares, said, task });
        Ok(())
    }

    /// Waits until at most `left` batches are under way.
    async fn wait_for(&mut self, left: usize) -> Result<()> {
        while self.running.len() > left {
            let Some(running) = self.running.pop_front() else { break };
            let Running { items, shares, said, task } = running;
            match task.await.map_err(|_| Error::Busy)? {
                Ok(committed) => {
                    self.tell(said);
                    self.count(&shares, &committed);
                }
                Err(CommitError::Stale) => self.put_again(&items).await?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Somebody changed one of the records while the batch was prepared.
    async fn put_again(&mut self, items: &[Item]) -> Result<()> {
        for _ in 0..TRIES {
            let stored = self.stored(items).await?;
            let Planned { change, shares, said } = self.plan(items, &stored).await?;
            let change = change.by(self.caller.deed(Operation::Import));
            match self.app.writer.commit(change).await {
                Ok(committed) => {
                    self.tell(said);
                    self.count(&shares, &committed);
                    return Ok(());
                }
                Err(CommitError::Stale) => (),
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Stale)
    }

    /// Counts rows that stay out, and tells of them and of others.
    fn tell(&mut self, said: Said) {
        self.out.remarks.extend(said.remarks);
        for (mut verdict, rows) in said.rejected {
            let bytes = verdict.cells.iter().map(String::len).sum();
            match self.cells_left.checked_sub(bytes) {
                Some(left) => self.cells_left = left,
                None => verdict.cells.clear(),
            }
            self.out.counts.rejected += rows;
            self.out.rejected.push(verdict);
        }
    }

    fn count(&mut self, shares: &[Share], committed: &Committed) {
        let mut at = 0;
        for share in shares {
            let changed = committed.changed[at..at + share.writes].iter().any(|changed| *changed);
            let total =
                if changed { &mut self.totals.accepted } else { &mut self.totals.unchanged };
            *total += u64::from(share.rows);
            at += share.writes;
        }
    }

    /// What is stored of these records at their own homes.
    async fn stored(&self, items: &[Item]) -> Result<Stored> {
        let readable = self.app.heads.readable_slots();
        if !readable.values().any(|feed| self.homes.contains(&feed.home)) {
            return Ok(Stored::new());
        }
        let members = items.iter().filter_map(|item| match &item.value {
            Value::Place { place, .. } => place.member.map(|member| member.record()),
            Value::Grant(grant) => Some(grant.member.record()),
            _ => None,
        });
        let members = members.filter(|member| !self.kept.new.contains(member));
        let ids: Vec<RecordId> = items.iter().map(|item| item.id).chain(members).collect();
        let mut db = self.app.db.reader().await?;
        let versions = store::records::find_many(&mut db, self.app.db.dialect, &ids).await?;
        let ours = versions.into_iter().filter_map(|version| {
            let feed = readable.get(&version.slot)?;
            Some(((feed.clone(), version.row.id), version.row))
        });
        Ok(ours.filter(|((feed, _), _)| self.homes.contains(&feed.home)).collect())
    }

    async fn plan(&mut self, items: &[Item], stored: &Stored) -> Result<Planned> {
        let mut planned = Planned::default();
        let names = items.iter().filter(|item| !is_stored(item, stored)).flat_map(names_of);
        let names: Vec<String> = names.collect();
        let turns = lanes::turns(&self.app, names).await?;
        self.remarks.clear();
        let mut is_out = false;
        for item in items {
            // The rest of a row that stays out stays out as well.
            if is_out && item.follows {
                continue;
            }
            is_out = false;
            let before = planned.change.writes.len();
            let change = std::mem::take(&mut planned.change);
            let is_kept = !is_card(item) && self.keeps(item, stored)?;
            let refused = if is_kept { None } else { self.refuses(item, stored).await? };
            planned.change = match is_kept || refused.is_some() {
                true => change,
                false => self.write(change, item, stored).await?,
            };
            let too_large =
                |op: &Op| matches!(op, Op::Put { payload, .. } if payload.len() > PAYLOAD_MAX);
            let is_too_large =
                planned.change.writes[before..].iter().any(|write| too_large(&write.op));
            if is_too_large {
                planned.change.writes.truncate(before);
            }
            let too_long = || Invalid::new(item.id.to_string(), "too_long");
            if let Some(invalid) = refused.or_else(|| is_too_large.then(too_long)) {
                let rows = u64::from(item.rows);
                planned.said.rejected.push((verdict(item, invalid), rows));
                is_out = true;
                continue;
            }
            let writes = planned.change.writes.len() - before;
            match planned.shares.last_mut().filter(|_| item.follows) {
                Some(share) => share.writes += writes,
                None => planned.shares.push(Share { rows: item.rows, writes }),
            }
        }
        planned.said.remarks = std::mem::take(&mut self.remarks);
        planned.change = planned.change.in_turn(turns);
        Ok(planned)
    }

    /// Does what is stored stand against the file? Notes what leans on it.
    fn keeps(&mut self, item: &Item, stored: &Stored) -> Result<bool> {
        let feed = feed(&item.home, Audience::Home);
        let row = stored.get(&(feed, item.id));
        let is_removed = row.is_some_and(|row| row.removed);
        Ok(match &item.value {
            Value::Member(_) if is_removed => {
                self.kept.gone.insert(item.id);
                true
            }
            Value::Member(member) => {
                let newer = match row {
                    Some(row) => {
                        decode::<v1::Member, Member>(row)?.update_time > member.update_time
                    }
                    None => false,
                };
                if newer {
                    self.kept.changed.insert(item.id);
                }
                newer
            }
            Value::Grant(grant)
                if is_removed || self.kept.gone.contains(&grant.member.record()) =>
            {
                true
            }
            Value::Grant(grant) => {
                let known = row.map(decode::<v1::Grant, Grant>).transpose()?;
                let kept = known.is_some_and(|known| {
                    known.state != GrantState::Given && known.state != grant.state
                });
                if kept {
                    self.kept.changed.insert(grant.member.record());
                    self.kept.ended.insert(GrantId(item.id.0));
                }
                kept
            }
            Value::EventPlan(plan) => match row {
                Some(row) => {
                    let known: EventPlan = decode::<v1::EventPlan, _>(row)?;
                    known.event.update_time > plan.event.update_time
                }
                None => false,
            },
            Value::Point { point, .. } => {
                let public = FeedId::new(item.home.clone(), Audience::Public);
                match stored.get(&(public, item.id)) {
                    Some(row) if !row.removed => {
                        let known: Point = decode::<v1::Point, _>(row)?;
                        known.state == PointState::Closed && point.state != PointState::Closed
                    }
                    _ => false,
                }
            }
            Value::Profile(_) => row.is_none_or(|row| row.removed),
            Value::Place { .. } if is_removed => true,
            Value::Place { place, only_new } => match row {
                // Whoever has moved on here is not moved back by a file.
                Some(row) => {
                    let known: Place = decode::<v1::GroupMember, _>(row)?;
                    *only_new || known.state > place.state || known.member.is_none()
                }
                None => false,
            },
            Value::HelpRequest(_) => {
                stored.contains_key(&(FeedId::new(item.home.clone(), Audience::Sealed), item.id))
            }
            _ => false,
        })
    }

    /// Why an item stays out for what is stored; none: it may go in.
    async fn refuses(&mut self, item: &Item, stored: &Stored) -> Result<Option<Invalid>> {
        Ok(match &item.value {
            Value::Erased { .. } => is_here(item.id, stored).then(|| two_persons(item.id)),
            Value::Member(member) => {
                let refused = match self.member_at(item, stored)? {
                    Some(known) => moved(&known, member.state, member.speaker.as_ref()).err(),
                    // A move between homes is agreed upon; a file begins none.
                    None if member.state == MemberState::Moving => {
                        Some(Invalid::new("state", "move_refused").hint("new -> applied, active"))
                    }
                    None if is_person(&item.value) => self.meets(item, member).await?,
                    None => None,
                };
                if refused.is_some() && is_here(item.id, stored) {
                    // The cards follow from what is stored.
                    self.kept.changed.insert(item.id);
                } else if refused.is_some() {
                    self.kept.gone.insert(item.id);
                }
                refused
            }
            Value::Grant(grant) => self.brings_back(item, grant, stored).await?,
            Value::Profile(profile) => {
                let known = self.member_at(item, stored)?;
                let is_refused =
                    |known: Member| moved(&known, known.state, profile.speaker.as_ref()).err();
                known.and_then(is_refused)
            }
            Value::Point { point, untold } => {
                let told = (**point).clone();
                let whole = match live::<v1::Point, Point>(item, Audience::Public, stored)? {
                    None => Ok(told),
                    Some(known) => match known.state.moved_to(point.state) {
                        Ok(_) => points::overlaid(told, untold, known),
                        Err(refused) => Err(of_status(refused)),
                    },
                };
                let uncovered = |_| Invalid::new("cover_id", "required");
                whole.and_then(|point| point.check_cover().map_err(uncovered)).err()
            }
            Value::Group(group) => {
                match live::<v1::Group, Group>(item, Audience::Network, stored)? {
                    // One that has moved on here stays where it is.
                    Some(known) if known.state >= group.state => None,
                    Some(known) => known.state.moved_to(group.state).err(),
                    None => {
                        let is_taken = groups::is_taken(&self.app, group.issue_no, item.id);
                        is_taken.await?.then(|| Invalid::new("issue_no", "taken"))
                    }
                }
            }
            Value::Place { place, .. } => {
                let known = live::<v1::GroupMember, Place>(item, Audience::Home, stored)?;
                let known = known.filter(|known| known.state < place.state);
                known.and_then(|known| known.state.moved_to(place.state).err())
            }
            Value::EventPlan(plan) => {
                let known = live::<v1::EventPlan, EventPlan>(item, Audience::Home, stored)?;
                let refused = |known: EventPlan| known.event.state.moved_to(plan.event.state).err();
                known.and_then(refused).map(of_status)
            }
            _ => None,
        })
    }

    /// Refuses a person who has come in since the row was read, or may have.
    async fn meets(&self, item: &Item, member: &Member) -> Result<Option<Invalid>> {
        match members::check_new(&self.app, &item.home, member, &[]).await {
            Ok(()) => Ok(None),
            Err(Error::Invalid(found)) => Ok(found.into_iter().next().map(|invalid| {
                let field = invalid.field.trim_start_matches("member.").to_owned();
                Invalid { field, ..invalid }
            })),
            Err(error) => Err(error),
        }
    }

    /// Refuses a consent that the person has taken back here since, or lately.
    async fn brings_back(
        &mut self,
        item: &Item,
        grant: &Grant,
        stored: &Stored,
    ) -> Result<Option<Invalid>> {
        let member = grant.member.record();
        let inner = feed(&item.home, Audience::Home);
        let is_known = stored.get(&(inner, item.id)).is_some_and(|row| !row.removed);
        if is_known || grant.state != GrantState::Given || self.kept.new.contains(&member) {
            return Ok(None);
        }
        let known = members::in_force(&self.app, &item.home, member).await?;
        let refused = check_listed(grant, &known, self.app.outside.now()).err();
        if refused.is_some() {
            // What the files say to rest on it does not.
            self.kept.changed.insert(member);
            self.kept.ended.insert(GrantId(item.id.0));
        }
        Ok(refused)
    }

    /// The member as it is stored.
    fn member_at(&self, item: &Item, stored: &Stored) -> Result<Option<Member>> {
        live::<v1::Member, Member>(item, Audience::Home, stored)
    }

    async fn write(&mut self, change: Change, item: &Item, stored: &Stored) -> Result<Change> {
        let (app, home, id) = (&self.app, &item.home, item.id);
        let (inner, public) = (feed(home, Audience::Home), feed(home, Audience::Public));
        let row = stored.get(&(inner.clone(), id)).filter(|row| !row.removed);
        let at = row.map(|row| row.sequence);
        Ok(match &item.value {
            Value::Point { point, untold } => {
                let row = stored.get(&(public.clone(), id)).filter(|row| !row.removed);
                let point = match row {
                    Some(row) => {
                        self.point(item, (**point).clone(), untold, decode::<v1::Point, _>(row)?)?
                    }
                    None => (**point).clone(),
                };
                let at = row.map(|row| row.sequence);
                let payload = v1::Point::from(point).encode_to_vec();
                change.expect(public.clone(), id, at).put(public, Kind::POINT, id, payload)
            }
            Value::Org(org) => {
                change.put(public, Kind::ORG, id, v1::Org::from((**org).clone()).encode_to_vec())
            }
            Value::OrgDetail(told) => {
                let detail = self.detail(home, id, told, stored)?;
                let feed = feed(home, Audience::Network);
                change.put(feed, Kind::ORG_DETAIL, id, v1::OrgDetail::from(detail).encode_to_vec())
            }
            Value::Group(group) => {
                let feed = feed(home, Audience::Network);
                let known = stored.get(&(feed.clone(), id)).filter(|row| !row.removed);
                let group = match known {
                    Some(row) => not_taken_back((**group).clone(), decode::<v1::Group, _>(row)?),
                    None => (**group).clone(),
                };
                change.put(feed, Kind::GROUP, id, v1::Group::from(group).encode_to_vec())
            }
            Value::Place { place, .. } => {
                let known = row.map(decode::<v1::GroupMember, Place>).transpose()?;
                let place = self.place(home, (**place).clone(), known, stored)?;
                groups::put(change.expect(inner, id, at), home, id, place)
            }
            Value::Profile(profile) => {
                let Some(row) = row else { return Ok(change) };
                let mut member: Member = decode::<v1::Member, _>(row)?;
                let before = member.clone();
                member.speaker = profile.speaker.clone().or(member.speaker);
                if !profile.seats.is_empty() {
                    member.seats.clone_from(&profile.seats);
                }
                let mut member = member.checked()?;
                if member != before {
                    member.update_time = self.started.max(Time(before.update_time.0 + 1));
                }
                let payload = v1::Member::from(member).encode_to_vec();
                change.expect(inner.clone(), id, at).put(inner, Kind::MEMBER, id, payload)
            }
            Value::Series(series) => {
                let payload = v1::Series::from((**series).clone()).encode_to_vec();
                change.put(public, Kind::SERIES, id, payload)
            }
            Value::Member(member) => {
                let mut member = (**member).clone();
                match row {
                    Some(row) => {
                        self.kept.new.remove(&id);
                        member = with_what_files_lack(member, decode::<v1::Member, _>(row)?)?;
                    }
                    None => drop(self.kept.new.insert(id)),
                }
                let payload = v1::Member::from(member).encode_to_vec();
                change.expect(inner.clone(), id, at).put(inner, Kind::MEMBER, id, payload)
            }
            Value::Erased { .. } => {
                self.kept.gone.insert(id);
                change
            }
            Value::Grant(grant) => {
                let payload = v1::Grant::from((**grant).clone()).encode_to_vec();
                let member = grant.member.record();
                let known = stored.get(&(inner.clone(), member)).filter(|row| !row.removed);
                // Whoever takes a consent back writes the member too.
                let change = match (at, known) {
                    (None, Some(row)) => change.expect(inner.clone(), member, Some(row.sequence)),
                    _ => change,
                };
                change.expect(inner.clone(), id, at).put(inner, Kind::GRANT, id, payload)
            }
            Value::EventPlan(plan) => {
                let known = row.map(decode::<v1::EventPlan, EventPlan>).transpose()?;
                let plan = self.without_the_gone((**plan).clone(), known);
                events::put(change.expect(inner, id, at), home, id, plan, true)
            }
            Value::HelpRequest(past) => {
                let sealed = feed(home, Audience::Sealed);
                // A dry run makes no keys.
                let payload = match self.dry_run {
                    true => Vec::new(),
                    false => help_requests::past::payload(app, home, id, past).await?,
                };
                let change = change.expect(sealed.clone(), id, None);
                change.put(sealed, Kind::HELP_REQUEST, id, payload)
            }
            Value::Disclosed(_) | Value::Redisclose => {
                let Some(row) = row else {
                    let nothing = Disclosed::default();
                    return Ok(members::disclose(change, home, id, nothing, Reason::Erased));
                };
                let member: Member = decode::<v1::Member, _>(row)?;
                // Whatever changes a consent writes the member too.
                let changed = self.kept.changed.contains(&id) || member.update_time >= self.started;
                let (mut disclosed, change) = match &item.value {
                    Value::Disclosed(disclosed) if !changed => ((**disclosed).clone(), change),
                    _ => {
                        let grants = members::with_ids(app, home, id).await?;
                        let held = grants.iter().map(|(_, grant)| grant);
                        let disclosed = disclosure::member(&member, held, app.outside.now());
                        let change =
                            members::follow_names(app, change, home, id, &member, &grants, None);
                        (disclosed, change.await?)
                    }
                };
                if let Some(card) = &mut disclosed.public_card {
                    card.biographies = member.biographies;
                }
                let change = change.expect(inner, id, at);
                members::disclose(change, home, id, disclosed, Reason::Withdrawn)
            }
        })
    }

    /// What is known of a point, with what the file tells. Whom it serves is the province's word.
    fn point(
        &mut self,
        item: &Item,
        told: Point,
        untold: &[&'static str],
        known: Point,
    ) -> Result<Point> {
        let areas = known.areas.clone();
        let mut point = points::overlaid(told, untold, known)?;
        let homes = sight::homes(&self.app, &self.caller, Operation::ApproveAreas);
        if point.areas != areas && !homes.contains(&item.home) {
            point.areas = areas;
            self.remarks.push(verdict(item, Invalid::new("areas", "needs_approval")));
        }
        Ok(point)
    }

    /// What is known of an organisation, with what the files tell.
    fn detail(
        &self,
        home: &PointCode,
        id: RecordId,
        told: &OrgDetail,
        stored: &Stored,
    ) -> Result<OrgDetail> {
        let row = stored.get(&(feed(home, Audience::Network), id)).filter(|row| !row.removed);
        let mut detail = match row {
            Some(row) => decode::<v1::OrgDetail, OrgDetail>(row)?,
            None => OrgDetail::default(),
        };
        for figure in told.figures() {
            detail.report(figure.clone())?;
        }
        detail.contact_mailbox = told.contact_mailbox.clone().or(detail.contact_mailbox);
        Ok(detail)
    }

    /// A place that names nobody who is no more, and nobody without consent. `known`: as it is here.
    fn place(
        &self,
        home: &PointCode,
        mut place: Place,
        known: Option<Place>,
        stored: &Stored,
    ) -> Result<Place> {
        if let Some(known) = known.as_ref().filter(|known| known.member == place.member) {
            // It may have come from another home, with a key that is not known here.
            place.token = known.token;
        }
        if place.grant.is_some_and(|grant| self.kept.ended.contains(&grant)) {
            // Another consent may have taken the place of the one that the file knows.
            place.grant = known.and_then(|known| known.grant);
        }
        if place.grant.is_none() {
            place.hide();
        }
        let Some(member) = place.member else { return Ok(place) };
        let row = stored.get(&(feed(home, Audience::Home), member.record()));
        match row {
            _ if self.kept.gone.contains(&member.record()) => place.forget(),
            Some(row) if row.removed => place.forget(),
            Some(row) if place.grant.is_some() => {
                let member: Member = decode::<v1::Member, _>(row)?;
                place.display_names = people::display_names(&member.names);
            }
            _ => (),
        }
        Ok(place)
    }

    /// A plan that names nobody who is no more, and shows no name whose release has ended. `known`: as
    /// it is here.
    fn without_the_gone(&self, mut plan: EventPlan, known: Option<EventPlan>) -> EventPlan {
        for appearance in &mut plan.event.appearances {
            let member = appearance.member.map(|member| member.record());
            if member.is_some_and(|member| self.kept.gone.contains(&member)) {
                appearance.member = None;
                appearance.release = None;
                appearance.display_names = Default::default();
            }
            if appearance.release.is_some_and(|release| self.kept.ended.contains(&release)) {
                let mut all = known.iter().flat_map(|known| &known.event.appearances);
                let known = all.find(|known| known.token == appearance.token);
                appearance.release = known.and_then(|known| known.release);
            }
        }
        plan
    }
}

fn feed(home: &PointCode, audience: Audience) -> FeedId {
    FeedId::new(home.clone(), audience)
}

/// Refuses what would move a membership, or a part in the pool, other than by one step.
fn moved(known: &Member, state: MemberState, speaker: Option<&Speaker>) -> Result<(), Invalid> {
    known.state.moved_to(state)?;
    if let (Some(known), Some(speaker)) = (&known.speaker, speaker) {
        known.state.moved_to(speaker.state)?;
    }
    Ok(())
}

/// A person of a sheet, who has no id.
fn is_person(value: &Value) -> bool {
    matches!(value, Value::Member(member) if member.source.is_empty())
}

/// Is a version of the item's record here?
fn is_stored(item: &Item, stored: &Stored) -> bool {
    let audience = match &item.value {
        Value::Group(_) => Audience::Network,
        _ => Audience::Home,
    };
    stored.get(&(feed(&item.home, audience), item.id)).is_some_and(|row| !row.removed)
}

/// What nobody else is to make at the same moment.
fn names_of(item: &Item) -> Vec<String> {
    match &item.value {
        Value::Member(member) if is_person(&item.value) => lanes::names_of(&item.home, member),
        Value::Group(group) => group.number().into_iter().collect(),
        _ => Vec::new(),
    }
}

/// Points and events call the column of their state otherwise.
fn of_status(invalid: Invalid) -> Invalid {
    Invalid { field: "status".to_owned(), ..invalid }
}

/// What is stored of an item's record in one of its home's feeds.
fn live<M: Message + Default, V: TryFrom<M, Error = Invalid>>(
    item: &Item,
    audience: Audience,
    stored: &Stored,
) -> Result<Option<V>> {
    let row = stored.get(&(feed(&item.home, audience), item.id)).filter(|row| !row.removed);
    row.map(decode::<M, V>).transpose()
}

/// Is anything of a member left at the homes here?
fn is_here(id: RecordId, stored: &Stored) -> bool {
    stored.iter().any(|((_, known), row)| *known == id && !row.removed)
}

/// What is said of the row that an item was made by.
fn verdict(item: &Item, invalid: Invalid) -> Verdict {
    match &item.origin {
        Some(origin) => Verdict {
            cells: origin.cells.clone(),
            ..Verdict::new(&origin.file, origin.row, invalid)
        },
        None => Verdict::new(item.value.table().file(), 0, invalid),
    }
}

/// Rests on a member who has to be there.
fn is_late(item: &Item) -> bool {
    is_card(item) || matches!(item.value, Value::Place { .. })
}

/// The member of a file with what no file carries, and what this one does not say.
fn with_what_files_lack(member: Member, known: Member) -> Result<Member> {
    let seats = if member.seats.is_empty() { known.seats } else { member.seats };
    let keeps_skills =
        member.skills.is_empty() || member.skills.join(";") == known.skills.join(";");
    let member = Member {
        names: member.names.or_known(known.names),
        study: study_with_what_files_lack(member.study, known.study)?,
        biographies: known.biographies,
        further_studies: known.further_studies,
        affiliations: known.affiliations,
        skills: if keeps_skills { known.skills } else { member.skills },
        speaker: member.speaker.or(known.speaker),
        seats,
        home_number: known.home_number,
        ..member
    };
    Ok(member.checked()?)
}

/// An institution and a subject in the person's own words stay where the file has none.
fn study_with_what_files_lack(
    told: Option<Study>,
    known: Option<Study>,
) -> Result<Option<Study>, Invalid> {
    let Some(known) = known else { return Ok(told) };
    let kept = |told: String, known: String| if told.is_empty() { known } else { told };
    let (institution, subject) = (known.institution, known.subject);
    let told = match told {
        Some(told) => Study {
            institution: kept(told.institution, institution),
            subject: kept(told.subject, subject),
            ..told
        },
        None => Study {
            country: None,
            org: String::new(),
            from_year: None,
            to_year: None,
            degree: None,
            field: String::new(),
            institution,
            subject,
        },
    };
    told.checked()
}

/// A group keeps its rota, and does not go back to where it stood.
fn not_taken_back(group: Group, known: Group) -> Group {
    Group { rota: known.rota, state: group.state.max(known.state), ..group }
}

fn is_card(item: &Item) -> bool {
    matches!(item.value, Value::Disclosed(_) | Value::Redisclose)
}

fn decode<M: Message + Default, V: TryFrom<M, Error = Invalid>>(row: &Row) -> Result<V> {
    let damaged = || Error::Storage(store::StoreError::Damaged { what: "record" });
    let message = M::decode(&row.payload[..]).map_err(|_| damaged())?;
    message.try_into().map_err(|_| damaged())
}

/// Which writes of a change would change what is stored.
fn would_change(change: &Change, stored: &Stored) -> Vec<bool> {
    let changes = change.writes.iter().map(|write| {
        let row = stored.get(&(write.feed.clone(), write.id)).filter(|row| !row.removed);
        match &write.op {
            Op::Put { payload, .. } => row.is_none_or(|row| row.payload[..] != payload[..]),
            Op::Remove { .. } => row.is_some(),
        }
    });
    changes.collect()
}

/// The operation that a row of the kind needs besides `Import`.
fn operation(value: &Value) -> Operation {
    match value {
        Value::Point { .. } => Operation::OpenPoint,
        Value::Org(_) | Value::OrgDetail(_) => Operation::EditOrg,
        Value::Group(_) | Value::Place { .. } => Operation::EditGroup,
        Value::Member(_) | Value::Profile(_) => Operation::CreateMember,
        Value::Erased { .. } => Operation::EraseMember,
        Value::Grant(_) | Value::Disclosed(_) | Value::Redisclose => Operation::GiveConsent,
        Value::Series(_) => Operation::CreateSeries,
        Value::HelpRequest(_) => Operation::WorkHelpRequest,
        Value::EventPlan(_) => Operation::PublishEvent,
    }
}
