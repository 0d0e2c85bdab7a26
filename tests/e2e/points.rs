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

#[tokio::test]
async fn whom_a_point_serves_is_asked_of_the_province_at_its_own_node() {
    let mut cluster = Cluster::found(FOUNDER).await;
    cluster.join("GB-LON", FOUNDER).await;
    for (point, name, role) in [
        (FOUNDER, "province", "provincial_admin"),
        (FOUNDER, "desk", "staff"),
        ("GB-LON", "helper", "point_admin"),
    ] {
        cluster.add_user(point, name, role).await;
    }
    let london = cluster.admin("GB-LON").await;
    let points = format!("{}/points.csv", crate::people::demo_data());
    london.ask(&["import", &points]).await;
    let province = cluster.user(FOUNDER, "province").await;
    let areas = async |client: &yizhan_tests::client::Client| {
        client.ask(&["point", "get", "GB-LON"]).await["areas"].clone()
    };
    let before = areas(&london).await;
    let change = json!({"areas": [{"prefix": "GB"}, {"prefix": "FR", "languages": ["en"]}]});
    let change = document(&cluster, "areas.json", &change);
    let update = ["point", "update", "GB-LON", "--file", &change];
    let asked = london.ask(&update).await["approval"].as_str().expect("an approval").to_owned();
    assert_eq!(areas(&london).await, before, "nothing has changed");

    // Nobody of the point can give it, however many they are.
    let give = ["approval", "give", &asked];
    assert_eq!(cluster.user("GB-LON", "helper").await.refused(&give).await, "NOT_FOUND");
    let waits = async || {
        let waiting = province.list(&["approval", "list"]).await;
        waiting.into_iter().find(|one| one["id"] == asked.as_str())
    };
    cluster.eventually("the province is asked", async || waits().await.is_some()).await;
    let waiting = waits().await.expect("an approval");
    assert_eq!(waiting["subject"], "GB-LON: GB FR:en", "{waiting}");
    assert_eq!(waiting["requested_by"], "GB-LON admin", "{waiting}");
    assert_eq!(cluster.user(FOUNDER, "desk").await.refused(&give).await, "NOT_FOUND");
    assert_eq!(cluster.admin(FOUNDER).await.refused(&give).await, "NOT_FOUND");

    // The word comes back also to a point that was cut off when it was given.
    cluster.cut_off("GB-LON");
    assert_eq!(province.ask(&give).await["state"], "done");
    assert_eq!(areas(&london).await, before, "not heard yet");
    cluster.rejoin("GB-LON");
    let expected = |areas: &Value| areas[0]["prefix"] == "GB" && areas[1]["prefix"] == "FR";
    for client in [&london, &province] {
        let what = "London serves whom the province says";
        cluster.eventually(what, async || expected(&areas(client).await)).await;
    }
    let decided = london.list(&["approval", "list"]).await;
    let decided = decided.iter().find(|one| one["id"] == asked.as_str()).expect("an approval");
    assert_eq!(
        (&decided["state"], &decided["decided_by"]),
        (&json!("done"), &json!("CN-440000 province")),
        "{decided}"
    );
    // What was changed meanwhile is proposed again, not overwritten.
    let change = document(&cluster, "areas.json", &json!({"areas": [{"prefix": "GB"}]}));
    let update = ["point", "update", "GB-LON", "--file", &change];
    let second = london.ask(&update).await["approval"].as_str().expect("an approval").to_owned();
    let phone = document(&cluster, "phone.json", &json!({"phone": "+442079460001"}));
    london.ask(&["point", "update", "GB-LON", "--file", &phone]).await;
    cluster
        .eventually("the province is asked again", async || {
            province.run(&["approval", "give", &second]).await.code == exit::DONE
        })
        .await;
    cluster
        .eventually("and the point says why it was not done", async || {
            let all = london.list(&["approval", "list"]).await;
            let one = all.into_iter().find(|one| one["id"] == second.as_str()).unwrap_or_default();
            one["state"] == "failed" && one["outcome"] == "POINT_CHANGED"
        })
        .await;
    assert!(expected(&areas(&london).await));
    london.run(&["audit", "verify"]).await.expect_code(exit::DONE);
    cluster.admin(FOUNDER).await.run(&["audit", "verify"]).await.expect_code(exit::DONE);
}
