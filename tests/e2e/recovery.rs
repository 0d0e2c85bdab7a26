//! A node whose past came back: it takes its own feeds back before it writes.

use std::{fs, time::Duration};

use serde_json::Value;
use yizhan_tests::{
    client::{Client, exit},
    cluster::{ADMIN, Cluster},
    postgres::Postgres,
    waiting::throughout,
};

use crate::people::{NETWORK_PURPOSE, erase_by_two, person, scratch, text};

async fn network() -> Cluster {
    let mut cluster = Cluster::found("CN-440000").await;
    cluster.join("GB-LON", "CN-440000").await;
    cluster
}

async fn finds(client: &Client, name: &str) -> bool {
    client.finds(name).await.len() == 1
}

/// Nothing left to take back, nothing frozen anywhere.
async fn has_recovered(client: &Client) -> bool {
    let status = client.status().await;
    let states = status["feeds"].as_array().cloned().unwrap_or_default();
    assert!(states.iter().all(|feed| feed["state"] != "frozen"), "{status}");
    let recovery = &status["recovery"];
    recovery["feeds"].as_array().is_some_and(Vec::is_empty)
        && recovery["unmarked"] == Value::Bool(false)
        && recovery["reconciling"] == Value::Bool(false)
}

async fn assert_goes_on(cluster: &Cluster) {
    assert_goes_on_without(cluster, "").await;
}

/// The same where one kind of finding is right: lines of the audit that went with the tables.
async fn assert_goes_on_without(cluster: &Cluster, lost: &str) {
    let london = cluster.admin("GB-LON").await;
    cluster.eventually("London has recovered", async || has_recovered(&london).await).await;
    person("Afterwards").create_shown(cluster, &london).await;
    let guangdong = cluster.admin("CN-440000").await;
    cluster
        .eventually("Guangdong has what came after", async || finds(&guangdong, "Afterwards").await)
        .await;
    cluster.agree().await;
    assert!(has_recovered(&guangdong).await);
    for point in ["CN-440000", "GB-LON"] {
        let found = cluster.yizhand("verify", point, &[]).await.json();
        let items = found["items"].as_array().cloned().unwrap_or_default();
        assert!(items.iter().all(|item| item["reason"] == lost), "{point}: {found}");
    }
}

#[tokio::test]
async fn an_old_database_put_back_does_not_fork_the_network() {
    let mut cluster = network().await;
    let guangdong = cluster.admin("CN-440000").await;
    let london = cluster.admin("GB-LON").await;
    person("Early").create_shown(&cluster, &london).await;
    cluster.eventually("Guangdong has it", async || finds(&guangdong, "Early").await).await;
    cluster.stop("GB-LON").await;
    let database = cluster.path("GB-LON").join("yizhan.db");
    let aside = scratch(&cluster).join("old.db");
    fs::copy(&database, &aside).expect("a copy");

    cluster.start("GB-LON").await;
    let london = cluster.admin("GB-LON").await;
    person("Later").create_shown(&cluster, &london).await;
    cluster.eventually("Guangdong has it", async || finds(&guangdong, "Later").await).await;
    cluster.stop("GB-LON").await;
    fs::copy(&aside, &database).expect("put back");
    for ending in ["-wal", "-shm"] {
        let _ = fs::remove_file(cluster.path("GB-LON").join(format!("yizhan.db{ending}")));
    }

    cluster.start("GB-LON").await;
    assert_goes_on(&cluster).await;
    for name in ["Early", "Later"] {
        assert!(finds(&guangdong, name).await, "{name} is still disclosed");
    }
    let london = cluster.admin("GB-LON").await;
    assert!(finds(&london, "Early").await);
}

/// Has the point's node use another database.
fn use_database(cluster: &Cluster, point: &str, before: &str, after: &str) {
    let settings = cluster.path(point).join("yizhan.toml");
    let text = fs::read_to_string(&settings).expect("settings");
    assert!(text.contains(before), "the settings name the database");
    fs::write(&settings, text.replace(before, after)).expect("settings");
}

