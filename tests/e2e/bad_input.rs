//! Bad input through the real API: each is refused with its code, field and reason, in Chinese and
//! English; what only looks bad is taken.

use serde_json::{Value, json};
use tonic::Status;
use yizhan_client::error::Error;
use yizhan_proto::v1;
use yizhan_tests::{
    client::{Client, exit},
    cluster::{ADMIN, Cluster},
};

use crate::people::{demo_data, document, person, talk};

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
    let expected = ("INVALID_ARGUMENT", "given_at", "consent_in_future");
    assert_eq!((got.0.as_str(), got.1.as_str(), got.2.as_str()), expected);

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

/// A member as a program would send it.
fn message() -> v1::Member {
    let name = v1::PersonName { script: 1, full: "宗泽".into(), order: 1, ..Default::default() };
    v1::Member {
        state: 2,
        names: vec![name],
        preferred_script: 1,
        preferred_language: "zh-Hans".into(),
        city_code: "440100".into(),
        ..Default::default()
    }
}

/// A refusal that says everything: gRPC code, first field and its reason, told in both languages.
fn told<T: std::fmt::Debug>(answer: Result<T, Status>) -> (&'static str, String, String) {
    let error = Error::from(answer.expect_err("a refusal"));
    let field = error.fields.first().expect("a field");
    assert!(!field.message.is_empty() && !field.message_zh.is_ascii(), "{error:?}");
    (error.code, field.field.clone(), field.reason.clone())
}

#[tokio::test]
async fn the_node_itself_refuses_what_no_command_would_send() {
    let cluster = Cluster::found("CN-440000").await;
    let node = cluster.caller("CN-440000", ADMIN).await;
    let create = async |member| {
        let request = v1::CreateMemberRequest { member: Some(member), ..Default::default() };
        node.members().create_member(request).await
    };
    let day = |year, month, day| Some(v1::Date { year, month, day });
    let named = |change: fn(&mut v1::PersonName)| {
        let mut member = message();
        change(&mut member.names[0]);
        member
    };
    let cases = [
        (v1::Member { state: 99, ..message() }, "state", "unknown_member_state"),
        (v1::Member { state: -1, ..message() }, "state", "unknown_member_state"),
        (v1::Member { roles: vec![77], ..message() }, "roles", "unknown_role"),
        (v1::Member { availability: 9, ..message() }, "availability", "unknown_availability"),
        (named(|name| name.script = 9), "names.script", "unknown_script"),
        (named(|name| name.order = 9), "names.order", "unknown_name_order"),
        (v1::Member { joined_on: day(2023, 2, 29), ..message() }, "joined_on", "date_invalid"),
        (v1::Member { joined_on: day(2023, 13, 1), ..message() }, "joined_on", "date_invalid"),
        (v1::Member { joined_on: day(0, 1, 1), ..message() }, "joined_on", "date_invalid"),
        (v1::Member { joined_on: day(70_000, 1, 1), ..message() }, "joined_on", "date_invalid"),
    ];
    for (member, field, reason) in cases {
        let got = told(create(member.clone()).await);
        assert_eq!(got, ("INVALID_ARGUMENT", field.into(), reason.into()), "{member:?}");
    }

    let made = create(message()).await.unwrap().into_inner().member.unwrap();
    let moment = prost_types::Timestamp { seconds: 0, nanos: 2_000_000_000 };
    let grant = |via, given_time| v1::Grant {
        member: made.id.clone(),
        purpose: "contact.by_points".into(),
        text_version: "v2".into(),
        text_language: "en".into(),
        given_via: via,
        given_time,
        ..Default::default()
    };
    for (grant, field, reason) in [
        (grant(42, None), "given_via", "unknown_channel"),
        (grant(2, Some(moment)), "given_at", "not_a_time"),
    ] {
        let request = v1::GiveConsentRequest { grant: Some(grant), ..Default::default() };
        let got = told(node.members().give_consent(request).await);
        assert_eq!(got, ("INVALID_ARGUMENT", field.into(), reason.into()));
    }
}

