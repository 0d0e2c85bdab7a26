//! Passing a request from one point to another, on real nodes: with consent, declined, taken back, cut
//! at every step; and one link for life at every node.

use serde_json::Value;
use yizhan_tests::{
    client::{Client, exit},
    cluster::Cluster,
};

/// Stand in whatever nobody but the client and its handlers may read.
const MARK: &str = "WEIZHANGMARKER";
const CONTACT: &str = "marker-person@example.org";

fn word<'a>(document: &'a Value, key: &str) -> &'a str {
    document[key].as_str().unwrap_or_else(|| panic!("no {key} in {document}"))
}

/// A province with Guangzhou and London below it.
async fn three() -> Cluster {
    let mut cluster = Cluster::found("CN-440000").await;
    cluster.join("CN-440100", "CN-440000").await;
    cluster.join("GB-LON", "CN-440000").await;
    for point in ["CN-440100", "GB-LON"] {
        let status = cluster.admin(point).await;
        cluster
            .eventually("the roster is everywhere", async || {
                let feeds = status.status().await["feeds"].as_array().cloned().unwrap_or_default();
                feeds.iter().any(|feed| {
                    feed["audience"] == "roster" && feed["sequence"].as_u64().unwrap_or(0) >= 3
                })
            })
            .await;
    }
    cluster
}

/// Somebody asks in London; reference and code.
async fn asked(cluster: &Cluster) -> (String, String) {
    let text = format!("{MARK} 需要医疗建议");
    let asked = cluster
        .visitor("GB-LON")
        .ask(&[
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
            &text,
            "--contact",
            CONTACT,
            "--name",
            MARK,
        ])
        .await;
    assert_eq!(word(&asked, "owner"), "GB-LON");
    (word(&asked, "reference").to_owned(), word(&asked, "code").to_owned())
}

/// London offers to Guangzhou; the id of the handoff.
async fn offered(london: &Client, reference: &str) -> String {
    let summary = "student, medical advice, speaks Mandarin";
    let offer = ["desk", "handoff", reference, "--to", "CN-440100", "--summary", summary];
    let offered = london.ask(&offer).await;
    assert_eq!(word(&offered, "state"), "asked");
    word(&offered, "handoff").to_owned()
}

/// The handoff as one desk sees it; null if it does not.
async fn seen(desk: &Client, id: &str) -> Value {
    let all = desk.list(&["desk", "handoffs", "--ended"]).await;
    all.into_iter().find(|one| one["handoff"] == id).unwrap_or_default()
}

async fn until_state(cluster: &Cluster, desk: &Client, id: &str, state: &str) {
    cluster
        .eventually(&format!("the handoff is {state}"), async || {
            seen(desk, id).await["state"] == state
        })
        .await;
}

async fn owns(desk: &Client, reference: &str) -> bool {
    desk.list(&["desk", "queue"]).await.iter().any(|one| one["reference"] == reference)
}

/// Do any of a node's files hold these bytes?
fn on_disk(cluster: &Cluster, point: &str, mark: &str) -> bool {
    let mut folders = vec![cluster.path(point)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = std::fs::read(&path)
                && bytes.windows(mark.len()).any(|part| part == mark.as_bytes())
            {
                return true;
            }
        }
    }
    false
}

#[tokio::test]
async fn a_request_is_passed_on_with_consent_and_its_link_works_everywhere() {
    let cluster = three().await;
    let (reference, code) = asked(&cluster).await;
    let london = cluster.admin("GB-LON").await;
    let guangzhou = cluster.admin("CN-440100").await;
    london.ask(&["desk", "note", &reference, "--text", "first note"]).await;

    let id = offered(&london, &reference).await;
    let again = ["desk", "handoff", &reference, "--to", "CN-440000", "--summary", "again"];
    assert_eq!(london.refused(&again).await, "HANDOFF_OPEN");
    assert!(seen(&guangzhou, &id).await.is_null(), "nobody has agreed yet");

    let student = cluster.visitor("CN-440000");
    let track = ["help", "track", &reference, "--code", &code];
    let asked = student.ask(&track).await["handoff_asked"].take();
    assert_eq!(word(&asked, "to"), "CN-440100", "the client reads what it agrees to");
    assert_eq!(word(&asked, "summary"), "student, medical advice, speaks Mandarin");
    assert!(asked["expires_at"].is_string(), "{asked}");
    student.ask(&["help", "consent", &reference, "--code", &code]).await;
    assert!(student.ask(&track).await["handoff_asked"].is_null(), "it has been answered");
    until_state(&cluster, &guangzhou, &id, "offered").await;
    let preview = seen(&guangzhou, &id).await;
    assert_eq!(word(&preview, "category"), "medical_advice");
    assert_eq!(word(&preview, "language"), "zh-Hans");
    assert_eq!(word(&preview, "summary"), "student, medical advice, speaks Mandarin");
    assert_eq!(guangzhou.refused(&["desk", "show", &reference]).await, "NOT_FOUND");
    for point in ["CN-440100", "CN-440000"] {
        for mark in [MARK, CONTACT] {
            assert!(!on_disk(&cluster, point, mark), "{mark} at {point}");
        }
    }

    guangzhou.ask(&["desk", "accept", &id]).await;
    until_state(&cluster, &guangzhou, &id, "released").await;
    until_state(&cluster, &london, &id, "released").await;
    let opened = guangzhou.ask(&["desk", "show", &reference]).await;
    assert_eq!(word(&opened["content"], "contact"), CONTACT);
    cluster
        .eventually("the note has followed", async || {
            let opened = guangzhou.ask(&["desk", "show", &reference]).await;
            opened["messages"].as_array().unwrap().iter().any(|one| one["text"] == "first note")
        })
        .await;
    assert!(!owns(&london, &reference).await, "London keeps a stub");
    assert_eq!(london.refused(&["desk", "show", &reference]).await, "NOT_FOUND");
    assert_eq!(london.refused(&["desk", "recall", &id]).await, "MOVE_REFUSED");

    for point in ["GB-LON", "CN-440100", "CN-440000"] {
        let visitor = cluster.visitor(point);
        let tracked = visitor.ask(&["help", "track", &reference, "--code", &code]).await;
        assert_eq!(word(&tracked, "owner"), "CN-440100", "at {point}");
        assert_eq!(word(&tracked, "label_code"), "passed_on", "at {point}");
        assert_eq!(word(&tracked, "label"), "已转交 CN-440100", "at {point}");
    }
    // Whoever writes to the old owner's node reaches the new one.
    let wrote = ["help", "reply", &reference, "--code", &code, "--text", "a word from afar"];
    cluster.visitor("GB-LON").ask(&wrote).await;
    let opened = guangzhou.ask(&["desk", "show", &reference]).await;
    let messages = opened["messages"].as_array().unwrap();
    assert!(messages.iter().any(|one| one["text"] == "a word from afar"), "{opened}");
    for point in ["GB-LON", "CN-440100", "CN-440000"] {
        assert!(!on_disk(&cluster, point, MARK), "at {point}");
        cluster.yizhand("verify", point, &[]).await.expect_code(exit::DONE);
    }
}

