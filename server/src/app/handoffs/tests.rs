//! What other points may bring about here with words on requests, and what not.

use prost::Message;
use yizhan_proto::v1::{self, Letter, handoff_word::Kind as Said, letter, sealed_message::Author};

use super::{answer_lookup, enter, send_files, send_messages, track};
use crate::{
    app::{
        error::Error,
        help_requests::{posting, stored::sealed_feed},
        records,
        samples::{FOUNDER, Node, code, founder},
    },
    domain::{
        handoff::HandoffState,
        help_reference::Reference,
        help_request::{HelpRequest, samples::request},
        help_state::HelpState,
        id::RecordId,
        kind::Kind,
        roster::Revocation,
        time::Time,
    },
    feed::change::Change,
    identity::{caller::Caller, keys::CaseKey},
    parcel::letters::{self, Here, Verdict},
    store::{attachments, help_requests},
};

const REQUEST: RecordId = RecordId([7; 16]);
const HANDOFF: RecordId = RecordId([8; 16]);
const MESSAGE: RecordId = RecordId([9; 16]);
/// Names what somebody else wants to put a record of its own in the place of.
const VICTIM: RecordId = RecordId([10; 16]);

/// A letter of a point arrives here.
async fn arrive(node: &Node, from: &str, kind: letter::Kind) -> Verdict {
    let app = &node.app;
    let here = Here { keys: &app.keys, heads: &app.heads, now: app.outside.now() };
    let mut db = app.db.local().await.unwrap();
    let letter = Letter { kind: Some(kind) };
    letters::act(&here, &mut db, (&code(from), &code(FOUNDER)), &letter).await.unwrap()
}

/// A word of a point arrives, and is entered.
async fn hear(node: &Node, from: &str, word: v1::HandoffWord) {
    assert_eq!(arrive(node, from, letter::Kind::HandoffWord(word)).await, Verdict::Done);
    enter(&node.app).await.unwrap();
}

async fn put(node: &Node, kind: Kind, id: RecordId, payload: Vec<u8>) {
    let change = Change::new().put(sealed_feed(&code(FOUNDER)), kind, id, payload);
    node.app.writer.commit(change).await.unwrap();
}

/// A request is owned here that Hong Kong has taken in.
async fn owning() -> Node {
    let node = founder().await;
    node.enrol("HK").await;
    let own = HelpRequest { intake: "HK".into(), ..request() };
    put(&node, Kind::HELP_REQUEST, REQUEST, v1::HelpRequest::from(own).encode_to_vec()).await;
    node
}

async fn find(node: &Node, id: RecordId) -> Option<(Kind, Vec<u8>)> {
    let found = records::find(&node.app, id).await.unwrap();
    found.into_iter().next().map(|found| (found.row.kind, found.row.payload.to_vec()))
}

fn word(kind: Said, request: RecordId) -> v1::HandoffWord {
    v1::HandoffWord {
        handoff: HANDOFF.0.to_vec(),
        request: request.0.to_vec(),
        kind: kind.into(),
        ..v1::HandoffWord::default()
    }
}

fn release(id: RecordId, key: RecordId) -> v1::HandoffWord {
    let content = HelpRequest { intake_key: Some(key), ..request() };
    v1::HandoffWord {
        owner_number: 5,
        key_id: key.0.to_vec(),
        key: Some(v1::HelpKey::default()),
        help_request: Some(content.into()),
        ..word(Said::Release, id)
    }
}

fn message(id: RecordId, author: Author) -> v1::HandoffWord {
    let message = v1::HelpMessage {
        request: REQUEST.0.to_vec(),
        author: author.into(),
        time: None,
        sealed: vec![1],
    };
    v1::HandoffWord {
        handoff: REQUEST.0.to_vec(),
        message_id: id.0.to_vec(),
        message: Some(message),
        ..word(Said::Message, REQUEST)
    }
}

