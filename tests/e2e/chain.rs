//! A point below a point: enrolled through a parent that did not found the network, fed over two hops.

use yizhan_tests::{client::exit, cluster::Cluster};

use crate::people::{document, person, talk};

#[tokio::test]
async fn a_point_below_london_joins_and_agrees_with_guangdong() {
    let mut cluster = Cluster::found("CN-440000").await;
    cluster.join("GB-LON", "CN-440000").await;
    cluster.join("IE-DUB", "GB-LON").await;
    let guangdong = cluster.admin("CN-440000").await;
    let dublin = cluster.admin("IE-DUB").await;

    let file = document(&cluster, "talk.json", &talk("讲座:两站之外"));
    let talk = guangdong.ask(&["event", "create", "--file", &file]).await;
    let talk = talk["id"].as_str().expect("an id");
    guangdong.ask(&["event", "publish", talk]).await;
    person("Liffey").create_shown(&cluster, &dublin).await;

    cluster.eventually("Dublin has the talk", async || dublin.sees_event(talk).await).await;
    cluster
        .eventually("Guangdong has the card", async || guangdong.finds("Liffey").await.len() == 1)
        .await;
    cluster.agree().await;
    for point in cluster.running() {
        cluster.yizhand("verify", &point, &[]).await.expect_code(exit::DONE);
    }
}

#[tokio::test]
async fn a_point_below_london_goes_on_while_guangdong_is_away() {
    let mut cluster = Cluster::found("CN-440000").await;
    cluster.join("GB-LON", "CN-440000").await;
    cluster.join("IE-DUB", "GB-LON").await;
    cluster.agree().await;
    cluster.kill("CN-440000").await;

    let london = cluster.admin("GB-LON").await;
    let dublin = cluster.admin("IE-DUB").await;
    person("Liffey").create_shown(&cluster, &dublin).await;
    cluster
        .eventually("London has the card", async || london.finds("Liffey").await.len() == 1)
        .await;

    cluster.start("CN-440000").await;
    let guangdong = cluster.admin("CN-440000").await;
    cluster
        .eventually("Guangdong has the card", async || guangdong.finds("Liffey").await.len() == 1)
        .await;
    cluster.agree().await;
}
