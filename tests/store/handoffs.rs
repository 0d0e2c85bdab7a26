//! Words on handoffs that have come, and messages that were left behind.

use yizhan_server::{
    domain::{audience::Audience, kind::Kind, time::Time},
    feed::change::Change,
    store::{
        database::Database,
        handoffs::{self, Arrived, Lane},
    },
};

use crate::{
    help_requests::{message, stub},
    samples::{feed, id, node, on_both},
};

on_both!(words_are_kept, words_are_kept_on_sqlite, words_are_kept_on_postgresql);
on_both!(
    what_one_point_says_does_not_stand_in_for_another,
    what_one_point_says_does_not_stand_in_for_another_on_sqlite,
    what_one_point_says_does_not_stand_in_for_another_on_postgresql
);
on_both!(
    messages_of_a_stub_are_found,
    messages_of_a_stub_are_found_on_sqlite,
    messages_of_a_stub_are_found_on_postgresql
);

fn word(handoff: u64, kind: i64, arrived: i64) -> Arrived {
    Arrived {
        owner: "GB-LON".to_owned(),
        sender: "CN-440000".to_owned(),
        handoff: id(handoff),
        kind,
        extra: Vec::new(),
        lane: Lane::Said,
        request: id(7),
        arrived: Time(arrived),
    }
}

async fn words_are_kept(database: Database) {
    let mut tx = database.begin().await.unwrap();
    let db = tx.connection();
    let message = Arrived { extra: id(5).0.to_vec(), lane: Lane::Following, ..word(1, 6, 20) };
    let all = [word(1, 1, 10), word(1, 5, 20), word(2, 5, 20), word(2, 1, 30)];
    for one in all.iter().rev().chain([&message]) {
        handoffs::put(db, one, &[0, 255, one.kind as u8]).await.unwrap();
    }
    // The same one again changes nothing, whatever it says.
    handoffs::put(db, &word(1, 1, 99), b"other").await.unwrap();
    assert_eq!(handoffs::read(db, &word(1, 1, 10)).await.unwrap(), Some(vec![0, 255, 1]));
    assert_eq!(handoffs::list(db, Lane::Said, None, 10).await.unwrap(), all);
    let mut after: Option<Arrived> = None;
    for one in &all {
        let next = handoffs::list(db, Lane::Said, after.as_ref(), 1).await.unwrap();
        assert_eq!(next, std::slice::from_ref(one));
        after = Some(one.clone());
    }
    assert!(handoffs::list(db, Lane::Said, after.as_ref(), 1).await.unwrap().is_empty());
    assert_eq!(
        handoffs::list(db, Lane::Following, None, 10).await.unwrap(),
        std::slice::from_ref(&message)
    );
    assert_eq!(handoffs::count(db, "GB-LON", "CN-440000", Lane::Said).await.unwrap(), 4);
    assert_eq!(handoffs::count(db, "GB-LON", "HK", Lane::Said).await.unwrap(), 0);
    for done in [&all[1], &all[2], &message] {
        handoffs::delete(db, done).await.unwrap();
        assert_eq!(handoffs::read(db, done).await.unwrap(), None);
    }
    let left = handoffs::list(db, Lane::Said, None, 10).await.unwrap();
    assert_eq!(left, [word(1, 1, 10), word(2, 1, 30)]);
    tx.commit().await.unwrap();
}

async fn what_one_point_says_does_not_stand_in_for_another(database: Database) {
    let mut tx = database.begin().await.unwrap();
    let db = tx.connection();
    let hostile = Arrived { sender: "AU-SYD".to_owned(), ..word(1, 5, 10) };
    handoffs::put(db, &hostile, b"hostile").await.unwrap();
    handoffs::put(db, &word(1, 5, 20), b"real").await.unwrap();
    handoffs::delete(db, &hostile).await.unwrap();
    assert_eq!(handoffs::read(db, &word(1, 5, 20)).await.unwrap(), Some(b"real".to_vec()));
    tx.commit().await.unwrap();
}

async fn messages_of_a_stub_are_found(database: Database) {
    let node = node(database).await;
    let sealed = feed(Audience::Sealed);
    let change = Change::new()
        .put(sealed.clone(), Kind::HELP_REQUEST, id(1), crate::help_requests::request(1, 10))
        .put(sealed.clone(), Kind::HELP_STUB, id(2), stub(2, false))
        .put(sealed.clone(), Kind::HELP_MESSAGE, id(11), message(1, 100))
        .put(sealed.clone(), Kind::HELP_MESSAGE, id(12), message(2, 101));
    node.writer.commit(change).await.unwrap();
    let slot = node.heads.find(&sealed).unwrap().held.unwrap().slot;
    let mut db = node.db.local().await.unwrap();
    let left = handoffs::list_left_behind(&mut db, slot, i64::MIN, 10).await.unwrap();
    let more = handoffs::list_left_behind(&mut db, slot, left[0], 10).await.unwrap();
    assert!(more.is_empty(), "{more:?}");
    let found = crate::help_requests::ids(&mut db, node.db.dialect, &left).await;
    assert_eq!(found, [id(12)], "the other message is where its request is");
}
