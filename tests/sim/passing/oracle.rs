//! What the simulator knows of all points together, and no point does.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use prost::Message;
use yizhan_proto::v1::{self, handoff_word::Kind as Said};
use yizhan_server::domain::{
    handoff::{HandoffState, Holding, Side},
    help_clock::ClockKind,
    help_request::HelpRequest,
    id::{PointCode, RecordId},
};

use super::{disk::Disk, point::Point};

/// So much later than the point before it does a point hear of a revocation.
const HEARS_AFTER: Duration = Duration::from_millis(350);

#[derive(Default)]
struct Inner {
    fired: BTreeMap<&'static str, u64>,
    violation: Option<String>,
    trace: blake3::Hasher,
    troubled: bool,
    /// Something was written since the last look.
    touched: bool,
    requests: BTreeMap<RecordId, HelpRequest>,
    ended: BTreeSet<RecordId>,
    /// Commits that are under way at each point.
    pending: BTreeMap<usize, usize>,
    cuts: BTreeMap<(usize, usize), &'static str>,
    newest: BTreeMap<(usize, usize), u64>,
    /// Highest number of an owner that each point has seen.
    numbers: BTreeMap<(usize, RecordId), u32>,
    /// How each handoff ended at its origin.
    ends: BTreeMap<RecordId, HandoffState>,
    /// Working minutes that each first answer had taken when last looked at.
    spent: BTreeMap<RecordId, u32>,
    /// Who was put out of the network, and when.
    revoked: BTreeMap<usize, Duration>,
}

#[derive(Default)]
pub struct World(Mutex<Inner>);

/// A commit that is under way.
pub struct Pending<'a>(&'a World, usize);

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        *self.0.inner().pending.entry(self.1).or_default() -= 1;
    }
}

impl World {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub fn fired(&self, what: &'static str) {
        *self.inner().fired.entry(what).or_default() += 1;
    }