#[tokio::test]
async fn an_old_database_put_back_on_postgresql_does_not_fork_the_network_either() {
    let url = Postgres::database().await;
    let mut cluster = Cluster::found("CN-440000").await;
    cluster.join_on("GB-LON", "CN-440000", &url).await;
    let guangdong = cluster.admin("CN-440000").await;
    let london = cluster.admin("GB-LON").await;
    person("Early").create_shown(&cluster, &london).await;
    cluster.eventually("Guangdong has it", async || finds(&guangdong, "Early").await).await;
    cluster.agree().await;
    cluster.stop("GB-LON").await;
    let old = Postgres::copy_of(&url).await;

    cluster.start("GB-LON").await;
    let london = cluster.admin("GB-LON").await;
    person("Later").create_shown(&cluster, &london).await;
    cluster.eventually("Guangdong has it", async || finds(&guangdong, "Later").await).await;
    cluster.stop("GB-LON").await;
    use_database(&cluster, "GB-LON", &url, &old);

    // Alone with the old database it does not write.
    cluster.cut_off("GB-LON");
    cluster.start("GB-LON").await;
    let london = cluster.admin("GB-LON").await;
    let file = crate::people::document(&cluster, "member.json", &person("Denied").document());
    assert_eq!(london.refused(&["member", "create", "--file", &file]).await, "READ_ONLY");
    cluster.rejoin("GB-LON");
    assert_goes_on(&cluster).await;
    for name in ["Early", "Later"] {
        assert!(finds(&guangdong, name).await, "{name} is still disclosed");
        assert!(finds(&cluster.admin("GB-LON").await, name).await, "{name} is found at home");
    }
    // In one epoch after the other, no number was given twice.
    let status = guangdong.status().await;
    let states = status["feeds"].as_array().expect("feeds");
    assert!(states.iter().all(|feed| feed["state"] != "frozen"), "{status}");
}

#[tokio::test]
async fn a_node_with_an_old_database_and_no_neighbour_does_not_write() {
    let mut cluster = network().await;
    cluster.stop("GB-LON").await;
    let database = cluster.path("GB-LON").join("yizhan.db");
    let aside = scratch(&cluster).join("old.db");
    fs::copy(&database, &aside).expect("a copy");
    cluster.start("GB-LON").await;
    let london = cluster.admin("GB-LON").await;
    let guangdong = cluster.admin("CN-440000").await;
    person("Later").create_shown(&cluster, &london).await;
    cluster.eventually("Guangdong has it", async || finds(&guangdong, "Later").await).await;
    cluster.stop("GB-LON").await;
    fs::copy(&aside, &database).expect("put back");

    cluster.cut_off("GB-LON");
    cluster.start("GB-LON").await;
    let line = cluster.line("GB-LON");
    cluster.eventually("London has dialled in vain", async || line.inert().is_empty()).await;
    // Signing in writes nothing to a feed, and accounts are not replicated.
    let london = cluster.admin("GB-LON").await;
    let file = crate::people::document(&cluster, "member.json", &person("Denied").document());
    assert_eq!(london.refused(&["member", "create", "--file", &file]).await, "READ_ONLY");

    cluster.rejoin("GB-LON");
    assert_goes_on(&cluster).await;
    cluster.assert_faults_fired();
}

#[tokio::test]
async fn a_restored_backup_keeps_the_withdrawn_withdrawn() {
    let mut cluster = network().await;
    let guangdong = cluster.admin("CN-440000").await;
    let london = cluster.admin("GB-LON").await;
    let gone = person("Withdrawn").create_shown(&cluster, &london).await;
    cluster.eventually("Guangdong has it", async || finds(&guangdong, "Withdrawn").await).await;
    let backup = text(&scratch(&cluster).join("london.backup"));
    cluster.yizhand("backup", "GB-LON", &["--to", &backup]).await.expect_code(exit::DONE);
    let bytes = fs::read(&backup).expect("a backup");
    assert!(!bytes.windows(9).any(|window| window == b"Withdrawn"), "a backup is encrypted");

    london.ask(&["member", "withdraw", &gone, "--purpose", NETWORK_PURPOSE]).await;
    person("Later").create_shown(&cluster, &london).await;
    cluster.eventually("Guangdong has it", async || finds(&guangdong, "Later").await).await;
    cluster.eventually("and lost it", async || !finds(&guangdong, "Withdrawn").await).await;

    cluster.yizhand("restore", "GB-LON", &["--from", &backup]).await.expect_code(exit::REFUSED);
    cluster.stop("GB-LON").await;
    cluster.yizhand("restore", "GB-LON", &["--from", &backup]).await.expect_code(exit::DONE);
    cluster.start("GB-LON").await;
    assert_goes_on(&cluster).await;
    assert!(finds(&guangdong, "Later").await, "what came after the backup is still disclosed");
    assert!(!finds(&guangdong, "Withdrawn").await, "withdrawn stays withdrawn");
    // The home still knows its member, and that the consent has ended.
    let london = cluster.admin("GB-LON").await;
    let grants = london.list(&["member", "grants", &gone]).await;
    assert_eq!(grants.len(), 1);
    assert_eq!(grants[0]["state"], "withdrawn");
}

