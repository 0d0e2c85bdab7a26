//! Files of persons as a point keeps them, with faults in them: a verdict on every row, row by row
//! the one that is written down beside the file.

use std::{collections::BTreeMap, fs};

use serde_json::Value;
use yizhan_tests::{client::Client, cluster::Cluster};

use crate::people::{demo_data, scratch, text};

const AS_OF: &str = "2023-10-20";

fn bad(name: &str) -> String {
    format!("{}/data/import-bad/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// What is written down of a row.
#[derive(Debug, PartialEq, Eq)]
struct Expected {
    verdict: String,
    reason: String,
    field: String,
    visibility: String,
    matches: usize,
    /// Of a cell that holds a number the server sees the digits, as of any other.
    is_number: bool,
}

fn expected(file: &str) -> BTreeMap<u64, Expected> {
    let table = fs::read_to_string(bad(file)).expect("verdicts");
    let mut verdicts = BTreeMap::new();
    for line in table.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let [row, verdict, reason, field, visibility, matches] =
            [0, 1, 2, 3, 4, 5].map(|at| cells[at].to_owned());
        let matches = matches.split(';').filter(|id| !id.is_empty()).count();
        verdicts.insert(
            row.parse().expect("a row"),
            Expected {
                is_number: line.contains("number cell"),
                verdict,
                reason,
                field,
                visibility,
                matches,
            },
        );
    }
    verdicts
}

/// The report's word on every row, in the form of what is written down.
fn said(report: &Value) -> BTreeMap<u64, Vec<Expected>> {
    let mut verdicts: BTreeMap<u64, Vec<Expected>> = BTreeMap::new();
    for (list, verdict) in
        [("remarks", "accepted"), ("rejected", "rejected"), ("ambiguous", "ambiguous")]
    {
        for one in report[list].as_array().expect("a list") {
            let word = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
            assert!(!word("message").is_empty() && !word("message_zh").is_empty(), "{one}");
            let row = one["row"].as_u64().expect("a row");
            verdicts.entry(row).or_default().push(Expected {
                verdict: verdict.to_owned(),
                reason: word("reason"),
                field: word("field"),
                visibility: word("visibility"),
                matches: one["matches"].as_array().map_or(0, Vec::len),
                is_number: false,
            });
        }
    }
    verdicts.remove(&0);
    verdicts
}

/// Every row has the verdict that is written down; of a row that went in the remark is among those
/// that were made.
fn compare(report: &Value, expected: &BTreeMap<u64, Expected>) {
    let said = said(report);
    assert_eq!(said.len(), expected.len(), "{report:#}");
    for (row, wanted) in expected {
        let got = said.get(row).unwrap_or_else(|| panic!("no word on row {row}: {wanted:?}"));
        assert!(got.iter().all(|one| one.verdict == wanted.verdict), "row {row}: {got:?}");
        assert!(got.iter().all(|one| one.visibility == wanted.visibility), "row {row}: {got:?}");
        if wanted.is_number {
            continue;
        }
        let reason = |one: &&Expected| one.reason == wanted.reason;
        let one = got.iter().find(reason);
        let one = one.unwrap_or_else(|| panic!("row {row}: {got:?}, not {wanted:?}"));
        if wanted.reason != "ok_existing" {
            assert_eq!(one.field, wanted.field, "row {row}");
            assert_eq!(one.matches, wanted.matches, "row {row}");
        }
    }
    for (verdict, count) in [("rejected", "rejected_rows"), ("ambiguous", "ambiguous_rows")] {
        let rows = expected.values().filter(|one| one.verdict == verdict).count();
        assert_eq!(report[count], rows as u64, "{verdict}");
    }
}

/// A point with a node of its own below the province, with the data set.
async fn guangzhou() -> (Cluster, Client) {
    let mut cluster = Cluster::found("CN-440000").await;
    cluster.join("CN-440100", "CN-440000").await;
    let province = cluster.admin("CN-440000").await;
    let client = cluster.admin("CN-440100").await;
    province.ask(&["import", &demo_data()]).await;
    client.ask(&["import", &demo_data()]).await;
    cluster
        .eventually("the cohorts are known in Guangzhou", async || {
            client.list(&["group", "list", "--kind", "cohort"]).await.len() == 4
        })
        .await;
    (cluster, client)
}

async fn feeds(client: &Client) -> Value {
    let own = |feed: &&Value| feed["state"] == "own";
    let status = client.status().await;
    status["feeds"].as_array().expect("feeds").iter().filter(own).cloned().collect()
}

#[tokio::test]
async fn key_contacts_get_the_verdicts_that_are_written_down() {
    let (cluster, client) = guangzhou().await;
    let file = bad("key_contacts.csv");
    let expected = expected("key_contacts_verdicts.csv");
    let before = feeds(&client).await;
    let import = ["import", file.as_str(), "--as-of", AS_OF];

    let dry = client.ask(&[&import[..], &["--dry-run"]].concat()).await;
    assert_eq!((&dry["rows"], &dry["accepted"]), (&50.into(), &31.into()), "{dry:#}");
    compare(&dry, &expected);
    assert_eq!(feeds(&client).await, before, "a dry run writes nothing");

    let errors = scratch(&cluster).join("errors.csv");
    let errors = text(&errors);
    let report = client.ask(&[&import[..], &["--errors", &errors]].concat()).await;
    assert_eq!(report["accepted"], 31, "{report:#}");
    compare(&report, &expected);
    let contacts = client.list(&["group", "members", "COHORT-4"]).await;
    assert_eq!(contacts.len(), 52 + 31);
    // Who has agreed to nothing is in no other point's index.
    let province = cluster.admin("CN-440000").await;
    let shown = async |name: &str| province.finds(name).await.len();
    cluster.eventually("a card is shown", async || shown("吴远安").await == 1).await;
    assert_eq!(shown("李天峰").await, 0);
    assert_eq!(client.finds("李天峰").await[0]["audience"], "home");
    assert_eq!(client.finds("何𠮷宁").await.len(), 1);
    assert_eq!(client.finds("+8613800138000").await[0]["preferred_name"], "邓雨柏");

    let after = feeds(&client).await;
    let again = client.ask(&import).await;
    assert_eq!((&again["accepted"], &again["unchanged"]), (&0.into(), &31.into()), "{again:#}");
    assert_eq!(feeds(&client).await, after, "the second run changes nothing");

    // The rows that stayed out, one of them put right.
    let table = fs::read_to_string(&errors).expect("an error file");
    assert!(table.starts_with('\u{feff}') && table.lines().count() == 20, "{table}");
    fs::write(&errors, table.replace("+852 9123 456", "+852 9123 4567")).expect("a file");
    let mended = client.ask(&["import", errors.as_str(), "--as-of", AS_OF]).await;
    assert_eq!((&mended["rows"], &mended["accepted"]), (&19.into(), &1.into()), "{mended:#}");
}

#[tokio::test]
async fn a_sheet_with_chinese_headers_gets_the_verdicts_that_are_written_down() {
    let (cluster, client) = guangzhou().await;
    let sheet = bad("members_zh.xlsx");
    let expected = expected("members_zh_verdicts.csv");
    let import = ["import", sheet.as_str(), "--as-of", AS_OF];
    let dry = client.ask(&[&import[..], &["--dry-run"]].concat()).await;
    assert_eq!((&dry["rows"], &dry["accepted"]), (&40.into(), &31.into()), "{dry:#}");
    compare(&dry, &expected);
    let report = client.ask(&import).await;
    assert_eq!(report["accepted"], 31);
    let again = client.ask(&import).await;
    assert_eq!((&again["accepted"], &again["unchanged"]), (&0.into(), &31.into()));
    // The data set has one of these too.
    assert_eq!(client.finds("=HYPERLINK").await.len(), 2);

    // A file with headers and words of its own, and who told what they mean.
    let own = scratch(&cluster).join("own.csv");
    fs::write(&own, "Wer,Ruf,Ort,Abschluss\n测试人,13800138999,深圳,M.Sc.\n").expect("a file");
    let mapping = scratch(&cluster).join("mapping.json");
    let says = serde_json::json!({
        "table": "people",
        "columns": {"Wer": "name", "Ruf": "phone", "Ort": "city", "Abschluss": "degree"},
        "values": {"degree": {"M.Sc.": "7"}},
    });
    fs::write(&mapping, says.to_string()).expect("a file");
    let (own, mapping) = (text(&own), text(&mapping));
    let report = client.ask(&["import", own.as_str(), "--mapping", mapping.as_str()]).await;
    assert_eq!(report["accepted"], 1, "{report:#}");
    let found = client.finds("测试人").await;
    let id = found[0]["id"].as_str().expect("an id");
    let member = client.ask(&["member", "get", id]).await;
    assert_eq!(member["study"]["degree_isced"], 7);
    assert_eq!(
        (&member["phone"], &member["city_code"]),
        (&"+8613800138999".into(), &"440300".into())
    );
}
