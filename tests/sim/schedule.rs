//! One schedule: a network, what people do on it and what befalls it, all from one seed.
//!
//! Faults last for a while, then everything heals, and the network has to come to rest.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use prost::Message;
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use yizhan_proto::v1;
use yizhan_server::{
    domain::{
        audience::{Audience, FeedId},
        id::{PointCode, RecordId},
        roster::{Basis, BasisKind, PointKind, Roster, RosterEntry, SealKey},
    },
    store::CopyState,
};

use crate::{
    machine::{self, FOUNDER, Machine, Writes, key},
    memory::Disk,
    oracle::{self, Watch},
    planted::{self, Planted},
    world::{Outcome, World},
};

const POINTS: [&str; 5] = [FOUNDER, "CN-440100", "GB-LON", "CN-440300", "HK"];
/// A step of simulated time. Coarse, because every step costs every machine.
const TICK: Duration = Duration::from_millis(20);
const LATENCY_MAX_MS: [u64; 3] = [5, 40, 300];
/// Faults begin after the network has been set up, and end here.
const CALM_UNTIL_MS: u64 = 1_500;
const FAULTS_UNTIL_MS: u64 = 22_000;
/// Time to come to rest: silence is noticed after 35 s, and back-offs double.
const REST: Duration = Duration::from_secs(600);
const CHECK_EVERY: Duration = Duration::from_millis(500);
const RECORDS: u64 = 60;
/// One schedule in so many changes more records than one transaction applies.
const LARGE_ONE_IN: u32 = 25;
const LARGE: u64 = 11_000;

/// Kinds of faults that every long enough series of schedules has to have seen.
pub const KINDS: [&str; 10] = [
    "partition",
    "one-way partition",
    "hold",
    "crash",
    "slow link",
    "disk full",
    "old disk",
    "clone wrote too",
    "large burst",
    "basis withdrawn",
];

#[derive(Clone, Debug)]
enum Action {
    Write(usize, u64),
    Burst(usize, u64),
    Partition(usize, usize),
    OneWay(usize, usize),
    Hold(usize, usize),
    Repair(usize, usize),
    Release(usize, usize),
    Slow(usize, usize, u64),
    Crash(usize),
    Bounce(usize),
    Full(usize, u32),
    Copy(usize),
    PutBack(usize),
    Clone(usize),
    /// The first may not hold what the second has for the network.
    Deny(usize, usize),
    Permit(usize, usize),
    Audit,
}

/// What a schedule ended with.
pub struct Report {
    pub seed: u64,
    pub violations: Vec<String>,
    pub fired: BTreeMap<&'static str, u64>,
    pub trace: [u8; 32],
    pub simulated: Duration,
    pub story: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {} fails; replay: YIZHAN_SEED={} cargo test -p yizhan-tests --test sim",
            self.seed, self.seed
        )?;
        for violation in self.violations.iter().take(5) {
            writeln!(f, "  {violation}")?;
        }
        write!(f, "{}", self.story)
    }
}

struct Plan {
    seed: u64,
    machines: usize,
    dials: Vec<Vec<usize>>,
    denied: Vec<(usize, usize)>,
    hostile: Option<usize>,
    cloned: Option<usize>,
    put_back: Option<usize>,
    latency_ms: u64,
    actions: Vec<(u64, Action)>,
}

impl Plan {
    fn new(seed: u64) -> Plan {
        let mut rng = StdRng::seed_from_u64(seed);
        let machines = rng.random_range(3..=5);
        let chance = |rng: &mut StdRng, one_in: u32| rng.random_range(0..one_in) == 0;
        let hostile = chance(&mut rng, 3).then_some(1);
        let mut dials = vec![Vec::new()];
        for at in 1..machines {
            let parent = match hostile {
                // A hostile relay needs somebody behind it.
                Some(relay) if at == relay + 1 => relay,
                _ => rng.random_range(0..at),
            };
            let mut peers = vec![parent];
            let sibling = rng.random_range(0..at);
            if chance(&mut rng, 4) && sibling != parent {
                peers.push(sibling);
            }
            dials.push(peers);
        }
        let mut denied = Vec::new();
        if chance(&mut rng, 4) {
            denied.push((rng.random_range(1..machines), rng.random_range(0..machines)));
            denied.retain(|(holder, home)| holder != home);
        }
        let cloned =
            (hostile.is_none() && chance(&mut rng, 6)).then(|| rng.random_range(1..machines));
        let put_back = chance(&mut rng, 4)
            .then(|| rng.random_range(0..machines))
            .filter(|at| Some(*at) != cloned && Some(*at) != hostile);
        let latency_ms = LATENCY_MAX_MS[rng.random_range(0..LATENCY_MAX_MS.len())];
        let mut plan = Plan {
            seed,
            machines,
            dials,
            denied,
            hostile,
            cloned,
            put_back,
            latency_ms,
            actions: Vec::new(),
        };
        plan.fill(&mut rng);
        plan
    }

