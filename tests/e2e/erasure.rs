//! Erasure: by the person or by two others, everywhere, with a certificate, and for good.

use std::time::Instant;

use futures::StreamExt;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use yizhan_client::{channel::Node, document};
use yizhan_proto::v1;
use yizhan_tests::{
    client::{Client, exit},
    cluster::{ADMIN, Cluster},
    postgres::Postgres,
};

use crate::people::{
    self, NETWORK_PURPOSE, Person, erase_by_two, own_account, person, scratch, text, traces,
};

const HOME: &str = "CN-440100";
const NOBODY: &str = "01890000-0000-7000-8000-000000000001";

async fn certificate(client: &Client, id: &str) -> (u64, u64, String) {
    let document = client.ask(&["member", "where", id]).await;
    let certificate = &document["certificate"];
    let number = |key: &str| certificate[key].as_u64().unwrap_or_default();
    let state = certificate["state"].as_str().unwrap_or_default().to_owned();
    (number("receipts"), number("points"), state)
}

async fn network() -> Cluster {
    let mut cluster = Cluster::found("CN-440000").await;
    cluster.join(HOME, "CN-440000").await;
    cluster.join("GB-LON", "CN-440000").await;
    cluster
}

#[tokio::test]
async fn what_is_held_about_a_person_is_told_line_by_line() {
    let cluster = Cluster::found("CN-440000").await;
    let home = cluster.admin("CN-440000").await;
    let id = person("Curious").create_shown(&cluster, &home).await;
    let group = json!({"kind": "liaison", "titles": {"en": "Liaison"}, "state": "running"});
    let file = people::document(&cluster, "group.json", &group);
    let group = text_of(&home.ask(&["group", "create", "--file", &file]).await["id"]);
    let enrol = ["group", "enrol", &group, "--member", &id, "--region", "440100"];
    let place = text_of(&home.ask(&enrol).await["id"]);
    let days = ["--from", "2035-10-01", "--to", "2035-10-07"];
    let duty = ["group", "duty", &group, "--set", &place, "--region", "440100"];
    home.ask(&[&duty[..], &days].concat()).await;

    let own = own_account(&cluster, "CN-440000", &id).await;
    let file = text(&scratch(&cluster).join("held.jsonl"));
    own.ask(&["member", "access", &id, "--format", "jsonl", "--to", &file]).await;
    let lines = std::fs::read_to_string(&file).expect("lines");
    let lines: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).collect::<Vec<_>>();
    for kind in ["about", "member", "consent", "place", "account", "look"] {
        assert!(!of(kind).is_empty(), "{kind}: {lines:?}");
    }
    assert_eq!((of("account").len(), &of("account")[0]["name"]), (1, &json!("own")));
    assert!(!lines.iter().any(|line| line.to_string().contains("password_hash")));
    let place = of("place")[0];
    assert_eq!((&place["titles"]["en"], &place["group"]), (&json!("Liaison"), &json!(group)));
    assert_eq!(place["duties"][0]["from"], "2035-10-01");
    assert_eq!(of("move").len(), 0, "none is under way");
}

