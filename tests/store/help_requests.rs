//! The desk's tables: what a commit makes findable, and what is kept beside the feeds.

use prost::Message;
use prost_types::Timestamp;
use yizhan_proto::v1::{self, sealed_message::Author, tombstone::Reason};
use yizhan_server::{
    domain::{
        audience::Audience,
        help_category::HelpCategory,
        help_clock::{Clock, ClockKind, Clocks},
        help_reference::Reference,
        help_request::HelpRequest,
        help_state::{HelpState, Urgency},
        id::RecordId,
        kind::Kind,
        language::Language,
        region::Region,
        routing::Route,
        time::Time,
    },
    feed::change::{Change, CommitError},
    store::{
        Slot,
        database::Database,
        dialect::Dialect,
        help_requests::{self, Arrival, Lookup, Queued},
        leaving,
        parcels::Connection,
        records::{self, Stored},
        scrubs,
    },
};

use crate::samples::{feed, id, node, on_both};

on_both!(queues_are_in_order, queues_are_in_order_on_sqlite, queues_are_in_order_on_postgresql);
on_both!(
    codes_and_references_lead_to_records,
    codes_and_references_lead_to_records_on_sqlite,
    codes_and_references_lead_to_records_on_postgresql
);
on_both!(
    what_lies_beside_the_feeds,
    what_lies_beside_the_feeds_on_sqlite,
    what_lies_beside_the_feeds_on_postgresql
);

const FIRST: (i64, RecordId) = (i64::MIN, RecordId([0; 16]));
const LAST: (i64, RecordId) = (i64::MAX, RecordId([0xff; 16]));

/// Due a millisecond after it began.
fn clock(at: Time) -> Clock {
    Clock {
        kind: ClockKind::FirstResponse,
        target: 480,
        started: at,
        spent: 0,
        running_since: Some(at),
        due: Some(Time(at.0 + 1_000)),
        met: None,
        breached: None,
    }
}

fn value(number: u64, received: i64) -> HelpRequest {
    HelpRequest {
        reference: Reference::new("LON", 2026, number as u32),
        category: HelpCategory::Legal,
        urgency: Urgency::Normal,
        region: Region::parse("GB", "region").unwrap(),
        language: Language::parse("zh-Hans", "language").unwrap(),
        state: HelpState::Received,
        received: Time(received),
        route: Route::default(),
        clocks: Clocks(vec![clock(Time(received))]),
        assignee: String::new(),
        lookup_hash: vec![number as u8; 32],
        mac_hash: vec![1; 32],
        client_wrap: vec![2],
        intake_key: None,
        wrap: Vec::new(),
        content: vec![3; 16],
        reopened: 0,
        resolved: None,
        closed: None,
        redirect: Vec::new(),
        duplicate_of: None,
        outcome: String::new(),
        rating: 0,
        source: String::new(),
        intake: "GB-LON".to_owned(),
        key_hash: Vec::new(),
        for_other: false,
        escalation: 0,
        channel: "client".to_owned(),
        updated: Time(received),
        triaged: None,
        assigned: None,
        waiting: None,
        handoff: None,
        owner_number: 0,
        notices: Vec::new(),
        kept: None,
        kept_at: None,
        passed: None,
        kept_by: None,
        taken_over: None,
    }
}

/// An open request.
pub fn request(number: u64, received: i64) -> Vec<u8> {
    v1::HelpRequest::from(value(number, received)).encode_to_vec()
}

fn in_state(number: u64, received: i64, state: HelpState) -> Vec<u8> {
    v1::HelpRequest::from(HelpRequest { state, ..value(number, received) }).encode_to_vec()
}

/// What is left of a request that another point handles; unsent: its parcel is still in it.
pub fn stub(number: u64, unsent: bool) -> Vec<u8> {
    v1::HelpStub {
        reference: Reference::new("LON", 2026, number as u32).to_string(),
        lookup_hash: vec![number as u8; 32],
        mac_hash: vec![1; 32],
        owner: "CN-440000".to_owned(),
        received_time: Some(Timestamp { seconds: 1, nanos: 0 }),
        parcel: unsent.then(|| v1::HelpParcel {
            id: id(number).0.to_vec(),
            request: Some(value(number, 1).into()),
            ..Default::default()
        }),
        ..Default::default()
    }
    .encode_to_vec()
}

