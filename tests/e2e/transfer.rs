//! A copy of a card for one destination: what is missing is named, the copy is in the person's ledger,
//! follows the card, goes no further, and is taken back by parcel with a receipt.

use serde_json::{Value, json};
use yizhan_tests::{
    client::{Client, exit},
    cluster::Cluster,
};

use crate::people::{document, own_account, person, traces};

const PURPOSE: &str = "transfer.to";

async fn network() -> Cluster {
    let mut cluster = Cluster::found("CN-440000").await;
    for point in ["CN-440100", "CN-445300", "HK", "GB-LON"] {
        cluster.join(point, "CN-440000").await;
    }
    for point in ["CN-440100", "CN-445300"] {
        let client = cluster.admin(point).await;
        cluster
            .eventually("the roster is everywhere", async || {
                let feeds = client.status().await["feeds"].as_array().cloned().unwrap_or_default();
                feeds.iter().any(|feed| {
                    feed["audience"] == "roster" && feed["sequence"].as_u64().unwrap_or(0) >= 5
                })
            })
            .await;
    }
    cluster
}

async fn declare(cluster: &Cluster, from: &str, kind: &str) -> Value {
    let basis = ["--point", "HK", "--from", from, "--kind", kind, "--reference", "GBA-2024-17"];
    let declared = cluster.yizhand("basis", "CN-440000", &basis).await;
    declared.expect_code(exit::DONE).json()
}

/// The copy in the ledger that went to one point alone.
async fn copy_at(home: &Client, id: &str, point: &str) -> Value {
    let document = home.ask(&["member", "where", id]).await;
    let copies = document["copies"].as_array().cloned().unwrap_or_default();
    let is_it = |copy: &Value| copy["point"] == point && copy["audience"] == "transfer";
    copies.into_iter().find(is_it).unwrap_or_default()
}

async fn until_copy(cluster: &Cluster, home: &Client, id: &str, state: &str) -> Value {
    cluster
        .eventually(&format!("the copy is {state}"), async || {
            copy_at(home, id, "HK").await["state"] == state
        })
        .await;
    copy_at(home, id, "HK").await
}

async fn agreed(client: &Client, id: &str, to: &str) {
    client.ask(&["member", "consent", id, "--purpose", PURPOSE, "--scope", to]).await;
}

#[tokio::test]
async fn a_copy_goes_where_person_and_basis_allow_and_no_further() {
    let cluster = network().await;
    let (guangzhou, yunfu) = (cluster.admin("CN-440100").await, cluster.admin("CN-445300").await);
    let (hongkong, london) = (cluster.admin("HK").await, cluster.admin("GB-LON").await);
    let speaker = person("Courier").create(&cluster, &guangzhou).await;
    let other = person("Yunfuer").create(&cluster, &yunfu).await;

    let send = ["member", "transfer", &speaker, "--to", "HK"];
    let nowhere = ["member", "transfer", &speaker, "--to", "US-BOS"];
    assert_eq!(guangzhou.refused(&nowhere).await, "PEER_NOT_ADMITTED");
    assert_eq!(guangzhou.refused(&send).await, "NO_GRANT");
    agreed(&guangzhou, &speaker, "HK").await;
    agreed(&yunfu, &other, "HK").await;
    assert_eq!(guangzhou.refused(&send).await, "NO_BASIS");

    let declared = declare(&cluster, "CN", "gba_sc_hk").await;
    assert!(declared["note"].as_str().expect("a note").contains("no legal advice"));
    cluster
        .eventually("the basis is known in Yunfu, which it does not reach", async || {
            let send = ["member", "transfer", &other, "--to", "HK"];
            yunfu.refused(&send).await == "BASIS_SCOPE"
        })
        .await;
    // A move takes everything along: it needs the same.
    let moving = ["member", "move", &other, "--to", "HK"];
    assert_eq!(yunfu.refused(&moving).await, "BASIS_SCOPE");
    cluster
        .eventually("and in Guangzhou, which it does", async || {
            guangzhou.run(&send).await.code == exit::DONE
        })
        .await;
    let sent = guangzhou.ask(&send).await;
    assert_eq!((&sent["basis"], &sent["to"]), (&json!("gba_sc_hk"), &json!("HK")), "{sent}");

    let held = until_copy(&cluster, &guangzhou, &speaker, "held").await;
    assert_eq!(held["basis"], "gba_sc_hk", "{held}");
    assert_eq!(held["purpose"], PURPOSE, "{held}");
    cluster
        .eventually("Hong Kong has it", async || hongkong.finds("Courier").await.len() == 1)
        .await;
    let found = hongkong.finds("Courier").await;
    assert_eq!((&found[0]["id"], &found[0]["home"]), (&json!(speaker), &json!("CN-440100")));
    let card = hongkong.ask(&["member", "get", &speaker]).await;
    assert_eq!(card["home"], "CN-440100", "{card}");
    // One home, one destination, and no way on from there.
    assert_eq!(
        hongkong.refused(&["member", "transfer", &speaker, "--to", "GB-LON"]).await,
        "NOT_HOME"
    );
    assert_eq!(hongkong.refused(&["member", "erase", &speaker, "--yes"]).await, "NOT_HOME");
    assert_eq!(london.refused(&["member", "get", &speaker]).await, "NOT_FOUND");
    assert_eq!(london.finds("Courier").await, [Value::Null; 0]);
    assert_eq!(yunfu.finds("Courier").await, [Value::Null; 0]);

    // The copy follows the card.
    let change = document(&cluster, "change.json", &json!({"expertise": ["couriermark"]}));
    guangzhou.ask(&["member", "update", &speaker, "--file", &change]).await;
    cluster
        .eventually("the change is in Hong Kong", async || {
            let found = hongkong.finds("Courier").await;
            found.first().is_some_and(|found| found["expertise"] == json!(["couriermark"]))
        })
        .await;

    let withdraw = ["member", "withdraw", &speaker, "--purpose", PURPOSE, "--scope", "HK"];
    guangzhou.ask(&withdraw).await;
    let scrubbed = until_copy(&cluster, &guangzhou, &speaker, "scrubbed").await;
    assert!(scrubbed["receipt"].is_string(), "{scrubbed}");
    assert_eq!(hongkong.refused(&["member", "get", &speaker]).await, "NOT_FOUND");
    assert_eq!(hongkong.finds("Courier").await, [Value::Null; 0]);
    let marks = ["Courier".to_owned(), "couriermark".to_owned()];
    assert_eq!(traces(&cluster.path("HK"), &marks), [""; 0], "Hong Kong has confirmed");
    assert_eq!(guangzhou.refused(&send).await, "NO_GRANT");
    // Why it was refused, and that it went, is in the audit.
    let lines = guangzhou.list(&["audit", "list", "--record", &speaker]).await;
    assert!(lines.iter().any(|line| line["outcome"] == "NO_GRANT"), "{lines:?}");
    assert!(cluster.yizhand("verify", "HK", &[]).await.code == exit::DONE);
}

