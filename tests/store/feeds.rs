//! Copies, rows, seals and words on both databases: the same suite, whatever lies beneath.

use yizhan_server::{
    domain::{
        analyzer::Term, audience::Audience, entry::Entry, kind::Kind, position::Sequence,
        time::Time,
    },
    store::{
        CopyState, FeedStore, FeedTx, FoundEquivocation, SEALS_KEPT, Slot, database::Database,
        events, records, search,
    },
};
use yizhan_tests::postgres::Postgres;

use crate::samples::{copy, feed, id, row, sqlite, tombstone};

#[tokio::test]
async fn feeds_are_kept_alike_on_sqlite() {
    let (db, _dir) = sqlite().await;
    suite(&db).await;
}

#[tokio::test]
async fn feeds_are_kept_alike_on_postgresql() {
    let db = Database::open(&Postgres::database().await).await.unwrap();
    suite(&db).await;
}

async fn suite(db: &Database) {
    nothing_happens_without_a_commit(db).await;
    copies_come_back_as_they_were_written(db).await;
    pages_are_cut_by_rows_and_by_bytes(db).await;
    rows_are_found_by_id_and_by_word(db).await;
    events_are_found_by_the_calendar(db).await;
    a_later_staged_row_replaces_an_earlier_one(db).await;
    seals_are_kept_and_contradictions_told(db).await;
    a_retired_copy_is_cleared_in_steps(db).await;
    a_reader_sees_what_was_committed(db).await;
}

async fn insert(db: &Database, audience: Audience, state: CopyState) -> Slot {
    let mut tx = db.begin().await.unwrap();
    let copy = tx.insert_copy(copy(audience, state)).await.unwrap();
    FeedTx::commit(tx).await.unwrap();
    copy.slot
}

async fn nothing_happens_without_a_commit(db: &Database) {
    let mut tx = db.begin().await.unwrap();
    tx.insert_copy(copy(Audience::Home, CopyState::Own)).await.unwrap();
    drop(tx);
    assert_eq!(db.copies().await.unwrap(), []);
}

async fn copies_come_back_as_they_were_written(db: &Database) {
    let mut tx = db.begin().await.unwrap();
    let mut written = tx.insert_copy(copy(Audience::Home, CopyState::Filling)).await.unwrap();
    assert_eq!(written.slot, Slot(1));
    written.state = CopyState::Own;
    written.number = 3;
    written.sequence = Sequence::MAX;
    written.live = 2;
    written.seal = vec![0, 255, 1];
    written.target = vec![9];
    written.distinct_to = Sequence(4);
    written.indexed = Sequence(5);
    written.epoch.counter = 2;
    written.epoch.random = [0xff; 16];
    tx.update_copy(&written).await.unwrap();
    assert_eq!(tx.copies(&feed(Audience::Home)).await.unwrap(), [written.clone()]);
    assert_eq!(tx.copies(&feed(Audience::Public)).await.unwrap(), []);
    FeedTx::commit(tx).await.unwrap();
    assert_eq!(db.copies().await.unwrap(), [written]);
}

async fn pages_are_cut_by_rows_and_by_bytes(db: &Database) {
    let slot = insert(db, Audience::Network, CopyState::Own).await;
    let rows = [
        row(1, 1, b"one"),
        row(3, 3, b""),
        tombstone(4, 4),
        row(9, 9, b"\x00\xff binary \x00"),
        row(Sequence::MAX.0, 5, b"last"),
    ];
    let mut tx = db.begin().await.unwrap();
    tx.put(slot, &rows).await.unwrap();
    FeedTx::commit(tx).await.unwrap();
    let page = async |after: u64, rows: usize, bytes: usize| {
        db.page(slot, Sequence(after), rows, bytes).await.unwrap().unwrap()
    };
    let all = page(0, 10, 1_000).await;
    assert_eq!(all.rows, rows);
    assert!(all.reaches_end);
    assert_eq!(all.copy.slot, slot);
    let first = page(0, 2, 1_000).await;
    assert_eq!(first.rows, rows[..2]);
    assert!(!first.reaches_end);
    assert_eq!(page(3, 2, 1_000).await.rows, rows[2..4]);
    // At least one row, however large; no further one beyond the limit.
    let small = page(0, 10, 1).await;
    assert_eq!((small.rows.len(), small.reaches_end), (1, false));
    assert_eq!(page(9, 10, 1).await.rows, rows[4..]);
    assert!(db.page(Slot(999), Sequence(0), 1, 1).await.unwrap().is_none());
}