    fn fill(&mut self, rng: &mut StdRng) {
        let any = |rng: &mut StdRng, n: usize| rng.random_range(0..n);
        let moment = |rng: &mut StdRng| rng.random_range(CALM_UNTIL_MS..FAULTS_UNTIL_MS - 1_000);
        for _ in 0..rng.random_range(15..50) {
            let at = rng.random_range(500..FAULTS_UNTIL_MS);
            self.add(at, Action::Write(any(rng, self.machines), rng.next_u64()));
        }
        for _ in 0..rng.random_range(0..3) {
            let rows = rng.random_range(520..1_600);
            self.add(moment(rng), Action::Burst(any(rng, self.machines), rows));
        }
        if rng.random_range(0..LARGE_ONE_IN) == 0 {
            let at = any(rng, self.machines);
            self.add(CALM_UNTIL_MS, Action::Burst(at, 30));
            self.add(rng.random_range(6_000..12_000), Action::Burst(at, LARGE));
        }
        for _ in 0..rng.random_range(0..5) {
            let a = rng.random_range(1..self.machines);
            let b = self.dials[a][any(rng, self.dials[a].len())];
            let from = moment(rng);
            let until = (from + rng.random_range(200..9_000)).min(FAULTS_UNTIL_MS);
            let (a, b) = if rng.random() { (a, b) } else { (b, a) };
            match rng.random_range(0..4) {
                0 => self.between(from, until, Action::Partition(a, b), Action::Repair(a, b)),
                1 => self.between(from, until, Action::OneWay(a, b), Action::Repair(a, b)),
                2 => self.between(from, until, Action::Hold(a, b), Action::Release(a, b)),
                _ => {
                    let rate = rng.random_range(2_000..60_000);
                    self.between(from, until, Action::Slow(a, b, rate), Action::Slow(a, b, 0));
                }
            }
        }
        for _ in 0..rng.random_range(0..5) {
            let (at, from) = (any(rng, self.machines), moment(rng));
            let until = from + rng.random_range(50..4_000);
            self.between(from, until, Action::Crash(at), Action::Bounce(at));
        }
        for _ in 0..rng.random_range(0..3) {
            self.add(moment(rng), Action::Full(any(rng, self.machines), rng.random_range(1..6)));
        }
        if let Some(at) = self.put_back {
            let copied = rng.random_range(1_000..9_000);
            self.add(copied, Action::Copy(at));
            let put_back = copied + rng.random_range(1_000..6_000);
            self.add(put_back, Action::PutBack(at));
            // Once more the same old disk, after the node has gone on.
            if rng.random() {
                self.add(put_back + 1_500, Action::Write(at, rng.next_u64()));
                let again = put_back + rng.random_range(2_000..7_000);
                self.add(again, Action::PutBack(at));
                self.add(again + 1_500, Action::Write(at, rng.next_u64()));
            }
        }
        if let Some(at) = self.cloned {
            let from = moment(rng).min(14_000);
            self.add(from, Action::Clone(at));
            for _ in 0..4 {
                let when = rng.random_range(from + 200..FAULTS_UNTIL_MS);
                self.add(when, Action::Write(self.machines, rng.next_u64()));
                self.add(when + 50, Action::Write(at, rng.next_u64()));
            }
        }
        if rng.random_range(0..3) == 0 {
            self.newcomer(rng);
        }
        for _ in 0..4 {
            self.add(moment(rng), Action::Audit);
        }
        // The founder has to be able to say so.
        if self.put_back != Some(0) && rng.random_range(0..3) == 0 {
            let holder = any(rng, self.machines);
            let home = (holder + rng.random_range(1..self.machines)) % self.machines;
            let from = moment(rng);
            self.add(from, Action::Deny(holder, home));
            if rng.random() {
                self.add(
                    rng.random_range(from + 500..FAULTS_UNTIL_MS),
                    Action::Permit(holder, home),
                );
            }
        }
        self.actions.sort_by_key(|(at, _)| *at);
    }