fn text_of(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

#[tokio::test]
async fn a_person_orders_the_erasure_and_no_old_backup_undoes_it() {
    let mut cluster = network().await;
    let home = cluster.admin(HOME).await;
    let id = person("Vanishing").create_shown(&cluster, &home).await;
    let own = own_account(&cluster, HOME, &id).await;
    assert_eq!(own.ask(&["member", "get", &id]).await["id"], id.as_str());
    for point in ["CN-440000", "GB-LON"] {
        let client = cluster.admin(point).await;
        cluster
            .eventually("the card is there", async || client.finds("Vanishing").await.len() == 1)
            .await;
    }
    let backup = text(&scratch(&cluster).join("before.backup"));
    cluster.yizhand("backup", HOME, &["--to", &backup]).await.expect_code(exit::DONE);

    // What is held, where, and who looked: the person gets it alone.
    let page = text(&scratch(&cluster).join("held.html"));
    own.ask(&["member", "access", &id, "--format", "html", "--to", &page]).await;
    let page = std::fs::read_to_string(&page).expect("a page");
    assert!(page.contains("Vanishing") && page.contains("GB-LON") && page.contains("admin"));

    cluster.cut_off("GB-LON");
    let preview = own.ask(&["member", "erase", &id, "--preview"]).await;
    assert_eq!(preview["records"], 3, "{preview}");
    let erased = own.ask(&["member", "erase", &id]).await;
    let order = erased["order"].as_str().expect("an order").to_owned();
    assert_eq!(own.run(&["member", "get", &id]).await.code, exit::REFUSED, "the account is gone");

    // Everybody who can be reached confirms; London cannot.
    cluster
        .eventually("two of three have confirmed", async || {
            certificate(&home, &id).await == (2, 3, "receipts".to_owned())
        })
        .await;
    cluster.rejoin("GB-LON");
    cluster
        .eventually("all have confirmed", async || {
            certificate(&home, &id).await == (3, 3, "complete".to_owned())
        })
        .await;
    let marks = ["nishing".to_owned()];
    for point in ["CN-440000", HOME, "GB-LON"] {
        assert_eq!(traces(&cluster.path(point), &marks), [""; 0], "{point} has confirmed");
        let client = cluster.admin(point).await;
        assert_eq!(client.finds("Vanishing").await, [Value::Null; 0]);
        assert_eq!(client.refused(&["member", "get", &id]).await, "NOT_FOUND");
    }

    // The audit names the order, and is whole.
    let of_order = home.list(&["audit", "list", "--record", &order]).await;
    assert!(of_order.iter().any(|line| line["operation"] == "erase_member"), "{of_order:?}");
    home.run(&["audit", "verify"]).await.expect_code(exit::DONE);

    cluster.stop(HOME).await;
    cluster.yizhand("restore", HOME, &["--from", &backup]).await.expect_code(exit::DONE);
    cluster.start(HOME).await;
    let home = cluster.admin(HOME).await;
    assert_eq!(home.refused(&["member", "get", &id]).await, "NOT_FOUND", "from the first moment");
    assert_eq!(home.finds("Vanishing").await, [Value::Null; 0]);
    cluster
        .eventually("the node writes again", async || {
            let status = home.status().await;
            status["recovery"]["reconciling"] == Value::Bool(false)
        })
        .await;
    cluster
        .eventually("and nobody is back", async || {
            traces(&cluster.path(HOME), &marks).iter().all(|trace| trace.contains("before-restore"))
        })
        .await;
    let password = text(&scratch(&cluster).join("own-password"));
    let wrong = ["login", "--name", "own", "--password-file", &password];
    assert_eq!(cluster.visitor(HOME).refused(&wrong).await, "SIGN_IN_FAILED");
    cluster.assert_faults_fired();
}

/// Tables of a PostgreSQL database of which a query returns one of these words, as text or as bytes.
async fn tables_with(url: &str, marks: &[String]) -> Vec<String> {
    let mut db = PgConnection::connect(url).await.expect("a connection");
    let sql = "select table_name::text from information_schema.tables
               where table_schema = 'public' and table_type = 'BASE TABLE'";
    let tables: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut db).await.expect("tables");
    assert!(tables.len() > 10, "{tables:?}");
    let mut found = Vec::new();
    for table in tables {
        let held = AssertSqlSafe(format!(
            "select count(*) from {table} as row where exists (select 1 from unnest($1::text[]) as mark
               where strpos(lower(to_jsonb(row)::text), mark) > 0)"
        ));
        let hex = |mark: &String| mark.bytes().map(|byte| format!("{byte:02x}")).collect();
        let bytes = marks.iter().map(hex);
        let words: Vec<String> = marks.iter().cloned().chain(bytes).collect();
        let count: i64 =
            sqlx::query_scalar(held).bind(words).fetch_one(&mut db).await.expect("a count");
        if count > 0 {
            found.push(table);
        }
    }
    found
}

#[tokio::test]
async fn on_postgresql_no_query_returns_who_was_erased() {
    let (hub, home_url) = (Postgres::database().await, Postgres::database().await);
    let mut cluster = Cluster::found_on("CN-440000", &hub).await;
    cluster.join_on(HOME, "CN-440000", &home_url).await;
    let (above, home) = (cluster.admin("CN-440000").await, cluster.admin(HOME).await);
    let id = person("Vanishing").create_shown(&cluster, &home).await;
    cluster.eventually("the hub has it", async || above.finds("Vanishing").await.len() == 1).await;
    let marks = ["nishing".to_owned()];
    for url in [&hub, &home_url] {
        assert!(!tables_with(url, &marks).await.is_empty(), "a query sees who is there");
    }
    erase_by_two(&cluster, HOME, &id).await;
    cluster
        .eventually("both have confirmed", async || {
            certificate(&home, &id).await == (2, 2, "complete".to_owned())
        })
        .await;
    for url in [&hub, &home_url] {
        assert_eq!(tables_with(url, &marks).await, [""; 0]);
    }
}