#[tokio::test]
async fn a_release_replaces_no_record_under_the_ids_that_it_chooses() {
    let node = owning().await;
    let victim = v1::HelpMessage { request: REQUEST.0.to_vec(), ..Default::default() };
    put(&node, Kind::HELP_MESSAGE, VICTIM, victim.encode_to_vec()).await;
    let before = [find(&node, REQUEST).await, find(&node, VICTIM).await];

    hear(&node, "HK", release(REQUEST, RecordId([1; 16]))).await;
    hear(&node, "HK", release(RecordId([2; 16]), VICTIM)).await;
    let as_handoff = v1::HandoffWord { handoff: VICTIM.0.to_vec(), ..release(MESSAGE, HANDOFF) };
    hear(&node, "HK", as_handoff).await;

    assert_eq!([find(&node, REQUEST).await, find(&node, VICTIM).await], before);
    for nothing in [RecordId([1; 16]), RecordId([2; 16]), HANDOFF, MESSAGE] {
        assert_eq!(find(&node, nothing).await, None);
    }
    hear(&node, "HK", release(MESSAGE, HANDOFF)).await;
    assert_eq!(find(&node, MESSAGE).await, None, "a handoff is no key");
    hear(&node, "HK", release(MESSAGE, RecordId([3; 16]))).await;
    assert_eq!(find(&node, MESSAGE).await.unwrap().0, Kind::HELP_REQUEST);
    assert_eq!(find(&node, RecordId([3; 16])).await.unwrap().0, Kind::HELP_KEY);
    // Another request of the same hour comes under the same key.
    let same_key = release(RecordId([2; 16]), RecordId([3; 16]));
    hear(&node, "HK", v1::HandoffWord { handoff: vec![6; 16], ..same_key }).await;
    assert_eq!(find(&node, RecordId([2; 16])).await.unwrap().0, Kind::HELP_REQUEST);
}

#[tokio::test]
async fn a_request_that_was_routed_here_replaces_no_record_under_its_key_id() {
    let node = owning().await;
    let before = find(&node, REQUEST).await;
    let content = HelpRequest { intake: "HK".into(), intake_key: Some(REQUEST), ..request() };
    let parcel = v1::HelpParcel {
        id: MESSAGE.0.to_vec(),
        request: Some(content.into()),
        key_id: REQUEST.0.to_vec(),
        key: Some(v1::HelpKey::default()),
    };
    assert_eq!(arrive(&node, "HK", letter::Kind::HelpParcel(parcel)).await, Verdict::Done);
    // It keeps none of those out that come after it.
    let key = RecordId([3; 16]);
    let content = HelpRequest { intake: "HK".into(), intake_key: Some(key), ..request() };
    let sound = v1::HelpParcel {
        id: RecordId([2; 16]).0.to_vec(),
        request: Some(content.clone().into()),
        key_id: key.0.to_vec(),
        key: Some(v1::HelpKey::default()),
    };
    assert_eq!(arrive(&node, "HK", letter::Kind::HelpParcel(sound.clone())).await, Verdict::Done);
    posting::enter(&node.app).await.unwrap();
    assert_eq!(find(&node, REQUEST).await, before);
    assert_eq!(find(&node, MESSAGE).await, None);
    assert_eq!(find(&node, RecordId([2; 16])).await.unwrap().0, Kind::HELP_REQUEST);
    let mut db = node.app.db.local().await.unwrap();
    let first = (i64::MIN, RecordId([0; 16]));
    assert!(help_requests::list_arrivals(&mut db, first, 10).await.unwrap().is_empty());
    drop(db);

    let ended = HelpRequest { state: HelpState::Resolved, ..content };
    let ended = v1::HelpParcel { request: Some(ended.into()), ..sound };
    let refused = arrive(&node, "HK", letter::Kind::HelpParcel(ended)).await;
    assert_eq!(refused, Verdict::Refused("MALFORMED"), "it is not new");
}

