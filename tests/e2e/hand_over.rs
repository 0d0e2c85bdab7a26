//! A point that was hosted gets a node of its own, and its records go with it.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;
use yizhan_tests::{
    client::{Client, exit},
    cluster::Cluster,
    mail::{Letter, MailServer},
    postgres::Postgres,
    waiting::eventually,
};

use crate::people::{NETWORK_PURPOSE, demo_data, document, scratch, text, traces};

const HOST: &str = "CN-440000";
const POINT: &str = "CN-440300";
/// The name of letters of every member who has not consented to anything.
const PRIVATE_NAME: &str = "Zong Clandestinely";
const PRIVATE_MARK: &str = "clandestinel";
const POINT_REGION: &str = "440300";
const CLIENT: &str = "somebody@example.org";
const QUESTION: &str = "where to live near the new office";
/// A first copy of everything, 12 letters and a few seconds of looking around, on a busy machine.
const MOVED_WITHIN: std::time::Duration = std::time::Duration::from_secs(90);

/// The tables of the reference data, of which this point's members alone.
fn tables(cluster: &Cluster) -> String {
    let read = |name: &str| fs::read_to_string(Path::new(&demo_data()).join(name)).expect(name);
    let cell = |line: &str, at: usize| line.split(',').nth(at).unwrap_or_default().to_owned();
    let some = |table: &str, keep: &dyn Fn(&str) -> bool| -> String {
        let mut lines = table.lines();
        let header = lines.next().expect("a header");
        let kept = std::iter::once(header).chain(lines.filter(|line| keep(line)));
        kept.flat_map(|line| [line, "\n"]).collect()
    };
    let members = some(&read("members.csv"), &|line| cell(line, 1) == POINT);
    let ids: BTreeSet<String> = members.lines().map(|line| cell(line, 0)).collect();
    let grants = some(&read("grants.csv"), &|line| ids.contains(&cell(line, 1)));
    let shown: BTreeSet<String> = grants.lines().map(|line| cell(line, 1)).collect();
    // Whoever has given no consent gets a name that nobody else has: nobody but the home may know it.
    let marked = |line: &str| -> String {
        let mut cells: Vec<&str> = line.split(',').collect();
        if cells[0] != "member_id" && !shown.contains(cells[0]) {
            cells[10] = PRIVATE_NAME;
        }
        cells.join(",")
    };
    let members: Vec<String> = members.lines().map(marked).collect();
    assert!(members.iter().any(|line| line.contains(PRIVATE_NAME)), "somebody without consent");
    let members = members.join("\n");
    let directory = scratch(cluster).join("tables");
    fs::create_dir_all(&directory).expect("a directory");
    for (name, text) in
        [("points.csv", read("points.csv")), ("members.csv", members), ("grants.csv", grants)]
    {
        fs::write(directory.join(name), text).expect("a table");
    }
    text(&directory)
}

async fn hosting_network() -> Cluster {
    hosting_network_on("sqlite:").await
}

async fn hosting_network_on(database: &str) -> Cluster {
    let mut cluster = Cluster::found_on(HOST, database).await;
    cluster.join("GB-LON", HOST).await;
    let report = cluster.admin(HOST).await.ask(&["import", &tables(&cluster)]).await;
    assert_eq!(report["rejected"].as_array().map(Vec::len), Some(0), "{report}");
    cluster.agree().await;
    let kept = private_rows(&cluster.admin(HOST).await).await;
    assert!(kept > Some(0), "the host keeps the point's home records: {kept:?}");
    cluster
}

/// Members of the point as `client` finds them: id and audience.
async fn members(client: &Client) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let found = client.list(&["member", "search", "--home", POINT]).await;
    let mut found: Vec<_> =
        found.iter().map(|item| (text(&item["id"]), text(&item["audience"]))).collect();
    found.sort();
    found
}

/// Home records of the point that a node holds; none where it does not list the feed.
async fn private_rows(client: &Client) -> Option<u64> {
    let status = client.status().await;
    let feeds = status["feeds"].as_array().expect("feeds");
    let home = feeds.iter().find(|feed| feed["home"] == POINT && feed["audience"] == "home")?;
    home["live"].as_u64()
}

async fn has_moved_in(client: &Client) -> bool {
    let status = client.status().await;
    let recovery = &status["recovery"];
    recovery["unmarked"] == false && recovery["reconciling"] == false
}

