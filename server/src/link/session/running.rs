//! The session itself: what happens next, and how it ends.

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
use tracing::info;
use yizhan_proto::v1::{self, Frame, frame::Kind};

use super::{
    pulling::{Backoff, Deliveries, Pulling, Waiting},
    serving::Served,
};
use crate::{
    domain::{audience::FeedId, id::PointCode},
    feed::{
        heads::{Heads, List},
        keyring::Keyring,
        seal::Seal,
        writer::Writer,
    },
    link::{
        budget::{Total, Window},
        frame::{Unpacker, frame},
        outgoing::{NotReading, Outgoing},
        serving::Credit,
    },
    outside::Outside,
    store::FeedStore,
};

/// How often what could not be done is looked at again.
const TICK: Duration = Duration::from_secs(1);

/// A peer that has said nothing for so long is asked for a sign of life,
const PING_AFTER: Duration = Duration::from_secs(20);

/// and after so long given up. Any byte is life.
const SILENT_MAX: Duration = Duration::from_secs(35);

/// How often the way there and back is measured at the beginning; the shortest counts. Once is not
/// enough: a session begins when both sides have most to do.
const MEASURED: u32 = 4;

/// How long what arrived before a session ended may take to be stored.
const STORE_REST: Duration = Duration::from_secs(10);

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
    #[error("the peer ended it: {0}")]
    ByPeer(&'static str),
    #[error(
        "the peer sent a frame of more than 4 MiB (FRAME_TOO_LARGE): one of the two is to be upgraded"
    )]
    FrameTooLarge,
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

/// Why no further frame comes over a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    Gone,
    /// More than `FRAME_MAX` bytes.
    FrameTooLarge,
}

impl From<tonic::Status> for Broken {
    fn from(status: tonic::Status) -> Broken {
        // What gRPC finds too large to decode, and nothing else, is out of range.
        match status.code() {
            tonic::Code::OutOfRange => Broken::FrameTooLarge,
            _ => Broken::Gone,
        }
    }
}

impl From<std::io::Error> for Broken {
    fn from(_: std::io::Error) -> Broken {
        Broken::Gone
    }
}

impl From<()> for Broken {
    fn from((): ()) -> Broken {
        Broken::Gone
    }
}

impl From<Broken> for Ended {
    fn from(broken: Broken) -> Ended {
        match broken {
            Broken::Gone => Ended::Gone,
            Broken::FrameTooLarge => Ended::FrameTooLarge,
        }
    }
}

/// What a peer may say at the end, and how it is shown.
const FAREWELLS: [(&str, &str); 5] = [
    ("protocol", "we have broken the protocol"),
    ("frame_too_large", "we have sent a frame of more than 4 MiB (FRAME_TOO_LARGE)"),
    ("revoked", "the roster does not admit us: revoked"),
    ("silent", "we have been silent for too long"),
    ("draining", "it is stopping"),
];

impl From<NotReading> for Ended {
    fn from(_: NotReading) -> Ended {
        Ended::NotReading
    }
}

pub(super) struct Session<S: FeedStore> {
    pub(super) parts: Parts<S>,
    pub(super) peer: Peer,
    pub(super) out: Outgoing,
    pub(super) pulse: Arc<Pulse>,
    pub(super) greeted: bool,
    /// Seals the peer has announced and we have checked, newest per feed.
    pub(super) theirs: BTreeMap<FeedId, Arc<Seal>>,
    /// Seals that no key of our roster fits yet.
    pub(super) unchecked: BTreeMap<FeedId, Seal>,
    /// What we have announced: number of the seal per feed.
    pub(super) announced: HashMap<FeedId, (u64, u64)>,
    pub(super) revision: u64,
    /// In order, so that what happens does not depend on the hasher.
    pub(super) pulls: BTreeMap<u64, Pulling>,
    pub(super) waiting: VecDeque<Waiting>,
    /// Compressed bytes of them.
    pub(super) waiting_bytes: usize,
    pub(super) deliveries: Deliveries,
    /// Compressed bytes of the pages that are being stored.
    pub(super) storing: usize,
    pub(super) backoff: HashMap<FeedId, Backoff>,
    /// Times that the peer was asked for the seals it keeps, and has not answered.
    pub(super) seals_asked: usize,
    pub(super) window: Window,
    pub(super) credit: Arc<Credit>,
    pub(super) serving: JoinSet<u64>,
    pub(super) served: BTreeMap<u64, Served>,
    pub(super) unpacker: Unpacker,
    pub(super) last_heard: Instant,
    pub(super) pinged: Option<Instant>,
    /// Answers to pings.
    pub(super) answered: u32,
    /// Words of homes that no key of our roster fits yet.
    pub(super) unchecked_statements: Vec<v1::SignedHeads>,
    /// Proofs against homes that no key of our roster fits yet.
    pub(super) unchecked_proofs: Vec<v1::Equivocation>,
    pub(super) statements_told: HashMap<List, u64>,
    /// BLAKE3 of the proofs against a feed's home that the peer was told.
    pub(super) contradictions_told: HashMap<FeedId, [u8; 32]>,
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
    E: Into<Broken>,
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
        waiting_bytes: 0,
        deliveries: FuturesUnordered::new(),
        storing: 0,
        backoff: HashMap::new(),
        seals_asked: 0,
        credit: Arc::new(Credit::default()),
        serving: JoinSet::new(),
        served: BTreeMap::new(),
        unpacker: Unpacker::new(),
        last_heard: Instant::now(),
        pinged: None,
        answered: 0,
        unchecked_statements: Vec::new(),
        unchecked_proofs: Vec::new(),
        statements_told: HashMap::new(),
        contradictions_told: HashMap::new(),
        parts,
    };
    let ended = session.work(incoming).await;
    session.end(ended).await;
    ended
}

