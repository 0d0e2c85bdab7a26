//! One session with one neighbour: what is heard, what is asked for, what is answered.
//!
//! Both sides run the same code. Announced heads are checked before anything is made of them; rows are
//! asked for by who lacks them; nothing a peer sends can make this side wait for it to read.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures::{Stream, StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};
use tracing::{debug, info, warn};
use yizhan_proto::v1::{self, Frame, frame::Kind};

use super::{
    budget::{Total, Window},
    frame::{HEADS_MAX, Unpacker, frame},
    outgoing::{NotReading, Outgoing},
    serving::{Credit, Serving, serve},
};
use crate::{
    domain::{
        audience::{Audience, FeedId},
        id::PointCode,
        position::{Epoch, Sequence},
    },
    feed::{
        heads::Heads,
        inflow::{self, Outcome},
        keyring::Keyring,
        seal::{self, Seal},
        statement,
        writer::Writer,
    },
    outside::Outside,
    planted::{self, Fault},
    store::FeedStore,
};

/// Pulls this side has open with one peer.
const PULLS_MAX: usize = 8;
/// Pulls a peer may have open with this side.
const SERVED_MAX: usize = 32;
/// Pages that are being stored at one time; more wait, compressed.
const DELIVERIES_MAX: usize = 8;
/// Feeds a peer may announce.
const FEEDS_MAX: usize = 40_000;
/// Seals handed over when a peer asks after a mismatch.
const RECENT_SEALS: usize = 1_024;
/// How often what could not be done is looked at again.
const TICK: Duration = Duration::from_secs(1);
/// A peer that has said nothing for so long is asked for a sign of life,
const PING_AFTER: Duration = Duration::from_secs(20);
/// and after so long given up. Any byte is life.
const SILENT_MAX: Duration = Duration::from_secs(35);
/// Back-off after a delivery that did not add up.
const MISMATCH_BACKOFF_MIN: Duration = Duration::from_secs(1);
const MISMATCH_BACKOFF_MAX: Duration = Duration::from_secs(300);

/// What a session uses of its node.
pub struct Parts<S> {
    pub store: S,
    pub writer: Writer,
    pub heads: Arc<Heads>,
    pub keys: Arc<Keyring>,
    pub outside: Outside,
    pub total: Total,
    pub post: Option<Arc<dyn Post>>,
}

impl<S: Clone> Clone for Parts<S> {
    fn clone(&self) -> Parts<S> {
        Parts {
            store: self.store.clone(),
            writer: self.writer.clone(),
            heads: self.heads.clone(),
            keys: self.keys.clone(),
            outside: self.outside.clone(),
            total: self.total.clone(),
            post: self.post.clone(),
        }
    }
}

/// Where parcels of a session go: the post office of the node.
pub trait Post: Send + Sync {
    /// Parcels and settlements that arrived from a neighbour. Must not wait.
    fn arrived(&self, from: &PointCode, kind: Kind);
    /// A session with this neighbour is open: frames for it may be sent here.
    fn connected(&self, peer: &PointCode, frames: mpsc::Sender<Frame>);
    /// The session is over.
    fn disconnected(&self, peer: &PointCode, frames: &mpsc::Sender<Frame>);
}

/// What is known of the neighbour before the first frame, from its certificate.
pub struct Peer {
    pub point: PointCode,
    /// Does the roster still admit it? Asked at the start and whenever the roster changes.
    pub admitted: Box<dyn Fn(&Keyring) -> bool + Send + Sync>,
}

