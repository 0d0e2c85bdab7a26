//! A stranger asks for help, and the right desk answers: through the real client, on real nodes.

use std::fs;

use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use yizhan_tests::{
    client::{Client, exit},
    cluster::Cluster,
    proxy::Proxy,
};

use crate::people::{demo_data, scratch, text};

const TEXT: &str = "低烧两天,想问要不要去急诊。";

/// Asks for help in London, in Chinese.
fn in_london<'a>(words: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec![
        "help",
        "submit",
        "--category",
        "medical_advice",
        "--country",
        "GB",
        "--city",
        "GBLON",
        "--lang",
        "zh-Hans",
        "--text",
        words,
    ];
    arguments.extend(more);
    arguments
}

fn word<'a>(document: &'a Value, key: &str) -> &'a str {
    document[key].as_str().unwrap_or_else(|| panic!("no {key} in {document}"))
}

fn texts(messages: &Value) -> Vec<(String, String)> {
    let messages = messages.as_array().expect("messages");
    messages.iter().map(|one| (word(one, "from").into(), word(one, "text").into())).collect()
}

fn field_reason(document: &Value) -> (String, String) {
    let field = &document["error"]["fields"][0];
    (word(field, "field").to_owned(), word(field, "reason").to_owned())
}

/// A province and London, with the reference data's points.
async fn province_and_london() -> Cluster {
    let mut cluster = Cluster::found("CN-440000").await;
    cluster.join("GB-LON", "CN-440000").await;
    let points = scratch(&cluster).join("points");
    fs::create_dir_all(&points).expect("a directory");
    fs::copy(format!("{}/points.csv", demo_data()), points.join("points.csv")).expect("points");
    for point in ["CN-440000", "GB-LON"] {
        cluster.admin(point).await.ask(&["import", &text(&points)]).await;
    }
    for point in ["CN-440000", "GB-LON"] {
        let client = cluster.admin(point).await;
        cluster
            .eventually("the directory is everywhere", async || {
                client.list(&["point", "list"]).await.len() >= 12
            })
            .await;
    }
    cluster
}

