//! A byte that changes in a node's file is found and named.

use std::{fs, path::Path};

use serde_json::Value;
use sqlx::{Connection, Executor, SqliteConnection};
use yizhan_tests::{client::exit, cluster::Cluster};

use crate::people::{NETWORK_PURPOSE, person};

/// Written in capitals, as in a payload; an index keeps words in small letters.
const NAME: &str = "Bitrotten";

async fn london_with_a_card_stopped() -> Cluster {
    let mut cluster = Cluster::found("CN-440000").await;
    cluster.join("GB-LON", "CN-440000").await;
    let guangdong = cluster.admin("CN-440000").await;
    let london = cluster.admin("GB-LON").await;
    person(NAME).create_shown(&cluster, &guangdong).await;
    cluster.eventually("London has the card", async || london.finds(NAME).await.len() == 1).await;
    assert_eq!(cluster.stop("GB-LON").await.code(), Some(exit::DONE));
    cluster.yizhand("verify", "GB-LON", &[]).await.expect_code(exit::DONE);
    cluster
}

fn feeds_named(report: &Value) -> Vec<&str> {
    let items = report["items"].as_array().expect("items");
    items.iter().filter_map(|item| item["feed"].as_str()).collect()
}

async fn assert_named(cluster: &Cluster) {
    let report = cluster.yizhand("verify", "GB-LON", &[]).await.expect_code(exit::REFUSED).json();
    let named = feeds_named(&report);
    assert!(named.iter().any(|feed| feed.contains("CN-440000")), "{report}");
    assert!(named.iter().all(|feed| !feed.contains("GB-LON")), "unharmed: {report}");
}

#[tokio::test]
async fn a_payload_altered_by_sql_is_named_by_its_feed() {
    let cluster = london_with_a_card_stopped().await;
    let file = cluster.path("GB-LON").join("yizhan.db");
    let address = format!("sqlite:{}", file.display());
    let mut db = SqliteConnection::connect(&address).await.expect("a database");
    let alter = "update records set payload = cast(replace(cast(payload as text), \
                 'Bitrotten', 'Bitrotted') as blob) where instr(payload, cast('Bitrotten' as blob)) > 0";
    let altered = db.execute(alter).await.expect("an update").rows_affected();
    assert_eq!(altered, 1);
    db.close().await.expect("closed");
    assert_named(&cluster).await;
}

#[tokio::test]
async fn one_flipped_bit_in_the_file_is_named_by_its_feed() {
    let cluster = london_with_a_card_stopped().await;
    flip_a_bit(&cluster.path("GB-LON").join("yizhan.db"), NAME.as_bytes());
    assert_named(&cluster).await;
}

#[tokio::test]
async fn a_damaged_copy_is_fetched_anew_and_its_home_is_not_blamed() {
    let mut cluster = london_with_a_card_stopped().await;
    flip_a_bit(&cluster.path("GB-LON").join("yizhan.db"), NAME.as_bytes());
    cluster.start("GB-LON").await;
    let guangdong = cluster.admin("CN-440000").await;
    let id = guangdong.finds(NAME).await[0]["id"].as_str().expect("an id").to_owned();
    // What replaces the row is held against what lies there.
    guangdong.ask(&["member", "withdraw", &id, "--purpose", NETWORK_PURPOSE]).await;
    cluster.agree().await;
    assert!(cluster.log("GB-LON").contains("fetched anew"), "the damage was met");
    let london = cluster.admin("GB-LON").await;
    assert!(london.finds(NAME).await.is_empty(), "withdrawn");
    let status = london.status().await;
    let feeds = status["feeds"].as_array().expect("feeds");
    assert!(feeds.iter().all(|feed| feed["state"] != "frozen"), "{status}");
    cluster.yizhand("verify", "GB-LON", &[]).await.expect_code(exit::DONE);
}

fn flip_a_bit(file: &Path, within: &[u8]) {
    let mut bytes = fs::read(file).expect("a database file");
    let places: Vec<usize> =
        (0..bytes.len()).filter(|at| bytes[*at..].starts_with(within)).collect();
    assert!(!places.is_empty(), "the row lies in the file");
    for at in places {
        bytes[at + 2] ^= 1;
    }
    fs::write(file, bytes).expect("a database file");
}
