//! The lease by which one of several nodes leads.

use yizhan_server::store::{database::Database, leases};
use yizhan_tests::postgres::Postgres;

/// 100 ms.
const SHORT_US: i64 = 100_000;
const LONG_US: i64 = 60_000_000;

#[tokio::test]
async fn a_lease_is_held_by_one_until_it_ends_or_is_given_back() {
    let db = Database::open(&Postgres::database().await).await.unwrap();
    let mut local = db.local().await.unwrap();
    let db = &mut *local;
    let (one, other) = ([1; 16], [2; 16]);
    assert!(leases::take(db, "leader", &one, SHORT_US).await.unwrap());
    assert!(leases::take(db, "another", &other, LONG_US).await.unwrap());
    assert!(leases::take(db, "leader", &one, LONG_US).await.unwrap(), "renewed");
    assert!(!leases::take(db, "leader", &other, LONG_US).await.unwrap());
    leases::give_back(db, "leader", &other).await.unwrap();
    assert!(!leases::take(db, "leader", &other, LONG_US).await.unwrap(), "not theirs to give");
    leases::give_back(db, "leader", &one).await.unwrap();
    assert!(leases::take(db, "leader", &other, -1).await.unwrap());
    assert!(leases::take(db, "leader", &one, SHORT_US).await.unwrap(), "its time was over");
}
