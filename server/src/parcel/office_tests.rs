use std::sync::Mutex;

use ed25519_dalek::SigningKey;
use futures::StreamExt;
use prost::Message;
use tokio::{task::JoinHandle, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use yizhan_proto::v1::{self, frame::Kind, tombstone::Reason};

use super::*;
use crate::{
    app::copies::{Copies, State},
    domain::{
        id::RecordId,
        kind::Kind as RecordKind,
        roster::{NodeId, PointKind, Revocation, RosterEntry, RosterNode, SealKey},
        time::Time,
    },
    feed::{
        change::Change,
        continuity::MarkFile,
        writer::{self, Writer},
    },
    link::{
        budget::Total,
        session::{self, Peer},
    },
    parcel::{receipts::Receipts, seal::OpenError},
    store::parcels::Standing,
};

struct Node {
    parts: session::Parts<Database>,
    office: Arc<Office>,
    case_key: CaseKey,
    stop: CancellationToken,
    _dir: tempfile::TempDir,
}

fn point(code: &str) -> PointCode {
    code.parse().unwrap()
}

fn signer(point: &str) -> SigningKey {
    SigningKey::from_bytes(blake3::hash(point.as_bytes()).as_bytes())
}

async fn node(code: &str) -> Node {
    let dir = tempfile::tempdir().unwrap();
    let store = Database::open(&Database::address_in(dir.path())).await.unwrap();
    let issuer = signer("issuer");
    let keys = Arc::new(Keyring::new(
        "gd".into(),
        point(code),
        point("CN-440000"),
        signer(code),
        issuer.verifying_key(),
        (code == "CN-440000").then_some(issuer),
    ));
    let heads = Arc::new(Heads::default());
    let (writer, _) = Writer::start(writer::Parts {
        store: store.clone(),
        keys: keys.clone(),
        heads: heads.clone(),
        outside: Outside::real(),
        mark_file: MarkFile::Memory(Arc::default()),
        marks: Some(Default::default()),
    })
    .await
    .unwrap();
    let case_key = CaseKey::generate();
    let parts = session::Parts {
        store,
        writer,
        heads,
        keys,
        outside: Outside::real(),
        total: Total::default(),
        post: None,
    };
    let stop = CancellationToken::new();
    let office = open(&parts, &case_key, &stop);
    let mut node = Node { parts, office, case_key, stop, _dir: dir };
    node.parts.post = Some(node.office.clone());
    node
}

fn open(
    parts: &session::Parts<Database>,
    case_key: &CaseKey,
    stop: &CancellationToken,
) -> Arc<Office> {
    let office = Office::new(Parts {
        database: parts.store.clone(),
        keys: parts.keys.clone(),
        case_key: case_key.clone(),
        heads: parts.heads.clone(),
        outside: parts.outside.clone(),
    });
    tokio::spawn(office.clone().run(stop.clone()));
    office
}

impl Node {
    fn code(&self) -> &PointCode {
        &self.parts.keys.point
    }

    /// A new office over the same database, as after a restart.
    fn restart(&mut self) {
        self.stop.cancel();
        self.stop = CancellationToken::new();
        self.office = open(&self.parts, &self.case_key, &self.stop);
        self.parts.post = Some(self.office.clone());
    }

    /// Enters a node's point into the roster. `self` is the founding node.
    async fn enrol(&self, node: &Node, change: impl FnOnce(&mut RosterEntry)) {
        let code = node.code();
        let mut entry = RosterEntry::new(code.clone(), code.to_string(), PointKind::City);
        entry.parent = (code.as_str() != "CN-440000").then(|| point("CN-440000"));
        let public = signer(code.as_str()).verifying_key().to_bytes();
        entry.seal_keys.push(SealKey { public, from_epoch: 1, limit: None });
        entry.case_key = Some(node.case_key.public());
        let (node, spki_sha256) = (NodeId([1; 8]), [1; 32]);
        entry.nodes.push(RosterNode { node, spki_sha256, public_host: None });
        change(&mut entry);
        let payload = v1::RosterPoint::from(entry).encode_to_vec();
        let id = RecordId::of_source("gd", 40, code.as_str(), 0);
        let feed = self.parts.keys.roster_feed();
        let change = Change::new().put(feed, RecordKind::ROSTER_POINT, id, payload);
        self.parts.writer.commit(change).await.unwrap();
    }

    fn feed(&self, audience: Audience) -> FeedId {
        FeedId::new(self.code().clone(), audience)
    }

    fn holds(&self, feed: &FeedId, live: u64) -> bool {
        let held = self.parts.heads.find(feed).and_then(|view| view.held);
        held.is_some_and(|held| held.state.is_readable() && held.live == live)
    }

    async fn outbox(&self) -> u64 {
        self.office.figures().await.unwrap().outbox
    }
}

/// A province and two points under it that know each other.
async fn network() -> (Node, Node, Node) {
    let (a, hub, c) = (node("CN-440100").await, node("CN-440000").await, node("GB-LON").await);
    for node in [&hub, &a, &c] {
        hub.enrol(node, |_| {}).await;
    }
    (a, hub, c)
}

#[derive(Default, Clone)]
struct Tap(Arc<Mutex<Vec<v1::Parcel>>>);

/// Connects two nodes; everything about parcels is delivered twice, and the tap sees it.
fn connect(a: &Node, b: &Node, tap: &Tap) -> Vec<JoinHandle<()>> {
    let (to_b, from_a) = mpsc::channel(1);
    let (to_a, from_b) = mpsc::channel(1);
    let ends = [(a, b, from_b, to_b), (b, a, from_a, to_a)];
    let run = ends.map(|(node, other, frames, wire)| {
        let (parts, tap) = (node.parts.clone(), tap.clone());
        let peer = Peer { point: other.code().clone(), admitted: Box::new(|_| true) };
        let frames = ReceiverStream::new(frames).flat_map(move |frame: Frame| {
            let twice = match &frame.kind {
                Some(Kind::Parcels(parcels)) => {
                    tap.0.lock().unwrap().extend(parcels.parcels.clone());
                    true
                }
                Some(Kind::Settled(_)) => true,
                _ => false,
            };
            let times = 1 + usize::from(twice);
            futures::stream::iter(vec![Ok::<Frame, ()>(frame); times])
        });
        tokio::spawn(async move {
            session::run(parts, peer, frames, wire, Arc::default()).await;
        })
    });
    run.into()
}

async fn eventually(what: &str, check: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(40);
    while !check().await {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn all_know_the_roster(nodes: &[&Node]) {
    eventually("everybody has the roster", async || {
        nodes.iter().all(|node| node.parts.keys.roster().len() == nodes.len())
    })
    .await;
}

/// A letter that is refused where it arrives, and counted where it came from.
fn unwelcome(n: u32) -> Letter {
    let part = v1::HomeHandOver { home: "GB-LON".into(), audience: n, ..Default::default() };
    Letter { kind: Some(letter::Kind::HomeHandOver(part)) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parcel_takes_effect_once_over_a_relay_that_repeats_and_restarts() {
    const PARCELS: u32 = 40;
    let (a, mut hub, c) = network().await;
    let tap = Tap::default();
    let mut sessions = connect(&a, &hub, &tap);
    sessions.extend(connect(&c, &hub, &tap));
    all_know_the_roster(&[&a, &hub, &c]).await;
    for n in 0..PARCELS / 2 {
        a.office.send(a.code().clone(), c.code().clone(), unwelcome(n % 4)).await.unwrap();
    }

    for session in sessions {
        session.abort();
    }
    hub.restart();
    for n in PARCELS / 2..PARCELS {
        a.office.send(a.code().clone(), c.code().clone(), unwelcome(n % 4)).await.unwrap();
    }
    connect(&a, &hub, &tap);
    connect(&c, &hub, &tap);
    eventually("all parcels are settled", async || a.outbox().await == 0).await;

    let failures = a.office.figures().await.unwrap().failures;
    let [failed] = &failures[..] else { panic!("{failures:?}") };
    assert_eq!((failed.outcome.as_str(), failed.reason.as_str()), ("refused", "NOT_EXPECTED"));
    assert_eq!(failed.parcels, u64::from(PARCELS));
    let series = Series { from: a.code().clone(), to: c.code().clone(), sender_epoch: 1 };
    let mut db = c.parts.store.reader().await.unwrap();
    assert_eq!(parcels::find_mark(&mut db, &series).await.unwrap(), Some(u64::from(PARCELS)));
    let beyond = u64::from(PARCELS) + 1;
    let standing = parcels::standing(&mut db, &series, beyond, beyond).await.unwrap();
    assert_eq!(standing, Standing::New);
    drop(db);

    let seen = tap.0.lock().unwrap().clone();
    assert!(seen.len() >= PARCELS as usize);
    for message in seen {
        let parcel = Sealed::read(message).unwrap();
        assert_eq!(parcel.open(&hub.case_key), Err(OpenError::OtherKey));
        assert!(parcel.open(&c.case_key).is_ok());
    }
}

/// Whoever has a copy of a card cannot pass it on, nor take anybody else's back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_word_on_a_member_of_another_home_is_refused() {
    let (a, hub, c) = network().await;
    let tap = Tap::default();
    connect(&a, &hub, &tap);
    connect(&c, &hub, &tap);
    all_know_the_roster(&[&a, &hub, &c]).await;
    use v1::transfer_word::Kind as Said;
    let word = |kind: Said, home: &str| v1::TransferWord {
        kind: kind.into(),
        transfer: vec![7; 16],
        member: vec![8; 16],
        home: home.into(),
        version: 1,
        ..Default::default()
    };
    let forged = [
        word(Said::Copy, "CN-440000"),
        word(Said::Copy, "GB-LON"),
        word(Said::Withdraw, "CN-440000"),
        word(Said::Held, "CN-440100"),
        word(Said::Scrubbed, "CN-440000"),
    ];
    let forgeries = forged.len() as u64;
    for word in forged {
        let letter = Letter { kind: Some(letter::Kind::TransferWord(word)) };
        a.office.send(a.code().clone(), c.code().clone(), letter).await.unwrap();
    }
    eventually("all parcels are settled", async || a.outbox().await == 0).await;
    let failures = a.office.figures().await.unwrap().failures;
    let [failed] = &failures[..] else { panic!("{failures:?}") };
    assert_eq!((failed.reason.as_str(), failed.parcels), ("NOT_HOME", forgeries));

    // Its own it may send.
    let own = Letter { kind: Some(letter::Kind::TransferWord(word(Said::Copy, "CN-440100"))) };
    a.office.send(a.code().clone(), c.code().clone(), own).await.unwrap();
    eventually("it is settled", async || a.outbox().await == 0).await;
    assert_eq!(a.office.figures().await.unwrap().failures[0].parcels, forgeries);
    let mut db = c.parts.store.reader().await.unwrap();
    let channel = crate::store::words::Channel::Transfers;
    let waiting = crate::store::words::list(&mut db, channel, 1..=4, 10).await.unwrap();
    assert_eq!(waiting.iter().map(|word| &*word.sender).collect::<Vec<_>>(), ["CN-440100"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parcel_that_comes_again_is_answered_without_effect() {
    let (a, hub, c) = network().await;
    let tap = Tap::default();
    connect(&a, &hub, &tap);
    connect(&c, &hub, &tap);
    all_know_the_roster(&[&a, &hub, &c]).await;
    let feed = c.feed(Audience::Network);
    let change =
        Change::new().put(feed.clone(), RecordKind(99), RecordId([7; 16]), b"card".to_vec());
    c.parts.writer.commit(change).await.unwrap();
    let seal = c.parts.heads.find(&feed).unwrap().held.unwrap().seal.unwrap();
    let letter = crate::parcel::receipts::letter(&seal, 5);
    a.office.send(a.code().clone(), c.code().clone(), letter).await.unwrap();
    eventually("it is settled", async || a.outbox().await == 0).await;
    let ledger = async || {
        let mut db = c.parts.store.reader().await.unwrap();
        parcels::list_receipts(&mut db, &feed).await.unwrap().len()
    };
    assert_eq!(ledger().await, 1);

    // Whatever a second effect would write is now to be seen.
    sqlx::query("delete from removal_receipts")
        .execute(&mut *c.parts.store.local().await.unwrap())
        .await
        .unwrap();
    let parcels = tap.0.lock().unwrap().clone();
    c.office.arrived(hub.code(), Kind::Parcels(v1::Parcels { parcels }));
    a.office.send(a.code().clone(), c.code().clone(), unwelcome(1)).await.unwrap();
    eventually("what came after is settled", async || a.outbox().await == 0).await;
    assert_eq!(ledger().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_ends_with_receipts_from_all_who_held_the_record() {
    let (a, hub, c) = network().await;
    let tap = Tap::default();
    connect(&a, &hub, &tap);
    connect(&c, &hub, &tap);
    all_know_the_roster(&[&a, &hub, &c]).await;
    let (feed, id) = (a.feed(Audience::Network), RecordId([7; 16]));
    let other = RecordId([8; 16]);
    let change = Change::new().put(feed.clone(), RecordKind(99), id, b"marked".to_vec()).put(
        feed.clone(),
        RecordKind(99),
        other,
        b"stays".to_vec(),
    );
    a.parts.writer.commit(change).await.unwrap();
    eventually("all hold it", async || [&hub, &c].iter().all(|n| n.holds(&feed, 2))).await;

    let copies = Copies {
        db: a.parts.store.clone(),
        heads: a.parts.heads.clone(),
        keys: a.parts.keys.clone(),
    };
    let states = async |id: RecordId| -> Vec<(String, State)> {
        let copies = copies.of_record(a.code(), id).await.unwrap();
        copies.into_iter().map(|copy| (copy.point.to_string(), copy.state)).collect()
    };
    let everywhere = |state: State| {
        ["CN-440100", "CN-440000", "GB-LON"].map(|point| (point.to_owned(), state)).to_vec()
    };
    assert_eq!(states(id).await, everywhere(State::Held));
    let removal = Change::new().remove(feed.clone(), id, Reason::Withdrawn);
    a.parts.writer.commit(removal).await.unwrap();
    assert_eq!(states(id).await, everywhere(State::Pending));

    for node in [&a, &hub, &c] {
        let receipts = Receipts::new(node.office.clone());
        tokio::spawn(async move {
            loop {
                receipts.run_once().await.unwrap();
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
    }
    eventually("all have confirmed", async || states(id).await == everywhere(State::Scrubbed))
        .await;
    assert_eq!(states(other).await, everywhere(State::Held));
    for copy in copies.of_record(a.code(), id).await.unwrap() {
        assert!(copy.receipt.is_some() && copy.since.is_some(), "{copy:?}");
    }
    assert_eq!(
        copies.of_record(a.code(), RecordId([9; 16])).await.unwrap_err().kind().1,
        "NOT_FOUND"
    );
    eventually("outboxes are empty", async || hub.outbox().await + c.outbox().await == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parcels_to_a_revoked_point_are_closed_and_counted() {
    let (a, hub, c) = network().await;
    let tap = Tap::default();
    connect(&a, &hub, &tap);
    let (from, to) = (a.code().clone(), c.code().clone());
    eventually("the roster is there", async || a.parts.keys.roster().len() == 3).await;
    a.office.send(from.clone(), to.clone(), unwelcome(1)).await.unwrap();
    assert_eq!(a.outbox().await, 1);
    let revoked = Revocation { at: Time(1), reason: "lost".into() };
    hub.enrol(&c, |entry| entry.revoked = Some(revoked)).await;
    eventually("it is closed", async || a.outbox().await == 0).await;
    let failures = a.office.figures().await.unwrap().failures;
    assert_eq!((failures[0].parcels, failures[0].reason.as_str()), (1, "POINT_REVOKED"));
    let refused = a.office.send(from, to, unwelcome(1)).await;
    assert!(matches!(refused, Err(SendError::NotAdmitted)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parcel_is_sealed_again_when_the_destination_has_a_new_key() {
    let (a, hub, mut c) = network().await;
    let tap = Tap::default();
    connect(&a, &hub, &tap);
    eventually("the roster is there", async || a.parts.keys.roster().len() == 3).await;
    a.office.send(a.code().clone(), c.code().clone(), unwelcome(1)).await.unwrap();
    c.case_key = CaseKey::generate();
    c.restart();
    hub.enrol(&c, |_| {}).await;
    connect(&c, &hub, &tap);
    eventually("it is settled", async || a.outbox().await == 0).await;
    let failures = a.office.figures().await.unwrap().failures;
    assert_eq!((failures[0].parcels, failures[0].reason.as_str()), (1, "NOT_EXPECTED"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enrolment_is_passed_on_and_answered_over_the_founding_node() {
    let (a, hub, c) = network().await;
    let tap = Tap::default();
    connect(&a, &hub, &tap);
    eventually("the roster is there", async || a.parts.keys.roster().len() == 3).await;
    let answering: EnrolmentHandler = Box::new(|voucher: PointCode, forward: EnrolmentForward| {
        Box::pin(async move {
            let response = [voucher.as_str().as_bytes(), &forward.request].concat();
            EnrolmentAnswer { response, refused: String::new() }
        })
    });
    assert!(hub.office.on_enrolment(answering));
    let answer = a.office.forward_enrolment(b" asks".to_vec(), true).await.unwrap();
    assert_eq!(answer.response, b"CN-440100 asks");
    let own = hub.office.forward_enrolment(b" asks".to_vec(), true).await.unwrap();
    assert_eq!(own.response, b"CN-440000 asks");
    let alone = c.office.forward_enrolment(Vec::new(), false).await;
    assert_eq!(alone, Err(AskError::NoWay));
}