#[tokio::test]
async fn a_member_of_whom_only_the_card_came_back_is_found_withdrawn_and_erased_at_home() {
    let mut cluster = network().await;
    let guangdong = cluster.admin("CN-440000").await;
    let london = cluster.admin("GB-LON").await;
    let known = person("Known").create(&cluster, &london).await;
    let backup = text(&scratch(&cluster).join("london.backup"));
    cluster.yizhand("backup", "GB-LON", &["--to", &backup]).await.expect_code(exit::DONE);

    let withdrawn = person("Withdrawn").create_shown(&cluster, &london).await;
    let erased = person("Erased").create_shown(&cluster, &london).await;
    london.ask(&["member", "consent", &known, "--purpose", NETWORK_PURPOSE]).await;
    for name in ["Withdrawn", "Erased", "Known"] {
        cluster.eventually("Guangdong has it", async || finds(&guangdong, name).await).await;
    }
    cluster.stop("GB-LON").await;
    cluster.yizhand("restore", "GB-LON", &["--from", &backup]).await.expect_code(exit::DONE);
    cluster.start("GB-LON").await;
    let london = cluster.admin("GB-LON").await;
    cluster.eventually("London has recovered", async || has_recovered(&london).await).await;

    for (id, name) in [(&withdrawn, "Withdrawn"), (&erased, "Erased")] {
        assert!(finds(&london, name).await, "{name} is found at home");
        assert_eq!(london.ask(&["member", "get", id]).await["home"], "GB-LON");
        let consent = ["member", "consent", id, "--purpose", NETWORK_PURPOSE];
        assert_eq!(london.refused(&consent).await, "HOME_RECORD_LOST");
    }
    london.ask(&["member", "withdraw", &withdrawn, "--purpose", NETWORK_PURPOSE]).await;
    london.ask(&["member", "withdraw", &known, "--purpose", NETWORK_PURPOSE]).await;
    erase_by_two(&cluster, "GB-LON", &erased).await;
    for name in ["Withdrawn", "Erased", "Known"] {
        cluster.eventually("Guangdong lost it", async || !finds(&guangdong, name).await).await;
    }
    assert!(!finds(&london, "Withdrawn").await);
    assert!(finds(&london, "Known").await, "the home knows its member");
    for id in [&withdrawn, &erased, &known] {
        cluster
            .eventually("Guangdong has confirmed", async || {
                let document = london.ask(&["member", "where", id]).await;
                let copies = document["copies"].as_array().cloned().unwrap_or_default();
                !copies.is_empty() && copies.iter().all(|copy| copy["state"] == "scrubbed")
            })
            .await;
    }
    assert_goes_on(&cluster).await;
}

/// Forgets everything but keys and settings.
fn wipe_tables(cluster: &Cluster, point: &str) {
    for name in ["yizhan.db", "yizhan.db-wal", "yizhan.db-shm", "continuity"] {
        let _ = fs::remove_file(cluster.path(point).join(name));
    }
}

