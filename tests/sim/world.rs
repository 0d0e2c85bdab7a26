//! What the simulator knows of the whole network, and no node does: every seal and row that a home has
//! made durable, every change that was acknowledged, what each fault has done.
//!
//! Oracles compare nodes with this. The first thing that is wrong is kept as the run's verdict.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, MutexGuard},
};

use prost::Message;
use yizhan_proto::v1::{self, frame::Kind};
use yizhan_server::{
    domain::{
        audience::{Audience, FeedId},
        id::{PointCode, RecordId},
        position::{Row, Sequence},
        roster::Roster,
    },
    feed::{change::CommitError, seal::Seal},
    link::frame::Unpacker,
    store::Copy,
};

/// A record's life as its writer saw it.
#[derive(Clone, Debug)]
pub struct Version {
    /// `None`: removed.
    pub value: Option<Vec<u8>>,
    pub outcome: Outcome,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// No answer came: it may have happened or not.
    Unknown,
    Acknowledged,
    Refused,
}

/// A write that was handed to a node: where its versions stand in the history.
pub type Ticket = Vec<(FeedId, RecordId, usize)>;

type SealName = (FeedId, u64, u64);

#[derive(Default)]
pub struct Inner {
    pub roster: Roster,
    /// What it has been and some may still believe it to be.
    pub before: Vec<Roster>,
    /// Homes that may be caught saying two things: cloned or hostile ones.
    pub dishonest: BTreeSet<PointCode>,
    /// Bodies of all seals that homes have made durable.
    pub seals: BTreeMap<SealName, BTreeSet<Vec<u8>>>,
    epochs: BTreeMap<(FeedId, u64), BTreeSet<Vec<u8>>>,
    rows: HashMap<(FeedId, u64, Sequence), u64>,
    pub history: BTreeMap<(FeedId, RecordId), Vec<Version>>,
    pub violations: Vec<String>,
    pub fired: BTreeMap<&'static str, u64>,
    /// Links that are cut just now, by direction and kind of cut.
    pub cuts: BTreeMap<(usize, usize), &'static str>,
    /// Bytes a second of links that are slow just now.
    pub slow: BTreeMap<(usize, usize), u64>,
    pub hostile: bool,
    /// Verified seals of dishonest homes that reached a machine since it was started.
    pub heard: BTreeMap<usize, BTreeMap<SealName, BTreeSet<Vec<u8>>>>,
    /// Own feeds whose newest seals nobody but a lost disk has held.
    pub lost_tail: BTreeSet<FeedId>,
    trace: blake3::Hasher,
}

#[derive(Default)]
pub struct World(Mutex<Inner>);

fn row_hash(row: &Row) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&row.id.0).update(&row.kind.0.to_le_bytes()).update(&[u8::from(row.removed)]);
    hasher.update(&row.payload);
    let hash = hasher.finalize();
    u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("BUG: a hash has 32 bytes"))
}

fn name_of(seal: &Seal) -> SealName {
    let statement = seal.statement();
    (statement.feed.clone(), statement.epoch.counter, statement.number)
}

impl World {
    pub fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub fn violated(&self, what: String) {
        self.inner().violations.push(what);
    }

    pub fn fired(&self, fault: &'static str) {
        *self.inner().fired.entry(fault).or_default() += 1;
    }

    pub fn trace(&self, what: &[u8]) {
        self.inner().trace.update(&(what.len() as u32).to_le_bytes()).update(what);
    }

    pub fn trace_hash(&self) -> [u8; 32] {
        *self.inner().trace.finalize().as_bytes()
    }

