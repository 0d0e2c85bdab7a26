//! Homes that contradict themselves: how it is found out, who is blamed, and how it goes on.

use super::*;
use crate::domain::roster::Position;

/// A seal of a state that nobody has.
fn seal_of(feed: &FeedId, number: u64, digest: u8) -> Seal {
    let (seal, _) = sealed_row(feed, 10);
    let statement = Statement { number, digest: [digest; 32], ..seal.statement().clone() };
    Seal::sign(statement, &key(feed.home.as_str()))
}

/// A page that does not lead to this seal.
fn page_to(seal: &Seal, pull: u64) -> v1::Page {
    let (_, page) = sealed_row(&seal.statement().feed, 10);
    v1::Page { pull, seal: Some(seal.message().clone()), ..page }
}

fn is_frozen(node: &Node, feed: &FeedId) -> bool {
    node.parts.heads.find(feed).is_some_and(|view| view.is_frozen())
}

impl Hand {
    /// Waits until it is asked for the seals that it keeps.
    async fn asked_for_seals(&mut self) {
        let asked =
            async { while !matches!(self.hear().await, Some(Kind::RecentSealsRequest(_))) {} };
        tokio::time::timeout(SOON, asked).await.expect("a question");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kept_seals_are_held_against_each_other_where_a_delivery_does_not_add_up() {
    let hub = hub_with_two_children().await;
    let of_london = feed("GB-LON", Audience::Public);
    // What the hub has seen of London and what Hong Kong has meet under no number that either announces.
    hub.parts.writer.remember(Arc::new(seal_of(&of_london, 5, 1))).await;
    let newest = seal_of(&of_london, 7, 7);
    let mut hongkong = Hand::greet(&hub, "HK").await;
    hongkong.announce(&[&newest]).await;
    let pull = hongkong.pulled(&of_london).await;
    hongkong.say(Kind::Page(page_to(&newest, pull))).await;
    hongkong.asked_for_seals().await;
    assert!(!is_frozen(&hub, &of_london), "who relays it may be to blame");
    let seals = [seal_of(&of_london, 6, 6), seal_of(&of_london, 5, 2)];
    let seals = seals.map(|seal| seal.message().clone()).to_vec();
    hongkong.say(Kind::RecentSeals(v1::RecentSeals { seals })).await;
    eventually("the pair is found", || is_frozen(&hub, &of_london)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_counts_also_where_no_copy_is_and_its_numbers_differ() {
    let hub = hub_with_two_children().await;
    let of_london = feed("GB-LON", Audience::Public);
    let one = seal_of(&of_london, 1, 1);
    // The same epoch, opened a second time.
    let epoch = Epoch { random: [9; 16], ..one.statement().epoch };
    let other = Statement { epoch, number: 2, digest: [2; 32], ..one.statement().clone() };
    let other = Seal::sign(other, &key("GB-LON"));
    let proof =
        v1::Equivocation { one: Some(one.message().clone()), other: Some(other.message().clone()) };
    let mut hongkong = Hand::greet(&hub, "HK").await;
    hongkong.say(Kind::Heads(v1::Heads { equivocations: vec![proof], ..Default::default() })).await;
    eventually("it is believed", || is_frozen(&hub, &of_london)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_add_up_freezes_a_feed_if_the_home_itself_has_delivered_it() {
    for (deliverer, freezes) in [("HK", false), ("GB-LON", true)] {
        let hub = hub_with_two_children().await;
        let of_london = feed("GB-LON", Audience::Public);
        let seal = seal_of(&of_london, 1, 9);
        let mut hand = Hand::greet(&hub, deliverer).await;
        hand.announce(&[&seal]).await;
        let pull = hand.pulled(&of_london).await;
        hand.say(Kind::Page(page_to(&seal, pull))).await;
        hand.asked_for_seals().await;
        if freezes {
            eventually("frozen", || is_frozen(&hub, &of_london)).await;
        } else {
            // Once more after the back-off.
            hand.pulled(&of_london).await;
            assert!(!is_frozen(&hub, &of_london));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_roster_goes_on_under_another_issuer_alone() {
    let leaf = node("GB-LON").await;
    let roster = leaf.parts.keys.roster_feed();
    let (issuer, next) = (key("issuer"), key("another issuer"));
    let mut founder = Hand::greet(&leaf, "CN-440000").await;
    deliver(&leaf, &mut founder, sealed_by(&roster, 10, 1, &issuer)).await;
    founder.announce(&[&sealed_by(&roster, 11, 1, &issuer).0]).await;
    eventually("two seals of one number freeze it", || is_frozen(&leaf, &roster)).await;

    founder.announce(&[&sealed_by(&roster, 12, 2, &issuer).0]).await;
    assert!(!is_pulled(&leaf, &mut founder, &roster).await, "by who has contradicted itself");
    leaf.parts.keys.set_issuer(next.verifying_key());
    deliver(&leaf, &mut founder, sealed_by(&roster, 12, 3, &next)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_thief_has_announced_is_not_waited_for_once_its_key_is_out() {
    let hub = hub_with_two_children().await;
    let of_london = feed("GB-LON", Audience::Public);
    let mut london = Hand::greet(&hub, "GB-LON").await;
    let (good, page) = sealed_row(&of_london, 10);
    deliver(&hub, &mut london, (good.clone(), page)).await;
    let view = || hub.parts.heads.find(&of_london).unwrap();
    let mut hongkong = Hand::greet(&hub, "HK").await;
    hongkong.announce(&[&sealed_by(&of_london, 11, 9, &key("GB-LON")).0]).await;
    eventually("an epoch is missed", || view().is_of_past_epoch()).await;

    hub.enrol_as("GB-LON", |entry| {
        let last = Position { epoch: 1, sequence: good.statement().sequence.0 };
        entry.seal_keys[0].limit = Some(Limit::from([(Audience::Public, last)]));
        let public = key("another").verifying_key().to_bytes();
        entry.seal_keys.push(SealKey { public, from_epoch: 2, limit: None });
    })
    .await;
    eventually("nobody can have sealed it", || !view().is_of_past_epoch()).await;
    assert!(view().readable().is_some() && !view().lags());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_former_issuer_has_sealed_contradicts_nobody() {
    let leaf = node("GB-LON").await;
    let roster = leaf.parts.keys.roster_feed();
    let (issuer, next) = (key("issuer"), key("another issuer"));
    leaf.parts.writer.remember(Arc::new(sealed_by(&roster, 11, 1, &issuer).0)).await;
    leaf.parts.keys.set_issuer(next.verifying_key());
    let mut founder = Hand::greet(&leaf, "CN-440000").await;
    deliver(&leaf, &mut founder, sealed_by(&roster, 12, 1, &next)).await;
    assert!(!is_frozen(&leaf, &roster), "one number, and one of the two seals counts");
}
