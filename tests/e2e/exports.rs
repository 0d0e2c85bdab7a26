//! Members taken out as files that people open: nothing in them runs, nothing is in them that the
//! caller may not see, and the audit knows of it.

use std::fs;

use serde_json::json;
use yizhan_client::sheet;
use yizhan_tests::cluster::Cluster;

use crate::people::{NETWORK_PURPOSE, demo_data, document, own_account, person, scratch, text};

#[tokio::test]
async fn an_export_opens_in_a_spreadsheet_and_runs_nothing() {
    let cluster = Cluster::found("CN-440000").await;
    let client = cluster.admin("CN-440000").await;
    let name = |script: &str, family: &str, given: &str, full: &str, key: &str| {
        json!({"script": script, "family": family, "given": given, "full": full,
               "order": "family_first", "sort_key": key})
    };
    for (full, phone, names) in [
        (
            "=HYPERLINK",
            "+8615408235760",
            json!([name("hans", "", "", "=HYPERLINK(\"x\")", "hai ping")]),
        ),
        (
            "欧阳若晴",
            "+8615408235761",
            json!([
                name("hans", "欧阳", "若晴", "欧阳若晴", "ouyang ruoqing"),
                name("latin", "Ouyang", "Ruoqing", "Ouyang Ruoqing", "")
            ]),
        ),
    ] {
        let mut body = person("Zeze").document();
        body["names"] = names;
        body["phone"] = json!(phone);
        let file = document(&cluster, "member.json", &body);
        let made = client.ask(&["member", "create", "--file", &file]).await;
        let id = made["id"].as_str().expect("an id").to_owned();
        client.ask(&["member", "consent", &id, "--purpose", NETWORK_PURPOSE]).await;
        assert_eq!(client.finds(full).await.len(), 1);
    }
    let path = |name: &str| text(&scratch(&cluster).join(name));
    let csv = path("members.csv");
    let done = client.ask(&["export", "member", "--to", &csv]).await;
    assert_eq!(done["rows"], 2, "{done}");
    let table = fs::read_to_string(&csv).expect("a file");
    assert!(table.starts_with('\u{feff}') && table.contains("\r\n"), "{table}");
    assert!(table.contains("\"'=HYPERLINK(\"\"x\"\")\"") && table.contains("欧阳若晴"), "{table}");
    assert!(table.contains("'+8615408235760"), "{table}");

    let xlsx = path("members.xlsx");
    client.ask(&["export", "member", "--format", "xlsx", "--to", &xlsx]).await;
    let mut cells = Vec::new();
    sheet::read(xlsx.as_ref(), |row| {
        cells.extend(row);
        true
    })
    .expect("a sheet");
    assert!(cells.contains(&"=HYPERLINK(\"x\")".to_owned()), "typed as text: {cells:?}");
    assert!(cells.contains(&"+8615408235760".to_owned()));

    let cards = path("members.vcf");
    client.ask(&["export", "member", "--format", "vcard", "--to", &cards]).await;
    let cards = fs::read_to_string(&cards).expect("cards");
    assert_eq!(cards.matches("BEGIN:VCARD\r\nVERSION:4.0\r\n").count(), 2);
    let chinese = "N;ALTID=1;LANGUAGE=zh-Hans;SORT-AS=\"ouyang,ruoqing\":欧阳;若晴;;;\r\n";
    assert!(cards.contains(chinese), "{cards}");

    let lines = client.run(&["export", "member", "--format", "jsonl", "--words", "欧阳若晴"]).await;
    let member: serde_json::Value = serde_json::from_str(&lines.stdout).expect("one line");
    assert_eq!(member["name_latin"], "Ouyang Ruoqing");

    // The province counts people and takes no list of them along.
    cluster.add_user("CN-440000", "province", "provincial_admin").await;
    let province = cluster.user("CN-440000", "province").await;
    assert_eq!(province.refused(&["export", "member"]).await, "DENIED");
    province.run(&["export", "event"]).await.expect_code(0);
    let nobody = cluster.visitor("CN-440000");
    assert_eq!(nobody.refused(&["export", "member"]).await, "UNAUTHENTICATED");

    let audit = client.list(&["audit", "list"]).await;
    let noted = audit.iter().any(|line| line.to_string().contains("member rows=2"));
    assert!(noted, "{audit:?}");
}