async fn rows_are_found_by_id_and_by_word(db: &Database) {
    let (slot, other) = (
        insert(db, Audience::Public, CopyState::Own).await,
        insert(db, Audience::Domestic, CopyState::Own).await,
    );
    let mut tx = db.begin().await.unwrap();
    let words = |sequence: u64, terms: &str| Entry {
        sequence: Sequence(sequence),
        terms: terms.to_owned(),
        starts_at: None,
        ..Entry::default()
    };
    tx.put(slot, &[row(1, 1, b"a"), row(2, 2, b"b"), tombstone(3, 3)]).await.unwrap();
    tx.put(other, &[row(1, 1, b"c")]).await.unwrap();
    tx.enter(slot, &[words(1, "xkb00 张伟 zhang"), words(2, "xkb00 oneil zhu")]).await.unwrap();
    tx.enter(other, &[words(1, "xkb01 zhang")]).await.unwrap();
    let found = tx.versions(slot, &[id(2), id(3), id(77)]).await.unwrap();
    let mut numbers: Vec<u64> = found.iter().map(|row| row.sequence.0).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [2, 3]);
    FeedTx::commit(tx).await.unwrap();

    let at = |slot: Slot, sequence| slot.position(Sequence(sequence));
    let ask = async |text: &str, prefix: bool, after: i64, limit: usize| {
        let term = Term { text: text.to_owned(), prefix };
        let words = search::expression(db.dialect, &[term], &[]).unwrap();
        let db_reader = &mut *db.reader().await.unwrap();
        records::find_positions(db_reader, db.dialect, &words, after, limit).await.unwrap()
    };
    assert_eq!(ask("zhang", false, 0, 10).await, [at(slot, 1), at(other, 1)]);
    assert_eq!(ask("zhang", false, at(slot, 1), 10).await, [at(other, 1)]);
    assert_eq!(ask("zhang", false, 0, 1).await, [at(slot, 1)]);
    assert_eq!(ask("zh", true, 0, 10).await, [at(slot, 1), at(slot, 2), at(other, 1)]);
    assert!(ask("zh", false, 0, 10).await.is_empty());
    assert_eq!(ask("张伟", false, 0, 10).await, [at(slot, 1)]);
    assert_eq!(ask("oneil", false, 0, 10).await, [at(slot, 2)]);

    let reader = &mut *db.reader().await.unwrap();
    let stored = records::at(reader, db.dialect, &[at(slot, 2), at(other, 1)]).await.unwrap();
    let payloads: Vec<&[u8]> = stored.iter().map(|stored| &stored.row.payload[..]).collect();
    assert_eq!(payloads, [b"b", b"c"]);
    assert_eq!(stored[1].slot, other);
    let everywhere = records::find(reader, id(1)).await.unwrap();
    assert!(everywhere.iter().filter(|stored| [slot, other].contains(&stored.slot)).count() == 2);
    let removed = records::removed(reader, slot, Sequence(0), 10).await.unwrap();
    assert_eq!(removed, [tombstone(3, 3)]);
    assert_eq!(records::removed(reader, slot, Sequence(3), 10).await.unwrap(), []);

    let mut tx = db.begin().await.unwrap();
    tx.remove(slot, &[Sequence(1), Sequence(50)]).await.unwrap();
    FeedTx::commit(tx).await.unwrap();
    assert_eq!(ask("zhang", false, 0, 10).await, [at(other, 1)]);
    assert_eq!(db.page(slot, Sequence(0), 10, 99).await.unwrap().unwrap().rows.len(), 2);
}

