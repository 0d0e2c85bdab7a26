//! A disk that is full: nothing of a change has happened, its caller is told, and the writer goes on
//! by itself when there is room.

use sqlx::Executor;
use yizhan_server::{
    domain::{audience::Audience, kind::Kind},
    feed::{
        change::{Change, CommitError},
        verify,
    },
    store::FeedStore,
};

use crate::samples::{feed, id, keyring, node, sqlite};

fn large(number: u64) -> Change {
    Change::new().put(feed(Audience::Home), Kind(900), id(number), vec![number as u8; 60_000])
}

#[tokio::test]
async fn a_full_disk_is_told_and_is_over_when_there_is_room() {
    let (db, _dir) = sqlite().await;
    let node = node(db.clone()).await;
    node.writer.commit(large(0)).await.unwrap();
    // Room for a few records more. The limit is the connection's: it goes with it.
    let pages: i64 = {
        let mut local = db.local().await.unwrap();
        let pages = sqlx::query_scalar("pragma page_count").fetch_one(&mut *local).await.unwrap();
        let limit = format!("pragma max_page_count = {}", pages + 60);
        local.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(limit))).await.unwrap();
        pages
    };
    assert!(pages > 0);

    let mut full = None;
    for number in 1..100 {
        match node.writer.commit(large(number)).await {
            Ok(_) => {}
            Err(CommitError::DiskFull) => {
                full = Some(number);
                break;
            }
            Err(other) => panic!("{other}"),
        }
    }
    let full = full.expect("60 pages are less than 100 records");
    let held = node.heads.find(&feed(Audience::Home)).unwrap().held.unwrap();
    assert_eq!((held.live, held.sequence.0), (full, full));

    let mut local = db.local().await.unwrap();
    local.execute("pragma max_page_count = 1000000").await.unwrap();
    drop(local);
    node.writer.commit(large(full)).await.unwrap();
    for copy in db.copies().await.unwrap() {
        let (faults, rows) = verify::check_copy(&db, &keyring(), &copy).await.unwrap();
        // No roster names the point's key here: its seals add up, and are nobody's.
        let wrong: Vec<_> =
            faults.iter().filter(|fault| fault.reason != "SEAL_NOT_VALID").collect();
        assert!(wrong.is_empty(), "{wrong:?}");
        assert_eq!(rows, full + 1);
    }
}
