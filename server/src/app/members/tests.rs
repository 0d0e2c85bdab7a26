//! Who finds whom, and that what is withdrawn is gone at once.

use yizhan_proto::v1::{self, FeedState, get_member_response::Seen, tombstone::Reason};

use super::*;
use crate::{
    app::{
        App,
        error::Error,
        import::Order,
        samples::{FILES, FOUNDER, account, admin, code, founder},
    },
    domain::{
        audience::{Audience, FeedId},
        id::RecordId,
        policy::{Operation, Role},
        time::Time,
    },
    identity::caller::Caller,
    jobs::runner::Job,
};

fn person(family: &str, given: &str) -> v1::Member {
    v1::Member {
        state: 2,
        names: vec![v1::PersonName {
            script: 1,
            family: family.into(),
            given: given.into(),
            full: format!("{family}{given}"),
            order: 1,
            sort_key: String::new(),
        }],
        preferred_script: 1,
        preferred_language: "zh-Hans".into(),
        city_code: "440100".into(),
        phone: "+8615400000001".into(),
        field_group: "health".into(),
        ..Default::default()
    }
}

/// The same person without a phone: nobody else can be taken for the bearer of it.
fn unreached(person: v1::Member) -> v1::Member {
    v1::Member { phone: String::new(), ..person }
}

fn made(member: v1::Member, request_id: &str) -> New {
    New { member, request_id: request_id.into(), ..New::default() }
}

fn consent(member: &str, purpose: &str) -> v1::Grant {
    v1::Grant {
        member: member.into(),
        purpose: purpose.into(),
        text_version: "v2".into(),
        text_language: "zh-Hans".into(),
        given_via: 2,
        ..Default::default()
    }
}

fn id(member: &v1::Member) -> RecordId {
    RecordId::parse(&member.id, "id").unwrap()
}

fn home_feed() -> FeedId {
    FeedId::new(FOUNDER.parse().unwrap(), Audience::Home)
}

/// Carries an erasure out, as an approval does; says how many records went.
async fn erased(app: &App, caller: &Caller, id: RecordId) -> u32 {
    let deed = caller.deed(Operation::EraseMember);
    execute_erasure(app, deed, &code(FOUNDER), id).await.unwrap().removed
}