/// Figures of a session, for status.
#[derive(Default)]
pub struct Pulse {
    pub last_contact: std::sync::Mutex<Option<Instant>>,
    pub round_trip: std::sync::Mutex<Option<Duration>>,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    #[error("the connection is gone")]
    Gone,
    #[error("the peer ended it")]
    ByPeer,
    #[error("the peer is not what its certificate says")]
    OtherPeer,
    #[error("the roster does not admit the peer")]
    NotAdmitted,
    #[error("the peer has been silent for too long")]
    Silent,
    #[error("the peer does not take what it is sent")]
    NotReading,
    #[error("the peer broke the protocol: {0}")]
    Protocol(&'static str),
    #[error("the node is stopping")]
    Stopping,
}

impl From<NotReading> for Ended {
    fn from(_: NotReading) -> Ended {
        Ended::NotReading
    }
}

/// A pull of ours.
struct Pulling {
    feed: FeedId,
    after: Sequence,
}

/// Pages that have arrived and wait to be stored.
struct Waiting {
    page: v1::Page,
    arrived: usize,
}

struct Backoff {
    until: Instant,
    next: Duration,
}

type Deliveries =
    FuturesUnordered<std::pin::Pin<Box<dyn Future<Output = (u64, u64, Outcome)> + Send>>>;

struct Session<S: FeedStore> {
    parts: Parts<S>,
    peer: Peer,
    out: Outgoing,
    pulse: Arc<Pulse>,
    greeted: bool,
    /// Seals the peer has announced and we have checked, newest per feed.
    theirs: BTreeMap<FeedId, Arc<Seal>>,
    /// Seals that no key of our roster fits yet.
    unchecked: BTreeMap<FeedId, Seal>,
    /// What we have announced: number of the seal per feed.
    announced: HashMap<FeedId, (u64, u64)>,
    revision: u64,
    /// In order, so that what happens does not depend on the hasher.
    pulls: BTreeMap<u64, Pulling>,
    waiting: VecDeque<Waiting>,
    deliveries: Deliveries,
    backoff: HashMap<FeedId, Backoff>,
    window: Window,
    credit: Arc<Credit>,
    serving: JoinSet<u64>,
    served: HashMap<u64, tokio::task::AbortHandle>,
    unpacker: Unpacker,
    last_heard: Instant,
    pinged: Option<Instant>,
    /// Words of homes that no key of our roster fits yet.
    unchecked_statements: Vec<v1::SignedHeads>,
    statements_told: HashMap<PointCode, u64>,
    frozen_told: HashMap<FeedId, ()>,
}

/// Runs a session until either side ends it.
pub async fn run<S, E>(
    parts: Parts<S>,
    peer: Peer,
    incoming: impl Stream<Item = Result<Frame, E>> + Send + Unpin,
    wire: mpsc::Sender<Frame>,
    pulse: Arc<Pulse>,
) -> Ended
where
    S: FeedStore,
{
    let out = Outgoing::start(wire);
    if let Some(post) = &parts.post {
        post.connected(&peer.point, out.parcels.clone());
    }
    let mut session = Session {
        window: Window::new(parts.total.clone()),
        peer,
        out,
        pulse,
        greeted: false,
        theirs: BTreeMap::new(),
        unchecked: BTreeMap::new(),
        announced: HashMap::new(),
        revision: 0,
        pulls: BTreeMap::new(),
        waiting: VecDeque::new(),
        deliveries: FuturesUnordered::new(),
        backoff: HashMap::new(),
        credit: Arc::new(Credit::default()),
        serving: JoinSet::new(),
        served: HashMap::new(),
        unpacker: Unpacker::new(),
        last_heard: Instant::now(),
        pinged: None,
        unchecked_statements: Vec::new(),
        statements_told: HashMap::new(),
        frozen_told: HashMap::new(),
        parts,
    };
    let ended = session.work(incoming).await;
    session.end(ended).await;
    ended
}

impl<S: FeedStore> Session<S> {
    async fn work<E>(
        &mut self,
        mut incoming: impl Stream<Item = Result<Frame, E>> + Send + Unpin,
    ) -> Ended {
        let mut changed = self.parts.heads.watch();
        changed.mark_changed();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        if !(self.peer.admitted)(&self.parts.keys) {
            return Ended::NotAdmitted;
        }
        let hello = v1::Hello {
            network: self.parts.keys.network.clone(),
            point: self.parts.keys.point.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            session: u64::from_le_bytes(self.parts.outside.random()),
        };
        if self.out.control(frame(Kind::Hello(hello))).is_err() {
            return Ended::NotReading;
        }
        loop {
            let result = tokio::select! {
                biased;
                Some((pull, bytes, outcome)) = self.deliveries.next() => {
                    self.delivered(pull, bytes, outcome).await
                }
                frame = incoming.next() => match frame {
                    Some(Ok(frame)) => self.heard(frame).await,
                    Some(Err(_)) | None => Err(Ended::Gone),
                },
                () = changed.changed(), if self.greeted => self.look(false).await,
                Some(done) = self.serving.join_next() => {
                    if let Ok(pull) = done {
                        self.served.remove(&pull);
                    }
                    Ok(())
                }
                _ = tick.tick() => self.tick().await,
            };
            if let Err(ended) = result {
                return ended;
            }
        }
    }

