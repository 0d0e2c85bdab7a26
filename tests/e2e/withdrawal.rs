//! A withdrawn card: gone from every search, and from every file of every other node.

use std::path::Path;

use serde_json::Value;
use yizhan_tests::{
    client::{Client, exit},
    cluster::Cluster,
};

use crate::people::{self, NETWORK_PURPOSE, Person};

const POINTS: [&str; 3] = ["CN-440000", "CN-440100", "GB-LON"];
const HOME: &str = "CN-440100";

/// Words of one person and nobody else. What is scanned for lacks the first two letters: a full-text
/// index stores a word without the letters that it shares with its neighbour.
const NAME: &str = "Qxzvoplund";
const EXPERTISE: &str = "wqkjtrafto";
const CHARACTERS: &str = "龘靐";

fn marked_person() -> Person {
    Person {
        hans: CHARACTERS,
        sort_key: "da bing",
        latin: format!("Da {NAME}"),
        expertise: EXPERTISE.to_owned(),
    }
}

/// Files below `directory` that hold any of the person's words, and which.
fn traces(directory: &Path) -> Vec<String> {
    let marks = [NAME[2..].to_owned(), EXPERTISE[2..].to_owned(), CHARACTERS.to_owned()];
    people::traces(directory, &marks)
}

/// Points with a copy of the card, and its state there. What the home keeps for itself is no copy.
async fn copies(client: &Client, id: &str) -> Vec<(String, String)> {
    let document = client.ask(&["member", "where", id]).await;
    let copies = document["copies"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let cards = copies.iter().filter(|copy| copy["audience"] == "network");
    let mut copies: Vec<_> =
        cards.map(|copy| (text(&copy["point"]), text(&copy["state"]))).collect();
    copies.sort();
    copies
}

fn all(state: &str) -> Vec<(String, String)> {
    POINTS.map(|point| (point.to_owned(), state.to_owned())).to_vec()
}

async fn network_with_a_marked_card() -> (Cluster, Client, String) {
    let mut cluster = Cluster::found("CN-440000").await;
    cluster.join("CN-440100", "CN-440000").await;
    cluster.join("GB-LON", "CN-440000").await;
    let home = cluster.admin(HOME).await;
    let id = marked_person().create_shown(&cluster, &home).await;
    for point in POINTS {
        let client = cluster.admin(point).await;
        cluster
            .eventually("the card is everywhere", async || client.finds(NAME).await.len() == 1)
            .await;
        assert_ne!(traces(&cluster.path(point)), [""; 0], "{point} holds the card: a scan sees it");
    }
    assert_eq!(copies(&home, &id).await, all("held"));
    (cluster, home, id)
}

#[tokio::test]
async fn a_withdrawn_card_is_gone_from_every_search_and_every_file() {
    let (cluster, home, id) = network_with_a_marked_card().await;

    home.ask(&["member", "withdraw", &id, "--purpose", NETWORK_PURPOSE]).await;
    cluster
        .eventually("all have confirmed", async || copies(&home, &id).await == all("scrubbed"))
        .await;

    for point in POINTS.iter().filter(|point| **point != HOME) {
        let client = cluster.admin(point).await;
        assert_eq!(traces(&cluster.path(point)), [""; 0], "{point} has confirmed");
        for words in [NAME, CHARACTERS, "dabing"] {
            assert_eq!(client.finds(words).await, [Value::Null; 0], "{point}, {words}");
        }
    }
    for point in POINTS {
        cluster.yizhand("verify", point, &[]).await.expect_code(exit::DONE);
    }
}

#[tokio::test]
async fn a_point_that_was_away_scrubs_when_it_returns() {
    let (cluster, home, id) = network_with_a_marked_card().await;
    cluster.cut_off("GB-LON");

    home.ask(&["member", "withdraw", &id, "--purpose", NETWORK_PURPOSE]).await;
    let mut without_london = all("scrubbed");
    without_london[2].1 = "pending".to_owned();
    cluster
        .eventually("all but London have confirmed", async || {
            copies(&home, &id).await == without_london
        })
        .await;
    let london = cluster.admin("GB-LON").await;
    assert_eq!(london.finds(NAME).await.len(), 1, "London cannot know yet");

    cluster.rejoin("GB-LON");
    cluster
        .eventually("London has confirmed", async || copies(&home, &id).await == all("scrubbed"))
        .await;
    assert_eq!(london.finds(NAME).await.len(), 0);
    assert_eq!(traces(&cluster.path("GB-LON")), [""; 0]);
    cluster.assert_faults_fired();
}