#[tokio::test]
async fn one_person_alone_erases_nobody_else() {
    let cluster = Cluster::found("CN-440000").await;
    cluster.add_user("CN-440000", "second", "staff").await;
    let (admin, second) =
        (cluster.admin("CN-440000").await, cluster.user("CN-440000", "second").await);
    let id = person("Guarded").create(&cluster, &admin).await;

    let asked = admin.ask(&["member", "erase", &id]).await;
    let approval = asked["approval"].as_str().expect("an approval").to_owned();
    assert_eq!(admin.finds("Guarded").await.len(), 1, "nothing has changed");
    assert_eq!(admin.refused(&["approval", "give", &approval]).await, "OWN_APPROVAL");
    assert_eq!(second.refused(&["approval", "give", NOBODY]).await, "NOT_FOUND");
    let waiting = second.list(&["approval", "list"]).await;
    assert_eq!((&waiting[0]["id"], &waiting[0]["state"]), (&asked["approval"], &"open".into()));
    let given = second.ask(&["approval", "give", &approval]).await;
    assert_eq!(given["state"], "done", "{given}");
    assert_eq!(admin.finds("Guarded").await, [Value::Null; 0]);
    assert_eq!(certificate(&admin, &id).await.1, 1);

    // The same holds for making a provincial admin.
    let asked = ["user", "role", "--name", "second", "--role", "provincial_admin"];
    let asked = admin.ask(&asked).await;
    assert!(asked["approval"].is_string(), "{asked}");
    let users = admin.list(&["user", "list"]).await;
    let role = |name: &str| users.iter().find(|user| user["name"] == name).map(|u| &u["role"]);
    assert_eq!(role("second"), Some(&"staff".into()));
}

#[tokio::test]
async fn who_opts_out_is_like_somebody_who_never_was() {
    let cluster = network().await;
    let (home, london) = (cluster.admin(HOME).await, cluster.admin("GB-LON").await);
    let id = person("Leaving").create_shown(&cluster, &home).await;
    cluster.eventually("London has it", async || london.finds("Leaving").await.len() == 1).await;
    home.ask(&["member", "withdraw", &id, "--purpose", NETWORK_PURPOSE]).await;
    cluster.eventually("London lost it", async || london.finds("Leaving").await.is_empty()).await;
    let search = ["member", "search", "", "--region", "440100", "--field", "battery"];
    assert_eq!(london.list(&search).await, [Value::Null; 0]);
    let known = london.run(&["member", "get", &id]).await.expect_code(exit::REFUSED);
    let unknown = london.run(&["member", "get", NOBODY]).await.expect_code(exit::REFUSED);
    assert_eq!((known.stdout, known.stderr), (unknown.stdout, unknown.stderr));
    let again = ["member", "consent", &id, "--purpose", NETWORK_PURPOSE];
    assert_eq!(home.refused(&again).await, "WITHDRAWN_LATELY");
}

/// Letters of one person and nobody else, and no two alike at their beginning.
fn mark(number: usize) -> String {
    let hash = blake3::hash(&number.to_le_bytes());
    hash.as_bytes()[..14].iter().map(|byte| char::from(b'a' + byte % 26)).collect()
}

/// Orders so many are on their way at once.
const AT_ONCE: usize = 8;
/// Erasures of which it is measured how long the word of every point takes.
const MEASURED: usize = 10;

/// Marks of one person: the name and a skill, which cards show, and what only the home knows.
const MARKS: usize = 6;

fn marks_of(number: usize) -> [String; MARKS] {
    std::array::from_fn(|kind| mark(number + kind * 10_000))
}

/// Makes a member who is shown in the whole network.
async fn enter(node: &Node, number: usize) -> String {
    let [name, skill, email, handle, subject, biography] = marks_of(number);
    let person = Person { expertise: format!("{skill}x"), ..person(&name) };
    let mut document = person.document();
    document["email"] = json!(format!("{email}@example.org"));
    document["handles"] = json!([{"service": "wechat", "value": handle}]);
    document["study"] =
        json!({"country": "GB", "subject": subject, "from_year": 2015, "to_year": 2018});
    document["biographies"] = json!({"en": biography});
    let document: document::member::Member = document::read(document).expect("a member");
    let member = Some(v1::Member::try_from(&document).expect("a member"));
    let request = v1::CreateMemberRequest { member, ..Default::default() };
    let made = node.members().create_member(request).await.expect("a member is made");
    let id = made.into_inner().member.expect("a member").id;
    let grant = v1::Grant {
        member: id.clone(),
        purpose: NETWORK_PURPOSE.to_owned(),
        text_version: "v2".to_owned(),
        text_language: "en".to_owned(),
        given_via: 2,
        ..v1::Grant::default()
    };
    let request = v1::GiveConsentRequest { grant: Some(grant), request_id: String::new() };
    node.members().give_consent(request).await.expect("a consent is given");
    id
}

/// Orders an erasure as one and agrees to it as the other.
async fn erase(one: &Node, other: &Node, id: &str) {
    let request = v1::EraseMemberRequest { id: id.to_owned(), ..Default::default() };
    let asked = one.members().erase_member(request).await.expect("an order").into_inner();
    let request = v1::GiveApprovalRequest { id: asked.approval };
    let given = other.approvals().give_approval(request).await.expect("a second person agrees");
    let state = given.into_inner().approval.expect("an approval").state();
    assert_eq!(state, v1::approval::State::Done);
}