    /// Says why, and gives back what was taken.
    async fn end(&mut self, ended: Ended) {
        let reason = match ended {
            Ended::Gone | Ended::ByPeer | Ended::NotReading => None,
            Ended::OtherPeer | Ended::Protocol(_) => Some("protocol"),
            Ended::NotAdmitted => Some("revoked"),
            Ended::Silent => Some("silent"),
            Ended::Stopping => Some("draining"),
        };
        if let Some(reason) = reason {
            let bye = v1::Bye { reason: reason.to_owned() };
            let _ = self.out.control(frame(Kind::Bye(bye)));
        }
        if let Some(post) = &self.parts.post {
            post.disconnected(&self.peer.point, &self.out.parcels);
        }
        for (pull, pulling) in std::mem::take(&mut self.pulls) {
            self.parts.writer.close(pulling.feed, pull).await;
        }
        self.serving.abort_all();
    }

    async fn tick(&mut self) -> Result<(), Ended> {
        let silent = self.last_heard.elapsed();
        if silent > SILENT_MAX {
            return Err(Ended::Silent);
        }
        if self.greeted && self.pinged.is_none() && silent > PING_AFTER {
            self.pinged = Some(Instant::now());
            self.out.control(frame(Kind::Ping(v1::Ping { nonce: self.revision })))?;
        }
        self.look(true).await
    }

    async fn heard(&mut self, frame: Frame) -> Result<(), Ended> {
        self.last_heard = Instant::now();
        *self.pulse.last_contact.lock().unwrap_or_else(|p| p.into_inner()) = Some(self.last_heard);
        // A kind that a newer version has added.
        let Some(kind) = frame.kind else { return Ok(()) };
        if !self.greeted && !matches!(kind, Kind::Hello(_) | Kind::Bye(_)) {
            return Err(Ended::Protocol("no greeting"));
        }
        match kind {
            Kind::Hello(hello) => self.greet(hello).await,
            Kind::Heads(heads) => self.heads(heads).await,
            Kind::Pull(pull) => self.pull_asked(pull),
            Kind::Page(page) => self.page(page).await,
            Kind::Credit(credit) => {
                self.credit.add(credit.bytes);
                Ok(())
            }
            kind @ (Kind::Parcels(_) | Kind::Settled(_)) => {
                if let Some(post) = &self.parts.post {
                    post.arrived(&self.peer.point, kind);
                }
                Ok(())
            }
            Kind::RecentSealsRequest(request) => self.recent_seals_asked(request).await,
            Kind::RecentSeals(recent) => {
                for message in recent.seals.into_iter().take(RECENT_SEALS) {
                    if let Some(seal) = self.check(message) {
                        self.parts.writer.remember(seal).await;
                    }
                }
                Ok(())
            }
            Kind::Ping(ping) => Ok(self
                .out
                .control(super::frame::frame(Kind::Pong(v1::Pong { nonce: ping.nonce })))?),
            Kind::Pong(_) => {
                if let Some(sent) = self.pinged.take() {
                    let mut round_trip =
                        self.pulse.round_trip.lock().unwrap_or_else(|p| p.into_inner());
                    *round_trip = Some(sent.elapsed());
                }
                Ok(())
            }
            Kind::Bye(bye) => {
                info!(peer = %self.peer.point, reason = %bye.reason.escape_debug(), "peer ends the session");
                Err(Ended::ByPeer)
            }
        }
    }

    async fn greet(&mut self, hello: v1::Hello) -> Result<(), Ended> {
        if self.greeted {
            return Err(Ended::Protocol("two greetings"));
        }
        if hello.network != self.parts.keys.network || hello.point != self.peer.point.as_str() {
            return Err(Ended::OtherPeer);
        }
        self.greeted = true;
        self.pinged = Some(Instant::now());
        self.out.control(frame(Kind::Ping(v1::Ping { nonce: 0 })))?;
        self.grant()?;
        self.look(true).await
    }

