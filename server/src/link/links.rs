//! A node's links: who is connected, sessions that are accepted, and the loop that dials a parent.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::StreamExt;
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use yizhan_proto::v1::{self, Frame};

use super::{
    frame::FRAME_MAX,
    session::{self, Broken, Ended, Parts, Pulse},
};
use crate::{
    domain::{id::PointCode, roster::NodeId, time::Time},
    feed::keyring::Keyring,
    store::FeedStore,
};

/// Frames handed to HTTP/2 at one time. What is more urgent overtakes what waits behind them.
const WIRE: usize = 1;
/// First pause before dialling again; doubled up to the longest, with jitter, reset by any contact.
const REDIAL_MIN: Duration = Duration::from_millis(200);
const REDIAL_MAX: Duration = Duration::from_secs(300);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkState {
    Connected,
    Connecting,
    Down,
}

/// One neighbour, as status shows it.
#[derive(Clone)]
pub struct LinkView {
    pub peer: PointCode,
    pub state: LinkState,
    pub since: Time,
    pub last_contact: Option<Duration>,
    pub round_trip: Option<Duration>,
    /// Why it is not connected.
    pub reason: String,
}

struct Link {
    state: LinkState,
    since: Time,
    pulse: Arc<Pulse>,
    reason: String,
    sessions: usize,
    /// When its last session ended; none while there is one.
    ended: Option<Time>,
}

/// Who is connected. Shared by sessions, the dialler and status.
#[derive(Default)]
pub struct Links {
    links: Mutex<BTreeMap<PointCode, Link>>,
    dialled: AtomicU64,
}

/// What the other end of a connection has shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    pub point: PointCode,
    pub node: NodeId,
    pub spki_sha256: [u8; 32],
}

impl Identity {
    /// A node without a roster has nothing to check its parent against but the authority, which the
    /// handshake has done.
    pub fn is_admitted(&self, keys: &Keyring) -> bool {
        let roster = keys.roster();
        roster.is_empty() || roster.check_peer(&self.point, self.node, &self.spki_sha256).is_ok()
    }
}