    /// A machine that comes late to a thin line with much to fetch, and is interrupted while it does.
    fn newcomer(&mut self, rng: &mut StdRng) {
        let late = rng.random_range(1..self.machines);
        let up = self.dials[late][0];
        self.between(200, 2_500, Action::Crash(late), Action::Bounce(late));
        self.add(1_200, Action::Burst(up, rng.random_range(1_200..3_000)));
        let rate = rng.random_range(3_000..12_000);
        self.between(
            2_000,
            FAULTS_UNTIL_MS,
            Action::Slow(up, late, rate),
            Action::Slow(up, late, 0),
        );
        for _ in 0..3 {
            let from = rng.random_range(3_500..12_000);
            self.between(from, from + 300, Action::Crash(late), Action::Bounce(late));
        }
    }

    fn add(&mut self, at: u64, action: Action) {
        self.actions.push((at, action));
    }

    fn between(&mut self, from: u64, until: u64, begin: Action, end: Action) {
        self.add(from, begin);
        self.add(until, end);
    }

    fn entries(&self) -> Vec<RosterEntry> {
        let entry = |at: usize| {
            let code: PointCode = POINTS[at].parse().expect("BUG: a point code");
            let mut entry = RosterEntry::new(code, POINTS[at].into(), PointKind::City);
            entry.parent =
                self.dials[at].first().map(|up| POINTS[*up].parse().expect("BUG: a point code"));
            let public = key(POINTS[at]).verifying_key().to_bytes();
            entry.seal_keys.push(SealKey { public, from_epoch: 1, limit: None });
            for (_, home) in self.denied.iter().filter(|(holder, _)| *holder == at) {
                let basis = Basis { kind: BasisKind::Denied, reference: String::new() };
                entry.bases.insert(POINTS[*home].parse().expect("BUG: a point code"), basis);
            }
            entry
        };
        (0..self.machines).map(entry).collect()
    }
}

struct Run {
    plan: Plan,
    world: Arc<World>,
    machines: Vec<Arc<Machine>>,
    twin: Option<Arc<Machine>>,
    watches: Vec<Watch>,
    sim: turmoil::Sim<'static>,
    kept: BTreeMap<usize, Disk>,
    down: Vec<bool>,
    rng: StdRng,
}

/// Runs the schedule of a seed.
pub fn run(seed: u64) -> Report {
    let mut run = Run::new(Plan::new(seed));
    let stopped = run.play();
    if let Err(why) = stopped {
        run.world.violated(why);
    }
    let story = run.story();
    let inner = run.world.inner();
    let (violations, fired) = (inner.violations.clone(), inner.fired.clone());
    drop(inner);
    let trace = run.world.trace_hash();
    Report { seed, violations, fired, trace, simulated: run.sim.elapsed(), story }
}

impl Run {
    fn new(plan: Plan) -> Run {
        let world = Arc::new(World::default());
        let roster: Roster = plan.entries().into_iter().collect();
        {
            let mut inner = world.inner();
            inner.roster = roster;
            inner.hostile = true;
            for at in [plan.hostile, plan.cloned].into_iter().flatten() {
                inner.dishonest.insert(POINTS[at].parse().expect("BUG: a point code"));
            }
        }
        let mut sim = turmoil::Builder::new()
            .rng_seed(plan.seed)
            .tick_duration(TICK)
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(Duration::from_millis(plan.latency_ms))
            .simulation_duration(Duration::from_secs(86_400))
            .tcp_capacity(1 << 20)
            .build();
        let mut machines = Vec::new();
        for at in 0..plan.machines {
            let mut machine = machine_of(&plan, at, format!("m{at}"), &world);
            machine.hostile = plan.hostile == Some(at);
            let machine = Arc::new(machine);
            let (host, starts, seen) = (machine.host.clone(), machine.clone(), world.clone());
            sim.host(host, move || machine::run(seen.clone(), starts.clone()));
            machines.push(machine);
        }
        let watches = (0..=plan.machines).map(|_| Watch::default()).collect();
        let down = vec![false; plan.machines];
        let rng = StdRng::seed_from_u64(plan.seed ^ 0x5eed);
        let kept = BTreeMap::new();
        Run { plan, world, machines, twin: None, watches, sim, kept, down, rng }
    }

