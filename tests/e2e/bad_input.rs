//! Bad input through the real API: each is refused with its code, field and reason, in Chinese and
//! English; what only looks bad is taken.

use serde_json::{Value, json};
use yizhan_tests::{
    client::{Client, exit},
    cluster::Cluster,
};

use crate::people::{document, person, talk};

/// What was refused: gRPC code, field, reason. People read both languages.
async fn refused(client: &Client, arguments: &[&str]) -> (String, String, String) {
    let answer = client.run(arguments).await.expect_code(exit::REFUSED).json();
    let error = &answer["error"];
    let field = &error["fields"][0];
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for key in ["message", "message_zh"] {
        assert!(!word(&field[key]).is_empty(), "{arguments:?}: {answer}");
    }
    assert!(!word(&field["message_zh"]).is_ascii(), "{answer}");
    (word(&error["code"]), word(&field["field"]), word(&field["reason"]))
}

fn with(mut base: Value, key: &str, value: Value) -> Value {
    base[key] = value;
    base
}

#[tokio::test]
async fn what_is_wrong_is_refused_by_field_and_reason_in_both_languages() {
    let cluster = Cluster::found("CN-440000").await;
    let client = cluster.admin("CN-440000").await;
    let member = || person("Zeze").document();
    let event = || talk("讲座");
    let named = |full: String| {
        let name = json!({"script": "hans", "full": full, "order": "family_first"});
        with(member(), "names", json!([name]))
    };
    let cases: Vec<(&str, &str, Value, &str, &str)> = vec![
        (
            "member",
            "phone of seven digits",
            with(member(), "phone", json!("+8529123456")),
            "phone",
            "phone_malformed",
        ),
        (
            "member",
            "no address",
            with(member(), "email", json!("new.example.org")),
            "email",
            "email_malformed",
        ),
        (
            "member",
            "29 February 2023",
            with(member(), "joined_on", json!("2023-02-29")),
            "joined_on",
            "not_a_date",
        ),
        (
            "member",
            "unknown region",
            with(member(), "city_code", json!("445500")),
            "city_code",
            "unknown_region_code",
        ),
        ("member", "NUL in a name", named("张\u{0}伟".into()), "names", "control_character"),
        ("member", "a name of 10,000 characters", named("伟".repeat(10_000)), "names", "too_long"),
        ("member", "no name", with(member(), "names", json!([])), "names", "name_missing"),
        (
            "member",
            "unknown word",
            with(member(), "state", json!("asleep")),
            "state",
            "unknown_word",
        ),
        (
            "member",
            "no such degree",
            with(member(), "study", json!({"degree_isced": 9})),
            "study.degree_isced",
            "unknown_degree",
        ),
        (
            "member",
            "no such language",
            with(member(), "preferred_language", json!("chinese")),
            "preferred_language",
            "unknown_language",
        ),
        (
            "event",
            "ends before it begins",
            with(event(), "ends_at", json!("2035-04-22T14:00:00+08:00")),
            "ends_at",
            "end_before_start",
        ),
        (
            "event",
            "the year 1",
            with(
                with(event(), "starts_at", json!("0001-01-01T00:00:00Z")),
                "ends_at",
                json!("0001-01-01T01:00:00Z"),
            ),
            "starts_at",
            "time_out_of_range",
        ),
        (
            "event",
            "a zone that IANA does not know",
            with(event(), "tz", json!("Asia/Beijing")),
            "tz",
            "unknown_time_zone",
        ),
        (
            "event",
            "a title of 10,000 characters",
            with(event(), "titles", json!({"en": "x".repeat(10_000)})),
            "titles",
            "too_long",
        ),
        (
            "event",
            "29 February 2023",
            with(event(), "starts_at", json!("2023-02-29T10:00:00Z")),
            "starts_at",
            "not_a_time",
        ),
        (
            "org",
            "a negative quantity",
            json!({"type": "park", "names": {"en": "P"}, "region_code": "440100", "figures": [{"metric": "companies", "value": -1, "source": "x", "as_of": "2023-01-01"}]}),
            "figures.value",
            "negative",
        ),
        (
            "org",
            "figures without a source",
            json!({"type": "park", "names": {"en": "P"}, "region_code": "440100", "figures": [{"metric": "companies", "value": 1, "as_of": "2023-01-01"}]}),
            "figures.source",
            "required",
        ),
        (
            "group",
            "a cohort without a number",
            json!({"kind": "cohort", "titles": {"en": "C"}, "state": "planned"}),
            "issue_no",
            "cohort_needs_number",
        ),
    ];
    for (noun, what, body, field, reason) in cases {
        let file = document(&cluster, "bad.json", &body);
        let got = refused(&client, &[noun, "create", "--file", &file]).await;
        assert_eq!(got, ("INVALID_ARGUMENT".into(), field.into(), reason.into()), "{noun}: {what}");
    }

    let id = person("Zeze").create(&cluster, &client).await;
    let consent = ["member", "consent", &id, "--purpose", "profile.network"];
    let future = [&consent[..], &["--given-at", "2099-01-01T00:00:00Z"]].concat();
    let got = refused(&client, &future).await;
    assert_eq!((got.0.as_str(), got.2.as_str()), ("INVALID_ARGUMENT", "consent_in_future"));

    let first = client.ask(&["member", "search", "--limit", "1"]).await;
    let second = person("Yaya").create(&cluster, &client).await;
    let page = client.ask(&["member", "search", "--limit", "1"]).await;
    let token = page["next_page_token"].as_str().unwrap_or_default().to_owned();
    assert!(!token.is_empty(), "{first} {page} {second}");
    let other = ["member", "search", "Zeze", "--limit", "1", "--page-token", &token];
    let got = refused(&client, &other).await;
    assert_eq!((got.1.as_str(), got.2.as_str()), ("page_token", "not_a_page_token"));

    // A zone that people often write is refused with the one that is meant.
    let file = document(&cluster, "zone.json", &with(event(), "tz", json!("Asia/Beijing")));
    let answer = client.run(&["event", "create", "--file", &file]).await;
    assert!(answer.stdout.contains("Asia/Shanghai"), "{answer:?}");
}

#[tokio::test]
async fn what_only_looks_bad_is_taken() {
    let cluster = Cluster::found("CN-440000").await;
    let client = cluster.admin("CN-440000").await;
    let create = async |body: Value| {
        let file = document(&cluster, "odd.json", &body);
        let made = client.ask(&["member", "create", "--file", &file]).await;
        client.ask(&["member", "get", made["id"].as_str().expect("an id")]).await
    };
    let odd = "张\u{200b}\u{202e}伟";
    let name = json!({"script": "hans", "full": odd, "order": "family_first"});
    let mut body = with(person("Zeze").document(), "names", json!([name]));
    body["email"] = json!("梁承书@Example.ORG");
    body["city_code"] = json!("44\u{200b}0100");
    let member = create(body).await;
    assert_eq!(member["names"][0]["full"], odd, "kept as it was written");
    assert_eq!(member["name_is_flagged"], true, "and flagged");
    assert_eq!(member["email"], "梁承书@example.org");
    assert_eq!(member["city_code"], "440100", "stripped in codes");
    let plain = create(person("Yaya").document()).await;
    assert_eq!(plain["name_is_flagged"], false);
}
