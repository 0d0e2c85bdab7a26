//! A node in memory for the tests of use cases: real tables, a real writer, no network.

use std::sync::Arc;

use ed25519_dalek::SigningKey;
use prost::Message;
use tokio::sync::mpsc;
use yizhan_proto::v1::{self, import_response::Report};

use super::{
    App,
    accounts::Accounts,
    audit::Audit,
    import::{self, Order, Part},
    notices::Notices,
};
use crate::{
    domain::{
        account::{Account, AccountId, OwnWord, RoleGrant},
        id::{PointCode, RecordId},
        kind::Kind,
        language::Language,
        policy::Role,
        roster::{NodeId, PointKind, RosterEntry, RosterNode, SealKey},
        time::Time,
    },
    feed::{change::Change, continuity::MarkFile, heads::Heads, keyring::Keyring, writer},
    found::roster_id,
    identity::{caller::Caller, keys::CaseKey},
    notify::Ways,
    outside::Outside,
    parcel::office::{self, Office},
    store::{accounts, database::Database},
};

/// The association's data.
pub const FILES: [(&str, &str); 13] = [
    ("points.csv", include_str!("../../data/demo/points.csv")),
    ("orgs.csv", include_str!("../../data/demo/orgs.csv")),
    ("org_figures.csv", include_str!("../../data/demo/org_figures.csv")),
    ("speakers.csv", include_str!("../../data/demo/speakers.csv")),
    ("seats.csv", include_str!("../../data/demo/seats.csv")),
    ("members.csv", include_str!("../../data/demo/members.csv")),
    ("grants.csv", include_str!("../../data/demo/grants.csv")),
    ("series.csv", include_str!("../../data/demo/series.csv")),
    ("events.csv", include_str!("../../data/demo/events.csv")),
    ("event_hosts.csv", include_str!("../../data/demo/event_hosts.csv")),
    ("appearances.csv", include_str!("../../data/demo/appearances.csv")),
    ("groups.csv", include_str!("../../data/demo/groups.csv")),
    ("group_members.csv", include_str!("../../data/demo/group_members.csv")),
];

pub const FOUNDER: &str = "CN-440000";

/// A node at work.
pub struct Node {
    pub app: App,
    _dir: tempfile::TempDir,
}

pub fn code(text: &str) -> PointCode {
    text.parse().unwrap()
}

fn key(point: &str) -> SigningKey {
    SigningKey::from_bytes(blake3::hash(point.as_bytes()).as_bytes())
}

/// A point's key as the roster names it.
pub fn seal_key(point: &str) -> SealKey {
    let public = key(point).verifying_key().to_bytes();
    SealKey { public, from_epoch: 1, limit: None }
}

/// Somebody who is signed in.
pub fn account(role: Role, point: &str) -> Caller {
    Caller::Account {
        account: AccountId([1; 16]),
        name: "somebody".into(),
        role,
        point: code(point),
        also: Vec::new(),
        member: None,
        own_word: OwnWord::Own,
        purpose: None,
        expires: Time(i64::MAX),
    }
}

/// The same with a name of its own; a member's account is tied to a record.
pub fn named(name: &str, role: Role, member: Option<RecordId>) -> Caller {
    let mut id = [2; 16];
    id[..name.len()].copy_from_slice(name.as_bytes());
    Caller::Account {
        account: AccountId(id),
        name: name.into(),
        role,
        point: code(FOUNDER),
        also: Vec::new(),
        member,
        own_word: OwnWord::Own,
        purpose: None,
        expires: Time(i64::MAX),
    }
}

/// Gives somebody the account that the sample says it has.
pub async fn sign_up(app: &App, caller: &Caller) {
    let Caller::Account { account, name, role, point, also, member, .. } = caller else {
        panic!("has no account: {caller:?}")
    };
    let account = Account {
        id: *account,
        name: name.clone(),
        role: *role,
        point: point.clone(),
        created: app.outside.now(),
        disabled: None,
        member: *member,
        otp: false,
        password_given: false,
        password_by: String::new(),
        confirmed_by: String::new(),
        grants: Vec::new(),
    };
    let mut db = app.db.local().await.unwrap();
    assert!(accounts::insert(&mut db, &account, "").await.unwrap(), "{name} is there");
    for grant in also {
        accounts::put_grant(&mut db, account.id, grant).await.unwrap();
    }
}

pub fn admin(point: &str) -> Caller {
    account(Role::PointAdmin, point)
}

/// The founding node of a network that has no other point yet.
pub async fn founder() -> Node {
    founder_with(Outside::real(), Ways::default()).await
}

/// The same in a world of the test's own.
pub async fn founder_with(outside: Outside, ways: Ways) -> Node {
    founder_in(tempfile::tempdir().unwrap(), Arc::default(), outside, ways).await
}

