//! What the association says of itself, counted at every node, also after somebody was erased.

use std::collections::BTreeMap;

use serde_json::Value;
use yizhan_tests::{client::Client, cluster::Cluster};

use crate::people::demo_data;

const HOME: &str = "CN-440100";
const POINTS: [&str; 3] = ["CN-440000", HOME, "GB-LON"];
/// Of the reference data, as far as members, groups and organisations make them.
const GOLDEN: [(&str, u64); 8] = [
    ("speaker_pool", 196),
    ("speakers_distinct", 39),
    ("appearances", 39),
    ("seat_holders", 44),
    ("cohorts", 4),
    ("cohort_seats", 209),
    ("key_contacts_distinct", 206),
    ("companies_reported", 163),
];

async fn figures(client: &Client) -> BTreeMap<String, u64> {
    let report = client.ask(&["report", "association", "--as-of", "2023-10-20"]).await;
    let figures = report["figures"].as_array().expect("figures");
    let pair = |figure: &Value| {
        let id = figure["id"].as_str().expect("an id").to_owned();
        (id, figure["value"].as_u64().expect("a value"))
    };
    figures.iter().map(pair).collect()
}

/// Over everything that was counted: where it differs, two nodes did not count the same.
async fn digest(client: &Client) -> String {
    let report = client.ask(&["report", "association", "--as-of", "2023-10-20"]).await;
    report["digest"].as_str().expect("a digest").to_owned()
}

fn are(figures: &BTreeMap<String, u64>, expected: &[(&str, u64)]) -> bool {
    expected.iter().all(|(id, value)| figures.get(*id) == Some(value))
}

#[tokio::test]
async fn figures_are_the_same_everywhere_and_go_down_by_whoever_is_erased() {
    let mut cluster = Cluster::found("CN-440000").await;
    cluster.join(HOME, "CN-440000").await;
    cluster.join("GB-LON", "CN-440000").await;
    cluster.add_user(HOME, "second", "staff").await;
    for point in POINTS {
        cluster.admin(point).await.ask(&["import", &demo_data()]).await;
    }
    for point in POINTS {
        let client = cluster.visitor(point);
        let told = format!("the figures at {point}");
        cluster.eventually(&told, async || are(&figures(&client).await, &GOLDEN)).await;
    }

    let is_same = async || {
        let founder = digest(&cluster.visitor(POINTS[0])).await;
        let others = [POINTS[1], POINTS[2]].map(|point| cluster.visitor(point));
        digest(&others[0]).await == founder && digest(&others[1]).await == founder
    };
    cluster.eventually("one digest at every node", is_same).await;

    // Two of the pool: one who has spoken, and one who has not.
    let (home, second) = (cluster.admin(HOME).await, cluster.user(HOME, "second").await);
    let pool = home.list(&["member", "search", "", "--role", "speaker"]).await;
    let (mut silent, mut spoke) = (None, None);
    for member in pool.iter().filter(|member| member["home"] == HOME) {
        let id = member["id"].as_str().expect("an id");
        let preview = home.ask(&["member", "erase", id, "--preview"]).await;
        match preview["appearances"].as_u64().expect("a count") {
            0 => silent = silent.or(Some(id.to_owned())),
            _ => spoke = spoke.or(Some(id.to_owned())),
        }
        if silent.is_some() && spoke.is_some() {
            break;
        }
    }
    for (id, pool) in [(silent.expect("a listener"), 195), (spoke.expect("a speaker"), 194)] {
        let asked = home.ask(&["member", "erase", &id]).await;
        let approval = asked["approval"].as_str().expect("an approval").to_owned();
        second.ask(&["approval", "give", &approval]).await;
        let expected = [("speaker_pool", pool), ("speakers_distinct", 39), ("appearances", 39)];
        for point in POINTS {
            let client = cluster.visitor(point);
            let told = format!("a pool of {pool} at {point}");
            cluster.eventually(&told, async || are(&figures(&client).await, &expected)).await;
        }
    }
}
