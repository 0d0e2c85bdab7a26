//! What another point may bring about here with words on moves, and what not.

use prost::Message;
use yizhan_proto::v1::{self, get_member_response::Seen, move_word::Kind as Said};

use super::{stored::find, *};
use crate::{
    app::{
        App, members,
        samples::{FOUNDER, admin, code, founder},
    },
    domain::{id::RecordId, kind::Kind, member_move::MoveState, time::Time},
    parcel::words::COPY_PARTS,
    store::words::{self, Channel, Word},
    wire::member_move,
};

const MOVE: RecordId = RecordId([7; 16]);

fn person() -> v1::Member {
    v1::Member {
        state: 2,
        names: vec![v1::PersonName {
            script: 1,
            full: "欧阳若晴".into(),
            order: 1,
            ..Default::default()
        }],
        preferred_script: 1,
        preferred_language: "zh-Hans".into(),
        city_code: "440100".into(),
        create_time: Some(Default::default()),
        update_time: Some(Default::default()),
        ..Default::default()
    }
}

fn said(kind: Said) -> v1::MoveWord {
    v1::MoveWord {
        r#move: MOVE.0.to_vec(),
        kind: kind.into(),
        language: "zh-Hans".into(),
        ..Default::default()
    }
}

/// A copy of a person with this id, in one part.
fn copy(id: RecordId) -> v1::MoveWord {
    let member = v1::MoveRecord {
        kind: Kind::MEMBER.0,
        id: id.0.to_vec(),
        payload: person().encode_to_vec(),
    };
    let content = v1::MoveContent {
        member: id.0.to_vec(),
        member_state: 2,
        home_number: 1,
        records: vec![member],
    }
    .encode_to_vec();
    v1::MoveWord {
        version: 1,
        parts: 1,
        content_hash: blake3::hash(&content).as_bytes().to_vec(),
        content,
        ..said(Said::Copy)
    }
}

/// A word of Hong Kong arrives, and is entered.
async fn hear(app: &App, word: v1::MoveWord) {
    let arrived = Word {
        owner: FOUNDER.into(),
        subject: MOVE,
        kind: i64::from(word.kind),
        part: (word.version * COPY_PARTS) as i64,
        sender: "HK".into(),
        word: word.encode_to_vec(),
        arrived: Time(1),
    };
    words::put(&mut app.db.local().await.unwrap(), Channel::Moves, &arrived).await.unwrap();
    enter(app).await.unwrap();
}

async fn state(app: &App) -> MoveState {
    find(app, &code(FOUNDER), MOVE).await.unwrap().expect("a move").state().unwrap()
}

async fn parts(app: &App) -> usize {
    let kind = i64::from(i32::from(Said::Copy));
    let mut db = app.db.reader().await.unwrap();
    words::of_subject(&mut db, Channel::Moves, FOUNDER, MOVE, kind).await.unwrap().len()
}

#[tokio::test]
async fn who_was_offered_and_accepted_is_home_here() {
    let node = founder().await;
    let (app, staff) = (&node.app, admin(FOUNDER));
    let id = RecordId([9; 16]);
    hear(app, said(Said::Offer)).await;
    accept(app, &staff, MOVE).await.unwrap();
    hear(app, copy(id)).await;
    assert_eq!((state(app).await, parts(app).await), (MoveState::Copied, 1));
    assert!(members::get(app, &staff, id).await.is_err(), "the old home has not let go");

    // Of what is not whole here nothing comes.
    let of_another = v1::MoveWord { home_number: 1, version: 2, ..said(Said::Confirm) };
    hear(app, of_another).await;
    assert_eq!(state(app).await, MoveState::Copied);
    hear(app, v1::MoveWord { home_number: 1, version: 1, ..said(Said::Confirm) }).await;
    assert_eq!((state(app).await, parts(app).await), (MoveState::Confirmed, 0));
    let Seen::Member(member) = members::get(app, &staff, id).await.unwrap().seen else {
        panic!("the home has the record itself")
    };
    assert_eq!((member.home_number, &*member.moved_from, member.state), (1, "HK", 2));
    assert_eq!(member_move::ALL, Kind::MEMBER_MOVE.0.to_string());
}

#[tokio::test]
async fn a_copy_that_nobody_waits_for_is_not_kept() {
    let node = founder().await;
    let app = &node.app;
    hear(app, copy(RecordId([9; 16]))).await;
    assert_eq!(parts(app).await, 0, "of a move that nobody knows");
    hear(app, said(Said::Offer)).await;
    hear(app, copy(RecordId([9; 16]))).await;
    assert_eq!((state(app).await, parts(app).await), (MoveState::Offered, 0));
}

#[tokio::test]
async fn a_member_of_this_home_cannot_come_from_elsewhere() {
    let node = founder().await;
    let (app, staff) = (&node.app, admin(FOUNDER));
    let new = members::New { member: person(), ..members::New::default() };
    let known = members::create(app, &staff, new).await.unwrap();
    let id = RecordId::parse(&known.id, "id").unwrap();
    hear(app, said(Said::Offer)).await;
    accept(app, &staff, MOVE).await.unwrap();
    hear(app, copy(id)).await;
    assert_eq!(state(app).await, MoveState::Declined);
    hear(app, v1::MoveWord { home_number: 1, version: 1, ..said(Said::Confirm) }).await;
    assert_eq!((state(app).await, parts(app).await), (MoveState::Declined, 0));
    let Seen::Member(member) = members::get(app, &staff, id).await.unwrap().seen else {
        panic!("the member is here")
    };
    assert_eq!((member.home_number, &*member.moved_from), (0, ""));
}
