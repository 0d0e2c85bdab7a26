//! London without a line: it serves, it writes, it knows how old its news is, and it catches up.

use std::fs;

use serde_json::Value;
use yizhan_tests::{
    client::Client,
    cluster::{Cluster, FeedName, feeds},
    proxy::Direction,
    waiting::throughout,
};

use crate::people::{demo_data, document, person, talk};

async fn network() -> Cluster {
    let mut cluster = Cluster::found("CN-440000").await;
    cluster.join("GB-LON", "CN-440000").await;
    cluster
}

/// How a node sees its link to `peer`.
fn link<'a>(status: &'a Value, peer: &str) -> &'a Value {
    let links = status["links"].as_array().expect("links");
    links.iter().find(|link| link["peer"] == peer).unwrap_or(&Value::Null)
}

fn head_age_ms(status: &Value, home: &str, audience: &str) -> Option<u64> {
    let feeds = status["feeds"].as_array().expect("feeds");
    let feed = feeds.iter().find(|feed| feed["home"] == home && feed["audience"] == audience);
    feed.and_then(|feed| feed["head_age_ms"].as_u64())
}

#[tokio::test]
async fn london_cut_off_serves_writes_and_catches_up() {
    let cluster = network().await;
    let guangdong = cluster.admin("CN-440000").await;
    let london = cluster.admin("GB-LON").await;
    let before = person("Beforehand").create_shown(&cluster, &guangdong).await;
    cluster
        .eventually("London holds a card", async || london.finds("Beforehand").await.len() == 1)
        .await;
    cluster.agree().await;
    let named = async || head_age_ms(&london.status().await, "CN-440000", "network").is_some();
    cluster.eventually("Guangdong has named the feed's head", named).await;

    cluster.cut_off("GB-LON");
    let down = async || link(&london.status().await, "CN-440000")["state"] != "connected";
    cluster.eventually("London sees that it is cut off", down).await;
    let file = document(&cluster, "talk.json", &talk("讲座:断线以后"));
    let talk = guangdong.ask(&["event", "create", "--file", &file]).await;
    let talk = talk["id"].as_str().expect("an id").to_owned();
    guangdong.ask(&["event", "publish", &talk]).await;

    // Reads and writes go on.
    assert_eq!(london.finds("Beforehand").await[0]["id"], before.as_str());
    person("Meanwhile").create_shown(&cluster, &london).await;
    assert_eq!(london.finds("Meanwhile").await.len(), 1);
    assert_eq!(guangdong.finds("Meanwhile").await.len(), 0);
    assert!(!london.sees_event(&talk).await, "nothing comes over a broken line");

    // What London says about Guangdong is old, and said to be.
    let name = ("CN-440000".to_owned(), "network".to_owned());
    let first = london.status().await;
    let age = head_age_ms(&first, "CN-440000", "network").expect("a head with an age");
    cluster
        .eventually("the head grows older", async || {
            let now = london.status().await;
            head_age_ms(&now, "CN-440000", "network") > Some(age + 500)
                && feeds(&now)[&name] == feeds(&first)[&name]
        })
        .await;

    cluster.rejoin("GB-LON");
    cluster.eventually("London has the talk", async || london.sees_event(&talk).await).await;
    cluster
        .eventually("Guangdong has the card", async || {
            guangdong.finds("Meanwhile").await.len() == 1
        })
        .await;
    cluster.agree().await;
    cluster.assert_faults_fired();
}

/// The state in which a node shows a feed.
async fn state(client: &Client, feed: &FeedName) -> String {
    feeds(&client.status().await).get(feed).map_or_else(String::new, |feed| feed.state.clone())
}

/// What an answer about members says of a home.
async fn rests_on(client: &Client, home: &str) -> String {
    let answer = client.run(&["member", "search", "Beforehand"]).await.json();
    let points = answer["points"].as_array().cloned().unwrap_or_default();
    let of_home = points.iter().find(|point| point["point"] == home);
    of_home.map_or_else(String::new, |point| point["state"].as_str().unwrap_or("").to_owned())
}

#[tokio::test]
async fn what_is_old_is_stale_until_its_home_is_heard_again() {
    let mut cluster = network().await;
    // A home says its word every half second, and is missed after three.
    for (point, setting) in
        [("CN-440000", "statement_every_ms = 500"), ("GB-LON", "stale_after_ms = 3000")]
    {
        cluster.stop(point).await;
        let settings = cluster.path(point).join("yizhan.toml");
        let text = fs::read_to_string(&settings).expect("settings");
        fs::write(&settings, format!("{text}\n{setting}\n")).expect("settings");
        cluster.start(point).await;
    }
    let guangdong = cluster.admin("CN-440000").await;
    let london = cluster.admin("GB-LON").await;
    person("Beforehand").create_shown(&cluster, &guangdong).await;
    person("At home").create_shown(&cluster, &london).await;
    let cards = ("CN-440000".to_owned(), "network".to_owned());
    let is = async |expected: &str| {
        state(&london, &cards).await == expected && rests_on(&london, &cards.0).await == expected
    };
    cluster.eventually("London's copy is current", async || is("current").await).await;

    cluster.cut_off("GB-LON");
    cluster.eventually("it is stale", async || is("stale").await).await;
    assert_eq!(state(&london, &("GB-LON".into(), "network".into())).await, "own");
    assert_eq!(london.finds("Beforehand").await.len(), 1, "and shown");
    cluster.rejoin("GB-LON");
    cluster.eventually("it is current again", async || is("current").await).await;
    cluster.assert_faults_fired();
}

#[tokio::test]
async fn a_line_that_forgets_its_connections_is_dialled_again() {
    let cluster = network().await;
    let guangdong = cluster.admin("CN-440000").await;
    let london = cluster.admin("GB-LON").await;
    cluster.agree().await;

    let line = cluster.line("GB-LON");
    line.swallow(Direction::Up);
    line.swallow(Direction::Down);
    person("Unheard").create_shown(&cluster, &guangdong).await;
    person("Unsaid").create_shown(&cluster, &london).await;
    throughout("neither hears the other", std::time::Duration::from_secs(2), async || {
        london.finds("Unheard").await.is_empty() && guangdong.finds("Unsaid").await.is_empty()
    })
    .await;
    cluster.assert_faults_fired();

    line.heal();
    cluster
        .eventually("London catches up", async || london.finds("Unheard").await.len() == 1)
        .await;
    cluster.agree().await;
}

#[tokio::test]
async fn a_copy_cut_again_and_again_is_completed() {
    let cluster = network().await;
    let guangdong = cluster.admin("CN-440000").await;
    cluster.agree().await;
    cluster.cut_off("GB-LON");
    guangdong.ask(&["import", &demo_data()]).await;

    let line = cluster.line("GB-LON");
    cluster.eventually("London has dialled in vain", async || line.inert().is_empty()).await;
    line.heal();
    // Each copes with a longer pause before it dials again, so there are few.
    for bytes in [1, 9_000, 20_001] {
        let before = line.counts().cut;
        line.cut_after(Direction::Down, bytes);
        let what = format!("a cut after {bytes} bytes");
        cluster.eventually(&what, async || line.counts().cut > before).await;
    }
    cluster.agree().await;
    cluster.assert_faults_fired();
}