#[tokio::test]
async fn an_offer_is_declined_or_taken_back_and_the_request_stays() {
    let cluster = three().await;
    let (reference, code) = asked(&cluster).await;
    let london = cluster.admin("GB-LON").await;
    let guangzhou = cluster.admin("CN-440100").await;
    let student = cluster.visitor("GB-LON");

    let id = offered(&london, &reference).await;
    student.ask(&["help", "consent", &reference, "--code", &code]).await;
    until_state(&cluster, &guangzhou, &id, "offered").await;
    let decline = ["desk", "decline", &id, "--reason", "no doctor here", "--suggest", "CN-440000"];
    guangzhou.ask(&decline).await;
    until_state(&cluster, &london, &id, "declined").await;
    let declined = seen(&london, &id).await;
    assert_eq!(word(&declined, "reason"), "no doctor here");
    assert_eq!(word(&declined, "suggested_point"), "CN-440000");
    assert!(owns(&london, &reference).await);

    // The client says no.
    let second = offered(&london, &reference).await;
    student.ask(&["help", "consent", &reference, "--code", &code, "--no"]).await;
    assert_eq!(word(&seen(&london, &second).await, "state"), "recalled");
    assert!(seen(&guangzhou, &second).await.is_null(), "nothing was disclosed");

    // Taken back by the desk.
    let third = offered(&london, &reference).await;
    student.ask(&["help", "consent", &reference, "--code", &code]).await;
    until_state(&cluster, &guangzhou, &third, "offered").await;
    london.ask(&["desk", "recall", &third]).await;
    until_state(&cluster, &guangzhou, &third, "recalled").await;
    assert_eq!(guangzhou.refused(&["desk", "accept", &third]).await, "NOT_FOUND");

    // Taken back by itself, when the client withdraws.
    let fourth = offered(&london, &reference).await;
    student.ask(&["help", "consent", &reference, "--code", &code]).await;
    until_state(&cluster, &guangzhou, &fourth, "offered").await;
    let elsewhere = cluster.visitor("CN-440100");
    elsewhere.ask(&["help", "withdraw", &reference, "--code", &code]).await;
    assert_eq!(word(&seen(&london, &fourth).await, "state"), "recalled");
    until_state(&cluster, &guangzhou, &fourth, "recalled").await;
    assert_eq!(guangzhou.refused(&["desk", "accept", &fourth]).await, "NOT_FOUND");
    assert!(!on_disk(&cluster, "CN-440100", MARK) && !on_disk(&cluster, "CN-440100", CONTACT));
}

#[tokio::test]
async fn of_an_offer_that_was_declined_nothing_stays_where_it_was_made() {
    let cluster = three().await;
    let (reference, code) = asked(&cluster).await;
    let (london, province) = (cluster.admin("GB-LON").await, cluster.admin("CN-440000").await);
    // Not Guangzhou, which keeps copies of what London has.
    let summary = "QKUMMARYMARKER, speaks Mandarin";
    let offer = ["desk", "handoff", &reference, "--to", "CN-440000", "--summary", summary];
    let id = word(&london.ask(&offer).await, "handoff").to_owned();
    cluster.visitor("GB-LON").ask(&["help", "consent", &reference, "--code", &code]).await;
    until_state(&cluster, &province, &id, "offered").await;
    assert!(on_disk(&cluster, "CN-440000", "QKUMMARYMARKER"));
    province.ask(&["desk", "decline", &id, "--reason", "no doctor here"]).await;
    until_state(&cluster, &london, &id, "declined").await;
    cluster
        .eventually("not even the log has a byte of it", async || {
            !on_disk(&cluster, "CN-440000", "QKUMMARYMARKER")
        })
        .await;
}

