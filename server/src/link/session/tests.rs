use std::{sync::Arc, time::Duration};

use ed25519_dalek::SigningKey;
use futures::StreamExt;
use prost::Message;
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use yizhan_proto::v1::{self, Frame};

use super::*;
use crate::{
    domain::{
        audience::{Audience, FeedId},
        id::RecordId,
        kind::Kind as RecordKind,
        roster::{PointKind, RosterEntry, SealKey},
    },
    feed::{
        change::Change,
        continuity::MarkFile,
        heads::Heads,
        keyring::Keyring,
        writer::{self, Writer},
    },
    link::budget::Total,
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
