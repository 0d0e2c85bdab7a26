//! The directory: who may add, change and close a point.

use yizhan_proto::v1;

use super::*;
use crate::app::{
    import::Order,
    samples::{FILES, FOUNDER, admin, code, founder},
};

fn point(code: &str) -> v1::Point {
    v1::Point {
        code: code.into(),
        short: "TOR".into(),
        kind: 4,
        state: 2,
        names: vec![v1::LocalText { language: "en".into(), text: "Toronto".into() }],
        region_code: "CATOR".into(),
        time_zone: "America/Toronto".into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_point_is_added_changed_and_closed_for_good() {
    let node = founder().await;
    let (app, staff) = (&node.app, admin(FOUNDER));
    let added = create(app, &staff, point("CA-TOR")).await.unwrap();
    assert_eq!((&*added.node, &*added.parent), (FOUNDER, FOUNDER));
    assert_eq!(create(app, &staff, point("CA-TOR")).await.unwrap(), added);
    let other = v1::Point { short: "TT".into(), ..point("CA-TOR") };
    assert!(matches!(create(app, &staff, other).await, Err(Error::Exists { .. })));
    assert!(app.keys.is_home(&code("CA-TOR")));

    let hours = v1::point::Hours { days: vec![1], opens_minute: 540, closes_minute: 720 };
    let changed = v1::Point { hours: vec![hours], ..added.clone() };
    let changed = update(app, &staff, changed).await.unwrap();
    assert!(matches!(update(app, &staff, added).await, Err(Error::Stale)));
    let refused = update(app, &Caller::Anonymous, changed.clone()).await;
    assert!(matches!(refused, Err(Error::Unauthenticated)));
    let closed = close(app, &staff, &code("CA-TOR"), None, None, &changed.etag).await.unwrap();
    assert_eq!(closed.state, 4);
    let page = list(app, &Caller::Anonymous, Asked::default()).await.unwrap();
    assert!(page.items.is_empty());
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
    let (london, state) = get(app, &Caller::Anonymous, &code("GB-LON")).await.unwrap();
    assert_eq!((&*london.node, state.answered), (FOUNDER, true));
}