    // --- heads

    async fn heads(&mut self, heads: v1::Heads) -> Result<(), Ended> {
        if heads.seals.len() > HEADS_MAX {
            return Err(Ended::Protocol("too many heads"));
        }
        for message in heads.seals {
            let known = Seal::read(message.clone())
                .ok()
                .and_then(|seal| self.theirs.get(&seal.statement().feed).cloned())
                .is_some_and(|known| *known.message() == message);
            if known {
                continue;
            }
            if self.theirs.len() + self.unchecked.len() > FEEDS_MAX {
                return Err(Ended::Protocol("too many feeds"));
            }
            if let Some(seal) = self.check(message) {
                self.learn(seal).await;
            }
        }
        for message in heads.statements.into_iter().take(HEADS_MAX) {
            self.statement(message).await;
        }
        for proof in heads.equivocations.into_iter().take(16) {
            for message in [proof.one, proof.other].into_iter().flatten() {
                if let Some(seal) = self.check(message) {
                    self.parts.writer.remember(seal).await;
                }
            }
        }
        self.ask().await
    }

    async fn statement(&mut self, message: v1::SignedHeads) {
        let now = self.parts.outside.now();
        let Some((home, heard)) = statement::verify(&message, &self.parts.keys, now) else {
            if self.unchecked_statements.len() < HEADS_MAX {
                self.unchecked_statements.push(message);
            }
            return;
        };
        self.statements_told.insert(home.clone(), heard.number);
        if self.parts.heads.hear(&home, heard.clone()) {
            self.parts.writer.hear(home, heard).await;
        }
    }

    /// A seal that its home has signed and this node may hold the feed of. One that no key fits yet
    /// is kept for when the roster has come.
    fn check(&mut self, message: v1::Seal) -> Option<Arc<Seal>> {
        let seal = Seal::read(message).ok()?;
        let feed = seal.statement().feed.clone();
        if !feed.audience.is_shared() {
            return None;
        }
        match self.parts.keys.verify(&seal) {
            Ok(()) if self.parts.keys.may_hold(&feed) => Some(Arc::new(seal)),
            Ok(()) => None,
            Err(error) => {
                debug!(?seal, %error, peer = %self.peer.point, "seal not accepted");
                if seal.statement().network == self.parts.keys.network
                    && feed.audience != Audience::Roster
                {
                    self.unchecked.insert(feed, seal);
                }
                None
            }
        }
    }

    async fn learn(&mut self, seal: Arc<Seal>) {
        let feed = seal.statement().feed.clone();
        let newer = self.theirs.get(&feed).is_none_or(|known| seal.is_after(known));
        // Kept whether it is news or not, unless it is the very one that is known: two seals of one
        // number are found whatever order they come in, also when the feed has long moved on.
        let known = self.parts.heads.find(&feed).is_some_and(|view| {
            let held = view.held.as_ref().and_then(|held| held.seal.as_ref());
            [view.head.as_ref(), held].into_iter().flatten().any(|known| **known == *seal)
        });
        if !known {
            self.parts.heads.raise(&seal);
            self.parts.writer.remember(seal.clone()).await;
        }
        if newer {
            self.theirs.insert(feed, seal);
        }
    }

    /// Announces what has changed here, re-checks the peer, and asks for what is missing.
    async fn look(&mut self, everything: bool) -> Result<(), Ended> {
        if !self.greeted {
            return Ok(());
        }
        let roster_feed = self.parts.keys.roster_feed();
        if self.out.has_room() {
            let (changed, revision) = self.parts.heads.since(self.revision);
            let roster_changed = changed.iter().any(|(feed, _)| *feed == roster_feed);
            if roster_changed {
                self.roster_changed().await?;
            }
            let all = if roster_changed { self.parts.heads.all() } else { changed };
            self.announce(all).await?;
            self.revision = revision;
            self.announce_statements()?;
        }
        if everything || !self.theirs.is_empty() {
            self.ask().await?;
        }
        Ok(())
    }