#[tokio::test]
async fn messages_come_from_who_had_the_request_and_from_nobody_else() {
    let node = owning().await;
    node.enrol("AU-SYD").await;
    for author in [Author::Client, Author::Desk, Author::Note, Author::System] {
        hear(&node, "AU-SYD", message(MESSAGE, author)).await;
        assert_eq!(find(&node, MESSAGE).await, None, "{author:?} of a stranger");
    }
    hear(&node, "HK", message(MESSAGE, Author::Desk)).await;
    assert_eq!(find(&node, MESSAGE).await, None, "who took it in has no desk for it");
    hear(&node, "HK", message(MESSAGE, Author::Client)).await;
    assert_eq!(find(&node, MESSAGE).await.unwrap().0, Kind::HELP_MESSAGE);
    hear(&node, "HK", message(REQUEST, Author::Client)).await;
    assert_eq!(find(&node, REQUEST).await.unwrap().0, Kind::HELP_REQUEST);
}

#[tokio::test]
async fn no_more_files_come_with_a_request_than_it_may_have() {
    let node = owning().await;
    node.enrol("AU-SYD").await;
    let piece = |file: u8| v1::HandoffWord {
        handoff: REQUEST.0.to_vec(),
        message_id: vec![file; 20],
        file_id: vec![file; 16],
        pieces: 1,
        piece: vec![file; 100],
        ..word(Said::File, REQUEST)
    };
    hear(&node, "AU-SYD", piece(100)).await;
    for file in 1..=21 {
        hear(&node, "HK", piece(file)).await;
    }
    let mut db = node.app.db.local().await.unwrap();
    let files = attachments::list_of(&mut db, REQUEST).await.unwrap();
    assert_eq!(files, (1..=20).map(|file| RecordId([file; 16])).collect::<Vec<_>>());
}

#[tokio::test]
async fn who_cannot_be_written_to_keeps_nothing_else_back() {
    let node = founder().await;
    let app = &node.app;
    // The roster names no key to seal to.
    node.enrol("HK").await;
    let case_key = Some(CaseKey::generate().public());
    node.enrol_with("AU-SYD", |entry| entry.case_key = case_key).await;
    let mut db = app.db.local().await.unwrap();
    // First five that cannot go, then one that can.
    for number in 1..=6 {
        let (id, file) = (RecordId([number; 16]), RecordId([100 + number; 16]));
        attachments::insert(&mut db, file, Time(1)).await.unwrap();
        attachments::append(&mut db, file, 0, &[vec![number; 10]]).await.unwrap();
        attachments::finish(&mut db, file).await.unwrap();
        assert!(attachments::claim(&mut db, file, id).await.unwrap());
    }
    drop(db);
    for number in 1..=6 {
        let (id, message) = (RecordId([number; 16]), RecordId([50 + number; 16]));
        let stub = v1::HelpStub {
            reference: Reference::new("LON", 2023, u32::from(number)).to_string(),
            lookup_hash: vec![number; 32],
            mac_hash: vec![number; 32],
            owner: if number < 6 { "HK" } else { "AU-SYD" }.into(),
            received_time: Some(Default::default()),
            ..v1::HelpStub::default()
        };
        let time = Some(Default::default());
        let left = v1::HelpMessage { request: id.0.to_vec(), time, ..Default::default() };
        put(&node, Kind::HELP_STUB, id, stub.encode_to_vec()).await;
        put(&node, Kind::HELP_MESSAGE, message, left.encode_to_vec()).await;
    }
    send_messages(app).await.unwrap();
    send_files(app).await.unwrap();
    assert!(find(&node, RecordId([51; 16])).await.is_some());
    assert!(find(&node, RecordId([56; 16])).await.is_none(), "it has followed its request");
    let mut db = app.db.reader().await.unwrap();
    assert!(attachments::find(&mut db, RecordId([101; 16])).await.unwrap().is_some());
    assert!(attachments::find(&mut db, RecordId([106; 16])).await.unwrap().is_none());
}

