//! Feeds that are frozen here are told to their homes: whoever sealed what does not add up does not see
//! it, and nobody else can put it right. Each home hears it once, again when a proof is found, and when
//! it is over.

use std::collections::BTreeMap;

use prost::Message;
use tracing::{debug, info};
use yizhan_proto::v1::{self, Letter, letter};

use super::{App, error::Result};
use crate::{
    domain::audience::{Audience, FeedId},
    feed::seal::Seal,
    parcel::office::SendError,
    store::{
        FeedStore,
        freezes::{self, Told},
    },
};

/// What is known against a feed in one epoch.
struct Found {
    told: Told,
    /// Of the seal at fault.
    number: u64,
}

/// Tells the homes what they do not know yet. A home that cannot be written to hears it later.
pub async fn tell(app: &App) -> Result<()> {
    let told = freezes::list_told(&mut *app.db.reader().await?).await?;
    let mut told: BTreeMap<FeedId, Told> =
        told.into_iter().map(|told| (told.feed.clone(), told)).collect();
    for found in frozen(app).await? {
        let before = told.remove(&found.told.feed);
        if before.as_ref() != Some(&found.told) {
            let notice = v1::FeedFrozen {
                audience: found.told.feed.audience as u32,
                epoch_counter: found.told.epoch_counter,
                number: found.number,
                proved: found.told.proved,
                over: false,
            };
            post(app, found.told, notice).await?;
        }
    }
    // What is left is frozen no more.
    for told in told.into_values() {
        let audience = told.feed.audience as u32;
        post(app, told, v1::FeedFrozen { audience, over: true, ..Default::default() }).await?;
    }
    Ok(())
}

/// What is frozen here of others' feeds, and why.
async fn frozen(app: &App) -> Result<Vec<Found>> {
    let views = app.heads.all();
    let frozen: BTreeMap<FeedId, u64> = views
        .into_iter()
        .filter(|(feed, view)| {
            view.is_frozen()
                && !view.is_disowned()
                && feed.audience != Audience::Roster
                && !app.keys.is_home(&feed.home)
        })
        .filter_map(|(feed, view)| Some((feed, view.contradicted?)))
        .collect();
    if frozen.is_empty() {
        return Ok(Vec::new());
    }
    let mut all = Vec::new();
    for found in app.db.equivocations().await? {
        if frozen.get(&found.feed) != Some(&found.epoch_counter) {
            continue;
        }
        let Ok(proof) = v1::Equivocation::decode(&found.proof[..]) else { continue };
        let seal = proof.one.and_then(|message| Seal::read(message).ok());
        all.push(Found {
            told: Told {
                feed: found.feed,
                epoch_counter: found.epoch_counter,
                proved: proof.other.is_some(),
            },
            number: seal.map_or(0, |seal| seal.statement().number),
        });
    }
    Ok(all)
}

