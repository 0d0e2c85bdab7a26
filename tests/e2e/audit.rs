//! Every write and every look leaves a line; a line that is changed, dropped or cut off is found.

use std::path::Path;

use serde_json::Value;
use sqlx::{Connection, Executor, SqliteConnection};
use yizhan_tests::{
    client::{Client, exit},
    cluster::Cluster,
};

use crate::people::person;

const POINT: &str = "CN-440000";

async fn lines(client: &Client, record: &str) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let lines = client.list(&["audit", "list", "--record", record]).await;
    let told = lines.iter().rev();
    told.map(|line| (text(&line["actor"]), text(&line["operation"]), text(&line["purpose"])))
        .collect()
}

/// Runs a statement in the database of a stopped node.
async fn tamper(directory: &Path, sql: &'static str) {
    let address = format!("sqlite:{}", directory.join("yizhan.db").display());
    let mut db = SqliteConnection::connect(&address).await.expect("the database of a node");
    db.execute(sql).await.expect("a statement");
    db.close().await.expect("a database that closes");
}

#[tokio::test]
async fn writes_and_looks_are_noted_with_their_purpose() {
    let cluster = Cluster::found(POINT).await;
    assert!(!cluster.log(POINT).contains("WARN"), "a new node has nothing to warn of");
    cluster.add_user(POINT, "staff", "staff").await;
    let (admin, staff) = (cluster.admin(POINT).await, cluster.user(POINT, "staff").await);
    let id = person("Noted").create_shown(&cluster, &staff).await;
    staff.ask(&["member", "get", &id, "--purpose", "contact"]).await;
    admin.finds("Noted").await;

    let said = |actor: &str, operation: &str, purpose: &str| {
        (actor.to_owned(), operation.to_owned(), purpose.to_owned())
    };
    let expected = [
        said("staff", "create_member", "service"),
        said("staff", "give_consent", "subject_request"),
        said("staff", "read_member", "contact"),
        said("admin", "read_member", "service"),
    ];
    assert_eq!(lines(&admin, &id).await, expected);
    assert_eq!(lines(&staff, &id).await, expected[..3], "staff see their own acts");

    // Who does not find anything has tried, and that is noted too.
    let nobody = "01890000-0000-7000-8000-000000000001";
    assert_eq!(staff.refused(&["member", "get", nobody]).await, "NOT_FOUND");
    let tried = admin.list(&["audit", "list", "--record", nobody]).await;
    assert_eq!(tried[0]["outcome"], "not_found");

    let unknown = ["member", "get", &id, "--purpose", "curiosity"];
    let refused = staff.run(&unknown).await.expect_code(exit::REFUSED).json();
    assert_eq!(refused["error"]["fields"][0]["reason"], "unknown_access_purpose");

    let whole = admin.ask(&["audit", "verify"]).await;
    assert_eq!(whole["findings"], 0);
    let newest = &admin.ask(&["audit", "list", "--limit", "1"]).await["items"][0];
    assert!(newest["hash"] == whole["newest"]["hash"], "{newest} {whole}");
}

#[tokio::test]
async fn a_changed_a_dropped_and_a_cut_off_line_are_found() {
    let mut cluster = Cluster::found(POINT).await;
    let admin = cluster.admin(POINT).await;
    for n in 0..4 {
        person(&format!("Number{n}")).create(&cluster, &admin).await;
    }
    admin.finds("Number").await;
    admin.run(&["audit", "verify"]).await.expect_code(exit::DONE);
    cluster.yizhand("verify", POINT, &[]).await.expect_code(exit::DONE);

    let changes: [(&str, &'static str, &'static str); 3] = [
        (
            "AUDIT_LINE_CHANGED",
            "update audit set outcome = outcome || 'x' where number = 3",
            "update audit set outcome = substr(outcome, 1, length(outcome) - 1) where number = 3",
        ),
        (
            "AUDIT_LINE_MISSING",
            "create table aside as select * from audit where number = 4;
             delete from audit where number = 4",
            "insert into audit select * from aside; drop table aside",
        ),
        (
            "AUDIT_LINE_MISSING",
            "delete from audit where number > (select max(number) - 2 from audit)",
            "select 1",
        ),
    ];
    for (reason, tampering, repair) in changes {
        let was = cluster.stop(POINT).await;
        assert!(was.success());
        tamper(&cluster.path(POINT), tampering).await;
        cluster.start(POINT).await;
        let admin = cluster.admin(POINT).await;
        let found = admin.run(&["audit", "verify"]).await.expect_code(exit::REFUSED);
        assert!(found.stdout.contains(reason), "{reason}: {found:?}");
        let found = cluster.yizhand("verify", POINT, &[]).await.expect_code(exit::REFUSED);
        assert!(found.stdout.contains(reason), "{reason}: {found:?}");
        cluster.stop(POINT).await;
        tamper(&cluster.path(POINT), repair).await;
        cluster.start(POINT).await;
    }
}
