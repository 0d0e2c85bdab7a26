//! What the simulator knows of all points together, and no point does.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
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
    let (mut live, mut terminal) = (0, 0);
    for (id, request) in &requests {
        match owner(points, &disks, *id) {
            Ok(Standing::Nowhere) => {}
            Ok(Standing::Open) => live += 1,
            Ok(Standing::Ended) => terminal += 1,
            Err(what) => world.violated(format!("{}: {what}", request.reference)),
        }
        numbers_rise(world, points, &disks, *id);
        nothing_disclosed(world, points, &disks, *id, request);
    }
    let ended = world.inner().ended.len();
    // The owner may have ended it a moment before it says so.
    if terminal < ended {
        world.violated(format!("{terminal} requests have ended, {ended} were said to"));
    }
    let known = disks.iter().flat_map(|disk| disk.records.keys()).collect::<BTreeSet<_>>();
    let submitted = requests.keys().filter(|id| known.contains(id)).count();
    if live + terminal != submitted && world.violation().is_none() {
        world.violated(format!("of {submitted} requests {live} are open and {terminal} ended"));
    }
    offers_agree(world, points, &disks);
}

enum Standing {
    /// Not taken in yet.
    Nowhere,
    Open,
    Ended,
}

/// Exactly one point owns a request: the one that holds it, or the destination of the newest RELEASE,
/// which is on its way.
fn owner(points: &[Arc<Point>], disks: &[Disk], id: RecordId) -> Result<Standing, String> {
    let mut owners = Vec::new();
    let mut newest: Option<(u32, String, usize)> = None;
    for (at, disk) in disks.iter().enumerate() {
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
        ([], None) => Ok(Standing::Nowhere),
        ([], Some((number, to, from))) => {
            let to = points.iter().position(|point| point.code.as_str() == to);
            let to = to.ok_or("was passed to nobody")?;
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

/// Is the RELEASE that makes this owner on a disk that will bring it there?
fn is_on_its_way(from: &Disk, to: &Disk, at: usize, id: RecordId, number: u32) -> bool {
    let is_it = |word: &v1::HandoffWord| {
        word.kind() == Said::Release && word.request == id.0 && word.owner_number == number
    };
    let in_bytes =
        |word: &Vec<u8>| v1::HandoffWord::decode(&word[..]).is_ok_and(|word| is_it(&word));
    let said = from.records.values().any(|kept| {
        v1::Handoff::decode(&kept.payload[..])
            .is_ok_and(|handoff| handoff.outgoing.as_ref().is_some_and(is_it))
    });
    let posted = from.outbox.iter().any(|((to, _), word)| *to == at && in_bytes(word));
    said || posted || to.arrived.values().any(|arrived| in_bytes(&arrived.word))
}

fn numbers_rise(world: &World, points: &[Arc<Point>], disks: &[Disk], id: RecordId) {
    for (at, disk) in disks.iter().enumerate() {
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
    for (at, disk) in disks.iter().enumerate() {
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
            if ended != state {
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
    for (id, request) in &requests {
        let known = disks.iter().filter(|disk| disk.holding(*id) != Holding::Nothing).count();
        let owners = disks.iter().filter(|disk| disk.owned(*id).is_some()).count();
        if known > 0 && owners != 1 {
            world.violated(format!("{}: {owners} owners at rest", request.reference));
        }
    }
    for (at, disk) in disks.iter().enumerate() {
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
