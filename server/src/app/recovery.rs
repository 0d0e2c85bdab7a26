//! Going on after a loss: by the operator's word, and without showing again what people took back.
//!
//! What neighbours had of a feed wins over home records that only a backup had: a card that was
//! withdrawn stays withdrawn, and a person who was erased stays erased. The comparison needs no
//! memory of a loss. It is made at every start, before anything else is written, so a crash in the
//! middle of it costs nothing; where nothing was lost it finds nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use prost::Message;
use tracing::warn;
use yizhan_proto::v1::{self, tombstone::Reason};

use super::{
    App,
    error::{Error, Result},
    handoffs, members, moves, moving_in,
    records::{self, Found},
    transfers,
};
use crate::{
    domain::{
        audience::{Audience, FeedId},
        disclosure,
        grant::{Grant, GrantState, Purpose, Scope},
        id::{PointCode, RecordId},
        kind::Kind,
        member::Member,
        policy::Operation,
        position::{Epoch, Sequence},
        time::Time,
    },
    feed::change::{Change, CommitError},
    identity::caller::Caller,
    store::{Slot, StoreError, bulk, records as stored},
};

/// Own feeds are few; a disk that takes longer than this has other troubles.
const DONE_WITHIN: Duration = Duration::from_secs(60);
/// Tombstones looked at in one go.
const BATCH: usize = 1_000;
/// Where cards lie.
const DISCLOSED: [Audience; 3] = [Audience::Network, Audience::Domestic, Audience::Public];

/// Opens a new epoch of every own feed that is still to be taken back; answers with these feeds and
/// their epochs once that is durable.
pub async fn go_on(app: &App, caller: &Caller) -> Result<Vec<(FeedId, Epoch)>> {
    caller.may(Operation::KeepNode)?;
    let recovery = app.writer.recovery();
    if recovery.is_taken_back() {
        return Err(nothing_to_recover(app));
    }
    app.writer.open_epochs().await;
    let opened = app.writer.until(|recovery| recovery.is_taken_back());
    tokio::time::timeout(DONE_WITHIN, opened).await.map_err(|_| Error::Busy)?;
    reconcile(app).await?;
    let epoch = |feed: FeedId| {
        let held = app.heads.find(&feed)?.held?;
        Some((feed, held.epoch))
    };
    let opened = match recovery.unmarked {
        false => recovery.feeds.into_keys().collect(),
        true => own_feeds(app),
    };
    Ok(opened.into_iter().filter_map(epoch).collect())
}

fn nothing_to_recover(app: &App) -> Error {
    let frozen = |feed: &FeedId| app.heads.find(feed).is_some_and(|view| view.is_frozen());
    let frozen: Vec<String> =
        own_feeds(app).into_iter().filter(frozen).map(|feed| feed.to_string()).collect();
    let message = match frozen.is_empty() {
        true => "no feed of this node waits for neighbours".to_owned(),
        false => format!(
            "no feed of this node waits for neighbours; frozen: {}. Stop the other machine that \
             writes them, then name them with --feed",
            frozen.join(", ")
        ),
    };
    Error::Precondition { reason: "NOTHING_TO_RECOVER", message }
}

/// Opens the next epoch of these own feeds, whether this node knows that they are frozen or not;
/// answers with their epochs once that is durable. Others take them when the roster approves.
pub async fn next_epochs(
    app: &App,
    caller: &Caller,
    feeds: BTreeSet<FeedId>,
) -> Result<Vec<(FeedId, Epoch)>> {
    caller.may(Operation::KeepNode)?;
    if !app.writer.recovery().is_over() {
        return Err(Error::ReadOnly);
    }
    let mut before = BTreeMap::new();
    for feed in &feeds {
        if app.keys.signer(feed).is_none() {
            return Err(Error::NotHome { home: feed.home.to_string() });
        }
        let held = app.heads.find(feed).and_then(|view| view.held);
        let held = held.ok_or(Error::NotFound { noun: "feed" })?;
        before.insert(feed.clone(), held.epoch.counter);
    }
    let mut changes = app.heads.watch();
    app.writer.next_epochs(feeds).await;
    let opened = async {
        loop {
            let now = before.iter().map(|(feed, before)| {
                let held = app.heads.find(feed)?.held?;
                (held.epoch.counter > *before).then(|| (feed.clone(), held.epoch))
            });
            match now.collect::<Option<Vec<_>>>() {
                Some(opened) => return opened,
                None => changes.changed().await,
            }
        }
    };
    tokio::time::timeout(DONE_WITHIN, opened).await.map_err(|_| Error::Busy)
}

fn own_feeds(app: &App) -> Vec<FeedId> {
    let feeds = app.heads.all().into_iter().map(|(feed, _)| feed);
    feeds.filter(|feed| app.keys.signer(feed).is_some()).collect()
}

/// Takes out of home records what would disclose again what is gone; then lets writing begin.
pub async fn reconcile(app: &App) -> Result<()> {
    moving_in::move_in(app).await?;
    for home in app.keys.homes() {
        let gone = gone(app, &home).await?;
        for (id, gone) in gone {
            settle(app, &home, id, &gone).await?;
        }
    }
    members::replay(app).await?;
    moves::replay(app).await?;
    handoffs::replay(app).await?;
    app.writer.end_reconciling().await;
    Ok(())
}

