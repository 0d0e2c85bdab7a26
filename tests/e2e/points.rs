//! A point's entry: every field set and read, whose word it takes, and who vouches for it.

use serde_json::{Value, json};
use yizhan_tests::{client::exit, cluster::Cluster};

use crate::people::document;

const FOUNDER: &str = "CN-440000";
const POINT: &str = "CA-TOR";

fn entry() -> Value {
    json!({
        "code": POINT, "short": "TOR", "kind": "overseas", "state": "active",
        "names": {"zh-Hans": "多伦多联络点", "en": "Toronto Contact Point"},
        "region_code": "CATOR", "registered_region": "CATOR", "tz": "America/Toronto",
        "languages": ["zh-Hans", "en"], "services": ["legal", "study"],
        "areas": [{"prefix": "CATOR", "languages": ["en"], "priority": 2}],
        "hours": [
            {"days": [1, 2, 3], "open": "09:00", "close": "12:00"},
            {"days": [1, 2, 3], "open": "13:30", "close": "17:00"},
            {"days": [6], "open": "10:00", "close": "12:00",
             "valid_from": "2026-06-01", "valid_to": "2026-08-31"},
        ],
        "closures": [{"from": "2026-12-24", "to": "2026-12-31", "cover": FOUNDER,
                      "notes": {"en": "Closed for the holidays"}}],
        "phone": "+14165550100", "email": "desk.tor@example.org",
        "channels": [{"service": "wechat", "value": "yizhan-tor"}],
        "opened_on": "2026-01-05", "verified_on": "2026-02-01",
        "contacts": [{"names": {"en": "Duty desk"}, "phone": "+14165550199"}],
        "network_services": ["archive"],
        "capacity": {"en": "two requests a day"},
    })
}