async fn found(app: &App, caller: &Caller, words: &str) -> Vec<String> {
    let asked = Search { words: words.into(), page_size: 1_000, ..Search::default() };
    search(app, caller, asked).await.unwrap().items.into_iter().map(|item| item.audience).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_enter_one_person_at_one_moment_one_succeeds() {
    let node = founder().await;
    create(&node.app, &admin(FOUNDER), made(unreached(person("李", "明")), "")).await.unwrap();
    let entering = (0..32).map(|number| {
        let app = node.app.clone();
        tokio::spawn(async move {
            let mut person = person("张", "伟");
            // Some by phone and mail, others by phone alone.
            if number % 2 == 0 {
                person.email = "zhang.wei@example.org".into();
            }
            create(&app, &admin(FOUNDER), made(person, "")).await
        })
    });
    let entering: Vec<_> = entering.collect();
    let (mut entered, mut refused) = (Vec::new(), Vec::new());
    for one in entering {
        match one.await.unwrap() {
            Ok(member) => entered.push(member.id),
            Err(Error::Invalid(fields)) => refused.push((fields[0].reason, fields[0].hint.clone())),
            Err(error) => panic!("{error}"),
        }
    }
    let [entered] = &entered[..] else { panic!("{entered:?}") };
    assert_eq!(refused.len(), 31);
    for (reason, hint) in refused {
        assert!(reason == "member_exists" && hint.starts_with(&**entered), "{reason} {hint}");
    }
    // Others at the same moment are not in the way.
    let others = (0..32).map(|number: u32| {
        let app = node.app.clone();
        let person = v1::Member { phone: format!("+861540001{number:04}"), ..person("王", "芳") };
        tokio::spawn(async move { create(&app, &admin(FOUNDER), made(person, "")).await })
    });
    for one in others.collect::<Vec<_>>() {
        one.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_name_of_two_characters_is_found_in_every_way_it_is_typed() {
    let node = founder().await;
    let (app, staff) = (&node.app, admin(FOUNDER));
    let member = create(app, &staff, made(person("张", "伟"), "")).await.unwrap();
    create(app, &staff, made(unreached(person("王", "芳")), "")).await.unwrap();
    for words in ["张伟", "伟", "zhangwei", "zw", "zhang wei", "+8615400000001 张"] {
        assert!(!found(app, &staff, words).await.is_empty(), "{words}");
    }
    assert!(found(app, &staff, "张芳").await.is_empty());
    assert!(found(app, &Caller::Anonymous, "张伟").await.is_empty());
    give(app, &staff, consent(&member.id, "profile.public"), "").await.unwrap();
    assert_eq!(found(app, &Caller::Anonymous, "张伟").await, ["public"]);
}

#[tokio::test]
async fn a_withdrawn_card_is_gone_when_the_call_returns() {
    let node = founder().await;
    let (app, staff) = (&node.app, admin(FOUNDER));
    // Its node hosts another point's admin too: to that one, the member is another home's.
    let member = create(app, &staff, made(person("欧阳", "若晴"), "")).await.unwrap();
    let network = account(Role::ProvincialAdmin, FOUNDER);
    assert!(found(app, &network, "欧阳若晴").await.is_empty());
    give(app, &staff, consent(&member.id, "profile.network"), "").await.unwrap();
    assert_eq!(found(app, &network, "欧阳若晴").await, ["network"]);
    let seen = get(app, &network, id(&member)).await.unwrap();
    assert!(matches!(seen.seen, Seen::Card(_)));
    assert_eq!(seen.point.state, FeedState::Own as i32);
    let copies = list_copies(app, &staff, id(&member)).await.unwrap();
    let held = copies.copies.iter().map(|copy| (&*copy.audience, copy.state));
    assert_eq!(
        held.filter(|(audience, _)| *audience != "home").collect::<Vec<_>>(),
        [("network", 1)]
    );

    let ended = withdraw(app, &staff, id(&member), "profile.network", "").await.unwrap();
    assert_eq!(ended.len(), 1);
    assert!(found(app, &network, "欧阳若晴").await.is_empty());
    let lost = get(app, &network, id(&member)).await;
    assert!(matches!(lost, Err(Error::NotFound { .. })));
    assert_eq!(found(app, &staff, "欧阳若晴").await, ["home"]);
    let (grants, _) = list_grants(app, &staff, id(&member), 0, "").await.unwrap();
    assert_eq!(grants.iter().map(|grant| grant.state).collect::<Vec<_>>(), [2]);
}

#[tokio::test]
async fn a_card_follows_the_member_and_moves_with_the_consent() {
    let node = founder().await;
    let (app, staff) = (&node.app, admin(FOUNDER));
    let network = account(Role::ProvincialAdmin, FOUNDER);
    let member = create(app, &staff, made(person("张", "伟"), "")).await.unwrap();
    let domestic = v1::Grant { scope: "domestic".into(), ..consent(&member.id, "profile.network") };
    give(app, &staff, domestic, "").await.unwrap();
    assert_eq!(found(app, &network, "张伟").await, ["domestic"]);
    give(app, &staff, consent(&member.id, "profile.network"), "").await.unwrap();
    assert_eq!(found(app, &network, "张伟").await, ["network"]);

    let Seen::Member(stored) = get(app, &staff, id(&member)).await.unwrap().seen else {
        panic!("staff sees the home record")
    };
    let mut changed = stored.clone();
    changed.names = person("张", "伟民").names;
    update(app, &staff, changed.clone()).await.unwrap();
    assert_eq!(found(app, &network, "张伟民").await, ["network"]);
    assert!(matches!(update(app, &staff, changed).await, Err(Error::Stale)));

    leave(app, &staff, id(&member), None, "").await.unwrap();
    assert!(found(app, &network, "张伟民").await.is_empty());
    assert!(erased(app, &staff, id(&member)).await >= 3);
    assert_eq!(erased(app, &staff, id(&member)).await, 0);
    assert!(found(app, &staff, "张伟民").await.is_empty());
}

#[tokio::test]
async fn the_same_request_makes_one_member_and_one_consent() {
    let node = founder().await;
    let (app, staff) = (&node.app, admin(FOUNDER));
    let request = "0192f0c1-2345-7abc-8def-0123456789ab";
    let first = create(app, &staff, made(person("张", "伟"), request)).await.unwrap();
    let again = create(app, &staff, made(person("张", "伟"), request)).await.unwrap();
    assert_eq!(first, again);
    let asked = consent(&first.id, "profile.network");
    let given = give(app, &staff, asked.clone(), request).await.unwrap();
    assert_eq!(give(app, &staff, asked, request).await.unwrap(), given);
    assert_eq!(found(app, &staff, "张伟").await.len(), 1);
}

#[tokio::test]
async fn hidden_values_change_no_answer_and_no_count() {
    let node = founder().await;
    let (app, staff) = (&node.app, admin(FOUNDER));
    let member = create(app, &staff, made(person("张", "伟"), "")).await.unwrap();
    give(app, &staff, consent(&member.id, "profile.public"), "").await.unwrap();
    for caller in [Caller::Anonymous, account(Role::ProvincialAdmin, FOUNDER)] {
        for words in ["+8615400000001", "张伟 +8615400000001"] {
            assert!(found(app, &caller, words).await.is_empty(), "{words}");
        }
        // The public card says nothing of city and field.
        let asked = Search { region: "44".into(), ..Search::default() };
        assert!(search(app, &caller, asked).await.unwrap().items.is_empty());
    }
    let nobody = RecordId([7; 16]);
    let unseen = create(app, &staff, made(unreached(person("李", "静")), "")).await.unwrap();
    for id in [nobody, id(&unseen)] {
        let refused = get(app, &Caller::Anonymous, id).await;
        assert!(matches!(refused, Err(Error::NotFound { noun: "member" })));
    }
    let refused = erase(app, &Caller::Anonymous, nobody, Wish::default()).await.map(|_| ());
    assert!(matches!(refused, Err(Error::Unauthenticated)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_add_up_to_all_members_each_once() {
    let node = founder().await;
    let app = &node.app;
    node.import(&FILES, Order::default()).await;
    let provincial = account(Role::ProvincialAdmin, FOUNDER);
    let all = found(app, &provincial, "").await.len();
    assert!(all > 500, "{all}");
    let mut ids = std::collections::HashSet::new();
    let mut token = String::new();
    loop {
        let asked = Search { page_size: 97, page_token: token, ..Search::default() };
        let page = search(app, &provincial, asked).await.unwrap();
        assert_eq!(page.points.len(), 13);
        for item in page.items {
            assert!(ids.insert(item.id.clone()), "{} came twice", item.id);
        }
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
        let other = Search { words: "张".into(), page_token: token.clone(), ..Search::default() };
        let refused = search(app, &provincial, other).await;
        assert!(matches!(refused, Err(Error::Invalid(fields)) if fields[0].field == "page_token"));
        let asked = Search { page_token: token.clone(), ..Search::default() };
        assert!(search(app, &Caller::Anonymous, asked).await.is_err());
    }
    assert_eq!(ids.len(), all);
    // Staff of the node finds everybody whom it serves by the home record.
    let members = FILES[5].1.lines().count() - 1 - 3;
    let asked = |page_token| Search { page_size: 1_000, page_token, ..Search::default() };
    let first = search(app, &admin(FOUNDER), asked(String::new())).await.unwrap();
    let second = search(app, &admin(FOUNDER), asked(first.next_page_token)).await.unwrap();
    assert_eq!(first.items.len() + second.items.len(), members);
    // A hosted point's staff reads its own members, and cards of the others.
    let hosted = found(app, &admin("HK"), "").await;
    assert!(hosted.iter().any(|audience| audience == "home"));
    assert!(hosted.iter().any(|audience| audience == "network"));
    assert!(!hosted.iter().any(|audience| audience == "domestic"));
}

#[tokio::test]
async fn a_card_without_its_home_record_is_found_withdrawn_and_erased_at_home() {
    let node = founder().await;
    let (app, staff) = (&node.app, admin(FOUNDER));
    // What a restore leaves of members who were made after the backup: what neighbours had of them.
    let mut lost = Vec::new();
    for purposes in [&["profile.network"][..], &["profile.network", "profile.public"]] {
        let member = create(app, &staff, made(person("司徒", "晓明"), "")).await.unwrap();
        let mut change = crate::feed::change::Change::new();
        for purpose in purposes {
            let given = give(app, &staff, consent(&member.id, purpose), "").await.unwrap();
            let grant = RecordId::parse(&given.id, "id").unwrap();
            change = change.remove(home_feed(), grant, Reason::Erased);
        }
        change = change.remove(home_feed(), id(&member), Reason::Erased);
        app.writer.commit(change).await.unwrap();
        lost.push(id(&member));
    }
    assert_eq!(found(app, &staff, "司徒晓明").await, ["network", "network"]);
    assert!(matches!(get(app, &staff, lost[0]).await.unwrap().seen, Seen::Card(_)));
    let consent = consent(&lost[0].to_string(), "profile.network");
    let refused = give(app, &staff, consent, "").await.unwrap_err();
    assert!(matches!(refused, Error::Precondition { reason: "HOME_RECORD_LOST", .. }));

    assert!(withdraw(app, &staff, lost[0], "media.release", "").await.unwrap().is_empty());
    assert_eq!(found(app, &staff, "司徒晓明").await.len(), 2);
    withdraw(app, &staff, lost[0], "profile.network", "").await.unwrap();
    assert_eq!(found(app, &staff, "司徒晓明").await, ["network"]);
    assert_eq!(erased(app, &staff, lost[1]).await, 2);
    assert!(found(app, &staff, "司徒晓明").await.is_empty());
    assert!(found(app, &Caller::Anonymous, "司徒晓明").await.is_empty());
    assert_eq!(erased(app, &staff, lost[1]).await, 0);
    let copies = list_copies(app, &staff, lost[1]).await.unwrap().copies;
    assert_eq!(copies.len(), 2);
}

#[tokio::test]
async fn a_card_whose_consent_was_lost_is_withdrawn_at_home() {
    let node = founder().await;
    let (app, staff) = (&node.app, admin(FOUNDER));
    let member = create(app, &staff, made(person("司徒", "晓明"), "")).await.unwrap();
    let given = give(app, &staff, consent(&member.id, "profile.network"), "").await.unwrap();
    let grant = RecordId::parse(&given.id, "id").unwrap();
    let change = crate::feed::change::Change::new().remove(home_feed(), grant, Reason::Erased);
    app.writer.commit(change).await.unwrap();
    let shown = async || {
        let found = crate::app::records::find(app, id(&member)).await.unwrap();
        found.iter().any(|found| found.feed.audience == Audience::Network)
    };
    assert!(shown().await);
    assert_eq!(found(app, &staff, "司徒晓明").await, ["home"]);
    withdraw(app, &staff, id(&member), "profile.network", "").await.unwrap();
    assert!(!shown().await);
}

#[tokio::test]
async fn a_card_goes_when_its_consent_runs_out() {
    let node = founder().await;
    let (app, staff) = (&node.app, admin(FOUNDER));
    let member = create(app, &staff, made(person("司徒", "晓明"), "")).await.unwrap();
    let ends = Time(app.outside.now().0 + 600_000);
    let mut short = consent(&member.id, "profile.network");
    short.expire_time = Some(crate::wire::value::time_message(ends));
    give(app, &staff, short, "").await.unwrap();
    give(app, &staff, consent(&member.id, "profile.public"), "").await.unwrap();
    let cards = async || {
        let found = crate::app::records::find(app, id(&member)).await.unwrap();
        found.iter().filter(|found| found.feed.audience != Audience::Home).count()
    };
    let job = crate::jobs::expiring::Expiring::new(app.clone());
    job.run_once().await.unwrap();
    assert_eq!(cards().await, 2);
    let gone = async {
        while cards().await == 2 {
            job.run_once().await.unwrap();
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), gone).await.expect("it runs out");
    assert!(app.outside.now() >= ends);
    assert_eq!(cards().await, 1, "what rests on another consent stays");
    let (grants, _) = list_grants(app, &staff, id(&member), 0, "").await.unwrap();
    let ended = grants.iter().find(|grant| grant.purpose == "profile.network").unwrap();
    assert_eq!((ended.state, ended.end_time), (3, ended.expire_time));
}

/// Field, reason and detail of the only complaint.
fn complaint(refused: Result<v1::Member, Error>) -> (String, &'static str, String) {
    match refused {
        Err(Error::Invalid(fields)) if fields.len() == 1 => {
            (fields[0].field.clone(), fields[0].reason, fields[0].hint.clone())
        }
        other => panic!("not refused for one field: {other:?}"),
    }
}

#[tokio::test]
async fn who_is_a_member_already_is_not_entered_twice_unless_it_is_another_person() {
    let node = founder().await;
    let (app, staff) = (&node.app, admin(FOUNDER));
    let request = "0192f0c1-2345-7abc-8def-0123456789ab";
    let first = create(app, &staff, made(person("张", "伟"), request)).await.unwrap();
    let (field, reason, hint) = complaint(create(app, &staff, made(person("张", "伟"), "")).await);
    assert_eq!((field.as_str(), reason), ("member.phone", "member_exists"));
    assert!(hint.starts_with(&first.id) && hint.contains("allowed: update, other_than"), "{hint}");
    // The same request again is no second person.
    let again = create(app, &staff, made(person("张", "伟"), request)).await.unwrap();
    assert_eq!(again.id, first.id);

    // A phone that is shared: who it is, nobody guesses.
    let (field, reason, hint) = complaint(create(app, &staff, made(person("王", "芳"), "")).await);
    assert_eq!((field.as_str(), reason), ("member.phone", "ambiguous_match"));
    assert!(hint.contains(&first.id), "{hint}");
    let other = New { other_than: vec![id(&first)], ..made(person("王", "芳"), "") };
    let second = create(app, &staff, other).await.unwrap();
    // Now two bear it; one of them is ruled out, and the other one is asked about.
    let both = complaint(create(app, &staff, made(person("王", "芳"), "")).await);
    assert_eq!(both.1, "ambiguous_match");
    assert!(both.2.contains(&first.id) && both.2.contains(&second.id), "{}", both.2);
    let other = New { other_than: vec![id(&first)], ..made(person("王", "芳"), "") };
    assert_eq!(complaint(create(app, &staff, other).await).1, "member_exists");

    // Without phone and e-mail a name in one place is one person; elsewhere it is another.
    let bare = unreached(person("张", "伟"));
    let (field, reason, _) = complaint(create(app, &staff, made(bare.clone(), "")).await);
    assert_eq!((field.as_str(), reason), ("member.names", "member_exists"));
    let elsewhere = v1::Member { city_code: "440300".into(), ..bare };
    create(app, &staff, made(elsewhere, "")).await.unwrap();
    // Somebody who was erased is nobody that a new member could be.
    erased(app, &staff, id(&first)).await;
    erased(app, &staff, id(&second)).await;
    create(app, &staff, made(person("张", "伟"), "")).await.unwrap();
}
