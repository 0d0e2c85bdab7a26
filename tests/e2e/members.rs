//! Members by hand: who is known already, the life of a membership, a consent on paper, and what nobody
//! is told.

use serde_json::{Value, json};
use yizhan_server::domain::time::Time;
use yizhan_tests::{
    client::{Client, exit},
    cluster::Cluster,
};

use crate::people::{self, NETWORK_PURPOSE, own_account, person};

const HOME: &str = "CN-440000";
const PHONE: &str = "+8613800138000";
const NOBODY: &str = "01890000-0000-7000-8000-000000000001";

/// Makes a member from a document, or says on which field and why not.
async fn create(cluster: &Cluster, client: &Client, member: &Value, other: &[&str]) -> Value {
    let file = people::document(cluster, "new.json", member);
    let mut call = vec!["member", "create", "--file", &file];
    other.iter().for_each(|id| call.extend(["--other-than", id]));
    client.run(&call).await.json()
}

fn complaint(answer: &Value) -> (&str, &str) {
    let field = &answer["error"]["fields"][0];
    (field["field"].as_str().unwrap_or_default(), field["reason"].as_str().unwrap_or_default())
}

fn with(person: &people::Person, key: &str, value: Value) -> Value {
    let mut document = person.document();
    document[key] = value;
    document
}

#[tokio::test]
async fn who_is_known_already_is_not_made_twice() {
    let cluster = Cluster::found(HOME).await;
    let home = cluster.admin(HOME).await;
    let first = with(&person("Alike"), "phone", json!(PHONE));
    let made = create(&cluster, &home, &first, &[]).await;
    let id = made["id"].as_str().expect("an id").to_owned();

    let again = create(&cluster, &home, &first, &[]).await;
    assert_eq!(complaint(&again), ("phone", "member_exists"), "{again}");
    assert!(again.to_string().contains(&id), "who it is held to be is named: {again}");
    for language in ["message", "message_zh"] {
        assert!(!again["error"]["fields"][0][language].is_null(), "{again}");
    }
    // Another name under the same number: it may be anybody, and nobody guesses.
    let mut other = with(&person("Quite Different"), "phone", json!(PHONE));
    other["names"][0]["full"] = json!("欧阳若晴");
    other["names"][0]["family"] = json!("欧阳");
    other["names"][0]["given"] = json!("若晴");
    other["names"][0]["sort_key"] = json!("ou yang ruo qing");
    let doubtful = create(&cluster, &home, &other, &[]).await;
    assert_eq!(complaint(&doubtful), ("phone", "ambiguous_match"), "{doubtful}");
    assert_eq!(home.finds("Different").await, [Value::Null; 0]);
    let made = create(&cluster, &home, &other, &[&id]).await;
    assert!(made["id"].is_string(), "somebody has looked and said so: {made}");
}

