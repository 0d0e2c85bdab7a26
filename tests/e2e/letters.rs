//! What people are written by nodes with a mail server: who, how often, in which language, and nothing that
//! says what it is about.

use serde_json::Value;
use yizhan_tests::{client::Client, cluster::Cluster, mail::MailServer};

const PROVINCE: &str = "CN-440000";
const GUANGZHOU: &str = "CN-440100";
const LONDON: &str = "GB-LON";
/// Stand in what only the client and its handlers may read.
const MARKS: [&str; 2] = ["XINJIANMARKER", "医疗"];
const CLIENT: &str = "xinjian@example.org";
const DESK: &str = "desk-of-london@example.org";
const ANSWERED: &str = "您的求助有新答复";
const PASSED_ON: &str = "您的求助已转交";

fn word<'a>(document: &'a Value, key: &str) -> &'a str {
    document[key].as_str().unwrap_or_else(|| panic!("no {key} in {document}"))
}

/// London and Guangzhou send mail.
async fn writing(mail: &MailServer) -> Cluster {
    let mut cluster = Cluster::found(PROVINCE).await;
    for point in [GUANGZHOU, LONDON] {
        cluster.join(point, PROVINCE).await;
        cluster.stop(point).await;
        cluster.start_with(point, &mail.settings()).await;
    }
    let guangzhou = cluster.admin(GUANGZHOU).await;
    cluster
        .eventually("the roster is everywhere", async || {
            let feeds = guangzhou.status().await["feeds"].as_array().cloned().unwrap_or_default();
            feeds.iter().any(|feed| {
                feed["audience"] == "roster" && feed["sequence"].as_u64().unwrap_or(0) >= 3
            })
        })
        .await;
    cluster
}

/// How often an address was written something.
fn told(mail: &MailServer, to: &str, words: &str) -> usize {
    let letters = mail.letters();
    letters.iter().filter(|letter| letter.to == to && letter.text.contains(words)).count()
}

async fn seen(desk: &Client, id: &str) -> Value {
    let all = desk.list(&["desk", "handoffs", "--ended"]).await;
    all.into_iter().find(|one| one["handoff"] == id).unwrap_or_default()
}

#[tokio::test]
async fn desk_and_client_are_written_to_once_for_each_fact_wherever_the_request_goes() {
    let mail = MailServer::start().await;
    let cluster = writing(&mail).await;
    let (london, guangzhou) = (cluster.admin(LONDON).await, cluster.admin(GUANGZHOU).await);
    london.ask(&["user", "notices", "--email", DESK, "--lang", "zh-Hant"]).await;
    let mut call = vec!["help", "submit", "--category", "medical_advice", "--country", "GB"];
    let text = MARKS.join(" ");
    call.extend(["--city", "GBLON", "--lang", "zh-Hans", "--text", &text]);
    call.extend(["--contact", CLIENT, "--name", MARKS[0]]);
    let asked = cluster.visitor(LONDON).ask(&call).await;
    let (reference, code) = (word(&asked, "reference"), word(&asked, "code"));
    let told = |to: &str, words: &str| told(&mail, to, words);
    cluster.eventually("the desk is told", async || told(DESK, "有新的求助") == 1).await;
    london.ask(&["desk", "reply", reference, "--text", MARKS[0]]).await;
    cluster.eventually("the client is told", async || told(CLIENT, ANSWERED) == 1).await;

    let summary = "student, speaks Mandarin";
    let offer = ["desk", "handoff", reference, "--to", GUANGZHOU, "--summary", summary];
    let id = word(&london.ask(&offer).await, "handoff").to_owned();
    cluster.eventually("the client is asked", async || told(CLIENT, "转交前请您同意") == 1).await;
    cluster.visitor(LONDON).ask(&["help", "consent", reference, "--code", code]).await;
    cluster
        .eventually("it is offered", async || seen(&guangzhou, &id).await["state"] == "offered")
        .await;
    guangzhou.ask(&["desk", "accept", &id]).await;
    cluster.eventually("the client is told of it", async || told(CLIENT, PASSED_ON) == 1).await;
    // The answer has followed the request, and was told in London.
    cluster
        .eventually("the messages are there", async || {
            let opened = guangzhou.run(&["desk", "show", reference]).await.json();
            let messages = opened["messages"].as_array().cloned().unwrap_or_default();
            messages.iter().any(|one| one["text"] == MARKS[0])
        })
        .await;
    guangzhou.ask(&["desk", "reply", reference, "--text", MARKS[1]]).await;
    cluster.eventually("Guangzhou answers", async || told(CLIENT, ANSWERED) == 2).await;
    guangzhou.ask(&["desk", "resolve", reference, "--text", "x", "--outcome", "advised"]).await;
    cluster.eventually("it is done", async || told(CLIENT, "您的求助已办结") == 1).await;
    assert_eq!((told(CLIENT, ANSWERED), told(CLIENT, PASSED_ON)), (2, 1), "{:?}", mail.letters());
    for letter in mail.letters() {
        for mark in MARKS.iter().copied().chain([code, summary]) {
            assert!(!letter.text.contains(mark), "{mark} in {letter:?}");
        }
        assert!(letter.text.contains(reference), "{letter:?}");
    }
}
