//! A request that went from London to Guangzhou, with copies at a deputy point, up to the day on which its
//! owner's rule takes everything out of it: nothing stays at any node, not even sealed.

use std::fs;

use prost::Message;
use serde_json::Value;
use sqlx::Connection;
use yizhan_proto::v1;
use yizhan_tests::{client::Client, cluster::Cluster, waiting::eventually};

use crate::people::{scratch, text};

const PROVINCE: &str = "CN-440000";
const GUANGZHOU: &str = "CN-440100";
const LONDON: &str = "GB-LON";
/// Not above the others, and the first of the alphabet: keeps the copies of both.
const SYDNEY: &str = "AU-SYD";
const ALL: [&str; 4] = [PROVINCE, GUANGZHOU, LONDON, SYDNEY];

/// Summaries and reasons are written in clear, for those who decide.
const SUMMARY: &str = "wqzkmarker needs a lawyer";
const DECLINED: &str = "wqzkmarker of another town";
/// The job looks every ten seconds, and a word follows to each point on the way.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(90);

fn word<'a>(document: &'a Value, key: &str) -> &'a str {
    document[key].as_str().unwrap_or_else(|| panic!("no {key} in {document}"))
}

async fn four() -> Cluster {
    let mut cluster = Cluster::found(PROVINCE).await;
    for point in [GUANGZHOU, LONDON, SYDNEY] {
        cluster.join(point, PROVINCE).await;
    }
    for point in ALL {
        let client = cluster.admin(point).await;
        cluster
            .eventually("the roster is everywhere", async || {
                let feeds = client.status().await["feeds"].as_array().cloned().unwrap_or_default();
                feeds.iter().any(|feed| {
                    feed["audience"] == "roster" && feed["sequence"].as_u64().unwrap_or(0) >= 4
                })
            })
            .await;
    }
    cluster
}

/// All values of one column of bytes, as a node's tables hold them now.
async fn column(cluster: &Cluster, point: &str, sql: &'static str) -> Vec<Vec<u8>> {
    let file = cluster.path(point).join("yizhan.db");
    sqlx::any::install_default_drivers();
    let address = format!("sqlite:{}?mode=ro", file.display());
    let mut db = sqlx::AnyConnection::connect(&address).await.expect("the node's tables");
    sqlx::query_scalar(sql).fetch_all(&mut db).await.expect("a column")
}

/// So many bytes of the middle, that occur nowhere else.
fn needle(bytes: &[u8]) -> Vec<u8> {
    assert!(bytes.len() >= 48, "{} bytes", bytes.len());
    bytes[bytes.len() / 2 - 16..][..32].to_vec()
}

/// What is sealed of the requests that a node owns: content, keys, messages, pieces of files.
async fn sealed_at(cluster: &Cluster, point: &str) -> Vec<(String, Vec<u8>)> {
    let mut needles = Vec::new();
    let requests = "select r.payload from records r join help_requests h on h.position = r.position
                    where h.state > 0";
    for payload in column(cluster, point, requests).await {
        let request = v1::HelpRequest::decode(&payload[..]).expect("a request");
        needles.push((format!("content at {point}"), needle(&request.content)));
        needles.push((format!("keys at {point}"), needle(&request.wrap)));
    }
    let messages =
        "select r.payload from records r join help_messages m on m.position = r.position";
    for payload in column(cluster, point, messages).await {
        let message = v1::HelpMessage::decode(&payload[..]).expect("a message");
        needles.push((format!("message at {point}"), needle(&message.sealed)));
    }
    for sealed in column(cluster, point, "select sealed from attachment_pieces").await {
        needles.push((format!("file at {point}"), needle(&sealed)));
    }
    needles
}

/// Which of these bytes are in any file of a node, the log of the database included.
fn found(cluster: &Cluster, point: &str, needles: &[(String, Vec<u8>)]) -> Vec<String> {
    let mut found = Vec::new();
    let mut below = vec![cluster.path(point)];
    while let Some(directory) = below.pop() {
        for entry in fs::read_dir(&directory).expect("a directory").flatten() {
            let path = entry.path();
            if path.is_dir() {
                below.push(path);
                continue;
            }
            let Ok(bytes) = fs::read(&path) else { continue };
            for (name, needle) in needles {
                if bytes.windows(needle.len()).any(|window| window == needle) {
                    found.push(format!("{name} in {}", path.display()));
                }
            }
        }
    }
    found
}

async fn until(cluster: &Cluster, desk: &Client, id: &str, state: &str) {
    cluster
        .eventually(&format!("the handoff is {state}"), async || {
            let all = desk.list(&["desk", "handoffs", "--ended"]).await;
            all.iter().any(|one| one["handoff"] == id && one["state"] == state)
        })
        .await;
}

