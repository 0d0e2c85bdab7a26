//! Founding, joining, importing: what is disclosed at one point is found at all of them.

use std::time::{Duration, Instant};

use yizhan_proto::v1;
use yizhan_tests::{
    client::{Client, exit},
    cluster::{ADMIN, Cluster},
    waiting::eventually,
};

use crate::people::{Person, demo_data, document, talk};

/// Promised for most; a single one on a machine that does other things is given more.
const TALK_FOUND_MOSTLY_WITHIN: Duration = Duration::from_secs(1);
const TALK_FOUND_WITHIN: Duration = Duration::from_secs(5);
/// Talks that are published, one after the other.
const TALKS: usize = 7;

const POINTS: [&str; 3] = ["CN-440000", "CN-440100", "GB-LON"];

async fn three_nodes() -> Cluster {
    let mut cluster = Cluster::found("CN-440000").await;
    cluster.join("CN-440100", "CN-440000").await;
    cluster.join("GB-LON", "CN-440000").await;
    cluster
}

async fn ids(client: &Client, words: &str) -> Vec<String> {
    let found = client.finds(words).await;
    let mut ids: Vec<String> =
        found.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn imported_tables_are_equal_and_found_everywhere() {
    let cluster = three_nodes().await;
    let mut clients = Vec::new();
    for point in POINTS {
        let client = cluster.admin(point).await;
        let report = client.ask(&["import", &demo_data()]).await;
        assert_eq!(report["rejected"].as_array().map(Vec::len), Some(0), "{report}");
        assert!(report["skipped"].as_u64() > Some(0), "rows of other homes: {report}");
        clients.push(client);
    }
    cluster.agree().await;

    // A name of two characters, by characters, full pinyin and initials: the same people everywhere.
    let shown: Vec<&Client> = clients.iter().collect();
    for words in ["张伟", "zhangwei", "zw", "王承鹏", "wangchengpeng"] {
        let here = ids(&clients[2], words).await;
        assert!(!here.is_empty(), "{words} is not found in London");
        for client in &shown {
            let there = ids(client, words).await;
            let missing: Vec<_> = here.iter().filter(|id| !there.contains(id)).collect();
            assert!(missing.is_empty(), "{words}: {missing:?}");
        }
    }
    for point in POINTS {
        let verified = cluster.yizhand("verify", point, &[]).await.expect_code(exit::DONE).json();
        assert_eq!(verified["findings"], 0, "{point}: {verified}");
    }
}

#[tokio::test]
async fn a_talk_published_in_guangzhou_is_found_in_london() {
    let cluster = three_nodes().await;
    let guangzhou = cluster.admin("CN-440100").await;
    // Over one connection: starting a program for each look would be measured too.
    let london = cluster.caller("GB-LON", ADMIN).await;
    let found = async || {
        let request = v1::ListEventsRequest { words: "伦敦".to_owned(), ..Default::default() };
        let answer = london.events().list_events(request).await.expect("a list");
        answer.into_inner().items.len()
    };
    let mut took = Vec::new();
    for number in 0..TALKS {
        let title = format!("学长说{number}:到伦敦只要一秒");
        let file = document(&cluster, "talk.json", &talk(&title));
        let made = guangzhou.ask(&["event", "create", "--file", &file]).await;
        let id = made["id"].as_str().expect("an id");
        assert_eq!(found().await, number, "a draft is shown");

        guangzhou.ask(&["event", "publish", id]).await;
        let published = Instant::now();
        eventually("London finds the talk", TALK_FOUND_WITHIN, async || {
            found().await == number + 1
        })
        .await;
        took.push(published.elapsed());
    }
    took.sort();
    eprintln!("found in London so long after the answer: {took:?}");
    assert!(took[TALKS / 2] <= TALK_FOUND_MOSTLY_WITHIN, "{took:?}");
}

#[tokio::test]
async fn a_name_of_two_characters_is_found_wherever_its_card_goes() {
    let cluster = three_nodes().await;
    let guangzhou = cluster.admin("CN-440100").await;
    let person = Person {
        hans: "沈逸",
        sort_key: "shen yi",
        latin: "Evan Shen".into(),
        expertise: "rail".into(),
    };
    let id = person.create_shown(&cluster, &guangzhou).await;
    for point in POINTS {
        let client = cluster.admin(point).await;
        for words in ["沈逸", "shenyi", "shen yi", "sy", "evan"] {
            let what = format!("{point} finds {words}");
            cluster.eventually(&what, async || ids(&client, words).await == [id.clone()]).await;
        }
    }
}
