//! Words on handoffs that have come, and messages that were left behind.

use yizhan_server::{
    domain::{audience::Audience, kind::Kind, time::Time},
    feed::change::Change,
    store::{
        database::Database,
        handoffs::{self, Arrived},
    },
};

use crate::{
    help_requests::{message, stub},
    samples::{feed, id, node, on_both},
};

on_both!(words_are_kept, words_are_kept_on_sqlite, words_are_kept_on_postgresql);
on_both!(
    messages_of_a_stub_are_found,
    messages_of_a_stub_are_found_on_sqlite,
    messages_of_a_stub_are_found_on_postgresql
);

fn word(handoff: u64, kind: i64, arrived: i64) -> Arrived {
    Arrived {
        owner: "GB-LON".to_owned(),
        handoff: id(handoff),
        kind,
        extra: Vec::new(),
        sender: "CN-440000".to_owned(),
        word: vec![0, 255, kind as u8],
        arrived: Time(arrived),
    }
}

async fn words_are_kept(database: Database) {
    let mut tx = database.begin().await.unwrap();
    let db = tx.connection();
    let message = Arrived { extra: id(5).0.to_vec(), ..word(1, 6, 20) };
    for one in [&word(2, 1, 30), &message, &word(1, 5, 20), &word(1, 1, 10)] {
        handoffs::put(db, one).await.unwrap();
    }
    // The same one again changes nothing, whatever it says.
    handoffs::put(db, &Arrived { word: b"other".to_vec(), ..word(1, 1, 99) }).await.unwrap();
    let all = handoffs::list(db, 10).await.unwrap();
    assert_eq!(all, [word(1, 1, 10), word(1, 5, 20), message.clone(), word(2, 1, 30)]);
    assert_eq!(handoffs::list(db, 1).await.unwrap(), [word(1, 1, 10)]);
    handoffs::delete(db, &word(1, 5, 20)).await.unwrap();
    handoffs::delete(db, &message).await.unwrap();
    assert_eq!(handoffs::list(db, 10).await.unwrap(), [word(1, 1, 10), word(2, 1, 30)]);
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
    let left = handoffs::list_left_behind(&mut db, slot, 10).await.unwrap();
    let found = crate::help_requests::ids(&mut db, node.db.dialect, &left).await;
    assert_eq!(found, [id(12)], "the other message is where its request is");
}