#[tokio::test]
async fn a_file_follows_its_request_and_the_old_owner_keeps_none() {
    let cluster = three().await;
    let folder = crate::people::scratch(&cluster).join("files");
    std::fs::create_dir_all(&folder).unwrap();
    let note = folder.join("note.txt");
    let words = "a note of several pieces. ".repeat(8_000);
    std::fs::write(&note, &words).unwrap();
    let file = crate::people::text(&note);
    let submit = [
        "help",
        "submit",
        "--category",
        "legal",
        "--country",
        "GB",
        "--city",
        "GBLON",
        "--lang",
        "en",
        "--text",
        "with a file",
        "--attach",
        &file,
    ];
    let asked = cluster.visitor("GB-LON").ask(&submit).await;
    let (reference, code) = (word(&asked, "reference"), word(&asked, "code"));
    let (london, guangzhou) = (cluster.admin("GB-LON").await, cluster.admin("CN-440100").await);
    let opened = london.ask(&["desk", "show", reference]).await;
    let file = word(&opened["content"]["attachments"][0], "id").to_owned();
    let id = offered(&london, reference).await;
    cluster.visitor("GB-LON").ask(&["help", "consent", reference, "--code", code]).await;
    until_state(&cluster, &guangzhou, &id, "offered").await;
    assert_eq!(pieces(&cluster, "CN-440100").await, 0, "an offer discloses nothing");
    guangzhou.ask(&["desk", "accept", &id]).await;
    until_state(&cluster, &guangzhou, &id, "released").await;
    cluster
        .eventually("the file has followed, and London has none", async || {
            pieces(&cluster, "CN-440100").await == 4 && pieces(&cluster, "GB-LON").await == 0
        })
        .await;
    let to = crate::people::text(&folder.join("out"));
    guangzhou.ask(&["desk", "attachment", reference, &file, "--to", &to]).await;
    assert_eq!(std::fs::read_to_string(&to).unwrap(), words);
}

/// Sealed pieces of files in a node's tables.
async fn pieces(cluster: &Cluster, point: &str) -> i64 {
    count(cluster, point, "select count(*) from attachment_pieces").await
}

pub async fn count(cluster: &Cluster, point: &str, sql: &'static str) -> i64 {
    use sqlx::Connection;
    let file = cluster.path(point).join("yizhan.db");
    let address = format!("sqlite:{}?mode=ro", file.display());
    sqlx::any::install_default_drivers();
    let mut db = sqlx::AnyConnection::connect(&address).await.expect("the node's tables");
    let count = sqlx::query_scalar(sql);
    count.fetch_one(&mut db).await.expect("a count")
}

#[tokio::test]
async fn passing_on_without_asking_the_client_needs_a_second_person() {
    let cluster = three().await;
    let (reference, _) = asked(&cluster).await;
    let london = cluster.admin("GB-LON").await;
    let summary =
        ["--summary", "student, medical advice", "--override", "in hospital, cannot answer"];
    let offer = [&["desk", "handoff", &reference, "--to", "CN-440100"][..], &summary[..]].concat();
    let approval = london.ask(&offer).await;
    let approval = word(&approval, "approval");
    assert!(london.list(&["desk", "handoffs"]).await.is_empty(), "nothing is offered yet");
    assert_eq!(london.refused(&["approval", "give", approval]).await, "OWN_APPROVAL");
    cluster.add_user("GB-LON", "second", "point_admin").await;
    let second = cluster.user("GB-LON", "second").await;
    second.ask(&["approval", "give", approval]).await;
    // The agreement has offered it; asked again it is the same offer.
    let open = london.list(&["desk", "handoffs"]).await;
    assert_eq!(open.len(), 1, "{open:?}");
    let offered = london.ask(&offer).await;
    assert_eq!(offered["id"], open[0]["id"]);
    assert_eq!(word(&offered, "state"), "offered");
    assert_eq!(word(&offered, "override"), "in hospital, cannot answer");
}

#[tokio::test]
async fn two_persons_open_a_request_and_its_client_is_told() {
    let cluster = three().await;
    let (reference, code) = asked(&cluster).await;
    let london = cluster.admin("GB-LON").await;
    cluster.add_user("GB-LON", "province", "provincial_admin").await;
    let province = cluster.user("GB-LON", "province").await;
    assert_eq!(province.refused(&["desk", "show", &reference]).await, "NOT_FOUND");
    let open = ["desk", "break-glass", &reference, "--reason", "danger to life"];
    let asked = province.ask(&open).await;
    // What is not there is answered alike.
    let unknown = ["desk", "break-glass", "LON-23-00012-A", "--reason", "danger to life"];
    let keys = |answer: &Value| answer.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&province.ask(&unknown).await), ["approval"]);
    assert_eq!(keys(&asked), ["approval"]);
    let waiting = london.list(&["approval", "list"]).await;
    let about =
        |one: &&Value| one["subject"].as_str().is_some_and(|text| text.contains(&reference));
    let approval = waiting.iter().find(about).expect("an approval");
    assert_eq!(approval["id"], asked["approval"]);
    london.ask(&["approval", "give", word(approval, "id")]).await;
    let opened = province.ask(&open).await;
    assert!(word(&opened["content"], "text").contains(MARK));
    assert_eq!(keys(&province.ask(&open).await), ["approval"], "once");
    let tracked =
        cluster.visitor("GB-LON").ask(&["help", "track", &reference, "--code", &code]).await;
    let told = tracked["messages"].as_array().unwrap().iter().any(|one| {
        one["from"] == "system"
            && one["text"].as_str().is_some_and(|text| text.contains("danger to life"))
    });
    assert!(told, "{tracked}");
    cluster.add_user("GB-LON", "auditor", "auditor").await;
    let lines = cluster.user("GB-LON", "auditor").await.list(&["audit", "list"]).await;
    for outcome in ["not_found", "approval_asked", "approval_given", "approval_used", "shown"] {
        assert!(lines.iter().any(|line| line["outcome"] == outcome), "{outcome}: {lines:?}");
    }
}