#[tokio::test]
async fn studies_and_affiliations_are_told_as_they_were_entered() {
    let cluster = Cluster::found(HOME).await;
    let home = cluster.admin(HOME).await;
    let study = |from: u32, isced: u32| {
        json!({"country": "GB", "org": "", "from_year": from, "to_year": from + 3,
               "degree_isced": isced, "field_isced_f": "0714", "institution": "UCL",
               "subject": "Electronics"})
    };
    let mut member = person("Studied").document();
    member["study"] = study(2012, 7);
    member["further_studies"] = json!([study(2016, 8)]);
    member["affiliations"] = json!([{"point": "GB-LON", "from": "2018-09-01", "to": null}]);
    let made = create(&cluster, &home, &member, &[]).await;
    let id = made["id"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
    let known = home.ask(&["member", "get", &id]).await;
    for key in ["study", "further_studies", "affiliations"] {
        assert_eq!(known[key], member[key], "{key}");
    }
    assert_eq!(known["home"], HOME, "several affiliations, one home");
    member["study"]["degree_isced"] = json!(9);
    let wrong = create(&cluster, &home, &member, &[&id]).await;
    assert_eq!(wrong["error"]["code"], "INVALID_ARGUMENT", "{wrong}");
}

#[tokio::test]
async fn a_membership_rests_ends_and_does_not_begin_again_unasked() {
    let cluster = Cluster::found(HOME).await;
    let home = cluster.admin(HOME).await;
    let id = person("Ending").create_shown(&cluster, &home).await;
    let change = async |state: &str| {
        let file = people::document(&cluster, "change.json", &json!({"state": state}));
        home.run(&["member", "update", &id, "--file", &file]).await
    };
    assert_eq!(change("resting").await.expect_code(exit::DONE).json()["state"], "resting");
    assert_eq!(change("active").await.expect_code(exit::DONE).json()["state"], "active");
    let refused = change("applied").await.expect_code(exit::REFUSED).json();
    assert_eq!(complaint(&refused).1, "move_refused", "{refused}");
    assert!(refused["error"]["message"].as_str().is_some_and(|text| text.contains("resting")));

    let left = home.ask(&["member", "leave", &id, "--ended-on", "2026-01-31"]).await;
    assert_eq!((&left["state"], &left["ended_on"]), (&json!("left"), &json!("2026-01-31")));
    let copies = home.ask(&["member", "where", &id]).await;
    let held = copies["copies"].as_array().expect("copies").iter();
    assert_eq!(held.filter(|copy| copy["state"] == "held").count(), 0, "{copies}");
}

#[tokio::test]
async fn a_consent_says_what_was_agreed_to_and_ends_by_itself() {
    let cluster = Cluster::found(HOME).await;
    let home = cluster.admin(HOME).await;
    let id = person("Agreeing").create(&cluster, &home).await;
    let consent = ["member", "consent", &id, "--purpose", NETWORK_PURPOSE];
    let refused = home.run(&[&consent[..], &["--via", "web"]].concat()).await;
    let refused = refused.expect_code(exit::REFUSED).json();
    assert_eq!(complaint(&refused), ("given_via", "web_is_the_persons_own"), "{refused}");

    let (text, proof) = ("5a".repeat(32), "c3".repeat(32));
    let now = std::time::UNIX_EPOCH.elapsed().expect("a clock").as_micros() as i64;
    let soon = Time(now + 15_000_000).to_string();
    let paper = ["--via", "paper", "--text-hash", &text, "--evidence-hash", &proof];
    let given = home.ask(&[&consent[..], &paper, &["--expires-at", &soon]].concat()).await;
    assert_eq!((&given["text_hash"], &given["evidence_hash"]), (&json!(text), &json!(proof)));
    assert_eq!(given["asserted_by"], HOME, "{given}");
    let copies = home.ask(&["member", "where", &id]).await;
    assert_eq!(copies["copies"][0]["grant"], given["id"], "{copies}");
    cluster
        .eventually("the consent has ended", async || {
            let grants = home.list(&["member", "grants", &id]).await;
            grants[0]["state"] == "expired"
        })
        .await;
    let copies = home.ask(&["member", "where", &id]).await;
    assert!(
        copies["copies"].as_array().expect("copies").iter().all(|copy| copy["state"] != "held")
    );
    let asked_again = home.run(&consent).await;
    asked_again.expect_code(exit::DONE);
}

#[tokio::test]
async fn what_one_may_not_know_is_answered_like_what_is_not_there() {
    let mut cluster = Cluster::found(HOME).await;
    cluster.join("HK", HOME).await;
    let home = cluster.admin(HOME).await;
    let hidden = person("Hidden").create(&cluster, &home).await;
    for (name, role) in [("looker", "auditor"), ("province", "provincial_admin")] {
        cluster.add_user(HOME, name, role).await;
    }
    let others = [
        cluster.admin("HK").await,
        cluster.user(HOME, "looker").await,
        cluster.user(HOME, "province").await,
        cluster.visitor(HOME),
    ];
    let change = people::document(&cluster, "change.json", &json!({"expertise": ["x"]}));
    let group =
        json!({"kind": "cohort", "titles": {"en": "Cohort"}, "state": "running", "issue_no": 1});
    let group = people::document(&cluster, "group.json", &group);
    let group = home.ask(&["group", "create", "--file", &group]).await;
    let group = group["id"].as_str().expect("an id").to_owned();
    let calls = |id: &str| -> Vec<Vec<String>> {
        let calls: &[&[&str]] = &[
            &["member", "get", id],
            &["member", "update", id, "--file", &change],
            &["member", "leave", id],
            &["member", "consent", id, "--purpose", NETWORK_PURPOSE],
            &["member", "withdraw", id, "--purpose", NETWORK_PURPOSE],
            &["member", "where", id],
            &["member", "access", id],
            &["member", "transfer", id, "--to", "HK"],
            &["member", "move", id, "--to", "HK"],
            &["member", "erase", id, "--yes"],
            &["member", "erase", id, "--preview"],
            &["group", "enrol", &group, "--member", id],
            &["group", "appoint", &group, "--member", id],
        ];
        calls.iter().map(|call| call.iter().map(|word| (*word).to_owned()).collect()).collect()
    };
    for (known, unknown) in calls(&hidden).into_iter().zip(calls(NOBODY)) {
        for (at, somebody) in others.iter().enumerate() {
            if at == 1 && known[1] == "where" {
                // An auditor reads where copies are.
                continue;
            }
            let (one, other) = (somebody.run(&known).await, somebody.run(&unknown).await);
            assert_eq!(one.code, exit::REFUSED, "{one:?}");
            let plain = |text: &str| text.replace(&hidden, NOBODY);
            let told = (plain(&one.stdout), plain(&one.stderr));
            assert_eq!(told, (other.stdout, other.stderr), "{known:?} as {at}");
        }
    }
    // The list of a consent is an answer, and empty for both.
    for somebody in &others[..1] {
        let known = somebody.run(&["member", "grants", &hidden]).await;
        let unknown = somebody.run(&["member", "grants", NOBODY]).await;
        assert_eq!((known.code, known.stdout), (unknown.code, unknown.stdout));
    }
}

#[tokio::test]
async fn the_province_does_not_learn_by_an_import_who_is_here() {
    let cluster = Cluster::found(HOME).await;
    let home = cluster.admin(HOME).await;
    create(&cluster, &home, &with(&person("Known"), "phone", json!(PHONE)), &[]).await;
    cluster.add_user(HOME, "province", "provincial_admin").await;
    cluster.add_user(HOME, "clerk", "staff").await;
    let (province, clerk) =
        (cluster.user(HOME, "province").await, cluster.user(HOME, "clerk").await);
    let report = async |client: &Client, phone: &str, dry: bool| {
        let file = people::scratch(&cluster).join("people.csv");
        let row = format!("name,phone,region_code\n宗泽,{phone},440100\n");
        std::fs::write(&file, row).expect("a table");
        let file = people::text(&file);
        let call = ["import", &file, "--kind", "member", "--dry-run"];
        client.run(&call[..if dry { 5 } else { 4 }]).await
    };
    for dry in [true, false] {
        let known = report(&province, PHONE, dry).await;
        let unknown = report(&province, "+8613800138999", dry).await;
        assert_eq!((known.code, &known.stdout), (unknown.code, &unknown.stdout));
        assert!(known.stdout.contains("not_permitted"), "{known:?}");
    }
    // Staff see what an import would do; that is a look, and the point's admin does it for good.
    let tried = report(&clerk, PHONE, true).await.expect_code(exit::DONE).json();
    assert!(tried.to_string().contains("ok_existing"), "{tried}");
    let of_clerk = clerk.list(&["audit", "list"]).await;
    let looked = |line: &Value| line["operation"] == "try_import" && line["outcome"] == "shown";
    assert!(of_clerk.iter().any(looked), "{of_clerk:?}");
    assert_eq!(report(&clerk, PHONE, false).await.json()["error"]["code"], "PERMISSION_DENIED");
}

#[tokio::test]
async fn whoever_looks_elsewhere_is_named_at_home() {
    let mut cluster = Cluster::found(HOME).await;
    cluster.join("GB-LON", HOME).await;
    let (home, london) = (cluster.admin(HOME).await, cluster.admin("GB-LON").await);
    let id = person("Regarded").create_shown(&cluster, &home).await;
    cluster.eventually("London has it", async || london.finds("Regarded").await.len() == 1).await;
    let look = ["member", "get", &id, "--purpose", "contact"];
    london.ask(&look).await;
    let own = own_account(&cluster, HOME, &id).await;
    let held = async || -> Vec<Value> {
        let file = people::scratch(&cluster).join("held.jsonl");
        let path = people::text(&file);
        own.ask(&["member", "access", &id, "--format", "jsonl", "--to", &path]).await;
        let lines = std::fs::read_to_string(&file).expect("lines");
        std::fs::remove_file(&file).expect("a file");
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    cluster
        .eventually("the person reads who looked in London, and why", async || {
            held().await.iter().any(|line| {
                line["kind"] == "look" && line["point"] == "GB-LON" && line["purpose"] == "contact"
            })
        })
        .await;
    // The same by the audit itself, as far as it is about the own record.
    let own_lines = own.list(&["audit", "list"]).await;
    assert!(own_lines.iter().any(|line| line["point"] == "GB-LON"), "{own_lines:?}");
    assert!(own_lines.iter().all(|line| line["record"] == id.as_str()), "{own_lines:?}");
    let copies: Vec<Value> =
        held().await.into_iter().filter(|line| line["kind"] == "copy").collect();
    assert!(!copies.is_empty());
    for copy in copies.iter().filter(|copy| copy["audience"] == "network") {
        assert!(copy["grant"].as_str().is_some_and(|grant| !grant.is_empty()), "{copy}");
    }
    home.run(&["audit", "verify"]).await.expect_code(exit::DONE);
}

#[tokio::test]
async fn an_erasure_names_the_point_that_left_without_a_word() {
    let mut cluster = Cluster::found(HOME).await;
    cluster.join("GB-LON", HOME).await;
    cluster.join("HK", HOME).await;
    let (home, london) = (cluster.admin(HOME).await, cluster.admin("GB-LON").await);
    let id = person("Forgotten").create_shown(&cluster, &home).await;
    cluster.eventually("London has it", async || london.finds("Forgotten").await.len() == 1).await;
    cluster.cut_off("GB-LON");
    cluster.yizhand("revoke", HOME, &["--point", "GB-LON"]).await.expect_code(exit::DONE);
    people::erase_by_two(&cluster, HOME, &id).await;
    cluster
        .eventually("all who can be asked have confirmed", async || {
            let copies = home.ask(&["member", "where", &id]).await;
            copies["certificate"]["state"] == "complete_with_exceptions"
        })
        .await;
    let copies = home.ask(&["member", "where", &id]).await;
    let certificate = &copies["certificate"];
    assert_eq!((&certificate["receipts"], &certificate["points"]), (&json!(2), &json!(2)));
    let exception = &certificate["exceptions"][0];
    assert_eq!((&exception["point"], &exception["reason"]), (&json!("GB-LON"), &json!("revoked")));
    cluster.assert_faults_fired();
}