/// Everything that the host knew is at the point's own node, and nobody else writes it.
async fn assert_moved(cluster: &Cluster, before: &[(String, String)], shown: &[(String, String)]) {
    let own = cluster.admin(POINT).await;
    eventually("the point has its records", MOVED_WITHIN, async || has_moved_in(&own).await).await;
    assert_eq!(members(&own).await, before, "every home record, and no other");
    cluster.agree().await;
    let (host, london) = (cluster.admin(HOST).await, cluster.admin("GB-LON").await);
    assert_eq!(members(&london).await, shown, "cards are where they were");

    // A home field, a change, a withdrawal: all of it at the new node, none of it at the old one.
    let (id, _) = &shown[0];
    let member = own.ask(&["member", "get", id]).await;
    assert!(member["phone"].is_string(), "{member}");
    let change = serde_json::json!({"expertise": ["photonics_test"]});
    let file = document(cluster, "changed.json", &change);
    host.refused(&["member", "update", id, "--file", &file]).await;
    host.refused(&["member", "withdraw", id, "--purpose", NETWORK_PURPOSE]).await;
    own.ask(&["member", "update", id, "--file", &file]).await;
    let finds = async |client: &Client| {
        let found =
            client.list(&["member", "search", "--home", POINT, "--field", "photonics_test"]);
        found.await.len()
    };
    eventually("London has the change", MOVED_WITHIN, async || finds(&london).await == 1).await;
    own.ask(&["member", "withdraw", id, "--purpose", NETWORK_PURPOSE]).await;
    eventually("London has lost the card", MOVED_WITHIN, async || finds(&london).await == 0).await;

    eventually("the host keeps nothing private", MOVED_WITHIN, async || {
        private_rows(&host).await.is_none_or(|rows| rows == 0)
    })
    .await;
    cluster.agree().await;
    for point in [HOST, "GB-LON", POINT] {
        cluster.yizhand("verify", point, &[]).await.expect_code(exit::DONE);
    }
}

