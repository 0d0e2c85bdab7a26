//! Files of help requests: in pieces, whole, taken by one request, swept away.

use yizhan_server::{
    domain::time::Time,
    store::{
        attachments::{self, Most, Stored},
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

    // What is stored with its request is not taken back from it.
    attachments::release(db, id(1), id(7)).await.unwrap();
    assert_eq!(attachments::list_of(db, id(7)).await.unwrap(), [id(1)]);

    // What came too late above was refused, and lies in this transaction still.
    attachments::delete_piece(db, id(1), 3).await.unwrap();
    // Pieces that went on come back: the file is whole once all are here.
    let most = Most { files: 20, bytes: 10_000 };
    let mut gone = Vec::new();
    for _ in 0..2 {
        let piece = attachments::first_piece(db, id(1)).await.unwrap().unwrap();
        attachments::delete_piece(db, id(1), piece.number).await.unwrap();
        gone.push(piece);
    }
    assert!(!attachments::find(db, id(1)).await.unwrap().unwrap().whole);
    for (piece, whole) in gone.iter().zip([false, true]) {
        let kept = attachments::receive(db, (id(1), id(7)), piece, Time(1), most).await.unwrap();
        let found = attachments::find(db, id(1)).await.unwrap().unwrap();
        assert_eq!((kept, found.whole, found.pieces), (true, whole, 3));
    }
    assert_eq!(attachments::piece(db, id(1), 0).await.unwrap(), Some(vec![0, 1, 255]));

    attachments::delete(db, id(1)).await.unwrap();
    assert_eq!(attachments::find(db, id(1)).await.unwrap(), None);
    for number in 0..3 {
        assert_eq!(attachments::piece(db, id(1), number).await.unwrap(), None);
    }
    // Taken by a call that others were faster than, a file is nobody's again.
    attachments::finish(db, id(3)).await.unwrap();
    assert!(attachments::claim(db, id(3), id(8)).await.unwrap());
    attachments::release(db, id(3), id(9)).await.unwrap();
    assert_eq!(attachments::list_of(db, id(8)).await.unwrap(), [id(3)]);
    attachments::release(db, id(3), id(8)).await.unwrap();
    assert!(attachments::list_of(db, id(8)).await.unwrap().is_empty());
    tx.commit().await.unwrap();
}