    async fn roster_changed(&mut self) -> Result<(), Ended> {
        if !(self.peer.admitted)(&self.parts.keys) {
            return Err(Ended::NotAdmitted);
        }
        let roster = self.parts.keys.roster();
        let roster_feed = self.parts.keys.roster_feed();
        // Feeds that the peer may not hold any more are not served to the end.
        let entitled =
            |feed: &FeedId| *feed == roster_feed || roster.may_node_hold(&self.peer.point, feed);
        self.announced.retain(|feed, _| entitled(feed));
        for message in std::mem::take(&mut self.unchecked_statements) {
            self.statement(message).await;
        }
        for (_, seal) in std::mem::take(&mut self.unchecked) {
            if let Some(seal) = self.check(seal.message().clone()) {
                self.learn(seal).await;
            }
        }
        Ok(())
    }

    async fn announce(
        &mut self,
        views: Vec<(FeedId, crate::feed::heads::View)>,
    ) -> Result<(), Ended> {
        let roster = self.parts.keys.roster();
        let roster_feed = self.parts.keys.roster_feed();
        let mut seals = Vec::new();
        for (feed, view) in views {
            let entitled = feed == roster_feed
                || roster.may_node_hold(&self.peer.point, &feed)
                || planted::is(Fault::SkipEntitlement);
            if !feed.audience.is_shared() || !entitled {
                continue;
            }
            if view.frozen && self.frozen_told.insert(feed.clone(), ()).is_none() {
                self.tell_equivocation(&feed).await?;
            }
            let Some(seal) = view.relayed() else { continue };
            let statement = seal.statement();
            let version = (statement.epoch.counter, statement.number);
            // The peer has said so itself, or we have.
            let known = self.theirs.get(&feed).is_some_and(|theirs| theirs.hash() == seal.hash());
            if self.announced.insert(feed.clone(), version) == Some(version) || known {
                continue;
            }
            if feed == roster_feed {
                seals.insert(0, seal.message().clone());
            } else {
                seals.push(seal.message().clone());
            }
        }
        for chunk in seals.chunks(HEADS_MAX) {
            let heads = v1::Heads { seals: chunk.to_vec(), ..Default::default() };
            self.out.control(frame(Kind::Heads(heads)))?;
        }
        Ok(())
    }

    async fn tell_equivocation(&mut self, feed: &FeedId) -> Result<(), Ended> {
        use prost::Message;
        let Ok(found) = self.parts.store.equivocations().await else { return Ok(()) };
        let proofs = found.into_iter().filter(|found| found.feed == *feed);
        let equivocations: Vec<v1::Equivocation> =
            proofs.filter_map(|found| v1::Equivocation::decode(&found.proof[..]).ok()).collect();
        let heads = v1::Heads { equivocations, ..Default::default() };
        Ok(self.out.control(frame(Kind::Heads(heads)))?)
    }

    fn announce_statements(&mut self) -> Result<(), Ended> {
        use prost::Message;
        let roster = self.parts.keys.roster();
        let mut statements = Vec::new();
        for (home, heard) in self.parts.heads.all_heard() {
            if roster.get(&home).is_none()
                || self.statements_told.get(&home).is_some_and(|told| *told >= heard.number)
            {
                continue;
            }
            self.statements_told.insert(home, heard.number);
            if let Ok(statement) = v1::SignedHeads::decode(&heard.statement[..]) {
                statements.push(statement);
            }
        }
        for chunk in statements.chunks(64) {
            let heads = v1::Heads { statements: chunk.to_vec(), ..Default::default() };
            self.out.control(frame(Kind::Heads(heads)))?;
        }
        Ok(())
    }

    // --- pulling

