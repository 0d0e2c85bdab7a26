//! Promises that were not kept, on real nodes whose clocks are set ahead: who hears of it, and what.

use serde_json::{Value, json};
use yizhan_tests::{client::Client, cluster::Cluster};

use crate::people::document;

const PROVINCE: &str = "CN-440000";
const GUANGZHOU: &str = "CN-440100";
const LONDON: &str = "GB-LON";
/// Stand in what only the client and its handlers may read.
const MARK: &str = "zhqvmarker-text";
const CONTACT: &str = "zhqvmarker@example.org";

fn word<'a>(document: &'a Value, key: &str) -> &'a str {
    document[key].as_str().unwrap_or_else(|| panic!("no {key} in {document}"))
}

/// A province with Guangzhou and London below it, whose desks never close.
pub async fn always_open() -> Cluster {
    let mut cluster = Cluster::found(PROVINCE).await;
    cluster.join(GUANGZHOU, PROVINCE).await;
    cluster.join(LONDON, PROVINCE).await;
    for (point, short, region, tz, name) in [
        (GUANGZHOU, "GZ", "440100", "Asia/Shanghai", "Guangzhou"),
        (LONDON, "LON", "GBLON", "Europe/London", "London"),
    ] {
        let prefix = if point == LONDON { "GB" } else { "4401" };
        let entry = json!({
            "code": point, "short": short, "kind": "city", "state": "active",
            "names": {"zh-Hans": name, "en": name}, "region_code": region,
            "registered_region": region, "parent": PROVINCE, "tz": tz, "areas": [{"prefix": prefix}],
            "hours": [{"days": [1, 2, 3, 4, 5, 6, 7], "open": "00:00", "close": "24:00"}],
            "opened_on": "2020-01-05",
        });
        let file = document(&cluster, "point.json", &entry);
        cluster.admin(point).await.ask(&["point", "create", "--file", &file]).await;
    }
    for point in [PROVINCE, GUANGZHOU, LONDON] {
        let client = cluster.admin(point).await;
        cluster
            .eventually("the directory is everywhere", async || {
                client.list(&["point", "list"]).await.len() >= 2
            })
            .await;
    }
    cluster
}

/// Somebody in London is in need; reference and code.
async fn asked(cluster: &Cluster) -> (String, String) {
    let mut call = vec!["help", "submit", "--category", "wellbeing", "--country", "GB"];
    call.extend(["--city", "GBLON", "--lang", "en", "--urgency", "emergency"]);
    call.extend(["--text", MARK, "--contact", CONTACT, "--name", MARK]);
    let asked = cluster.visitor(LONDON).ask(&call).await;
    assert_eq!(word(&asked, "owner"), LONDON);
    (word(&asked, "reference").to_owned(), word(&asked, "code").to_owned())
}

/// The node runs on with a clock that is ahead.
async fn set_ahead(cluster: &mut Cluster, point: &str, hours: u32) {
    cluster.stop(point).await;
    cluster.start_ahead(point, hours).await;
}

/// What a desk is shown of points below it.
async fn escalations(desk: &Client) -> Vec<Value> {
    let queue = desk.ask(&["desk", "queue"]).await;
    queue["escalations"].as_array().cloned().unwrap_or_default()
}

async fn level(desk: &Client, reference: &str) -> i64 {
    let queue = desk.list(&["desk", "queue"]).await;
    let found = queue.iter().find(|one| one["reference"] == reference);
    found.and_then(|one| one["escalation"].as_i64()).unwrap_or(-1)
}

/// The clock of a kind of what is shown with clocks.
fn clock<'a>(shown: &'a Value, kind: &str) -> &'a Value {
    let clocks = shown["clocks"].as_array().expect("clocks");
    clocks.iter().find(|clock| clock["kind"] == kind).unwrap_or_else(|| panic!("{kind} in {shown}"))
}

fn on_disk(cluster: &Cluster, point: &str, marks: &[&str]) -> bool {
    let mut folders = vec![cluster.path(point)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap_or_default();
            let has = |mark: &&str| bytes.windows(mark.len()).any(|part| part == mark.as_bytes());
            if marks.iter().any(has) {
                return true;
            }
        }
    }
    false
}