#[tokio::test]
async fn a_deputy_opens_its_copy_when_the_owner_is_gone() {
    let mut cluster = three().await;
    let (reference, code) = asked(&cluster).await;
    let london = cluster.admin("GB-LON").await;
    london.ask(&["desk", "reply", &reference, "--text", "see a doctor"]).await;
    // Not above London, and with a node of its own: Guangzhou.
    let opened = london.ask(&["desk", "show", &reference]).await;
    assert_eq!(opened["readers"], serde_json::json!(["GB-LON", "CN-440100"]));
    cluster.add_user("CN-440100", "second", "point_admin").await;
    let first = cluster.admin("CN-440100").await;
    let second = cluster.user("CN-440100", "second").await;
    let open = ["desk", "break-glass", &reference, "--reason", "London is cut off"];
    let agreed = async || {
        first.ask(&open).await["approval"].as_str().expect("an approval");
        let waiting = second.list(&["approval", "list"]).await;
        let approval = waiting.iter().find(|one| one["state"] == "open").expect("an approval");
        second.ask(&["approval", "give", word(approval, "id")]).await;
    };
    agreed().await;
    cluster
        .eventually("the copy has come, and London answers", async || {
            let refused = first.run(&open).await.json();
            let reason = refused["error"]["reason"].as_str().unwrap_or_default().to_owned();
            if reason != "OWNER_REACHABLE" {
                agreed_again(&first, &second, &open).await;
            }
            reason == "OWNER_REACHABLE"
        })
        .await;
    cluster
        .eventually("the answer has been copied, too", async || {
            count(&cluster, "CN-440100", "select count(*) from help_copies where kind = 30").await
                == 1
        })
        .await;
    cluster.kill("GB-LON").await;
    agreed().await;
    let opened = first.ask(&open).await;
    assert!(word(&opened["content"], "text").contains(MARK));
    let messages = opened["messages"].as_array().unwrap();
    assert!(messages.iter().any(|one| one["text"] == "see a doctor"), "{opened}");
    cluster.start("GB-LON").await;
    let visitor = cluster.visitor("GB-LON");
    cluster
        .eventually("the client is told", async || {
            let tracked = visitor.ask(&["help", "track", &reference, "--code", &code]).await;
            let messages = tracked["messages"].as_array().cloned().unwrap_or_default();
            messages.iter().any(|one| one["from"] == "system")
        })
        .await;
}

#[tokio::test]
async fn a_deputy_opens_its_copy_when_the_owner_has_left_the_network() {
    let mut cluster = three().await;
    let (reference, code) = asked(&cluster).await;
    cluster
        .eventually("Guangzhou keeps a copy", async || {
            count(&cluster, "CN-440100", "select count(*) from help_copies where kind = 11").await
                == 1
        })
        .await;
    cluster.add_user("CN-440100", "second", "point_admin").await;
    let first = cluster.admin("CN-440100").await;
    let second = cluster.user("CN-440100", "second").await;
    cluster.kill("GB-LON").await;
    let revoke = ["--point", "GB-LON", "--reason", "closed down"];
    cluster.yizhand("revoke", "CN-440000", &revoke).await.expect_code(exit::DONE);
    // Whoever took it in does not answer any more: said alike to every code.
    let (right, wrong) = (code.clone(), format!("{}{}", &code[..code.len() - 1], "X"));
    let visitor = cluster.visitor("CN-440100");
    let track = ["help", "track", &reference, "--code", &right];
    cluster
        .eventually("Guangzhou knows that London has left", async || {
            let answer = visitor.run(&track).await.json();
            answer["error"]["reason"] == "OWNER_REVOKED"
        })
        .await;
    let mistaken = visitor.run(&["help", "track", &reference, "--code", &wrong]).await.json();
    let reason = mistaken["error"]["reason"].as_str().unwrap_or_default();
    assert!(reason == "OWNER_REVOKED" || mistaken["error"]["code"] == "INVALID_ARGUMENT");
    let open = ["desk", "break-glass", &reference, "--reason", "London is gone"];
    first.ask(&open).await["approval"].as_str().expect("an approval");
    agreed_again(&first, &second, &open).await;
    let opened = first.ask(&open).await;
    assert!(word(&opened["content"], "text").contains(MARK), "{opened}");
}

/// Whatever waits is agreed to, unless it was before.
async fn agreed_again(first: &Client, second: &Client, open: &[&str]) {
    first.run(open).await;
    for one in second.list(&["approval", "list"]).await {
        if one["state"] == "open" {
            second.run(&["approval", "give", word(&one, "id")]).await;
        }
    }
}

/// What is done to a line or a node after a step, and undone before the end.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Cut {
    London,
    Guangzhou,
    KillLondon,
    KillGuangzhou,
}

/// Every step of a handoff, with the network cut or a node killed right after it.
#[tokio::test]
async fn a_handoff_that_is_cut_at_any_step_ends_with_one_owner() {
    let mut cluster = three().await;
    for cut in [Cut::London, Cut::Guangzhou, Cut::KillLondon, Cut::KillGuangzhou] {
        for step in 0..3 {
            passed_on_in_spite_of(&mut cluster, cut, step).await;
        }
    }
    cluster.assert_faults_fired();
    for point in ["GB-LON", "CN-440100"] {
        cluster.yizhand("verify", point, &[]).await.expect_code(exit::DONE);
    }
}

