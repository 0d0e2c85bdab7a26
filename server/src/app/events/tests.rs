//! From a draft to the calendar, and what it takes with it.

use yizhan_proto::v1;

use super::*;
use crate::{
    app::{
        App,
        error::Error,
        import::Order,
        samples::{FILES, FOUNDER, admin, founder},
        series,
    },
    domain::{event::EventState, id::RecordId, time::Time},
    identity::caller::Caller,
};

fn text(text: &str) -> Vec<v1::LocalText> {
    vec![v1::LocalText { language: "zh-Hans".into(), text: text.into() }]
}

fn at(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}

fn talk(title: &str, series: &str) -> v1::EventPlan {
    v1::EventPlan {
        event: Some(v1::Event {
            series: series.into(),
            kind: 1,
            mode: 1,
            titles: text(title),
            start_time: at(2_000_000_000),
            end_time: at(2_000_003_600),
            time_zone: "Asia/Shanghai".into(),
            region_code: "440100".into(),
            ..Default::default()
        }),
        private_join_link: "https://meet.example.org/secret".into(),
        ..Default::default()
    }
}

async fn listed(app: &App, caller: &Caller, words: &str) -> Vec<v1::Event> {
    let asked = Asked { words: words.into(), ..Asked::default() };
    list(app, caller, asked).await.unwrap().items
}

fn id(event: &v1::Event) -> RecordId {
    RecordId::parse(&event.id, "id").unwrap()
}

#[tokio::test]
async fn a_talk_is_listed_once_it_is_published() {
    let node = founder().await;
    let (app, staff) = (&node.app, admin(FOUNDER));
    let new = v1::Series {
        code: "TALK".into(),
        kind: "talk".into(),
        titles: text("学长说"),
        state: 1,
        ..Default::default()
    };
    series::create(app, &staff, new.clone(), None, "").await.unwrap();
    assert!(matches!(series::create(app, &staff, new, None, "").await, Err(Error::Exists { .. })));
    let plan = create(app, &staff, talk("学长说第一期", "TALK"), None, "").await.unwrap();
    let draft = plan.event.unwrap();
    assert_eq!((draft.issue, draft.hosts.len()), (1, 1));
    assert!(listed(app, &Caller::Anonymous, "").await.is_empty());
    assert_eq!(listed(app, &staff, "学长说").await.len(), 1);
    assert!(get(app, &Caller::Anonymous, &draft.id).await.is_err());

    let public = advance(app, &staff, id(&draft), &draft.etag, Step::Publish).await.unwrap();
    assert_eq!(public.unwrap().state, EventState::Published.number());
    for caller in [&Caller::Anonymous, &staff] {
        let items = listed(app, caller, "第一期").await;
        assert_eq!(items.iter().map(|event| &*event.id).collect::<Vec<_>>(), [&*draft.id]);
    }
    let seen = get(app, &Caller::Anonymous, "TALK-1").await.unwrap();
    assert_eq!((seen.event.home, seen.plan), (FOUNDER.into(), None));
    assert!(get(app, &staff, "TALK-1").await.unwrap().plan.is_some());

    let stale = advance(app, &staff, id(&draft), &draft.etag, Step::Cancel).await;
    assert!(matches!(stale, Err(Error::Stale)));
    let hold = advance(app, &staff, id(&draft), "", Step::Hold).await;
    assert_eq!(hold.unwrap_err().kind().1, "EVENT_NOT_OVER");
    let (start, end) = (Time(2_000_010_000_000_000), Time(2_000_013_600_000_000));
    let moved = advance(app, &staff, id(&draft), "", Step::Reschedule { start, end }).await;
    let moved = moved.unwrap().unwrap();
    assert_eq!((moved.sequence, moved.rescheduled_from_time), (1, at(2_000_000_000)));
    let cancelled = advance(app, &staff, id(&draft), "", Step::Cancel).await.unwrap().unwrap();
    assert_eq!((cancelled.sequence, cancelled.issue), (2, 1));
    let refused = advance(app, &staff, id(&draft), "", Step::Publish).await;
    assert_eq!(refused.unwrap_err().kind().1, "MOVE_REFUSED");
}