    pub fn all_fired(&self) -> BTreeMap<&'static str, u64> {
        self.inner().fired.clone()
    }

    pub fn violated(&self, what: String) {
        self.inner().violation.get_or_insert(what);
    }

    pub fn violation(&self) -> Option<String> {
        self.inner().violation.clone()
    }

    pub fn trace(&self, what: &[u8]) {
        self.inner().trace.update(&(what.len() as u32).to_le_bytes()).update(what);
    }

    pub fn trace_hash(&self) -> [u8; 32] {
        *self.inner().trace.finalize().as_bytes()
    }

    pub fn touched(&self) {
        self.inner().touched = true;
    }

    pub fn trouble(&self, troubled: bool) {
        self.inner().troubled = troubled;
    }

    pub fn is_troubled(&self) -> bool {
        self.inner().troubled
    }

    pub fn submitted(&self, id: RecordId, request: &HelpRequest) {
        self.inner().requests.insert(id, request.clone());
    }

    pub fn request(&self, id: RecordId) -> HelpRequest {
        self.inner().requests[&id].clone()
    }

    /// A point is put out of the network. The others hear of it one after the other; it itself never.
    pub fn revoke(&self, point: usize, points: usize, now: Duration) {
        assert!(point < points);
        self.inner().revoked.entry(point).or_insert(now);
        self.touched();
        self.fired("revocation");
    }

    pub fn is_revoked(&self, point: usize) -> bool {
        self.inner().revoked.contains_key(&point)
    }

    /// Has a point heard that another one has left?
    pub fn has_left(&self, here: usize, point: usize, now: Duration) -> bool {
        let since = self.inner().revoked.get(&point).copied();
        let heard_after = HEARS_AFTER * u32::try_from(here + 1).unwrap_or(1);
        here != point && since.is_some_and(|since| now >= since + heard_after)
    }

    /// It is the origin's again, as it was there: with its clocks, and open, whatever the point that has
    /// left did with it.
    pub fn taken_back(&self, id: RecordId) {
        let mut inner = self.inner();
        inner.spent.remove(&id);
        inner.ended.remove(&id);
        drop(inner);
        self.fired("taken back");
    }

    /// Its owner has said that it ended.
    pub fn ended(&self, id: RecordId) {
        self.inner().ended.insert(id);
    }

    pub fn pending(&self, point: usize) -> Pending<'_> {
        *self.inner().pending.entry(point).or_default() += 1;
        Pending(self, point)
    }

    pub fn crashed(&self, point: usize) {
        let is_between = self.inner().pending.get(&point).is_some_and(|pending| *pending > 0);
        self.fired(if is_between { "crash in a commit" } else { "crash" });
    }

    pub fn cut(&self, a: usize, b: usize, how: Option<&'static str>) {
        let mut inner = self.inner();
        match how {
            Some(how) => inner.cuts.insert((a, b), how),
            None => inner.cuts.remove(&(a, b)),
        };
    }

    pub fn thrown(&self, from: usize, to: usize, datagram: &[u8]) {
        self.trace(datagram);
        let cut = self.inner().cuts.get(&(from, to)).copied();
        if let Some(cut) = cut {
            self.fired(cut);
        }
    }

    pub fn heard(&self, from: usize, to: usize, number: u64) {
        let mut inner = self.inner();
        let newest = inner.newest.entry((from, to)).or_default();
        let late = number < *newest;
        *newest = number.max(*newest);
        drop(inner);
        if late {
            self.fired("reordering");
        }
    }

    /// Content leaves a point in a RELEASE alone, towards the point that is to own it.
    pub fn checks_word(&self, from: &PointCode, to: &PointCode, word: &v1::HandoffWord) {
        let bytes = word.encode_to_vec();
        let requests = self.inner().requests.clone();
        let told = requests.values().any(|request| contains(&bytes, &request.content));
        if told && word.kind() != Said::Release {
            self.violated(format!("{from} tells {to} a request in {:?}", word.kind()));
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// What has to hold at every moment, whatever is under way.
pub fn check(world: &World, points: &[Arc<Point>]) {
    if !std::mem::take(&mut world.inner().touched) {
        return;
    }
    let disks: Vec<Disk> = points.iter().map(|point| point.disk().clone()).collect();
    let requests = world.inner().requests.clone();
    let (mut live, mut terminal, mut gone) = (0, 0, 0);
    for (id, request) in &requests {
        match owner(world, points, &disks, *id) {
            Ok(Standing::Nowhere) => {}
            Ok(Standing::Open) => live += 1,
            Ok(Standing::Ended) => terminal += 1,
            Ok(Standing::Gone) => gone += 1,
            Err(what) => world.violated(format!("{}: {what}", request.reference)),
        }
        numbers_rise(world, points, &disks, *id);
        nothing_disclosed(world, points, &disks, *id, request);
    }
    let ended = world.inner().ended.len();
    // The owner may have ended it a moment before it says so.
    if terminal + gone < ended {
        world.violated(format!("{terminal} requests have ended, {ended} were said to"));
    }
    let known = disks.iter().flat_map(|disk| disk.records.keys()).collect::<BTreeSet<_>>();
    let submitted = requests.keys().filter(|id| known.contains(id)).count();
    if live + terminal + gone != submitted && world.violation().is_none() {
        world.violated(format!(
            "of {submitted} requests {live} are open, {terminal} ended, {gone} gone"
        ));
    }
    offers_agree(world, points, &disks);
}

enum Standing {
    /// Not taken in yet.
    Nowhere,
    Open,
    Ended,
    /// With a point that had taken it over, and has left the network.
    Gone,
}

/// Exactly one point of the network owns a request: the one that holds it, or the destination of the
/// newest RELEASE, which is on its way, or which has left, so that it comes back.
fn owner(
    world: &World,
    points: &[Arc<Point>],
    disks: &[Disk],
    id: RecordId,
) -> Result<Standing, String> {
    kept_by_one(world, points, disks, id)?;
    let mut owners = Vec::new();
    let mut newest: Option<(u32, String, usize)> = None;
    for (at, disk) in disks.iter().enumerate().filter(|(at, _)| !world.is_revoked(*at)) {
        match disk.holding(id) {
            Holding::Owner(number) => owners.push((number, at)),
            Holding::Stub(number) => {
                if newest.as_ref().is_none_or(|(known, ..)| *known < number) {
                    let to = disk.stub(id).map(|stub| stub.owner).unwrap_or_default();
                    newest = Some((number, to, at));
                }
            }
            Holding::Nothing => {}
        }
    }
    match (&owners[..], newest) {
        ([], None) if disks.iter().all(|disk| disk.holding(id) == Holding::Nothing) => {
            Ok(Standing::Nowhere)
        }
        ([], None) => Ok(Standing::Gone),
        ([], Some((number, to, from))) => {
            let to = points.iter().position(|point| point.code.as_str() == to);
            let to = to.ok_or("was passed to nobody")?;
            if world.is_revoked(to) {
                let comes_back = disks[from].stub(id).is_some_and(|stub| stub.kept.is_some());
                return match disks[to].holding(id) {
                    _ if comes_back => Ok(Standing::Open),
                    Holding::Owner(known) | Holding::Stub(known) if known >= number => {
                        Ok(Standing::Gone)
                    }
                    _ if has_come(&disks[to], id, number) => Ok(Standing::Gone),
                    _ => Err(format!("lost with {to}, which has left and never had it")),
                };
            }
            match is_on_its_way(&disks[from], &disks[to], to, id, number) {
                true => Ok(Standing::Open),
                false => Err(format!("lost between {from} and {to}")),
            }
        }
        ([(number, at)], newest) => {
            let owner = &points[*at].code;
            if let Some((passed, to, from)) = newest
                && (passed > *number || passed == *number && to != owner.as_str())
            {
                return Err(format!(
                    "{owner} owns it as number {number}, {from} passed it to {to} as {passed}"
                ));
            }
            let open = disks[*at].owned(id).is_some_and(|(request, _)| request.state.is_open());
            Ok(if open { Standing::Open } else { Standing::Ended })
        }
        (owners, _) => Err(format!("two owners: {owners:?}")),
    }
}

/// What a former owner can still get back, its new owner has not passed on.
fn kept_by_one(
    world: &World,
    points: &[Arc<Point>],
    disks: &[Disk],
    id: RecordId,
) -> Result<(), String> {
    for (_, disk) in disks.iter().enumerate().filter(|(at, _)| !world.is_revoked(*at)) {
        let Some(stub) = disk.stub(id).filter(|stub| stub.kept.is_some()) else { continue };
        let to = points.iter().position(|point| point.code.as_str() == stub.owner);
        let passed = to.map(|to| disks[to].holding(id));
        if matches!(passed, Some(Holding::Stub(number)) if number > stub.owner_number) {
            return Err(format!("{} has passed on what is kept elsewhere", stub.owner));
        }
    }
    Ok(())
}

/// Has a RELEASE come that is not entered yet?
fn has_come(to: &Disk, id: RecordId, number: u32) -> bool {
    to.arrived.values().any(|arrived| is_release(&arrived.word, id, number))
}

fn is_release(word: &[u8], id: RecordId, number: u32) -> bool {
    v1::HandoffWord::decode(word).is_ok_and(|word| {
        word.kind() == Said::Release && word.request == id.0 && word.owner_number == number
    })
}

/// Is the RELEASE that makes this owner on a disk that will bring it there?
fn is_on_its_way(from: &Disk, to: &Disk, at: usize, id: RecordId, number: u32) -> bool {
    let is_it = |word: &v1::HandoffWord| is_release(&word.encode_to_vec(), id, number);
    let said = from.records.values().any(|kept| {
        v1::Handoff::decode(&kept.payload[..])
            .is_ok_and(|handoff| handoff.outgoing.as_ref().is_some_and(is_it))
    });
    let posted =
        from.outbox.iter().any(|((to, _), word)| *to == at && is_release(word, id, number));
    said || posted || has_come(to, id, number)
}

fn numbers_rise(world: &World, points: &[Arc<Point>], disks: &[Disk], id: RecordId) {
    for (at, disk) in disks.iter().enumerate().filter(|(at, _)| !world.is_revoked(*at)) {
        let number = match disk.holding(id) {
            Holding::Nothing => 0,
            Holding::Owner(number) | Holding::Stub(number) => number,
        };
        let before = world.inner().numbers.insert((at, id), number).unwrap_or(0);
        if number < before {
            let point = &points[at].code;
            world.violated(format!("{point} goes back from owner {before} to {number}"));
        }
        if let Some((request, _)) = disk.owned(id)
            && let Some(clock) = request.clocks.find(ClockKind::FirstResponse)
        {
            let before = world.inner().spent.insert(id, clock.spent).unwrap_or(0);
            if clock.spent < before {
                let reference = &request.reference;
                world.violated(format!("{reference}: {before} minutes became {}", clock.spent));
            }
        }
    }
}

/// A point that neither owns a request, nor did, nor is to, has none of its content.
fn nothing_disclosed(
    world: &World,
    points: &[Arc<Point>],
    disks: &[Disk],
    id: RecordId,
    request: &HelpRequest,
) {
    for (at, disk) in disks.iter().enumerate().filter(|(at, _)| !world.is_revoked(*at)) {
        let is_to = || {
            let code = points[at].code.as_str();
            disks.iter().any(|disk| disk.stub(id).is_some_and(|stub| stub.owner == code))
        };
        if disk.holding(id) != Holding::Nothing || is_to() {
            continue;
        }
        let records = disk.records.values().map(|kept| &kept.payload);
        let arrived = disk.arrived.values().map(|arrived| &arrived.word);
        let mut all = records.chain(arrived).chain(disk.outbox.values());
        if all.any(|bytes| contains(bytes, &request.content)) {
            let (point, reference) = (&points[at].code, &request.reference);
            world.violated(format!("{point} knows the content of {reference}"));
        }
    }
}

/// At most one offer of a request is open at its owner, and one that ended stays as it ended.
fn offers_agree(world: &World, points: &[Arc<Point>], disks: &[Disk]) {
    for (at, disk) in disks.iter().enumerate() {
        let code = &points[at].code;
        let mut open = BTreeSet::new();
        for noted in disk.all_noted(code).iter().filter(|noted| noted.side() == Side::Origin) {
            let state = noted.state().expect("BUG: written here");
            if state.is_open() {
                if !open.insert(noted.handoff.request.clone()) {
                    world.violated(format!("{code} has two open offers of one request"));
                }
                continue;
            }
            let ended = *world.inner().ends.entry(noted.id).or_insert(state);
            if (ended, state) == (HandoffState::Released, HandoffState::Returned) {
                world.inner().ends.insert(noted.id, state);
            } else if ended != state {
                world.violated(format!("a handoff ended as {ended:?} and then as {state:?}"));
            }
        }
    }
}

/// What has to hold once everything has arrived: every request is at its owner, and both ends of every
/// handoff agree.
pub fn check_rest(world: &World, points: &[Arc<Point>]) {
    world.touched();
    check(world, points);
    let disks: Vec<Disk> = points.iter().map(|point| point.disk().clone()).collect();
    let requests = world.inner().requests.clone();
    let living: Vec<&Disk> =
        (0..disks.len()).filter(|at| !world.is_revoked(*at)).map(|at| &disks[at]).collect();
    for (id, request) in &requests {
        if matches!(owner(world, points, &disks, *id), Ok(Standing::Gone)) {
            continue;
        }
        if living.iter().any(|disk| disk.stub(*id).is_some_and(|stub| stub.kept.is_some())) {
            world.violated(format!("{} is kept at rest", request.reference));
        }
        let known = living.iter().filter(|disk| disk.holding(*id) != Holding::Nothing).count();
        let owners = living.iter().filter(|disk| disk.owned(*id).is_some()).count();
        if known > 0 && owners != 1 {
            world.violated(format!("{}: {owners} owners at rest", request.reference));
        }
    }
    for (at, disk) in disks.iter().enumerate().filter(|(at, _)| !world.is_revoked(*at)) {
        for noted in disk.all_noted(&points[at].code) {
            let state = noted.state().expect("BUG: written here");
            if noted.side() == Side::Origin || !state.is_open() {
                continue;
            }
            let from = points.iter().position(|point| point.code.as_str() == noted.handoff.from);
            let other = from.and_then(|from| disks[from].noted(&points[from].code, noted.id));
            let origin = other.map(|other| other.state().expect("BUG: written here"));
            let agree = match state {
                HandoffState::Offered => origin == Some(HandoffState::Offered),
                _ => origin.is_some_and(HandoffState::is_open),
            };
            if !agree {
                world.violated(format!("{state:?} at {at}, {origin:?} at its origin, at rest"));
            }
        }
    }
}