async fn passed_on_in_spite_of(cluster: &mut Cluster, cut: Cut, step: usize) {
    let (reference, code) = asked(cluster).await;
    let london = cluster.admin("GB-LON").await;
    let id = offered(&london, &reference).await;
    let about = format!("{cut:?} after step {step}");

    // Steps: the client has agreed; the offer has come; it was accepted.
    let consent = ["help", "consent", &reference, "--code", &code];
    cluster.visitor("GB-LON").ask(&consent).await;
    if step == 0 {
        break_and_mend(cluster, cut).await;
    }
    let guangzhou = cluster.admin("CN-440100").await;
    until_state(cluster, &guangzhou, &id, "offered").await;
    if step == 1 {
        break_and_mend(cluster, cut).await;
    }
    let guangzhou = cluster.admin("CN-440100").await;
    guangzhou.ask(&["desk", "accept", &id]).await;
    if step == 2 {
        break_and_mend(cluster, cut).await;
    }
    let (london, guangzhou) = (cluster.admin("GB-LON").await, cluster.admin("CN-440100").await);
    cluster
        .eventually("one of them owns it, and it is Guangzhou", async || {
            // Guangzhou first: London has let go before it owns the request.
            let there = owns(&guangzhou, &reference).await;
            let here = owns(&london, &reference).await;
            assert!(!(here && there), "two owners: {about}");
            there
        })
        .await;
    assert_eq!(word(&seen(&london, &id).await, "state"), "released", "{about}");
    let opened = guangzhou.ask(&["desk", "show", &reference]).await;
    assert!(word(&opened["content"], "text").contains(MARK), "{about}");
}

async fn break_and_mend(cluster: &mut Cluster, cut: Cut) {
    match cut {
        Cut::London => {
            cluster.cut_off("GB-LON");
            tokio::time::sleep(std::time::Duration::from_millis(700)).await;
            cluster.rejoin("GB-LON");
        }
        Cut::Guangzhou => {
            cluster.cut_off("CN-440100");
            tokio::time::sleep(std::time::Duration::from_millis(700)).await;
            cluster.rejoin("CN-440100");
        }
        Cut::KillLondon => {
            cluster.kill("GB-LON").await;
            cluster.start("GB-LON").await;
        }
        Cut::KillGuangzhou => {
            cluster.kill("CN-440100").await;
            cluster.start("CN-440100").await;
        }
    }
}

/// The cut of the book: after RELEASE is committed, before it arrives.
#[tokio::test]
async fn a_release_that_is_under_way_when_the_line_breaks_arrives_once() {
    let cluster = three().await;
    let (reference, code) = asked(&cluster).await;
    let london = cluster.admin("GB-LON").await;
    let guangzhou = cluster.admin("CN-440100").await;
    let id = offered(&london, &reference).await;
    cluster.visitor("GB-LON").ask(&["help", "consent", &reference, "--code", &code]).await;
    until_state(&cluster, &guangzhou, &id, "offered").await;
    // Guangzhou's word gets out, and nothing gets in to it any more.
    cluster.line("CN-440100").stall(yizhan_tests::proxy::Direction::Down, true);
    guangzhou.ask(&["desk", "accept", &id]).await;
    until_state(&cluster, &london, &id, "released").await;
    assert!(!owns(&london, &reference).await && !owns(&guangzhou, &reference).await);
    let right = ["help", "track", &reference, "--code", &code];
    assert_eq!(cluster.visitor("GB-LON").refused(&right).await, "OWNER_UNAVAILABLE");
    // London knows the stub alone, and says the same to a wrong code.
    let (_, other) = asked(&cluster).await;
    let wrong = ["help", "track", &reference, "--code", &other];
    assert_eq!(cluster.visitor("GB-LON").refused(&wrong).await, "OWNER_UNAVAILABLE");

    cluster.line("CN-440100").heal();
    cluster.eventually("Guangzhou owns it", async || owns(&guangzhou, &reference).await).await;
    assert!(!owns(&london, &reference).await);
    let tracked = cluster.visitor("GB-LON").ask(&right).await;
    assert_eq!(word(&tracked, "owner"), "CN-440100");
    assert_eq!(cluster.visitor("GB-LON").refused(&wrong).await, "NOT_FOUND");
}

/// A node is killed while a RELEASE has not come, and while nobody knows that it has.
#[tokio::test]
async fn a_release_survives_kills_until_both_sides_know_of_it() {
    use yizhan_tests::proxy::Direction;
    let mut cluster = three().await;
    for (has_come, killed) in
        [(false, "GB-LON"), (false, "CN-440100"), (true, "GB-LON"), (true, "CN-440100")]
    {
        let about = format!("{killed} killed, has come: {has_come}");
        let (reference, code) = asked(&cluster).await;
        let (london, guangzhou) = (cluster.admin("GB-LON").await, cluster.admin("CN-440100").await);
        let id = offered(&london, &reference).await;
        cluster.visitor("GB-LON").ask(&["help", "consent", &reference, "--code", &code]).await;
        until_state(&cluster, &guangzhou, &id, "offered").await;
        // Guangzhou's word gets out, and nothing gets in to it any more.
        cluster.line("CN-440100").stall(Direction::Down, true);
        guangzhou.ask(&["desk", "accept", &id]).await;
        until_state(&cluster, &london, &id, "released").await;
        if has_come {
            // And now the other way round.
            cluster.line("CN-440100").stall(Direction::Up, true);
            cluster.line("CN-440100").stall(Direction::Down, false);
            cluster.eventually("it has come", async || owns(&guangzhou, &reference).await).await;
        }
        cluster.kill(killed).await;
        cluster.line("CN-440100").heal();
        cluster.start(killed).await;
        let (london, guangzhou) = (cluster.admin("GB-LON").await, cluster.admin("CN-440100").await);
        cluster
            .eventually("Guangzhou owns it, and nobody else", async || {
                let here = owns(&london, &reference).await;
                assert!(!here, "two owners, or the old one again: {about}");
                owns(&guangzhou, &reference).await
            })
            .await;
        let track = ["help", "track", &reference, "--code", &code];
        let visitor = cluster.visitor("GB-LON");
        cluster
            .eventually("its client is led there", async || {
                let tracked = visitor.run(&track).await;
                tracked.code == exit::DONE && word(&tracked.json(), "owner") == "CN-440100"
            })
            .await;
        // A request goes on only when its former owner knows that it has come, and keeps nothing of it.
        let on = ["desk", "handoff", &reference, "--to", "CN-440000", "--summary", "again"];
        let next = word(&guangzhou.ask(&on).await, "handoff").to_owned();
        cluster.visitor("GB-LON").ask(&["help", "consent", &reference, "--code", &code]).await;
        let province = cluster.admin("CN-440000").await;
        until_state(&cluster, &province, &next, "offered").await;
        province.ask(&["desk", "accept", &next]).await;
        cluster.eventually("it goes on", async || owns(&province, &reference).await).await;
        assert!(!owns(&guangzhou, &reference).await && !owns(&london, &reference).await);
    }
    for point in ["GB-LON", "CN-440100"] {
        cluster.yizhand("verify", point, &[]).await.expect_code(exit::DONE);
    }
}

