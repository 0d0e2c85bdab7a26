//! A machine of the simulated network: its disk and marks outlive its node, which is the real writer and
//! real link sessions over a simulated network.
//!
//! TLS is left out: one opening frame says who is there, and is believed.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use futures::{
    StreamExt,
    stream::{self, FuturesUnordered},
};
use prost::Message;
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
    time::timeout,
};
use turmoil::net::{TcpListener, TcpStream, tcp};
use yizhan_proto::v1::{self, tombstone::Reason};
use yizhan_server::{
    domain::{
        audience::FeedId,
        id::{PointCode, RecordId},
        kind::Kind,
        position::{Row, Sequence},
        time::Time,
    },
    feed::{
        change::Change,
        continuity::{MarkFile, Marks},
        heads::Heads,
        keyring::Keyring,
        seal::Seal,
        writer::{self, Writer},
    },
    link::{
        budget::Total,
        frame::FRAME_MAX,
        session::{self, Peer},
    },
    outside::Outside,
    store::{Copy, CopyState},
};

use crate::{
    hostile::Tamper,
    memory::{Disk, MemoryStore, Witness},
    planted::{self, Planted},
    world::World,
};

pub const NETWORK: &str = "gd";
pub const FOUNDER: &str = "CN-440000";
const PORT: u16 = 4000;
/// The simulated day begins here: 2026-01-01.
const START_US: i64 = 1_767_225_600_000_000;
const CONNECT: Duration = Duration::from_secs(5);
const REDIAL_MIN: Duration = Duration::from_millis(200);
const REDIAL_MAX: Duration = Duration::from_secs(5);
/// What a session that has ended may still have to say.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Derived, so that every machine and every run has the same keys.
pub fn key(name: &str) -> SigningKey {
    SigningKey::from_bytes(blake3::hash(name.as_bytes()).as_bytes())
}

/// A write that the workload hands to a node. `None`: remove.
pub type Writes = Vec<(FeedId, RecordId, Option<Vec<u8>>)>;

/// What oracles look at while a node runs.
#[derive(Clone)]
pub struct Running {
    pub heads: Arc<Heads>,
    pub keys: Arc<Keyring>,
}

