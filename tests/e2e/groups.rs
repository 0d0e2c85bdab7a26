//! Groups: a cohort's key contacts come and go, a rota is covered, and everybody is counted once.

use serde_json::{Value, json};
use yizhan_tests::{
    client::{Client, exit},
    cluster::Cluster,
};

use crate::people::{self, person};

const HOME: &str = "CN-440000";

async fn group(cluster: &Cluster, client: &Client, kind: &str, extra: Value) -> String {
    let mut document = json!({"kind": kind, "titles": {"en": kind}, "state": "running"});
    for (key, value) in extra.as_object().into_iter().flatten() {
        document[key] = value.clone();
    }
    let file = people::document(cluster, "group.json", &document);
    let made = client.ask(&["group", "create", "--file", &file]).await;
    made["id"].as_str().expect("an id").to_owned()
}

async fn roles(client: &Client, member: &str) -> String {
    client.ask(&["member", "get", member]).await["roles"].to_string()
}

#[tokio::test]
async fn a_key_contact_is_appointed_after_the_cohort_and_stands_down() {
    let cluster = Cluster::found(HOME).await;
    let home = cluster.admin(HOME).await;
    let one = person("Appointed").create(&cluster, &home).await;
    let (first, second) = (
        group(&cluster, &home, "cohort", json!({"issue_no": 1})).await,
        group(&cluster, &home, "cohort", json!({"issue_no": 2})).await,
    );
    for cohort in [&first, &second] {
        home.ask(&["group", "enrol", cohort, "--member", &one]).await;
        let early = ["group", "appoint", cohort, "--member", &one];
        let refused = home.run(&early).await.expect_code(exit::REFUSED).json();
        assert_eq!(refused["error"]["reason"], "MOVE_REFUSED", "{refused}");
        assert!(
            refused["error"]["message"].as_str().is_some_and(|text| text.contains("completed"))
        );
        home.ask(&["group", "appoint", cohort, "--member", &one, "--to", "completed"]).await;
        let appointed = home.ask(&early).await;
        assert_eq!(appointed["state"], "active_contact");
    }
    assert!(roles(&home, &one).await.contains("key_contact"));
    let report = home.ask(&["report", "association"]).await;
    let contacts = report["figures"].as_array().expect("figures").iter();
    let contacts = contacts.filter(|figure| figure["id"] == "key_contacts_distinct");
    assert_eq!(
        contacts.map(|figure| &figure["value"]).collect::<Vec<_>>(),
        [&json!(1)],
        "{report}"
    );

    // Of two cohorts, one is left: the person stays a key contact until both are over.
    let down = async |cohort: &str| {
        let call = ["group", "appoint", cohort, "--member", &one, "--to", "stood_down"];
        home.ask(&[&call[..], &["--on", "2035-03-31"]].concat()).await
    };
    assert_eq!(down(&first).await["to"], "2035-03-31");
    assert!(roles(&home, &one).await.contains("key_contact"));
    down(&second).await;
    assert!(!roles(&home, &one).await.contains("key_contact"));
}

#[tokio::test]
async fn a_rota_names_who_is_on_duty_who_covers_and_where_nobody_does() {
    let cluster = Cluster::found(HOME).await;
    let home = cluster.admin(HOME).await;
    let liaison = group(&cluster, &home, "liaison", json!({})).await;
    let mut places = Vec::new();
    for (name, hans) in [("Onduty", "赵当值"), ("Covering", "钱代班")] {
        let somebody = people::Person { hans, sort_key: "zhao", ..person(name) };
        let member = somebody.create(&cluster, &home).await;
        let enrol = ["group", "enrol", &liaison, "--member", &member, "--region", "440100"];
        places.push(home.ask(&enrol).await["id"].as_str().expect("an id").to_owned());
    }
    let set = ["group", "duty", &liaison, "--set", &places[0], "--cover", &places[1]];
    let when = ["--region", "440100", "--from", "2035-10-01", "--to", "2035-10-07"];
    home.ask(&[&set[..], &when].concat()).await;
    let on = async |day: &str| home.ask(&["group", "duty", &liaison, "--on", day]).await;
    let within = on("2035-10-03").await;
    let items = within["items"].as_array().expect("items");
    assert_eq!(items.len(), 1, "{within}");
    let told = items[0].to_string();
    assert!(told.contains(&places[0]) && told.contains(&places[1]), "{within}");
    // Outside the rota whoever looks after the region does, and nobody covers.
    let after = on("2035-10-08").await;
    assert_eq!(after["items"][0]["region"], "440100", "{after}");
    assert_eq!(after["items"][0]["cover"], Value::Null, "{after}");

    for kind in ["delegation", "council"] {
        let id = group(&cluster, &home, kind, json!({})).await;
        assert_eq!(home.ask(&["group", "get", &id]).await["kind"], kind);
    }
}
