//! Two nodes of one point on one PostgreSQL: no sequence number is lost or given twice, both sign one
//! history, and each sees what the other has committed.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use yizhan_server::{
    domain::{audience::Audience, kind::Kind, position::Sequence},
    feed::{
        change::{Change, CommitError},
        digest::{Elements, Sum},
        seal::Seal,
    },
    store::{Copy, FeedStore, database::Database},
};
use yizhan_tests::postgres::Postgres;

use crate::samples::{Node, feed, id, node};

/// Changes of each node.
const CHANGES: u64 = 1_000;
/// Changes that wait for a writer at once.
const AT_ONCE: u64 = 20;
const PATIENCE: Duration = Duration::from_secs(20);

fn change(number: u64) -> Change {
    let payload = number.to_be_bytes().to_vec();
    Change::new().put(feed(Audience::Network), Kind(900), id(number), payload)
}

async fn two_nodes() -> (Node, Node) {
    let url = Postgres::database().await;
    let first = Database::open(&url).await.unwrap();
    let second = Database::open(&url).await.unwrap();
    (node(first).await, node(second).await)
}

async fn write(node: &Node, numbers: std::ops::Range<u64>) {
    let writers = (0..AT_ONCE).map(|lane| {
        let (writer, numbers) = (node.writer.clone(), numbers.clone());
        tokio::spawn(async move {
            for number in numbers.filter(|number| number % AT_ONCE == lane) {
                writer.commit(change(number)).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
}

async fn own(db: &Database) -> Copy {
    let copies = db.copies().await.unwrap();
    assert_eq!(copies.len(), 1, "one feed, one copy");
    copies.into_iter().next().unwrap()
}

/// Adds a copy up from one page, and holds it against what was read with the page.
async fn adds_up(db: &Database, copy: &Copy) -> u64 {
    let page = db.page(copy.slot, Sequence(0), 100_000, usize::MAX >> 1).await.unwrap().unwrap();
    let elements = Elements::of(&copy.feed);
    let mut sum = Sum::empty();
    page.rows.iter().for_each(|row| sum.add(&elements.element(row)));
    assert!(sum.to_bytes() == page.copy.sum, "the page is not of one state");
    page.rows.len() as u64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_writers_on_one_database_make_one_history() {
    let (one, other) = two_nodes().await;
    one.writer.commit(change(10_000_000)).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let reading = {
        let (db, stop) = (one.db.clone(), stop.clone());
        tokio::spawn(async move {
            let (copy, mut looks) = (own(&db).await, 0);
            while !stop.load(Ordering::Relaxed) {
                adds_up(&db, &copy).await;
                looks += 1;
            }
            looks
        })
    };
    tokio::join!(write(&one, 0..CHANGES), write(&other, CHANGES..2 * CHANGES));
    stop.store(true, Ordering::Relaxed);
    assert!(reading.await.unwrap() > 0);

    let copy = own(&one.db).await;
    let all = 2 * CHANGES + 1;
    assert_eq!((copy.sequence.0, copy.live), (all, all));
    assert_eq!(adds_up(&other.db, &copy).await, all);
    let page = one.db.page(copy.slot, Sequence(0), 100_000, usize::MAX >> 1).await.unwrap();
    let sequences: BTreeSet<u64> = page.unwrap().rows.iter().map(|row| row.sequence.0).collect();
    assert_eq!(sequences, (1..=all).collect());
    assert_eq!(one.db.equivocations().await.unwrap(), []);

    // Every seal names the one before, whoever signed it.
    let seals = one.db.recent_seals(&copy.feed, 10_000).await.unwrap();
    let seals: Vec<Seal> = seals.iter().map(|seal| Seal::decode(seal).unwrap()).collect();
    assert_eq!(seals[0].encode(), copy.seal);
    for pair in seals.windows(2) {
        let (later, earlier) = (pair[0].statement(), pair[1].statement());
        assert_eq!(later.number, earlier.number + 1);
        assert_eq!(later.previous, Some(pair[1].hash()));
    }
}

#[tokio::test]
async fn a_node_sees_and_marks_what_the_other_has_committed() {
    let (one, other) = two_nodes().await;
    for number in 0..3 {
        one.writer.commit(change(number)).await.unwrap();
        assert!(
            other
                .heads
                .find(&feed(Audience::Network))
                .is_none_or(|view| { view.held.is_none_or(|held| held.sequence.0 == number) })
        );
        let mut changes = other.heads.watch();
        other.writer.refresh().await;
        tokio::time::timeout(PATIENCE, changes.changed()).await.unwrap();
        let view = other.heads.find(&feed(Audience::Network)).unwrap();
        assert_eq!(view.held.as_ref().unwrap().sequence.0, number + 1);
        assert_eq!(view.relayed().unwrap().statement().number, number + 1);
        let marks = other.marks.lock().unwrap().clone().unwrap();
        assert_eq!(marks[&feed(Audience::Network)].number, number + 1);
    }
}

#[tokio::test]
async fn an_optimistic_lock_holds_between_nodes() {
    let (one, other) = two_nodes().await;
    one.writer.commit(change(1)).await.unwrap();
    let lock = |at| change(2).expect(feed(Audience::Network), id(1), Some(Sequence(at)));
    other.writer.commit(lock(1)).await.unwrap();
    let newer = Change::new().put(feed(Audience::Network), Kind(900), id(1), b"newer".to_vec());
    other.writer.commit(newer).await.unwrap();
    assert!(matches!(one.writer.commit(lock(1)).await, Err(CommitError::Stale)));
}
