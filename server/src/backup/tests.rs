//! A node of one point, backed up, put back, and started again.

use std::path::Path;

use prost::Message;
use tokio::sync::mpsc;
use yizhan_proto::v1::{self, tombstone::Reason};

use super::{RestoreError, archive::OpenError, restore, take::BackupError};
use crate::{
    app::{App, records},
    config,
    domain::{
        audience::{Audience, FeedId},
        disclosure,
        grant::{GivenVia, Grant, GrantState, Purpose, Scope},
        id::{MemberId, PointCode, RecordId},
        kind::Kind,
        language::Language,
        member::Member,
        time::Time,
    },
    feed::change::Change,
    found::{Place, found},
    identity::keys::{BackupKey, KeyDirectory},
    node::Node,
    outside::Outside,
};

fn point() -> PointCode {
    "CN-440000".parse().unwrap()
}

fn feed(audience: Audience) -> FeedId {
    FeedId::new(point(), audience)
}

async fn found_in(dir: &Path) {
    let address = |text| config::Address::parse(text).unwrap();
    let place = Place {
        listen_link: address("127.0.0.1:0"),
        listen_public: address("127.0.0.1:0"),
        database: config::DatabaseUrl::Sqlite,
    };
    found(dir, "test", &point(), place, &Outside::real()).await.unwrap();
}

fn settings(dir: &Path) -> config::Config {
    config::load(dir, &[], |_| None).unwrap().0
}

async fn open(dir: &Path) -> Node {
    Node::open(dir, settings(dir), Outside::real()).await.unwrap()
}

/// Stops a node that has not started, as far as its directory is concerned.
async fn close(node: Node) {
    node.close().await;
}

async fn back_up(node: &Node, to: &Path) -> Result<(), BackupError> {
    let (steps, _) = mpsc::channel(1);
    node.backup().take(to.to_owned(), Time(1), steps).await.map(drop)
}

fn member() -> v1::Member {
    let name = v1::PersonName {
        script: 3,
        family: "Lin".into(),
        given: "Ruoqing".into(),
        full: "Ruoqing Lin".into(),
        order: 2,
        sort_key: String::new(),
    };
    v1::Member {
        state: 2,
        names: vec![name],
        preferred_script: 3,
        preferred_language: "en".into(),
        city_code: "440100".into(),
        create_time: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
        update_time: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
        ..Default::default()
    }
}

fn grant(id: RecordId) -> Grant {
    Grant {
        member: MemberId(id.0),
        purpose: Purpose::ProfileNetwork,
        scope: Scope::Unlimited,
        text_version: "v2".into(),
        text_language: Language::parse("en", "lang").unwrap(),
        given_via: GivenVia::Web,
        given_time: Time(1),
        expire_time: None,
        state: GrantState::Given,
        end_time: None,
        asserted_by: None,
        source: String::new(),
        text_hash: None,
        evidence_hash: None,
    }
}

/// A member with a consent and the card that rests on it.
fn disclosed(id: RecordId) -> Change {
    let member: Member = member().try_into().unwrap();
    let card = disclosure::member(&member, &[grant(id)], Time(2)).card.unwrap().1;
    let mut grant_id = id;
    grant_id.0[0] ^= 0xff;
    Change::new()
        .put(feed(Audience::Home), Kind::MEMBER, id, v1::Member::from(member).encode_to_vec())
        .put(
            feed(Audience::Home),
            Kind::GRANT,
            grant_id,
            v1::Grant::from(grant(id)).encode_to_vec(),
        )
        .put(feed(Audience::Network), Kind::CARD, id, v1::Card::from(card).encode_to_vec())
}

async fn grants(app: &App, id: RecordId) -> Vec<GrantState> {
    let found = records::grants_of(app, &point(), id).await.unwrap();
    let state = |found: &records::Found| found.value::<v1::Grant, Grant>().unwrap().state;
    found.iter().map(state).collect()
}

async fn is_live(app: &App, kind: Kind, id: RecordId) -> bool {
    records::find(app, id).await.unwrap().iter().any(|found| found.row.kind == kind)
}

