//! CSV as people have it: bad rows are named, good ones go in, twice is the same as once.

use std::{collections::BTreeMap, fs};

use serde_json::Value;
use yizhan_tests::{
    client::{Client, exit},
    cluster::{Cluster, FeedState, feeds},
};

use crate::people::{demo_data, scratch, text};

/// Rows of the table that the test takes; the home of some is this point's or a hosted one's.
const ROWS: usize = 12;

/// A members table of rows that are good, but for the third and the fifth.
fn members_table(cluster: &Cluster) -> String {
    let table = fs::read_to_string(format!("{}/members.csv", demo_data())).expect("a table");
    let mut lines: Vec<String> = table.lines().take(ROWS + 1).map(str::to_owned).collect();
    let columns: Vec<&str> = table.lines().next().expect("a header").split(',').collect();
    let column = |name: &str| columns.iter().position(|column| *column == name).expect("a column");
    set_cell(&mut lines[3], column("joined_on"), "2021-13-45");
    set_cell(&mut lines[5], column("state"), "asleep");
    let directory = scratch(cluster).join("tables");
    fs::create_dir_all(&directory).expect("a directory");
    fs::write(directory.join("members.csv"), lines.join("\n") + "\n").expect("a table");
    text(&directory)
}

fn set_cell(line: &mut String, column: usize, value: &str) {
    assert!(!line.contains('"'), "a plain row: {line}");
    let mut cells: Vec<&str> = line.split(',').collect();
    cells[column] = value;
    *line = cells.join(",");
}

/// Row and field of every rejected row; each says why.
fn rejected(report: &Value) -> Vec<(u64, &str)> {
    let rows = report["rejected"].as_array().expect("rejected");
    let read = |row: &'_ Value| {
        for key in ["reason", "message"] {
            assert!(row[key].as_str().is_some_and(|text| !text.is_empty()), "{report}");
        }
        row["row"].as_u64().expect("a row")
    };
    rows.iter().map(|row| (read(row), row["field"].as_str().unwrap_or_default())).collect()
}

async fn states(client: &Client) -> BTreeMap<(String, String), FeedState> {
    feeds(&client.status().await)
}

#[tokio::test]
async fn bad_rows_are_named_and_good_ones_go_in_once() {
    let cluster = Cluster::found("CN-440000").await;
    let client = cluster.admin("CN-440000").await;
    client.ask(&["import", &format!("{}/points.csv", demo_data())]).await;
    let tables = members_table(&cluster);
    let at_first = states(&client).await;

    let dry = client.ask(&["import", &tables, "--dry-run"]).await;
    assert_eq!(states(&client).await, at_first, "a dry run writes nothing: {dry}");

    let report = client.ask(&["import", &tables]).await;
    assert_eq!(report["accepted"], dry["accepted"], "{dry} {report}");
    assert_eq!(report["accepted"], ROWS as u64 - 2, "{report}");
    let named = rejected(&report);
    let fields: Vec<&str> = named.iter().map(|(_, field)| *field).collect();
    assert_eq!(fields, ["joined_on", "state"], "{report}");
    assert_eq!(named[1].0 - named[0].0, 2, "{report}");

    let after = states(&client).await;
    assert_ne!(after, at_first);
    let again = client.ask(&["import", &tables]).await;
    assert_eq!((&again["accepted"], &again["unchanged"]), (&0.into(), &report["accepted"]));
    assert_eq!(again["rejected"], report["rejected"]);
    assert_eq!(states(&client).await, after, "the second run changes nothing");
}

#[tokio::test]
async fn what_is_not_imported_is_said() {
    let cluster = Cluster::found("CN-440000").await;
    let client = cluster.admin("CN-440000").await;
    let folder = scratch(&cluster).join("folder");
    fs::create_dir_all(&folder).expect("a directory");
    fs::copy(format!("{}/points.csv", demo_data()), folder.join("points.csv")).expect("points");
    let notes = folder.join("notes.csv");
    fs::write(&notes, "a,b\n1,2\n").expect("notes");

    let alone = client.run(&["import", &text(&notes)]).await.expect_code(exit::REFUSED).json();
    assert_eq!(alone["error"]["reason"], "FILE_NOT_READ");
    let named = &alone["error"]["fields"][0];
    assert_eq!((&named["field"], &named["reason"]), (&"notes.csv".into(), &"unknown_table".into()));

    let report = client.ask(&["import", &text(&folder)]).await;
    assert_eq!(report["ignored_files"], serde_json::json!(["notes.csv"]));
    assert_ne!(report["accepted"], 0);

    let bogus = ["import", &text(&folder), "--kind", "bogus"];
    let refused = client.run(&bogus).await.expect_code(exit::REFUSED).json();
    assert_eq!(refused["error"]["fields"][0]["field"], "kind");
}