impl<S: FeedStore> Session<S> {
    pub(super) async fn work<E: Into<Broken>>(
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
                    Some(Err(broken)) => Err(broken.into().into()),
                    None => Err(Ended::Gone),
                },
                () = changed.changed(), if self.greeted => self.look(false).await,
                Some(done) = self.serving.join_next() => {
                    self.forget_served(done);
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
    pub(super) async fn end(&mut self, ended: Ended) {
        let reason = match ended {
            Ended::Gone | Ended::ByPeer(_) | Ended::NotReading => None,
            Ended::FrameTooLarge => Some("frame_too_large"),
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
        if matches!(ended, Ended::Gone | Ended::ByPeer(_) | Ended::Silent | Ended::Stopping) {
            // What has arrived whole is stored and need not be sent again.
            let _ = tokio::time::timeout(STORE_REST, self.store_rest()).await;
        }
        for (pull, pulling) in std::mem::take(&mut self.pulls) {
            self.parts.writer.close(pulling.feed, pull).await;
        }
        self.serving.abort_all();
    }

    pub(super) async fn tick(&mut self) -> Result<(), Ended> {
        let silent = self.last_heard.elapsed();
        if silent > SILENT_MAX {
            return Err(Ended::Silent);
        }
        if self.greeted && self.pinged.is_none() && silent > PING_AFTER {
            self.ping()?;
        }
        self.look(true).await
    }

    fn ping(&mut self) -> Result<(), Ended> {
        self.pinged = Some(Instant::now());
        Ok(self.out.control(frame(Kind::Ping(v1::Ping { nonce: self.revision })))?)
    }

    pub(super) async fn heard(&mut self, heard: Frame) -> Result<(), Ended> {
        self.last_heard = Instant::now();
        *self.pulse.last_contact.lock().unwrap_or_else(|p| p.into_inner()) = Some(self.last_heard);
        // A kind that a newer version has added.
        let Some(kind) = heard.kind else { return Ok(()) };
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
            Kind::RecentSeals(recent) => self.recent_seals(recent).await,
            Kind::Ping(ping) => {
                Ok(self.out.control(frame(Kind::Pong(v1::Pong { nonce: ping.nonce })))?)
            }
            Kind::Pong(_) => {
                if let Some(sent) = self.pinged.take() {
                    self.window.answered(sent.elapsed());
                    let mut round_trip =
                        self.pulse.round_trip.lock().unwrap_or_else(|p| p.into_inner());
                    *round_trip = Some(sent.elapsed());
                    drop(round_trip);
                    self.answered = self.answered.saturating_add(1);
                    if self.answered < MEASURED {
                        return self.ping();
                    }
                }
                Ok(())
            }
            Kind::Bye(bye) => {
                info!(peer = %self.peer.point, reason = %bye.reason.escape_debug(), "peer ends the session");
                let known = FAREWELLS.iter().find(|(reason, _)| *reason == bye.reason);
                Err(Ended::ByPeer(known.map_or("for a reason of its own", |(_, shown)| shown)))
            }
        }
    }

    pub(super) async fn greet(&mut self, hello: v1::Hello) -> Result<(), Ended> {
        if self.greeted {
            return Err(Ended::Protocol("two greetings"));
        }
        if hello.network != self.parts.keys.network || hello.point != self.peer.point.as_str() {
            return Err(Ended::OtherPeer);
        }
        self.greeted = true;
        self.ping()?;
        self.grant()?;
        self.look(true).await
    }
}
