//! What makes rows findable: missed where it is gone, and made again where this version knows better.

use std::time::Duration;

use prost::Message;
use sqlx::Executor;
use yizhan_proto::v1;
use yizhan_server::{
    domain::{audience::Audience, id::RecordId, kind::Kind},
    feed::{change::Change, verify},
    store::{FeedStore, database::Database, dialect::Dialect, records},
    wire::entry::quarantined,
};

use crate::samples::{feed, id, keyring, node, on_both};

/// An organisation as any version reads it, and a row that none does.
async fn written(db: &Database) -> (RecordId, RecordId) {
    let names = v1::LocalText { language: "en".into(), text: "Alumni Hall".into() };
    let org = v1::Org {
        r#type: 1,
        names: vec![names],
        region_code: "440000".into(),
        ..Default::default()
    };
    let (readable, unknown) = (id(1), id(2));
    let change = Change::new()
        .put(feed(Audience::Public), Kind::ORG, readable, org.encode_to_vec())
        .put(feed(Audience::Public), Kind(9_999), unknown, b"of another version".to_vec());
    node(db.clone()).await.writer.commit(change).await.unwrap();
    (readable, unknown)
}

async fn position(db: &Database, id: RecordId) -> i64 {
    let stored = records::find(&mut db.reader().await.unwrap(), id).await.unwrap();
    stored[0].slot.position(stored[0].row.sequence)
}

/// Records that are entered as ones that cannot be read.
async fn unread(db: &Database) -> Vec<i64> {
    let word = db.dialect.word(&quarantined());
    let reader = &mut *db.reader().await.unwrap();
    records::find_positions(reader, db.dialect, &word, 0, 100).await.unwrap()
}

async fn forget_words(db: &Database, position: i64) {
    let sql = match db.dialect {
        Dialect::Sqlite => "delete from terms where rowid = $1",
        Dialect::Postgres => "delete from terms where position = $1",
    };
    let mut local = db.local().await.unwrap();
    sqlx::query(sql).bind(position).execute(&mut *local).await.unwrap();
}

on_both!(
    a_row_that_cannot_be_found_any_more,
    a_row_without_its_words_is_named_on_sqlite,
    a_row_without_its_words_is_named_on_postgresql
);

async fn a_row_that_cannot_be_found_any_more(db: Database) {
    let (readable, _) = written(&db).await;
    let missing = async || {
        let mut missing = Vec::new();
        for copy in db.copies().await.unwrap() {
            let (faults, _) = verify::check_copy(&db, &keyring(), &copy).await.unwrap();
            missing.extend(faults.into_iter().filter(|fault| fault.reason == "INDEX_INCOMPLETE"));
        }
        missing
    };
    assert_eq!(missing().await, []);
    forget_words(&db, position(&db, readable).await).await;
    let found = missing().await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].feed, feed(Audience::Public));
    assert_eq!(found[0].detail, format!("1 entries are missing: {readable} (words)"));
}

on_both!(
    what_was_not_understood_is_tried_again,
    rows_are_entered_again_by_a_newer_version_on_sqlite,
    rows_are_entered_again_by_a_newer_version_on_postgresql
);

async fn what_was_not_understood_is_tried_again(db: Database) {
    let (readable, unknown) = written(&db).await;
    let (readable, unknown) = (position(&db, readable).await, position(&db, unknown).await);
    assert_eq!(unread(&db).await, [unknown]);
    // As an older version would have left it, which did not know the kind.
    forget_words(&db, readable).await;
    let (sql, words) = match db.dialect {
        Dialect::Sqlite => ("insert into terms (rowid, words) values ($1, $2)", quarantined()),
        Dialect::Postgres => (
            "insert into terms (position, words) values ($1, array_to_tsvector(array[$2]))",
            quarantined(),
        ),
    };
    let mut local = db.local().await.unwrap();
    sqlx::query(sql).bind(readable).bind(words).execute(&mut *local).await.unwrap();
    drop(local);
    let both = unread(&db).await;
    assert_eq!(both.len(), 2);
    node(db.clone()).await;
    assert_eq!(unread(&db).await, both, "the same version tries nothing again");

    let mut local = db.local().await.unwrap();
    local.execute("update copies set entered = 0").await.unwrap();
    drop(local);
    let _upgraded = node(db.clone()).await;
    let again = async {
        while unread(&db).await != [unknown] {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), again).await.expect("it is entered again");
    let entered = async {
        while !db.entered_otherwise().await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), entered).await.expect("once and for all");
    for copy in db.copies().await.unwrap() {
        let (faults, _) = verify::check_copy(&db, &keyring(), &copy).await.unwrap();
        assert!(faults.iter().all(|fault| fault.reason == "SEAL_NOT_VALID"), "{faults:?}");
    }
}