#[tokio::test]
async fn a_student_in_london_is_answered_at_the_right_desk() {
    let cluster = province_and_london().await;
    let student = cluster.visitor("GB-LON");

    let asked = student.ask(&in_london(TEXT, &["--key", "k-1", "--contact", "wechat: abc"])).await;
    let (reference, code) = (word(&asked, "reference"), word(&asked, "code"));
    assert!(reference.starts_with("LON-"), "{asked}");
    assert_eq!(word(&asked, "owner"), "GB-LON");
    assert!(word(&asked["route"], "reason").starts_with("because area GB + category + zh"));
    assert_eq!(word(&asked["route"], "rule"), "area=GB category=medical_advice lang=zh-Hans");
    assert_eq!(asked["emergency_numbers"][0], "999");
    assert!(asked["emergency_numbers"].as_array().unwrap().contains(&json!("112")));
    assert_eq!(word(&asked, "time_zone"), "Europe/London");
    let readers = json!([
        {"point": "GB-LON", "role": "owner"},
        {"point": "CN-440000", "role": "deputy"},
    ]);
    assert_eq!(asked["readers"], readers, "who can read it, and nobody else");
    assert_eq!(asked["open_now"] == true, word(&asked, "opens_at").is_empty(), "{asked}");
    let first_answer_by = word(&asked, "first_answer_by");
    assert!(first_answer_by.ends_with("+00:00") || first_answer_by.ends_with("+01:00"));
    assert_eq!(code.len(), 24);

    // The same key has one effect, and the same answer.
    let again = student.ask(&in_london(TEXT, &["--key", "k-1"])).await;
    assert_eq!((word(&again, "reference"), word(&again, "code")), (reference, code));

    let desk = cluster.admin("GB-LON").await;
    let queue = desk.list(&["desk", "queue"]).await;
    assert_eq!(queue.len(), 1);
    assert_eq!(word(&queue[0], "state"), "received");
    let opened = desk.ask(&["desk", "show", reference]).await;
    assert_eq!(word(&opened["content"], "text"), TEXT);
    assert_eq!(word(&opened["content"], "contact"), "wechat: abc");
    assert_eq!(
        opened["readers"],
        json!(["GB-LON", "CN-440000"]),
        "the deputy is the only other node"
    );

    desk.ask(&["desk", "assign", reference]).await;
    desk.ask(&["desk", "note", reference, "--text", "ask the clinic"]).await;
    let replied = desk.ask(&["desk", "reply", reference, "--text", "请先测体温"]).await;
    assert_eq!(word(&replied, "state"), "in_progress");

    let tracked = student.ask(&["help", "track", reference, "--code", code]).await;
    assert_eq!((word(&tracked, "label"), word(&tracked, "owner")), ("处理中", "GB-LON"));
    let said =
        [("client".to_owned(), TEXT.to_owned()), ("desk".to_owned(), "请先测体温".to_owned())];
    assert_eq!(texts(&tracked["messages"]), said, "and no note");

    let waits = desk.ask(&["desk", "wait", reference, "--text", "体温多少?"]).await;
    assert_eq!(word(&waits, "state"), "waiting_client");
    assert!(
        waits["clocks"]
            .as_array()
            .unwrap()
            .iter()
            .all(|clock| { clock["paused"] == true || !clock["met_at"].is_null() })
    );
    let tracked = student.ask(&["help", "track", reference, "--code", code]).await;
    assert_eq!(word(&tracked, "label"), "等待您回复");
    let reply = ["help", "reply", reference, "--code", code, "--text", "37.8"];
    assert_eq!(word(&student.ask(&reply).await, "state"), "in_progress");
    let opened = desk.ask(&["desk", "show", reference]).await;
    let all = texts(&opened["messages"]);
    let from: Vec<&str> = all.iter().map(|(from, _)| from.as_str()).collect();
    assert_eq!(from, ["note", "desk", "desk", "client"]);
    assert_eq!(all[3].1, "37.8");

    desk.ask(&["desk", "resolve", reference, "--outcome", "advised", "--text", "祝早日康复"]).await;
    let tracked = student.ask(&["help", "track", reference, "--code", code]).await;
    assert_eq!(word(&tracked, "label"), "已办结");
    student.ask(&["help", "rate", reference, "--code", code, "--stars", "5"]).await;
    let reopened = desk.ask(&["desk", "reopen", reference]).await;
    assert_eq!((word(&reopened, "state"), &reopened["reopened"]), ("in_progress", &json!(1)));
    // And so does a word of the client.
    desk.ask(&["desk", "resolve", reference, "--outcome", "advised", "--text", "祝好"]).await;
    assert_eq!(word(&student.ask(&reply).await, "state"), "in_progress");
    cluster.yizhand("verify", "GB-LON", &[]).await.expect_code(exit::DONE);
}

#[tokio::test]
async fn what_no_point_covers_is_in_the_duty_queue_at_once() {
    let cluster = province_and_london().await;
    let asker = cluster.visitor("GB-LON");
    let submit = [
        "help",
        "submit",
        "--category",
        "documents",
        "--country",
        "KE",
        "--lang",
        "en",
        "--text",
        "a lost certificate",
    ];
    let asked = asker.ask(&submit).await;
    assert_eq!(word(&asked, "owner"), "CN-440000");
    assert!(word(&asked["route"], "reason").contains("no point covers KE"));
    let reference = word(&asked, "reference");
    let duty = cluster.admin("CN-440000").await;
    cluster
        .eventually("it has come to the duty desk", async || {
            let queue = duty.list(&["desk", "queue"]).await;
            queue.iter().any(|one| one["reference"] == reference)
        })
        .await;
    let opened = duty.ask(&["desk", "show", reference]).await;
    assert_eq!(word(&opened["content"], "text"), "a lost certificate");
    assert!(!opened["clocks"][0]["due_at"].is_null(), "the clock runs");
    let london = cluster.admin("GB-LON").await;
    assert_eq!(london.refused(&["desk", "show", reference]).await, "NOT_FOUND");
}