pub fn message(request: u64, seconds: i64) -> Vec<u8> {
    v1::HelpMessage {
        request: id(request).0.to_vec(),
        author: Author::Client.into(),
        time: Some(Timestamp { seconds, nanos: 0 }),
        sealed: vec![9; 8],
        client_told: false,
    }
    .encode_to_vec()
}

/// The records at these positions.
pub async fn ids(db: &mut Connection, dialect: Dialect, positions: &[i64]) -> Vec<RecordId> {
    let stored = records::at(db, dialect, positions).await.unwrap();
    stored.iter().map(|stored| stored.row.id).collect()
}

fn queue(found: &[Queued]) -> Vec<RecordId> {
    found.iter().map(|one| one.id).collect()
}

fn sealed_slot(node: &crate::samples::Node) -> Slot {
    node.heads.find(&feed(Audience::Sealed)).unwrap().held.unwrap().slot
}

async fn queues_are_in_order(database: Database) {
    let node = node(database).await;
    let sealed = feed(Audience::Sealed);
    let mut change = Change::new();
    let put = |change: Change, number: u64, payload| {
        change.put(feed(Audience::Sealed), Kind::HELP_REQUEST, id(number), payload)
    };
    for number in 1..=3 {
        change = put(change, number, request(number, 100 - number as i64));
    }
    change = put(change, 4, in_state(4, 50, HelpState::Assigned));
    for number in 5..=7 {
        change = put(change, number, in_state(number, number as i64, HelpState::Closed));
    }
    change = change.put(sealed.clone(), Kind::HELP_STUB, id(8), stub(8, true)).put(
        sealed.clone(),
        Kind::HELP_STUB,
        id(9),
        stub(9, false),
    );
    node.writer.commit(change).await.unwrap();
    let slot = sealed_slot(&node);
    let mut local = node.db.local().await.unwrap();
    let db = &mut *local;

    // What is due first is first; pages go on after the last.
    let open = help_requests::list_open(db, slot, FIRST, 10).await.unwrap();
    assert_eq!(queue(&open), [id(4), id(3), id(2), id(1)]);
    let page = help_requests::list_open(db, slot, FIRST, 2).await.unwrap();
    let after = (page[1].at_us, page[1].id);
    let rest = help_requests::list_open(db, slot, after, 10).await.unwrap();
    assert_eq!([queue(&page), queue(&rest)].concat(), queue(&open));
    let assigned = i64::from(HelpState::Assigned.number());
    let found = help_requests::list_open_in(db, slot, assigned, FIRST, 10).await.unwrap();
    assert_eq!(queue(&found), [id(4)]);

    let closed = i64::from(HelpState::Closed.number());
    let found = help_requests::list_ended(db, slot, closed, LAST, 2).await.unwrap();
    assert_eq!(queue(&found), [id(7), id(6)], "the newest first");
    let before = (found[1].at_us, found[1].id);
    let found = help_requests::list_ended(db, slot, closed, before, 2).await.unwrap();
    assert_eq!(queue(&found), [id(5)]);

    let unsent = help_requests::list_unsent(db, slot, 10).await.unwrap();
    assert_eq!(ids(db, node.db.dialect, &unsent).await, [id(8)]);
    let overdue = help_requests::list_overdue(db, slot, 1_098, 10).await.unwrap();
    assert_eq!(ids(db, node.db.dialect, &overdue).await, [id(3), id(4)]);
    let some = help_requests::list_received(db, slot, 5..51, 0, 10).await.unwrap();
    assert_eq!(ids(db, node.db.dialect, &some).await, [id(4), id(5), id(6), id(7)]);
    let received = i64::from(HelpState::Received.number());
    let counts = help_requests::count(db, slot).await.unwrap();
    let legal = |state, count| ("legal".to_owned(), state, count);
    assert_eq!(counts, [legal(received, 3), legal(assigned, 1), legal(closed, 3)]);
    let (open, overdue, oldest) = help_requests::count_open(db, slot, 1_098, "").await.unwrap();
    assert_eq!((open, overdue, oldest), (4, 2, Some(50)));

    // What changes takes its old place along.
    let change = put(Change::new(), 1, in_state(1, 99, HelpState::Closed));
    // There is one connection that writes.
    drop(local);
    node.writer.commit(change).await.unwrap();
    let db = &mut *node.db.local().await.unwrap();
    let open = help_requests::list_open(db, slot, FIRST, 10).await.unwrap();
    assert!(!queue(&open).contains(&id(1)));
    let found = help_requests::list_ended(db, slot, closed, LAST, 1).await.unwrap();
    assert_eq!(queue(&found), [id(1)]);
}

