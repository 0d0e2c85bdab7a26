use std::{collections::VecDeque, sync::Arc, time::Duration};

use ed25519_dalek::SigningKey;
use futures::StreamExt;
use prost::Message;
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use yizhan_proto::v1::{self, Frame, frame::Kind};

mod entitled;
mod frozen;
mod relaying;

use super::*;
use crate::{
    domain::{
        audience::{Audience, FeedId},
        id::RecordId,
        kind::Kind as RecordKind,
        position::{Epoch, PAYLOAD_MAX, Row, Sequence},
        roster::{ApprovedEpoch, Limit, PointKind, RosterEntry, SealKey},
        time::Time,
    },
    feed::{
        change::Change,
        continuity::MarkFile,
        digest::Elements,
        heads::Heads,
        keyring::Keyring,
        seal::{Seal, Statement},
        statement,
        writer::{self, Writer},
    },
    link::{
        budget::Total,
        frame::{Packer, frame},
    },
    outside::Outside,
    store::{CopyState, FeedStore, database::Database},
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
        self.enrol_as(point, |_| {}).await;
    }

    async fn enrol_as(&self, point: &str, change: impl FnOnce(&mut RosterEntry)) {
        let mut entry = RosterEntry::new(point.parse().unwrap(), point.into(), PointKind::City);
        entry.parent = (point != "CN-440000").then(|| "CN-440000".parse().unwrap());
        let public = key(point).verifying_key().to_bytes();
        entry.seal_keys.push(SealKey { public, from_epoch: 1, limit: None });
        change(&mut entry);
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
    /// What came while it was speaking.
    kept: VecDeque<Frame>,
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
        let mut hand = Hand { to, from, kept: VecDeque::new(), session };
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
                Some(frame) = self.from.recv() => self.kept.push_back(frame),
            }
        }
    }

    /// The next that the session says; none when it is over.
    async fn hear(&mut self) -> Option<Kind> {
        let frame = match self.kept.pop_front() {
            Some(frame) => frame,
            None => self.from.recv().await?,
        };
        frame.kind
    }

    async fn announce(&mut self, seals: &[&Seal]) {
        let seals = seals.iter().map(|seal| seal.message().clone()).collect();
        self.say(Kind::Heads(v1::Heads { seals, ..Default::default() })).await;
    }

    /// The number of the pull that is asked for of a feed.
    async fn pulled(&mut self, feed: &FeedId) -> u64 {
        let asked = async {
            while let Some(heard) = self.hear().await {
                if let Kind::Pull(pull) = heard
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

    /// The audiences of the first lists of heads that are announced.
    async fn lists(&mut self) -> Vec<u32> {
        let told = async {
            loop {
                let heard = self.hear().await.expect("the session goes on");
                if let Kind::Heads(heads) = heard
                    && !heads.statements.is_empty()
                {
                    let body = |list: &v1::SignedHeads| v1::HeadsBody::decode(&list.body[..]);
                    return heads
                        .statements
                        .iter()
                        .map(|list| body(list).unwrap().audience)
                        .collect();
                }
            }
        };
        tokio::time::timeout(SOON, told).await.expect("lists of heads")
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
    sealed_by(feed, len, 1, &key(feed.home.as_str()))
}

/// The same in any epoch, by any key.
fn sealed_by(feed: &FeedId, len: usize, epoch: u64, key: &SigningKey) -> (Seal, v1::Page) {
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
        epoch: Epoch { counter: epoch, random: [epoch as u8; 16] },
        number: 1,
        sequence: Sequence(1),
        live: 1,
        digest: Elements::of(feed).sum([&row]).digest(),
        previous: None,
        sealed_at: Time(1),
        successor: None,
    };
    let seal = Seal::sign(statement, key);
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
        let frozen = || hub.parts.heads.find(&large).is_some_and(|view| view.is_frozen());
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
    assert!(!hub.parts.heads.find(&of_hongkong).unwrap().is_frozen());
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

/// Has London deliver one record in an epoch of its own, and waits until the hub shows it.
async fn deliver(hub: &Node, london: &mut Hand, (seal, mut page): (Seal, v1::Page)) {
    let of_london = seal.statement().feed.clone();
    london.announce(&[&seal]).await;
    page.pull = london.pulled(&of_london).await;
    london.say(Kind::Page(page)).await;
    eventually("the hub holds it", || {
        let view = hub.parts.heads.find(&of_london).unwrap();
        let held = view.readable().filter(|_| !view.is_frozen());
        held.is_some_and(|held| held.epoch == seal.statement().epoch)
    })
    .await;
}

/// Is a feed asked for, a few looks later?
async fn is_pulled(hub: &Node, london: &mut Hand, feed: &FeedId) -> bool {
    tokio::time::timeout(Duration::from_secs(3), london.pulled(feed)).await.is_ok()
        || hub.parts.heads.find(feed).unwrap().busy
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_feed_goes_on_in_the_epoch_that_the_roster_approves() {
    let hub = hub_with_two_children().await;
    let of_london = feed("GB-LON", Audience::Public);
    let mut london = Hand::greet(&hub, "GB-LON").await;
    deliver(&hub, &mut london, sealed_row(&of_london, 10)).await;
    let (other, _) = sealed_row(&of_london, 11);
    london.announce(&[&other]).await;
    let is_frozen = || hub.parts.heads.find(&of_london).unwrap().is_frozen();
    eventually("two seals of one number freeze it", is_frozen).await;

    let next = || sealed_by(&of_london, 12, 2, &key("GB-LON"));
    london.announce(&[&next().0]).await;
    assert!(!is_pulled(&hub, &mut london, &of_london).await, "nobody has approved it");
    let approve = |entry: &mut RosterEntry| {
        let (audience, counter, random) = (Audience::Public, 2, [2; 16]);
        entry.approved_epochs.push(ApprovedEpoch { audience, counter, random });
    };
    hub.enrol_as("GB-LON", approve).await;
    deliver(&hub, &mut london, next()).await;
    // Whatever comes in this epoch is taken as ever, and the old proof says nothing about it.
    let view = hub.parts.heads.find(&of_london).unwrap();
    assert_eq!((view.contradicted, view.is_frozen()), (Some(1), false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_limited_key_has_sealed_is_hidden_until_another_key_goes_on() {
    let hub = hub_with_two_children().await;
    let of_london = feed("GB-LON", Audience::Public);
    let mut london = Hand::greet(&hub, "GB-LON").await;
    deliver(&hub, &mut london, sealed_row(&of_london, 10)).await;
    let limit = |entry: &mut RosterEntry| entry.seal_keys[0].limit = Some(Limit::new());
    hub.enrol_as("GB-LON", limit).await;
    let shown = || hub.digest("GB-LON", Audience::Public).is_some();
    let view = || hub.parts.heads.find(&of_london).unwrap();
    eventually("it is not shown", || view().is_disowned() && view().readable().is_none()).await;

    // Its thief goes on, in vain; the home comes back with another key.
    london.announce(&[&sealed_by(&of_london, 11, 2, &key("GB-LON")).0]).await;
    assert!(!is_pulled(&hub, &mut london, &of_london).await);
    let renew = |entry: &mut RosterEntry| {
        limit(entry);
        let public = key("another").verifying_key().to_bytes();
        entry.seal_keys.push(SealKey { public, from_epoch: 2, limit: None });
    };
    hub.enrol_as("GB-LON", renew).await;
    deliver(&hub, &mut london, sealed_by(&of_london, 12, 2, &key("another"))).await;
    assert!(shown());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_of_a_feed_go_to_those_alone_who_may_hold_it() {
    let hub = hub_with_two_children().await;
    hub.enrol("CN-440100").await;
    for (number, audience) in [(1, Audience::Domestic), (2, Audience::Public)] {
        let (seal, _) = sealed_row(&feed("CN-440100", audience), 10);
        let home = &seal.statement().feed.home;
        let seals = [Arc::new(seal.clone())];
        let signed =
            statement::sign("gd", (home, audience), &seals, number, Time(1), &key(home.as_str()));
        let message = v1::SignedHeads::decode(&signed[..]).unwrap();
        let (home, heard) = statement::verify(&message, &hub.parts.keys, Time(1)).unwrap();
        hub.parts.heads.hear(&home, heard, |_| true);
    }
    let mut london = Hand::greet(&hub, "GB-LON").await;
    assert_eq!(london.lists().await, [Audience::Public as u32]);
    let mut guangzhou = Hand::greet(&hub, "CN-440100").await;
    assert_eq!(guangzhou.lists().await, [Audience::Domestic as u32, Audience::Public as u32]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_there_and_back_is_measured_more_than_once() {
    let hub = hub_with_two_children().await;
    let mut london = Hand::greet(&hub, "GB-LON").await;
    let measured = async {
        for _ in 0..4 {
            let nonce = loop {
                let heard = london.hear().await.expect("the session goes on");
                if let Kind::Ping(ping) = heard {
                    break ping.nonce;
                }
            };
            london.say(Kind::Pong(v1::Pong { nonce })).await;
        }
    };
    tokio::time::timeout(SOON, measured).await.expect("pings");
}

/// A frame of as many seals of the largest size as are ever put into one.
fn largest_seal() -> v1::Seal {
    v1::Seal { body: vec![0xff; 512], signature: vec![0xff; 64] }
}

#[tokio::test]
async fn the_largest_frames_that_are_made_are_smaller_than_those_that_are_taken() {
    use crate::link::frame::{FRAME_MAX, HEADS_MAX, PACKED_LEN_MAX, PAGE_BYTES, PAGE_ROWS};
    let node = node("CN-440000").await;
    node.enrol("CN-440000").await;
    // As many rows as a page holds, as long as fit, and of noise, which nothing makes shorter.
    let feed = FeedId::new("CN-440000".parse().unwrap(), Audience::Network);
    let mut change = Change::new();
    for number in 0..PAGE_ROWS as u32 {
        let mut noise = vec![0; PAGE_BYTES / PAGE_ROWS];
        blake3::Hasher::new().update(&number.to_be_bytes()).finalize_xof().fill(&mut noise);
        let id = RecordId::of_source("gd", 99, &number.to_string(), 0);
        change = change.put(feed.clone(), RecordKind(99), id, noise);
    }
    node.parts.writer.commit(change).await.unwrap();
    let held = node.parts.heads.find(&feed).unwrap().held.unwrap();
    let page = node.parts.store.page(held.slot, Sequence(0), PAGE_ROWS, PAGE_BYTES).await;
    let rows = page.unwrap().unwrap().rows;
    let bytes: usize = rows.iter().map(|row| row.payload.len()).sum();
    assert_eq!((rows.len(), bytes), (PAGE_ROWS, PAGE_BYTES));
    let (rows_zstd, rows_len) = Packer::new().pack(rows);
    assert!(rows_zstd.len() > bytes && rows_zstd.len() <= PACKED_LEN_MAX, "{}", rows_zstd.len());
    let seal = Some(largest_seal());
    let page = v1::Page { rows_zstd, rows_len, seal, ..Default::default() };

    let statement = v1::SignedHeads { body: vec![0xff; 1_024], signature: vec![0xff; 64] };
    let proof = v1::Equivocation { one: Some(largest_seal()), other: Some(largest_seal()) };
    let heads = v1::Heads {
        seals: vec![largest_seal(); HEADS_MAX],
        statements: vec![statement; HEADS_MAX],
        equivocations: vec![proof; 16],
    };
    let recent = v1::RecentSeals { seals: vec![largest_seal(); serving::RECENT_SEALS] };
    let parcel =
        v1::Parcel { body: vec![0xff; crate::parcel::seal::PARCEL_MAX], signature: vec![0xff; 64] };
    let parcels = v1::Parcels { parcels: vec![parcel; 2] };
    for kind in
        [Kind::Page(page), Kind::Heads(heads), Kind::RecentSeals(recent), Kind::Parcels(parcels)]
    {
        let len = frame(kind).encoded_len();
        assert!(len <= FRAME_MAX, "{len}");
    }
}

#[tokio::test]
async fn a_frame_that_is_too_large_is_named_on_both_sides() {
    let node = node("GB-LON").await;
    let (wire, mut sent) = mpsc::channel(8);
    let peer = Peer { point: "HK".parse().unwrap(), admitted: Box::new(|_| true) };
    let found =
        "decoded message length too large: found 4194305 bytes, the limit is: 4194304 bytes";
    let incoming = futures::stream::iter([Err::<Frame, _>(tonic::Status::out_of_range(found))]);
    let ended = run(node.parts.clone(), peer, incoming, wire, Arc::default()).await;
    assert_eq!(ended, Ended::FrameTooLarge);
    assert!(ended.to_string().contains("FRAME_TOO_LARGE"));
    let mut byes = Vec::new();
    while let Some(frame) = sent.recv().await {
        if let Some(Kind::Bye(bye)) = frame.kind {
            byes.push(bye.reason);
        }
    }
    assert_eq!(byes, ["frame_too_large"]);

    let peer = Peer { point: "HK".parse().unwrap(), admitted: Box::new(|_| true) };
    let bye = v1::Bye { reason: "frame_too_large".to_owned() };
    let incoming = futures::stream::iter([Ok::<_, ()>(frame(Kind::Bye(bye)))]);
    let (wire, _sent) = mpsc::channel(8);
    let ended = run(node.parts.clone(), peer, incoming, wire, Arc::default()).await;
    assert!(ended.to_string().contains("FRAME_TOO_LARGE"), "{ended}");
}