/// The line is cut before the client agrees, while the destination declines, and while the offer is taken
/// back and accepted at once.
#[tokio::test]
async fn an_offer_that_is_answered_while_the_line_is_cut_ends_with_one_owner() {
    let cluster = three().await;
    let (reference, code) = asked(&cluster).await;
    let (london, guangzhou) = (cluster.admin("GB-LON").await, cluster.admin("CN-440100").await);
    let student = cluster.visitor("GB-LON");
    let consent = ["help", "consent", &reference, "--code", &code];
    // Each cut lasts until it has been noticed, and dialled in vain.
    let in_vain = async || {
        let noticed = async || cluster.line("CN-440100").inert().is_empty();
        cluster.eventually("Guangzhou has dialled in vain", noticed).await;
    };

    let first = offered(&london, &reference).await;
    cluster.cut_off("CN-440100");
    student.ask(&consent).await;
    assert!(owns(&london, &reference).await && seen(&guangzhou, &first).await.is_null());
    in_vain().await;
    cluster.rejoin("CN-440100");
    until_state(&cluster, &guangzhou, &first, "offered").await;

    cluster.cut_off("CN-440100");
    guangzhou.ask(&["desk", "decline", &first, "--reason", "no doctor here"]).await;
    assert!(owns(&london, &reference).await && !owns(&guangzhou, &reference).await);
    in_vain().await;
    cluster.rejoin("CN-440100");
    until_state(&cluster, &london, &first, "declined").await;

    let second = offered(&london, &reference).await;
    student.ask(&consent).await;
    until_state(&cluster, &guangzhou, &second, "offered").await;
    cluster.cut_off("CN-440100");
    london.ask(&["desk", "recall", &second]).await;
    guangzhou.ask(&["desk", "accept", &second]).await;
    assert!(owns(&london, &reference).await && !owns(&guangzhou, &reference).await);
    in_vain().await;
    cluster.rejoin("CN-440100");
    for desk in [&london, &guangzhou] {
        until_state(&cluster, desk, &second, "recalled").await;
    }
    assert!(owns(&london, &reference).await && !owns(&guangzhou, &reference).await);
    cluster.assert_faults_fired();
}

/// An old backup of the old owner makes no second one.
#[tokio::test]
async fn a_request_that_was_passed_on_stays_gone_after_an_old_backup_was_put_back() {
    let mut cluster = three().await;
    let (reference, code) = asked(&cluster).await;
    let (london, guangzhou) = (cluster.admin("GB-LON").await, cluster.admin("CN-440100").await);
    let backup = crate::people::text(&crate::people::scratch(&cluster).join("before.backup"));
    cluster.yizhand("backup", "GB-LON", &["--to", &backup]).await.expect_code(exit::DONE);
    let id = offered(&london, &reference).await;
    cluster.visitor("GB-LON").ask(&["help", "consent", &reference, "--code", &code]).await;
    until_state(&cluster, &guangzhou, &id, "offered").await;
    guangzhou.ask(&["desk", "accept", &id]).await;
    cluster.eventually("Guangzhou owns it", async || owns(&guangzhou, &reference).await).await;

    cluster.stop("GB-LON").await;
    cluster.yizhand("restore", "GB-LON", &["--from", &backup]).await.expect_code(exit::DONE);
    cluster.start("GB-LON").await;
    let london = cluster.admin("GB-LON").await;
    cluster
        .eventually("the node writes again", async || {
            london.status().await["recovery"]["reconciling"] == Value::Bool(false)
        })
        .await;
    assert!(!owns(&london, &reference).await, "two owners");
    assert!(owns(&guangzhou, &reference).await);
    let right = ["help", "track", &reference, "--code", &code];
    let visitor = cluster.visitor("GB-LON");
    cluster
        .eventually("its client is led on", async || {
            let tracked = visitor.run(&right).await;
            tracked.code == exit::DONE && word(&tracked.json(), "owner") == "CN-440100"
        })
        .await;
}