#[tokio::test]
async fn another_point_takes_out_the_card_and_no_more() {
    let mut cluster = Cluster::found("CN-440000").await;
    cluster.join("HK", "CN-440000").await;
    let (home, hk) = (cluster.admin("CN-440000").await, cluster.admin("HK").await);
    let mut body = person("Outward").document();
    body["phone"] = json!("+8613800138000");
    body["email"] = json!("outward@example.org");
    let file = document(&cluster, "member.json", &body);
    let made = home.ask(&["member", "create", "--file", &file]).await;
    let id = made["id"].as_str().expect("an id").to_owned();
    home.ask(&["member", "consent", &id, "--purpose", NETWORK_PURPOSE]).await;
    cluster.eventually("HK has it", async || hk.finds("Outward").await.len() == 1).await;
    cluster.add_user("HK", "clerk", "staff").await;
    let clerk = cluster.user("HK", "clerk").await;
    for (at, client, knows) in [("home", &home, true), ("hk", &clerk, false)] {
        for format in ["csv", "jsonl", "vcard"] {
            let path = text(&scratch(&cluster).join(format!("{at}.{format}")));
            client.ask(&["export", "member", "--format", format, "--to", &path]).await;
            let taken = fs::read_to_string(&path).expect("a file");
            assert!(taken.contains("Outward"), "{at} {format}: {taken}");
            for secret in ["13800138000", "outward@example.org"] {
                assert_eq!(taken.contains(secret), knows, "{at} {format}: {taken}");
            }
        }
    }
    // The person takes out the own record, and nobody else's.
    person("Another").create_shown(&cluster, &home).await;
    let own = own_account(&cluster, "CN-440000", &id).await;
    let path = text(&scratch(&cluster).join("own.vcf"));
    let done = own.ask(&["export", "member", "--format", "vcard", "--to", &path]).await;
    assert_eq!(done["rows"], 1, "{done}");
    let card = fs::read_to_string(&path).expect("a card");
    assert!(card.contains("Outward") && card.contains("13800138000"), "{card}");
    assert_eq!(own.refused(&["export", "event"]).await, "DENIED");
    let hers = clerk.list(&["audit", "list"]).await;
    assert!(hers.iter().any(|line| line.to_string().contains("member rows=1")), "{hers:?}");
}

#[tokio::test]
async fn what_was_taken_out_is_brought_in_again_and_changes_nothing() {
    let cluster = Cluster::found("CN-440000").await;
    let client = cluster.admin("CN-440000").await;
    client.ask(&["import", &demo_data()]).await;
    // Somebody, with a consent and a place, and a group, that came from no file.
    let id = person("Filed").create_shown(&cluster, &client).await;
    let group = json!({"kind": "liaison", "titles": {"en": "Harbour"}, "scope_region": "440100"});
    let group = document(&cluster, "group.json", &group);
    let group = client.ask(&["group", "create", "--file", &group]).await;
    let group = group["id"].as_str().expect("an id");
    client.ask(&["group", "enrol", group, "--member", &id, "--role", "key_contact"]).await;
    for (kind, name) in [
        ("point", "points.csv"),
        ("member", "members.csv"),
        ("grant", "grants.csv"),
        ("group", "groups.csv"),
        ("group_member", "group_members.csv"),
    ] {
        let file = text(&scratch(&cluster).join(name));
        let done = client.ask(&["export", kind, "--to", &file]).await;
        let report = client.ask(&["import", &file]).await;
        assert_eq!(report["unchanged"], done["rows"], "{kind}: {report}");
        assert_eq!((&report["accepted"], &report["rejected_rows"]), (&json!(0), &json!(0)));
    }
}