#[tokio::test]
async fn a_node_that_lost_its_tables_takes_its_feeds_back_before_it_writes() {
    let mut cluster = network().await;
    let guangdong = cluster.admin("CN-440000").await;
    let london = cluster.admin("GB-LON").await;
    person("Early").create_shown(&cluster, &london).await;
    cluster.eventually("Guangdong has it", async || finds(&guangdong, "Early").await).await;
    cluster.stop("GB-LON").await;
    wipe_tables(&cluster, "GB-LON");

    cluster.cut_off("GB-LON");
    cluster.start("GB-LON").await;
    cluster.add_user("GB-LON", ADMIN, "point_admin").await;
    let london = cluster.admin("GB-LON").await;
    let file = crate::people::document(&cluster, "member.json", &person("Denied").document());
    assert_eq!(london.refused(&["member", "create", "--file", &file]).await, "READ_ONLY");
    cluster.rejoin("GB-LON");

    assert_goes_on_without(&cluster, "AUDIT_LINE_MISSING").await;
    for client in [&guangdong, &london] {
        assert!(finds(client, "Early").await);
    }
}

#[tokio::test]
async fn a_point_that_lost_its_keys_too_joins_again_and_keeps_its_feeds() {
    let mut cluster = network().await;
    let guangdong = cluster.admin("CN-440000").await;
    let london = cluster.admin("GB-LON").await;
    person("Early").create_shown(&cluster, &london).await;
    cluster.eventually("Guangdong has it", async || finds(&guangdong, "Early").await).await;
    cluster.stop("GB-LON").await;
    fs::remove_dir_all(cluster.path("GB-LON")).expect("a lost disk");

    cluster.join("GB-LON", "CN-440000").await;
    assert_goes_on(&cluster).await;
    let london = cluster.admin("GB-LON").await;
    for client in [&guangdong, &london] {
        assert!(finds(client, "Early").await);
    }
}

/// Finds somebody, be the answer partial or not.
async fn shows(client: &Client, name: &str) -> bool {
    let answer = client.run(&["member", "search", name]).await;
    assert!([exit::DONE, exit::PARTIAL].contains(&answer.code), "{answer:?}");
    answer.json()["items"].as_array().is_some_and(|items| !items.is_empty())
}

#[tokio::test]
async fn what_a_backup_held_of_other_homes_is_hidden_until_a_neighbour_was_asked() {
    let mut cluster = network().await;
    let guangdong = cluster.admin("CN-440000").await;
    let london = cluster.admin("GB-LON").await;
    let id = person("Withdrawn").create_shown(&cluster, &guangdong).await;
    person("Staying").create_shown(&cluster, &guangdong).await;
    for name in ["Withdrawn", "Staying"] {
        cluster.eventually("London has it", async || finds(&london, name).await).await;
    }
    let backup = text(&scratch(&cluster).join("london.backup"));
    cluster.yizhand("backup", "GB-LON", &["--to", &backup]).await.expect_code(exit::DONE);
    cluster.stop("GB-LON").await;
    guangdong.ask(&["member", "withdraw", &id, "--purpose", NETWORK_PURPOSE]).await;
    cluster.yizhand("restore", "GB-LON", &["--from", &backup]).await.expect_code(exit::DONE);

    cluster.cut_off("GB-LON");
    cluster.start("GB-LON").await;
    let london = cluster.admin("GB-LON").await;
    let what = "London shows nothing that it has from a backup alone";
    throughout(what, Duration::from_secs(2), async || {
        !shows(&london, "Withdrawn").await && !shows(&london, "Staying").await
    })
    .await;
    let status = london.status().await;
    let feeds = status["feeds"].as_array().cloned().unwrap_or_default();
    let of_guangdong = feeds
        .iter()
        .find(|feed| feed["home"] == "CN-440000" && feed["audience"] == "network")
        .expect("a feed");
    assert_eq!(of_guangdong["state"], "hidden");
    assert_eq!(of_guangdong["reason"], "NOT_CHECKED_SINCE_RESTORE");
    cluster.rejoin("GB-LON");
    cluster.eventually("London shows it again", async || shows(&london, "Staying").await).await;
    assert!(!shows(&london, "Withdrawn").await, "withdrawn meanwhile");
    assert_goes_on(&cluster).await;
    cluster.assert_faults_fired();
}

/// Asks for help in London; for what nobody covers, the province is to answer.
fn call<'a>(country: &'a str, key: &'a str) -> Vec<&'a str> {
    let mut call = vec!["help", "submit", "--category", "legal", "--country", country];
    call.extend(["--lang", "en", "--text", "a question", "--key", key]);
    call
}