#[tokio::test]
async fn what_waits_keeps_nothing_else_waiting_and_is_bounded() {
    let node = owning().await;
    node.enrol("AU-SYD").await;
    let orphan = |number: u32| v1::HandoffWord {
        handoff: vec![1; 16],
        message_id: number.to_be_bytes().to_vec(),
        ..word(Said::File, RecordId([1; 16]))
    };
    for number in 0..512 {
        let kind = letter::Kind::HandoffWord(orphan(number));
        assert_eq!(arrive(&node, "AU-SYD", kind).await, Verdict::Done);
    }
    let kind = letter::Kind::HandoffWord(orphan(512));
    assert_eq!(arrive(&node, "AU-SYD", kind).await, Verdict::Later);

    hear(&node, "AU-SYD", release(MESSAGE, RecordId([3; 16]))).await;
    assert_eq!(find(&node, MESSAGE).await.unwrap().0, Kind::HELP_REQUEST);
    let piece = v1::HandoffWord {
        handoff: REQUEST.0.to_vec(),
        message_id: vec![2; 20],
        file_id: vec![2; 16],
        pieces: 1,
        piece: vec![2; 100],
        ..word(Said::File, REQUEST)
    };
    hear(&node, "HK", piece).await;
    let mut db = node.app.db.local().await.unwrap();
    let files = attachments::list_of(&mut db, REQUEST).await.unwrap();
    assert_eq!(files, [RecordId([2; 16])]);
}

#[tokio::test]
async fn of_a_request_that_is_on_its_way_here_nobody_can_say_more() {
    let node = founder().await;
    let reference = request().reference.to_string();
    let track = v1::TrackHelpRequestRequest {
        reference: reference.clone(),
        secret: Some(v1::HelpSecret { lookup_id: vec![1; 32], mac_key: vec![2; 32] }),
        ..Default::default()
    };
    let lookup = v1::HelpLookup { question: Some(v1::help_lookup::Question::Track(track)) };
    let reason = async || answer_lookup(&node.app, lookup.clone()).await.reason;
    assert_eq!(reason().await, "NOT_FOUND");
    for (state, said) in [
        (HandoffState::Offered, "NOT_FOUND"),
        (HandoffState::Accepted, "OWNER_UNAVAILABLE"),
        (HandoffState::Released, "NOT_FOUND"),
    ] {
        let handoff = v1::Handoff {
            reference: reference.clone(),
            request: REQUEST.0.to_vec(),
            from: "HK".into(),
            to: FOUNDER.into(),
            state: state.number(),
            ..v1::Handoff::default()
        };
        put(&node, Kind::HANDOFF, HANDOFF, handoff.encode_to_vec()).await;
        assert_eq!(reason().await, said, "{state:?}");
    }
}

#[tokio::test]
async fn that_an_owner_has_left_the_network_is_said_alike_for_right_and_wrong_codes() {
    let node = founder().await;
    let revoked = Revocation { at: Time(1), reason: String::new() };
    node.enrol_with("HK", |entry| entry.revoked = Some(revoked)).await;
    let (right, wrong) = ([1; 32], [3; 32]);
    let stub = v1::HelpStub {
        reference: request().reference.to_string(),
        lookup_hash: yizhan_client::sealed::hash(&right).to_vec(),
        mac_hash: yizhan_client::sealed::hash(&right).to_vec(),
        owner: "HK".into(),
        received_time: Some(Default::default()),
        owner_number: 1,
        ..v1::HelpStub::default()
    };
    put(&node, Kind::HELP_STUB, REQUEST, stub.encode_to_vec()).await;
    for part in [right, wrong] {
        let secret = v1::HelpSecret { lookup_id: part.to_vec(), mac_key: part.to_vec() };
        let question = v1::TrackHelpRequestRequest {
            reference: request().reference.to_string(),
            secret: Some(secret),
            ..Default::default()
        };
        let refused = track(&node.app, &Caller::Anonymous, question).await;
        let is_said = matches!(refused, Err(Error::Precondition { reason: "OWNER_REVOKED", .. }));
        assert!(is_said, "{:?}", refused.err());
    }
}