#[tokio::test]
async fn a_change_names_the_version_it_was_made_from_and_a_request_has_one_effect() {
    let cluster = Cluster::found("CN-440000").await;
    let node = cluster.caller("CN-440000", ADMIN).await;
    let create = async || {
        let request_id = "0190f000-0000-7000-8000-000000000001".to_owned();
        let member = Some(message());
        let request = v1::CreateMemberRequest { member, request_id, ..Default::default() };
        node.members().create_member(request).await.unwrap().into_inner().member.unwrap()
    };
    let (first, again) = tokio::join!(create(), create());
    assert_eq!(first, again);
    assert_eq!(create().await, first, "however often it comes");
    let all = v1::SearchMembersRequest::default();
    let all = node.members().search_members(all).await.unwrap().into_inner();
    assert_eq!(all.items.len(), 1);

    let update = async |etag: &str, city: &str| {
        let member = v1::Member { etag: etag.into(), city_code: city.into(), ..first.clone() };
        node.members().update_member(v1::UpdateMemberRequest { member: Some(member) }).await
    };
    let got = told(update("", "440300").await);
    assert_eq!(got, ("INVALID_ARGUMENT", "etag".into(), "required".into()));
    update(&first.etag, "440300").await.unwrap();
    let stale = Error::from(update(&first.etag, "440400").await.unwrap_err());
    assert_eq!((stale.code, &*stale.reason), ("ABORTED", "STALE"));
    assert!(stale.message.is_ascii() && stale.message_zh.contains("重新读取"), "{stale:?}");
    let request = v1::GetMemberRequest { id: first.id.clone() };
    let stored = node.members().get_member(request).await.unwrap().into_inner();
    let Some(v1::get_member_response::Seen::Member(stored)) = stored.seen else {
        panic!("{stored:?}")
    };
    assert_eq!(stored.city_code, "440300");
}

#[tokio::test]
async fn supplies_are_not_pledged_beyond_what_is_needed() {
    let cluster = Cluster::found("CN-440000").await;
    let desk = cluster.admin("CN-440000").await;
    desk.ask(&["import", &demo_data()]).await;
    let client = cluster.visitor("CN-440000");
    let asked = ["--category", "supplies", "--country", "CN", "--city", "440100", "--lang", "en"];
    let asked = [&["help", "submit"][..], &asked, &["--text", "masks"]].concat();
    let asked = client.ask(&asked).await;
    let reference = asked["reference"].as_str().expect("a reference");
    desk.ask(&["desk", "assign", reference]).await;
    let supply = ["desk", "supply", reference, "--line"];
    let got = refused(&desk, &[&supply[..], &["masks:box:10:11:0:0"]].concat()).await;
    let reason = ("INVALID_ARGUMENT", "pledged_beyond_need");
    assert_eq!((got.0.as_str(), got.2.as_str()), reason);
    assert!(got.1.starts_with("supplies"), "{got:?}");
    let got = refused(&desk, &[&supply[..], &["masks:box:-1:0:0:0"]].concat()).await;
    assert_eq!((got.0.as_str(), got.2.as_str()), ("INVALID_ARGUMENT", "negative"));
    desk.ask(&[&supply[..], &["masks:box:10:10:0:0"]].concat()).await;
}

#[tokio::test]
async fn a_leap_second_is_taken_for_the_second_before_it() {
    let cluster = Cluster::found("CN-440000").await;
    let client = cluster.admin("CN-440000").await;
    let mut event = talk("讲座");
    event["starts_at"] = json!("2016-12-31T23:59:60Z");
    event["ends_at"] = json!("2017-01-01T01:00:00Z");
    let file = document(&cluster, "leap.json", &event);
    let made = client.ask(&["event", "create", "--file", &file]).await;
    let shown = client.ask(&["event", "get", made["id"].as_str().expect("an id")]).await;
    assert!(shown.to_string().contains("2016-12-31T23:59:59Z"), "{shown}");
}

#[tokio::test]
async fn a_message_that_is_larger_than_anybody_needs_is_not_read() {
    let cluster = Cluster::found("GB-LON").await;
    let node = cluster.anybody("GB-LON").await;
    let submit = async |characters: usize| {
        let content = v1::HelpContent { text: "x".repeat(characters), ..Default::default() };
        let request = v1::SubmitHelpRequestRequest {
            category: "legal".into(),
            country: "GB".into(),
            language: "en".into(),
            content: Some(content),
            ..Default::default()
        };
        node.help_requests().submit_help_request(request).await.expect_err("too long").code()
    };
    assert_eq!(submit(200 * 1_024).await, tonic::Code::InvalidArgument, "read, and refused");
    assert_eq!(submit(300 * 1_024).await, tonic::Code::OutOfRange);
}