#[tokio::test]
async fn a_mainland_place_needs_a_city_that_exists() {
    let cluster = province_and_london().await;
    let asker = cluster.visitor("CN-440000");
    let submit = |more: &[&'static str]| {
        let mut all = vec![
            "help",
            "submit",
            "--category",
            "legal",
            "--country",
            "CN",
            "--lang",
            "zh-Hans",
            "--text",
            "合同",
        ];
        all.extend(more);
        all
    };
    let refused = asker.run(&submit(&[])).await.expect_code(exit::REFUSED).json();
    assert_eq!(refused["error"]["code"], "INVALID_ARGUMENT");
    assert_eq!(field_reason(&refused), ("region_code".into(), "choose_city".into()));
    assert!(word(&refused["error"]["fields"][0], "message").contains("445300"));
    let refused = asker.run(&submit(&["--region", "999999"])).await.expect_code(exit::REFUSED);
    assert_eq!(field_reason(&refused.json()), ("region_code".into(), "unknown_code".into()));
    let asked = asker.ask(&submit(&["--region", "445300"])).await;
    assert_eq!(word(&asked, "owner"), "CN-445300");
    // It lives on the province's node.
    let host = json!({"point": "CN-440000", "role": "host"});
    assert_eq!(asked["readers"][1], host, "{asked}");
    let chosen = asker.run(&submit(&["--region", "445300", "--point", "FR-PAR"])).await;
    assert_eq!(field_reason(&chosen.expect_code(exit::REFUSED).json()).0, "point");
}

#[tokio::test]
async fn people_say_where_they_want_to_be_told_of_news() {
    let cluster = Cluster::found("GB-LON").await;
    let desk = cluster.admin("GB-LON").await;
    assert_eq!(word(&desk.ask(&["user", "notices"]).await, "way"), "none");
    let mail = ["user", "notices", "--email", "wang@example.org", "--lang", "en"];
    let quiet = ["--quiet", "22:00-08:00", "--zone", "Europe/London"];
    let set = desk.ask(&[&mail[..], &quiet[..]].concat()).await;
    assert_eq!((word(&set, "address"), word(&set, "quiet")), ("wang@example.org", "22:00-08:00"));
    assert_eq!(set["active"], false, "this node has no mail server");
    let hook = |url| ["user", "notices", "--webhook", url, "--kind", "feishu"];
    let set = desk.ask(&hook("https://open.feishu.cn/open-apis/bot/v2/hook/secret-part")).await;
    assert_eq!((word(&set, "way"), word(&set, "address")), ("webhook", "open.feishu.cn"));
    let refused = desk.run(&hook("https://10.0.0.1/x")).await.expect_code(exit::REFUSED).json();
    let (field, reason) = field_reason(&refused);
    assert_eq!((&*field, &*reason), ("webhook.url", "webhook_host_not_allowed"));
    assert_eq!(word(&desk.ask(&["user", "notices", "--off"]).await, "way"), "none");
    cluster.add_user("GB-LON", "reader", "auditor").await;
    let auditor = cluster.user("GB-LON", "reader").await;
    assert_eq!(auditor.refused(&["user", "notices"]).await, "DENIED");

    let student = cluster.visitor("GB-LON");
    let asked = student.ask(&in_london(TEXT, &[])).await;
    let (reference, code) = (word(&asked, "reference"), word(&asked, "code"));
    let set = ["help", "notices", reference, "--code", code, "--email"];
    assert_eq!(student.ask(&[&set[..], &["a@example.org"]].concat()).await["notices"], true);
    let refused = student.run(&[&set[..], &["nobody"]].concat()).await;
    assert_eq!(field_reason(&refused.expect_code(exit::REFUSED).json()).0, "email");
    let off = ["help", "notices", reference, "--code", code, "--off"];
    assert_eq!(student.ask(&off).await["notices"], false);
}

