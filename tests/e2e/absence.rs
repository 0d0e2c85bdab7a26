//! Time passes: certificates end, a node is away for 400 days, another is put out meanwhile. The nodes
//! run in this process, on a clock of the test's.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use yizhan_proto::v1;
use yizhan_server::{
    app::{members, network, recovery},
    appointing,
    config::{self, Address, DatabaseUrl},
    domain::{
        account::{AccountId, OwnWord},
        audience::{Audience, FeedId},
        id::{PointCode, RecordId},
        policy::Role,
        time::Time,
    },
    feed::heads::Held,
    found::{self, KEYS, Place},
    identity::{caller::Caller, keys::KeyDirectory},
    link::links::LinkState,
    node::{Node, Running},
    outside::Outside,
    store::CopyState,
};
use yizhan_tests::waiting::{eventually, throughout};

const HUB: &str = "CN-440000";
const DAY: i64 = 24 * 3_600 * 1_000_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// The machine's clock and what the test adds to it, the same for all nodes.
#[derive(Clone, Default)]
struct Clock(Arc<AtomicI64>);

impl Clock {
    fn pass(&self, us: i64) {
        self.0.fetch_add(us, Ordering::SeqCst);
    }

    fn outside(&self) -> Outside {
        let (real, added) = (Outside::real(), self.0.clone());
        Outside::new(
            move || Time(real.now().0 + added.load(Ordering::SeqCst)),
            |bytes| rand::fill(bytes),
        )
    }
}

struct World {
    directory: tempfile::TempDir,
    clock: Clock,
}

fn code(point: &str) -> PointCode {
    point.parse().expect("a point code")
}

fn place() -> Place {
    let address = Address { host: "127.0.0.1".to_owned(), port: 0 };
    Place { listen_link: address.clone(), listen_public: address, database: DatabaseUrl::Sqlite }
}

fn link_of(hub: &Running) -> Address {
    Address { host: "127.0.0.1".to_owned(), port: hub.link.port() }
}

/// The point's administrator, as if signed in.
fn admin(point: &str) -> Caller {
    Caller::Account {
        account: AccountId([0; 16]),
        name: "admin".to_owned(),
        role: Role::PointAdmin,
        point: code(point),
        also: Vec::new(),
        member: None,
        own_word: OwnWord::Own,
        purpose: None,
        expires: Time(i64::MAX),
    }
}

impl World {
    fn new() -> World {
        let directory = tempfile::tempdir().expect("a directory");
        World { directory, clock: Clock::default() }
    }

    fn path(&self, point: &str) -> PathBuf {
        self.directory.path().join(point)
    }

    async fn found(&self) -> Running {
        let (path, outside) = (self.path(HUB), self.clock.outside());
        found::found(&path, "test", &code(HUB), place(), &outside).await.expect("a network");
        self.start(HUB, None).await
    }

    async fn join(&self, point: &str, hub: &Running) -> Running {
        let operator = Caller::Operator { point: code(HUB) };
        let ttl = Duration::from_secs(600);
        let (token, _) =
            network::create_token(&hub.app, &operator, hub.authority, code(point), None, ttl)
                .await
                .expect("a token");
        let outside = self.clock.outside();
        found::join(&self.path(point), &token, &link_of(hub), place(), None, &outside)
            .await
            .expect("let in");
        self.start(point, Some(hub)).await
    }

    async fn start(&self, point: &str, hub: Option<&Running>) -> Running {
        let (mut settings, _) = config::load(&self.path(point), &[], |_| None).expect("settings");
        // Ports are drawn anew at every start.
        settings.parent = hub.map(link_of);
        let node = Node::open(&self.path(point), settings, self.clock.outside()).await;
        node.expect("a node").start().await.expect("a node at work")
    }

    /// When the certificate that lies in the node's directory begins and ends.
    fn certificate(&self, point: &str) -> (Time, Time) {
        let keys = KeyDirectory::open(&self.path(point).join(Path::new(KEYS))).expect("keys");
        let validity = keys.load_tls().expect("a certificate").chain.validity();
        (validity.not_before, validity.not_after)
    }

    fn now(&self) -> Time {
        self.clock.outside().now()
    }
}