    /// A home has made a seal durable, and these rows with it. Invariants 3 and 8: no number of a seal
    /// and no sequence number of a row ever stands for two things.
    pub fn sealed(&self, copy: &Copy, rows: &[Row]) {
        let Ok(seal) = Seal::decode(&copy.seal) else { return };
        let mut inner = self.inner();
        let honest = !inner.dishonest.contains(&copy.feed.home);
        let counter = copy.epoch.counter;
        let bodies = inner.seals.entry(name_of(&seal)).or_default();
        bodies.insert(seal.message().body.clone());
        let twice = bodies.len() > 1;
        let randoms = inner.epochs.entry((copy.feed.clone(), counter)).or_default();
        randoms.insert(copy.epoch.random.to_vec());
        let forked = randoms.len() > 1;
        if twice && !honest {
            *inner.fired.entry("clone wrote too").or_default() += 1;
        }
        if honest && (twice || forked) {
            inner.violations.push(format!("invariant 8: {seal:?} is the second of its number"));
        }
        for row in rows {
            let place = (copy.feed.clone(), counter, row.sequence);
            let hash = row_hash(row);
            if *inner.rows.entry(place).or_insert(hash) != hash && honest {
                let at = row.sequence.0;
                inner.violations.push(format!("invariant 3: {} sequence {at} twice", copy.feed));
            }
        }
    }

    /// Seals above a mark went with a lost disk, and nobody was shown them: their numbers are free.
    pub fn forget(&self, copy: &Copy, mark: u64) {
        let (feed, counter) = (&copy.feed, copy.epoch.counter);
        let mut inner = self.inner();
        let marked = inner.seals.get(&(feed.clone(), counter, mark));
        let body = marked.and_then(|bodies| v1::SealBody::decode(&bodies.first()?[..]).ok());
        let last = body.map_or(0, |body| body.sequence);
        inner
            .seals
            .retain(|(of, epoch, number), _| of != feed || *epoch != counter || *number <= mark);
        inner.rows.retain(|(of, epoch, sequence), _| {
            of != feed || *epoch != counter || sequence.0 <= last
        });
    }

    /// A hostile home has signed this, whatever its node says.
    pub fn signed(&self, seal: &Seal) {
        let body = seal.message().body.clone();
        self.inner().seals.entry(name_of(seal)).or_default().insert(body);
    }

    /// Has the home made this very seal durable?
    pub fn is_sealed(&self, seal: &Seal) -> bool {
        let inner = self.inner();
        inner.seals.get(&name_of(seal)).is_some_and(|bodies| bodies.contains(&seal.message().body))
    }

    /// Shared feeds that a point may not hold, and the epochs that they are in.
    pub fn withheld_from(&self, point: &PointCode) -> Vec<(FeedId, v1::Epoch)> {
        let inner = self.inner();
        let is_withheld =
            |feed: &FeedId| feed.audience.is_shared() && !inner.roster.may_node_hold(point, feed);
        let epochs = inner
            .epochs
            .iter()
            .filter(|((feed, _), _)| feed.audience != Audience::Roster && is_withheld(feed));
        let newest: BTreeMap<FeedId, v1::Epoch> = epochs
            .filter_map(|((feed, counter), randoms)| {
                let random = randoms.first()?.clone();
                Some((feed.clone(), v1::Epoch { counter: *counter, random }))
            })
            .collect();
        newest.into_iter().collect()
    }

    /// May the point hold the feed, by the roster as it is or as somebody may still believe it to be?
    pub fn is_entitled(&self, point: &PointCode, feed: &FeedId) -> bool {
        let inner = self.inner();
        let mut rosters = inner.before.iter().chain([&inner.roster]);
        feed.audience == Audience::Roster
            || (feed.audience.is_shared()
                && rosters.any(|roster| roster.may_node_hold(point, feed)))
    }

    // --- what leaves an honest node