#[tokio::test]
async fn a_copy_ends_with_its_basis_and_with_its_person() {
    let mut cluster = network().await;
    let guangzhou = cluster.admin("CN-440100").await;
    let hongkong = cluster.admin("HK").await;
    declare(&cluster, "CN-440100", "gba_sc_hk").await;
    let first = person("Baseless").create(&cluster, &guangzhou).await;
    let send = ["member", "transfer", &first, "--to", "HK"];
    agreed(&guangzhou, &first, "HK").await;
    cluster
        .eventually("the basis is known", async || guangzhou.run(&send).await.code == exit::DONE)
        .await;
    cluster.eventually("it is there", async || hongkong.finds("Baseless").await.len() == 1).await;
    declare(&cluster, "CN-440100", "none").await;
    until_copy(&cluster, &guangzhou, &first, "scrubbed").await;
    assert_eq!(hongkong.finds("Baseless").await, [Value::Null; 0]);
    assert_eq!(guangzhou.refused(&send).await, "NO_BASIS");

    declare(&cluster, "CN-440100", "gba_sc_hk").await;
    let second = person("Vanishing").create(&cluster, &guangzhou).await;
    agreed(&guangzhou, &second, "HK").await;
    let send = ["member", "transfer", &second, "--to", "HK"];
    cluster
        .eventually("the basis is back", async || guangzhou.run(&send).await.code == exit::DONE)
        .await;
    cluster.eventually("it is there", async || hongkong.finds("Vanishing").await.len() == 1).await;
    let own = own_account(&cluster, "CN-440100", &second).await;
    cluster.kill("HK").await;
    own.ask(&["member", "erase", &second]).await;
    let state = async |client: &Client| {
        let document = client.ask(&["member", "where", &second]).await;
        document["certificate"]["state"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(copy_at(&guangzhou, &second, "HK").await["state"], "pending");
    assert_ne!(state(&guangzhou).await, "complete", "Hong Kong still has it");
    cluster.start("HK").await;
    cluster.eventually("all have confirmed", async || state(&guangzhou).await == "complete").await;
    let hongkong = cluster.admin("HK").await;
    assert_eq!(hongkong.finds("Vanishing").await, [Value::Null; 0]);
    assert_eq!(traces(&cluster.path("HK"), &["Vanishing".to_owned()]), [""; 0]);
}