#[tokio::test]
async fn a_point_is_set_read_proposed_and_vouched_for() {
    let cluster = Cluster::found(FOUNDER).await;
    cluster.add_user(FOUNDER, "desk", "staff").await;
    cluster.add_user(FOUNDER, "province", "provincial_admin").await;
    let admin = cluster.admin(FOUNDER).await;
    let (desk, province) =
        (cluster.user(FOUNDER, "desk").await, cluster.user(FOUNDER, "province").await);
    let file = document(&cluster, "point.json", &entry());
    admin.ask(&["point", "create", "--file", &file]).await;

    // What was set is read, every field of it.
    let seen = admin.ask(&["point", "get", POINT]).await;
    for (key, value) in entry().as_object().expect("keys") {
        match key.as_str() {
            "hours" => {
                let hours = seen["hours"].as_array().expect("hours");
                assert_eq!((hours.len(), &hours[2]["valid_to"]), (3, &json!("2026-08-31")));
            }
            "contacts" => assert_eq!(seen["contacts"][0]["phone"], "+14165550199"),
            _ => assert_eq!(&seen[key], value, "{key}"),
        }
    }
    assert_eq!(seen["asserted_by"], FOUNDER);
    let anybody = cluster.visitor(FOUNDER).ask(&["point", "get", POINT]).await;
    for key in ["contacts", "network_services", "capacity"] {
        assert_eq!(anybody[key], Value::Null, "{key} is not for everybody");
    }
    let listed = cluster.visitor(FOUNDER).list(&["point", "list"]).await;
    let listed = listed.iter().find(|point| point["code"] == POINT).expect("the point");
    assert_eq!(
        (&listed["verified_on"], &listed["asserted_by"]),
        (&json!("2026-02-01"), &json!(FOUNDER))
    );

    // Bad fields are named.
    for (change, field, reason) in [
        (json!({"tz": "America/Toronta"}), "tz", "unknown_time_zone"),
        (
            json!({"closures": [{"from": "2026-12-24", "to": "2026-12-23"}]}),
            "closures",
            "end_before_start",
        ),
        (
            json!({"closures": [{"from": "2026-12-24", "to": "2026-12-25", "cover": "FR-PAR"}]}),
            "closures.cover",
            "unknown_point",
        ),
        (
            json!({"hours": [{"days": [1], "open": "09:00", "close": "12:00"},
                          {"days": [1], "open": "11:00", "close": "13:00"}]}),
            "hours",
            "hours_overlap",
        ),
        (
            json!({"hours": [{"days": [1], "open": "12:00", "close": "09:00"}]}),
            "hours",
            "hours_malformed",
        ),
        (json!({"areas": [{"prefix": "445500"}]}), "areas.prefix", "unknown_region_code"),
        (json!({"verified_on": "9999-01-01"}), "verified_on", "in_future"),
        (json!({"state": "paused"}), "cover", "required"),
        (json!({"phone": "12345"}), "phone", "phone_malformed"),
        (json!({"contacts": [{"names": {"en": "Desk"}}]}), "contacts.phone", "required"),
    ] {
        let answer = admin
            .run(&["point", "update", POINT, "--file", &document(&cluster, "bad.json", &change)])
            .await;
        let refused = answer.expect_code(exit::REFUSED).json();
        let named = &refused["error"]["fields"][0];
        let expected = (&json!(field), &json!(reason));
        assert_eq!((&named["field"], &named["reason"]), expected, "{refused}");
    }

    // Staff propose, an administrator agrees; whom the point serves is the province's word.
    let change = document(&cluster, "change.json", &json!({"services": ["legal"]}));
    let update = ["point", "update", POINT, "--file", &change];
    let asked = desk.ask(&update).await["approval"].as_str().expect("an approval").to_owned();
    assert_eq!(admin.ask(&["point", "get", POINT]).await["services"], json!(["legal", "study"]));
    assert_eq!(desk.refused(&["approval", "give", &asked]).await, "OWN_APPROVAL");
    assert_eq!(admin.ask(&["approval", "give", &asked]).await["state"], "done");
    assert_eq!(admin.ask(&["point", "get", POINT]).await["services"], json!(["legal"]));
    let change = document(&cluster, "change.json", &json!({"areas": [{"prefix": "CA"}]}));
    let update = ["point", "update", POINT, "--file", &change];
    let asked = admin.ask(&update).await["approval"].as_str().expect("an approval").to_owned();
    assert_eq!(admin.ask(&["point", "get", POINT]).await["areas"][0]["prefix"], "CATOR");
    assert_eq!(province.ask(&["approval", "give", &asked]).await["state"], "done");
    assert_eq!(admin.ask(&["point", "get", POINT]).await["areas"][0]["prefix"], "CA");

    // The province says whom a point serves, and nothing else of it alone.
    let change = document(&cluster, "change.json", &json!({"phone": "+14165550101"}));
    let update = ["point", "update", POINT, "--file", &change];
    let asked = province.ask(&update).await["approval"].as_str().expect("an approval").to_owned();
    assert_eq!(admin.ask(&["point", "get", POINT]).await["phone"], "+14165550100");
    assert_eq!(admin.ask(&["approval", "give", &asked]).await["state"], "done");

    // Somebody checks the entry again.
    let verified = ["point", "update", POINT, "--verified-on", "2026-03-01"];
    let seen = admin.ask(&verified).await;
    assert_eq!(
        (&seen["verified_on"], &seen["asserted_by"]),
        (&json!("2026-03-01"), &json!(FOUNDER))
    );
    let closed = admin.ask(&["point", "close", POINT, "--successor", FOUNDER]).await;
    assert_eq!((&closed["state"], &closed["successor"]), (&json!("closed"), &json!(FOUNDER)));
    let change = document(&cluster, "change.json", &json!({"state": "active"}));
    let answer = admin.run(&["point", "update", POINT, "--file", &change]).await;
    let refused = answer.expect_code(exit::REFUSED).json();
    let message = refused["error"]["fields"][0]["message"].as_str().expect("a message");
    assert!(message.contains("closed -> none"), "{refused}");
}
