//! A TCP line between two nodes that can be made bad: delayed, thin, stalled, silent, cut.
//!
//! A fault takes effect while connections run and is counted where it takes effect. What was asked
//! for and never happened is named by [`Proxy::inert`]: a test whose fault did not fire proves nothing.

mod ledger;
mod line;
mod tape;
#[cfg(test)]
mod tests;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Semaphore, watch},
    task::{JoinHandle, JoinSet},
    time::Instant,
};

pub use self::ledger::{Counts, Fault, Flow};
use self::{ledger::Ledger, line::carry, tape::Tapes};

/// Connections carried at once; further ones are refused (and not counted as a fault).
const CONNECTIONS_MAX: usize = 1_024;
/// Socket buffers of the proxy. Small, so that what is under way lies on our line and not in the kernel.
const SOCKET_BUFFER: u32 = 128 * 1024;
const BACKLOG: u32 = 1_024;

/// Which way bytes go, as seen from the end that dials.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Direction {
    /// From the dialling end to the accepting end.
    Up,
    /// From the accepting end to the dialling end.
    Down,
}

impl Direction {
    pub const BOTH: [Direction; 2] = [Direction::Up, Direction::Down];
}

/// A line on loopback from [`Proxy::address`] to a target. Dropped, it ends every connection.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub async fn start(target: SocketAddr) -> io::Result<Proxy> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(SOCKET_BUFFER)?;
        socket.set_send_buffer_size(SOCKET_BUFFER)?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(target));
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Ok(Proxy { address, shared, accepting })
    }

    /// Where the dialling end connects to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends new connections elsewhere: a node that was started again has another port.
    pub fn set_target(&self, target: SocketAddr) {
        *self.shared.target.lock().expect("BUG: poisoned") = target;
    }

    /// Every byte arrives `delay` later. Throughput stays: bytes follow each other on the line.
    pub fn delay(&self, direction: Direction, delay: Duration) {
        self.shared.plan(direction, Fault::Delay, !delay.is_zero());
        self.shared.side(direction).change(|faults| faults.delay = delay);
    }

    /// At most `bytes_per_s` go this way, over all connections together; `None` lifts the limit.
    pub fn throttle(&self, direction: Direction, bytes_per_s: Option<u64>) {
        self.shared.plan(direction, Fault::Throttle, bytes_per_s.is_some());
        self.shared.side(direction).change(|faults| faults.bytes_per_s = bytes_per_s);
    }

    /// Bytes wait in front of the line, and go on when the stall ends: a partition without loss.
    pub fn stall(&self, direction: Direction, stalled: bool) {
        self.shared.plan(direction, Fault::Stall, stalled);
        self.shared.side(direction).change(|faults| faults.stalled = stalled);
    }

    /// Bytes vanish, and so does the end of a connection: half-open, as behind a router that forgot
    /// it. A connection that lost bytes stays silent, and is reset by [`Proxy::heal`].
    pub fn swallow(&self, direction: Direction) {
        self.shared.plan(direction, Fault::Swallow, true);
        self.shared.side(direction).change(|faults| faults.swallowing = true);
    }

    /// Resets every connection that runs now. New ones are carried.
    pub fn cut(&self) {
        self.shared.plan(Direction::Up, Fault::Cut, true);
        self.shared.cut_now();
    }

    /// Cuts every connection once `bytes` more have gone this way: exactly so many arrive.
    pub fn cut_after(&self, direction: Direction, bytes: u64) {
        self.shared.plan(Direction::Up, Fault::Cut, true);
        *self.shared.side(direction).cut_after.lock().expect("BUG: poisoned") = Some(bytes);
    }

    /// New connections are closed at once, until healed. Running ones are left alone.
    pub fn refuse(&self) {
        self.shared.plan(Direction::Up, Fault::Refuse, true);
        self.shared.refusing.store(true, Ordering::SeqCst);
    }

    /// No line at all: cuts what runs and refuses what comes, until healed.
    pub fn break_line(&self) {
        self.refuse();
        // Nothing may run at this moment, so the cut is not held against the test as inert.
        self.shared.cut_now();
    }

    /// Lifts every fault. Connections that lost bytes are reset, the others go on.
    pub fn heal(&self) {
        for direction in Direction::BOTH {
            let side = self.shared.side(direction);
            *side.cut_after.lock().expect("BUG: poisoned") = None;
            side.change(|faults| *faults = Faults::default());
        }
        self.shared.refusing.store(false, Ordering::SeqCst);
        self.shared.mended.send_modify(|times| *times += 1);
    }

    /// Keeps from now on every byte that arrives, for whoever wants to know what a listener on the
    /// line learns.
    pub fn record(&self) {
        self.shared.tapes.record();
    }

    /// What has arrived since: a tape for each direction of each connection.
    #[track_caller]
    pub fn tapes(&self) -> Vec<Vec<u8>> {
        self.shared.tapes.all()
    }

    /// What has gone over the line, and what every fault did to it.
    pub fn counts(&self) -> Counts {
        self.shared.ledger.counts()
    }

    /// Connections carried at this moment.
    pub fn open_connections(&self) -> u64 {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Faults that were asked for and have not happened since.
    pub fn inert(&self) -> Vec<(Direction, Fault)> {
        self.shared.ledger.inert()
    }

    /// Fails the test if a fault that it asked for never happened.
    #[track_caller]
    pub fn assert_faults_fired(&self) {
        let inert = self.inert();
        assert!(
            inert.is_empty(),
            "faults that never fired: {inert:?}; counts: {:?}",
            self.counts()
        );
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// What is wrong with one direction at this moment.
#[derive(Clone, Copy, Default)]
struct Faults {
    delay: Duration,
    bytes_per_s: Option<u64>,
    stalled: bool,
    swallowing: bool,
}

/// One direction of the line, shared by its connections.
struct Side {
    faults: watch::Sender<Faults>,
    /// When the throttled line is free again.
    free_at: Mutex<Option<Instant>>,
    /// Bytes until the cut, if one is set.
    cut_after: Mutex<Option<u64>>,
}

impl Side {
    fn new() -> Side {
        let faults = watch::Sender::new(Faults::default());
        Side { faults, free_at: Mutex::new(None), cut_after: Mutex::new(None) }
    }

    fn change(&self, change: impl FnOnce(&mut Faults)) {
        self.faults.send_modify(change);
    }
}

struct Shared {
    target: Mutex<SocketAddr>,
    up: Side,
    down: Side,
    refusing: AtomicBool,
    /// Rises when everything that runs is to be reset.
    cuts: watch::Sender<u64>,
    /// Rises when connections that lost bytes are to be reset.
    mended: watch::Sender<u64>,
    open: AtomicU64,
    ledger: Ledger,
    tapes: Tapes,
}

impl Shared {
    fn new(target: SocketAddr) -> Shared {
        Shared {
            target: Mutex::new(target),
            up: Side::new(),
            down: Side::new(),
            refusing: AtomicBool::new(false),
            cuts: watch::Sender::new(0),
            mended: watch::Sender::new(0),
            open: AtomicU64::new(0),
            ledger: Ledger::default(),
            tapes: Tapes::default(),
        }
    }

    fn side(&self, direction: Direction) -> &Side {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    fn cut_now(&self) {
        self.cuts.send_modify(|times| *times += 1);
    }

    fn plan(&self, direction: Direction, fault: Fault, set: bool) {
        if set {
            self.ledger.plan(direction, fault);
        }
    }
}

/// Accepts until aborted; its connections end with it.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((dialled, _)) = listener.accept().await else { continue };
        if shared.refusing.load(Ordering::SeqCst) {
            shared.ledger.happened(Direction::Up, Fault::Refuse, 1);
            reset(&dialled);
            continue;
        }
        let Ok(place) = places.clone().try_acquire_owned() else {
            reset(&dialled);
            continue;
        };
        let shared = shared.clone();
        connections.spawn(async move {
            let _place = place;
            let _open = Open::count(&shared);
            connect_through(dialled, &shared).await;
        });
    }
}

/// Carries one connection until an end closes it or a cut resets it.
async fn connect_through(mut dialled: TcpStream, shared: &Shared) {
    let mut cuts = shared.cuts.subscribe();
    let target = *shared.target.lock().expect("BUG: poisoned");
    let Ok(mut accepted) = dial(target).await else { return reset(&dialled) };
    let lost = AtomicBool::new(false);
    let carried = {
        let (from_dialled, to_dialled) = dialled.split();
        let (from_accepted, to_accepted) = accepted.split();
        let both = async {
            tokio::try_join!(
                carry(Direction::Up, from_dialled, to_accepted, shared, &lost),
                carry(Direction::Down, from_accepted, to_dialled, shared, &lost),
            )
        };
        tokio::select! {
            biased;
            _ = cuts.changed() => {
                shared.ledger.happened(Direction::Up, Fault::Cut, 1);
                false
            }
            () = mended_after_loss(shared, &lost) => false,
            carried = both => carried.is_ok(),
        }
    };
    if !carried {
        // A reset of one end is passed on as a reset, as is a cut.
        reset(&dialled);
        reset(&accepted);
    }
}

async fn dial(target: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(SOCKET_BUFFER)?;
    socket.set_send_buffer_size(SOCKET_BUFFER)?;
    let stream = socket.connect(target).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn mended_after_loss(shared: &Shared, lost: &AtomicBool) {
    let mut mended = shared.mended.subscribe();
    while mended.changed().await.is_ok() {
        if lost.load(Ordering::SeqCst) {
            return;
        }
    }
}

/// Closing will send a reset instead of an orderly end.
fn reset(stream: &TcpStream) {
    // Fails only where the other end was quicker.
    let _ = stream.set_zero_linger();
}

/// Counts a connection while it is carried, however it ends.
struct Open<'a>(&'a Shared);

impl Open<'_> {
    fn count(shared: &Shared) -> Open<'_> {
        shared.open.fetch_add(1, Ordering::SeqCst);
        shared.ledger.connected();
        Open(shared)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}