/// Somebody of the hub's, shown in the whole network.
async fn shown(hub: &Running, name: &str) -> RecordId {
    let member = v1::Member {
        state: 2,
        names: vec![v1::PersonName {
            script: 1,
            family: name[..3].to_owned(),
            given: name[3..].to_owned(),
            full: name.to_owned(),
            order: 1,
            ..Default::default()
        }],
        preferred_script: 1,
        preferred_language: "zh-Hans".to_owned(),
        city_code: "440100".to_owned(),
        field_group: "health".to_owned(),
        ..Default::default()
    };
    let new = members::New { member, ..members::New::default() };
    let member = members::create(&hub.app, &admin(HUB), new).await.expect("a member");
    let grant = v1::Grant {
        member: member.id.clone(),
        purpose: "profile.network".to_owned(),
        text_version: "v2".to_owned(),
        text_language: "zh-Hans".to_owned(),
        given_via: 2,
        ..Default::default()
    };
    members::give(&hub.app, &admin(HUB), grant, "").await.expect("a consent");
    RecordId::parse(&member.id, "id").expect("an id")
}

/// The hub's cards as a node holds them.
fn cards(node: &Running) -> Option<Held> {
    let held = node.app.heads.find(&FeedId::new(code(HUB), Audience::Network))?.held?;
    matches!(held.state, CopyState::Own | CopyState::Current).then_some(held)
}

fn is_linked(node: &Running) -> bool {
    node.app.links.all().iter().any(|link| link.state == LinkState::Connected)
}

