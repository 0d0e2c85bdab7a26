//! Who gets in, who does not, and who is put out.

use std::time::Duration;

use serde_json::Value;
use yizhan_tests::{
    client::{Answer, Client, exit},
    cluster::Cluster,
    proxy::Proxy,
    waiting::{eventually, throughout},
};

use crate::people::person;

/// Promised for a revoked point that is connected.
const PUT_OUT_WITHIN: Duration = Duration::from_secs(5);
const DATABASE: &str = "sqlite:";

fn is_connected(status: &Value, peer: &str) -> bool {
    let links = status["links"].as_array().expect("links");
    links.iter().any(|link| link["peer"] == peer && link["state"] == "connected")
}

#[track_caller]
fn assert_refused(reason: &str, says: &str, answer: Answer) {
    let document = answer.expect_code(exit::REFUSED).json();
    let error = &document["error"];
    for key in ["code", "reason", "message", "message_zh"] {
        let text = error[key].as_str().unwrap_or_default();
        assert!(!text.is_empty(), "{reason}: no {key} in {document}");
    }
    assert_eq!(error["reason"], reason, "{document}");
    assert!(error["message"].to_string().contains(says), "{says}: {document}");
}

#[tokio::test]
async fn a_revoked_point_is_put_out_within_seconds_and_stays_out() {
    let mut cluster = Cluster::found("CN-440000").await;
    cluster.join("GB-LON", "CN-440000").await;
    let guangdong = cluster.admin("CN-440000").await;
    let london = cluster.admin("GB-LON").await;
    assert!(is_connected(&guangdong.status().await, "GB-LON"));

    let revoke = ["--point", "GB-LON", "--reason", "a test"];
    cluster.yizhand("revoke", "CN-440000", &revoke).await.expect_code(exit::DONE);
    eventually("the link is gone", PUT_OUT_WITHIN, async || {
        !is_connected(&guangdong.status().await, "GB-LON")
            && !is_connected(&london.status().await, "CN-440000")
    })
    .await;
    cluster
        .eventually("London is told why", async || {
            london.status().await["links"].to_string().contains("revoked")
        })
        .await;

    person("Afterwards").create_shown(&cluster, &guangdong).await;
    throughout("London stays out", Duration::from_secs(3), async || {
        !is_connected(&guangdong.status().await, "GB-LON")
            && london.finds("Afterwards").await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_point_is_let_in_and_put_out_by_two_persons_of_whom_one_is_the_provinces() {
    let cluster = Cluster::found("CN-440000").await;
    for (name, role) in [
        ("desk", "staff"),
        ("gov-a", "provincial_admin"),
        ("gov-b", "provincial_admin"),
        ("audit", "auditor"),
    ] {
        cluster.add_user("CN-440000", name, role).await;
    }
    let user = async |name: &str| cluster.user("CN-440000", name).await;
    let (desk, audit) = (user("desk").await, user("audit").await);
    let (admin, gov_a, gov_b) = (user("admin").await, user("gov-a").await, user("gov-b").await);
    let admit = ["point", "admit", "GB-LON"];
    for nobody in [&desk, &audit] {
        assert_eq!(nobody.refused(&admit).await, "DENIED");
    }

    // The province asks: not who has asked, nor a point's administrator can agree.
    let asked = gov_a.ask(&admit).await;
    let approval = asked["approval"].as_str().expect("an approval").to_owned();
    assert!(asked["token"].is_null(), "{asked}");
    let give = ["approval", "give", &approval];
    assert_eq!(gov_a.refused(&give).await, "OWN_APPROVAL");
    assert_eq!(admin.refused(&give).await, "NOT_FOUND");
    assert_eq!(gov_a.ask(&admit).await["approval"], approval.as_str(), "nothing has changed");
    assert_eq!(gov_b.ask(&give).await["state"], "given");
    let token = gov_a.ask(&admit).await["token"].as_str().expect("a token").to_owned();
    let line = Proxy::start(cluster.addresses("CN-440000").link).await.expect("a line");
    cluster.try_join("joined", &token, &line, DATABASE).await.expect_code(exit::DONE);
    assert!(gov_a.ask(&admit).await["token"].is_null(), "one agreement, one token");

    // A point's administrator proposes; one of the province agrees, and it is done.
    let revoke = ["point", "revoke", "GB-LON", "--reason", "closed down"];
    let asked = admin.ask(&revoke).await["approval"].as_str().expect("an approval").to_owned();
    let state = async |client: &Client| {
        let peers = client.list(&["point", "peers"]).await;
        peers.iter().find(|peer| peer["point"] == "GB-LON").expect("London")["state"].clone()
    };
    assert_eq!(state(&audit).await, "admitted");
    assert_eq!(gov_a.ask(&["approval", "give", &asked]).await["state"], "done");
    assert_eq!(state(&audit).await, "revoked");
    assert!(!admin.ask(&revoke).await["revoked_at"].is_null());
    assert_eq!(gov_a.refused(&admit).await, "POINT_REVOKED");
    assert_eq!(gov_a.refused(&["point", "revoke", "CN-440000"]).await, "FOUNDING_POINT");
    assert_eq!(desk.refused(&["point", "peers"]).await, "DENIED");

    // Who can open the node's socket needs nobody else.
    cluster.token("CN-440000", "HK").await;
}

#[tokio::test]
async fn only_a_sound_unused_token_of_this_network_lets_a_point_in() {
    let cluster = Cluster::found("CN-440000").await;
    let line = Proxy::start(cluster.addresses("CN-440000").link).await.expect("a line");
    let good = cluster.token("CN-440000", "GB-LON").await;

    let truncated = &good[..good.len() - 20];
    assert_refused(
        "TOKEN_MALFORMED",
        "not whole",
        cluster.try_join("a", truncated, &line, DATABASE).await,
    );
    let other_point = good.replace("GB-LON", "US-BOS");
    assert_refused(
        "TOKEN_FOR_OTHER_POINT",
        "for another point",
        cluster.try_join("b", &other_point, &line, DATABASE).await,
    );
    let other_network = Cluster::found("CN-440000").await;
    let foreign = other_network.token("CN-440000", "GB-LON").await;
    assert_refused(
        "WRONG_NETWORK",
        "not who it should be",
        cluster.try_join("c", &foreign, &line, DATABASE).await,
    );

    let short = cluster.yizhand("token", "CN-440000", &["--point", "HK", "--ttl", "1s"]).await;
    let short = short.expect_code(exit::DONE).json();
    let expired = short["token"].as_str().expect("a token");
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_refused(
        "TOKEN_EXPIRED",
        "has expired",
        cluster.try_join("d", expired, &line, DATABASE).await,
    );

    // None of the attempts has used the good one up, nor left the directory unusable.
    cluster.try_join("a", &good, &line, DATABASE).await.expect_code(exit::DONE);
    assert_refused(
        "TOKEN_USED",
        "used by another key",
        cluster.try_join("e", &good, &line, DATABASE).await,
    );
}

#[tokio::test]
async fn a_node_of_another_network_is_refused_though_it_has_the_same_name() {
    let mut cluster = Cluster::found("CN-440000").await;
    cluster.join("GB-LON", "CN-440000").await;
    let mut other = Cluster::found("CN-440000").await;
    other.join("GB-LON", "CN-440000").await;
    cluster.stop("GB-LON").await;
    let guangdong = cluster.admin("CN-440000").await;
    let stranger = other.admin("GB-LON").await;

    let line = other.line("GB-LON");
    let before = line.counts().connections;
    line.set_target(cluster.addresses("CN-440000").link);
    line.cut();
    other
        .eventually("the stranger dials again and again", async || {
            line.counts().connections >= before + 3
        })
        .await;
    throughout("the stranger stays out", Duration::from_secs(2), async || {
        !is_connected(&guangdong.status().await, "GB-LON")
            && !is_connected(&stranger.status().await, "CN-440000")
    })
    .await;
    other.assert_faults_fired();
}