#[tokio::test]
async fn a_draft_that_is_called_off_leaves_no_trace_and_no_gap() {
    let node = founder().await;
    let (app, staff) = (&node.app, admin(FOUNDER));
    let unknown = create(app, &staff, talk("一", "TALK"), None, "").await;
    assert!(matches!(unknown, Err(Error::Invalid(fields)) if fields[0].reason == "unknown_series"));
    let new = v1::Series {
        code: "TALK".into(),
        kind: "talk".into(),
        titles: text("学长说"),
        state: 1,
        ..Default::default()
    };
    series::create(app, &staff, new, None, "").await.unwrap();
    let mut issues = Vec::new();
    let mut ids = Vec::new();
    for title in ["一", "二", "三"] {
        let plan = create(app, &staff, talk(title, "TALK"), None, "").await.unwrap();
        let event = plan.event.unwrap();
        issues.push(event.issue);
        ids.push(id(&event));
    }
    assert_eq!(issues, [1, 2, 3]);
    assert_eq!(advance(app, &staff, ids[1], "", Step::Cancel).await.unwrap(), None);
    assert!(listed(app, &Caller::Anonymous, "").await.is_empty());
    let plan = create(app, &staff, talk("四", "TALK"), None, "").await.unwrap();
    assert_eq!(plan.event.unwrap().issue, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_calendar_of_the_data_set_is_listed_in_order() {
    let node = founder().await;
    let app = &node.app;
    node.import(&FILES, Order::default()).await;
    let talks = Asked { series: "TALK".into(), page_size: 100, ..Asked::default() };
    let talks = list(app, &Caller::Anonymous, talks).await.unwrap();
    let mut issues: Vec<u32> = talks.items.iter().map(|event| event.issue).collect();
    issues.sort_unstable();
    assert_eq!(issues, (1..=20).collect::<Vec<_>>());
    let start = |event: &v1::Event| event.start_time.unwrap().seconds;
    assert!(talks.items.is_sorted_by_key(start));

    // Guangzhou leads one of them and is a co-host of others; an invitation alone does not count.
    let host = Some("CN-440100".parse().unwrap());
    let ours = Asked { series: "TALK".into(), page_size: 100, host, ..Asked::default() };
    let ours = list(app, &Caller::Anonymous, ours).await.unwrap().items;
    assert_eq!(ours.len(), 3);
    assert!(ours.iter().any(|event| event.home == "CN-440100"));
    assert!(ours.iter().any(|event| event.home != "CN-440100"));

    let mut ids = Vec::new();
    let mut page_token = String::new();
    loop {
        let asked = Asked { page_size: 7, page_token, ..Asked::default() };
        let page = list(app, &Caller::Anonymous, asked).await.unwrap();
        assert!(page.items.is_sorted_by_key(start));
        ids.extend(page.items.into_iter().map(|event| event.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let public = FILES[8].1.lines().skip(1).filter(|line| !line.contains(",draft,")).count();
    assert_eq!(ids.len(), public);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), public);
    let held = Asked { state: Some(EventState::Held), page_size: 100, ..Asked::default() };
    let held = list(app, &admin(FOUNDER), held).await.unwrap().items;
    assert!(!held.is_empty() && held.iter().all(|event| event.state == 6));
}

#[tokio::test]
async fn events_made_at_one_moment_get_numbers_of_their_own() {
    let node = founder().await;
    let (app, staff) = (&node.app, admin(FOUNDER));
    let new = v1::Series {
        code: "TALK".into(),
        kind: "talk".into(),
        titles: text("学长说"),
        state: 1,
        ..Default::default()
    };
    series::create(app, &staff, new, None, "").await.unwrap();
    let made = (0..8).map(|_| create(app, &staff, talk("同时登记", "TALK"), None, ""));
    let made = futures::future::join_all(made).await;
    let mut issues: Vec<u32> =
        made.into_iter().map(|plan| plan.unwrap().event.unwrap().issue).collect();
    issues.sort_unstable();
    issues.dedup();
    assert_eq!(issues.len(), 8, "{issues:?}");
}
