//! A node whose past came back: it takes its own feeds back before it writes.

use std::fs;

use serde_json::Value;
use yizhan_tests::{
    client::{Client, exit},
    cluster::Cluster,
};

use crate::people::{NETWORK_PURPOSE, person, scratch, text};

async fn network() -> Cluster {
    let mut cluster = Cluster::found("CN-440000").await;
    cluster.join("GB-LON", "CN-440000").await;
    cluster
}

async fn finds(client: &Client, name: &str) -> bool {
    client.finds(name).await.len() == 1
}

/// Nothing left to take back, nothing frozen anywhere.
async fn has_recovered(client: &Client) -> bool {
    let status = client.status().await;
    let states = status["feeds"].as_array().cloned().unwrap_or_default();
    assert!(states.iter().all(|feed| feed["state"] != "frozen"), "{status}");
    let recovery = &status["recovery"];
    recovery["feeds"].as_array().is_some_and(Vec::is_empty)
        && recovery["reconciling"] == Value::Bool(false)
}

async fn assert_goes_on(cluster: &Cluster) {
    let london = cluster.admin("GB-LON").await;
    cluster.eventually("London has recovered", async || has_recovered(&london).await).await;
    person("Afterwards").create_shown(cluster, &london).await;
    let guangdong = cluster.admin("CN-440000").await;
    cluster
        .eventually("Guangdong has what came after", async || finds(&guangdong, "Afterwards").await)
        .await;
    cluster.agree().await;
    assert!(has_recovered(&guangdong).await);
    for point in ["CN-440000", "GB-LON"] {
        cluster.yizhand("verify", point, &[]).await.expect_code(exit::DONE);
    }
}

#[tokio::test]
async fn an_old_database_put_back_does_not_fork_the_network() {
    let mut cluster = network().await;
    let guangdong = cluster.admin("CN-440000").await;
    let london = cluster.admin("GB-LON").await;
    person("Early").create_shown(&cluster, &london).await;
    cluster.eventually("Guangdong has it", async || finds(&guangdong, "Early").await).await;
    cluster.stop("GB-LON").await;
    let database = cluster.path("GB-LON").join("yizhan.db");
    let aside = scratch(&cluster).join("old.db");
    fs::copy(&database, &aside).expect("a copy");

    cluster.start("GB-LON").await;
    let london = cluster.admin("GB-LON").await;
    person("Later").create_shown(&cluster, &london).await;
    cluster.eventually("Guangdong has it", async || finds(&guangdong, "Later").await).await;
    cluster.stop("GB-LON").await;
    fs::copy(&aside, &database).expect("put back");
    for ending in ["-wal", "-shm"] {
        let _ = fs::remove_file(cluster.path("GB-LON").join(format!("yizhan.db{ending}")));
    }

    cluster.start("GB-LON").await;
    assert_goes_on(&cluster).await;
    for name in ["Early", "Later"] {
        assert!(finds(&guangdong, name).await, "{name} is still disclosed");
    }
    let london = cluster.admin("GB-LON").await;
    assert!(finds(&london, "Early").await);
}

#[tokio::test]
async fn a_node_with_an_old_database_and_no_neighbour_does_not_write() {
    let mut cluster = network().await;
    cluster.stop("GB-LON").await;
    let database = cluster.path("GB-LON").join("yizhan.db");
    let aside = scratch(&cluster).join("old.db");
    fs::copy(&database, &aside).expect("a copy");
    cluster.start("GB-LON").await;
    let london = cluster.admin("GB-LON").await;
    let guangdong = cluster.admin("CN-440000").await;
    person("Later").create_shown(&cluster, &london).await;
    cluster.eventually("Guangdong has it", async || finds(&guangdong, "Later").await).await;
    cluster.stop("GB-LON").await;
    fs::copy(&aside, &database).expect("put back");

    cluster.cut_off("GB-LON");
    cluster.start("GB-LON").await;
    let line = cluster.line("GB-LON");
    cluster.eventually("London has dialled in vain", async || line.inert().is_empty()).await;
    // Signing in writes nothing to a feed, and accounts are not replicated.
    let london = cluster.admin("GB-LON").await;
    let file = crate::people::document(&cluster, "member.json", &person("Denied").document());
    london.refused(&["member", "create", "--file", &file]).await;

    cluster.rejoin("GB-LON");
    assert_goes_on(&cluster).await;
    cluster.assert_faults_fired();
}

#[tokio::test]
async fn a_restored_backup_keeps_the_withdrawn_withdrawn() {
    let mut cluster = network().await;
    let guangdong = cluster.admin("CN-440000").await;
    let london = cluster.admin("GB-LON").await;
    let gone = person("Withdrawn").create_shown(&cluster, &london).await;
    cluster.eventually("Guangdong has it", async || finds(&guangdong, "Withdrawn").await).await;
    let backup = text(&scratch(&cluster).join("london.backup"));
    cluster.yizhand("backup", "GB-LON", &["--to", &backup]).await.expect_code(exit::DONE);
    let bytes = fs::read(&backup).expect("a backup");
    assert!(!bytes.windows(9).any(|window| window == b"Withdrawn"), "a backup is encrypted");

    london.ask(&["member", "withdraw", &gone, "--purpose", NETWORK_PURPOSE]).await;
    person("Later").create_shown(&cluster, &london).await;
    cluster.eventually("Guangdong has it", async || finds(&guangdong, "Later").await).await;
    cluster.eventually("and lost it", async || !finds(&guangdong, "Withdrawn").await).await;

    cluster.yizhand("restore", "GB-LON", &["--from", &backup]).await.expect_code(exit::REFUSED);
    cluster.stop("GB-LON").await;
    cluster.yizhand("restore", "GB-LON", &["--from", &backup]).await.expect_code(exit::DONE);
    cluster.start("GB-LON").await;
    assert_goes_on(&cluster).await;
    assert!(finds(&guangdong, "Later").await, "what came after the backup is still disclosed");
    assert!(!finds(&guangdong, "Withdrawn").await, "withdrawn stays withdrawn");
    // The home still knows its member, and that the consent has ended.
    let london = cluster.admin("GB-LON").await;
    let grants = london.list(&["member", "grants", &gone]).await;
    assert_eq!(grants.len(), 1);
    assert_eq!(grants[0]["state"], "withdrawn");
}