async fn codes_and_references_lead_to_records(database: Database) {
    let node = node(database).await;
    let sealed = feed(Audience::Sealed);
    let change = Change::new()
        .put(sealed.clone(), Kind::HELP_REQUEST, id(1), request(1, 10))
        .put(sealed.clone(), Kind::HELP_STUB, id(2), stub(2, false))
        .put(sealed.clone(), Kind::HELP_MESSAGE, id(11), message(1, 7))
        .put(sealed.clone(), Kind::HELP_MESSAGE, id(12), message(1, 5))
        .put(sealed.clone(), Kind::HELP_MESSAGE, id(13), message(1, 9));
    node.writer.commit(change).await.unwrap();
    let sole = |number, lookup| {
        let change = Change::new().sole(sealed.clone(), id(number), [lookup; 16]);
        let payload = request(u64::from(lookup), 10);
        change.put(sealed.clone(), Kind::HELP_REQUEST, id(number), payload)
    };
    // Another one under the same look-up id is refused; a stub stands in nobody's way.
    let refused = node.writer.commit(sole(3, 1)).await;
    assert!(matches!(refused, Err(CommitError::Stale)), "{refused:?}");
    node.writer.commit(sole(1, 1)).await.unwrap();
    node.writer.commit(sole(4, 2)).await.unwrap();
    node.writer.commit(Change::new().remove(sealed.clone(), id(4), Reason::Erased)).await.unwrap();
    // Of two at once the first alone, whether they share a group or not.
    let at_once = tokio::join!(node.writer.commit(sole(5, 5)), node.writer.commit(sole(6, 5)));
    assert!(at_once.0.is_ok() && matches!(at_once.1, Err(CommitError::Stale)), "{at_once:?}");
    let mut db = node.db.local().await.unwrap();
    let db = &mut *db;
    let dialect = node.db.dialect;
    let lookups = [(1, 2), (9, 2), (2, 2), (1, 0), (1, 9)];
    let lookups = lookups.map(|(number, messages)| Lookup { id: [number; 16], messages });
    let found = help_requests::find_by_lookups(db, dialect, &lookups).await.unwrap();
    let ids_of = |found: &Vec<Stored>| found.iter().map(|one| one.row.id).collect::<Vec<_>>();
    let found_ids: Vec<_> = found.iter().map(ids_of).collect();
    let newest = [id(1), id(13), id(11), id(12)];
    let led = [&newest[..3], &[], &[id(2)], &newest[..1], &newest];
    assert_eq!(found_ids, led, "newest first, and nothing of each other");
    assert!(found.iter().flatten().all(|one| one.slot == sealed_slot(&node)));
    let none = help_requests::find_by_lookups(db, dialect, &[lookups[1]]).await.unwrap();
    assert_eq!(none.iter().map(ids_of).collect::<Vec<_>>(), [vec![]]);
    for number in [1, 2] {
        let reference = Reference::new("LON", 2026, number);
        let found = help_requests::find_by_reference(db, reference.as_str()).await.unwrap();
        assert_eq!(ids(db, dialect, &found).await, [id(u64::from(number))]);
    }
    assert!(help_requests::find_by_reference(db, "LON-23-00012-A").await.unwrap().is_empty());
    let newest = help_requests::list_messages(db, id(1), 2).await.unwrap();
    let newest: Vec<_> = newest.iter().map(|one| one.row.id).collect();
    assert_eq!(newest, [id(11), id(13)], "the newest two, oldest first");
    assert!(help_requests::list_messages(db, id(2), 2).await.unwrap().is_empty());
}