#[tokio::test]
async fn a_code_is_needed_and_wrong_ones_look_alike() {
    let cluster = Cluster::found("GB-LON").await;
    let student = cluster.visitor("GB-LON");
    let asked = student.ask(&in_london(TEXT, &[])).await;
    let (reference, code) = (word(&asked, "reference"), word(&asked, "code"));
    let other = student.ask(&in_london("another", &[])).await;

    let track = async |reference: &str, code: &str| {
        student.run(&["help", "track", reference, "--code", code]).await.expect_code(exit::REFUSED)
    };
    let wrong_code = track(reference, word(&other, "code")).await.json();
    let unknown = track("LON-23-00012-A", code).await.json();
    assert_eq!(wrong_code["error"]["code"], "NOT_FOUND");
    assert_eq!(wrong_code, unknown);

    let (last, rest) = (code.chars().last().unwrap(), &code[..code.len() - 1]);
    let slip = format!("{rest}{}", if last == '0' { '1' } else { '0' });
    let mistyped = track(reference, &slip).await.json();
    assert_eq!(mistyped["error"]["code"], "INVALID_ARGUMENT");
    assert_eq!(field_reason(&mistyped), ("code".into(), "code_mistyped".into()));
    let mistyped = track("LON-23-00012-B", code).await.json();
    assert_eq!(field_reason(&mistyped), ("reference".into(), "reference_mistyped".into()));

    let withdrawn = student.ask(&["help", "withdraw", reference, "--code", code]).await;
    assert_eq!(word(&withdrawn, "state"), "withdrawn");
    student.ask(&["help", "withdraw", reference, "--code", code]).await;
    let desk = cluster.admin("GB-LON").await;
    let refused = desk.run(&["desk", "reply", reference, "--text", "x"]).await;
    let refused = refused.expect_code(exit::REFUSED).json();
    assert_eq!(field_reason(&refused), ("state".into(), "move_refused".into()));
}

/// Files below `directory` with any of these bytes.
fn files_with(directory: &std::path::Path, marks: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut below = vec![directory.to_owned()];
    while let Some(directory) = below.pop() {
        for entry in fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                below.push(path);
                continue;
            }
            // A socket cannot be read and holds nothing.
            let Ok(bytes) = fs::read(&path) else { continue };
            for mark in marks {
                if bytes.windows(mark.len()).any(|window| window == mark.as_bytes()) {
                    found.push(format!("{mark} in {}", path.display()));
                }
            }
        }
    }
    found
}

/// How many tapes have any of these bytes.
fn tapes_with(tapes: &[Vec<u8>], marks: &[&str]) -> usize {
    let has = |tape: &[u8], mark: &str| tape.windows(mark.len()).any(|w| w == mark.as_bytes());
    tapes.iter().filter(|tape| marks.iter().any(|mark| has(tape, mark))).count()
}

