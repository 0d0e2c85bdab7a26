//! What waits for a second person.

use yizhan_server::{
    domain::{
        approval::{Approval, ApprovalState},
        id::RecordId,
        time::Time,
    },
    store::{approvals, database::Database},
};

use crate::samples::{id, on_both, point};

on_both!(approvals_are_kept, approvals_are_kept_on_sqlite, approvals_are_kept_on_postgresql);

fn approval(number: u64, subject: &str, task: &str) -> Approval {
    Approval {
        id: id(number),
        operation: "erase_member".to_owned(),
        subject: subject.to_owned(),
        task: task.to_owned(),
        point: point(),
        requested_by: "li".to_owned(),
        requested: Time(5),
        expires: Time(9),
        state: ApprovalState::Open,
        decided_by: String::new(),
        decided: None,
        outcome: String::new(),
    }
}

async fn approvals_are_kept(database: Database) {
    let mut tx = database.begin().await.unwrap();
    let db = tx.connection();
    for number in 1..=3 {
        approvals::insert(db, &approval(number, &format!("member {number}"), "task"))
            .await
            .unwrap();
    }
    assert_eq!(
        approvals::find(db, id(1)).await.unwrap(),
        Some(approval(1, "member 1", "task")),
        "as it was put in"
    );
    assert_eq!(approvals::find(db, id(9)).await.unwrap(), None);
    let asked = approvals::find_asked(db, "li", "erase_member", "member 2", "task").await.unwrap();
    assert_eq!(asked.map(|asked| asked.id), Some(id(2)));
    for wrong in ["member 4", ""] {
        let asked = approvals::find_asked(db, "li", "erase_member", wrong, "task").await.unwrap();
        assert_eq!(asked, None);
    }

    // Given once, ended once, and its task goes with the end.
    assert!(approvals::give(db, id(2), "wang", Time(7)).await.unwrap());
    assert!(!approvals::give(db, id(2), "zhao", Time(8)).await.unwrap());
    let given = approvals::find(db, id(2)).await.unwrap().unwrap();
    assert_eq!((given.state, given.decided), (ApprovalState::Given, Some(Time(7))));
    assert_eq!(given.decided_by, "wang");
    let undone = approvals::list_undone(db, 10).await.unwrap();
    assert_eq!(undone.iter().map(|one| one.id).collect::<Vec<_>>(), [id(2)]);
    assert!(!approvals::end(db, id(1), ApprovalState::Done, "").await.unwrap(), "not given");
    assert!(approvals::end(db, id(2), ApprovalState::Done, "erased").await.unwrap());
    assert!(!approvals::end(db, id(2), ApprovalState::Failed, "late").await.unwrap());
    let done = approvals::find(db, id(2)).await.unwrap().unwrap();
    assert_eq!((done.task.as_str(), done.outcome.as_str()), ("", "erased"));
    assert_eq!(approvals::list_undone(db, 10).await.unwrap(), []);

    // Pages go down from the newest.
    let page = approvals::list(db, RecordId([0xff; 16]), 2).await.unwrap();
    assert_eq!(page.iter().map(|one| one.id).collect::<Vec<_>>(), [id(3), id(2)]);
    let page = approvals::list(db, id(2), 2).await.unwrap();
    assert_eq!(page.iter().map(|one| one.id).collect::<Vec<_>>(), [id(1)]);

    // Of somebody who is erased, what ended stays without the name; what is open goes.
    approvals::insert(db, &approval(4, "member 2", "task")).await.unwrap();
    approvals::forget(db, "member 2").await.unwrap();
    assert_eq!(approvals::find(db, id(2)).await.unwrap().unwrap().subject, "");
    assert_eq!(approvals::find(db, id(4)).await.unwrap(), None);
    assert_eq!(approvals::find(db, id(3)).await.unwrap().unwrap().subject, "member 3");
    tx.commit().await.unwrap();
}
