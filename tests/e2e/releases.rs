//! Names beside appearances rest on the speaker's release, wherever the event is and wherever the speaker
//! is at home.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;
use yizhan_tests::{client::Client, cluster::Cluster};

use crate::people::{demo_data, erase_by_two, scratch, text};

const EVENTS: &str = "CN-440000";
const SPEAKERS: &str = "CN-440100";
const TALKS: [&str; 2] = ["E-TALK-1", "E-TALK-4"];

/// Two talks of the reference data with those who speak there, and their consents without an end.
fn tables(cluster: &Cluster) -> String {
    let read = |name: &str| fs::read_to_string(Path::new(&demo_data()).join(name)).expect(name);
    let cell = |line: &str, at: usize| line.split(',').nth(at).unwrap_or_default().to_owned();
    let some = |table: &str, keep: &dyn Fn(&str) -> bool| -> String {
        let mut lines = table.lines();
        let header = lines.next().expect("a header");
        let kept = std::iter::once(header).chain(lines.filter(|line| keep(line)));
        kept.flat_map(|line| [line, "\n"]).collect()
    };
    let is_talk = |line: &str, at: usize| TALKS.contains(&cell(line, at).as_str());
    let appearances = some(&read("appearances.csv"), &|line| is_talk(line, 1));
    let speakers: BTreeSet<String> = appearances.lines().map(|line| cell(line, 2)).collect();
    let grants = some(&read("grants.csv"), &|line| {
        speakers.contains(&cell(line, 1)) && cell(line, 2) == "media.release"
    });
    let endless = |line: &str| {
        let mut cells: Vec<&str> = line.split(',').collect();
        if cells[0] != "grant_id" {
            cells[8] = "";
        }
        cells.join(",") + "\n"
    };
    let directory = scratch(cluster).join("tables");
    fs::create_dir_all(&directory).expect("a directory");
    for (name, text) in [
        ("points.csv", read("points.csv")),
        ("members.csv", some(&read("members.csv"), &|line| speakers.contains(&cell(line, 0)))),
        ("grants.csv", grants.lines().map(endless).collect()),
        ("series.csv", read("series.csv")),
        ("events.csv", some(&read("events.csv"), &|line| is_talk(line, 0))),
        ("event_hosts.csv", some(&read("event_hosts.csv"), &|line| is_talk(line, 0))),
        ("appearances.csv", appearances),
    ] {
        fs::write(directory.join(name), text).expect("a table");
    }
    text(&directory)
}

/// The speakers that the public event of a talk names.
async fn named(client: &Client, issue: u64) -> BTreeSet<String> {
    let talks = client.list(&["event", "list", "--series", "TALK"]).await;
    let Some(talk) = talks.iter().find(|talk| talk["issue"] == issue) else {
        return BTreeSet::new();
    };
    let event = client.ask(&["event", "get", talk["id"].as_str().expect("an id")]).await;
    let event = event.get("event").unwrap_or(&event);
    let speakers = event["appearances"].as_array().cloned().unwrap_or_default();
    let name = |speaker: &Value| speaker["display_names"]["zh-Hans"].as_str().map(str::to_owned);
    speakers.iter().filter_map(name).collect()
}

#[tokio::test]
async fn a_name_at_another_homes_event_goes_with_the_release_and_with_the_person() {
    let mut cluster = Cluster::found(EVENTS).await;
    cluster.join(SPEAKERS, EVENTS).await;
    let directory = tables(&cluster);
    for point in [SPEAKERS, EVENTS] {
        let report = cluster.admin(point).await.ask(&["import", &directory]).await;
        assert_eq!(report["rejected"].as_array().map(Vec::len), Some(0), "{report}");
    }
    let home = cluster.admin(SPEAKERS).await;
    let (here, there) = (cluster.visitor(EVENTS), cluster.visitor(SPEAKERS));
    let (withdrawn, erased) = ("李楚辉", "彭昌建");
    for (issue, name) in [(1, withdrawn), (4, erased)] {
        for client in [&here, &there] {
            let what = format!("talk {issue} names {name}");
            cluster.eventually(&what, async || named(client, issue).await.contains(name)).await;
        }
    }
    let before = (named(&here, 1).await.len(), named(&here, 4).await.len());
    let id = async |name: &str| {
        let found = home.list(&["member", "search", name, "--home", SPEAKERS]).await;
        found[0]["id"].as_str().expect("an id").to_owned()
    };
    let (first, second) = (id(withdrawn).await, id(erased).await);
    home.ask(&["member", "withdraw", &first, "--purpose", "media.release"]).await;
    for client in [&here, &there] {
        let gone = async || !named(client, 1).await.contains(withdrawn);
        cluster.eventually("the name is gone from the other home's event", gone).await;
    }
    // Nobody else's is.
    assert_eq!(named(&here, 1).await.len(), before.0 - 1);
    assert_eq!(named(&here, 4).await.len(), before.1);

    erase_by_two(&cluster, SPEAKERS, &second).await;
    for client in [&here, &there] {
        let gone = async || !named(client, 4).await.contains(erased);
        cluster.eventually("and with the person", gone).await;
    }
    // Whoever works on the event finds nobody's id either; the appearance stays counted.
    let talks = cluster.admin(EVENTS).await.list(&["event", "list", "--series", "TALK"]).await;
    let talk = talks.iter().find(|talk| talk["issue"] == 4).expect("the talk");
    let plan = cluster.admin(EVENTS).await.ask(&["event", "get", word(talk, "id")]).await;
    assert!(!plan.to_string().contains(&second), "{plan}");
    // A file that is brought in again takes nothing back.
    cluster.admin(EVENTS).await.ask(&["import", &directory]).await;
    assert!(!named(&here, 1).await.contains(withdrawn));
}

fn word<'a>(document: &'a Value, key: &str) -> &'a str {
    document[key].as_str().unwrap_or_else(|| panic!("no {key} in {document}"))
}