#[tokio::test]
async fn no_word_of_a_request_is_in_any_file_or_on_any_line() {
    const MARKS: [&str; 6] = [
        "qxvopl-text",
        "qxvopl-name",
        "qxvopl-contact",
        "qxvopl-reply",
        "qxvopl-note",
        "qxvopl-more",
    ];
    let mut cluster = province_and_london().await;
    // Somebody listens between the points, and between the student and the node.
    cluster.line("GB-LON").record();
    let street = Proxy::start(cluster.addresses("GB-LON").public).await.expect("a line");
    street.record();
    let ca = cluster.path("GB-LON").join("ca.pem");
    let student = Client::new(street.address(), &ca, &scratch(&cluster).join("student"));
    let more = ["--name", MARKS[1], "--contact", MARKS[2]];
    let asked = student.ask(&in_london(MARKS[0], &more)).await;
    let (reference, code) = (word(&asked, "reference"), word(&asked, "code"));
    let desk = cluster.admin("GB-LON").await;
    desk.ask(&["desk", "assign", reference]).await;
    desk.ask(&["desk", "reply", reference, "--text", MARKS[3]]).await;
    desk.ask(&["desk", "note", reference, "--text", MARKS[4]]).await;
    student.ask(&["help", "reply", reference, "--code", code, "--text", MARKS[5]]).await;
    // One that goes to another node, and one that is refused.
    let elsewhere = [
        "help",
        "submit",
        "--category",
        "legal",
        "--country",
        "KE",
        "--lang",
        "en",
        "--text",
        MARKS[0],
    ];
    let elsewhere = student.ask(&elsewhere).await;
    student
        .run(&[
            "help",
            "submit",
            "--category",
            MARKS[0],
            "--country",
            "GB",
            "--lang",
            "en",
            "--text",
            MARKS[0],
        ])
        .await
        .expect_code(exit::REFUSED);
    let duty = cluster.admin("CN-440000").await;
    cluster
        .eventually("the other has come", async || {
            let queue = duty.list(&["desk", "queue"]).await;
            queue.iter().any(|one| one["reference"] == elsewhere["reference"])
        })
        .await;

    let codes = [code, word(&elsewhere, "code")];
    let all: Vec<&str> = MARKS.iter().copied().chain(codes).collect();
    for point in ["CN-440000", "GB-LON"] {
        assert_eq!(files_with(&cluster.path(point), &all), [""; 0], "{point}");
        let log = cluster.log(point);
        assert!(all.iter().all(|mark| !log.contains(mark)), "in the log of {point}");
    }
    let tapes = [cluster.line("GB-LON").tapes(), street.tapes()].concat();
    assert!(tapes.iter().map(Vec::len).sum::<usize>() > 10_000, "somebody has listened");
    assert_eq!(tapes_with(&tapes, &all), 0);
    for point in ["CN-440000", "GB-LON"] {
        let file = text(&scratch(&cluster).join(format!("{point}.backup")));
        cluster.yizhand("backup", point, &["--to", &file]).await.expect_code(exit::DONE);
    }
    // The control: what is searched for can be found, in a file and on a line.
    let plain = scratch(&cluster).join("plain");
    fs::write(&plain, MARKS[0]).expect("a file");
    assert_eq!(files_with(&scratch(&cluster), &all).len(), 1, "and in no backup");
    let mut open = TcpStream::connect(street.address()).await.expect("a connection");
    open.write_all(MARKS[0].as_bytes()).await.expect("sent");
    cluster.eventually("it is on tape", async || tapes_with(&street.tapes(), &all) == 1).await;

    // The province may not read it, not even by its reference, and finds no word.
    cluster.add_user("CN-440000", "province", "provincial_admin").await;
    let province = cluster.user("CN-440000", "province").await;
    assert_eq!(province.refused(&["desk", "show", reference]).await, "NOT_FOUND");
    assert_eq!(province.list(&["desk", "queue"]).await, [Value::Null; 0]);
    assert_eq!(province.finds("qxvopl").await, [Value::Null; 0]);

    // What a backup holds once it is opened is no more than what was searched before.
    let file = text(&scratch(&cluster).join("GB-LON.backup"));
    cluster.stop("GB-LON").await;
    cluster.yizhand("restore", "GB-LON", &["--from", &file]).await.expect_code(exit::DONE);
    assert_eq!(files_with(&cluster.path("GB-LON"), &all), [""; 0]);
}

#[tokio::test]
async fn the_province_counts_and_small_cells_are_hidden() {
    let cluster = province_and_london().await;
    let student = cluster.visitor("GB-LON");
    for n in 0..3 {
        student.ask(&in_london(&format!("case {n}"), &[])).await;
    }
    cluster.add_user("CN-440000", "province", "provincial_admin").await;
    let province = cluster.user("CN-440000", "province").await;
    let figures = province.ask(&["desk", "figures", "--point", "GB-LON"]).await;
    let london = &figures["points"][0];
    assert_eq!((word(london, "point"), &london["answered"]), ("GB-LON", &json!(true)));
    assert_eq!(london["cells"][0]["count"], "<5");
    assert_eq!(london["open"], "<5");
    let own = cluster.admin("GB-LON").await;
    let figures = own.ask(&["desk", "figures"]).await;
    assert_eq!(figures["points"][0]["cells"][0]["count"], "3");
    // Whoever works on some categories counts those, and learns nothing of the others.
    for (name, category, open) in [("legal", "legal", "0"), ("medic", "medical_advice", "3")] {
        cluster.add_user("GB-LON", name, "volunteer").await;
        let role = ["user", "role", "--name", name, "--role", "staff", "--also"];
        own.ask(&[&role[..], &["--categories", category]].concat()).await;
        let figures = cluster.user("GB-LON", name).await.ask(&["desk", "figures"]).await;
        let london = &figures["points"][0];
        assert_eq!(london["open"], open, "{name}: {london}");
        let cells = london["cells"].as_array().expect("cells");
        assert!(cells.iter().all(|cell| cell["category"] == category), "{name}: {london}");
        assert_eq!(cells.len(), usize::from(open != "0"), "{name}: {london}");
    }

    // What somebody at the desk enters for a client is flagged and counted as such.
    let by_phone = in_london("by phone", &["--channel", "phone"]);
    let refused = student.run(&by_phone).await.expect_code(exit::REFUSED).json();
    assert_eq!(field_reason(&refused), ("channel".into(), "not_permitted".into()));
    let entered = own.ask(&by_phone).await;
    let queue = own.list(&["desk", "queue"]).await;
    for one in &queue {
        let by_phone = one["reference"] == entered["reference"];
        assert_eq!(word(one, "channel"), if by_phone { "phone" } else { "client" });
    }
    let counted = async |who: &Client| {
        let figures = who.ask(&["desk", "figures", "--point", "GB-LON"]).await;
        figures["points"][0]["channels"].clone()
    };
    let channels = |client, phone| json!([{"channel": "client", "count": client}, {"channel": "phone", "count": phone}]);
    assert_eq!(counted(&own).await, channels("3", "1"));
    assert_eq!(counted(&province).await, channels("<5", "<5"));
}