async fn what_lies_beside_the_feeds(database: Database) {
    let mut tx = database.begin().await.unwrap();
    let db = tx.connection();
    // Numbers follow each other; a new epoch leaves out what people may have seen.
    let year = ("GB-LON", 2026);
    assert_eq!(help_requests::take_numbers(db, year, 1, 10, 500).await.unwrap(), 1);
    assert_eq!(help_requests::take_numbers(db, year, 1, 10, 500).await.unwrap(), 11);
    assert_eq!(help_requests::take_numbers(db, year, 2, 10, 500).await.unwrap(), 521);
    assert_eq!(help_requests::take_numbers(db, ("GB-LON", 2027), 2, 10, 500).await.unwrap(), 1);
    // Somebody who has lost all counters, and is in another epoch for it.
    let lost = help_requests::take_numbers(db, ("AU-SYD", 2026), 2, 10, 500);
    assert_eq!(lost.await.unwrap(), 501);

    let arrival = |number: u64, arrived_us| Arrival {
        sender: "CN-440000".to_owned(),
        id: id(number),
        owner: "GB-LON".to_owned(),
        reference: format!("GD-23-{number:05}"),
        parcel: vec![0, 255, number as u8],
        arrived_us,
    };
    for (arrival, is_new) in
        [(arrival(2, 20), true), (arrival(1, 10), true), (arrival(1, 15), false)]
    {
        assert_eq!(help_requests::put_arrival(db, &arrival).await.unwrap(), is_new);
    }
    let first = (i64::MIN, id(0));
    let come = async |db: &mut Connection, after| {
        let come = help_requests::list_arrivals(db, after, 10).await.unwrap();
        come.into_iter().map(|one| (one.sender, one.id, one.parcel)).collect::<Vec<_>>()
    };
    let province = || "CN-440000".to_owned();
    let both = [(province(), id(1), vec![0, 255, 1]), (province(), id(2), vec![0, 255, 2])];
    assert_eq!(come(db, first).await, both);
    assert_eq!(come(db, (10, id(1))).await, both[1..]);
    let kept = help_requests::find_arrival(db, "CN-440000", id(1)).await.unwrap();
    assert_eq!(kept.map(|kept| kept.arrived_us), Some(10));
    // What waits goes along with a point that gets a node of its own.
    let home = "HK".parse().unwrap();
    let waits = Arrival { owner: "HK".to_owned(), ..arrival(3, 5) };
    assert!(help_requests::put_arrival(db, &waits).await.unwrap());
    let taken = leaving::take_request(db, &home).await.unwrap().expect("it waits");
    assert_eq!((taken.sender, taken.arrived_us, taken.bytes), (province(), 5, vec![0, 255, 3]));
    assert!(leaving::take_request(db, &home).await.unwrap().is_none());
    // Another sender's under the same id is another one.
    let other = Arrival {
        sender: "AU-SYD".to_owned(),
        reference: "SYD-23-00001".to_owned(),
        parcel: b"other".to_vec(),
        ..arrival(1, 5)
    };
    assert!(help_requests::put_arrival(db, &other).await.unwrap());
    assert_eq!(come(db, first).await.len(), 3);
    assert_eq!(help_requests::count_arrivals(db, "CN-440000", 1).await.unwrap(), 1);
    assert_eq!(help_requests::count_arrivals(db, "CN-440000", 9).await.unwrap(), 2);
    help_requests::remove_arrival(db, "AU-SYD", id(1)).await.unwrap();
    assert_eq!(come(db, first).await, both);
    let owner = help_requests::arriving(db, "GD-23-00001").await.unwrap();
    assert_eq!(owner.as_deref(), Some("GB-LON"));
    assert!(help_requests::has_arrived(db, id(1)).await.unwrap());
    help_requests::remove_arrival(db, "CN-440000", id(1)).await.unwrap();
    assert!(help_requests::find_arrival(db, "CN-440000", id(1)).await.unwrap().is_none());
    assert!(!help_requests::has_arrived(db, id(1)).await.unwrap());
    assert_eq!(help_requests::arriving(db, "GD-23-00001").await.unwrap(), None);
    assert_eq!(come(db, first).await, both[1..]);

    // What was closed because its owner had left.
    let returned = |number: u64, owner: &str| help_requests::Returned {
        home: "GB-LON".to_owned(),
        id: id(number),
        owner: owner.to_owned(),
        parcel: vec![0, 255],
    };
    for (number, owner) in [(2, "HK"), (1, "HK"), (1, "AU-SYD")] {
        help_requests::put_returned(db, &returned(number, owner)).await.unwrap();
    }
    let list = async |db: &mut Connection, after: u64| {
        let place = ("GB-LON".to_owned(), id(after));
        let all = help_requests::list_returned(db, &place, 10).await.unwrap();
        all.into_iter().map(|one| (one.id, one.owner)).collect::<Vec<_>>()
    };
    let both = [(id(1), "AU-SYD".to_owned()), (id(2), "HK".to_owned())];
    assert_eq!(list(db, 0).await, both);
    assert_eq!(list(db, 1).await, both[1..]);
    help_requests::remove_returned(db, "GB-LON", id(1)).await.unwrap();
    assert_eq!(list(db, 0).await, both[1..]);

    // Deleted bytes are noted until the log is emptied of them.
    assert_eq!(scrubs::find(db).await.unwrap(), None);
    for at in [5, 9] {
        scrubs::note(db, Time(at)).await.unwrap();
    }
    scrubs::clear(db, Time(8)).await.unwrap();
    assert_eq!(scrubs::find(db).await.unwrap(), Some(Time(9)), "more was deleted since");
    scrubs::clear(db, Time(9)).await.unwrap();
    assert_eq!(scrubs::find(db).await.unwrap(), None);

    // A deputy keeps the newest version.
    for (sequence, payload) in [(5, &b"five"[..]), (4, &b"four"[..])] {
        let copy = ("LON-1", payload);
        help_requests::put_copy(db, "GB-LON", (id(1), 11, sequence), copy).await.unwrap();
    }
    let copy = help_requests::find_copy(db, "GB-LON", id(1)).await.unwrap();
    assert_eq!(copy.as_deref(), Some(&b"five"[..]));
    assert_eq!(help_requests::find_copy(db, "AU-SYD", id(1)).await.unwrap(), None);
    help_requests::remove_copy(db, "GB-LON", id(1)).await.unwrap();
    assert_eq!(help_requests::find_copy(db, "GB-LON", id(1)).await.unwrap(), None);
    assert_eq!(help_requests::deputy_mark(db, "GB-LON", "HK").await.unwrap(), (0, 0));
    for mark in [(1, 7), (2, 3)] {
        help_requests::set_deputy_mark(db, "GB-LON", "HK", mark).await.unwrap();
        assert_eq!(help_requests::deputy_mark(db, "GB-LON", "HK").await.unwrap(), mark);
    }

    let deputies = help_requests::list_deputies(db, "GB-LON").await.unwrap();
    assert_eq!(deputies, [("HK".to_owned(), (2, 3))]);
    help_requests::remove_deputy(db, "GB-LON", "HK").await.unwrap();
    assert_eq!(help_requests::deputy_mark(db, "GB-LON", "HK").await.unwrap(), (0, 0));

    let word = |reference| (reference, "GB-LON", "CN-440000");
    help_requests::put_escalation(db, word("LON-1"), b"one", 10).await.unwrap();
    help_requests::put_escalation(db, word("LON-2"), b"two", 20).await.unwrap();
    help_requests::put_escalation(db, word("LON-1"), b"more", 30).await.unwrap();
    let told = help_requests::list_escalations(db, "CN-440000", 10).await.unwrap();
    let told: Vec<_> = told.iter().map(|(_, what, at)| (what.as_slice(), *at)).collect();
    assert_eq!(told, [(&b"more"[..], 30), (&b"two"[..], 20)]);
    assert!(help_requests::list_escalations(db, "HK", 10).await.unwrap().is_empty());
    // Only the owner's word ends it.
    help_requests::remove_escalation(db, ("LON-1", "AU-SYD", "CN-440000")).await.unwrap();
    help_requests::remove_escalation(db, word("LON-2")).await.unwrap();
    let told = help_requests::list_escalations(db, "CN-440000", 10).await.unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!(help_requests::list_escalating(db, "CN-440000").await.unwrap(), ["GB-LON"]);
    for (owner, left) in [("AU-SYD", 1), ("GB-LON", 0)] {
        help_requests::remove_escalations_of(db, (owner, "CN-440000")).await.unwrap();
        let told = help_requests::list_escalations(db, "CN-440000", 10).await.unwrap();
        assert_eq!(told.len(), left);
    }

    let parent = "CN-440000".to_owned();
    let told = help_requests::Escalated { request: id(1), reference: "LON-1".into(), parent };
    for _ in 0..2 {
        help_requests::put_escalated(db, "GB-LON", &told).await.unwrap();
    }
    let listed = help_requests::list_escalated(db, "GB-LON", None, 10).await.unwrap();
    assert_eq!(listed, std::slice::from_ref(&told));
    let second = help_requests::Escalated { request: id(2), ..told };
    help_requests::put_escalated(db, "GB-LON", &second).await.unwrap();
    let listed = help_requests::list_escalated(db, "GB-LON", Some(id(1)), 10).await.unwrap();
    assert_eq!(listed, [second]);
    help_requests::remove_escalated(db, "GB-LON", id(2)).await.unwrap();
    help_requests::remove_escalated(db, "GB-LON", id(1)).await.unwrap();
    assert!(help_requests::list_escalated(db, "GB-LON", None, 10).await.unwrap().is_empty());
    tx.commit().await.unwrap();
}
