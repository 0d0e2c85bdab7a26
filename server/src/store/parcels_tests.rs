use proptest::prelude::*;

use super::*;
use crate::store::database::Database;

async fn database() -> (tempfile::TempDir, Database) {
    let dir = tempfile::tempdir().unwrap();
    let db = Database::open(&Database::address_in(dir.path())).await.unwrap();
    (dir, db)
}

fn series() -> Series {
    let (from, to) = ("GB-LON".parse().unwrap(), "CN-440000".parse().unwrap());
    Series { from, to, sender_epoch: 1 }
}

fn outgoing(number: u64, subject: &[u8]) -> Outgoing {
    Outgoing {
        series: series(),
        number,
        subject: subject.to_vec(),
        parcel: vec![number as u8],
        kept: vec![1],
        sealed_to: vec![2; 32],
        written: Time(number as i64),
    }
}

#[tokio::test]
async fn numbers_rise_by_one_per_series() {
    let (_dir, db) = database().await;
    let mut db = db.local().await.unwrap();
    let later = Series { sender_epoch: 2, ..series() };
    for expected in 1..=3 {
        assert_eq!(next_number(&mut db, &series()).await.unwrap(), expected);
    }
    assert_eq!(next_number(&mut db, &later).await.unwrap(), 1);
    assert_eq!(next_number(&mut db, &series()).await.unwrap(), 4);
}

#[tokio::test]
async fn of_each_subject_only_the_first_parcel_is_due() {
    let (_dir, db) = database().await;
    let mut db = db.local().await.unwrap();
    for (number, subject) in [(1, "a"), (2, "a"), (3, "b"), (4, ""), (5, "")] {
        insert_outgoing(&mut db, &outgoing(number, subject.as_bytes())).await.unwrap();
    }
    let (from, to) = (series().from, series().to);
    let due = async |db: &mut Connection| -> Vec<u64> {
        let due = list_due(db, &from, &to, 10).await.unwrap();
        due.into_iter().map(|parcel| parcel.number).collect()
    };
    assert_eq!(due(&mut db).await, [1, 3, 4, 5]);
    assert!(close(&mut db, &series(), 1).await.unwrap());
    assert!(!close(&mut db, &series(), 1).await.unwrap());
    assert_eq!(due(&mut db).await, [2, 3, 4, 5]);
    assert_eq!(find_oldest(&mut db, &series()).await.unwrap(), Some(2));
    assert_eq!(outbox_figures(&mut db).await.unwrap(), (4, Some(Time(2))));
    assert!(is_outgoing(&mut db, &from, &to, b"a").await.unwrap());
    assert_eq!(list_conversations(&mut db).await.unwrap(), [(from.clone(), to.clone())]);
    let left = list_outgoing(&mut db, &from, &to, 10).await.unwrap();
    assert_eq!(left.iter().map(|parcel| parcel.number).collect::<Vec<_>>(), [2, 3, 4, 5]);
    assert_eq!(list_outgoing(&mut db, &from, &to, 1).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_refusal_is_remembered_until_the_sender_has_closed_the_parcel() {
    let (_dir, db) = database().await;
    let mut db = db.local().await.unwrap();
    settle(&mut db, &series(), 1, 1, Some("NOT_HERE")).await.unwrap();
    settle(&mut db, &series(), 2, 1, None).await.unwrap();
    let refused = Standing::Settled(Some("NOT_HERE".into()));
    assert_eq!(standing(&mut db, &series(), 1, 1).await.unwrap(), refused);
    assert_eq!(standing(&mut db, &series(), 2, 1).await.unwrap(), Standing::Settled(None));
    settle(&mut db, &series(), 3, 3, None).await.unwrap();
    assert_eq!(standing(&mut db, &series(), 1, 1).await.unwrap(), Standing::Settled(None));
    assert_eq!(find_mark(&mut db, &series()).await.unwrap(), Some(3));
}

#[tokio::test]
async fn a_number_too_far_above_the_mark_is_left_to_come_again() {
    let (_dir, db) = database().await;
    let mut db = db.local().await.unwrap();
    let far = ABOVE_MARK_MAX + 1;
    assert_eq!(standing(&mut db, &series(), far, 1).await.unwrap(), Standing::Beyond);
    assert_eq!(standing(&mut db, &series(), far - 1, 1).await.unwrap(), Standing::New);
    // The sender says that nothing below is waited for.
    assert_eq!(standing(&mut db, &series(), far, far).await.unwrap(), Standing::New);
    settle(&mut db, &series(), far, far, None).await.unwrap();
    assert_eq!(find_mark(&mut db, &series()).await.unwrap(), Some(far));
}

#[tokio::test]
async fn no_more_than_a_few_epochs_of_a_sender_are_kept() {
    let (_dir, db) = database().await;
    let mut db = db.local().await.unwrap();
    let epoch = |sender_epoch| Series { sender_epoch, ..series() };
    for number in 2..=EPOCHS_MAX as u64 + 2 {
        settle(&mut db, &epoch(number), 1, 1, None).await.unwrap();
    }
    assert_eq!(find_mark(&mut db, &epoch(2)).await.unwrap(), None);
    assert_eq!(standing(&mut db, &epoch(2), 1, 1).await.unwrap(), Standing::Beyond);
    assert_eq!(standing(&mut db, &epoch(3), 1, 1).await.unwrap(), Standing::Settled(None));
    assert_eq!(standing(&mut db, &epoch(99), 1, 1).await.unwrap(), Standing::New);
}

#[tokio::test]
async fn a_newer_receipt_replaces_an_older_one_only() {
    let (_dir, db) = database().await;
    let mut db = db.local().await.unwrap();
    let feed = FeedId::new("CN-440000".parse().unwrap(), Audience::Network);
    let receipt = |epoch_counter, number| Receipt {
        point: "GB-LON".parse().unwrap(),
        extent: Extent { epoch_counter, number, sequence: Sequence(number) },
        scrubbed: Time(1),
        received: Time(2),
    };
    for (epoch, number, kept) in [(1, 5, (1, 5)), (1, 4, (1, 5)), (2, 1, (2, 1)), (1, 9, (2, 1))] {
        put_receipt(&mut db, &feed, &receipt(epoch, number)).await.unwrap();
        let listed = list_receipts(&mut db, &feed).await.unwrap();
        assert_eq!(listed, [receipt(kept.0, kept.1)]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_order_each_number_is_new_once(
        order in Just((1..=24_u64).flat_map(|n| [n, n]).collect::<Vec<_>>()).prop_shuffle()
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (_dir, db) = database().await;
            let mut db = db.local().await.unwrap();
            let mut acted = Vec::new();
            for number in order {
                if standing(&mut db, &series(), number, 1).await.unwrap() == Standing::New {
                    settle(&mut db, &series(), number, 1, None).await.unwrap();
                    acted.push(number);
                }
            }
            acted.sort();
            assert_eq!(acted, (1..=24).collect::<Vec<_>>());
            assert_eq!(find_mark(&mut db, &series()).await.unwrap(), Some(24));
            let left: i64 = sqlx::query_scalar("select count(*) from inbox_settled")
                .fetch_one(&mut *db).await.unwrap();
            assert_eq!(left, 0);
        });
    }
}