async fn events_are_found_by_the_calendar(db: &Database) {
    let slot = insert(db, Audience::Public, CopyState::Own).await;
    let event = |sequence, start| Entry {
        sequence: Sequence(sequence),
        terms: format!("xevent n{sequence}"),
        starts_at: Some(Time(start)),
        ..Entry::default()
    };
    let mut tx = db.begin().await.unwrap();
    let rows: Vec<_> = (1..=4).map(|n| row(n, 100 + n, b"event")).collect();
    tx.put(slot, &rows).await.unwrap();
    tx.enter(slot, &[event(1, 30), event(2, 10), event(3, 20), event(4, 20)]).await.unwrap();
    FeedTx::commit(tx).await.unwrap();
    let reader = &mut *db.reader().await.unwrap();
    let list = async |reader: &mut _, words: Option<&str>, after, span| {
        let found = events::list(reader, db.dialect, words, after, span, 10).await.unwrap();
        found.into_iter().map(|place| place.position - slot.position(Sequence(0))).collect()
    };
    let first = events::Place::FIRST;
    let all: Vec<i64> = list(reader, None, first, 0..100).await;
    assert_eq!(all, [2, 3, 4, 1]);
    let some: Vec<i64> = list(reader, None, first, 11..30).await;
    assert_eq!(some, [3, 4]);
    let after = events::Place { start: 20, id: id(103).0, position: slot.position(Sequence(3)) };
    let rest: Vec<i64> = list(reader, None, after, 0..100).await;
    assert_eq!(rest, [4, 1]);
    let term = Term { text: "n4".to_owned(), prefix: false };
    let words = search::expression(db.dialect, &[term], &[]).unwrap();
    let fitting: Vec<i64> = list(reader, Some(&words), first, 0..100).await;
    assert_eq!(fitting, [4]);
}

async fn a_later_staged_row_replaces_an_earlier_one(db: &Database) {
    let slot = insert(db, Audience::Network, CopyState::Current).await;
    let mut tx = db.begin().await.unwrap();
    assert_eq!(tx.staged_extent(slot).await.unwrap(), None);
    tx.stage(slot, &[row(1, 1, b"old"), row(2, 2, b"b"), row(3, 3, b"c")]).await.unwrap();
    tx.stage(slot, &[row(4, 1, b"new"), tombstone(5, 2)]).await.unwrap();
    assert_eq!(tx.staged_extent(slot).await.unwrap(), Some((Sequence(5), 3)));
    let all = tx.staged(slot, Sequence(0), false, 10).await.unwrap();
    assert_eq!(all, [row(3, 3, b"c"), row(4, 1, b"new"), tombstone(5, 2)]);
    assert_eq!(tx.staged(slot, Sequence(0), true, 10).await.unwrap(), [tombstone(5, 2)]);
    assert_eq!(tx.staged(slot, Sequence(3), false, 1).await.unwrap(), [row(4, 1, b"new")]);
    tx.unstage(slot, Sequence::MAX, true).await.unwrap();
    assert_eq!(tx.staged_extent(slot).await.unwrap(), Some((Sequence(4), 2)));
    tx.unstage(slot, Sequence::MAX, false).await.unwrap();
    assert_eq!(tx.staged_extent(slot).await.unwrap(), None);
    FeedTx::commit(tx).await.unwrap();
}