#[tokio::test]
async fn an_owner_that_cannot_be_reached_is_said_alike_for_right_and_wrong_codes() {
    let mut cluster = three().await;
    let (reference, code) = asked(&cluster).await;
    let (_, other) = asked(&cluster).await;
    cluster.kill("GB-LON").await;
    let visitor = cluster.visitor("CN-440100");
    for code in [&code, &other] {
        let track = ["help", "track", &reference, "--code", code];
        assert_eq!(visitor.refused(&track).await, "OWNER_UNAVAILABLE");
    }
    cluster.start("GB-LON").await;
    let right = ["help", "track", &reference, "--code", &code];
    cluster
        .eventually("the way is open again", async || visitor.run(&right).await.code == exit::DONE)
        .await;
    let wrong = ["help", "track", &reference, "--code", &other];
    assert_eq!(visitor.refused(&wrong).await, "NOT_FOUND");
}

#[tokio::test]
async fn twenty_wrong_codes_are_enough_for_a_while() {
    let cluster = Cluster::found("GB-LON").await;
    let (reference, _) = asked(&cluster).await;
    let (_, wrong) = asked(&cluster).await;
    let visitor = cluster.visitor("GB-LON");
    let unknown = reference.replace("-00001-", "-00007-");
    let mistyped = visitor.run(&["help", "track", &unknown, "--code", &wrong]).await;
    assert_eq!(mistyped.json()["error"]["code"], "INVALID_ARGUMENT", "before any look-up");
    let track = ["help", "track", &reference, "--code", &wrong];
    for _ in 0..20 {
        let refused = visitor.run(&track).await.json();
        assert_eq!(refused["error"]["reason"], "NOT_FOUND", "{refused}");
    }
    let refused = visitor.run(&track).await.json();
    assert_eq!(refused["error"]["code"], "RESOURCE_EXHAUSTED", "{refused}");
    let message = word(&refused["error"], "message");
    assert!(message.contains("try again in"), "{message}");
    // Whoever asks for help is not kept out by that.
    asked(&cluster).await;
}

#[tokio::test]
async fn one_key_at_two_nodes_is_one_request_and_both_references_lead_to_it() {
    let cluster = three().await;
    let london = cluster.admin("GB-LON").await;
    // One person, whose first try came to nothing that it knows of.
    let home = crate::people::scratch(&cluster).join("student");
    let at = |point: &str| {
        let ca = cluster.path(point).join("ca.pem");
        Client::new(cluster.addresses(point).public, &ca, &home)
    };
    let mut call = vec!["help", "submit", "--category", "legal", "--country", "GB"];
    call.extend(["--lang", "en", "--text", "a lease", "--key", "once"]);
    let far = at("CN-440100").ask(&call).await;
    let (first, code) = (word(&far, "reference"), word(&far, "code"));
    cluster.eventually("it has come to London", async || owns(&london, first).await).await;
    let near = at("GB-LON").ask(&call).await;
    let second = word(&near, "reference");
    assert_eq!(word(&near, "code"), code);
    assert_ne!(first, second);
    let queue = london.list(&["desk", "queue"]).await;
    assert_eq!(queue.len(), 1, "{queue:?}");
    assert_eq!(word(&queue[0], "reference"), first);

    // A word under either reference reaches the one request.
    for (n, reference) in [first, second].into_iter().enumerate() {
        let text = format!("word {n}");
        let reply = ["help", "reply", reference, "--code", code, "--text", &text];
        at(["GB-LON", "CN-440100"][n]).ask(&reply).await;
    }
    let opened = london.ask(&["desk", "show", first]).await;
    for text in ["word 0", "word 1"] {
        let messages = opened["messages"].as_array().unwrap();
        assert!(messages.iter().any(|one| one["text"] == text), "{text} in {opened}");
    }
    london.ask(&["desk", "reply", first, "--text", "an answer"]).await;
    let tracked = async |point: &str, reference: &str| {
        at(point).ask(&["help", "track", reference, "--code", code]).await
    };
    for reference in [first, second] {
        let tracked = tracked("CN-440000", reference).await;
        assert_eq!(word(&tracked, "label"), "In progress", "{reference}");
        assert_eq!(word(&tracked["messages"][0], "text"), "a lease", "{reference}");
    }

    // And so they do after it has been passed on.
    let id = offered(&london, first).await;
    at("CN-440000").ask(&["help", "consent", second, "--code", code]).await;
    let guangzhou = cluster.admin("CN-440100").await;
    until_state(&cluster, &guangzhou, &id, "offered").await;
    guangzhou.ask(&["desk", "accept", &id]).await;
    until_state(&cluster, &guangzhou, &id, "released").await;
    for point in ["GB-LON", "CN-440100", "CN-440000"] {
        for reference in [first, second] {
            let tracked = tracked(point, reference).await;
            assert_eq!(word(&tracked, "owner"), "CN-440100", "{reference} at {point}");
        }
    }
    at("GB-LON").ask(&["help", "withdraw", second, "--code", code]).await;
    assert_eq!(word(&tracked("CN-440100", first).await, "state"), "withdrawn");
}

#[tokio::test]
async fn a_new_deputy_gets_what_it_can_open_and_the_old_one_keeps_nothing() {
    let mut cluster = three().await;
    let (reference, _) = asked(&cluster).await;
    const COPIES: &str = "select count(*) from help_copies where kind = 11";
    cluster
        .eventually("Guangzhou keeps a copy", async || {
            count(&cluster, "CN-440100", COPIES).await == 1
        })
        .await;
    // The first of those that are not above London.
    cluster.join("AU-SYD", "CN-440000").await;
    cluster
        .eventually("Sydney keeps it, and Guangzhou does not", async || {
            count(&cluster, "AU-SYD", COPIES).await == 1
                && count(&cluster, "CN-440100", "select count(*) from help_copies").await == 0
        })
        .await;
    let opened = cluster.admin("GB-LON").await.ask(&["desk", "show", &reference]).await;
    assert_eq!(opened["readers"], serde_json::json!(["GB-LON", "AU-SYD"]));
    cluster.kill("GB-LON").await;
    cluster.add_user("AU-SYD", "second", "point_admin").await;
    let (first, second) = (cluster.admin("AU-SYD").await, cluster.user("AU-SYD", "second").await);
    let open = ["desk", "break-glass", &reference, "--reason", "London is gone"];
    first.ask(&open).await["approval"].as_str().expect("an approval");
    agreed_again(&first, &second, &open).await;
    let opened = first.ask(&open).await;
    assert!(word(&opened["content"], "text").contains(MARK), "{opened}");
    cluster.start("GB-LON").await;
}

