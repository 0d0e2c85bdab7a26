//! Files of help requests: in pieces, whole, taken by one request, swept away.

use yizhan_server::{
    domain::time::Time,
    store::{
        attachments::{self, Stored},
        database::Database,
    },
};

use crate::samples::{id, on_both};

on_both!(files_are_kept, files_are_kept_on_sqlite, files_are_kept_on_postgresql);

async fn files_are_kept(database: Database) {
    let mut tx = database.begin().await.unwrap();
    let db = tx.connection();
    for number in 1..=3 {
        attachments::insert(db, id(number), Time(number as i64 * 10)).await.unwrap();
    }
    let pieces = [vec![0, 1, 255], vec![2; 300]];
    assert!(attachments::append(db, id(1), 0, &pieces).await.unwrap());
    assert!(attachments::append(db, id(1), 2, &[vec![3]]).await.unwrap());
    assert!(!attachments::append(db, id(9), 0, &[]).await.unwrap(), "swept away meanwhile");
    assert_eq!(attachments::waiting_bytes(db).await.unwrap(), 304);

    assert!(!attachments::claim(db, id(1), id(7)).await.unwrap(), "not whole yet");
    attachments::finish(db, id(1)).await.unwrap();
    assert!(!attachments::append(db, id(1), 3, &[vec![4]]).await.unwrap(), "it is whole");
    let found = attachments::find(db, id(1)).await.unwrap();
    assert_eq!(found, Some(Stored { whole: true, request: Vec::new(), pieces: 3 }));
    assert_eq!(attachments::find(db, id(9)).await.unwrap(), None);
    assert_eq!(attachments::piece(db, id(1), 0).await.unwrap(), Some(vec![0, 1, 255]));
    assert_eq!(attachments::piece(db, id(2), 0).await.unwrap(), None);

    // One request takes it; the same once more changes nothing.
    assert!(attachments::claim(db, id(1), id(7)).await.unwrap());
    assert!(attachments::claim(db, id(1), id(7)).await.unwrap());
    assert!(!attachments::claim(db, id(1), id(8)).await.unwrap());
    assert_eq!(attachments::waiting_bytes(db).await.unwrap(), 0);

    // Old is what no stored request is known to have; what is kept is never old.
    let old = attachments::list_old(db, Time(30), 10).await.unwrap();
    assert_eq!(old, [(id(1), id(7).0.to_vec()), (id(2), Vec::new())]);
    assert_eq!(attachments::list_old(db, Time(30), 1).await.unwrap().len(), 1);
    attachments::keep(db, id(1)).await.unwrap();
    let old = attachments::list_old(db, Time(100), 10).await.unwrap();
    assert_eq!(old.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [id(2), id(3)]);

    attachments::delete(db, id(1)).await.unwrap();
    assert_eq!(attachments::find(db, id(1)).await.unwrap(), None);
    for number in 0..3 {
        assert_eq!(attachments::piece(db, id(1), number).await.unwrap(), None);
    }
    tx.commit().await.unwrap();
}