#[tokio::test]
async fn a_draft_is_held_against_past_requests() {
    let cluster = province_and_london().await;
    let data = scratch(&cluster).join("requests");
    fs::create_dir_all(&data).expect("a directory");
    fs::copy(format!("{}/requests.csv", demo_data()), data.join("requests.csv")).expect("requests");
    let admin = cluster.admin("GB-LON").await;
    let report = admin.ask(&["import", &text(&data)]).await;
    let accepted = report["accepted"].as_u64().expect("a count");
    assert!(accepted > 30, "{report}");
    assert_eq!(admin.ask(&["import", &text(&data)]).await["accepted"], 0, "twice is once");
    let draft = scratch(&cluster).join("draft.json");
    fs::write(&draft, json!({"points": [{"code": "GB-LON", "areas": ["IE"]}]}).to_string())
        .unwrap();
    let replay = admin.ask(&["desk", "route", "--simulate", &text(&draft)]).await;
    assert_eq!(replay["replayed"], accepted);
    assert_eq!(replay["fallback_before"], 0);
    assert!(replay["moved"].as_u64().unwrap() > 0 && replay["fallback_after"] == replay["moved"]);
    let none = scratch(&cluster).join("none.json");
    fs::write(&none, "{}").unwrap();
    assert_eq!(admin.ask(&["desk", "route", "--simulate", &text(&none)]).await["moved"], 0);
}