    /// Invariants 2, 3 and the audiences: what an honest node shows a neighbour is sealed by its home,
    /// durable, made of the home's own rows, and the neighbour may hold it.
    pub fn shown(
        &self,
        by: &str,
        to: &PointCode,
        frame: &v1::Frame,
        durable: impl Fn(&Seal) -> bool,
    ) {
        let seals: Vec<&v1::Seal> = match &frame.kind {
            Some(Kind::Heads(heads)) => heads.seals.iter().collect(),
            Some(Kind::Page(page)) => page.seal.iter().collect(),
            Some(Kind::RecentSeals(recent)) => recent.seals.iter().collect(),
            _ => return,
        };
        for seal in seals {
            let Ok(seal) = Seal::read(seal.clone()) else {
                self.violated(format!("{by} shows what is no seal"));
                continue;
            };
            let feed = &seal.statement().feed;
            if !self.is_entitled(to, feed) {
                self.violated(format!(
                    "audience: {by} shows {seal:?} to {to}, which may not hold it"
                ));
            }
            if !self.is_sealed(&seal) {
                self.violated(format!(
                    "invariant 2: {by} shows {seal:?}, never sealed by its home"
                ));
            }
            if !durable(&seal) {
                self.violated(format!("invariant 3: {by} shows {seal:?} before it is durable"));
            }
        }
        if let Some(Kind::Page(page)) = &frame.kind {
            self.page_shown(by, page);
        }
    }

    fn page_shown(&self, by: &str, page: &v1::Page) {
        let Some(seal) = page.seal.clone().and_then(|seal| Seal::read(seal).ok()) else { return };
        let Some(rows) = Unpacker::new().unpack(&page.rows_zstd, page.rows_len) else {
            return self.violated(format!("{by} sends a page that cannot be read"));
        };
        let statement = seal.statement();
        let mut inner = self.inner();
        if inner.dishonest.contains(&statement.feed.home) {
            return;
        }
        for row in rows {
            let place = (statement.feed.clone(), statement.epoch.counter, row.sequence);
            if inner.rows.get(&place) != Some(&row_hash(&row)) {
                let (feed, at) = (&statement.feed, row.sequence.0);
                let what =
                    format!("invariant 2: {by} relays a row of {feed} at {at} that is not its");
                inner.violations.push(what);
                return;
            }
        }
    }

    /// A verified head has reached a machine. Kept where its home may say two things.
    pub fn heard(&self, machine: usize, frame: &v1::Frame, verified: impl Fn(&Seal) -> bool) {
        let Some(Kind::Heads(heads)) = &frame.kind else { return };
        for seal in heads.seals.iter().filter_map(|seal| Seal::read(seal.clone()).ok()) {
            let dishonest = self.inner().dishonest.contains(&seal.statement().feed.home);
            if dishonest && verified(&seal) {
                let body = seal.message().body.clone();
                let mut inner = self.inner();
                let heard = inner.heard.entry(machine).or_default();
                heard.entry(name_of(&seal)).or_default().insert(body);
            }
        }
    }

    // --- what was acknowledged

    pub fn submit(&self, writes: &[(FeedId, RecordId, Option<Vec<u8>>)]) -> Ticket {
        let mut inner = self.inner();
        let enter = |(feed, id, value): &(FeedId, RecordId, Option<Vec<u8>>)| {
            let versions = inner.history.entry((feed.clone(), *id)).or_default();
            versions.push(Version { value: value.clone(), outcome: Outcome::Unknown });
            (feed.clone(), *id, versions.len() - 1)
        };
        writes.iter().map(enter).collect()
    }

    pub fn settle(&self, ticket: Ticket, result: Result<(), CommitError>) {
        let outcome = match result {
            Ok(()) => Outcome::Acknowledged,
            Err(CommitError::Stopping) => Outcome::Unknown,
            Err(_) => Outcome::Refused,
        };
        self.trace(&[b'a', outcome as u8]);
        let mut inner = self.inner();
        for (feed, id, at) in ticket {
            if let Some(version) =
                inner.history.get_mut(&(feed, id)).and_then(|versions| versions.get_mut(at))
            {
                version.outcome = outcome;
            }
        }
    }

    pub fn frame_sent(&self, from: usize, to: usize, frame: &v1::Frame) -> Vec<u8> {
        let bytes = frame.encode_to_vec();
        let mut inner = self.inner();
        inner.trace.update(&[from as u8, to as u8]);
        inner.trace.update(blake3::hash(&bytes).as_bytes());
        if let Some(kind) = inner.cuts.get(&(from, to)).copied() {
            *inner.fired.entry(kind).or_default() += 1;
        }
        bytes
    }
}