pub struct Machine {
    pub index: usize,
    pub host: String,
    pub point: PointCode,
    /// Passes on something else than what its node says.
    pub hostile: bool,
    /// Whom it dials, and who they are.
    pub dials: Vec<(usize, String, PointCode)>,
    pub disk: Arc<Mutex<Disk>>,
    pub marks: Arc<Mutex<Option<Marks>>>,
    pub full: Arc<Mutex<u32>>,
    pub running: Mutex<Option<Running>>,
    commands: Mutex<Option<mpsc::UnboundedSender<Writes>>>,
    rng: Arc<Mutex<StdRng>>,
    /// The wall clock is wrong by so much. Nothing may depend on it.
    skew_us: i64,
    world: Arc<World>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Machine {
    pub fn new(
        index: usize,
        host: String,
        point: PointCode,
        dials: Vec<(usize, String, PointCode)>,
        seed: u64,
        world: Arc<World>,
    ) -> Machine {
        let mut rng = StdRng::seed_from_u64(seed ^ (index as u64 + 1).wrapping_mul(0x9e37_79b9));
        let ten_years_us = 10 * 365 * 86_400_000_000_i64;
        Machine {
            index,
            host,
            point,
            hostile: false,
            dials,
            disk: Arc::default(),
            marks: Arc::new(Mutex::new(Some(Marks::new()))),
            full: Arc::default(),
            running: Mutex::default(),
            commands: Mutex::default(),
            skew_us: rng.random_range(-ten_years_us..ten_years_us),
            rng: Arc::new(Mutex::new(rng)),
            world,
        }
    }

    pub fn disk(&self) -> Disk {
        lock(&self.disk).clone()
    }

    pub fn look<T>(&self, look: impl FnOnce(&Disk) -> T) -> T {
        look(&lock(&self.disk))
    }

    /// Hands a write to the node, if one is running.
    pub fn submit(&self, writes: Writes) {
        if let Some(commands) = &*lock(&self.commands) {
            let _ = commands.send(writes);
        }
    }

    pub fn running(&self) -> Option<Running> {
        lock(&self.running).clone()
    }

    /// Notes that the node is gone, and does to the disk what a planted defect does at a crash.
    pub fn crashed(&self) {
        *lock(&self.running) = None;
        *lock(&self.commands) = None;
        self.world.inner().heard.remove(&self.index);
        let mut disk = lock(&self.disk);
        if planted::is(Planted::ReuseNumber) {
            for copy in disk.copies.values_mut().filter(|copy| copy.state == CopyState::Own) {
                copy.number -= u64::from(copy.number > 1);
            }
        }
        if planted::is(Planted::LoseArrivedRows) {
            let filling = disk.copies.values().find(|copy| copy.state == CopyState::Filling);
            let lost = filling.map(|copy| copy.slot).and_then(|slot| {
                let first = disk.records.after(slot, Default::default()).next()?;
                Some((slot, first.sequence))
            });
            if let Some((slot, sequence)) = lost {
                disk.records.lose(slot, sequence);
            }
        }
    }

    fn outside(&self) -> Outside {
        let (skew, rng) = (self.skew_us, self.rng.clone());
        let now = move || {
            let elapsed = turmoil::sim_elapsed().unwrap_or_default();
            Time(START_US + skew + elapsed.as_micros() as i64)
        };
        Outside::new(now, move |bytes| lock(&rng).fill_bytes(bytes))
    }

    /// Is what an own seal states on the disk?
    fn is_durable(&self, seal: &Seal) -> bool {
        let statement = seal.statement();
        if statement.feed.home != self.point {
            return true;
        }
        let key = (statement.feed.clone(), statement.epoch.counter, statement.number);
        self.look(|disk| {
            let own = disk.own(&statement.feed).is_some_and(|own| own.number >= statement.number);
            own || disk.seals.contains_key(&key)
        })
    }
}

impl Machine {
    /// A pull begins where what is durable ends: nothing is fetched twice (4), nothing is skipped.
    fn check_pull(&self, frame: &v1::Frame) {
        let Some(v1::frame::Kind::Pull(pull)) = &frame.kind else { return };
        if pull.cancel {
            return;
        }
        let stored = self.look(|disk| {
            let mut copies = disk.copies.values().filter(|copy| {
                let (feed, epoch) = (&copy.feed, pull.epoch.as_ref());
                feed.home.as_str() == pull.home
                    && feed.audience as u32 == pull.audience
                    && epoch.is_some_and(|epoch| epoch.counter == copy.epoch.counter)
                    && copy.state != CopyState::Retired
            });
            let copy = copies.next()?;
            let staged = disk.staged.after(copy.slot, Sequence(0)).last();
            Some(staged.map_or(copy.sequence, |row| row.sequence))
        });
        if stored.unwrap_or_default() != Sequence(pull.after) {
            let what = format!("{} asks {}/{}", self.host, pull.home, pull.audience);
            let at = pull.after;
            self.world.violated(format!("invariant 4: {what} after {at}, stored {stored:?}"));
        }
    }
}

struct Watching(Arc<World>);

impl Witness for Watching {
    fn sealed(&self, copy: &Copy, rows: &[Row]) {
        self.0.sealed(copy, rows);
    }