#[tokio::test]
async fn a_desk_puts_right_counts_supplies_fixes_an_hour_and_points_elsewhere() {
    let cluster = Cluster::found("GB-LON").await;
    let (student, desk) = (cluster.visitor("GB-LON"), cluster.admin("GB-LON").await);
    let call = |category, words| {
        let mut call = vec!["help", "submit", "--category", category, "--country", "GB"];
        call.extend(["--lang", "en", "--text", words]);
        call
    };
    let track = async |asked: &Value| {
        let (reference, code) = (word(asked, "reference"), word(asked, "code"));
        student.ask(&["help", "track", reference, "--code", code]).await
    };

    let needs =
        [&call("supplies", "masks for a hall")[..], &["--supply", "mask:piece:100"]].concat();
    let needs = student.ask(&needs).await;
    let reference = word(&needs, "reference");
    let supply =
        |more: &'static str, value: &'static str| ["desk", "supply", reference, more, value];
    let refused = desk.run(&supply("--line", "mask:piece:100:150:0:0")).await;
    let (_, reason) = field_reason(&refused.expect_code(exit::REFUSED).json());
    assert_eq!(reason, "pledged_beyond_need");
    desk.ask(&supply("--line", "mask:piece:100:100:60:0")).await;
    desk.ask(&supply("--slot", "2030-01-02T10:00:00Z")).await;
    let content = track(&needs).await["content"].take();
    let line = &content["supplies"][0];
    assert_eq!((&line["pledged"], &line["sent"]), (&json!(100), &json!(60)), "{content}");
    assert_eq!(word(&content, "advice_slot_at"), "2030-01-02T10:00:00Z");

    let astray = student.ask(&call("study", "a lost passport")).await;
    let reference = word(&astray, "reference");
    let right = ["desk", "triage", reference, "--category", "documents", "--urgency", "urgent"];
    let right = desk.ask(&right).await;
    assert_eq!((word(&right, "category"), word(&right, "urgency")), ("documents", "urgent"));
    assert_eq!(right["clocks"][0]["target_minutes"], 240, "promised anew: {right}");
    let mut redirect = vec!["desk", "redirect", reference, "--reason", "not for us"];
    redirect.extend(["--to", "the consulate", "--contact", "+44 20 7299 4049"]);
    assert_eq!(word(&desk.ask(&redirect).await, "state"), "redirected");
    let told = track(&astray).await;
    assert_eq!(word(&told, "label"), "Not ours: see advice");
    assert_eq!(word(&told, "advice"), "not for us\nthe consulate\n+44 20 7299 4049");

    // Two people, one matter: the second is told how the first stands, and no word of it.
    let first = student.ask(&call("housing", "no heating in the hall")).await;
    let second = student.ask(&call("housing", "the hall is cold")).await;
    let (of, double) = (word(&first, "reference"), word(&second, "reference"));
    desk.ask(&["desk", "duplicate", double, "--of", of]).await;
    assert_eq!(word(&track(&second).await, "label"), "Received");
    desk.ask(&["desk", "assign", of]).await;
    desk.ask(&["desk", "reply", of, "--text", "for the first alone"]).await;
    desk.ask(&["desk", "resolve", of]).await;
    let told = track(&second).await;
    assert_eq!((word(&told, "label"), word(&told, "duplicate_of")), ("Done", of));
    assert_eq!(texts(&told["messages"]), [("client".into(), "the hall is cold".to_owned())]);
}

/// An address of this machine that nothing else uses.
const CALLER: &str = "127.0.0.77";

/// Passes callers on as if they came from there.
async fn from_afar(target: std::net::SocketAddr) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            tokio::spawn(async move {
                let socket = tokio::net::TcpSocket::new_v4()?;
                socket.bind(format!("{CALLER}:0").parse().expect("an address"))?;
                let mut far = socket.connect(target).await?;
                tokio::io::copy_bidirectional(&mut near, &mut far).await
            });
        }
    });
    address
}

#[tokio::test]
async fn nobody_who_asks_for_help_is_in_the_log_of_a_node() {
    let mut cluster = Cluster::found("GB-LON").await;
    cluster.stop("GB-LON").await;
    let log = "yizhan_server=trace,hyper=debug,tonic=debug,tower=debug,rustls=info".to_owned();
    cluster.start_with("GB-LON", &[("YIZHAN_LOG", log)]).await;
    let door = from_afar(cluster.addresses("GB-LON").public).await;
    let (ca, home) = (cluster.path("GB-LON").join("ca.pem"), scratch(&cluster).join("caller"));
    let caller = yizhan_tests::client::Client::new(door, &ca, &home);
    let mut call = vec!["help", "submit", "--category", "legal", "--country", "GB"];
    call.extend(["--lang", "en", "--text", TEXT, "--contact", "wechat: abc", "--key", "QKEYQ"]);
    let asked = caller.ask(&call).await;
    let (reference, code) = (word(&asked, "reference"), word(&asked, "code"));
    caller.ask(&["help", "track", reference, "--code", code]).await;
    caller.ask(&["help", "reply", reference, "--code", code, "--text", TEXT]).await;
    // Who comes as something else than a client.
    let mut stranger = TcpStream::connect(door).await.expect("a connection");
    let said = b"GET / HTTP/1.1\r\nUser-Agent: QAGENTQ\r\n\r\n";
    stranger.write_all(said).await.expect("it goes");
    cluster
        .eventually("the stranger is refused", async || {
            cluster.log("GB-LON").contains("handshake failed")
        })
        .await;
    let log = cluster.log("GB-LON");
    for mark in [CALLER, "QAGENTQ", "QKEYQ", "tonic/", "wechat", TEXT, code] {
        assert!(!log.contains(mark), "{mark} in {log}");
    }
}