    /// Asks for every feed the peer is ahead in, the roster first.
    async fn ask(&mut self) -> Result<(), Ended> {
        let now = Instant::now();
        let mut wanted: Vec<Arc<Seal>> = Vec::new();
        for (feed, seal) in &self.theirs {
            if self.pulls.values().any(|pulling| pulling.feed == *feed)
                || self.backoff.get(feed).is_some_and(|backoff| backoff.until > now)
            {
                continue;
            }
            if self.parts.heads.find(feed).is_none_or(|view| view.lacks(seal)) {
                wanted.push(seal.clone());
            }
        }
        wanted.sort_by_key(|seal| seal.statement().feed.audience != Audience::Roster);
        for seal in wanted {
            if self.pulls.len() >= PULLS_MAX {
                break;
            }
            let feed = seal.statement().feed.clone();
            let Some(granted) = self.parts.writer.open(seal, self.peer.point.clone()).await else {
                continue;
            };
            let pull = v1::Pull {
                home: feed.home.to_string(),
                audience: feed.audience as u32,
                epoch: Some(granted.epoch.into()),
                after: granted.after.0,
                pull: granted.pull,
                cancel: false,
            };
            self.pulls.insert(granted.pull, Pulling { feed, after: granted.after });
            self.out.control(frame(Kind::Pull(pull)))?;
        }
        Ok(())
    }

    async fn page(&mut self, page: v1::Page) -> Result<(), Ended> {
        // A page of a pull that was given up: its bytes have used up credit all the same.
        if !self.pulls.contains_key(&page.pull) {
            self.window.stored(page.rows_zstd.len() as u64, Instant::now());
            return self.grant();
        }
        if page.gone {
            if let Some(pulling) = self.pulls.remove(&page.pull) {
                self.theirs.remove(&pulling.feed);
                self.parts.writer.close(pulling.feed, page.pull).await;
            }
            return Ok(());
        }
        let arrived = page.rows_zstd.len();
        self.waiting.push_back(Waiting { page, arrived });
        self.store_waiting().await
    }

    /// Hands over as many waiting pages as may be under way at one time.
    async fn store_waiting(&mut self) -> Result<(), Ended> {
        while self.deliveries.len() < DELIVERIES_MAX {
            let Some(Waiting { page, arrived }) = self.waiting.pop_front() else { break };
            let number = page.pull;
            let Some(delivery) = self.unpack(page)? else {
                self.window.stored(arrived as u64, Instant::now());
                self.grant()?;
                continue;
            };
            let writer = self.parts.writer.clone();
            self.deliveries.push(Box::pin(async move {
                (number, arrived as u64, writer.deliver(delivery).await)
            }));
        }
        Ok(())
    }

    fn unpack(&mut self, page: v1::Page) -> Result<Option<inflow::Delivery>, Ended> {
        let Some(pulling) = self.pulls.get(&page.pull) else { return Ok(None) };
        let (feed, after) = (pulling.feed.clone(), pulling.after);
        let seal = page
            .seal
            .and_then(|message| Seal::read(message).ok())
            .filter(|seal| seal.statement().feed == feed)
            .filter(|seal| self.parts.keys.verify(seal).is_ok());
        let Some(seal) = seal else { return Err(Ended::Protocol("page without a good seal")) };
        let rows = self.unpacker.unpack(&page.rows_zstd, page.rows_len);
        let Some(rows) = rows else { return Err(Ended::Protocol("page cannot be read")) };
        let last = rows.last().map(|row| row.sequence);
        let delivery = inflow::delivery(after, feed, page.pull, rows, seal, page.reaches_seal)
            .map_err(|_| Ended::Protocol("rows out of order"))?;
        if let (Some(last), Some(pulling)) = (last, self.pulls.get_mut(&page.pull)) {
            pulling.after = last;
        }
        Ok(Some(delivery))
    }

    async fn delivered(&mut self, pull: u64, bytes: u64, outcome: Outcome) -> Result<(), Ended> {
        self.window.stored(bytes, Instant::now());
        self.grant()?;
        match outcome {
            Outcome::Stored => {}
            Outcome::Reached => {
                if let Some(pulling) = self.pulls.remove(&pull) {
                    self.backoff.remove(&pulling.feed);
                }
            }
            Outcome::Dropped => {
                if let Some(pulling) = self.pulls.remove(&pull) {
                    self.cancel(pull, &pulling)?;
                }
            }
            Outcome::Mismatch => {
                if let Some(pulling) = self.pulls.remove(&pull) {
                    warn!(peer = %self.peer.point, feed = %pulling.feed, "delivery does not add up");
                    self.cancel(pull, &pulling)?;
                    let request = v1::RecentSealsRequest {
                        home: pulling.feed.home.to_string(),
                        audience: pulling.feed.audience as u32,
                    };
                    self.out.control(frame(Kind::RecentSealsRequest(request)))?;
                    let backoff = self
                        .backoff
                        .entry(pulling.feed)
                        .or_insert(Backoff { until: Instant::now(), next: MISMATCH_BACKOFF_MIN });
                    backoff.until = Instant::now() + backoff.next;
                    backoff.next = (backoff.next * 2).min(MISMATCH_BACKOFF_MAX);
                }
            }
        }
        self.store_waiting().await?;
        self.ask().await
    }