#[tokio::test]
async fn a_backup_is_put_back_and_the_node_asks_before_it_writes() {
    let dir = tempfile::tempdir().unwrap();
    found_in(dir.path()).await;
    let file = dir.path().join("backup.age");
    let (kept, lost) = (RecordId([1; 16]), RecordId([2; 16]));
    let node = open(dir.path()).await;
    node.app.writer.commit(disclosed(kept)).await.unwrap();
    back_up(&node, &file).await.unwrap();
    assert!(matches!(back_up(&node, &file).await, Err(BackupError::Exists { .. })));
    node.app.writer.commit(disclosed(lost)).await.unwrap();
    let running = restore(dir.path(), &settings(dir.path()), &file, |_| {});
    assert!(matches!(running, Err(RestoreError::Node(_))));
    close(node).await;

    let text = std::fs::read(&file).unwrap();
    assert!(!text.windows(7).any(|bytes| bytes == b"Ruoqing"));
    let restored = restore(dir.path(), &settings(dir.path()), &file, |_| {}).unwrap();
    assert_eq!(restored.aside, Some(dir.path().join("yizhan.db.before-restore")));
    assert!(!dir.path().join("continuity").exists());

    let node = open(dir.path()).await;
    let recovery = node.app.writer.recovery();
    assert!(recovery.unmarked && !recovery.is_over());
    assert!(node.app.writer.commit(disclosed(lost)).await.is_err());
    assert!(is_live(&node.app, Kind::MEMBER, kept).await);
    assert!(!is_live(&node.app, Kind::MEMBER, lost).await);

    let operator = crate::identity::caller::Caller::Operator { point: point() };
    let opened = crate::app::recovery::go_on(&node.app, &operator).await.unwrap();
    assert!(opened.iter().all(|(_, epoch)| epoch.counter == 2));
    node.app.writer.commit(disclosed(lost)).await.unwrap();
    close(node).await;
}

#[tokio::test]
async fn what_is_no_backup_of_this_node_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    found_in(dir.path()).await;
    let file = dir.path().join("backup.age");
    let node = open(dir.path()).await;
    back_up(&node, &file).await.unwrap();
    close(node).await;
    let state = || {
        let mut files: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file() && *path != file)
            // SQLite removes these a moment after its last connection is closed.
            .filter(|path| !path.to_string_lossy().ends_with("-wal"))
            .filter(|path| !path.to_string_lossy().ends_with("-shm"))
            .map(|path| (path.clone(), blake3::hash(&std::fs::read(path).unwrap())))
            .collect();
        files.sort_by(|one, other| one.0.cmp(&other.0));
        files
    };
    let before = state();
    let config = settings(dir.path());
    let whole = std::fs::read(&file).unwrap();

    let damaged = dir.path().join("keys/damaged.age");
    std::fs::write(&damaged, &whole[..whole.len() - 1]).unwrap();
    let cut = restore(dir.path(), &config, &damaged, |_| {});
    assert!(matches!(cut, Err(RestoreError::Damaged(_))));
    std::fs::write(&damaged, b"a letter").unwrap();
    let other = restore(dir.path(), &config, &damaged, |_| {});
    assert!(matches!(other, Err(RestoreError::Refused(OpenError::NotABackup))));

    let keys = KeyDirectory::open(&dir.path().join("keys")).unwrap();
    let key = keys.load_backup().unwrap();
    keys.save_backup(&BackupKey::generate()).unwrap();
    let other = restore(dir.path(), &config, &file, |_| {});
    assert!(matches!(other, Err(RestoreError::Refused(OpenError::OtherKey))));
    keys.save_backup(&key).unwrap();

    let stranger = config::Config { network: "other".into(), ..config.clone() };
    let other = restore(dir.path(), &stranger, &file, |_| {});
    assert!(matches!(other, Err(RestoreError::OtherNode { .. })));
    assert_eq!(state(), before);
}

#[tokio::test]
async fn who_was_erased_or_withdrew_stays_so_after_a_loss_of_home_records() {
    let dir = tempfile::tempdir().unwrap();
    found_in(dir.path()).await;
    let (erased, withdrawn, glad) = (RecordId([1; 16]), RecordId([2; 16]), RecordId([3; 16]));
    let node = open(dir.path()).await;
    let writer = &node.app.writer;
    for id in [erased, withdrawn, glad] {
        writer.commit(disclosed(id)).await.unwrap();
    }
    // Home records of a backup under a disclosed feed that neighbours gave back.
    let network = feed(Audience::Network);
    writer.commit(Change::new().remove(network.clone(), erased, Reason::Erased)).await.unwrap();
    writer.commit(Change::new().remove(network, withdrawn, Reason::Withdrawn)).await.unwrap();
    close(node).await;

    let node = open(dir.path()).await;
    assert!(!is_live(&node.app, Kind::MEMBER, erased).await);
    assert_eq!(grants(&node.app, erased).await, []);
    assert!(is_live(&node.app, Kind::MEMBER, withdrawn).await);
    assert_eq!(grants(&node.app, withdrawn).await, [GrantState::Withdrawn]);
    assert!(!is_live(&node.app, Kind::CARD, withdrawn).await);
    assert_eq!(grants(&node.app, glad).await, [GrantState::Given]);
    assert!(is_live(&node.app, Kind::CARD, glad).await);
    node.app.writer.until(|recovery| recovery.is_over()).await;
    close(node).await;
}
