//! The directory: who may add, change and close a point, and whose word it takes.

use yizhan_proto::v1;

use super::*;
use crate::{
    app::{
        approvals,
        error::{Error, Result},
        import::Order,
        samples::{FILES, FOUNDER, account, admin, code, founder, named, sign_up},
    },
    domain::{approval::ApprovalState, id::RecordId, policy::Role},
    identity::caller::Caller,
};

fn text(text: &str) -> Vec<v1::LocalText> {
    vec![v1::LocalText { language: "en".into(), text: text.into() }]
}

fn point(code: &str) -> v1::Point {
    v1::Point {
        code: code.into(),
        short: "TOR".into(),
        kind: 4,
        state: 2,
        names: text("Toronto"),
        region_code: "CATOR".into(),
        time_zone: "America/Toronto".into(),
        ..Default::default()
    }
}

fn wish(point: v1::Point) -> Wish {
    Wish { point, detail: None, notes: None }
}

fn done(answer: Result<Answer>) -> v1::Point {
    match answer.unwrap() {
        Answer::Done(seen) => seen.point,
        Answer::Asked(id) => panic!("asked for {id}"),
    }
}

fn asked(answer: Result<Answer>) -> RecordId {
    match answer.unwrap() {
        Answer::Asked(id) => id,
        Answer::Done(seen) => panic!("done: {seen:?}"),
    }
}

#[tokio::test]
async fn a_point_is_added_changed_and_closed_for_good() {
    let node = founder().await;
    let (app, staff) = (&node.app, admin(FOUNDER));
    let none = Parts::default;
    let added = create(app, &staff, point("CA-TOR"), none()).await.unwrap();
    assert_eq!((&*added.point.node, &*added.point.parent), (FOUNDER, FOUNDER));
    assert_eq!(added.point.asserted_by, FOUNDER, "whoever enters it vouches for it");
    assert_eq!(create(app, &staff, point("CA-TOR"), none()).await.unwrap(), added);
    let other = v1::Point { short: "TT".into(), ..point("CA-TOR") };
    assert!(matches!(create(app, &staff, other, none()).await, Err(Error::Exists { .. })));
    assert!(app.keys.is_home(&code("CA-TOR")));

    let hours = v1::point::Hours {
        days: vec![1],
        opens_minute: 540,
        closes_minute: 720,
        ..Default::default()
    };
    let added = added.point;
    let changed = v1::Point { hours: vec![hours], ..added.clone() };
    let changed = done(update(app, &staff, wish(changed)).await);
    assert!(matches!(update(app, &staff, wish(added)).await, Err(Error::Stale)));
    let refused = update(app, &Caller::Anonymous, wish(changed.clone())).await;
    assert!(matches!(refused, Err(Error::Unauthenticated)));
    let closed = close(app, &staff, &code("CA-TOR"), None, None, &changed.etag).await.unwrap();
    assert_eq!(closed.state, 4);
    let page = list(app, &Caller::Anonymous, Asked::default()).await.unwrap();
    assert!(page.items.is_empty());
}

#[tokio::test]
async fn staff_propose_and_the_province_says_whom_a_point_serves() {
    let node = founder().await;
    let app = &node.app;
    let (staff, admin, province) = (
        named("staff", Role::Staff, None),
        named("admin", Role::PointAdmin, None),
        named("province", Role::ProvincialAdmin, None),
    );
    for one in [&staff, &admin, &province] {
        sign_up(app, one).await;
    }
    let added = create(app, &admin, point("CA-TOR"), Parts::default()).await.unwrap().point;
    let proposed = v1::Point { services: vec!["legal".into()], ..added.clone() };
    let first = asked(update(app, &staff, wish(proposed)).await);
    let now = get(app, &staff, &code("CA-TOR")).await.unwrap().point;
    assert_eq!(now, added, "nothing has changed");
    assert!(matches!(approvals::give(app, &staff, first).await, Err(Error::Precondition { .. })));
    let given = approvals::give(app, &admin, first).await.unwrap();
    assert_eq!(given.state, ApprovalState::Done, "{given:?}");
    let now = get(app, &staff, &code("CA-TOR")).await.unwrap().point;
    assert_eq!(now.services, ["legal"]);

    // Areas are the province's word: an administrator of the point cannot give it either.
    let area = v1::point::Area { prefix: "CA".into(), ..Default::default() };
    let wider = v1::Point { areas: vec![area], ..now.clone() };
    let second = asked(update(app, &admin, wish(wider.clone())).await);
    let other_admin = named("other", Role::PointAdmin, None);
    assert!(matches!(
        approvals::give(app, &other_admin, second).await,
        Err(Error::NotFound { .. })
    ));
    // What was proposed for an entry that is another by now is not done.
    let phone = v1::Point { phone: "+14165550100".into(), ..now };
    let now = done(update(app, &admin, wish(phone)).await);
    let given = approvals::give(app, &province, second).await.unwrap();
    assert_eq!((given.state, given.outcome.as_str()), (ApprovalState::Failed, "POINT_CHANGED"));
    let wider = v1::Point { areas: wider.areas, ..now };
    let third = asked(update(app, &admin, wish(wider.clone())).await);
    approvals::give(app, &province, third).await.unwrap();
    let now = get(app, &staff, &code("CA-TOR")).await.unwrap().point;
    assert_eq!(now.areas[0].prefix, "CA");
    // The province itself needs nobody, and says nothing else of the point.
    let now = done(update(app, &province, wish(v1::Point { areas: Vec::new(), ..now })).await);
    asked(update(app, &province, wish(v1::Point { services: Vec::new(), ..now })).await);
}