    fn cancel(&self, pull: u64, pulling: &Pulling) -> Result<(), NotReading> {
        let cancel = v1::Pull {
            home: pulling.feed.home.to_string(),
            audience: pulling.feed.audience as u32,
            pull,
            cancel: true,
            ..Default::default()
        };
        self.out.control(frame(Kind::Pull(cancel)))
    }

    fn grant(&mut self) -> Result<(), Ended> {
        let bytes = self.window.grant(Instant::now());
        if bytes > 0 {
            self.out.control(frame(Kind::Credit(v1::Credit { bytes })))?;
        }
        Ok(())
    }

    // --- serving

    fn pull_asked(&mut self, pull: v1::Pull) -> Result<(), Ended> {
        if pull.cancel {
            if let Some(served) = self.served.remove(&pull.pull) {
                served.abort();
            }
            return Ok(());
        }
        if self.served.len() >= SERVED_MAX {
            return Err(Ended::Protocol("too many pulls"));
        }
        let parsed = (|| {
            let audience = Audience::from_number(i64::from(pull.audience))?;
            let feed = FeedId::new(pull.home.parse().ok()?, audience);
            Some((feed, seal::epoch(pull.epoch?)?, Sequence(pull.after)))
        })();
        let Some((feed, epoch, after)) = parsed else { return Err(Ended::Protocol("bad pull")) };
        let slot = self.servable(&feed, epoch, after);
        let number = pull.pull;
        let Some(slot) = slot else {
            let page = v1::Page { pull: number, gone: true, ..Default::default() };
            return Ok(self.out.control(frame(Kind::Page(page)))?);
        };
        let pages = match feed.audience {
            Audience::Roster => self.out.roster_pages.clone(),
            _ => self.out.pages.clone(),
        };
        let serving = Serving { pull: number, slot, epoch, after };
        let (store, credit) = (self.parts.store.clone(), self.credit.clone());
        let task = self.serving.spawn(async move {
            serve(store, serving, credit, pages).await;
            number
        });
        self.served.insert(number, task);
        Ok(())
    }

    /// The copy to serve from: one that the peer may hold, of the epoch it asks for, that can be
    /// relayed, and that is not behind the peer.
    fn servable(&self, feed: &FeedId, epoch: Epoch, after: Sequence) -> Option<crate::store::Slot> {
        let keys = &self.parts.keys;
        let entitled = *feed == keys.roster_feed()
            || (feed.audience.is_shared() && keys.roster().may_node_hold(&self.peer.point, feed));
        let held = self.parts.heads.find(feed)?.held?;
        let fits = held.epoch == epoch && held.state.is_relayed() && held.sequence >= after;
        (entitled && fits).then_some(held.slot)
    }

    async fn recent_seals_asked(&mut self, request: v1::RecentSealsRequest) -> Result<(), Ended> {
        let audience = Audience::from_number(i64::from(request.audience));
        let (Some(audience), Ok(home)) = (audience, request.home.parse()) else {
            return Err(Ended::Protocol("bad request for seals"));
        };
        let feed = FeedId::new(home, audience);
        let keys = &self.parts.keys;
        let entitled = feed.audience.is_shared()
            && (feed == keys.roster_feed() || keys.roster().may_node_hold(&self.peer.point, &feed));
        if !entitled {
            return Ok(());
        }
        let kept = self.parts.store.recent_seals(&feed, RECENT_SEALS).await.unwrap_or_default();
        let seals = kept.iter().filter_map(|bytes| prost::Message::decode(&bytes[..]).ok());
        let seals: Vec<v1::Seal> = seals.collect();
        Ok(self.out.control(frame(Kind::RecentSeals(v1::RecentSeals { seals })))?)
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