/// The word and the memory of it, in one transaction.
async fn post(app: &App, told: Told, notice: v1::FeedFrozen) -> Result<()> {
    let app = app.clone();
    // In a task of its own: a stop must not leave a transaction open.
    let posting = tokio::spawn(async move {
        let (own, home) = (app.keys.point.clone(), told.feed.home.clone());
        let is_over = notice.over;
        let letter = Letter { kind: Some(letter::Kind::FeedFrozen(notice)) };
        let mut tx = app.db.begin().await?;
        match app.post.write(tx.connection(), &own, &home, &letter).await {
            Ok(()) => {}
            Err(SendError::Storage(error)) => return Err(error.into()),
            Err(error) => {
                debug!(%home, %error, "a home cannot be told yet that its feed is frozen here");
                return Ok(());
            }
        }
        match is_over {
            true => freezes::remove_told(tx.connection(), &told.feed).await?,
            false => freezes::put_told(tx.connection(), &told).await?,
        }
        tx.commit().await?;
        app.post.written(&own, &home);
        info!(feed = %told.feed, over = is_over, "its home is told that it is frozen here");
        Ok(())
    });
    posting.await.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        app::samples::{FOUNDER, Node, code, founder},
        domain::{id::PointCode, time::Time},
        identity::keys::CaseKey,
        parcel::letters::{self, Here, Verdict},
        store::{FeedTx, FoundEquivocation, parcels},
    };

    async fn founder_and_hong_kong() -> Node {
        let node = founder().await;
        let case_key = CaseKey::generate().public();
        node.enrol_with("HK", |entry| entry.case_key = Some(case_key)).await;
        node
    }

    /// Finds something against a feed of Hong Kong's.
    async fn find(node: &Node, feed: &FeedId, proved: bool) {
        let seal = v1::Seal { body: vec![1; 40], signature: vec![2; 64] };
        let proof = v1::Equivocation { one: Some(seal.clone()), other: proved.then_some(seal) };
        let found = FoundEquivocation {
            feed: feed.clone(),
            epoch_counter: 1,
            proof: proof.encode_to_vec(),
        };
        let mut tx = node.app.db.begin().await.unwrap();
        tx.insert_equivocation(&found, 0).await.unwrap();
        tx.commit().await.unwrap();
        node.app.heads.contradict(feed, 1);
    }

    async fn posted(node: &Node) -> u64 {
        let mut db = node.app.db.reader().await.unwrap();
        parcels::count_outgoing(&mut db, &code(FOUNDER), &code("HK")).await.unwrap()
    }

    #[tokio::test]
    async fn a_home_is_told_once_and_again_when_there_is_a_proof_or_it_is_over() {
        let node = founder_and_hong_kong().await;
        let feed = FeedId::new(code("HK"), Audience::Network);
        tell(&node.app).await.unwrap();
        assert_eq!(posted(&node).await, 0);
        for (proved, letters) in [(false, 1), (true, 2)] {
            find(&node, &feed, proved).await;
            for _ in 0..2 {
                tell(&node.app).await.unwrap();
                assert_eq!(posted(&node).await, letters);
            }
        }
        // The next epoch is here.
        node.app.heads.update(&feed, |view| view.contradicted = None);
        for _ in 0..2 {
            tell(&node.app).await.unwrap();
            assert_eq!(posted(&node).await, 3);
        }
    }

    #[tokio::test]
    async fn a_home_knows_by_whom_its_feed_is_frozen_until_it_is_not() {
        let node = founder_and_hong_kong().await;
        let app = &node.app;
        let hear = async |from: &str, notice: v1::FeedFrozen| {
            let here = Here::of(app, Time(7));
            let letter = Letter { kind: Some(letter::Kind::FeedFrozen(notice)) };
            let mut db = app.db.local().await.unwrap();
            let ends: (PointCode, PointCode) = (code(from), code(FOUNDER));
            letters::act(&here, &mut db, (&ends.0, &ends.1), &letter).await.unwrap()
        };
        let network = Audience::Network as u32;
        let notice =
            v1::FeedFrozen { audience: network, epoch_counter: 1, number: 9, ..Default::default() };
        assert_eq!(hear("HK", notice).await, Verdict::Done);
        let heard = freezes::list_heard(&mut app.db.reader().await.unwrap()).await.unwrap();
        assert_eq!(heard.len(), 1);
        assert_eq!((heard[0].point.as_str(), heard[0].number, heard[0].proved), ("HK", 9, false));
        // What nobody else can hold, nobody else can find at fault.
        let private = v1::FeedFrozen { audience: Audience::Home as u32, ..notice };
        assert_eq!(hear("HK", private).await, Verdict::Refused("NOT_ENTITLED"));
        let over = v1::FeedFrozen { over: true, ..notice };
        assert_eq!(hear("HK", over).await, Verdict::Done);
        assert_eq!(freezes::list_heard(&mut app.db.reader().await.unwrap()).await.unwrap(), []);
    }
}
