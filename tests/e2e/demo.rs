//! The first of the two documented commands.

use std::time::{Duration, Instant};

use tokio::process::Command;
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