/// The same on the tables that lie in a directory, and with what was ordered to be erased.
pub async fn founder_in(
    dir: tempfile::TempDir,
    erasures: Arc<super::erasures::Ledger>,
    outside: Outside,
    ways: Ways,
) -> Node {
    let node = node_with(FOUNDER, dir, erasures, outside, ways).await;
    node.enrol(FOUNDER).await;
    node
}

/// The node of another point of the network, before it has heard of the roster.
pub async fn node_of(point: &str, dir: tempfile::TempDir, outside: Outside) -> Node {
    node_with(point, dir, Arc::default(), outside, Ways::default()).await
}

/// The node of a point that has just joined: no roster has come yet.
pub async fn newcomer(point: &str) -> Node {
    node_of(point, tempfile::tempdir().unwrap(), Outside::real()).await
}

async fn node_with(
    point: &str,
    dir: tempfile::TempDir,
    erasures: Arc<super::erasures::Ledger>,
    outside: Outside,
    ways: Ways,
) -> Node {
    let db = Database::open(&Database::address_in(dir.path())).await.unwrap();
    let issuer = key("issuer");
    let keys = Arc::new(Keyring::new(
        "gd".into(),
        code(point),
        code(FOUNDER),
        key(point),
        issuer.verifying_key(),
        (point == FOUNDER).then_some(issuer),
    ));
    let heads = Arc::new(Heads::default());
    let (writer, _) = writer::Writer::start(writer::Parts {
        store: db.clone(),
        keys: keys.clone(),
        heads: heads.clone(),
        outside: outside.clone(),
        mark_file: MarkFile::Memory(Arc::default()),
        marks: Some(Default::default()),
    })
    .await
    .unwrap();
    let case_key = CaseKey::generate();
    let post = Office::new(office::Parts {
        database: db.clone(),
        keys: keys.clone(),
        case_key: case_key.clone(),
        heads: heads.clone(),
        outside: outside.clone(),
    });
    let notices = Arc::new(Notices {
        db: db.clone(),
        ways,
        case_key: CaseKey::generate(),
        outside: outside.clone(),
        language: Language::parse("zh-Hans", "language").unwrap(),
    });
    let app = App {
        disk: Arc::default(),
        attachments: Arc::default(),
        notices,
        leading: super::leading::Leading::always(),
        post,
        help: super::help_requests::Help::new(case_key, Default::default()),
        accounts: Accounts::new(db.clone(), [0; 32]),
        erasures,
        departures: Arc::default(),
        doing: Arc::default(),
        live: Default::default(),
        audit: Audit::start(db.clone(), outside.clone(), None, false).await.unwrap(),
        started: outside.now(),
        stale_after_ms: 1_800_000,
        links: Arc::default(),
        db,
        writer,
        heads,
        keys,
        outside,
    };
    Node { app, _dir: dir }
}

impl Node {
    /// Enters a point with a node of its own into the roster.
    pub async fn enrol(&self, point: &str) {
        self.enrol_with(point, |_| {}).await;
    }

    /// The same with a change to its entry.
    pub async fn enrol_with(&self, point: &str, change: impl FnOnce(&mut RosterEntry)) {
        let mut entry = RosterEntry::new(code(point), point.into(), PointKind::City);
        entry.parent = (point != FOUNDER).then(|| code(FOUNDER));
        entry.seal_keys.push(seal_key(point));
        let node = NodeId([1; 8]);
        entry.nodes.push(RosterNode { node, spki_sha256: [0; 32], public_host: None });
        change(&mut entry);
        let payload = v1::RosterPoint::from(entry).encode_to_vec();
        let id = roster_id("gd", &code(point));
        let feed = self.app.keys.roster_feed();
        let change = Change::new().put(feed, Kind::ROSTER_POINT, id, payload);
        self.app.writer.commit(change).await.unwrap();
    }

    /// Imports files as the point's admin.
    pub async fn import(&self, files: &[(&str, &str)], order: Order) -> Report {
        let (parts, queue) = mpsc::channel(4);
        let (progress, _going) = mpsc::channel(1);
        let caller = admin(self.app.keys.point.as_str());
        let run = import::run(&self.app, &caller, order, queue, progress);
        let feed = async {
            for (name, text) in files {
                parts.send(Part::File((*name).into())).await.unwrap();
                for bytes in text.as_bytes().chunks(60_000) {
                    parts.send(Part::Bytes(bytes.to_vec())).await.unwrap();
                }
            }
            parts.send(Part::End).await.unwrap();
        };
        tokio::join!(run, feed).0.unwrap()
    }
}

/// The same caller with one role more.
pub fn also(mut caller: Caller, role: Role, point: &str) -> Caller {
    if let Caller::Account { also, .. } = &mut caller {
        also.push(RoleGrant {
            role,
            point: code(point),
            categories: Vec::new(),
            from: Time(0),
            to: None,
            granted_by: "operator".into(),
        });
    }
    caller
}
