//! Outbox, inbox and ledger on both databases: the same suite, whatever lies beneath.

use yizhan_server::{
    domain::{
        audience::{Audience, FeedId},
        position::Sequence,
        time::Time,
    },
    store::{
        Slot,
        database::Database,
        parcels::{self, Extent, Failure, Outgoing, Receipt, Series, Standing},
    },
};
use yizhan_tests::postgres::Postgres;

#[tokio::test]
async fn parcels_are_kept_alike_on_sqlite() {
    let dir = tempfile::tempdir().unwrap();
    suite(&Database::address_in(dir.path())).await;
}

#[tokio::test]
async fn parcels_are_kept_alike_on_postgresql() {
    suite(&Postgres::database().await).await;
}

async fn suite(address: &str) {
    let database = Database::open(address).await.unwrap();
    let mut tx = database.begin().await.unwrap();
    let db = tx.connection();
    outbox(db).await;
    inbox(db).await;
    ledger(db).await;
    assert_eq!(parcels::find_newest_removal(db, Slot(1)).await.unwrap(), None);
    assert_eq!(parcels::list_clearing(db).await.unwrap(), []);
    let dialect = database.dialect;
    parcels::optimize_terms(db, dialect).await.unwrap();
    tx.commit().await.unwrap();
    assert!(database.truncate_log().await.unwrap());
}

fn series() -> Series {
    let (from, to) = ("GB-LON".parse().unwrap(), "CN-440000".parse().unwrap());
    Series { from, to, sender_epoch: 1 }
}

async fn outbox(db: &mut parcels::Connection) {
    let Series { from, to, .. } = series();
    for (number, subject) in [(1, "a"), (2, "a"), (3, "")] {
        assert_eq!(parcels::next_number(db, &series()).await.unwrap(), number);
        let parcel = Outgoing {
            series: series(),
            number,
            subject: subject.into(),
            parcel: vec![0, 255, number as u8],
            kept: Vec::new(),
            sealed_to: vec![2; 32],
            written: Time(number as i64),
        };
        parcels::insert_outgoing(db, &parcel).await.unwrap();
    }
    let due = parcels::list_due(db, &from, &to, 10).await.unwrap();
    assert_eq!(due.iter().map(|parcel| parcel.number).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(due[0].parcel, [0, 255, 1]);
    parcels::reseal(db, &series(), 1, b"again", b"key").await.unwrap();
    let due = parcels::list_due(db, &from, &to, 1).await.unwrap();
    assert_eq!((&due[0].parcel[..], &due[0].sealed_to[..]), (&b"again"[..], &b"key"[..]));
    assert!(parcels::is_outgoing(db, &from, &to, b"a").await.unwrap());
    assert!(parcels::close(db, &series(), 1).await.unwrap());
    assert!(!parcels::close(db, &series(), 1).await.unwrap());
    assert_eq!(parcels::find_oldest(db, &series()).await.unwrap(), Some(2));
    assert_eq!(parcels::count_outgoing(db, &from, &to).await.unwrap(), 2);
    assert_eq!(parcels::outbox_figures(db).await.unwrap(), (2, Some(Time(2))));
    let conversations = parcels::list_conversations(db).await.unwrap();
    assert_eq!(conversations, [(from.clone(), to.clone())]);
    for parcel in parcels::list_outgoing(db, &from, &to, 10).await.unwrap() {
        assert!(parcels::close(db, &parcel.series, parcel.number).await.unwrap());
    }
    assert_eq!(parcels::outbox_figures(db).await.unwrap(), (0, None));
    for reason in ["POINT_REVOKED", "KEY_LOST"] {
        let ends = (&from, &to);
        let failure = Failure::Undeliverable;
        parcels::count_failure(db, ends, failure, reason, 2, Time(5)).await.unwrap();
    }
    let given_up = parcels::given_up(db, &from, &to, "KEY_LOST").await.unwrap();
    assert_eq!(given_up, Some(Time(5)));
    assert_eq!(parcels::given_up(db, &to, &from, "KEY_LOST").await.unwrap(), None);
    let failures = parcels::list_failures(db).await.unwrap();
    assert_eq!((failures[0].parcels, failures[0].reason.as_str()), (4, "KEY_LOST"));
}

async fn inbox(db: &mut parcels::Connection) {
    for number in [3, 1, 2, 5] {
        let refused = (number == 2).then_some("NOT_HERE");
        let standing = parcels::standing(db, &series(), number, 1).await.unwrap();
        assert_eq!(standing, Standing::New);
        parcels::settle(db, &series(), number, 1, refused).await.unwrap();
    }
    assert_eq!(parcels::find_mark(db, &series()).await.unwrap(), Some(3));
    for (number, expected) in [
        (1, Standing::Settled(None)),
        (2, Standing::Settled(Some("NOT_HERE".into()))),
        (4, Standing::New),
        (5, Standing::Settled(None)),
        (20_000, Standing::Beyond),
    ] {
        assert_eq!(parcels::standing(db, &series(), number, 1).await.unwrap(), expected);
    }
    for sender_epoch in 2..=parcels::EPOCHS_MAX as u64 + 1 {
        let later = Series { sender_epoch, ..series() };
        parcels::settle(db, &later, 1, 1, None).await.unwrap();
    }
    assert_eq!(parcels::standing(db, &series(), 4, 1).await.unwrap(), Standing::Beyond);
}

async fn ledger(db: &mut parcels::Connection) {
    let feed = FeedId::new("CN-440000".parse().unwrap(), Audience::Network);
    let receipt = |epoch_counter, number| Receipt {
        point: "GB-LON".parse().unwrap(),
        extent: Extent { epoch_counter, number, sequence: Sequence(number) },
        scrubbed: Time(1),
        received: Time(2),
    };
    for (epoch, number, kept) in [(1, 5, (1, 5)), (1, 4, (1, 5)), (2, 1, (2, 1)), (1, 9, (2, 1))] {
        parcels::put_receipt(db, &feed, &receipt(epoch, number)).await.unwrap();
        let listed = parcels::list_receipts(db, &feed).await.unwrap();
        assert_eq!(listed, [receipt(kept.0, kept.1)]);
    }
    for number in [1, 2] {
        let extent = Extent { epoch_counter: 1, number, sequence: Sequence(number) };
        parcels::put_sent_receipt(db, &feed, extent, Time(3)).await.unwrap();
        let sent = parcels::list_sent_receipts(db).await.unwrap();
        assert_eq!(sent, [(feed.clone(), extent)]);
    }
}
