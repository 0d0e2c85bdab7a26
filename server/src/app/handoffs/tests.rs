//! What other points may bring about here with words on requests, and what not.

use prost::Message;
use yizhan_proto::v1::{self, Letter, handoff_word::Kind as Said, letter, sealed_message::Author};

use super::{
    Offer, accept, afar::intakes_of, answer_lookup, consent, decline, enter, list, offer, send,
    send_files, send_messages, settle, track,
};
use crate::{
    app::{
        App, desk,
        error::Error,
        help_requests::{self, posting, stored::sealed_feed},
        records,
        samples::{FOUNDER, Node, admin, code, founder},
    },
    domain::{
        audience::{Audience, FeedId},
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
    parcel::letters::{self, Here, Verdict, request_subject, routed_subject},
    store::{attachments, help_requests as tables, parcels},
};

const REQUEST: RecordId = RecordId([7; 16]);
const HANDOFF: RecordId = RecordId([8; 16]);
const MESSAGE: RecordId = RecordId([9; 16]);
/// Names what somebody else wants to put a record of its own in the place of.
const VICTIM: RecordId = RecordId([10; 16]);

/// Where a client's question is led from here, and whether what it asks for is still on its way there.
async fn led_to(app: &App, reference: &str, secret: &v1::HelpSecret) -> (String, bool) {
    let (reference, secret) = (reference.to_owned(), Some(secret.clone()));
    let track = v1::TrackHelpRequestRequest { reference, secret, ..Default::default() };
    let question = Some(v1::help_lookup::Question::Track(track));
    let answer = answer_lookup(app, v1::HelpLookup { question }).await;
    (answer.passed_to, answer.under_way)
}

/// A letter of a point arrives here.
async fn arrive(node: &Node, from: &str, kind: letter::Kind) -> Verdict {
    let app = &node.app;
    let here = Here::of(app, app.outside.now());
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
        client_told: false,
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
    assert!(tables::list_arrivals(&mut db, first, 10).await.unwrap().is_empty());
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

/// Somebody's request at the founding point, offered to Hong Kong with consent: reference and secret.
async fn offered_to_hong_kong(node: &Node) -> (String, v1::HelpSecret, RecordId) {
    let case_key = Some(CaseKey::generate().public());
    node.enrol_with("HK", |entry| entry.case_key = case_key).await;
    offered_to(node, "HK").await
}

async fn offered_to(node: &Node, to: &str) -> (String, v1::HelpSecret, RecordId) {
    let app = &node.app;
    let (message, tracking) = help_requests::tests::request("a lease", "");
    let new = message.try_into().unwrap();
    let asked = help_requests::submit(app, &Caller::Anonymous, new).await.unwrap();
    let secret = help_requests::tests::secret(&tracking);
    let handoff = offer_on(node, &asked.reference, &secret, to).await;
    (asked.reference, secret, handoff)
}

/// Offers a request that is owned here, and its client agrees.
async fn offer_on(node: &Node, reference: &str, secret: &v1::HelpSecret, to: &str) -> RecordId {
    let app = &node.app;
    let (reference, to) = (reference.to_owned(), code(to));
    let wish = Offer {
        reference: reference.clone(),
        to,
        summary: MARK.into(),
        override_reason: String::new(),
    };
    offer(app, &admin(FOUNDER), wish).await.ok().unwrap();
    let agreed = v1::ConsentHelpRequestRequest {
        reference: reference.clone(),
        secret: Some(secret.clone()),
        agree: true,
    };
    consent(app, &Caller::Anonymous, agreed).await.unwrap();
    let views = list(app, &admin(FOUNDER), false).await.unwrap();
    let view = views.into_iter().find(|view| view.reference == reference).unwrap();
    RecordId::parse(&view.id, "id").unwrap()
}

/// Stands in what is written for those who decide.
const MARK: &str = "wqzkmarker";

/// The destination promises to take it.
async fn accepts(node: &Node, from: &str, handoff: RecordId) {
    let noted = noted(node, handoff).await;
    let word = v1::HandoffWord {
        handoff: handoff.0.to_vec(),
        request: noted.request,
        kind: Said::Accept.into(),
        ..v1::HandoffWord::default()
    };
    hear(node, from, word).await;
}

async fn noted(node: &Node, id: RecordId) -> v1::Handoff {
    v1::Handoff::decode(&find(node, id).await.unwrap().1[..]).unwrap()
}

async fn state(node: &Node, id: RecordId) -> HandoffState {
    HandoffState::from_number(noted(node, id).await.state, "state").unwrap()
}

async fn revoke(node: &Node, point: &str) {
    let revoked = Some(Revocation { at: Time(1), reason: String::new() });
    node.enrol_with(point, |entry| entry.revoked = revoked).await;
}

/// The destination has said of all parcels to it that they have come.
async fn settles_all(node: &Node, to: &str) {
    let mut db = node.app.db.local().await.unwrap();
    let (from, to) = (code(FOUNDER), code(to));
    for parcel in parcels::list_outgoing(&mut db, &from, &to, 100).await.unwrap() {
        assert!(parcels::close(&mut db, &parcel.series, parcel.number).await.unwrap());
    }
}

async fn is_under_way(node: &Node, to: &str, request: RecordId) -> bool {
    let mut db = node.app.db.reader().await.unwrap();
    let subject = request_subject(request);
    parcels::is_outgoing(&mut db, &code(FOUNDER), &code(to), &subject).await.unwrap()
}

#[tokio::test]
async fn what_was_released_to_a_point_that_left_before_it_came_is_its_origins_again() {
    let node = founder().await;
    let app = &node.app;
    let (reference, secret, handoff) = offered_to_hong_kong(&node).await;
    let request = RecordId(noted(&node, handoff).await.request.try_into().unwrap());
    desk::note(app, &admin(FOUNDER), &reference, "a note", None).await.unwrap();
    send(app).await.unwrap();
    settles_all(&node, "HK").await;
    accepts(&node, "HK", handoff).await;
    assert_eq!(find(&node, request).await.unwrap().0, Kind::HELP_STUB);
    send(app).await.unwrap();
    assert!(is_under_way(&node, "HK", request).await);
    for _ in 0..2 {
        settle(app).await.unwrap();
        send_messages(app).await.unwrap();
    }
    assert_eq!(state(&node, handoff).await, HandoffState::Released);
    let lookup = |secret: &v1::HelpSecret| {
        let track = v1::TrackHelpRequestRequest {
            reference: reference.clone(),
            secret: Some(secret.clone()),
            ..Default::default()
        };
        v1::HelpLookup { question: Some(v1::help_lookup::Question::Track(track)) }
    };
    let wrong = v1::HelpSecret { lookup_id: vec![1; 32], mac_key: vec![2; 32] };
    for secret in [&secret, &wrong] {
        let answer = answer_lookup(app, lookup(secret)).await;
        let said = (answer.passed_to.as_str(), answer.under_way, answer.kept);
        assert_eq!(said, ("HK", false, true));
    }

    revoke(&node, "HK").await;
    // Until the job has run, nobody is told to ask anew.
    let question = v1::TrackHelpRequestRequest {
        reference: reference.clone(),
        secret: Some(secret.clone()),
        ..Default::default()
    };
    let said = track(app, &Caller::Anonymous, question.clone()).await;
    assert!(matches!(said, Err(Error::UnderWay { .. })), "{:?}", said.err());
    for _ in 0..2 {
        settle(app).await.unwrap();
    }
    assert_eq!(state(&node, handoff).await, HandoffState::Returned);
    let (kind, payload) = find(&node, request).await.unwrap();
    assert_eq!(kind, Kind::HELP_REQUEST);
    let back: HelpRequest = v1::HelpRequest::decode(&payload[..]).unwrap().try_into().unwrap();
    assert_eq!((back.owner_number, back.handoff), (2, None));
    let opened = desk::get(app, &admin(FOUNDER), &reference, "").await.unwrap();
    assert_eq!(opened.content.unwrap().text, "a lease");
    assert_eq!(opened.messages.len(), 1, "messages waited for it to have come");
    let shown = track(app, &Caller::Anonymous, question).await.unwrap();
    assert_eq!(shown.owner, FOUNDER);
    let case_key = Some(CaseKey::generate().public());
    node.enrol_with("AU-SYD", |entry| entry.case_key = case_key).await;
    offer_on(&node, &reference, &secret, "AU-SYD").await;
}

#[tokio::test]
async fn what_has_come_is_kept_no_more_and_stays_with_its_owner() {
    let node = founder().await;
    let app = &node.app;
    let (_, _, handoff) = offered_to_hong_kong(&node).await;
    let request = RecordId(noted(&node, handoff).await.request.try_into().unwrap());
    send(app).await.unwrap();
    accepts(&node, "HK", handoff).await;
    send(app).await.unwrap();
    settles_all(&node, "HK").await;
    settle(app).await.unwrap();
    let stub = v1::HelpStub::decode(&find(&node, request).await.unwrap().1[..]).unwrap();
    assert!(stub.kept.is_none() && !stub.intake_key.is_empty());
    let said = noted(&node, handoff).await;
    assert_eq!(said.outgoing.unwrap().kind, i32::from(Said::Done));
    send(app).await.unwrap();
    assert!(is_under_way(&node, "HK", request).await, "it is told that nothing is kept");
    revoke(&node, "HK").await;
    settle(app).await.unwrap();
    assert_eq!(state(&node, handoff).await, HandoffState::Released);
    assert_eq!(find(&node, request).await.unwrap().0, Kind::HELP_STUB);
}

#[tokio::test]
async fn an_offer_that_nobody_is_left_to_answer_ends() {
    let node = founder().await;
    let (_, _, handoff) = offered_to_hong_kong(&node).await;
    revoke(&node, "HK").await;
    settle(&node.app).await.unwrap();
    let ended = noted(&node, handoff).await;
    assert_eq!(ended.state, HandoffState::Recalled.number());
    assert!(ended.outgoing.is_none(), "there is nobody to be told");
}

#[tokio::test]
async fn a_request_goes_on_only_when_its_former_owner_keeps_nothing_of_it() {
    let node = owning().await;
    for point in ["HK", "AU-SYD"] {
        let case_key = Some(CaseKey::generate().public());
        node.enrol_with(point, |entry| entry.case_key = case_key).await;
    }
    let app = &node.app;
    let (reference, secret, handoff) = offered_to(&node, "AU-SYD").await;
    let request = RecordId(noted(&node, handoff).await.request.try_into().unwrap());
    // As if Hong Kong had released it to this point before.
    let taken = RecordId([12; 16]);
    let from_hong_kong = v1::Handoff {
        reference,
        request: request.0.to_vec(),
        from: "HK".into(),
        to: FOUNDER.into(),
        state: HandoffState::Released.number(),
        ..v1::Handoff::default()
    };
    put(&node, Kind::HANDOFF, taken, from_hong_kong.encode_to_vec()).await;
    let owned = v1::HelpRequest::decode(&find(&node, request).await.unwrap().1[..]).unwrap();
    let kept = v1::HelpRequest { kept_by: "HK".into(), ..owned };
    put(&node, Kind::HELP_REQUEST, request, kept.encode_to_vec()).await;

    accepts(&node, "AU-SYD", handoff).await;
    assert_eq!(state(&node, handoff).await, HandoffState::Offered);
    assert_eq!(find(&node, request).await.unwrap().0, Kind::HELP_REQUEST);
    let done = |from: &'static str| {
        let done = v1::HandoffWord { handoff: taken.0.to_vec(), ..word(Said::Done, request) };
        hear(&node, from, done)
    };
    done("AU-SYD").await;
    assert_eq!(find(&node, request).await.unwrap().0, Kind::HELP_REQUEST, "not for Sydney to say");
    done("HK").await;
    enter(app).await.unwrap();
    assert_eq!(state(&node, handoff).await, HandoffState::Released);
    assert_eq!(find(&node, request).await.unwrap().0, Kind::HELP_STUB);
    drop(secret);
}

#[tokio::test]
async fn nothing_of_an_offer_that_was_declined_stays_at_its_destination() {
    let node = founder().await;
    node.enrol("HK").await;
    let offered = v1::HandoffWord {
        reference: request().reference.to_string(),
        preview: Some(v1::HandoffPreview {
            category: "legal".into(),
            region: "GB".into(),
            language: "en".into(),
            urgency: 3,
            summary: MARK.into(),
        }),
        offered_by: "wang".into(),
        ..word(Said::Offer, REQUEST)
    };
    let holds = async || {
        let payload = find(&node, HANDOFF).await.unwrap().1;
        payload.windows(MARK.len()).any(|part| part == MARK.as_bytes())
    };
    hear(&node, "HK", offered.clone()).await;
    assert!(holds().await, "those who decide read it");
    decline(&node.app, &admin(FOUNDER), HANDOFF, "no lawyer here", None).await.unwrap();
    assert!(!holds().await);
    let said = noted(&node, HANDOFF).await.outgoing.unwrap();
    assert_eq!((said.kind(), said.reason.as_str()), (Said::Decline, "no lawyer here"));
    // It is not accepted after that, and coming once more it says nothing new.
    assert!(accept(&node.app, &admin(FOUNDER), HANDOFF).await.is_err());
    hear(&node, "HK", offered).await;
    assert!(!holds().await);
}

#[tokio::test]
async fn of_a_request_that_was_routed_elsewhere_it_is_said_that_it_is_under_way() {
    let node = founder().await;
    let app = &node.app;
    let case_key = Some(CaseKey::generate().public());
    node.enrol_with("HK", |entry| entry.case_key = case_key).await;
    let (mut message, tracking) = help_requests::tests::request("a lease", "");
    message.country = "HK".into();
    let new = message.try_into().unwrap();
    let asked = help_requests::submit(app, &Caller::Anonymous, new).await.unwrap();
    assert_eq!(asked.owner.as_str(), "HK");
    let right = help_requests::tests::secret(&tracking);
    let wrong = v1::HelpSecret { lookup_id: vec![1; 32], mac_key: vec![2; 32] };
    let under_way = async || {
        let mut said = Vec::new();
        for secret in [&right, &wrong] {
            said.push(led_to(app, &asked.reference, secret).await);
        }
        assert_eq!(said[0], said[1], "alike for right and wrong codes");
        assert_eq!(said[0].0, "HK");
        said[0].1
    };
    assert!(under_way().await, "it is to be sent");
    posting::send(app).await.unwrap();
    let subject = routed_subject(&asked.reference);
    let mut db = app.db.local().await.unwrap();
    let (from, to) = (code(FOUNDER), code("HK"));
    assert!(parcels::is_outgoing(&mut db, &from, &to, &subject).await.unwrap());
    drop(db);
    assert!(under_way().await, "it is sent and not settled");
    settles_all(&node, "HK").await;
    assert!(!under_way().await);
}

#[tokio::test]
async fn of_a_request_that_has_come_and_is_not_entered_it_is_said_that_it_is_under_way() {
    let node = founder().await;
    node.enrol("HK").await;
    let key = RecordId([3; 16]);
    let right = [1; 32];
    let hash = yizhan_client::sealed::hash(&right).to_vec();
    let content = HelpRequest {
        intake: "HK".into(),
        intake_key: Some(key),
        lookup_hash: hash.clone(),
        mac_hash: hash,
        ..request()
    };
    let parcel = v1::HelpParcel {
        id: MESSAGE.0.to_vec(),
        request: Some(content.into()),
        key_id: key.0.to_vec(),
        key: Some(v1::HelpKey::default()),
    };
    let said = async |part: [u8; 32]| {
        let track = v1::TrackHelpRequestRequest {
            reference: request().reference.to_string(),
            secret: Some(v1::HelpSecret { lookup_id: part.to_vec(), mac_key: part.to_vec() }),
            ..Default::default()
        };
        let question = Some(v1::help_lookup::Question::Track(track));
        answer_lookup(&node.app, v1::HelpLookup { question }).await.reason
    };
    assert_eq!(said(right).await, "NOT_FOUND");
    assert_eq!(arrive(&node, "HK", letter::Kind::HelpParcel(parcel)).await, Verdict::Done);
    assert_eq!([said(right).await, said([4; 32]).await], ["UNDER_WAY"; 2]);
    posting::enter(&node.app).await.unwrap();
    assert_eq!([said(right).await, said([4; 32]).await], ["", "NOT_FOUND"]);
}

#[tokio::test]
async fn nobody_takes_the_place_of_a_request_that_another_point_sends() {
    let node = founder().await;
    let parcel = |from: &str, number: u32, id: RecordId| {
        let key = RecordId([number as u8; 16]);
        let reference = Reference::new("HK", 2023, number);
        let content =
            HelpRequest { intake: from.into(), intake_key: Some(key), reference, ..request() };
        letter::Kind::HelpParcel(v1::HelpParcel {
            id: id.0.to_vec(),
            request: Some(content.into()),
            key_id: key.0.to_vec(),
            key: Some(v1::HelpKey::default()),
        })
    };
    for point in ["HK", "AU-SYD"] {
        node.enrol(point).await;
    }
    // A point that somehow knows the id is faster.
    assert_eq!(arrive(&node, "AU-SYD", parcel("AU-SYD", 1, MESSAGE)).await, Verdict::Done);
    assert_eq!(arrive(&node, "HK", parcel("HK", 2, MESSAGE)).await, Verdict::Done);
    assert_eq!(arrive(&node, "HK", parcel("HK", 2, MESSAGE)).await, Verdict::Done, "the same");
    let waiting = async || {
        let mut db = node.app.db.reader().await.unwrap();
        let waiting = tables::list_arrivals(&mut db, tables::FIRST_ARRIVAL, 10).await.unwrap();
        waiting.into_iter().map(|one| one.sender).collect::<Vec<_>>()
    };
    assert_eq!(waiting().await.len(), 2);
    // One of them is entered; the other is not lost, and said to wait.
    posting::enter(&node.app).await.unwrap();
    posting::enter(&node.app).await.unwrap();
    assert_eq!(waiting().await.len(), 1);
}

#[tokio::test]
async fn pieces_that_come_after_their_request_has_gone_on_follow_it() {
    let node = founder().await;
    let app = &node.app;
    let case_key = Some(CaseKey::generate().public());
    node.enrol_with("HK", |entry| entry.case_key = case_key).await;
    let stub = v1::HelpStub {
        reference: request().reference.to_string(),
        lookup_hash: vec![1; 32],
        mac_hash: vec![2; 32],
        owner: "HK".into(),
        received_time: Some(Default::default()),
        owner_number: 2,
        ..v1::HelpStub::default()
    };
    put(&node, Kind::HELP_STUB, REQUEST, stub.encode_to_vec()).await;
    let file = RecordId([5; 16]);
    let most = attachments::Most { files: 20, bytes: 1_000 };
    let piece = |number| attachments::Piece { number, of: 3, sealed: vec![number as u8; 10] };
    let mut db = app.db.local().await.unwrap();
    for number in [0, 2] {
        let piece = piece(number);
        let kept = attachments::receive(&mut db, (file, REQUEST), &piece, Time(1), most);
        assert!(kept.await.unwrap());
    }
    assert!(!attachments::find(&mut db, file).await.unwrap().unwrap().whole);
    drop(db);
    send_files(app).await.unwrap();
    let mut db = app.db.local().await.unwrap();
    assert!(attachments::find(&mut db, file).await.unwrap().is_none(), "both have gone on");
    assert_eq!(parcels::count_outgoing(&mut db, &code(FOUNDER), &code("HK")).await.unwrap(), 2);
}

#[tokio::test]
async fn what_is_forgotten_leaves_no_file_and_no_word_about_an_offer() {
    let node = founder().await;
    let app = &node.app;
    for point in ["HK", "AU-SYD"] {
        node.enrol(point).await;
    }
    let stub = v1::HelpStub {
        reference: request().reference.to_string(),
        lookup_hash: vec![1; 32],
        mac_hash: vec![2; 32],
        owner: "HK".into(),
        received_time: Some(Default::default()),
        owner_number: 1,
        ..v1::HelpStub::default()
    };
    put(&node, Kind::HELP_STUB, REQUEST, stub.encode_to_vec()).await;
    let message = v1::HelpMessage {
        request: REQUEST.0.to_vec(),
        time: Some(Default::default()),
        ..Default::default()
    };
    put(&node, Kind::HELP_MESSAGE, MESSAGE, message.encode_to_vec()).await;
    // Declined here once, when Sydney had it.
    let declined = v1::Handoff {
        request: VICTIM.0.to_vec(),
        from: "AU-SYD".into(),
        to: FOUNDER.into(),
        state: HandoffState::Declined.number(),
        reason: MARK.into(),
        ..v1::Handoff::default()
    };
    put(&node, Kind::HANDOFF, HANDOFF, declined.encode_to_vec()).await;
    let file = RecordId([5; 16]);
    let mut db = app.db.local().await.unwrap();
    attachments::insert(&mut db, file, Time(1)).await.unwrap();
    attachments::append(&mut db, file, 0, &[vec![1; 10]]).await.unwrap();
    attachments::finish(&mut db, file).await.unwrap();
    assert!(attachments::claim(&mut db, file, REQUEST).await.unwrap());
    attachments::keep(&mut db, file).await.unwrap();
    drop(db);

    let forget = |request: RecordId, hash: u8| v1::HandoffWord {
        handoff: request.0.to_vec(),
        lookup_hash: vec![hash; 32],
        mac_hash: vec![hash + 1; 32],
        ..word(Said::Forget, request)
    };
    hear(&node, "HK", forget(REQUEST, 7)).await;
    assert!(find(&node, REQUEST).await.is_some(), "who does not know it is not believed");
    hear(&node, "HK", forget(REQUEST, 1)).await;
    for gone in [REQUEST, MESSAGE] {
        assert_eq!(find(&node, gone).await, None);
    }
    let mut db = app.db.reader().await.unwrap();
    assert!(attachments::find(&mut db, file).await.unwrap().is_none());
    drop(db);

    hear(&node, "HK", forget(VICTIM, 1)).await;
    assert_eq!(noted(&node, HANDOFF).await.reason, MARK, "not for Hong Kong to say");
    hear(&node, "AU-SYD", forget(VICTIM, 1)).await;
    assert_eq!(noted(&node, HANDOFF).await.reason, "");
}

#[tokio::test]
async fn a_reference_under_a_former_short_name_leads_to_its_point() {
    let node = founder().await;
    node.enrol("AU-SYD").await;
    let point = |short: &str, former: &[&str]| v1::Point {
        code: FOUNDER.into(),
        short: short.into(),
        kind: v1::point::Kind::Province.into(),
        state: v1::point::State::Active.into(),
        region_code: "440000".into(),
        registered_region: "440100".into(),
        node: FOUNDER.into(),
        time_zone: "Asia/Shanghai".into(),
        names: vec![v1::LocalText { language: "en".into(), text: "Guangdong".into() }],
        former_shorts: former.iter().map(|short| (*short).to_owned()).collect(),
        ..v1::Point::default()
    };
    let feed = FeedId::new(code(FOUNDER), Audience::Public);
    let entry = point("GDX", &["GD", "YUE"]).encode_to_vec();
    let change = Change::new().put(feed, Kind::POINT, RecordId([1; 16]), entry);
    node.app.writer.commit(change).await.unwrap();
    let found = async |short: &str| {
        let reference = Reference::new(short, 2023, 12);
        let found = intakes_of(&node.app, &reference).await.unwrap();
        found.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    for short in ["GDX", "GD", "YUE", "C4400"] {
        // The directory may be known a moment later.
        for _ in 0..100 {
            if found(short).await == [FOUNDER] {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_eq!(found(short).await, [FOUNDER], "{short}");
    }
    assert_eq!(found("SYD").await, ["AU-SYD"]);
    assert_eq!(found("XXX").await, [""; 0]);
}

#[tokio::test]
async fn what_was_routed_to_a_point_that_left_before_it_came_goes_to_its_deputy() {
    let node = founder().await;
    let app = &node.app;
    for point in ["HK", "AU-SYD"] {
        let case_key = Some(CaseKey::generate().public());
        node.enrol_with(point, |entry| entry.case_key = case_key).await;
    }
    let (mut message, _) = help_requests::tests::request("a lease", "");
    message.country = "HK".into();
    let new = message.try_into().unwrap();
    let asked = help_requests::submit(app, &Caller::Anonymous, new).await.unwrap();
    assert_eq!((asked.owner.as_str(), asked.readers[1].point.as_str()), ("HK", "AU-SYD"));
    posting::send(app).await.unwrap();
    posting::readdress(app).await.unwrap();
    let reference = Reference::parse(&asked.reference, "reference").unwrap();
    let owner = async || {
        let found = help_requests::stored::with_reference(app, &reference).await.unwrap();
        let stub: v1::HelpStub = found[0].message().unwrap();
        (stub.owner, stub.parcel.is_some())
    };
    assert_eq!(owner().await, ("HK".to_owned(), false));

    revoke(&node, "HK").await;
    let stop = tokio_util::sync::CancellationToken::new();
    let office = tokio::spawn(app.post.clone().run(stop.clone()));
    let first = (String::new(), RecordId([0; 16]));
    let returned = async || {
        let mut db = app.db.reader().await.unwrap();
        tables::list_returned(&mut db, &first, 10).await.unwrap().len()
    };
    for _ in 0..500 {
        if returned().await > 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(returned().await, 1);
    stop.cancel();
    office.await.unwrap();
    for _ in 0..2 {
        posting::readdress(app).await.unwrap();
    }
    assert_eq!((owner().await, returned().await), (("AU-SYD".to_owned(), true), 0));
    posting::send(app).await.unwrap();
    let mut db = app.db.reader().await.unwrap();
    assert_eq!(parcels::count_outgoing(&mut db, &code(FOUNDER), &code("AU-SYD")).await.unwrap(), 1);
}

#[tokio::test]
async fn that_whoever_took_it_in_has_left_is_said_alike_for_right_and_wrong_codes() {
    let node = founder().await;
    let revoked = Revocation { at: Time(1), reason: String::new() };
    node.enrol_with("HK", |entry| entry.revoked = Some(revoked)).await;
    let reason = async |reference: Reference| {
        let secret = v1::HelpSecret { lookup_id: vec![1; 32], mac_key: vec![2; 32] };
        let question = v1::TrackHelpRequestRequest {
            reference: reference.to_string(),
            secret: Some(secret),
            ..Default::default()
        };
        let refused = track(&node.app, &Caller::Anonymous, question).await;
        refused.map(|_| "").unwrap_or_else(|error| error.kind().1)
    };
    for number in [12, 13] {
        assert_eq!(reason(Reference::new("HK", 2023, number)).await, "OWNER_REVOKED");
    }
    assert_eq!(reason(Reference::new("XXX", 2023, 12)).await, "NOT_FOUND");
}

#[tokio::test]
async fn what_a_hosted_points_client_was_given_leads_on_to_the_points_own_node() {
    let node = founder().await;
    let app = &node.app;
    let home = code("HK");
    let hosted = |entry: &mut crate::domain::roster::RosterEntry| {
        entry.nodes.clear();
        entry.seal_keys.clear();
        entry.host = Some(code(FOUNDER));
    };
    node.enrol(FOUNDER).await;
    node.enrol_with("HK", hosted).await;
    let (mut message, tracking) = help_requests::tests::request("a lease", "");
    message.country = "HK".into();
    let new = message.try_into().unwrap();
    let asked = help_requests::submit(app, &Caller::Anonymous, new).await.unwrap();
    assert_eq!(asked.owner, home);
    let right = help_requests::tests::secret(&tracking);
    let wrong = v1::HelpSecret { lookup_id: vec![1; 32], mac_key: vec![2; 32] };
    let led = async || {
        let mut said = Vec::new();
        for secret in [&right, &wrong] {
            said.push(led_to(app, &asked.reference, secret).await);
        }
        assert_eq!(said[0], said[1], "alike for right and wrong codes");
        said.remove(0)
    };

    let case_key = Some(CaseKey::generate().public());
    node.enrol_with("HK", |entry| {
        entry.seal_keys.insert(0, crate::app::samples::seal_key(FOUNDER));
        entry.case_key = case_key;
    })
    .await;
    assert_eq!(led().await, ("HK".to_owned(), true), "its record may be on its way there");
    let feed = sealed_feed(&home);
    let slot = app.heads.find(&feed).unwrap().held.unwrap().slot;
    for _ in 0..2 {
        help_requests::leading_on::leave_stubs(app, &home, slot).await.unwrap();
    }
    app.writer.retire(feed.clone()).await;
    for _ in 0..500 {
        if led().await == ("HK".to_owned(), false) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(led().await, ("HK".to_owned(), false));

    // What its new node forgets is forgotten here.
    let reference = Reference::parse(&asked.reference, "reference").unwrap();
    let stubs = async || {
        let found = help_requests::stored::with_reference(app, &reference).await.unwrap();
        found
            .into_iter()
            .filter(|found| found.feed == sealed_feed(&code(FOUNDER)))
            .collect::<Vec<_>>()
    };
    let left = stubs().await;
    let (id, stub) = (left[0].row.id, left[0].message::<v1::HelpStub>().unwrap());
    assert_eq!((stub.owner.as_str(), stub.parcel, stub.kept), ("HK", None, None));
    let forget = v1::HandoffWord {
        handoff: id.0.to_vec(),
        lookup_hash: stub.lookup_hash,
        mac_hash: stub.mac_hash,
        ..word(Said::Forget, id)
    };
    hear(&node, "HK", forget).await;
    assert_eq!(stubs().await.len(), 0);
}

#[tokio::test]
async fn a_deputy_knows_where_requests_went_that_a_point_took_in_which_has_left() {
    let node = founder().await;
    let case_key = Some(CaseKey::generate().public());
    node.enrol_with(FOUNDER, |entry| entry.case_key = case_key).await;
    node.enrol("HK").await;
    let reference = Reference::new("HK", 2023, 12);
    let right = [1; 32];
    let hash = yizhan_client::sealed::hash(&right).to_vec();
    let stub = v1::HelpStub {
        reference: reference.to_string(),
        lookup_hash: hash.clone(),
        mac_hash: hash,
        owner: "AU-SYD".into(),
        received_time: Some(Default::default()),
        ..v1::HelpStub::default()
    };
    let copy = v1::help_copies::Copy {
        id: REQUEST.0.to_vec(),
        kind: Kind::HELP_STUB.0,
        sequence: 1,
        removed: false,
        payload: stub.encode_to_vec(),
    };
    let copies = v1::HelpCopies { home: "HK".into(), records: vec![copy], over: false };
    assert_eq!(arrive(&node, "HK", letter::Kind::HelpCopies(copies)).await, Verdict::Done);
    let said = async |part: [u8; 32]| {
        let track = v1::TrackHelpRequestRequest {
            reference: reference.to_string(),
            secret: Some(v1::HelpSecret { lookup_id: part.to_vec(), mac_key: part.to_vec() }),
            ..Default::default()
        };
        let question = Some(v1::help_lookup::Question::Track(track));
        let answer = answer_lookup(&node.app, v1::HelpLookup { question }).await;
        (answer.passed_to, answer.reason)
    };
    let unknown = (String::new(), "NOT_FOUND".to_owned());
    assert_eq!(
        [said(right).await, said([3; 32]).await],
        [unknown.clone(), unknown],
        "ask Hong Kong"
    );
    revoke(&node, "HK").await;
    let known = ("AU-SYD".to_owned(), String::new());
    assert_eq!([said(right).await, said([3; 32]).await], [known.clone(), known]);
}