impl Links {
    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<PointCode, Link>) -> T) -> T {
        act(&mut self.links.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// Sessions that this node has opened itself. When the number rises, the way to the network has
    /// been away before.
    pub fn dialled(&self) -> u64 {
        self.dialled.load(Ordering::Relaxed)
    }

    /// All neighbours of this run, connected or not.
    pub fn all(&self) -> Vec<LinkView> {
        self.with(|links| {
            let view = |(peer, link): (&PointCode, &Link)| LinkView {
                peer: peer.clone(),
                state: link.state,
                since: link.since,
                last_contact: (*link.pulse.last_contact.lock().unwrap_or_else(|p| p.into_inner()))
                    .map(|at| at.elapsed()),
                round_trip: *link.pulse.round_trip.lock().unwrap_or_else(|p| p.into_inner()),
                reason: link.reason.clone(),
            };
            links.iter().map(view).collect()
        })
    }

    /// Until when a neighbour was there: the end of its last session, or its last sign of life while
    /// one is open. None: not in this run, or no neighbour.
    pub fn there_until(&self, peer: &PointCode, now: Time) -> Option<Time> {
        let heard = |pulse: &Pulse| {
            let last = *pulse.last_contact.lock().unwrap_or_else(|p| p.into_inner());
            last.map(|at| Time::from_millis(now.millis() - at.elapsed().as_millis() as i64))
        };
        self.with(|links| {
            let link = links.get(peer)?;
            if link.sessions > 0 { heard(&link.pulse) } else { link.ended }
        })
    }

    fn note(&self, peer: &PointCode, state: LinkState, now: Time, reason: String) {
        self.with(|links| {
            let link = links.entry(peer.clone()).or_insert(Link {
                state,
                since: now,
                pulse: Arc::default(),
                reason: String::new(),
                sessions: 0,
                ended: None,
            });
            if link.sessions == 0 {
                if link.state != state {
                    link.since = now;
                }
                link.state = state;
                link.reason = reason;
            }
        });
    }

    fn open(&self, peer: &PointCode, now: Time) -> Arc<Pulse> {
        self.note(peer, LinkState::Connected, now, String::new());
        self.with(|links| match links.get_mut(peer) {
            Some(link) => {
                if link.sessions == 0 {
                    link.pulse = Arc::default();
                }
                link.sessions += 1;
                link.ended = None;
                link.pulse.clone()
            }
            None => Arc::default(),
        })
    }

    fn close(&self, peer: &PointCode, now: Time, reason: String) {
        self.with(|links| {
            if let Some(link) = links.get_mut(peer) {
                link.sessions = link.sessions.saturating_sub(1);
                if link.sessions == 0 {
                    link.ended = Some(now);
                }
            }
        });
        self.note(peer, LinkState::Down, now, reason);
    }

    /// Runs a session over frames from and to an authenticated peer.
    pub async fn run<S, E>(
        self: Arc<Links>,
        parts: Parts<S>,
        identity: Identity,
        incoming: impl futures::Stream<Item = Result<Frame, E>> + Send + Unpin,
        wire: mpsc::Sender<Frame>,
        stop: CancellationToken,
    ) -> Ended
    where
        S: FeedStore,
        E: Into<Broken>,
    {
        let outside = parts.outside.clone();
        let point = identity.point.clone();
        let pulse = self.open(&point, outside.now());
        let admitted = {
            let identity = identity.clone();
            Box::new(move |keys: &Keyring| identity.is_admitted(keys))
        };
        let peer = session::Peer { point: point.clone(), admitted };
        info!(peer = %point, node = %identity.node, "session begins");
        // The session comes to its own end: a sender of frames that it had lent and not taken back
        // would keep the stream open, and with it the connection.
        let incoming = Box::pin(incoming.take_until(stop.clone().cancelled_owned()));
        let ended = match session::run(parts, peer, incoming, wire, pulse).await {
            _ if stop.is_cancelled() => Ended::Stopping,
            ended => ended,
        };
        info!(peer = %point, %ended, "session ends");
        self.close(&point, outside.now(), ended.to_string());
        ended
    }
}

/// Accepts a session that a neighbour has opened: the frames it will be sent.
pub fn accept<S: FeedStore>(
    links: Arc<Links>,
    parts: Parts<S>,
    identity: Identity,
    incoming: tonic::Streaming<v1::OpenSessionRequest>,
    stop: CancellationToken,
) -> ReceiverStream<Frame> {
    let (wire, frames) = mpsc::channel(WIRE);
    let incoming = incoming.map(|message| message.map(|m| m.frame.unwrap_or_default()));
    tokio::spawn(links.run(parts, identity, incoming, wire, stop));
    ReceiverStream::new(frames)
}

/// An open channel to a neighbour, and who is at its other end.
pub type Dialled = (tonic::transport::Channel, Identity);

/// Keeps a link to a neighbour: dials, runs the session, dials again.
pub async fn keep_dialling<S: FeedStore, F, E>(
    links: Arc<Links>,
    parts: Parts<S>,
    peer: PointCode,
    dial: impl Fn() -> F,
    stop: CancellationToken,
) where
    F: Future<Output = Result<Dialled, E>>,
    E: std::fmt::Display,
{
    let mut pause = REDIAL_MIN;
    while !stop.is_cancelled() {
        links.note(&peer, LinkState::Connecting, parts.outside.now(), String::new());
        let began = Instant::now();
        let dialled = tokio::select! {
            dialled = dial() => dialled,
            () = stop.cancelled() => return,
        };
        let reason = match dialled {
            Ok((channel, identity)) => {
                match open(&links, &parts, channel, identity, &stop).await {
                    Ok(ended) => {
                        // A peer that lets us in and throws us out at once is not contact.
                        if began.elapsed() > REDIAL_MIN * 5 {
                            pause = REDIAL_MIN;
                        }
                        ended.to_string()
                    }
                    Err(status) => status.message().to_owned(),
                }
            }
            Err(error) => error.to_string(),
        };
        warn!(%peer, %reason, pause_ms = pause.as_millis() as u64, "link is down, dialling again");
        links.note(&peer, LinkState::Down, parts.outside.now(), reason);
        // Full jitter over the upper half: a hub that comes back is not met by all at once.
        let [byte] = parts.outside.random::<1>();
        let jittered = pause.mul_f64(0.5 + f64::from(byte) / 512.0);
        tokio::select! {
            () = tokio::time::sleep(jittered) => {}
            () = stop.cancelled() => return,
        }
        pause = (pause * 2).min(REDIAL_MAX);
    }
}

async fn open<S: FeedStore>(
    links: &Arc<Links>,
    parts: &Parts<S>,
    channel: tonic::transport::Channel,
    identity: Identity,
    stop: &CancellationToken,
) -> Result<Ended, tonic::Status> {
    let (wire, frames) = mpsc::channel(WIRE);
    let requests =
        ReceiverStream::new(frames).map(|frame| v1::OpenSessionRequest { frame: Some(frame) });
    let mut client = v1::link_service_client::LinkServiceClient::new(channel)
        .max_decoding_message_size(FRAME_MAX)
        .max_encoding_message_size(FRAME_MAX);
    let incoming = client.open_session(requests).await?.into_inner();
    links.dialled.fetch_add(1, Ordering::Relaxed);
    let incoming = incoming.map(|message| message.map(|m| m.frame.unwrap_or_default()));
    let run = links.clone().run(parts.clone(), identity, incoming, wire, stop.clone());
    Ok(run.await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neighbour_was_there_until_its_last_session_ended_however_often_it_is_dialled() {
        let links = Links::default();
        let peer: PointCode = "GB-LON".parse().unwrap();
        let at = Time::from_millis;
        assert_eq!(links.there_until(&peer, at(0)), None);
        let pulse = links.open(&peer, at(1_000));
        *pulse.last_contact.lock().unwrap() = Some(Instant::now());
        assert!(links.there_until(&peer, at(60_000)) > Some(at(1_000)));
        links.close(&peer, at(5_000), "gone".into());
        links.note(&peer, LinkState::Connecting, at(9_000), String::new());
        assert_eq!(links.there_until(&peer, at(60_000)), Some(at(5_000)));
    }
}
