//! What a former host may still bring about here, and what not any more.

use bytes::Bytes;

use super::*;
use crate::{
    app::{
        records,
        samples::{FOUNDER, Node, code, founder, seal_key},
    },
    domain::{id::RecordId, kind::Kind, roster::RosterEntry},
    feed::change::Change,
    link::frame::Packer,
    parcel::letters::{self, Here, Verdict},
};

const OWN: RecordId = RecordId([1; 16]);
const FOREIGN: RecordId = RecordId([2; 16]);

/// Hong Kong has hosted the point until lately.
async fn was_hosted(node: &Node) {
    node.enrol("HK").await;
    let keys = |entry: &mut RosterEntry| {
        entry.seal_keys[0].from_epoch = 2;
        entry.seal_keys.insert(0, seal_key("HK"));
    };
    node.enrol_with(FOUNDER, keys).await;
    let roster = node.app.keys.roster();
    assert_eq!(roster.handed_over_by(&code(FOUNDER)), Some(&code("HK")));
}

fn row(id: RecordId) -> Row {
    let payload = Bytes::from_static(b"payload");
    Row { sequence: Sequence(1), id, kind: Kind::GRANT, removed: false, payload }
}

fn part(last: bool) -> HomeHandOver {
    let (rows_zstd, rows_len) = Packer::new().pack(vec![row(FOREIGN)]);
    let part = HomeHandOver { home: FOUNDER.into(), last, ..Default::default() };
    match last {
        true => part,
        false => HomeHandOver { audience: Audience::Home as u32, rows_zstd, rows_len, ..part },
    }
}

async fn hand_over(node: &Node, part: HomeHandOver) -> Verdict {
    let app = &node.app;
    let here = Here::of(app, app.outside.now());
    let letter = Letter { kind: Some(letter::Kind::HomeHandOver(part)) };
    let mut db = app.db.local().await.unwrap();
    letters::act(&here, &mut db, (&code("HK"), &code(FOUNDER)), &letter).await.unwrap()
}

#[tokio::test]
async fn a_former_host_hands_over_once() {
    let node = founder().await;
    was_hosted(&node).await;
    let refused = Verdict::Refused("NOT_EXPECTED");
    assert_eq!(hand_over(&node, part(false)).await, Verdict::Done);
    assert_eq!(hand_over(&node, part(true)).await, Verdict::Done);
    assert_eq!(hand_over(&node, part(false)).await, refused, "it has said that nothing follows");
    assert_eq!(hand_over(&node, part(true)).await, refused);

    assert!(is_waiting(&node.app).await.unwrap());
    move_in(&node.app).await.unwrap();
    assert!(!is_waiting(&node.app).await.unwrap());
    for late in [false, true] {
        assert_eq!(hand_over(&node, part(late)).await, refused, "the point has moved in");
    }
    assert!(!is_waiting(&node.app).await.unwrap());
}

#[tokio::test]
async fn rows_that_do_not_add_up_are_put_in_nowhere_even_where_the_feed_has_begun() {
    let node = founder().await;
    let (app, home) = (&node.app, FeedId::new(code(FOUNDER), Audience::Home));
    let change = Change::new().put(home.clone(), Kind::GRANT, OWN, b"own".to_vec());
    app.writer.commit(change).await.unwrap();
    let seal = app.heads.find(&home).unwrap().held.unwrap().seal.unwrap();
    was_hosted(&node).await;
    {
        let db = &mut *app.db.local().await.unwrap();
        hand_overs::insert_rows(db, Audience::Home, &[row(FOREIGN)]).await.unwrap();
        hand_overs::put_seal(db, Some(Audience::Home), &seal.encode()).await.unwrap();
        hand_overs::put_seal(db, None, &[]).await.unwrap();
    }
    move_in(app).await.unwrap();
    assert!(records::find(app, FOREIGN).await.unwrap().is_empty());
    let mut db = app.db.reader().await.unwrap();
    let moving = hand_overs::moving(&mut db, &home.home).await.unwrap();
    assert_eq!(moving.stage, Arriving::Awaited);
}

#[tokio::test]
async fn what_goes_along_with_the_rows_is_taken_over_once_they_are_in() {
    let node = founder().await;
    let case_key = crate::identity::keys::CaseKey::generate().public();
    node.enrol_with("HK", |entry| entry.case_key = Some(case_key)).await;
    let keys = |entry: &mut RosterEntry| {
        entry.seal_keys[0].from_epoch = 2;
        entry.seal_keys.insert(0, seal_key("HK"));
        entry.case_key = Some(case_key);
    };
    node.enrol_with(FOUNDER, keys).await;
    let account = |name: &str, role: &str, id: u8| v1::HandedAccount {
        id: vec![id; 16],
        name: name.into(),
        role: role.into(),
        password_hash: "$argon2id$".into(),
        ..v1::HandedAccount::default()
    };
    let heads = Letter { kind: Some(letter::Kind::HelpEscalation(v1::HelpEscalation::default())) };
    let parcel = |sender_epoch, number| v1::HandedParcel {
        to: "HK".into(),
        sender_epoch,
        number,
        written_us: 1,
        letter: Some(heads.clone()),
    };
    let settled = v1::SettledParcels {
        from: "HK".into(),
        sender_epoch: 1,
        mark: 4,
        numbers: vec![v1::SettledNumber { number: 6, reason: "MALFORMED".into() }],
    };
    let more = HomeHandOver {
        home: FOUNDER.into(),
        // An epoch of our own is nobody else's to number.
        parcels: vec![parcel(1, 7), parcel(2, 8)],
        settled: vec![settled],
        accounts: vec![account("clerk", "staff", 7), account("gov", "provincial_admin", 8)],
        ..HomeHandOver::default()
    };
    assert_eq!(hand_over(&node, more).await, Verdict::Done);
    assert_eq!(hand_over(&node, part(true)).await, Verdict::Done);
    let (app, home, hk) = (&node.app, code(FOUNDER), code("HK"));
    {
        let here = Here::of(app, app.outside.now());
        let mut db = app.db.local().await.unwrap();
        assert!(letters::is_moving_in(&here, &mut db, &home).await.unwrap());
        assert_eq!(parcels::count_outgoing(&mut db, &home, &hk).await.unwrap(), 0);
    }
    move_in(app).await.unwrap();
    let here = Here::of(app, app.outside.now());
    let mut db = app.db.local().await.unwrap();
    assert!(!letters::is_moving_in(&here, &mut db, &home).await.unwrap());
    let first = parcels::first_of(&mut db, &home).await.unwrap().expect("a parcel");
    assert_eq!((first.series.sender_epoch, first.number), (1, 7), "under the number it had");
    // Ours, and our word for the host that everything is here.
    assert_eq!(parcels::count_outgoing(&mut db, &home, &hk).await.unwrap(), 2);
    let series = Series { from: hk, to: home, sender_epoch: 1 };
    for (number, known) in [
        (4, parcels::Standing::Settled(None)),
        (5, parcels::Standing::New),
        (6, parcels::Standing::Settled(Some("MALFORMED".into()))),
    ] {
        assert_eq!(parcels::standing(&mut db, &series, number, 1).await.unwrap(), known);
    }
    assert!(accounts::find(&mut db, "clerk").await.unwrap().is_some());
    assert!(accounts::find(&mut db, "gov").await.unwrap().is_none(), "two persons make one");
}