#[tokio::test]
async fn a_point_names_only_points_that_there_are_and_days_that_have_been() {
    let node = founder().await;
    let (app, staff) = (&node.app, admin(FOUNDER));
    let added = create(app, &staff, point("CA-TOR"), Parts::default()).await.unwrap().point;
    let refused = async |change: &dyn Fn(&mut v1::Point)| {
        let mut point = added.clone();
        change(&mut point);
        match update(app, &staff, wish(point)).await {
            Err(Error::Invalid(fields)) => (fields[0].field.clone(), fields[0].reason),
            other => panic!("{other:?}"),
        }
    };
    let day = |year| Some(v1::Date { year, month: 6, day: 1 });
    let closure = |cover: &str| v1::point::Closure {
        from: day(2023),
        to: day(2023),
        cover: cover.into(),
        ..Default::default()
    };
    let covered = refused(&|point| point.closures = vec![closure("FR-PAR")]).await;
    assert_eq!(covered, ("point.closures.cover".into(), "unknown_point"));
    let covered = refused(&|point| point.closures = vec![closure("CA-TOR")]).await;
    assert_eq!(covered, ("point.closures.cover".into(), "is_itself"));
    assert_eq!(refused(&|point| point.cover = "FR-PAR".into()).await.0, "point.cover");
    let verified = refused(&|point| point.verified_on = day(9_000)).await;
    assert_eq!(verified, ("point.verified_on".into(), "in_future"));
    let moved = refused(&|point| point.state = 1).await;
    assert_eq!(moved, ("point.state".into(), "move_refused"));
    let hours = |opens_minute| v1::point::Hours {
        days: vec![1],
        opens_minute,
        closes_minute: 720,
        ..Default::default()
    };
    let twice = refused(&|point| point.hours = vec![hours(540), hours(600)]).await;
    assert_eq!(twice, ("point.hours".into(), "hours_overlap"));
    let area = || v1::point::Area { prefix: "CA".into(), ..Default::default() };
    let twice = refused(&|point| point.areas = vec![area(), area()]).await;
    assert_eq!(twice, ("point.areas".into(), "twice"));
}

#[tokio::test]
async fn what_points_and_what_only_the_point_know_is_shown_to_them_alone() {
    let node = founder().await;
    let (app, staff) = (&node.app, admin(FOUNDER));
    let contact = |phone: &str| v1::point_detail::DeskContact {
        names: text("duty desk"),
        phone: phone.into(),
        ..Default::default()
    };
    let detail = |phone| v1::PointDetail {
        contacts: vec![contact(phone)],
        services: vec!["archive".into()],
    };
    let notes = v1::PointNotes { capacity: text("two requests a day") };
    let bad = Parts::read(Some(detail("")), None).unwrap_err();
    assert_eq!((&*bad.field, bad.reason), ("detail.contacts.phone", "required"));
    let parts = Parts::read(Some(detail("+14165550100")), Some(notes.clone())).unwrap();
    let added = create(app, &staff, point("CA-TOR"), parts).await.unwrap();
    assert_eq!(
        (added.detail.as_ref(), added.notes.as_ref()),
        (Some(&detail("+14165550100")), Some(&notes))
    );
    let seen = async |caller: &Caller| {
        let seen = get(app, caller, &code("CA-TOR")).await.unwrap();
        (seen.detail.is_some(), seen.notes.is_some())
    };
    assert_eq!(seen(&Caller::Anonymous).await, (false, false));
    assert_eq!(seen(&account(Role::Member, FOUNDER)).await, (false, false));
    assert_eq!(seen(&account(Role::Auditor, FOUNDER)).await, (false, false));
    assert_eq!(seen(&account(Role::Staff, FOUNDER)).await, (true, true));
    // What is not named stays as it is.
    let changed = v1::Point { phone: "+14165550101".into(), ..added.point };
    done(update(app, &staff, wish(changed)).await);
    assert_eq!(seen(&staff).await, (true, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_directory_says_who_serves_a_region() {
    let node = founder().await;
    let app = &node.app;
    node.import(&FILES, Order::default()).await;
    let all = list(app, &Caller::Anonymous, Asked::default()).await.unwrap();
    // One of thirteen is closed.
    assert_eq!((all.items.len(), all.points.len()), (12, 13));
    assert!(all.items.is_sorted_by_key(|point| point.code.clone()));
    let asked = Asked { region: "GB".into(), ..Asked::default() };
    let there = list(app, &Caller::Anonymous, asked).await.unwrap().items;
    let codes: Vec<&str> = there.iter().map(|point| &*point.code).collect();
    assert_eq!(codes, ["GB-LON"]);
    let london = get(app, &Caller::Anonymous, &code("GB-LON")).await.unwrap();
    assert_eq!((&*london.point.node, london.state.answered), (FOUNDER, true));
    // Who vouches for it, and since when.
    assert_eq!(london.point.asserted_by, "GB-LON");
    assert_eq!(london.point.verified_on, Some(v1::Date { year: 2023, month: 7, day: 10 }));
}