async fn seals_are_kept_and_contradictions_told(db: &Database) {
    let feed = feed(Audience::Public);
    let mut tx = db.begin().await.unwrap();
    for number in 1..=SEALS_KEPT + 128 {
        let seal = number.to_be_bytes();
        assert_eq!(tx.remember_seal(&feed, 1, number, &seal).await.unwrap(), None);
    }
    let last = SEALS_KEPT + 128;
    let same = tx.remember_seal(&feed, 1, last, &last.to_be_bytes()).await.unwrap();
    assert_eq!(same, None);
    let other = tx.remember_seal(&feed, 1, last, b"other").await.unwrap();
    assert_eq!(other, Some(last.to_be_bytes().to_vec()));
    let found = FoundEquivocation { feed: feed.clone(), epoch_counter: 1, proof: vec![1, 0] };
    tx.insert_equivocation(&found, 5).await.unwrap();
    tx.insert_equivocation(&found, 6).await.unwrap();
    let whole = FoundEquivocation { proof: vec![1, 0, 2], ..found.clone() };
    tx.insert_equivocation(&whole, 7).await.unwrap();
    tx.insert_equivocation(&found, 8).await.unwrap();
    tx.put_statement("GB-LON", 2, b"two", 20).await.unwrap();
    tx.put_statement("GB-LON", 1, b"one", 30).await.unwrap();
    tx.put_statement("GB-LON/network", 1, b"network", 40).await.unwrap();
    FeedTx::commit(tx).await.unwrap();

    let recent = db.recent_seals(&feed, 2).await.unwrap();
    assert_eq!(recent, [last.to_be_bytes().to_vec(), (last - 1).to_be_bytes().to_vec()]);
    let kept = db.recent_seals(&feed, usize::MAX >> 1).await.unwrap().len() as u64;
    assert_eq!(kept, SEALS_KEPT);

    // Nobody's epoch has so many seals that its numbers alone would make room.
    let mut tx = db.begin().await.unwrap();
    for epoch in 2..=40 {
        for number in 1..100_u64 {
            tx.remember_seal(&feed, epoch, number, &number.to_be_bytes()).await.unwrap();
        }
    }
    FeedTx::commit(tx).await.unwrap();
    let kept = db.recent_seals(&feed, usize::MAX >> 1).await.unwrap().len() as u64;
    assert!((SEALS_KEPT..SEALS_KEPT + 128).contains(&kept), "{kept}");
    assert_eq!(db.equivocations().await.unwrap(), [whole]);
    let mut statements = db.statements().await.unwrap();
    statements.sort();
    assert_eq!(statements, [(b"network".to_vec(), 40), (b"two".to_vec(), 20)]);
}

async fn a_retired_copy_is_cleared_in_steps(db: &Database) {
    let slot = insert(db, Audience::Home, CopyState::Retired).await;
    let mut tx = db.begin().await.unwrap();
    let rows: Vec<_> = (1..=5).map(|n| row(n, 500 + n, b"x")).collect();
    tx.put(slot, &rows).await.unwrap();
    tx.stage(slot, &rows[..2]).await.unwrap();
    assert!(!tx.clear(slot, 3).await.unwrap());
    assert_eq!(tx.versions(slot, &[id(501), id(504)]).await.unwrap(), [row(4, 504, b"x")]);
    assert_eq!(tx.staged_extent(slot).await.unwrap(), None);
    assert!(tx.clear(slot, 3).await.unwrap());
    FeedTx::commit(tx).await.unwrap();
    assert!(db.copies().await.unwrap().iter().all(|copy| copy.slot != slot));
}

async fn a_reader_sees_what_was_committed(db: &Database) {
    let slot = insert(db, Audience::Home, CopyState::Own).await;
    let mut tx = db.begin().await.unwrap();
    tx.put(slot, &[row(1, 900, b"x")]).await.unwrap();
    let rows = async || db.page(slot, Sequence(0), 10, 99).await.unwrap().unwrap().rows.len();
    assert_eq!(rows().await, 0);
    FeedTx::commit(tx).await.unwrap();
    assert_eq!(rows().await, 1);
    let kinds = db.page(slot, Sequence(0), 10, 99).await.unwrap().unwrap().rows;
    assert_eq!(kinds[0].kind, Kind::POINT);
}
