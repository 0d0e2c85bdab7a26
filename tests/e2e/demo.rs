//! The first of the two documented commands.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    time::timeout,
};
use yizhan_tests::{binaries, client};

/// What the association has said in public; counted, not stored.
const GOLDEN: [(&str, u64); 5] = [
    ("talks_held", 20),
    ("walks_held", 6),
    ("speakers_distinct", 39),
    ("cohost_cities", 6),
    ("points", 12),
];
/// From the last answer to the end of the process; the grace for what is under way is ten.
const STOPPED_WITHIN: Duration = Duration::from_secs(5);

#[tokio::test]
async fn the_demo_prints_the_association_report_and_stops_at_once() {
    let mut command = Command::new(binaries::yizhand());
    command.args(["demo", "--once", "--output", "json"]);
    let answer = client::run(command).await.expect_code(client::exit::DONE);
    let report = answer.json();
    assert_eq!(report["report"], "association");
    for (id, value) in GOLDEN {
        let figures = report["figures"].as_array().expect("figures");
        let figure = figures.iter().find(|figure| figure["id"] == id);
        let figure = figure.unwrap_or_else(|| panic!("no {id} in {report}"));
        assert_eq!(figure["value"], value, "{figure}");
        assert_eq!(figure["basis"], "counted");
        assert!(figure["definition"].as_str().is_some_and(|text| !text.is_empty()), "{figure}");
    }
    let points = report["points"].as_array().expect("points");
    assert!(points.iter().all(|point| point["answered"] == true), "{report}");
    assert_eq!(report["digest"].as_str().map(str::len), Some(64));
    assert!(!answer.stderr.contains("did not stop in time"), "{}", answer.stderr);
}

#[tokio::test]
async fn the_demo_shows_its_report_to_people() {
    let mut command = Command::new(binaries::yizhand());
    command.args(["demo", "--once"]);
    let answer = client::run(command).await.expect_code(client::exit::DONE);
    let is_figure =
        |line: &str| line.split_whitespace().take(3).eq(["talks_held", "20", "counted"]);
    assert!(answer.stdout.lines().any(is_figure), "{answer:?}");
}

#[tokio::test]
async fn a_script_reads_where_the_demo_is_and_asks_it() {
    let home = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(binaries::yizhand());
    command.args(["demo", "--output", "json"]).stdout(Stdio::piped()).kill_on_drop(true);
    let mut demo = command.spawn().expect("the demo starts");
    let mut said = BufReader::new(demo.stdout.take().expect("piped")).lines();
    let line =
        timeout(client::ANSWERED_WITHIN, said.next_line()).await.expect("in time").expect("a pipe");
    let document: Value = serde_json::from_str(&line.expect("a line")).expect("a document");
    let nodes = document["nodes"].as_array().expect("nodes");
    assert_eq!(nodes.len(), 3, "{document}");
    let password = home.path().join("password");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    std::fs::write(&password, text(&document["password"])).expect("a password file");
    for node in nodes {
        let server = text(&node["server"]);
        let public = server.strip_prefix("https://").and_then(|at| at.parse().ok());
        let public = public.expect("an address");
        let path = home.path().join(text(&node["point"]));
        let client = client::Client::new(public, text(&node["ca"]).as_ref(), &path);
        client.sign_in(&text(&document["user"]), &password).await;
        assert_eq!(client.status().await["point"], node["point"]);
    }
    demo.kill().await.expect("a child can be killed");
}

#[tokio::test]
async fn a_node_stops_as_soon_as_nothing_is_under_way() {
    let mut cluster = yizhan_tests::cluster::Cluster::found("CN-440000").await;
    cluster.join("GB-LON", "CN-440000").await;
    cluster.admin("GB-LON").await.status().await;
    for point in ["CN-440000", "GB-LON"] {
        let began = Instant::now();
        assert!(cluster.stop(point).await.success());
        let took = began.elapsed();
        eprintln!("{point} stopped within {} ms", took.as_millis());
        assert!(took < STOPPED_WITHIN, "{point} took {took:?}");
    }
}