/// What the node of the former host says of the hand-over.
async fn hand_over_state(host: &Client) -> String {
    let status = host.status().await;
    let all = status["hand_overs"].as_array().cloned().unwrap_or_default();
    let of_point = all.iter().find(|one| one["home"] == POINT);
    of_point.and_then(|one| one["state"].as_str()).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_former_host_keeps_no_byte_of_what_only_the_point_may_know() {
    let mut cluster = hosting_network().await;
    let marks = [PRIVATE_MARK.to_owned()];
    let files = cluster.path(HOST);
    assert!(!traces(&files, &marks).is_empty(), "the host knows it");
    let host = cluster.admin(HOST).await;
    assert_eq!(hand_over_state(&host).await, "");

    cluster.join(POINT, HOST).await;
    eventually("the host has cleared it away", MOVED_WITHIN, async || {
        hand_over_state(&host).await == "cleared"
    })
    .await;
    assert_eq!(traces(&files, &marks), [""; 0], "tables, index and log");
    assert!(!traces(&cluster.path(POINT), &marks).is_empty(), "the point has it");
    // A crash and another start change nothing about that.
    cluster.kill(HOST).await;
    cluster.start(HOST).await;
    let host = cluster.admin(HOST).await;
    assert_eq!(hand_over_state(&host).await, "cleared");
    assert_eq!(traces(&files, &marks), [""; 0]);
    cluster.yizhand("verify", HOST, &[]).await.expect_code(exit::DONE);
}

/// Asks for help where the point answers; reference and code.
async fn ask_for_help(cluster: &Cluster, at: &str) -> (String, String) {
    let mut call = vec!["help", "submit", "--category", "housing", "--region", POINT_REGION];
    call.extend(["--country", "CN", "--lang", "en", "--text", QUESTION, "--contact", CLIENT]);
    let asked = cluster.visitor(at).ask(&call).await;
    assert_eq!(asked["owner"], POINT, "{asked}");
    let word = |key: &str| asked[key].as_str().expect("a word").to_owned();
    (word("reference"), word("code"))
}

#[tokio::test]
async fn whoever_asked_where_a_point_was_hosted_is_led_to_its_own_node() {
    let mut cluster = hosting_network().await;
    let host = cluster.admin(HOST).await;
    let (reference, code) = ask_for_help(&cluster, HOST).await;
    let track = ["help", "track", &reference, "--code", &code];
    for at in [HOST, "GB-LON"] {
        assert_eq!(cluster.visitor(at).ask(&track).await["owner"], POINT, "at {at}");
    }

    cluster.join(POINT, HOST).await;
    let visitor = cluster.visitor(HOST);
    eventually("the host has cleared it away", MOVED_WITHIN, async || {
        // Meanwhile nobody is told that there is no such request.
        let answer = visitor.run(&track).await.json();
        assert_ne!(answer["error"]["reason"], "NOT_FOUND", "{answer}");
        hand_over_state(&host).await == "cleared"
    })
    .await;
    for at in [HOST, "GB-LON", POINT] {
        assert_eq!(cluster.visitor(at).ask(&track).await["owner"], POINT, "at {at}");
    }
    let (_, other) = ask_for_help(&cluster, HOST).await;
    let wrong = ["help", "track", &reference, "--code", &other];
    assert_eq!(cluster.visitor("GB-LON").refused(&wrong).await, "NOT_FOUND");

    // Whatever is written there reaches the point, whose desk opens it.
    let reply = ["help", "reply", &reference, "--code", &code, "--text", "a word from afar"];
    cluster.visitor("GB-LON").ask(&reply).await;
    let opened = cluster.admin(POINT).await.ask(&["desk", "show", &reference]).await;
    assert_eq!(opened["content"]["text"], QUESTION, "{opened}");
    let messages = opened["messages"].as_array().cloned().unwrap_or_default();
    assert!(messages.iter().any(|one| one["text"] == "a word from afar"), "{opened}");
    assert_eq!(host.refused(&["desk", "show", &reference]).await, "NOT_FOUND");
    for point in [HOST, POINT] {
        cluster.yizhand("verify", point, &[]).await.expect_code(exit::DONE);
    }
}

#[tokio::test]
async fn nobody_is_written_to_again_because_a_point_has_a_node_of_its_own() {
    let mail = MailServer::start().await;
    let mut cluster = hosting_network().await;
    cluster.stop(HOST).await;
    cluster.start_with(HOST, &mail.settings()).await;
    let (reference, _) = ask_for_help(&cluster, HOST).await;
    let host = cluster.admin(HOST).await;
    let reply = ["desk", "reply", &reference, "--text", "ask the housing office"];
    host.ask(&reply).await;
    let answers = || {
        let is_one = |letter: &&Letter| letter.text.contains("There is an answer for you");
        mail.letters().iter().filter(is_one).count()
    };
    eventually("the client is told", MOVED_WITHIN, async || answers() == 1).await;

    cluster.join(POINT, HOST).await;
    eventually("the host has cleared it away", MOVED_WITHIN, async || {
        hand_over_state(&host).await == "cleared"
    })
    .await;
    cluster.stop(POINT).await;
    cluster.start_with(POINT, &mail.settings()).await;
    cluster.admin(POINT).await.ask(&reply).await;
    eventually("the client is told of that", MOVED_WITHIN, async || answers() > 1).await;
    assert_eq!(answers(), 2, "{:?}", mail.letters());
    assert!(mail.letters().iter().all(|letter| letter.to == CLIENT));
}

#[tokio::test]
async fn a_point_on_sqlite_leaves_a_host_on_postgresql() {
    hand_over_between(&Postgres::database().await, "sqlite:").await;
}

#[tokio::test]
async fn a_point_on_postgresql_leaves_a_host_on_sqlite() {
    hand_over_between("sqlite:", &Postgres::database().await).await;
}

async fn hand_over_between(host_database: &str, own_database: &str) {
    let mut cluster = hosting_network_on(host_database).await;
    let (host, london) = (cluster.admin(HOST).await, cluster.admin("GB-LON").await);
    let (before, shown) = (members(&host).await, members(&london).await);
    cluster.join_on(POINT, HOST, own_database).await;
    assert_moved(&cluster, &before, &shown).await;
    eventually("the host has cleared it away", MOVED_WITHIN, async || {
        hand_over_state(&host).await == "cleared"
    })
    .await;
}

#[tokio::test]
async fn a_hosted_point_takes_its_records_along_to_its_own_node() {
    let mut cluster = hosting_network().await;
    let (host, london) = (cluster.admin(HOST).await, cluster.admin("GB-LON").await);
    let (before, shown) = (members(&host).await, members(&london).await);
    assert!(before.len() > shown.len() && !shown.is_empty(), "{} {}", before.len(), shown.len());

    cluster.join(POINT, HOST).await;
    assert_eq!(members(&london).await, shown, "found while it moves");
    assert_moved(&cluster, &before, &shown).await;
}

#[tokio::test]
async fn a_hand_over_survives_kills_on_both_sides() {
    let mut cluster = hosting_network().await;
    let (host, london) = (cluster.admin(HOST).await, cluster.admin("GB-LON").await);
    let (before, shown) = (members(&host).await, members(&london).await);

    cluster.join(POINT, HOST).await;
    for pause_ms in [0, 300, 900] {
        for point in [HOST, POINT] {
            tokio::time::sleep(std::time::Duration::from_millis(pause_ms)).await;
            cluster.kill(point).await;
            cluster.start(point).await;
        }
    }
    assert_moved(&cluster, &before, &shown).await;
}
