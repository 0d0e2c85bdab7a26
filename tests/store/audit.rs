//! Lines of the audit: appended in order, found by record and actor, whole or found not to be.

use yizhan_server::{
    domain::{
        audit::{Act, Author, Checker, Deed, Forgetting, Mark, Notes, Report},
        id::RecordId,
        kind::Kind,
        time::Time,
    },
    store::{
        FeedStore, FeedTx,
        audit::{self, Wanted},
        database::Database,
    },
};
use yizhan_tests::postgres::Postgres;

use crate::samples::{id, sqlite};

fn deed(actor: &str) -> Deed {
    let author = Author { actor: actor.into(), role: "staff", point: "GB-LON".into() };
    Deed { author, operation: "edit_member".into(), purpose: "service" }
}

async fn append(db: &Database, acts: Vec<Act>, forgettings: Vec<Forgetting>) {
    let mut tx = FeedStore::begin(db).await.unwrap();
    tx.note(&Notes { acts, forgettings }, Time(7), [3; 32]).await.unwrap();
    FeedTx::commit(tx).await.unwrap();
}

async fn check(db: &Database, mark: Option<Mark>) -> Report {
    let db = &mut *db.reader().await.unwrap();
    let mut checker = Checker::new(audit::base(db).await.unwrap(), mark);
    let mut after = audit::base(db).await.unwrap().number;
    loop {
        let lines = audit::after(db, after, 700).await.unwrap();
        let Some(last) = lines.last() else { return checker.finish() };
        after = last.number;
        lines.iter().for_each(|line| checker.line(line));
    }
}

async fn lines_are_chained_found_and_forgotten(db: Database) {
    let acts: Vec<Act> = (1..=2_500)
        .map(|n| deed(if n % 2 == 0 { "ann" } else { "bob" }).act(Kind::MEMBER, id(n), "put"))
        .collect();
    append(&db, acts, Vec::new()).await;
    append(&db, vec![deed("ann").act(Kind::MEMBER, id(1), "put")], Vec::new()).await;
    let report = check(&db, None).await;
    assert_eq!((report.lines, report.faults), (2_501, 0), "{:?}", report.findings);

    let found = |record, actor: Option<&str>, limit| {
        let wanted = Wanted { record, actor: actor.map(str::to_owned), ..Wanted::default() };
        let db = db.clone();
        async move {
            audit::list(&mut db.reader().await.unwrap(), &wanted, u64::MAX, limit).await.unwrap()
        }
    };
    assert_eq!(found(Some(id(1)), None, 10).await.len(), 2);
    assert_eq!(found(Some(id(1)), Some("bob"), 10).await.len(), 1);
    assert_eq!(found(None, Some("ann"), 10).await[0].number, 2_501);
    assert_eq!(found(None, None, 3).await.len(), 3);

    let order = RecordId([8; 16]);
    let forgetting = Forgetting { deed: deed("ann"), order, records: vec![id(1), id(2)] };
    append(&db, Vec::new(), vec![forgetting]).await;
    assert_eq!(found(Some(id(1)), None, 10).await, []);
    let said = found(Some(order), None, 10).await;
    assert_eq!((said.len(), said[0].outcome.as_str()), (1, "forgot=3"));
    let mark = audit::newest(&mut db.reader().await.unwrap()).await.unwrap();
    let report = check(&db, Some(mark)).await;
    assert_eq!((report.lines, report.faults), (2_502, 0), "{:?}", report.findings);

    // Old lines go, and the chain says so.
    let mut tx = db.begin().await.unwrap();
    let removed = audit::remove_old(&mut tx, Time(8), 1_000, Time(9), [4; 32]).await.unwrap();
    assert!(removed);
    tx.commit().await.unwrap();
    let report = check(&db, Some(mark)).await;
    assert_eq!((report.lines, report.faults), (1_503, 0), "{:?}", report.findings);

    // What is cut off is found by the mark.
    let cut = Mark { number: mark.number + 50, hash: [1; 32] };
    assert!(check(&db, Some(cut)).await.faults > 0);
    let mut tx = db.begin().await.unwrap();
    let dialect = tx.dialect;
    audit::note_loss(tx.connection(), dialect, (cut, false), Time(9), [5; 32]).await.unwrap();
    tx.commit().await.unwrap();
    let newest = audit::newest(&mut db.reader().await.unwrap()).await.unwrap();
    assert_eq!(newest.number, cut.number + 1);
    let faults = check(&db, Some(newest)).await.faults;
    assert!(faults > 0, "a loss stays to be seen");

    // With the whole database it is no fault of the audit, and shown as what it is.
    let cut = Mark { number: newest.number + 50, hash: [1; 32] };
    let mut tx = db.begin().await.unwrap();
    audit::note_loss(tx.connection(), dialect, (cut, true), Time(9), [6; 32]).await.unwrap();
    tx.commit().await.unwrap();
    let report = check(&db, None).await;
    assert_eq!((report.faults, report.unmarked_starts.len()), (faults, 1));
}

async fn exports_are_counted_per_day(db: Database) {
    let mut local = db.local().await.unwrap();
    assert_eq!(audit::add_exported(&mut local, "ann", 1, 6, 10).await.unwrap(), (true, 6));
    assert_eq!(audit::add_exported(&mut local, "ann", 1, 5, 10).await.unwrap(), (false, 11));
    assert_eq!(audit::add_exported(&mut local, "ann", 1, 4, 10).await.unwrap(), (true, 10));
    assert_eq!(audit::add_exported(&mut local, "bob", 1, 4, 10).await.unwrap(), (true, 4));
    assert_eq!(audit::add_exported(&mut local, "ann", 2, 4, 10).await.unwrap(), (true, 4));
}

#[tokio::test]
async fn lines_are_chained_found_and_forgotten_on_sqlite() {
    let (db, _dir) = sqlite().await;
    lines_are_chained_found_and_forgotten(db).await;
}

#[tokio::test]
async fn lines_are_chained_found_and_forgotten_on_postgres() {
    let db = Database::open(&Postgres::database().await).await.unwrap();
    lines_are_chained_found_and_forgotten(db).await;
}

#[tokio::test]
async fn exports_are_counted_per_day_on_both_databases() {
    let (db, _dir) = sqlite().await;
    exports_are_counted_per_day(db).await;
    exports_are_counted_per_day(Database::open(&Postgres::database().await).await.unwrap()).await;
}