#[tokio::test]
async fn when_its_time_is_over_nothing_of_a_passed_request_stays_at_any_node() {
    let mut cluster = four().await;
    let folder = scratch(&cluster).join("files");
    fs::create_dir_all(&folder).unwrap();
    let note = folder.join("note.txt");
    fs::write(&note, "the contract, page by page. ".repeat(5_000)).unwrap();
    let file = text(&note);
    let mut call = vec!["help", "submit", "--category", "legal", "--country", "GB"];
    call.extend(["--city", "GBLON", "--lang", "en", "--text", "a lease", "--attach", &file]);
    let asked = cluster.visitor(LONDON).ask(&call).await;
    let (reference, code) = (word(&asked, "reference"), word(&asked, "code"));
    let london = cluster.admin(LONDON).await;
    london.ask(&["desk", "note", reference, "--text", "seen before"]).await;
    london.ask(&["desk", "reply", reference, "--text", "we look for somebody"]).await;
    let mut needles = sealed_at(&cluster, LONDON).await;
    assert!(needles.len() >= 6, "content, keys, two messages, a file: {needles:?}");

    // One declines, the next takes it.
    let consent = ["help", "consent", reference, "--code", code];
    let offer = async |to: &str| {
        let offer = ["desk", "handoff", reference, "--to", to, "--summary", SUMMARY];
        let offered = london.ask(&offer).await;
        cluster.visitor(LONDON).ask(&consent).await;
        word(&offered, "handoff").to_owned()
    };
    let first = offer(SYDNEY).await;
    let sydney = cluster.admin(SYDNEY).await;
    until(&cluster, &sydney, &first, "offered").await;
    sydney.ask(&["desk", "decline", &first, "--reason", DECLINED]).await;
    until(&cluster, &london, &first, "declined").await;
    let second = offer(GUANGZHOU).await;
    let guangzhou = cluster.admin(GUANGZHOU).await;
    until(&cluster, &guangzhou, &second, "offered").await;
    guangzhou.ask(&["desk", "accept", &second]).await;
    cluster
        .eventually("request, messages and file are in Guangzhou", async || {
            let kept = column(&cluster, GUANGZHOU, "select sealed from attachment_pieces").await;
            let messages = "select r.payload from records r
                            join help_messages m on m.position = r.position";
            kept.len() == 3 && column(&cluster, GUANGZHOU, messages).await.len() == 2
        })
        .await;
    let reply = ["help", "reply", reference, "--code", code, "--text", "thank you"];
    cluster.visitor(LONDON).ask(&reply).await;
    needles.extend(sealed_at(&cluster, GUANGZHOU).await);
    needles.push(("summary".into(), SUMMARY.into()));
    needles.push(("reason".into(), DECLINED.into()));
    guangzhou.ask(&["desk", "resolve", reference, "--outcome", "advised"]).await;
    cluster
        .eventually("Sydney keeps the sealed copy", async || {
            let copies = "select payload from help_copies where home = 'CN-440100' and kind = 11";
            column(&cluster, SYDNEY, copies).await.len() == 1
        })
        .await;
    // The control: what is searched for can be found.
    for point in [LONDON, GUANGZHOU, SYDNEY] {
        assert!(!found(&cluster, point, &needles).is_empty(), "{point} has had something of it");
    }
    let figures = guangzhou.ask(&["desk", "figures"]).await;

    // The rule of the owner: at once, and nothing is announced before.
    cluster.stop(GUANGZHOU).await;
    let settings = cluster.path(GUANGZHOU).join("yizhan.toml");
    let mut rule = fs::read_to_string(&settings).unwrap_or_default();
    for name in ["help_close_days", "help_files_days", "help_anonymise_days", "help_ahead_days"] {
        rule.push_str(&format!("\n{name} = 0\n"));
    }
    fs::write(&settings, rule).unwrap();
    cluster.start(GUANGZHOU).await;
    // A key is used for an hour, and kept so long; after a start there is another.
    cluster.stop(LONDON).await;
    cluster.start(LONDON).await;
    for point in ALL {
        let mut left = Vec::new();
        eventually(&format!("nothing of it is at {point}"), PATIENCE, async || {
            let now = found(&cluster, point, &needles);
            if now != left {
                // Shown by the test runner if the wait fails.
                eprintln!("still at {point}: {now:#?}");
                left = now;
            }
            left.is_empty()
        })
        .await;
    }
    for (point, what) in [
        (LONDON, "select payload from records where kind in (30, 31, 32) and removed = 0"),
        (SYDNEY, "select payload from help_copies where kind in (30, 31)"),
        (GUANGZHOU, "select payload from records where kind in (30, 31) and removed = 0"),
    ] {
        let left = column(&cluster, point, what).await;
        assert!(left.is_empty(), "{} records at {point}", left.len());
    }
    for point in ALL {
        let track = ["help", "track", reference, "--code", code];
        assert_eq!(cluster.visitor(point).refused(&track).await, "NOT_FOUND", "at {point}");
    }
    // What is counted stays.
    let guangzhou = cluster.admin(GUANGZHOU).await;
    let after = guangzhou.ask(&["desk", "figures"]).await;
    let counts = |figures: &Value| figures["points"][0]["cells"][0]["count"].clone();
    assert_eq!((counts(&after), counts(&figures)), ("1".into(), "1".into()));
    let queue = guangzhou.list(&["desk", "queue", "--state", "closed"]).await;
    assert_eq!(word(&queue[0], "outcome"), "advised");
}
