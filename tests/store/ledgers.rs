//! Ledgers outside the database, on one that several nodes of a point share.

use std::sync::Arc;

use tempfile::TempDir;
use yizhan_server::{
    app::{
        erasures::{Erasure, Ledger},
        ledgers::{self, Shared},
    },
    domain::time::Time,
    store::database::Database,
};
use yizhan_tests::postgres::Postgres;

use crate::samples::{id, on_both, point};

const NAME: &str = "erasures";

/// A node's file, and what it shares of it.
struct Node {
    dir: TempDir,
    db: Database,
    ledger: Arc<Ledger>,
    shared: Shared,
}

impl Node {
    fn new(db: &Database) -> Node {
        Node::at(tempfile::tempdir().unwrap(), db)
    }

    fn at(dir: TempDir, db: &Database) -> Node {
        let ledger = Arc::new(Ledger::open(dir.path()).unwrap());
        let shared = Shared::new(NAME, db.clone(), ledger.clone());
        Node { dir, db: db.clone(), ledger, shared }
    }

    /// Ends and starts again: what is known then is what the file holds.
    fn again(self) -> Node {
        Node::at(self.dir, &self.db)
    }

    fn entry(number: u64, at: i64) -> Erasure {
        Erasure { order: id(number + 100), record: id(number), home: point(), ordered: Time(at) }
    }

    async fn enter(&self, number: u64, at: i64) {
        ledgers::enter(&self.db, NAME, &self.ledger, Node::entry(number, at)).await.unwrap();
    }
}

on_both!(
    files_and_tables_meet,
    files_and_tables_meet_on_sqlite,
    files_and_tables_meet_on_postgresql
);

async fn files_and_tables_meet(db: Database) {
    let (one, other) = (Node::new(&db), Node::new(&db));
    one.ledger.add(Node::entry(1, 5)).unwrap();
    other.ledger.add(Node::entry(2, 6)).unwrap();
    for node in [&one, &other, &one] {
        node.shared.exchange().await.unwrap();
    }
    for node in [one.again(), other.again()] {
        assert_eq!(node.ledger.find(id(1)), Some(Node::entry(1, 5)), "and in the file");
        assert_eq!(node.ledger.find(id(2)), Some(Node::entry(2, 6)));
    }
}

async fn two_nodes() -> (Node, Node) {
    let address = Postgres::database().await;
    let one = Database::open(&address).await.unwrap();
    let other = Database::open(&address).await.unwrap();
    (Node::new(&one), Node::new(&other))
}

#[tokio::test]
async fn what_one_node_enters_is_where_the_other_finds_it_at_once() {
    let (one, other) = two_nodes().await;
    one.enter(1, 5).await;
    // The first may be gone for ever from now on.
    drop(one);
    other.shared.meet().await.unwrap();
    assert!(other.ledger.holds(id(1)));
    let other = other.again();
    assert!(other.ledger.holds(id(1)));
}

#[tokio::test]
async fn an_old_database_that_is_put_back_takes_nothing_out_of_a_file_and_is_told() {
    let (one, other) = two_nodes().await;
    one.enter(1, 5).await;
    other.shared.meet().await.unwrap();
    let put_back = "delete from ledger_entries";
    sqlx::query(put_back).execute(&mut *one.db.local().await.unwrap()).await.unwrap();
    // Only the second node is started again, and a third one comes to the database.
    let other = other.again();
    other.shared.meet().await.unwrap();
    assert!(other.ledger.holds(id(1)));
    let third = Node::new(&one.db);
    third.shared.meet().await.unwrap();
    assert!(third.ledger.holds(id(1)));
    // A node that ran on meanwhile tells it as well, and hears what is new.
    sqlx::query(put_back).execute(&mut *one.db.local().await.unwrap()).await.unwrap();
    third.enter(2, 6).await;
    one.shared.meet().await.unwrap();
    one.shared.meet().await.unwrap();
    let fourth = Node::new(&one.db);
    fourth.shared.meet().await.unwrap();
    assert!(fourth.ledger.holds(id(1)) && fourth.ledger.holds(id(2)));
    assert!(one.ledger.holds(id(2)));
    // As many entries as it has read there, and others.
    assert!(!other.ledger.holds(id(2)));
    other.shared.meet().await.unwrap();
    assert!(other.ledger.holds(id(2)));
}

#[tokio::test]
async fn of_two_entries_on_one_record_the_newer_one_stands_on_both_nodes() {
    let (one, other) = two_nodes().await;
    one.enter(1, 5).await;
    other.shared.meet().await.unwrap();
    let newer = Erasure { order: id(200), ..Node::entry(1, 9) };
    ledgers::enter(&other.db, NAME, &other.ledger, newer.clone()).await.unwrap();
    one.shared.meet().await.unwrap();
    other.shared.meet().await.unwrap();
    for node in [one.again(), other.again()] {
        assert_eq!(node.ledger.find(id(1)), Some(newer.clone()));
    }
}
