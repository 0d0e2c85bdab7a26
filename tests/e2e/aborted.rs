//! Callers that hang up at any moment leave no transaction behind.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use sqlx::{Connection, Executor, PgConnection, Row, SqliteConnection};
use yizhan_client::channel::Node;
use yizhan_proto::v1;
use yizhan_tests::{
    cluster::{ADMIN, Cluster},
    postgres::Postgres,
};

use crate::people::person;

const POINT: &str = "CN-440000";
/// Longest that a call is let run, in microseconds: most end somewhere in its middle.
const RUNS_US: u64 = 6_000;

/// `YIZHAN_ABORTED` calls; the figure that was promised is 10,000.
fn calls() -> u32 {
    std::env::var("YIZHAN_ABORTED").ok().and_then(|n| n.parse().ok()).unwrap_or(300)
}

/// Calls that read, look, write and ask for approvals, each dropped after a random while.
async fn hang_up_again_and_again(node: &Node, id: &str) {
    let mut random = StdRng::seed_from_u64(7);
    for n in 0..calls() {
        let (node, id) = (node.clone(), id.to_owned());
        let call = async move {
            match n % 5 {
                0 => {
                    let request = v1::GetMemberRequest { id };
                    let _ = node.members().get_member(request).await;
                }
                1 => {
                    let request = v1::SearchMembersRequest::default();
                    let _ = node.members().search_members(request).await;
                }
                2 => {
                    let grant = v1::Grant {
                        member: id,
                        purpose: "contact.by_points".to_owned(),
                        text_version: "v2".to_owned(),
                        text_language: "en".to_owned(),
                        given_via: 2,
                        ..v1::Grant::default()
                    };
                    let grant = Some(grant);
                    let request = v1::GiveConsentRequest { grant, request_id: String::new() };
                    let _ = node.members().give_consent(request).await;
                }
                3 => {
                    let request = v1::AccessMemberRequest { id };
                    let _ = node.members().access_member(request).await;
                }
                _ => {
                    let request = v1::SetRoleRequest {
                        name: "other".to_owned(),
                        role: v1::AccountRole::Volunteer.into(),
                        also: true,
                        ..v1::SetRoleRequest::default()
                    };
                    let _ = node.accounts().set_role(request).await;
                }
            }
        };
        let while_it_runs = Duration::from_micros(random.random_range(0..RUNS_US));
        let _ = tokio::time::timeout(while_it_runs, call).await;
    }
}

async fn goes_on(cluster: &Cluster) {
    let admin = cluster.admin(POINT).await;
    person("Afterwards").create(cluster, &admin).await;
    assert_eq!(admin.finds("Afterwards").await.len(), 1);
    assert_eq!(admin.ask(&["audit", "verify"]).await["findings"], 0);
}

#[tokio::test]
async fn calls_that_are_dropped_leave_no_transaction_on_sqlite() {
    let cluster = Cluster::found(POINT).await;
    cluster.add_user(POINT, "other", "staff").await;
    let admin = cluster.admin(POINT).await;
    let id = person("Aborted").create(&cluster, &admin).await;
    hang_up_again_and_again(&cluster.caller(POINT, ADMIN).await, &id).await;
    goes_on(&cluster).await;
    let path = cluster.path(POINT).join("yizhan.db");
    let mut db = SqliteConnection::connect(&format!("sqlite:{}", path.display())).await.unwrap();
    db.execute("pragma busy_timeout = 5000").await.unwrap();
    db.execute("begin immediate").await.expect("nobody holds the writing lock");
    db.execute("rollback").await.unwrap();
    // No reader stands in the way of the log either, but for the moments of the node's own jobs.
    let mut is_free = false;
    for _ in 0..20 {
        let row = db.fetch_one("pragma wal_checkpoint(truncate)").await.unwrap();
        is_free |= row.get::<i64, _>(0) == 0;
    }
    assert!(is_free, "a reader is left in the past");
}

#[tokio::test]
async fn calls_that_are_dropped_leave_no_transaction_on_postgres() {
    let url = Postgres::database().await;
    let cluster = Cluster::found_on(POINT, &url).await;
    cluster.add_user(POINT, "other", "staff").await;
    let admin = cluster.admin(POINT).await;
    let id = person("Aborted").create(&cluster, &admin).await;
    hang_up_again_and_again(&cluster.caller(POINT, ADMIN).await, &id).await;
    goes_on(&cluster).await;
    let sql = "select count(*) from pg_stat_activity
               where datname = current_database() and pid <> pg_backend_pid()
                 and state like 'idle in transaction%'";
    cluster
        .eventually("no transaction is left open", async || {
            let mut db = PgConnection::connect(&url).await.unwrap();
            db.fetch_one(sql).await.unwrap().get::<i64, _>(0) == 0
        })
        .await;
}