/// Receipts, points and state of an erasure.
async fn certified(node: &Node, id: &str) -> (u32, u32, String) {
    let request = v1::ListMemberCopiesRequest { id: id.to_owned() };
    let copies = node.members().list_member_copies(request).await.expect("copies").into_inner();
    let certificate = copies.certificate.unwrap_or_default();
    (certificate.receipts, certificate.points, certificate.state)
}

/// `YIZHAN_ERASED` people on five nodes; what is promised is 200.
#[tokio::test]
async fn many_are_erased_and_no_file_of_five_nodes_keeps_a_word_of_them() {
    let people = std::env::var("YIZHAN_ERASED").ok().and_then(|n| n.parse().ok()).unwrap_or(12);
    let mut cluster = network().await;
    cluster.join("HK", "CN-440000").await;
    cluster.join("AU-SYD", "CN-440000").await;
    let points = ["CN-440000", HOME, "GB-LON", "HK", "AU-SYD"];
    cluster.add_user(HOME, "second", "staff").await;
    let (home, second) = (cluster.caller(HOME, ADMIN).await, cluster.caller(HOME, "second").await);
    let entering = futures::stream::iter(0..people).map(|number| {
        let home = &home;
        async move { enter(home, number).await }
    });
    let ids: Vec<String> = entering.buffered(AT_ONCE).collect().await;
    for point in points {
        let client = cluster.admin(point).await;
        for number in [0, people - 1] {
            cluster
                .eventually("the cards are there", async || {
                    client.finds(&mark(number)).await.len() == 1
                })
                .await;
        }
    }
    // A full-text index stores a word without the letters that it shares with its neighbour.
    let marks: Vec<String> =
        (0..people).flat_map(marks_of).map(|mark| mark[4..].to_owned()).collect();
    assert!(traces(&cluster.path(HOME), &marks).len() >= marks.len(), "a scan sees them");
    let shown = |at: usize| marks_of(at)[..2].iter().map(|mark| mark[4..].to_owned()).collect();
    let shown: Vec<String> = (0..people).flat_map(|at| -> Vec<String> { shown(at) }).collect();
    let secret: Vec<String> = marks.iter().filter(|mark| !shown.contains(mark)).cloned().collect();
    for point in points.into_iter().filter(|point| *point != HOME) {
        assert!(traces(&cluster.path(point), &shown).len() >= shown.len(), "{point} has the cards");
        assert_eq!(traces(&cluster.path(point), &secret), [""; 0], "and nothing else");
    }

    cluster.cut_off("AU-SYD");
    let (measured, rest) = ids.split_at(MEASURED.min(ids.len()));
    let mut took = Vec::new();
    for id in measured {
        let ordered = Instant::now();
        erase(&home, &second, id).await;
        cluster
            .eventually("all but Sydney have confirmed", async || {
                certified(&home, id).await == (4, 5, "receipts".to_owned())
            })
            .await;
        took.push(ordered.elapsed());
    }
    took.sort();
    let (median, worst) = (took[took.len() / 2].as_millis(), took[took.len() - 1].as_millis());
    println!("an erasure is acknowledged by 4 of 5 points: median {median} ms, worst {worst} ms");
    let began = Instant::now();
    futures::stream::iter(rest).for_each_concurrent(AT_ONCE, |id| erase(&home, &second, id)).await;
    let ordered = began.elapsed();
    for id in rest {
        cluster
            .eventually("all but Sydney have confirmed", async || {
                certified(&home, id).await == (4, 5, "receipts".to_owned())
            })
            .await;
    }
    let (orders, all) = (ordered.as_millis(), began.elapsed().as_millis());
    println!("{} erasures: ordered within {orders} ms, acknowledged within {all} ms", rest.len());
    cluster.rejoin("AU-SYD");
    for id in &ids {
        cluster
            .eventually("all have confirmed", async || {
                certified(&home, id).await == (5, 5, "complete".to_owned())
            })
            .await;
    }
    for point in points {
        assert_eq!(traces(&cluster.path(point), &marks), [""; 0], "{point} has confirmed");
    }
    // Nor does a backup that is taken from now on.
    let backup = text(&scratch(&cluster).join("after.backup"));
    cluster.yizhand("backup", HOME, &["--to", &backup]).await.expect_code(exit::DONE);
    cluster.stop(HOME).await;
    cluster.yizhand("restore", HOME, &["--from", &backup]).await.expect_code(exit::DONE);
    let traces = traces(&cluster.path(HOME), &marks);
    assert_eq!(traces, [""; 0], "what the backup holds");
}
