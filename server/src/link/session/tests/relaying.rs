//! What is passed on: every byte of what cannot be read, and nothing of what is half here.

use super::*;
use crate::{store::records, wire::entry::quarantined};

impl Node {
    async fn rows(&self, feed: &FeedId) -> Vec<Row> {
        let held = self.parts.heads.find(feed).unwrap().held.unwrap();
        let page = self.parts.store.page(held.slot, Sequence(0), 100, 1 << 20).await;
        page.unwrap().unwrap().rows
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_kept_counted_and_passed_on_byte_for_byte() {
    let (a, hub, c) = (node("CN-440100").await, node("CN-440000").await, node("GB-LON").await);
    for point in ["CN-440000", "CN-440100", "GB-LON"] {
        hub.enrol(point).await;
    }
    connect(&a, &hub);
    connect(&c, &hub);
    let public = feed("CN-440100", Audience::Public);
    let payload = b"\xff\x00 of another version".to_vec();
    for (number, kind) in [(1, RecordKind(9_999)), (2, RecordKind::EVENT)] {
        let id = RecordId([number; 16]);
        let change = Change::new().put(public.clone(), kind, id, payload.clone());
        a.parts.writer.commit(change).await.unwrap();
    }
    let same = || {
        let of = |node: &Node| node.digest("CN-440100", Audience::Public);
        of(&a).is_some() && of(&a) == of(&c)
    };
    eventually("it is at the other end", same).await;
    assert_eq!(c.rows(&public).await, a.rows(&public).await);
    assert!(c.rows(&public).await.iter().all(|row| row.payload == payload));
    let db = &c.parts.store;
    let word = db.dialect.word(&quarantined());
    let reader = &mut *db.reader().await.unwrap();
    let found = records::find_positions(reader, db.dialect, &word, 0, 100).await.unwrap();
    assert_eq!(found.len(), 2);

    a.put(Audience::Public, 0..3, "readable or not").await;
    eventually("the feed goes on", same).await;
    assert_eq!(c.rows(&public).await.len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_being_applied_in_steps_is_not_passed_on() {
    let hub = hub_with_two_children().await;
    let london = node("GB-LON").await;
    connect(&hub, &london);
    london.put(Audience::Public, 0..10, "first").await;
    let of_london = feed("GB-LON", Audience::Public);
    let state = || hub.parts.heads.find(&of_london)?.held.map(|held| held.state);
    eventually("the hub holds it", || state() == Some(CopyState::Current)).await;
    let before = hub.parts.heads.find(&of_london).unwrap();
    let mut hongkong = Hand::greet(&hub, "HK").await;

    // All of it in one pull, and applied in more than one step.
    let mut changes = hub.parts.heads.watch();
    let held = hub.parts.store.begin().await.unwrap();
    london.put(Audience::Public, 0..10_000, "second").await;
    london.put(Audience::Public, 10_000..20_000, "third").await;
    london.put(Audience::Public, 20_000..30_000, "fourth").await;
    drop(held);
    let begun = async {
        while state() != Some(CopyState::CatchingUp) {
            changes.changed().await;
        }
    };
    tokio::time::timeout(SOON, begun).await.expect("many rows are applied in steps");
    let held = hub.parts.store.begin().await.unwrap();
    let view = hub.parts.heads.find(&of_london).unwrap();
    assert_eq!(view.held.as_ref().map(|held| held.state), Some(CopyState::CatchingUp));
    assert!(view.relayed().is_none() && view.readable().is_some());
    let pull = v1::Pull {
        home: "GB-LON".into(),
        audience: Audience::Public as u32,
        epoch: Some(before.held.unwrap().epoch.into()),
        pull: 7,
        ..Default::default()
    };
    hongkong.say(Kind::Pull(pull)).await;
    let page = async {
        loop {
            if let Kind::Page(page) = hongkong.hear().await.expect("the session goes on") {
                return page;
            }
        }
    };
    assert!(tokio::time::timeout(SOON, page).await.expect("an answer").gone);
    drop(held);
    eventually("it is whole again", || {
        state() == Some(CopyState::Current)
            && hub.digest("GB-LON", Audience::Public) == london.digest("GB-LON", Audience::Public)
    })
    .await;
}
