//! What is on its way out to neighbours, and what has come in from them: bounded per neighbour, so
//! that a slow or greedy one harms only itself. What does not fit is dropped; senders send again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tracing::debug;
use yizhan_proto::v1::{self, Frame, frame::Kind};

use crate::{domain::id::PointCode, link::frame::frame};

/// Bytes that wait for one neighbour to take them.
const OUT_BYTES: usize = 2 * 1_024 * 1_024;
/// Frames that wait for one neighbour.
const OUT_FRAMES: usize = 1_024;
/// Bytes of parcels from one neighbour that wait to be looked at,
const IN_BYTES: usize = 4 * 1_024 * 1_024;
/// and from all of them.
const IN_BYTES_ALL: usize = 64 * 1_024 * 1_024;
/// Frames that wait to be looked at.
const IN_FRAMES: usize = 4_096;
/// Parcels or settlements in one frame.
pub(super) const FRAME_ITEMS: usize = 64;
/// A frame takes further parcels up to this size: small ones share a frame, and a feed's pages do
/// not wait long behind it.
const FRAME_BYTES: usize = 64 * 1_024;
/// What a frame costs at least, so that empty ones are not free.
const FRAME_COST: usize = 256;

/// Something that arrived. Its room is given back when it is dropped.
pub(super) struct Arrived {
    pub peer: PointCode,
    pub kind: Kind,
    pub room: Vec<OwnedSemaphorePermit>,
}

struct Queued {
    frame: Frame,
    _room: OwnedSemaphorePermit,
}

/// One session's way out.
struct Lane {
    /// Tells sessions of one neighbour apart.
    session: mpsc::Sender<Frame>,
    queue: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
}

pub(super) struct Lanes {
    lanes: Mutex<HashMap<PointCode, Vec<Lane>>>,
    arrivals: mpsc::Sender<Arrived>,
    all_in: Arc<Semaphore>,
    room_in: Mutex<HashMap<PointCode, Arc<Semaphore>>>,
}

impl Lanes {
    pub fn new() -> (Lanes, mpsc::Receiver<Arrived>) {
        let (arrivals, arrived) = mpsc::channel(IN_FRAMES);
        let lanes = Lanes {
            lanes: Mutex::default(),
            arrivals,
            all_in: Arc::new(Semaphore::new(IN_BYTES_ALL)),
            room_in: Mutex::default(),
        };
        (lanes, arrived)
    }

    /// Takes what a neighbour sent, if there is room for it.
    pub fn arrived(&self, peer: &PointCode, kind: Kind) {
        let bytes = match &kind {
            Kind::Parcels(parcels) => parcels.parcels.iter().map(parcel_len).sum(),
            Kind::Settled(settled) => settled.settlements.iter().map(settlement_len).sum(),
            _ => return,
        };
        let cost = FRAME_COST.max(bytes) as u32;
        let own = {
            let mut rooms = self.room_in.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let room = rooms.entry(peer.clone());
            room.or_insert_with(|| Arc::new(Semaphore::new(IN_BYTES))).clone()
        };
        let room = own
            .try_acquire_many_owned(cost)
            .and_then(|own| Ok(vec![own, self.all_in.clone().try_acquire_many_owned(cost)?]));
        let Ok(room) = room else {
            debug!(%peer, bytes, "no room for parcels, dropped");
            return;
        };
        if self.arrivals.try_send(Arrived { peer: peer.clone(), kind, room }).is_err() {
            debug!(%peer, "no room for parcels, dropped");
        }
    }

    pub fn connected(&self, peer: &PointCode, session: mpsc::Sender<Frame>) {
        let (queue, mut queued) = mpsc::channel::<Queued>(OUT_FRAMES);
        let wire = session.clone();
        tokio::spawn(async move {
            while let Some(Queued { frame, _room }) = queued.recv().await {
                if wire.send(frame).await.is_err() {
                    return;
                }
            }
        });
        let lane = Lane { session, queue, room: Arc::new(Semaphore::new(OUT_BYTES)) };
        self.with(|lanes| lanes.entry(peer.clone()).or_default().push(lane));
    }

    pub fn disconnected(&self, peer: &PointCode, session: &mpsc::Sender<Frame>) {
        self.with(|lanes| {
            if let Some(open) = lanes.get_mut(peer) {
                open.retain(|lane| !lane.session.same_channel(session));
                if open.is_empty() {
                    lanes.remove(peer);
                }
            }
        });
    }

    /// Sends parcels by a neighbour, in order; says how many of them found room.
    pub fn send_parcels(&self, peer: &PointCode, parcels: Vec<v1::Parcel>) -> usize {
        let pack = |parcels| Kind::Parcels(v1::Parcels { parcels });
        self.send(peer, parcels, parcel_len, pack)
    }

    pub fn send_settlements(&self, peer: &PointCode, settlements: Vec<v1::Settlement>) {
        let pack = |settlements| Kind::Settled(v1::Settled { settlements });
        self.send(peer, settlements, settlement_len, pack);
    }

    fn send<T>(
        &self,
        peer: &PointCode,
        items: Vec<T>,
        len: impl Fn(&T) -> usize,
        pack: impl Fn(Vec<T>) -> Kind,
    ) -> usize {
        let mut sent = 0;
        let mut items = items.into_iter().peekable();
        while items.peek().is_some() {
            let (mut batch, mut bytes) = (Vec::new(), 0);
            while let Some(item) = items.next_if(|item| {
                batch.is_empty() || batch.len() < FRAME_ITEMS && bytes + len(item) <= FRAME_BYTES
            }) {
                bytes += len(&item);
                batch.push(item);
            }
            let count = batch.len();
            if !self.queue(peer, bytes, frame(pack(batch))) {
                break;
            }
            sent += count;
        }
        sent
    }

    /// The newest session is the one most likely to live.
    fn queue(&self, peer: &PointCode, bytes: usize, frame: Frame) -> bool {
        self.with(|lanes| {
            let Some(lane) = lanes.get(peer).and_then(|open| open.last()) else { return false };
            let room = lane.room.clone().try_acquire_many_owned(FRAME_COST.max(bytes) as u32);
            let Ok(_room) = room else { return false };
            lane.queue.try_send(Queued { frame, _room }).is_ok()
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut HashMap<PointCode, Vec<Lane>>) -> T) -> T {
        act(&mut self.lanes.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }
}

fn parcel_len(parcel: &v1::Parcel) -> usize {
    parcel.body.len() + parcel.signature.len() + 16
}

fn settlement_len(settlement: &v1::Settlement) -> usize {
    settlement.body.len() + settlement.signature.len() + 16
}