    fn play(&mut self) -> Result<(), String> {
        self.step()?;
        self.write_roster();
        for (at, action) in self.plan.actions.clone() {
            while self.sim.elapsed() < Duration::from_millis(at) {
                self.step()?;
            }
            self.act(action);
        }
        self.heal();
        self.rest()
    }

    /// Has the founder write the roster as it is to be. What is so already is written once.
    fn write_roster(&self) {
        for entry in self.plan.entries() {
            let (feed, id) = roster_record(&entry);
            let payload = v1::RosterPoint::from(entry).encode_to_vec();
            self.machines[0].submit(vec![(feed, id, Some(payload))]);
        }
    }

    /// Does the founder's roster not say yet what it is to say?
    fn is_roster_old(&self) -> bool {
        self.plan.entries().into_iter().any(|entry| {
            let (feed, id) = roster_record(&entry);
            let payload = v1::RosterPoint::from(entry).encode_to_vec();
            self.machines[0].look(|disk| {
                let row = disk.own(&feed).and_then(|own| disk.records.find(own.slot, id));
                row.is_none_or(|row| row.payload != payload)
            })
        })
    }

    fn change_basis(&mut self, holder: usize, home: usize, is_denied: bool) {
        self.plan.denied.retain(|pair| *pair != (holder, home));
        if is_denied {
            self.plan.denied.push((holder, home));
            self.world.fired("basis withdrawn");
        }
        let roster = self.plan.entries().into_iter().collect();
        let mut inner = self.world.inner();
        let before = std::mem::replace(&mut inner.roster, roster);
        inner.before.push(before);
        drop(inner);
        self.write_roster();
    }

    fn step(&mut self) -> Result<(), String> {
        self.sim.step().map_err(|error| format!("simulation stops: {error}"))?;
        for machine in self.honest() {
            self.watches[machine.index].look(&self.world, &machine);
        }
        match self.world.inner().violations.first() {
            Some(violation) => Err(violation.clone()),
            None => Ok(()),
        }
    }

    fn honest(&self) -> Vec<Arc<Machine>> {
        let inner = self.world.inner();
        let honest = |machine: &&Arc<Machine>| !inner.dishonest.contains(&machine.point);
        self.machines.iter().filter(honest).cloned().collect()
    }

    fn name(&self, at: usize) -> String {
        self.machines[at].host.clone()
    }

    fn cut(&mut self, a: usize, b: usize, kind: &'static str) {
        self.world.inner().cuts.insert((a, b), kind);
    }

    fn act(&mut self, action: Action) {
        self.world.trace(format!("{action:?}").as_bytes());
        match action {
            Action::Write(at, seed) => self.write(at, seed),
            Action::Burst(at, rows) => self.burst(at, rows),
            Action::Partition(a, b) => {
                self.cut(a, b, "partition");
                self.cut(b, a, "partition");
                self.sim.partition(self.name(a), self.name(b));
            }
            Action::OneWay(a, b) => {
                self.cut(a, b, "one-way partition");
                self.sim.partition_oneway(self.name(a), self.name(b));
            }
            Action::Hold(a, b) => {
                self.cut(a, b, "hold");
                self.cut(b, a, "hold");
                self.sim.hold(self.name(a), self.name(b));
            }
            Action::Repair(a, b) | Action::Release(a, b) => self.mend(a, b),
            Action::Slow(a, b, rate) => {
                let mut inner = self.world.inner();
                match rate {
                    0 => inner.slow.remove(&(a, b)),
                    rate => inner.slow.insert((a, b), rate),
                };
            }
            Action::Crash(at) => self.crash(at),
            Action::Bounce(at) => self.bounce(at),
            Action::Full(at, times) => {
                *self.machines[at].full.lock().expect("BUG: one thread") = times;
            }
            Action::Copy(at) => {
                self.kept.insert(at, self.machines[at].disk());
            }
            Action::PutBack(at) => self.put_back(at),
            Action::Clone(at) => self.clone_machine(at),
            Action::Deny(holder, home) => self.change_basis(holder, home, true),
            Action::Permit(holder, home) => self.change_basis(holder, home, false),
            Action::Audit => self.audit(),
        }
    }

    fn mend(&mut self, a: usize, b: usize) {
        self.sim.release(self.name(a), self.name(b));
        self.sim.repair(self.name(a), self.name(b));
        let mut inner = self.world.inner();
        inner.cuts.remove(&(a, b));
        inner.cuts.remove(&(b, a));
    }

