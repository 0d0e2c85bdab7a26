//! Words about persons on their way in, on both databases.

use yizhan_server::{
    domain::{id::RecordId, time::Time},
    store::{
        database::Database,
        words::{self, Channel, Word},
    },
};
use yizhan_tests::postgres::Postgres;

#[tokio::test]
async fn words_are_kept_alike_on_sqlite() {
    let dir = tempfile::tempdir().unwrap();
    suite(&Database::address_in(dir.path())).await;
}

#[tokio::test]
async fn words_are_kept_alike_on_postgresql() {
    suite(&Postgres::database().await).await;
}

fn word(subject: u8, kind: i64, part: i64, arrived: i64) -> Word {
    Word {
        owner: "HK".into(),
        subject: RecordId([subject; 16]),
        kind,
        part,
        sender: "CN-440100".into(),
        word: vec![0, 255, subject],
        arrived: Time(arrived),
    }
}

async fn suite(address: &str) {
    let database = Database::open(address).await.unwrap();
    let mut tx = database.begin().await.unwrap();
    let db = tx.connection();
    let all = [word(1, 1, 1, 10), word(1, 1, 2, 20), word(1, 2, 3, 20), word(2, 1, 1, 5)];
    for word in &all {
        words::put(db, Channel::Transfers, word).await.unwrap();
    }
    // The same word again, later: the first one stays.
    words::put(db, Channel::Transfers, &word(1, 1, 1, 99)).await.unwrap();
    words::put(db, Channel::Moves, &word(1, 1, 1, 1)).await.unwrap();
    let listed = words::list(db, Channel::Transfers, 1..=9, 10).await.unwrap();
    let order = [3, 0, 1, 2].map(|at: usize| all[at].clone());
    assert_eq!(listed, order, "oldest first, then by kind and part");
    assert_eq!(words::list(db, Channel::Transfers, 2..=9, 10).await.unwrap(), [all[2].clone()]);
    assert_eq!(words::list(db, Channel::Transfers, 1..=9, 1).await.unwrap(), [all[3].clone()]);

    let subjects = words::subjects(db, Channel::Transfers, 1, 10).await.unwrap();
    let of = |subject, part| ("HK".to_owned(), RecordId([subject; 16]), part);
    assert_eq!(subjects, [of(1, 2), of(2, 1)]);

    let id = RecordId([1; 16]);
    let of = words::of_subject(db, Channel::Transfers, "HK", id, 1).await.unwrap();
    assert_eq!(of, all[..2]);
    words::delete_up_to(db, Channel::Transfers, ("HK", id), 1, 1).await.unwrap();
    words::delete(db, Channel::Transfers, &all[2]).await.unwrap();
    let left = words::list(db, Channel::Transfers, 1..=9, 10).await.unwrap();
    assert_eq!(left, [all[3].clone(), all[1].clone()]);
    assert_eq!(words::list(db, Channel::Moves, 1..=9, 10).await.unwrap().len(), 1);
    tx.commit().await.unwrap();
}
