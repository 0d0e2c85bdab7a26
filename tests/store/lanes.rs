//! Lanes, by which two who do one thing at one moment meet.

use yizhan_server::{
    domain::position::Turn,
    store::{database::Database, lanes},
};
use yizhan_tests::postgres::Postgres;

use crate::samples::on_both;

on_both!(a_turn_passes_once, a_turn_passes_once_on_sqlite, a_turn_passes_once_on_postgresql);

async fn a_turn_passes_once(database: Database) {
    let mut tx = database.begin().await.unwrap();
    let db = tx.connection();
    let first = lanes::turns(db, [7, 9]).await.unwrap();
    assert_eq!(first, [Turn { lane: 7, at: 0 }, Turn { lane: 9, at: 0 }]);
    assert!(lanes::pass(db, first[0]).await.unwrap());
    assert!(!lanes::pass(db, first[0]).await.unwrap(), "somebody has passed since");
    let second = lanes::turns(db, [7, 9]).await.unwrap();
    assert_eq!(second, [Turn { lane: 7, at: 1 }, Turn { lane: 9, at: 0 }]);
    assert!(lanes::pass(db, second[0]).await.unwrap());
    assert!(!lanes::pass(db, second[0]).await.unwrap());
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn of_two_nodes_on_one_database_one_passes() {
    let address = Postgres::database().await;
    let nodes = [Database::open(&address).await.unwrap(), Database::open(&address).await.unwrap()];
    for lane in 0..8 {
        let turn = lanes::turns(&mut nodes[0].reader().await.unwrap(), [lane]).await.unwrap()[0];
        let pass = async |node: &Database| {
            let mut tx = node.begin().await.unwrap();
            let passed = lanes::pass(tx.connection(), turn).await.unwrap();
            tx.commit().await.unwrap();
            passed
        };
        let (one, other) = tokio::join!(pass(&nodes[0]), pass(&nodes[1]));
        assert!(one ^ other, "lane {lane}: {one} {other}");
    }
}