/// What tombstones say of one person.
#[derive(Default)]
struct Gone {
    is_erased: bool,
    /// Where a card lay and lies no more.
    audiences: BTreeSet<Audience>,
}

/// The members who are still here, and whose cards are not where they were.
async fn gone(app: &App, home: &PointCode) -> Result<BTreeMap<RecordId, Gone>> {
    let mut all: BTreeMap<RecordId, Gone> = BTreeMap::new();
    let Some(members) = own_slot(app, home, Audience::Home) else { return Ok(all) };
    let mut db = app.db.reader().await?;
    for audience in DISCLOSED {
        let Some(slot) = own_slot(app, home, audience) else { continue };
        let mut after = Sequence(0);
        loop {
            let rows = stored::removed(&mut db, slot, after, BATCH).await?;
            let Some(last) = rows.last() else { break };
            after = last.sequence;
            let cards =
                rows.iter().filter(|row| matches!(row.kind, Kind::CARD | Kind::PUBLIC_CARD));
            let reasons: BTreeMap<RecordId, Reason> =
                cards.map(|row| (row.id, reason(&row.payload))).collect();
            let ids: Vec<RecordId> = reasons.keys().copied().collect();
            let here = bulk::versions(&mut db, app.db.dialect, members, &ids).await?;
            for member in here.iter().filter(|row| !row.removed && row.kind == Kind::MEMBER) {
                let gone = all.entry(member.id).or_default();
                gone.is_erased |= reasons.get(&member.id) == Some(&Reason::Erased);
                gone.audiences.insert(audience);
            }
        }
    }
    Ok(all)
}

fn own_slot(app: &App, home: &PointCode, audience: Audience) -> Option<Slot> {
    let held = app.heads.find(&FeedId::new(home.clone(), audience))?.held?;
    held.state.is_readable().then_some(held.slot)
}

fn reason(payload: &[u8]) -> Reason {
    v1::Tombstone::decode(payload).map_or(Reason::Unspecified, |tombstone| tombstone.reason())
}

/// One member, one change; none where home records and cards agree.
async fn settle(app: &App, home: &PointCode, id: RecordId, gone: &Gone) -> Result<()> {
    let found = records::find(app, id).await?;
    let home_feed = FeedId::new(home.clone(), Audience::Home);
    let is_home = |found: &&Found| found.feed == home_feed && found.row.kind == Kind::MEMBER;
    let Some(member) = found.iter().find(is_home) else { return Ok(()) };
    // Another node on the same database may be at work on it.
    let unchanged = Change::new().expect(home_feed.clone(), id, Some(member.row.sequence));
    if gone.is_erased {
        warn!(%home, %id, "an erased person was in the backup: erased again");
        return commit(app, members::erasure(app, unchanged, home, id).await?).await;
    }
    let now = app.outside.now();
    let value: Member = member.value::<v1::Member, _>()?;
    let mut grants = Vec::new();
    for found in records::grants_of(app, home, id).await? {
        let grant: Grant = found.value::<v1::Grant, _>()?;
        grants.push((found.row.id, grant));
    }
    let disclosed = disclosure::member(&value, grants.iter().map(|(_, grant)| grant), now);
    let shown = disclosed.card.as_ref().map(|(audience, _)| *audience);
    let public = disclosed.public_card.as_ref().map(|_| Audience::Public);
    if !shown.into_iter().chain(public).any(|audience| gone.audiences.contains(&audience)) {
        return Ok(());
    }
    let mut change = unchanged;
    for (grant_id, grant) in &mut grants {
        let rests_on =
            audience_of(grant).is_some_and(|audience| gone.audiences.contains(&audience));
        if rests_on && grant.holds_at(now) {
            end(grant, now)?;
            let payload = v1::Grant::from(grant.clone()).encode_to_vec();
            change = change.put(home_feed.clone(), Kind::GRANT, *grant_id, payload);
        }
    }
    warn!(%home, %id, "a consent in the backup had been withdrawn: withdrawn again");
    let grants: Vec<Grant> = grants.into_iter().map(|(_, grant)| grant).collect();
    let change = transfers::follow(app, change, home, id, Some((&value, &grants))).await?;
    let disclosed = disclosure::member(&value, &grants, now);
    commit(app, members::disclose(change, home, id, disclosed, Reason::Withdrawn)).await
}

async fn commit(app: &App, change: Change) -> Result<()> {
    match app.writer.reconcile(change).await {
        // Whoever changed it meanwhile has the newer word.
        Err(CommitError::Stale) => Ok(()),
        done => {
            done?;
            Ok(())
        }
    }
}

/// Where the card lies that rests on a consent.
fn audience_of(grant: &Grant) -> Option<Audience> {
    match (grant.purpose, &grant.scope) {
        (Purpose::ProfileNetwork, Scope::Unlimited) => Some(Audience::Network),
        (Purpose::ProfileNetwork, Scope::Domestic) => Some(Audience::Domestic),
        (Purpose::ProfilePublic, Scope::Unlimited) => Some(Audience::Public),
        _ => None,
    }
}

fn end(grant: &mut Grant, now: Time) -> Result<()> {
    let damaged = |_| Error::Storage(StoreError::Damaged { what: "consent" });
    grant.state = grant.state.ended_as(GrantState::Withdrawn).map_err(damaged)?;
    grant.end_time = Some(now.max(grant.given_time));
    Ok(())
}
