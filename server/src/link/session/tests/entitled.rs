//! What a peer may not hold, and what it may hold no more.

use super::*;
use crate::domain::roster::{Basis, BasisKind};

fn pull(node: &Node, feed: &FeedId, number: u64) -> v1::Pull {
    let view = node.parts.heads.find(feed).unwrap();
    v1::Pull {
        home: feed.home.to_string(),
        audience: feed.audience as u32,
        epoch: Some(view.held.unwrap().epoch.into()),
        pull: number,
        ..Default::default()
    }
}

impl Hand {
    /// What the session says up to its answer to a ping.
    async fn until_pong(&mut self) -> Vec<Kind> {
        const NONCE: u64 = 4_711;
        self.say(Kind::Ping(v1::Ping { nonce: NONCE })).await;
        let mut said = Vec::new();
        let heard = async {
            loop {
                match self.hear().await.expect("the session goes on") {
                    Kind::Pong(pong) if pong.nonce == NONCE => return,
                    kind => said.push(kind),
                }
            }
        };
        tokio::time::timeout(SOON, heard).await.expect("a pong");
        said
    }

    /// The next page of a pull.
    async fn paged(&mut self, number: u64) -> v1::Page {
        let paged = async {
            loop {
                if let Kind::Page(page) = self.hear().await.expect("the session goes on")
                    && page.pull == number
                {
                    return page;
                }
            }
        };
        tokio::time::timeout(SOON, paged).await.expect("a page")
    }
}

fn pages(said: &[Kind]) -> usize {
    said.iter().filter(|kind| matches!(kind, Kind::Page(page) if !page.gone)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_hold_a_feed_gets_nothing_of_it_whatever_it_knows() {
    let hub = hub_with_two_children().await;
    hub.enrol("CN-440100").await;
    hub.put(Audience::Domestic, 0..5, "domestic").await;
    let domestic = feed("CN-440000", Audience::Domestic);
    let asked =
        v1::RecentSealsRequest { home: "CN-440000".into(), audience: Audience::Domestic as u32 };

    let mut london = Hand::greet(&hub, "GB-LON").await;
    london.say(Kind::Credit(v1::Credit { bytes: 1 << 20 })).await;
    london.say(Kind::Pull(pull(&hub, &domestic, 7))).await;
    assert!(london.paged(7).await.gone);
    london.say(Kind::RecentSealsRequest(asked.clone())).await;
    let said = london.until_pong().await;
    assert!(!said.iter().any(|kind| matches!(kind, Kind::RecentSeals(_))), "{said:?}");

    let mut guangzhou = Hand::greet(&hub, "CN-440100").await;
    guangzhou.say(Kind::Credit(v1::Credit { bytes: 1 << 20 })).await;
    guangzhou.say(Kind::Pull(pull(&hub, &domestic, 7))).await;
    assert!(!guangzhou.paged(7).await.gone);
    guangzhou.say(Kind::RecentSealsRequest(asked)).await;
    let said = guangzhou.until_pong().await;
    let seals = said.iter().find_map(|kind| match kind {
        Kind::RecentSeals(recent) => Some(recent.seals.len()),
        _ => None,
    });
    assert_eq!(seals, Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_ends_where_the_right_to_it_does() {
    let hub = hub_with_two_children().await;
    hub.put(Audience::Network, 0..2_000, "card").await;
    hub.put(Audience::Public, 0..2_000, "event").await;
    let mut london = Hand::greet(&hub, "GB-LON").await;
    for (number, audience) in [(7, Audience::Network), (8, Audience::Public)] {
        london.say(Kind::Pull(pull(&hub, &feed("CN-440000", audience), number))).await;
    }
    // For the first page of either.
    london.say(Kind::Credit(v1::Credit { bytes: 1 })).await;
    london.until_pong().await;

    declare(&hub, BasisKind::Denied).await;
    let ended = async { while !london.paged(7).await.gone {} };
    tokio::time::timeout(SOON, ended).await.expect("it is told");
    london.say(Kind::Credit(v1::Credit { bytes: 1 << 20 })).await;
    // What it may still hold comes to its end; of the other nothing more.
    while !london.paged(8).await.reaches_seal {}
    let said = london.until_pong().await;
    assert_eq!(pages(&said), 0, "{said:?}");
}

/// Says on what basis London may hold what the hub has for the network.
async fn declare(hub: &Node, kind: BasisKind) {
    hub.enrol_as("GB-LON", |entry| {
        let basis = Basis { kind, reference: String::new() };
        entry.bases.insert("CN-440000".parse().unwrap(), basis);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_let_through_in_the_middle_of_a_session_comes() {
    let hub = hub_with_two_children().await;
    let london = node("GB-LON").await;
    declare(&hub, BasisKind::Denied).await;
    hub.put(Audience::Network, 0..10, "card").await;
    hub.put(Audience::Public, 0..10, "event").await;
    connect(&hub, &london);
    let of = |node: &Node, audience| node.digest("CN-440000", audience);
    let same =
        |audience| of(&hub, audience).is_some() && of(&hub, audience) == of(&london, audience);
    eventually("what anybody may hold is there", || same(Audience::Public)).await;
    assert_eq!(of(&london, Audience::Network), None);
    declare(&hub, BasisKind::Contract).await;
    eventually("the rest comes", || same(Audience::Network)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_not_be_held_any_more_is_cleared_away() {
    let hub = hub_with_two_children().await;
    let london = node("GB-LON").await;
    connect(&hub, &london);
    hub.put(Audience::Network, 0..5_000, "card").await;
    hub.put(Audience::Public, 0..5, "event").await;
    let same = |audience| {
        let of = move |node: &Node| node.digest("CN-440000", audience);
        of(&hub).is_some() && of(&hub) == of(&london)
    };
    eventually("London holds both", || same(Audience::Network) && same(Audience::Public)).await;
    declare(&hub, BasisKind::Denied).await;
    let network = feed("CN-440000", Audience::Network);
    let shown = || london.digest("CN-440000", Audience::Network).is_some();
    eventually("it is not shown", || !shown()).await;
    let deadline = Instant::now() + SOON;
    while london.parts.store.copies().await.unwrap().iter().any(|copy| copy.feed == network) {
        assert!(Instant::now() < deadline, "its rows are still there");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(same(Audience::Public), "what anybody may hold stays");

    declare(&hub, BasisKind::Contract).await;
    eventually("it is back", || same(Audience::Network)).await;
}
