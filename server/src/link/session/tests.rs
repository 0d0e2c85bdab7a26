use std::{sync::Arc, time::Duration};

use ed25519_dalek::SigningKey;
use futures::StreamExt;
use prost::Message;
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use yizhan_proto::v1::{self, Frame, frame::Kind};

use super::*;
use crate::{
    domain::{
        audience::{Audience, FeedId},
        id::RecordId,
        kind::Kind as RecordKind,
        position::{Epoch, PAYLOAD_MAX, Row, Sequence},
        roster::{PointKind, RosterEntry, SealKey},
        time::Time,
    },
    feed::{
        change::Change,
        continuity::MarkFile,
        digest::Elements,
        heads::Heads,
        keyring::Keyring,
        seal::{Seal, Statement},
        writer::{self, Writer},
    },
    link::{
        budget::Total,
        frame::{Packer, frame},
    },
    outside::Outside,
    store::{CopyState, database::Database},
};

struct Node {
    parts: Parts<Database>,
    _dir: tempfile::TempDir,
}

fn key(point: &str) -> SigningKey {
    SigningKey::from_bytes(blake3::hash(point.as_bytes()).as_bytes())
}

async fn node(point: &str) -> Node {
    let dir = tempfile::tempdir().unwrap();
    let store = Database::open(&Database::address_in(dir.path())).await.unwrap();
    let issuer = key("issuer");
    let keys = Arc::new(Keyring::new(
        "gd".into(),
        point.parse().unwrap(),
        "CN-440000".parse().unwrap(),
        key(point),
        issuer.verifying_key(),
        (point == "CN-440000").then_some(issuer),
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
    let parts = Parts {
        store,
        writer,
        heads,
        keys,
        outside: Outside::real(),
        total: Total::default(),
        post: None,
    };
    Node { parts, _dir: dir }
}

impl Node {
    async fn enrol(&self, point: &str) {
        let mut entry = RosterEntry::new(point.parse().unwrap(), point.into(), PointKind::City);
        entry.parent = (point != "CN-440000").then(|| "CN-440000".parse().unwrap());
        let public = key(point).verifying_key().to_bytes();
        entry.seal_keys.push(SealKey { public, from_epoch: 1, limit: None });
        let payload = v1::RosterPoint::from(entry).encode_to_vec();
        let id = RecordId::of_source("gd", 40, point, 0);
        let feed = self.parts.keys.roster_feed();
        let change = Change::new().put(feed, RecordKind::ROSTER_POINT, id, payload);
        self.parts.writer.commit(change).await.unwrap();
    }

    async fn put(&self, audience: Audience, numbers: std::ops::Range<u32>, text: &str) {
        let feed = FeedId::new(self.parts.keys.point.clone(), audience);
        let mut change = Change::new();
        for number in numbers {
            let id = RecordId::of_source("gd", 99, &number.to_string(), 0);
            let payload = format!("{text} {number}").into_bytes();
            change = change.put(feed.clone(), RecordKind(99), id, payload);
        }
        self.parts.writer.commit(change).await.unwrap();
    }

    fn digest(&self, home: &str, audience: Audience) -> Option<[u8; 32]> {
        let view = self.parts.heads.find(&FeedId::new(home.parse().unwrap(), audience))?;
        let held = view.held.filter(|held| held.state.is_readable())?;
        Some(held.seal?.statement().digest)
    }
}

fn connect(a: &Node, b: &Node) {
    let (to_b, from_a) = mpsc::channel(1);
    let (to_a, from_b) = mpsc::channel(1);
    for (node, other, frames, wire) in [(a, b, from_b, to_b), (b, a, from_a, to_a)] {
        let parts = node.parts.clone();
        let point = other.parts.keys.point.clone();
        let peer = Peer { point, admitted: Box::new(|_| true) };
        let frames = ReceiverStream::new(frames).map(Ok::<Frame, ()>);
        tokio::spawn(async move { run(parts, peer, frames, wire, Arc::default()).await });
    }
}

async fn eventually(what: &str, check: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !check() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_neighbours_end_with_the_same_digests() {
    let (hub, leaf) = (node("CN-440000").await, node("GB-LON").await);
    hub.enrol("CN-440000").await;
    hub.enrol("GB-LON").await;
    hub.put(Audience::Network, 0..3_000, "card").await;
    connect(&hub, &leaf);
    let same = |home: &'static str, audience| {
        let (hub, leaf) = (&hub, &leaf);
        move || {
            hub.digest(home, audience).is_some()
                && hub.digest(home, audience) == leaf.digest(home, audience)
        }
    };
    eventually("leaf holds the hub's cards", same("CN-440000", Audience::Network)).await;

    leaf.put(Audience::Public, 0..10, "event").await;
    eventually("hub holds the leaf's events", same("GB-LON", Audience::Public)).await;

    // More changes than one transaction takes, some of them twice.
    hub.put(Audience::Network, 100..110, "changed").await;
    eventually("small change arrives", same("CN-440000", Audience::Network)).await;
    hub.put(Audience::Network, 0..9_000, "all changed").await;
    hub.put(Audience::Network, 0..9_000, "and again").await;
    hub.put(Audience::Network, 3_000..12_000, "and more").await;
    eventually("large change arrives", same("CN-440000", Audience::Network)).await;
    let view = leaf.parts.heads.find(&FeedId::new("CN-440000".parse().unwrap(), Audience::Network));
    assert_eq!(view.unwrap().held.unwrap().state, CopyState::Current);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_passes_on_what_it_may_hold() {
    let (a, hub, c) = (node("CN-440100").await, node("CN-440000").await, node("GB-LON").await);
    for point in ["CN-440000", "CN-440100", "GB-LON"] {
        hub.enrol(point).await;
    }
    connect(&a, &hub);
    connect(&c, &hub);
    a.put(Audience::Network, 0..700, "card").await;
    a.put(Audience::Domestic, 0..5, "domestic").await;
    a.put(Audience::Home, 0..5, "home").await;
    eventually("c sees a through the hub", || {
        c.digest("CN-440100", Audience::Network).is_some()
            && c.digest("CN-440100", Audience::Network) == a.digest("CN-440100", Audience::Network)
    })
    .await;
    eventually("the hub holds the domestic feed", || {
        hub.digest("CN-440100", Audience::Domestic).is_some()
    })
    .await;
    assert_eq!(c.digest("CN-440100", Audience::Domestic), None);
    assert_eq!(hub.digest("CN-440100", Audience::Home), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payload_may_be_empty() {
    let hub = node("CN-440000").await;
    let feed = FeedId::new("CN-440000".parse().unwrap(), Audience::Public);
    let id = RecordId::of_source("gd", 99, "empty", 0);
    let change = Change::new().put(feed, RecordKind(99), id, Vec::new());
    assert_eq!(hub.parts.writer.commit(change).await.unwrap().changed, [true]);
}

/// How long a neighbour waits for what must come.
const SOON: Duration = Duration::from_secs(20);

/// A neighbour that says what the test wants.
struct Hand {
    to: mpsc::Sender<Frame>,
    from: mpsc::Receiver<Frame>,
    session: tokio::task::JoinHandle<Ended>,
}

impl Hand {
    async fn greet(node: &Node, point: &str) -> Hand {
        let (to, frames) = mpsc::channel(1);
        let (wire, from) = mpsc::channel(1);
        let peer = Peer { point: point.parse().unwrap(), admitted: Box::new(|_| true) };
        let frames = ReceiverStream::new(frames).map(Ok::<Frame, ()>);
        let parts = node.parts.clone();
        let session =
            tokio::spawn(async move { run(parts, peer, frames, wire, Arc::default()).await });
        let mut hand = Hand { to, from, session };
        let hello = v1::Hello { network: "gd".into(), point: point.into(), ..Default::default() };
        hand.say(Kind::Hello(hello)).await;
        hand
    }

    /// Says something, and listens while it is not taken: so neither waits for the other.
    async fn say(&mut self, kind: Kind) {
        let said = self.to.send(frame(kind));
        tokio::pin!(said);
        loop {
            tokio::select! {
                // A session that has ended takes nothing.
                _ = &mut said => return,
                Some(_) = self.from.recv() => {}
            }
        }
    }

    async fn announce(&mut self, seals: &[&Seal]) {
        let seals = seals.iter().map(|seal| seal.message().clone()).collect();
        self.say(Kind::Heads(v1::Heads { seals, ..Default::default() })).await;
    }

    /// The number of the pull that is asked for of a feed.
    async fn pulled(&mut self, feed: &FeedId) -> u64 {
        let asked = async {
            while let Some(heard) = self.from.recv().await {
                if let Some(Kind::Pull(pull)) = heard.kind
                    && (pull.home.as_str(), pull.audience)
                        == (feed.home.as_str(), feed.audience as u32)
                    && !pull.cancel
                {
                    return pull.pull;
                }
            }
            panic!("the session is over")
        };
        tokio::time::timeout(SOON, asked).await.expect("a pull")
    }

    /// Why the session ends.
    async fn ended(mut self) -> Ended {
        let ended = async {
            loop {
                tokio::select! {
                    biased;
                    ended = &mut self.session => return ended.unwrap(),
                    Some(_) = self.from.recv() => {}
                }
            }
        };
        tokio::time::timeout(SOON, ended).await.expect("the session ends")
    }
}

fn feed(home: &str, audience: Audience) -> FeedId {
    FeedId::new(home.parse().unwrap(), audience)
}

/// One record of so many bytes, as it would be sealed and sent by a home that knows no limit.
fn sealed_row(feed: &FeedId, len: usize) -> (Seal, v1::Page) {
    let row = Row {
        sequence: Sequence(1),
        id: RecordId([7; 16]),
        kind: RecordKind(99),
        removed: false,
        payload: vec![b'x'; len].into(),
    };
    let statement = Statement {
        network: "gd".into(),
        feed: feed.clone(),
        epoch: Epoch { counter: 1, random: [1; 16] },
        number: 1,
        sequence: Sequence(1),
        live: 1,
        digest: Elements::of(feed).sum([&row]).digest(),
        previous: None,
        sealed_at: Time(1),
        successor: None,
    };
    let seal = Seal::sign(statement, &key(feed.home.as_str()));
    let (rows_zstd, rows_len) = Packer::new().pack(vec![row]);
    let seal_message = Some(seal.message().clone());
    let page = v1::Page {
        rows_zstd,
        rows_len,
        seal: seal_message,
        reaches_seal: true,
        ..Default::default()
    };
    (seal, page)
}

async fn hub_with_two_children() -> Node {
    let hub = node("CN-440000").await;
    for point in ["CN-440000", "GB-LON", "HK"] {
        hub.enrol(point).await;
    }
    hub
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_home_that_seals_too_large_a_row_freezes_that_feed_alone() {
    for len in [PAYLOAD_MAX + 4_464, 1 << 20] {
        let hub = hub_with_two_children().await;
        let (large, small) = (feed("GB-LON", Audience::Public), feed("GB-LON", Audience::Network));
        let (large_seal, mut large_page) = sealed_row(&large, len);
        let (small_seal, mut small_page) = sealed_row(&small, 10);
        let mut london = Hand::greet(&hub, "GB-LON").await;
        london.announce(&[&large_seal]).await;
        large_page.pull = london.pulled(&large).await;
        london.say(Kind::Page(large_page)).await;
        let frozen = || hub.parts.heads.find(&large).is_some_and(|view| view.frozen);
        eventually("the feed is frozen", frozen).await;

        london.announce(&[&small_seal]).await;
        small_page.pull = london.pulled(&small).await;
        london.say(Kind::Page(small_page)).await;
        eventually("another feed of the same home arrives", || {
            hub.digest("GB-LON", Audience::Network).is_some()
        })
        .await;
        assert_eq!(hub.digest("GB-LON", Audience::Public), None, "{len}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_large_a_row_of_a_relay_says_nothing_about_the_home() {
    let hub = hub_with_two_children().await;
    let of_hongkong = feed("HK", Audience::Public);
    let (seal, mut page) = sealed_row(&of_hongkong, PAYLOAD_MAX + 1);
    let mut london = Hand::greet(&hub, "GB-LON").await;
    london.announce(&[&seal]).await;
    page.pull = london.pulled(&of_hongkong).await;
    london.say(Kind::Page(page)).await;
    // Asked for once more after the back-off, in the same session.
    london.pulled(&of_hongkong).await;
    assert!(!hub.parts.heads.find(&of_hongkong).unwrap().frozen);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_is_not_begun_twice_under_one_number() {
    let hub = hub_with_two_children().await;
    hub.put(Audience::Network, 0..10, "card").await;
    let view = hub.parts.heads.find(&feed("CN-440000", Audience::Network)).unwrap();
    let pull = v1::Pull {
        home: "CN-440000".into(),
        audience: Audience::Network as u32,
        epoch: Some(view.held.unwrap().epoch.into()),
        pull: 7,
        ..Default::default()
    };
    let mut london = Hand::greet(&hub, "GB-LON").await;
    // Without credit, none of them ends.
    london.say(Kind::Pull(pull.clone())).await;
    london.say(Kind::Pull(pull)).await;
    assert_eq!(london.ended().await, Ended::Protocol("two pulls of one number"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pulls_that_are_cancelled_at_once_leave_nothing_behind() {
    let hub = hub_with_two_children().await;
    hub.put(Audience::Network, 0..10, "card").await;
    let view = hub.parts.heads.find(&feed("CN-440000", Audience::Network)).unwrap();
    let mut london = Hand::greet(&hub, "GB-LON").await;
    for number in 0..1_000 {
        let pull = v1::Pull {
            home: "CN-440000".into(),
            audience: Audience::Network as u32,
            epoch: Some(view.held.as_ref().unwrap().epoch.into()),
            pull: number,
            ..Default::default()
        };
        london.say(Kind::Pull(pull.clone())).await;
        london.say(Kind::Pull(v1::Pull { cancel: true, ..pull })).await;
        tokio::task::yield_now().await;
    }
    assert!(!london.session.is_finished());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seals_that_nobody_asked_for_end_the_session() {
    let hub = hub_with_two_children().await;
    let (seal, _) = sealed_row(&feed("GB-LON", Audience::Public), 10);
    let mut london = Hand::greet(&hub, "GB-LON").await;
    let seals = vec![seal.message().clone()];
    london.say(Kind::RecentSeals(v1::RecentSeals { seals })).await;
    assert_eq!(london.ended().await, Ended::Protocol("seals that were not asked for"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_that_bring_nothing_or_follow_the_last_end_the_session() {
    for (reaches_seal, why) in [(false, "page of nothing"), (true, "page after the last")] {
        let hub = hub_with_two_children().await;
        let of_london = feed("GB-LON", Audience::Public);
        let (seal, page) = sealed_row(&of_london, 10);
        let mut london = Hand::greet(&hub, "GB-LON").await;
        london.announce(&[&seal]).await;
        let pull = london.pulled(&of_london).await;
        // The first is held up where it is stored, so that the second meets an open pull.
        let _held = hub.parts.store.begin().await.unwrap();
        if reaches_seal {
            london.say(Kind::Page(v1::Page { pull, ..page.clone() })).await;
        }
        let nothing = v1::Page { rows_zstd: Vec::new().into(), rows_len: 0, ..page };
        london.say(Kind::Page(v1::Page { pull, reaches_seal, ..nothing })).await;
        drop(_held);
        assert_eq!(london.ended().await, Ended::Protocol(why));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_sends_more_than_it_may_is_put_off() {
    let hub = hub_with_two_children().await;
    let of_london = feed("GB-LON", Audience::Public);
    let (seal, _) = sealed_row(&of_london, 10);
    let mut london = Hand::greet(&hub, "GB-LON").await;
    london.announce(&[&seal]).await;
    let pull = london.pulled(&of_london).await;
    // Rows that do not compress, and a store that does not get on.
    let _held = hub.parts.store.begin().await.unwrap();
    for number in 0..64u64 {
        let mut payload = vec![0; PAYLOAD_MAX];
        blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut payload);
        let row = Row {
            sequence: Sequence(number + 1),
            id: RecordId([number as u8; 16]),
            kind: RecordKind(99),
            removed: false,
            payload: payload.into(),
        };
        let (rows_zstd, rows_len) = Packer::new().pack(vec![row]);
        let seal = Some(seal.message().clone());
        let page = v1::Page { pull, rows_zstd, rows_len, seal, ..Default::default() };
        london.say(Kind::Page(page)).await;
    }
    assert_eq!(london.ended().await, Ended::Protocol("more pages than were granted"));
}
