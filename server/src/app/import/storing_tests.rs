//! Imports into a node: everything goes in once, and nothing that was done here is taken back.

use super::Order;
use crate::{
    app::{
        events, members,
        samples::{FILES, FOUNDER, admin, founder},
    },
    domain::{
        analyzer::{Filter, filter},
        id::RecordId,
        kind::Kind,
    },
    feed::heads::Heads,
    identity::caller::Caller,
};

/// Epoch, sequence and digest of every feed here.
fn states(heads: &Heads) -> Vec<String> {
    let digest = |held: crate::feed::heads::Held| held.seal.map(|seal| seal.statement().digest);
    let state = |(feed, view): (_, crate::feed::heads::View)| {
        let held = view.held?;
        Some(format!("{feed} {:?} {} {:?}", held.epoch, held.sequence.0, digest(held.clone())))
    };
    heads.all().into_iter().filter_map(state).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_import_changes_nothing() {
    let node = founder().await;
    let lines: usize = FILES.iter().map(|(_, text)| text.lines().count() - 1).sum();
    let dry = node.import(&FILES, Order { dry_run: true, ..Order::default() }).await;
    let first = node.import(&FILES, Order::default()).await;
    assert_eq!(first.rejected, []);
    assert_eq!((first.rows, first.skipped), (lines as u64, 0));
    assert_eq!(first.accepted + first.unchanged, lines as u64);
    // Three members of the data are no more, and were never here.
    assert_eq!(first.unchanged, 3);
    assert_eq!((dry.rows, dry.accepted, dry.unchanged), (first.rows, first.accepted, 3));

    let before = states(&node.app.heads);
    let second = node.import(&FILES, Order::default()).await;
    assert_eq!((second.accepted, second.unchanged), (0, lines as u64));
    assert_eq!(states(&node.app.heads), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_other_nodes_are_skipped() {
    let node = founder().await;
    node.enrol("GB-LON").await;
    let report = node.import(&FILES, Order::default()).await;
    assert!(report.skipped > 0);
    let sum = report.accepted + report.unchanged + report.skipped + report.rejected_rows;
    assert_eq!(sum + report.ambiguous_rows, report.rows);
    let homes: Vec<String> =
        node.app.heads.all().iter().map(|(feed, _)| feed.home.to_string()).collect();
    assert!(homes.contains(&"HK".to_owned()) && !homes.contains(&"GB-LON".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_done_here_stands_against_the_file() {
    let node = founder().await;
    let app = &node.app;
    node.import(&FILES, Order::default()).await;
    let staff = admin(FOUNDER);
    let of_source = async |source: &str| -> RecordId {
        let term = filter(Filter::Source, source);
        let found = crate::app::records::carrying_anywhere(app, term).await.unwrap();
        found.iter().find(|found| found.row.kind == Kind::MEMBER).unwrap().row.id
    };
    let with_public_card = {
        let page = members::search(app, &Caller::Anonymous, members::Search::default());
        page.await.unwrap().items
    };
    let withdrawn = RecordId::parse(&with_public_card[0].id, "id").unwrap();
    let erased = of_source("M-000001").await;
    members::withdraw(app, &staff, withdrawn, "profile.public", "").await.unwrap();
    let deed = staff.deed(crate::domain::policy::Operation::EraseMember);
    let found = crate::app::records::find(app, erased).await.unwrap();
    let home = found[0].feed.home.clone();
    assert!(members::execute_erasure(app, deed, &home, erased).await.unwrap().removed > 0);
    let draft = events::list(app, &staff, events::Asked::default()).await.unwrap().items;
    assert!(!draft.is_empty());

    let again = node.import(&FILES, Order::default()).await;
    assert_eq!((again.accepted, again.rejected_rows), (0, 0));
    assert!(members::get(app, &Caller::Anonymous, withdrawn).await.is_err());
    assert!(members::get(app, &staff, erased).await.is_err());
}