#[tokio::test]
async fn who_asks_for_help_is_taken_in_while_the_node_takes_its_feeds_back() {
    let mut cluster = network().await;
    // The database that is put back has to know the roster, or nobody's case key is known from it.
    cluster.agree().await;
    let visitor = cluster.visitor("GB-LON");
    let word = |document: &Value, key: &str| document[key].as_str().expect("a word").to_owned();
    let mut references = vec![word(&visitor.ask(&call("GB", "k-1")).await, "reference")];
    cluster.stop("GB-LON").await;
    let database = cluster.path("GB-LON").join("yizhan.db");
    let aside = scratch(&cluster).join("old.db");
    fs::copy(&database, &aside).expect("a copy");
    cluster.start("GB-LON").await;
    let london = cluster.admin("GB-LON").await;
    let guangdong = cluster.admin("CN-440000").await;
    let visitor = cluster.visitor("GB-LON");
    for key in ["k-2", "k-3"] {
        references.push(word(&visitor.ask(&call("GB", key)).await, "reference"));
    }
    person("Later").create_shown(&cluster, &london).await;
    cluster.eventually("Guangdong has it", async || finds(&guangdong, "Later").await).await;
    cluster.stop("GB-LON").await;
    fs::copy(&aside, &database).expect("put back");
    for ending in ["-wal", "-shm"] {
        let _ = fs::remove_file(cluster.path("GB-LON").join(format!("yizhan.db{ending}")));
    }

    cluster.cut_off("GB-LON");
    cluster.start("GB-LON").await;
    let london = cluster.admin("GB-LON").await;
    let visitor = cluster.visitor("GB-LON");
    let here = visitor.ask(&call("GB", "k-4")).await;
    let away = visitor.ask(&call("KE", "k-5")).await;
    let (reference, code) = (word(&here, "reference"), word(&here, "code"));
    assert_eq!((&*word(&here, "owner"), &*word(&away, "owner")), ("GB-LON", "CN-440000"));
    for asked in [&here, &away] {
        references.push(word(asked, "reference"));
    }
    // The same key has one effect, and the same answer.
    for key in ["k-1", "k-4"] {
        let again = visitor.ask(&call("GB", key)).await;
        assert!(references.contains(&word(&again, "reference")), "{key}: {again}");
    }
    let again = visitor.ask(&call("GB", "k-4")).await;
    assert_eq!(
        (word(&again, "reference"), word(&again, "code")),
        (reference.clone(), code.clone())
    );
    // Nothing else is written, and nobody learns more from a code than that one has to wait.
    for code in [&code, &word(&away, "code")] {
        let track = ["help", "track", &reference, "--code", code];
        assert_eq!(visitor.refused(&track).await, "OWNER_UNAVAILABLE");
    }
    let file = crate::people::document(&cluster, "member.json", &person("Denied").document());
    london.refused(&["member", "create", "--file", &file]).await;
    // What was answered is durable.
    cluster.kill("GB-LON").await;
    cluster.start("GB-LON").await;

    cluster.rejoin("GB-LON");
    assert_goes_on(&cluster).await;
    let (london, visitor) = (cluster.admin("GB-LON").await, cluster.visitor("GB-LON"));
    for (desk, asked) in [(&london, &here), (&guangdong, &away)] {
        let reference = word(asked, "reference");
        cluster
            .eventually("it is in the queue", async || {
                let queue = desk.list(&["desk", "queue"]).await;
                queue.iter().filter(|one| one["reference"] == reference).count() == 1
            })
            .await;
        let opened = desk.ask(&["desk", "show", &reference]).await;
        assert_eq!(opened["content"]["text"], "a question");
        let track = ["help", "track", &reference, "--code", &word(asked, "code")];
        assert_eq!(visitor.ask(&track).await["state"], "received");
    }
    let again = visitor.ask(&call("GB", "k-4")).await;
    assert_eq!((word(&again, "reference"), word(&again, "code")), (reference, code));
    references.push(word(&visitor.ask(&call("GB", "k-6")).await, "reference"));
    let all = references.len();
    references.sort();
    references.dedup();
    assert_eq!(references.len(), all, "none is given twice: {references:?}");
    cluster.assert_faults_fired();
}
