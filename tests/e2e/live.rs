//! Asking the homes themselves: what is newest there is in the answer, and who is silent is named.

use serde_json::Value;
use yizhan_tests::{
    client::{Client, exit},
    cluster::Cluster,
};

use crate::people::{document, talk};

const PROVINCE: &str = "CN-440000";
const LONDON: &str = "GB-LON";

/// Makes an event and publishes it.
async fn publish(cluster: &Cluster, client: &Client, title: &str) -> String {
    let file = document(cluster, "talk.json", &talk(title));
    let created = client.ask(&["event", "create", "--file", &file]).await;
    let id = created["id"].as_str().expect("an id").to_owned();
    client.ask(&["event", "publish", &id]).await;
    id
}

fn silent(answer: &Value) -> Vec<&str> {
    let points = answer["points"].as_array().expect("points");
    let silent = points.iter().filter(|point| point["answered"] == false);
    silent.filter_map(|point| point["point"].as_str()).collect()
}

#[tokio::test]
async fn a_live_answer_has_what_the_homes_have_and_names_who_is_silent() {
    let mut cluster = Cluster::found(PROVINCE).await;
    cluster.join(LONDON, PROVINCE).await;
    let (province, london) = (cluster.admin(PROVINCE).await, cluster.admin(LONDON).await);

    for title in ["First talk", "Second talk", "Third talk"] {
        let id = publish(&cluster, &london, title).await;
        let listed = province.ask(&["event", "list", "--live", "--all"]).await;
        let items = listed["items"].as_array().expect("items");
        assert!(items.iter().any(|event| event["id"] == id.as_str()), "{title} is there at once");
        assert_eq!(silent(&listed), [""; 0]);
    }
    let report = ["report", "association", "--live"];
    assert_eq!(silent(&province.ask(&report).await), [""; 0]);
    province.ask(&["member", "search", "", "--live"]).await;
    let visitor = cluster.visitor(PROVINCE);
    assert_eq!(visitor.refused(&report).await, "UNAUTHENTICATED", "each asks the whole network");

    cluster.cut_off(LONDON);
    let questions =
        [&report[..], &["event", "list", "--live"], &["member", "search", "", "--live"]];
    for question in questions {
        let partial = province.run(question).await.expect_code(exit::PARTIAL);
        assert_eq!(silent(&partial.json()), [LONDON], "{question:?}");
    }
    let allowed = [&report[..], &["--allow-partial"]].concat();
    assert_eq!(silent(&province.ask(&allowed).await), [LONDON]);
    cluster.rejoin(LONDON);
    let told = "London answers again";
    cluster.eventually(told, async || province.run(&report).await.code == exit::DONE).await;
}