    fn audit(&mut self) {
        for machine in &self.machines {
            if !self.world.inner().dishonest.contains(&machine.point) {
                self.watches[machine.index].audit(&self.world, machine);
            }
        }
    }

    fn crash(&mut self, at: usize) {
        if std::mem::replace(&mut self.down[at], true) {
            return;
        }
        if self.machines[at].running().is_some() {
            self.world.fired("crash");
        }
        self.sim.crash(self.name(at));
        self.machines[at].crashed();
        self.audit();
    }

    fn bounce(&mut self, at: usize) {
        if std::mem::replace(&mut self.down[at], false) {
            self.watches[at].restarted();
            self.sim.bounce(self.name(at));
        }
    }

    /// An old disk comes back, the marks of the machine do not.
    fn put_back(&mut self, at: usize) {
        let Some(old) = self.kept.get(&at).cloned() else { return };
        self.crash(at);
        let machine = &self.machines[at];
        let mut behind = false;
        for copy in machine.disk().copies.values().filter(|copy| copy.state == CopyState::Own) {
            let marks = machine.marks.lock().expect("BUG: one thread").clone().unwrap_or_default();
            let mark = marks.get(&copy.feed).map_or(0, |mark| mark.number);
            if !planted::is(Planted::ForgetMarks) {
                self.world.forget(copy, mark);
            }
            let back = old.own(&copy.feed).is_none_or(|own| own.number < mark);
            behind |= back;
            let elsewhere = self.machines.iter().any(|other| {
                other.index != at
                    && other.look(|disk| {
                        disk.copies
                            .values()
                            .any(|held| held.feed == copy.feed && held.number >= mark)
                    })
            });
            if back && !elsewhere {
                self.world.inner().lost_tail.insert(copy.feed.clone());
            }
        }
        if behind {
            self.world.fired("old disk");
        }
        *machine.disk.lock().expect("BUG: one thread") = old;
        self.bounce(at);
    }

    fn clone_machine(&mut self, at: usize) {
        let mut twin = machine_of(&self.plan, at, "twin".into(), &self.world);
        twin.index = self.plan.machines;
        twin.disk = Arc::new(std::sync::Mutex::new(self.machines[at].disk()));
        let marks = self.machines[at].marks.lock().expect("BUG: one thread").clone();
        twin.marks = Arc::new(std::sync::Mutex::new(marks));
        let twin = Arc::new(twin);
        let (starts, seen) = (twin.clone(), self.world.clone());
        self.sim.host("twin", move || machine::run(seen.clone(), starts.clone()));
        self.twin = Some(twin);
    }

    fn feed(&self, at: usize, audience: Audience) -> FeedId {
        let point =
            POINTS[if at == self.plan.machines { self.plan.cloned.unwrap_or(0) } else { at }];
        FeedId::new(point.parse().expect("BUG: a point code"), audience)
    }

    fn submit(&self, at: usize, writes: Writes) {
        match (self.machines.get(at), &self.twin) {
            (Some(machine), _) | (None, Some(machine)) => machine.submit(writes),
            (None, None) => {}
        }
    }