#[tokio::test]
async fn a_call_that_is_repeated_claims_no_second_copy_of_its_file() {
    let cluster = Cluster::found("GB-LON").await;
    let note = crate::people::scratch(&cluster).join("note.txt");
    std::fs::write(&note, "a note").unwrap();
    let file = crate::people::text(&note);
    let mut call = vec!["help", "submit", "--category", "legal", "--country", "GB", "--lang", "en"];
    call.extend(["--text", "with a file", "--key", "once", "--attach", &file]);
    let visitor = cluster.visitor("GB-LON");
    let (first, second) = (visitor.ask(&call).await, visitor.ask(&call).await);
    assert_eq!(word(&first, "reference"), word(&second, "reference"));
    let claimed = "select count(*) from attachments where length(request) > 0";
    assert_eq!(count(&cluster, "GB-LON", claimed).await, 1, "the other is swept away");
}

/// Owners that leave the network while a request is on its way to them.
#[tokio::test]
async fn a_request_that_was_on_its_way_to_a_revoked_point_comes_back() {
    let cluster = three().await;
    let (reference, code) = asked(&cluster).await;
    let london = cluster.admin("GB-LON").await;
    let guangzhou = cluster.admin("CN-440100").await;
    london.ask(&["desk", "note", &reference, "--text", "first note"]).await;
    let id = offered(&london, &reference).await;
    cluster.visitor("GB-LON").ask(&["help", "consent", &reference, "--code", &code]).await;
    until_state(&cluster, &guangzhou, &id, "offered").await;
    // Guangzhou's word gets out, and nothing gets in to it any more.
    cluster.line("CN-440100").stall(yizhan_tests::proxy::Direction::Down, true);
    guangzhou.ask(&["desk", "accept", &id]).await;
    until_state(&cluster, &london, &id, "released").await;
    assert!(!owns(&london, &reference).await, "on its way");
    let revoke = ["--point", "CN-440100", "--reason", "closed down"];
    cluster.yizhand("revoke", "CN-440000", &revoke).await.expect_code(exit::DONE);
    until_state(&cluster, &london, &id, "returned").await;
    assert!(owns(&london, &reference).await && !owns(&guangzhou, &reference).await);
    let opened = london.ask(&["desk", "show", &reference]).await;
    assert!(word(&opened["content"], "text").contains(MARK));
    assert!(opened["messages"].as_array().unwrap().iter().any(|one| one["text"] == "first note"));
    for point in ["GB-LON", "CN-440000"] {
        let visitor = cluster.visitor(point);
        let tracked = visitor.ask(&["help", "track", &reference, "--code", &code]).await;
        assert_eq!(word(&tracked, "owner"), "GB-LON", "at {point}");
    }
    let again = ["desk", "handoff", &reference, "--to", "CN-440000", "--summary", "again"];
    london.ask(&again).await;
    // What was on the line already may reach Guangzhou when it is mended: it is out of the network, and
    // whatever it makes of it binds nobody there.
    cluster.line("CN-440100").heal();
    let track = ["help", "track", &reference, "--code", &code];
    for _ in 0..3 {
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
        assert!(owns(&london, &reference).await);
        let tracked = cluster.visitor("CN-440000").ask(&track).await;
        assert_eq!(word(&tracked, "owner"), "GB-LON");
    }
    cluster.yizhand("verify", "GB-LON", &[]).await.expect_code(exit::DONE);
}

#[tokio::test]
async fn a_reference_of_a_point_that_was_renamed_leads_to_it_from_every_node() {
    let cluster = crate::escalation::always_open().await;
    let london = cluster.admin("GB-LON").await;
    let called = async |short: &str| {
        let change = serde_json::json!({ "short": short });
        let file = crate::people::document(&cluster, "short.json", &change);
        london.ask(&["point", "update", "GB-LON", "--file", &file]).await;
        for point in ["CN-440000", "CN-440100"] {
            let client = cluster.admin(point).await;
            cluster
                .eventually("the new name is everywhere", async || {
                    client.ask(&["point", "get", "GB-LON"]).await["short"] == short
                })
                .await;
        }
        let mut under_it = (String::new(), String::new());
        cluster
            .eventually("references are given under it", async || {
                under_it = asked(&cluster).await;
                under_it.0.starts_with(&format!("{short}-"))
            })
            .await;
        under_it
    };
    // None of these is what its code would give.
    let (reference, code) = called("LDN").await;
    called("THAME").await;
    let entry = london.ask(&["point", "get", "GB-LON"]).await;
    assert_eq!(entry["former_shorts"], serde_json::json!(["LON", "LDN"]));
    for point in ["CN-440000", "CN-440100", "GB-LON"] {
        let track = ["help", "track", &reference, "--code", &code];
        let tracked = cluster.visitor(point).ask(&track).await;
        assert_eq!(word(&tracked, "owner"), "GB-LON", "at {point}");
    }
}