    fn disk_was_full(&self) {
        self.0.fired("disk full");
    }
}

type Parts = session::Parts<MemoryStore>;

/// Runs the node of a machine until the machine crashes.
pub async fn run(world: Arc<World>, machine: Arc<Machine>) -> turmoil::Result {
    let seed = lock(&machine.rng).next_u64();
    let witness = Arc::new(Watching(world.clone()));
    let store = MemoryStore::new(machine.disk.clone(), machine.full.clone(), seed, witness);
    let issuer = key("issuer");
    let founder: PointCode = FOUNDER.parse()?;
    let keys = Arc::new(Keyring::new(
        NETWORK.into(),
        machine.point.clone(),
        founder.clone(),
        key(machine.point.as_str()),
        issuer.verifying_key(),
        (machine.point == founder).then_some(issuer),
    ));
    let heads = Arc::new(Heads::default());
    let forgetful = planted::is(Planted::ForgetMarks);
    let marks = if forgetful { Some(Marks::new()) } else { lock(&machine.marks).clone() };
    let started = Writer::start(writer::Parts {
        store: store.clone(),
        keys: keys.clone(),
        heads: heads.clone(),
        outside: machine.outside(),
        mark_file: MarkFile::Memory(machine.marks.clone()),
        marks,
    });
    let (writer, engine) = started.await?;
    let (sender, commands) = mpsc::unbounded_channel();
    *lock(&machine.commands) = Some(sender);
    *lock(&machine.running) = Some(Running { heads: heads.clone(), keys: keys.clone() });
    let parts = Parts {
        store,
        writer: writer.clone(),
        heads,
        keys,
        outside: machine.outside(),
        total: Total::default(),
        post: None,
    };

    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    let (jobs, mut new_jobs) = mpsc::unbounded_channel::<Job>();
    let mut running = FuturesUnordered::<Job>::new();
    running.push(Box::pin(accept(world.clone(), machine.clone(), parts.clone(), listener, jobs)));
    for dial in machine.dials.clone() {
        let dialling = keep_dialling(world.clone(), machine.clone(), parts.clone(), dial);
        running.push(Box::pin(dialling));
    }
    running.push(Box::pin(write(world.clone(), writer, commands)));
    tokio::pin!(engine);
    loop {
        tokio::select! {
            biased;
            // The writer ends with its last handle, which the jobs hold for ever.
            ended = &mut engine => {
                world.violated(format!("the writer of {} is gone: {ended:?}", machine.host));
                return Ok(());
            }
            Some(job) = new_jobs.recv() => running.push(job),
            Some(()) = running.next() => {}
        }
    }
}

/// Whatever holds a socket runs inside the machine's one task: a crash drops spawned tasks in an order
/// that depends on how many there have been in the process, and the network would notice.
type Job = Pin<Box<dyn Future<Output = ()>>>;

/// Hands writes to the writer in the order they were made, without waiting for each.
async fn write(world: Arc<World>, writer: Writer, mut commands: mpsc::UnboundedReceiver<Writes>) {
    while let Some(writes) = commands.recv().await {
        let ticket = world.submit(&writes);
        let mut change = Change::new();
        for (feed, id, value) in writes {
            change = match value {
                Some(payload) => change.put(feed.clone(), kind_in(&feed), id, payload),
                None => change.remove(feed, id, Reason::Withdrawn),
            };
        }
        let (world, writer) = (world.clone(), writer.clone());
        tokio::spawn(async move {
            let result = writer.commit(change).await;
            world.settle(ticket, result.map(|_| ()));
        });
    }
}

/// Kinds that this version does not know, outside the roster: a copy does not depend on meaning.
fn kind_in(feed: &FeedId) -> Kind {
    match feed.audience {
        yizhan_server::domain::audience::Audience::Roster => Kind::ROSTER_POINT,
        _ => Kind(99),
    }
}

async fn accept(
    world: Arc<World>,
    machine: Arc<Machine>,
    parts: Parts,
    listener: TcpListener,
    jobs: mpsc::UnboundedSender<Job>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (world, machine, parts) = (world.clone(), machine.clone(), parts.clone());
        let job = Box::pin(async move {
            let (mut reader, mut writer) = stream.into_split();
            let Ok(Ok(opening)) = timeout(CONNECT, read_opening(&mut reader)).await else { return };
            if write_opening(&mut writer, &machine).await.is_ok() {
                hold_session(world, machine, parts, opening, (reader, writer)).await;
            }
        });
        let _ = jobs.send(job);
    }
}

async fn keep_dialling(
    world: Arc<World>,
    machine: Arc<Machine>,
    parts: Parts,
    (_, host, expected): (usize, String, PointCode),
) {
    let mut pause = REDIAL_MIN;
    loop {
        let dialled = timeout(CONNECT, async {
            let stream = TcpStream::connect((host.as_str(), PORT)).await?;
            let (mut reader, mut writer) = stream.into_split();
            write_opening(&mut writer, &machine).await?;
            let opening = read_opening(&mut reader).await?;
            std::io::Result::Ok((opening, (reader, writer)))
        });
        if let Ok(Ok((opening, halves))) = dialled.await
            && opening.1 == expected
        {
            pause = REDIAL_MIN;
            hold_session(world.clone(), machine.clone(), parts.clone(), opening, halves).await;
        }
        let jitter = 0.5 + f64::from(u16::from_le_bytes(parts.outside.random())) / 65_536.0;
        tokio::time::sleep(pause.mul_f64(jitter)).await;
        pause = (pause * 2).min(REDIAL_MAX);
    }
}

type Opening = (usize, PointCode);

async fn write_opening(writer: &mut tcp::OwnedWriteHalf, machine: &Machine) -> std::io::Result<()> {
    let code = machine.point.as_str().as_bytes();
    let mut bytes = vec![machine.index as u8, code.len() as u8];
    bytes.extend_from_slice(code);
    writer.write_all(&bytes).await
}