    fn write(&mut self, at: usize, seed: u64) {
        let mut rng = StdRng::seed_from_u64(seed);
        // `home` records are nobody else's to give back: a machine whose disk is put back has none.
        let narrowest = if self.plan.put_back == Some(at) { 2 } else { 1 };
        let mut audience = || Audience::RECORDS[rng_range(&mut rng, narrowest..5)];
        let (from, to) = (audience(), audience());
        let mut writes = Writes::new();
        let mut numbers: Vec<u64> =
            (0..rng.random_range(1..20)).map(|_| rng.random_range(0..RECORDS)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        for number in numbers {
            let id = RecordId::of_source("gd", 99, &number.to_string(), 0);
            let payload = format!("{seed} {number}").into_bytes();
            match rng.random_range(0..6) {
                0 => writes.push((self.feed(at, from), id, None)),
                1 if from != to => {
                    writes.push((self.feed(at, from), id, None));
                    writes.push((self.feed(at, to), id, Some(payload)));
                }
                2 => writes.push((self.feed(at, from), id, Some(vec![b'x'; 20_000]))),
                _ => writes.push((self.feed(at, from), id, Some(payload))),
            }
        }
        self.submit(at, writes);
    }

    fn burst(&mut self, at: usize, rows: u64) {
        if rows >= LARGE {
            self.world.fired("large burst");
        }
        let feed = self.feed(at, Audience::Public);
        let stamp = self.rng.next_u64();
        let all: Vec<u64> = (1_000..1_000 + rows).collect();
        for numbers in all.chunks(6_000) {
            let write = |number: &u64| {
                let id = RecordId::of_source("gd", 98, &number.to_string(), 0);
                (feed.clone(), id, Some(format!("{stamp} {number}").into_bytes()))
            };
            self.submit(at, numbers.iter().map(write).collect());
        }
    }

    /// Everything that was done to the network is over. What it did to itself stays.
    fn heal(&mut self) {
        for a in 0..self.plan.machines {
            for b in 0..a {
                self.mend(a, b);
            }
            *self.machines[a].full.lock().expect("BUG: one thread") = 0;
            self.bounce(a);
        }
        let mut inner = self.world.inner();
        inner.slow.clear();
        inner.hostile = false;
    }

    fn rest(&mut self) -> Result<(), String> {
        let until = self.sim.elapsed() + REST;
        loop {
            let next = self.sim.elapsed() + CHECK_EVERY;
            while self.sim.elapsed() < next {
                self.step()?;
            }
            if self.is_roster_old() {
                self.write_roster();
            }
            let unsettled = match self.unwritten().or_else(|| {
                self.is_roster_old().then(|| "the founder's roster is an old one".to_owned())
            }) {
                Some(machine) => Some(format!("{machine} acknowledges nothing")),
                None => oracle::unsettled(&self.world, &self.machines),
            };
            match unsettled {
                None => break,
                Some(what) if self.sim.elapsed() > until => {
                    return Err(format!("no rest: {what}"));
                }
                Some(_) => {}
            }
        }
        // Everybody has the roster as it is now: what was before excuses nothing any more.
        self.world.inner().before.clear();
        let until = self.sim.elapsed() + CHECK_EVERY;
        while self.sim.elapsed() < until {
            self.step()?;
        }
        self.audit();
        oracle::finish(&self.world, &self.machines);
        Ok(())
    }

    /// A machine that does not take a last write yet (the end of every story: it can be written again).
    fn unwritten(&mut self) -> Option<String> {
        let mut unwritten = None;
        for machine in self.honest() {
            let feed = FeedId::new(machine.point.clone(), Audience::Public);
            let id = RecordId::of_source("gd", 97, "last", 0);
            let inner = self.world.inner();
            if inner.lost_tail.iter().any(|tail| tail.home == machine.point) {
                continue;
            }
            let versions = inner.history.get(&(feed.clone(), id)).cloned().unwrap_or_default();
            drop(inner);
            match versions.last().map(|version| version.outcome) {
                Some(Outcome::Acknowledged) => continue,
                Some(Outcome::Unknown) => {}
                _ => {
                    let payload = format!("last {}", versions.len()).into_bytes();
                    machine.submit(vec![(feed, id, Some(payload))]);
                }
            }
            unwritten = Some(machine.host.clone());
        }
        unwritten
    }

    fn story(&self) -> String {
        let Plan { machines, dials, denied, hostile, cloned, put_back, latency_ms, .. } =
            &self.plan;
        let mut story = format!(
            "  {machines} machines, dials {dials:?}, denied {denied:?}, hostile {hostile:?}, cloned \
             {cloned:?}, old disk {put_back:?}, latency {latency_ms} ms\n"
        );
        for (at, action) in &self.plan.actions {
            if !matches!(action, Action::Write(..) | Action::Audit) {
                story.push_str(&format!("  {at:6} {action:?}\n"));
            }
        }
        story
    }
}

fn roster_record(entry: &RosterEntry) -> (FeedId, RecordId) {
    let feed = FeedId::new(FOUNDER.parse().expect("BUG: a point code"), Audience::Roster);
    (feed, RecordId::of_source("gd", 40, entry.code.as_str(), 0))
}

fn rng_range(rng: &mut StdRng, range: std::ops::Range<usize>) -> usize {
    rng.random_range(range)
}

fn machine_of(plan: &Plan, at: usize, host: String, world: &Arc<World>) -> Machine {
    let dials = plan.dials[at]
        .iter()
        .map(|up| (*up, format!("m{up}"), POINTS[*up].parse().expect("BUG: a point code")))
        .collect();
    let point = POINTS[at].parse().expect("BUG: a point code");
    Machine::new(at, host, point, dials, plan.seed, world.clone())
}
