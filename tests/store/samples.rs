//! Rows, copies and nodes for tests of storage.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use tempfile::TempDir;
use yizhan_server::{
    domain::{
        audience::{Audience, FeedId},
        id::{PointCode, RecordId},
        kind::Kind,
        position::{Epoch, Row, Sequence},
    },
    feed::{
        continuity::{MarkFile, Marks},
        digest::Sum,
        heads::Heads,
        keyring::Keyring,
        writer::{self, Writer},
    },
    outside::Outside,
    store::{Copy, CopyState, Slot, database::Database},
};

pub const NETWORK: &str = "test";

pub fn point() -> PointCode {
    "GB-LON".parse().unwrap()
}

pub fn feed(audience: Audience) -> FeedId {
    FeedId::new(point(), audience)
}

pub fn id(number: u64) -> RecordId {
    let mut id = [0; 16];
    id[8..].copy_from_slice(&number.to_be_bytes());
    RecordId(id)
}

pub fn row(sequence: u64, number: u64, payload: &'static [u8]) -> Row {
    Row {
        sequence: Sequence(sequence),
        id: id(number),
        kind: Kind::POINT,
        removed: false,
        payload: Bytes::from_static(payload),
    }
}

pub fn tombstone(sequence: u64, number: u64) -> Row {
    Row { removed: true, ..row(sequence, number, b"") }
}

pub fn copy(audience: Audience, state: CopyState) -> Copy {
    Copy {
        slot: Slot(0),
        feed: feed(audience),
        epoch: Epoch { counter: 1, random: [7; 16] },
        state,
        number: 0,
        sequence: Sequence(0),
        live: 0,
        sum: Sum::empty().to_bytes(),
        seal: Vec::new(),
        target: Vec::new(),
        distinct_to: Sequence(0),
        indexed: Sequence(0),
    }
}

/// A new SQLite database, and the directory that it lies in.
pub async fn sqlite() -> (Database, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (Database::open(&Database::address_in(dir.path())).await.unwrap(), dir)
}

/// The keys of the point's nodes.
pub fn keyring() -> Arc<Keyring> {
    let issuer = SigningKey::from_bytes(&[2; 32]).verifying_key();
    let founder = "CN-440000".parse().unwrap();
    let seal = SigningKey::from_bytes(&[1; 32]);
    Arc::new(Keyring::new(NETWORK.into(), point(), founder, seal, issuer, None))
}

/// A writer with its own connection, and what it has published.
pub struct Node {
    pub db: Database,
    pub writer: Writer,
    pub heads: Arc<Heads>,
    pub marks: Arc<Mutex<Option<Marks>>>,
}

pub async fn node(db: Database) -> Node {
    let (heads, marks) = (Arc::new(Heads::default()), Arc::new(Mutex::new(Some(Marks::new()))));
    let (writer, _) = Writer::start(writer::Parts {
        store: db.clone(),
        keys: keyring(),
        heads: heads.clone(),
        outside: Outside::real(),
        mark_file: MarkFile::Memory(marks.clone()),
        marks: Some(Marks::new()),
    })
    .await
    .unwrap();
    Node { db, writer, heads, marks }
}

/// One suite on both databases: a test of each.
macro_rules! on_both {
    ($suite:ident, $sqlite:ident, $postgres:ident) => {
        #[tokio::test]
        async fn $sqlite() {
            let (db, _dir) = $crate::samples::sqlite().await;
            $suite(db).await;
        }

        #[tokio::test]
        async fn $postgres() {
            let url = yizhan_tests::postgres::Postgres::database().await;
            let db = yizhan_server::store::database::Database::open(&url).await.unwrap();
            $suite(db).await;
        }
    };
}
pub(crate) use on_both;
