//! Groups over the data set of a node that serves every point.

use yizhan_proto::v1;

use super::*;
use crate::{
    app::{
        error::Error,
        import::Order,
        members,
        samples::{FILES, FOUNDER, Node, account, admin, founder},
    },
    domain::{
        analyzer::{Filter, filter},
        calendar::date,
        group::{Duty, GroupKind, GroupState, PlaceRole, PlaceState},
        id::RecordId,
        kind::Kind,
        policy::{Operation, Role},
        region::Region,
    },
    feed::change::Change,
};

async fn imported() -> Node {
    let node = founder().await;
    let report = node.import(&FILES, Order::default()).await;
    assert_eq!(report.rejected, []);
    node
}

async fn id_of(node: &Node, source: &str) -> RecordId {
    let term = filter(Filter::Source, source);
    let found = crate::app::records::carrying_anywhere(&node.app, term).await.unwrap();
    found.iter().find(|found| found.row.kind == Kind::MEMBER).unwrap().row.id
}

/// Places and persons of the four cohorts, as this caller sees them.
async fn key_contacts(node: &Node, role: Role) -> (usize, usize, usize) {
    let caller = account(role, FOUNDER);
    let (mut places, mut named) = (0, 0);
    let mut tokens = std::collections::HashSet::new();
    for number in 1..=4 {
        let group = format!("COHORT-{number}");
        let page = list_places(&node.app, &caller, &group, None, 1_000, "").await.unwrap();
        assert_eq!(page.next_page_token, "");
        places += page.items.len();
        named += page.items.iter().filter(|card| !card.member.is_empty()).count();
        tokens.extend(page.items.into_iter().map(|card| card.token));
    }
    (places, tokens.len(), named)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_keeps_the_token_that_came_along_with_its_places() {
    let node = imported().await;
    let (app, staff) = (&node.app, admin(FOUNDER));
    let member = id_of(&node, "M-000173").await;
    let home = members::own(app, &staff, Operation::EditGroup, member).await.unwrap().feed.home;
    // As another key made it, before the point was handed over.
    let change = revise(app, Change::new(), &home, member, |place| place.token = [9; 16]).await;
    app.writer.commit(change.unwrap()).await.unwrap();
    let new =
        Enrolment { group: "COHORT-2".into(), member, role: None, from: None, duty_region: None };
    assert_eq!(enrol(app, &staff, new).await.unwrap().token, [9; 16]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_contacts_are_counted_distinctly_and_shown_with_consent_only() {
    let node = imported().await;
    let asked = Asked { kind: Some(GroupKind::Cohort), ..Asked::default() };
    let cohorts = list(&node.app, &admin(FOUNDER), asked).await.unwrap();
    let numbers: Vec<u32> = cohorts.items.iter().map(|group| group.issue_no).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    // 209 seats, 206 people. The consents of the data set have run out since: nobody is shown.
    assert_eq!(key_contacts(&node, Role::PointAdmin).await, (209, 206, 209));
    assert_eq!(key_contacts(&node, Role::ProvincialAdmin).await, (209, 206, 0));

    // Who agrees anew is shown; who takes it back is counted, and seen no longer.
    let staff = admin(FOUNDER);
    let member = id_of(&node, "M-000173").await;
    let consent = v1::Grant {
        member: member.to_string(),
        purpose: "contact.by_points".into(),
        text_version: "v2".into(),
        text_language: "zh-Hans".into(),
        given_via: 2,
        ..v1::Grant::default()
    };
    members::give(&node.app, &staff, consent, "").await.unwrap();
    assert_eq!(key_contacts(&node, Role::ProvincialAdmin).await, (209, 206, 1));
    let ended = members::withdraw(&node.app, &staff, member, "contact.by_points", "").await;
    assert_eq!(ended.unwrap().len(), 1);
    assert_eq!(key_contacts(&node, Role::ProvincialAdmin).await, (209, 206, 0));
    // Who is erased is counted too, and nobody can tell who it was.
    let erased = id_of(&node, "M-000557").await;
    let home = crate::app::records::find(&node.app, erased).await.unwrap()[0].feed.home.clone();
    let deed = admin(FOUNDER).deed(crate::domain::policy::Operation::EraseMember);
    members::execute_erasure(&node.app, deed, &home, erased).await.unwrap();
    assert_eq!(key_contacts(&node, Role::PointAdmin).await, (209, 206, 208));

    let again = node.import(&FILES, Order::default()).await;
    assert_eq!(again.accepted, 0, "what was done here stands");
    let nobody = list(&node.app, &account(Role::Member, FOUNDER), Asked::default()).await;
    assert_eq!(nobody.unwrap().items, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_give_one_number_at_one_moment_one_succeeds() {
    let node = founder().await;
    let group = |issue_no| v1::Group {
        kind: GroupKind::Cohort.number(),
        issue_no,
        titles: vec![v1::LocalText { language: "en".into(), text: "Cohort".into() }],
        state: GroupState::Planned.number(),
        ..v1::Group::default()
    };
    create(&node.app, &admin(FOUNDER), group(4), None, "").await.unwrap();
    let planning = (0..16).map(|_| {
        let (app, group) = (node.app.clone(), group(5));
        tokio::spawn(async move { create(&app, &admin(FOUNDER), group, None, "").await })
    });
    let mut made = 0;
    for one in planning.collect::<Vec<_>>() {
        match one.await.unwrap() {
            Ok(_) => made += 1,
            Err(error) => assert!(matches!(error, Error::Exists { noun: "cohort" }), "{error}"),
        }
    }
    assert_eq!(made, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_is_enrolled_completes_is_appointed_and_stands_down() {
    let node = imported().await;
    let (app, staff) = (&node.app, admin(FOUNDER));
    let group = v1::Group {
        kind: GroupKind::Cohort.number(),
        issue_no: 5,
        titles: vec![v1::LocalText { language: "en".into(), text: "Cohort 5".into() }],
        state: GroupState::Planned.number(),
        ..v1::Group::default()
    };
    let made = create(app, &staff, group.clone(), None, "").await.unwrap();
    assert!(matches!(create(app, &staff, group, None, "").await, Err(Error::Exists { .. })));
    let refused = move_on(app, &staff, &made.id, GroupState::Archived, "").await;
    assert!(
        matches!(refused, Err(Error::Invalid(fields)) if fields[0].hint == "planned -> running")
    );
    move_on(app, &staff, "COHORT-5", GroupState::Running, &made.etag).await.unwrap();

    let member = id_of(&node, "M-000001").await;
    let new = || Enrolment {
        group: "COHORT-5".into(),
        member,
        role: None,
        from: None,
        duty_region: None,
    };
    let place = enrol(app, &staff, new()).await.unwrap();
    assert_eq!(place.role, PlaceRole::KeyContact.number());
    assert!(matches!(enrol(app, &staff, new()).await, Err(Error::Exists { .. })));
    let to = async |state| move_place(app, &staff, "COHORT-5", member, state, None).await;
    assert!(to(PlaceState::ActiveContact).await.is_err());
    to(PlaceState::Completed).await.unwrap();
    to(PlaceState::ActiveContact).await.unwrap();
    let roles = async || {
        let seen = members::get(app, &staff, member).await.unwrap();
        let v1::get_member_response::Seen::Member(member) = seen.seen else { panic!("home") };
        member.roles
    };
    let key_contact = v1::MemberRole::KeyContact as i32;
    assert!(roles().await.contains(&key_contact));
    let over = to(PlaceState::StoodDown).await.unwrap();
    assert!(over.to.is_some() && !roles().await.contains(&key_contact));
    assert!(to(PlaceState::ActiveContact).await.is_err());
    let again = enrol(app, &staff, new()).await.unwrap();
    assert_ne!(again.id, place.id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rota_says_who_is_on_duty_and_who_covers() {
    let node = imported().await;
    let (app, staff) = (&node.app, admin(FOUNDER));
    let on = |day| date(day, "on").ok();
    let usual = list_duty(app, &staff, "GRP-LIAISON", on("2023-10-20"), "").await.unwrap();
    assert_eq!(usual.uncovered, [""; 0], "each of the 21 prefectures has somebody");
    assert!(usual.items.len() >= 21);
    let regions = list_duty(app, &staff, "GRP-LIAISON", on("2023-10-20"), "4401").await.unwrap();
    let first = regions.items[0].contact.clone().unwrap();
    let page = list_places(app, &staff, "GRP-LIAISON", None, 0, "").await.unwrap();
    let other = page.items.iter().find(|card| card.id != first.id).unwrap();

    let id = |text: &str| RecordId::parse(text, "id").unwrap();
    let duty = Duty {
        region: Region::parse("440100", "region").unwrap(),
        from: date("2023-10-01", "from").unwrap(),
        to: date("2023-10-31", "to").unwrap(),
        contact: id(&other.id),
        cover: Some(id(&first.id)),
    };
    set_duty(app, &staff, "GRP-LIAISON", duty.clone(), "").await.unwrap();
    let asked = async |day| {
        let list = list_duty(app, &staff, "GRP-LIAISON", on(day), "4401").await.unwrap();
        list.items[0].clone()
    };
    let during = asked("2023-10-20").await;
    assert_eq!(during.contact.map(|card| card.id), Some(other.id.clone()));
    assert_eq!(during.cover.map(|card| card.id), Some(first.id.clone()));
    assert_eq!(asked("2023-11-01").await.contact.map(|card| card.id), Some(first.id));
    let stranger = Duty { contact: RecordId([9; 16]), ..duty };
    let refused = set_duty(app, &staff, "GRP-LIAISON", stranger, "").await;
    assert!(matches!(refused, Err(Error::Invalid(fields)) if fields[0].reason == "unknown_place"));
}