async fn agree(hub: &Running, node: &Running) {
    let digest = |held: Held| held.seal.map(|seal| seal.statement().digest);
    eventually("both hold the same cards", PATIENCE, async || {
        let (there, here) = (cards(hub).and_then(digest), cards(node).and_then(digest));
        there.is_some() && there == here
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_away_for_400_days_comes_back_alone_and_a_revoked_one_does_not() {
    let world = World::new();
    let hub = world.found().await;
    let london = world.join("GB-LON", &hub).await;
    let sydney = world.join("AU-SYD", &hub).await;
    let gone = shown(&hub, "欧阳若晴").await;
    for name in ["司徒晓明", "诸葛天朗", "上官婉清"] {
        shown(&hub, name).await;
    }
    agree(&hub, &london).await;
    agree(&hub, &sydney).await;
    let before = cards(&london).expect("a copy");
    london.stop().await;
    sydney.stop().await;

    world.clock.pass(200 * DAY);
    // Its own certificate has ended too: the founding node makes itself another.
    hub.stop().await;
    let hub = world.start(HUB, None).await;
    eventually("the hub has renewed", PATIENCE, async || world.certificate(HUB).1 > world.now())
        .await;
    members::withdraw(&hub.app, &admin(HUB), gone, "profile.network", "").await.expect("withdrawn");
    shown(&hub, "夏侯明远").await;
    let operator = Caller::Operator { point: code(HUB) };
    network::revoke_point(&hub.app, &operator, code("AU-SYD"), "closed").await.expect("put out");

    world.clock.pass(200 * DAY);
    hub.stop().await;
    let hub = world.start(HUB, None).await;
    eventually("the hub has renewed", PATIENCE, async || world.certificate(HUB).1 > world.now())
        .await;
    assert!(world.certificate("GB-LON").1 < Time(world.now().0 - 390 * DAY), "ended long ago");

    let london = world.start("GB-LON", Some(&hub)).await;
    agree(&hub, &london).await;
    assert!(world.certificate("GB-LON").1 > world.now(), "renewed by the seal key");
    let after = cards(&london).expect("a copy");
    let (slot, epoch) = (after.slot, after.epoch);
    assert_eq!(
        (slot, epoch),
        (before.slot, before.epoch),
        "the old copy went on, no new one began"
    );
    assert_eq!(after.live, before.live, "one card went, one came");
    assert!(after.sequence > before.sequence);

    let ended = world.certificate("AU-SYD");
    let sydney = world.start("AU-SYD", Some(&hub)).await;
    throughout("a revoked point stays out", Duration::from_secs(5), async || {
        !is_linked(&sydney) && world.certificate("AU-SYD") == ended
    })
    .await;
    assert_eq!(cards(&sydney).expect("its old copy").sequence, before.sequence);
    for node in [sydney, london, hub] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_at_half_life_without_a_call_being_dropped() {
    let world = World::new();
    let hub = world.found().await;
    let london = world.join("GB-LON", &hub).await;
    shown(&hub, "欧阳若晴").await;
    agree(&hub, &london).await;
    let since = |node: &Running| node.app.links.all().first().map(|link| link.since);
    let (first, linked) = (world.certificate("GB-LON"), since(&london));

    let ca = std::fs::read(world.path("GB-LON").join("ca.pem")).expect("what clients pin");
    let server = format!("https://127.0.0.1:{}", london.public.port());
    let client = yizhan_client::channel::Node::connect(&server, &ca).await.expect("a connection");
    // 72 h from the beginning: half life is 36 h, give or take a tenth.
    world.clock.pass(50 * 3_600 * 1_000_000);
    let mut calls = 0;
    eventually("London has renewed", PATIENCE, async || {
        client.nodes().get_status(v1::GetStatusRequest {}).await.expect("an answer");
        calls += 1;
        world.certificate("GB-LON").0 > first.0
    })
    .await;
    client.nodes().get_status(v1::GetStatusRequest {}).await.expect("an answer after the swap");
    assert!(calls > 1);
    assert!(is_linked(&london));
    assert_eq!(since(&london), linked, "the link was never cut");
    shown(&hub, "司徒晓明").await;
    agree(&hub, &london).await;
    london.stop().await;
    hub.stop().await;
}

/// The epoch of the roster that a node goes by.
fn roster_epoch(node: &Running) -> Option<u64> {
    let held = node.app.heads.find(&FeedId::new(code(HUB), Audience::Roster))?.held?;
    held.state.is_readable().then_some(held.epoch.counter)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authority_replaces_an_issuer_and_every_node_learns_of_it() {
    let world = World::new();
    let hub = world.found().await;
    let london = world.join("GB-LON", &hub).await;
    shown(&hub, "欧阳若晴").await;
    agree(&hub, &london).await;
    let before = roster_epoch(&hub);
    hub.stop().await;

    // The authority's key was in its safe; the issuer's is lost with the roster's.
    let (path, safe) = (world.path(HUB), world.path("safe.pem"));
    let keys = path.join(KEYS);
    std::fs::rename(keys.join("authority.pem"), &safe).expect("a safe");
    for lost in ["issuer.pem", "roster.key"] {
        std::fs::remove_file(keys.join(lost)).expect("a key to lose");
    }
    let (settings, _) = config::load(&path, &[], |_| None).expect("settings");
    let outside = world.clock.outside();
    let replace = |authority| appointing::replace_issuer(&path, &settings, authority, &outside);
    assert_eq!(replace(None).expect_err("no authority").reason(), "NO_AUTHORITY");
    let stranger = World::new();
    stranger.found().await.stop().await;
    let foreign = stranger.path(HUB).join(KEYS).join("authority.pem");
    assert_eq!(replace(Some(&foreign)).expect_err("another one").reason(), "WRONG_AUTHORITY");
    replace(Some(&safe)).expect("another issuer");

    let hub = world.start(HUB, None).await;
    let operator = Caller::Operator { point: code(HUB) };
    let roster = [FeedId::new(code(HUB), Audience::Roster)].into();
    recovery::next_epochs(&hub.app, &operator, roster).await.expect("a new epoch");
    let after = roster_epoch(&hub);
    assert!(after > before, "{before:?} {after:?}");

    // London dials the hub's new port, and keeps the roster that it has until its next certificate.
    london.stop().await;
    let london = world.start("GB-LON", Some(&hub)).await;
    eventually("London is linked", PATIENCE, async || is_linked(&london)).await;
    shown(&hub, "司徒晓明").await;
    agree(&hub, &london).await;
    assert_eq!(roster_epoch(&london), before);
    world.clock.pass(50 * 3_600 * 1_000_000);
    eventually("London goes by the new roster", PATIENCE, async || roster_epoch(&london) == after)
        .await;
    // What it says counts, everywhere.
    let sydney = world.join("AU-SYD", &hub).await;
    agree(&hub, &sydney).await;
    eventually("London knows of Sydney", PATIENCE, async || {
        london.app.keys.roster().get(&code("AU-SYD")).is_some()
    })
    .await;
    for node in [sydney, london, hub] {
        node.stop().await;
    }
}
