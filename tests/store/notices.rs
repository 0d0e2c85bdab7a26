//! The outbox of notices: one per person and fact, tried until it is over, forgotten afterwards.

use yizhan_server::{
    domain::time::Time,
    store::{
        database::Database,
        notices::{self, Address, Waiting},
    },
};

use crate::samples::on_both;

on_both!(notices_are_kept, notices_are_kept_on_sqlite, notices_are_kept_on_postgresql);

fn address(target: &[u8]) -> Address {
    Address {
        target: target.to_vec(),
        language: "zh-Hans".to_owned(),
        zone: "Asia/Shanghai".to_owned(),
        quiet_from: 1_320,
        quiet_to: 480,
    }
}

fn notice(number: u8) -> Waiting {
    Waiting {
        id: vec![number; 32],
        channel: 1,
        fact: 2,
        reference: "LON-23-00012-A".to_owned(),
        label: "处理中".to_owned(),
        attempts: 0,
        address: address(&[0, 255, number]),
    }
}

async fn notices_are_kept(database: Database) {
    let mut tx = database.begin().await.unwrap();
    let db = tx.connection();
    assert_eq!(notices::figures(db).await.unwrap(), (0, 0));
    for (number, due) in [(1, 10), (2, 5), (3, 20)] {
        assert!(notices::insert(db, &notice(number), Time(due), Time(1)).await.unwrap());
    }
    assert!(!notices::insert(db, &notice(1), Time(0), Time(2)).await.unwrap(), "told once");
    let due = notices::list_due(db, Time(10), 10).await.unwrap();
    assert_eq!(due, [notice(2), notice(1)]);
    assert_eq!(notices::list_due(db, Time(10), 1).await.unwrap().len(), 1);

    // Whoever begins an attempt has it; the other sees an older count.
    assert!(notices::begin(db, &due[0], Time(50)).await.unwrap());
    assert!(!notices::begin(db, &due[0], Time(60)).await.unwrap());
    notices::put_off(db, &due[1].id, Time(70)).await.unwrap();
    assert_eq!(notices::list_due(db, Time(30), 10).await.unwrap(), [notice(3)]);
    let again = notices::list_due(db, Time(50), 10).await.unwrap();
    assert_eq!(again.iter().map(|one| one.attempts).collect::<Vec<_>>(), [0, 1]);

    // Delivered and given up: the address goes, the name stays until it is swept.
    notices::end(db, &notice(2).id, false, Time(80)).await.unwrap();
    notices::end(db, &notice(3).id, true, Time(90)).await.unwrap();
    assert_eq!(notices::figures(db).await.unwrap(), (1, 1));
    assert!(!notices::insert(db, &notice(2), Time(0), Time(91)).await.unwrap());
    assert!(!notices::begin(db, &Waiting { attempts: 1, ..notice(2) }, Time(1)).await.unwrap());
    assert_eq!(notices::sweep(db, Time(90)).await.unwrap(), 1);
    assert!(notices::insert(db, &notice(2), Time(0), Time(92)).await.unwrap(), "forgotten");

    assert_eq!(notices::find_address(db, "li").await.unwrap(), None);
    notices::put_address(db, "li", &address(b"one")).await.unwrap();
    notices::put_address(db, "li", &address(b"two")).await.unwrap();
    assert_eq!(notices::find_address(db, "li").await.unwrap(), Some(address(b"two")));
    notices::delete_address(db, "li").await.unwrap();
    assert_eq!(notices::find_address(db, "li").await.unwrap(), None);
    tx.commit().await.unwrap();
}