async fn read_opening(reader: &mut tcp::OwnedReadHalf) -> std::io::Result<Opening> {
    let mut head = [0; 2];
    reader.read_exact(&mut head).await?;
    let mut code = vec![0; head[1] as usize];
    reader.read_exact(&mut code).await?;
    let code = String::from_utf8(code).ok().and_then(|code| code.parse().ok());
    Ok((head[0] as usize, code.ok_or(std::io::ErrorKind::InvalidData)?))
}

async fn hold_session(
    world: Arc<World>,
    machine: Arc<Machine>,
    parts: Parts,
    (index, point): Opening,
    (reader, writer): (tcp::OwnedReadHalf, tcp::OwnedWriteHalf),
) {
    let (wire, frames) = mpsc::channel(1);
    let tamper = machine.hostile.then(|| Tamper::new(&machine.point, parts.keys.clone()));
    let way = Way { world: world.clone(), machine: machine.clone(), to: (index, point.clone()) };
    let sending = send(way, frames, writer, tamper);
    tokio::pin!(sending);
    // A node that has no roster yet believes whom it was told to dial.
    let admitted_point = point.clone();
    let admitted = move |keys: &Keyring| {
        let roster = keys.roster();
        roster.is_empty()
            || roster.get(&admitted_point).is_some_and(|entry| entry.revoked.is_none())
    };
    let peer = Peer { point, admitted: Box::new(admitted) };
    let (hearing, keys, hears) = (world.clone(), parts.keys.clone(), machine.index);
    let incoming = stream::unfold(Some(reader), read_frame).inspect(move |frame| {
        if let Ok(frame) = frame {
            let verified =
                |seal: &Seal| keys.verify(seal).is_ok() && keys.may_hold(&seal.statement().feed);
            hearing.heard(hears, frame, verified);
        }
    });
    let incoming = Box::pin(incoming);
    let session = session::run(parts, peer, incoming, wire, Arc::default());
    tokio::pin!(session);
    let (ended, sent) = tokio::select! {
        biased;
        ended = &mut session => (ended, false),
        () = &mut sending => (session.await, true),
    };
    world.trace(format!("{} {index} {ended}", machine.index).as_bytes());
    if !sent {
        // Whether or not the line takes it.
        let _ = timeout(LAST_WORDS, sending).await;
    }
}

type Reading = Option<tcp::OwnedReadHalf>;

async fn read_frame(reader: Reading) -> Option<(std::io::Result<v1::Frame>, Reading)> {
    let mut reader = reader?;
    let frame = async {
        let len = reader.read_u32().await? as usize;
        if len > FRAME_MAX {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        let mut bytes = vec![0; len];
        reader.read_exact(&mut bytes).await?;
        Ok(v1::Frame::decode(Bytes::from(bytes))?)
    };
    match frame.await {
        Ok(frame) => Some((Ok(frame), Some(reader))),
        Err(error) => Some((Err(error), None)),
    }
}

struct Way {
    world: Arc<World>,
    machine: Arc<Machine>,
    to: (usize, PointCode),
}

/// Puts a session's frames on the wire, seen by the oracles, and by the machine's owner if he is hostile.
async fn send(
    way: Way,
    mut frames: mpsc::Receiver<v1::Frame>,
    mut writer: tcp::OwnedWriteHalf,
    mut tamper: Option<Tamper>,
) {
    let Way { world, machine, to: (to, peer) } = way;
    while let Some(frame) = frames.recv().await {
        if !world.inner().dishonest.contains(&machine.point) {
            world.shown(&machine.host, &peer, &frame, |seal| machine.is_durable(seal));
            // What waits for a thin line may be out of date when it is sent, and be cancelled next.
            if !world.inner().slow.keys().any(|(from, _)| *from == machine.index) {
                machine.check_pull(&frame);
            }
        }
        let frames = match &mut tamper {
            Some(tamper) => tamper.pass(&world, &mut lock(&machine.rng), frame),
            None => vec![frame],
        };
        for frame in frames {
            let bytes = world.frame_sent(machine.index, to, &frame);
            let rate = world.inner().slow.get(&(machine.index, to)).copied();
            if let Some(rate) = rate {
                world.fired("slow link");
                let time = Duration::from_secs_f64(bytes.len() as f64 / rate as f64);
                tokio::time::sleep(time).await;
            }
            let mut framed = (bytes.len() as u32).to_be_bytes().to_vec();
            framed.extend_from_slice(&bytes);
            if writer.write_all(&framed).await.is_err() {
                return;
            }
        }
    }
    let _ = writer.shutdown().await;
}