#[tokio::test]
async fn nobody_answers_and_the_supervisor_hears_of_it_and_then_the_parent_point() {
    let mut cluster = always_open().await;
    let (reference, code) = asked(&cluster).await;
    let parent = cluster.admin(PROVINCE).await;

    // An hour was promised.
    set_ahead(&mut cluster, LONDON, 1).await;
    let london = cluster.admin(LONDON).await;
    cluster
        .eventually("the supervisor is shown it", async || level(&london, &reference).await == 1)
        .await;
    let queue = london.list(&["desk", "queue"]).await;
    let promised = clock(&queue[0], "first_response");
    assert!(promised["breached_at"].is_string() && promised["met_at"].is_null(), "{promised}");
    assert_eq!(escalations(&parent).await, [Value::Null; 0], "London has an hour more");

    set_ahead(&mut cluster, LONDON, 4).await;
    let london = cluster.admin(LONDON).await;
    cluster
        .eventually("the parent point is shown it", async || !escalations(&parent).await.is_empty())
        .await;
    assert_eq!(level(&london, &reference).await, 2);
    let all = escalations(&parent).await;
    assert_eq!(all.len(), 1, "once, however often it is looked: {all:?}");
    let told = [("owner", LONDON), ("reference", &reference), ("category", "wellbeing")];
    let told = [&told[..], &[("urgency", "emergency"), ("clock", "first_response")]].concat();
    for (key, value) in told {
        assert_eq!(word(&all[0], key), value);
    }
    assert!(all[0]["due_at"].is_string(), "{all:?}");

    // Clocks and category, and no word: neither shown, nor opened, nor in any file.
    assert_eq!(parent.refused(&["desk", "show", &reference]).await, "NOT_FOUND");
    let shown = format!("{}", parent.ask(&["desk", "queue"]).await);
    for mark in [MARK, CONTACT, code.as_str()] {
        assert!(!shown.contains(mark), "{mark} in {shown}");
    }
    assert!(!on_disk(&cluster, PROVINCE, &[MARK, CONTACT, &code]));

    london.ask(&["desk", "reply", &reference, "--text", "we are on our way"]).await;
    cluster
        .eventually("the parent point is told that it is over", async || {
            escalations(&parent).await.is_empty()
        })
        .await;
}

#[tokio::test]
async fn the_time_that_a_client_takes_to_answer_counts_for_nobody() {
    let mut cluster = always_open().await;
    let mut call = vec!["help", "submit", "--category", "legal", "--country", "GB"];
    call.extend(["--city", "GBLON", "--lang", "en", "--text", MARK]);
    let asked = cluster.visitor(LONDON).ask(&call).await;
    let (reference, code) = (word(&asked, "reference"), word(&asked, "code"));
    set_ahead(&mut cluster, LONDON, 2).await;
    let london = cluster.admin(LONDON).await;
    london.ask(&["desk", "reply", reference, "--text", "we look into it"]).await;
    let waits = london.ask(&["desk", "wait", reference, "--text", "since when?"]).await;
    assert!(clock(&waits, "first_response")["met_at"].is_string(), "{waits}");
    let spent = |shown: &Value| clock(shown, "resolution")["elapsed_minutes"].as_i64().unwrap();
    let before = spent(&waits);
    assert!((120..125).contains(&before), "{waits}");

    // A day and more passes; nobody is late.
    set_ahead(&mut cluster, LONDON, 28).await;
    let reply = ["help", "reply", reference, "--code", code, "--text", "since May"];
    assert_eq!(word(&cluster.visitor(LONDON).ask(&reply).await, "state"), "in_progress");
    let london = cluster.admin(LONDON).await;
    let queue = london.list(&["desk", "queue"]).await;
    let shown = queue.iter().find(|one| one["reference"] == reference).expect("it is open");
    assert_eq!(clock(shown, "resolution")["paused"], false, "{shown}");
    assert!((before..before + 5).contains(&spent(shown)), "it goes on: {shown}");
    assert!(clock(shown, "resolution")["breached_at"].is_null(), "{shown}");
    assert_eq!(level(&london, reference).await, 0);
}

#[tokio::test]
async fn an_offer_that_nobody_answers_in_time_ends_and_its_owner_goes_on() {
    let mut cluster = always_open().await;
    cluster.stop(LONDON).await;
    cluster.start_with(LONDON, &[("YIZHAN_HELP_OFFER_HOURS", "1".to_owned())]).await;
    let (reference, code) = asked(&cluster).await;
    let london = cluster.admin(LONDON).await;
    let guangzhou = cluster.admin(GUANGZHOU).await;
    let summary = "student in distress";
    let offer = ["desk", "handoff", &reference, "--to", GUANGZHOU, "--summary", summary];
    let id = word(&london.ask(&offer).await, "handoff").to_owned();
    cluster.visitor(LONDON).ask(&["help", "consent", &reference, "--code", &code]).await;
    let state = async |desk: &Client| {
        let all = desk.list(&["desk", "handoffs", "--ended"]).await;
        let found = all.into_iter().find(|one| one["handoff"] == id.as_str());
        found.map(|one| word(&one, "state").to_owned()).unwrap_or_default()
    };
    cluster.eventually("it is offered", async || state(&guangzhou).await == "offered").await;

    set_ahead(&mut cluster, LONDON, 2).await;
    let london = cluster.admin(LONDON).await;
    cluster.eventually("it is over", async || state(&london).await == "expired").await;
    cluster.eventually("and there, too", async || state(&guangzhou).await == "recalled").await;
    assert_eq!(guangzhou.refused(&["desk", "accept", &id]).await, "NOT_FOUND");
    let queue = london.list(&["desk", "queue"]).await;
    let shown = queue.iter().find(|one| one["reference"] == reference.as_str()).expect("London's");
    let first = clock(shown, "first_response");
    assert!(first["elapsed_minutes"].as_i64().unwrap() >= 120, "it has run on: {shown}");
    assert!(!on_disk(&cluster, GUANGZHOU, &[MARK, CONTACT]));
    london.ask(&offer).await;
}
