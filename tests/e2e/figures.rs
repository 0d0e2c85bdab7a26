//! What the association says of itself, counted at every node, also after somebody was erased.

use std::collections::BTreeMap;

use serde_json::Value;
use yizhan_tests::{
    client::{Client, exit},
    cluster::Cluster,
};

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

/// What a point answers to a search, without when and on what it rests.
async fn answer(client: &Client, arguments: &[&str]) -> Vec<Value> {
    client.list(&[&["member", "search"], arguments].concat()).await
}

#[tokio::test]
async fn who_opts_out_is_found_nowhere_and_leaves_the_pool() {
    let mut cluster = Cluster::found("CN-440000").await;
    cluster.join(HOME, "CN-440000").await;
    cluster.join("GB-LON", "CN-440000").await;
    for point in POINTS {
        cluster.admin(point).await.ask(&["import", &demo_data()]).await;
    }
    let pool_of = async |client: &Client| figures(client).await["speaker_pool"];
    for point in POINTS {
        let client = cluster.visitor(point);
        let told = format!("the pool at {point}");
        cluster.eventually(&told, async || pool_of(&client).await == 196).await;
    }
    let home = cluster.admin(HOME).await;
    let pool = home.list(&["member", "search", "", "--role", "speaker"]).await;
    let member = pool.iter().find(|member| member["home"] == HOME).expect("a speaker");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let id = text(&member["id"]);
    let full = home.ask(&["member", "get", &id]).await;
    let (phone, city) = (text(&full["phone"]), text(&full["city_code"]));
    let field = text(&full["expertise"][0]);
    assert!(!phone.is_empty() && !city.is_empty() && !field.is_empty(), "{full}");
    let questions: [&[&str]; 3] = [
        &["", "--region", &city, "--role", "speaker"],
        &["", "--field", &field, "--role", "speaker"],
        &[&phone],
    ];
    let mut before = Vec::new();
    for point in ["CN-440000", "GB-LON"] {
        let peer = cluster.admin(point).await;
        // Figures and cards come by feeds of their own.
        let cards = async || answer(&peer, &["", "--role", "speaker"]).await.len();
        cluster.eventually("the whole pool is there", async || cards().await == 196).await;
        for question in questions {
            let mut found = answer(&peer, question).await;
            let shown = found.iter().any(|one| one["id"] == id.as_str());
            assert_eq!(shown, question[0].is_empty(), "no peer finds anybody by phone: {found:?}");
            found.retain(|one| one["id"] != id.as_str());
            before.push(found);
        }
    }

    home.ask(&["member", "withdraw", &id, "--purpose", "profile.network"]).await;
    for point in POINTS {
        let client = cluster.visitor(point);
        let told = format!("a pool of one less at {point}");
        cluster.eventually(&told, async || pool_of(&client).await == 195).await;
    }
    let held = async || {
        let copies = home.ask(&["member", "where", &id]).await["copies"].clone();
        let copies = copies.as_array().cloned().unwrap_or_default();
        let cards = copies.iter().filter(|copy| copy["audience"] == "network");
        let all: Vec<String> = cards.map(|copy| text(&copy["state"])).collect();
        (all.len(), all.iter().all(|state| state == "scrubbed"))
    };
    cluster
        .eventually("every peer has given its receipt", async || held().await == (3, true))
        .await;
    let mut after = Vec::new();
    for point in ["CN-440000", "GB-LON"] {
        let peer = cluster.admin(point).await;
        for question in questions {
            after.push(answer(&peer, question).await);
        }
        // The answer about the person is the one about nobody.
        let known = peer.run(&["member", "get", &id]).await.expect_code(exit::REFUSED).json();
        let nobody = "01890000-0000-7000-8000-000000000000";
        let nobody = peer.run(&["member", "get", nobody]).await.expect_code(exit::REFUSED).json();
        assert_eq!(known, nobody);
        let none = answer(&peer, &["+8615499999999"]).await;
        assert_eq!(answer(&peer, &[&phone]).await, none);
    }
    assert_eq!(after, before, "as if the person had never been there");
    let report = home.ask(&["report", "association"]).await;
    let figures = report["figures"].as_array().expect("figures");
    let pool = figures.iter().find(|figure| figure["id"] == "speaker_pool").expect("a pool");
    assert!(pool.to_string().contains("opts out leaves the count"), "the note: {pool}");
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
