//! The point's side when it gets a node of its own after another one hosted it.
//!
//! Its node does not write before it has its disclosed feeds from neighbours, its other rows by
//! parcels, and all of them add up to what the host has sealed last. Then it opens its own epochs and
//! puts the rows in. Every step starts from what is stored.

use std::collections::BTreeMap;

use prost::Message;
use tracing::{info, warn};
use yizhan_proto::v1::{self, HomeHandOver, Letter, letter};

use super::{App, error::Result, handing_over::PRIVATE, handoffs::files};
use crate::{
    domain::{
        account::{self, Account, AccountId, GRANTS_MAX, RoleGrant},
        audience::{Audience, FeedId},
        audit::Deed,
        id::{PointCode, RecordId},
        policy::Role,
        position::{Row, Sequence},
        time::Time,
    },
    feed::{
        change::{Change, CommitError},
        continuity::{Mark, Marks},
        digest::{Elements, Sum},
        seal::Seal,
    },
    parcel::{
        letters::{self, Here, Verdict, has_begun},
        office::SendError,
    },
    store::{
        self, CopyState, Slot, StoreError,
        accounts::{self, OneTime},
        attachments::{self, Piece},
        bulk,
        hand_overs::{self, Arrived, Arriving, Moving},
        notices,
        parcels::{self, Connection, Series},
    },
};

/// Rows read, checked or put in at once, and their bytes: at least one.
const ROWS: usize = 1_000;
const BYTES: usize = 8 * 1_024 * 1_024;

/// What this node has of what its former host hands over.
#[derive(Debug)]
pub enum Arrival {
    /// Nobody hosted this point, or its node has written since.
    NotExpected,
    Awaited,
    /// All rows are here and add up. Where the feeds that do not go over links have to go on.
    Complete(Marks),
}

/// Looks what has arrived.
pub async fn look(app: &App) -> Result<Arrival> {
    let point = &app.keys.point;
    let roster = app.keys.roster();
    if roster.handed_over_by(point).is_none() || has_begun(&app.keys, &app.heads) {
        return Ok(Arrival::NotExpected);
    }
    let Some(seals) = seals(app).await? else { return Ok(Arrival::Awaited) };
    for (audience, seal) in &seals {
        let arrived = match audience.is_shared() {
            true => is_taken_back(app, seal),
            false => adds_up(app, *audience, seal).await?,
        };
        if !arrived {
            return Ok(Arrival::Awaited);
        }
    }
    let private = seals.into_iter().filter(|(audience, _)| !audience.is_shared());
    let marks = private.map(|(_, seal)| {
        let statement = seal.statement();
        let mark = Mark { epoch: statement.epoch, number: statement.number };
        (statement.feed.clone(), mark)
    });
    Ok(Arrival::Complete(marks.collect()))
}

/// Is there something to put in?
pub async fn is_waiting(app: &App) -> Result<bool> {
    let seals = hand_overs::list_seals(&mut *app.db.reader().await?).await?;
    Ok(seals.is_some() && app.keys.roster().handed_over_by(&app.keys.point).is_some())
}

/// Puts what has arrived into the own feeds, and tells the host. What is there already stays: it is
/// newer. Whoever calls has seen to it that nobody else writes.
pub async fn move_in(app: &App) -> Result<()> {
    let Some(host) = app.keys.roster().handed_over_by(&app.keys.point).cloned() else {
        return Ok(());
    };
    let Some(seals) = seals(app).await? else { return Ok(()) };
    if !is_verified(app, &seals).await? {
        return Ok(());
    }
    for audience in PRIVATE.into_iter().filter(|audience| seals.contains_key(audience)) {
        while put_in(app, audience).await? {}
    }
    loop {
        let acting = tokio::spawn(act_on_part(app.clone()));
        let acted = acting.await;
        if !acted.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))? {
            break;
        }
    }
    let finishing = tokio::spawn(finish(app.clone(), host));
    finishing.await.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
}

/// Do all rows add up? That is noted before the first of them is put in: after a crash some are in the
/// feeds, and cannot be added up here any more.
async fn is_verified(app: &App, seals: &BTreeMap<Audience, Seal>) -> Result<bool> {
    let home = &app.keys.point;
    let moving = hand_overs::moving(&mut *app.db.reader().await?, home).await?;
    if moving.stage >= Arriving::Verified {
        return Ok(true);
    }
    for audience in PRIVATE {
        let Some(seal) = seals.get(&audience) else { continue };
        if !adds_up(app, audience, seal).await? {
            warn!(audience = audience.name(), "what the host has handed over does not add up");
            return Ok(false);
        }
    }
    let moving = Moving { stage: Arriving::Verified, ..moving };
    hand_overs::put_moving(&mut *app.db.local().await?, home, moving).await?;
    Ok(true)
}

/// Puts the next rows of an audience in; false if there are none.
async fn put_in(app: &App, audience: Audience) -> Result<bool> {
    let feed = FeedId::new(app.keys.point.clone(), audience);
    let rows = next_rows(app, audience, Sequence(0)).await?;
    let Some(last) = rows.last().map(|arrived| arrived.row.sequence) else { return Ok(false) };
    let mut known = Vec::new();
    if let Some(slot) = own_slot(app, &feed) {
        let ids: Vec<_> = rows.iter().map(|arrived| arrived.row.id).collect();
        let mut db = app.db.reader().await?;
        let stored = bulk::versions(&mut db, app.db.dialect, slot, &ids).await?;
        known = stored.into_iter().map(|row| row.id).collect();
    }
    let mut change = Change::new();
    // A tombstone's work is done: the feed goes on in another epoch.
    for arrived in rows {
        let row = &arrived.row;
        if !row.removed && !known.contains(&row.id) {
            let payload = rewrapped(&feed.home, &arrived).unwrap_or_else(|| row.payload.to_vec());
            change = change.put(feed.clone(), row.kind, row.id, payload);
        }
    }
    if !change.writes.is_empty() {
        match app.writer.reconcile(change).await {
            // Somebody writes meanwhile: next time.
            Err(CommitError::Stale) => return Ok(true),
            done => drop(done?),
        }
    }
    hand_overs::remove_rows(&mut *app.db.local().await?, audience, last).await?;
    Ok(true)
}

/// An intake key that the former host has wrapped for our own case key; none where it has not.
fn rewrapped(home: &PointCode, arrived: &Arrived) -> Option<Vec<u8>> {
    let key = v1::RewrappedKey::decode(&arrived.wrap.as_ref()?[..]).ok()?;
    let mut record = v1::HelpKey::decode(&arrived.row.payload[..]).ok()?;
    record.wraps.retain(|wrap| wrap.point != home.as_str());
    let wrap = v1::help_key::Wrap {
        point: home.to_string(),
        encapsulated: key.encapsulated,
        ciphertext: key.ciphertext,
    };
    record.wraps.insert(0, wrap);
    Some(record.encode_to_vec())
}

/// Takes over the next of what has come along with the rows, in one transaction; false if there is
/// nothing.
async fn act_on_part(app: App) -> Result<bool> {
    let own = app.keys.point.clone();
    let mut tx = app.db.begin().await?;
    let Some((number, part)) = hand_overs::first_part(tx.connection()).await? else {
        return Ok(false);
    };
    let damaged = |_| StoreError::Damaged { what: "hand-over" };
    let part = HomeHandOver::decode(&part[..]).map_err(damaged)?;
    let db = tx.connection();
    for arrival in part.arrivals {
        arrive(&app, db, arrival).await?;
    }
    if let Some(file) = part.file {
        keep_piece(&app, db, file).await?;
    }
    for settled in part.settled {
        let Ok(from) = settled.from.parse() else { continue };
        let series = Series { from, to: own.clone(), sender_epoch: settled.sender_epoch };
        let numbers = settled.numbers.into_iter().map(|one| (one.number, one.reason));
        let numbers: Vec<_> = numbers.collect();
        parcels::put_settled(db, &series, settled.mark, &numbers).await?;
    }
    let mut sent = Vec::new();
    for parcel in part.parcels {
        let to = parcel.to.clone();
        match app.post.take_over(db, parcel).await {
            Ok(true) => sent.extend(to.parse::<PointCode>()),
            Ok(false) => warn!(%to, "a parcel that the former host has left can go nowhere"),
            Err(SendError::Storage(error)) => return Err(error.into()),
            Err(error) => warn!(%to, %error, "a parcel that the former host has left is lost"),
        }
    }
    let accounts = part.accounts.len();
    if accounts > 0 {
        let (mut kept, now) = (0, app.outside.now());
        for account in part.accounts {
            kept += usize::from(sign_in_here(&app, db, account).await?);
        }
        let act = Deed::of_node("hand_over").on_nothing(format!("accounts={kept}"));
        let dialect = app.db.dialect;
        store::audit::append(db, dialect, &[act], now, [0; 32]).await?;
        info!(accounts = kept, "who signed in at the former host signs in here");
        if kept < accounts {
            warn!(
                accounts = accounts - kept,
                "accounts whose names are taken here stay as they are"
            );
        }
    }
    hand_overs::remove_part(tx.connection(), number).await?;
    tx.commit().await?;
    for to in sent {
        app.post.written(&own, &to);
    }
    Ok(true)
}

/// Something that had come for us at the former host: acted on as if it came now, but in the order in
/// which it came there.
async fn arrive(app: &App, db: &mut Connection, arrival: v1::HandedArrival) -> Result<()> {
    let (Ok(from), Some(letter)) = (arrival.from.parse::<PointCode>(), arrival.letter) else {
        return Ok(());
    };
    if letters::is_of_hand_over(&letter) {
        return Ok(());
    }
    let now = Time(arrival.arrived_us.min(app.outside.now().0));
    let here = Here::of(app, now);
    let verdict = letters::act(&here, db, (&from, &app.keys.point), &letter).await?;
    if verdict != Verdict::Done {
        warn!(%from, ?verdict, "what had come at the former host is not taken here");
    }
    Ok(())
}

async fn keep_piece(app: &App, db: &mut Connection, file: v1::HandedFile) -> Result<()> {
    let id = |bytes: &[u8]| bytes.try_into().map(RecordId).ok();
    let (Some(id), Some(request)) = (id(&file.id), id(&file.request)) else { return Ok(()) };
    if !files::is_piece(file.number, file.pieces, file.sealed.len()) {
        warn!("a piece of a file that the former host has left is out of range");
        return Ok(());
    }
    let (number, of) = (i64::from(file.number), i64::from(file.pieces));
    let piece = Piece { number, of, sealed: file.sealed };
    let now = app.outside.now();
    if !attachments::receive(db, (id, request), &piece, now, files::FILES_MAX).await? {
        warn!("a help request has more files than it may");
    }
    Ok(())
}

/// Adds an account of the former host; false if its name is taken here, or it is none that a host may
/// hand over.
async fn sign_in_here(app: &App, db: &mut Connection, handed: v1::HandedAccount) -> Result<bool> {
    let member = match &handed.member[..] {
        [] => Some(None),
        id => id.try_into().ok().map(|id| Some(RecordId(id))),
    };
    let role = Role::of_account(&handed.role, "role").ok();
    let role = role.filter(|role| *role != Role::ProvincialAdmin);
    let id = handed.id[..].try_into().map(AccountId);
    let name = account::user_name(&handed.name, "name");
    let (Ok(id), Ok(name), Some(role), Some(member)) = (id, name, role, member) else {
        return Ok(false);
    };
    let point = app.keys.point.clone();
    let account = Account {
        id,
        name,
        role,
        point: point.clone(),
        created: Time(handed.created_us),
        disabled: None,
        member,
        otp: false,
        password_given: handed.password_given,
        password_by: handed.password_by,
        confirmed_by: handed.confirmed_by,
        grants: Vec::new(),
    };
    if !accounts::insert(db, &account, &handed.password_hash).await? {
        return Ok(false);
    }
    let secret = Some(handed.otp_secret).filter(|secret| !secret.is_empty());
    let known = OneTime { secret, pending: None, step: handed.otp_step };
    accounts::put_one_time(db, id, known).await?;
    if let Some(disabled) = handed.disabled_us {
        accounts::disable(db, id, Time(disabled)).await?;
    }
    for also in handed.roles.into_iter().take(GRANTS_MAX) {
        let role = Role::of_account(&also.role, "role").ok();
        let Some(role) = role.filter(|role| *role != Role::ProvincialAdmin) else { continue };
        let grant = RoleGrant {
            role,
            point: point.clone(),
            categories: also.categories,
            from: Time(also.from_us),
            to: also.to_us.map(Time),
            granted_by: also.granted_by,
        };
        accounts::put_grant(db, id, &grant).await?;
    }
    Ok(true)
}

/// Forgets what has been put in, notes that nothing more is expected and posts the word for the host, in
/// one transaction.
async fn finish(app: App, host: PointCode) -> Result<()> {
    let own = app.keys.point.clone();
    let part = HomeHandOver { home: own.to_string(), last: true, ..Default::default() };
    let letter = Letter { kind: Some(letter::Kind::HomeHandOver(part)) };
    let mut tx = app.db.begin().await?;
    hand_overs::clear_seals(tx.connection()).await?;
    let moving = hand_overs::moving(tx.connection(), &own).await?;
    let moving = Moving { stage: Arriving::MovedIn, ..moving };
    hand_overs::put_moving(tx.connection(), &own, moving).await?;
    // Of what has come along the host has told whoever was to be told.
    let sealed = FeedId::new(own.clone(), Audience::Sealed);
    if let Some(held) = app.heads.find(&sealed).and_then(|view| view.held) {
        let mark = (held.epoch.counter as i64, held.sequence.0 as i64);
        notices::set_mark(tx.connection(), own.as_str(), mark).await?;
    }
    match app.post.write(tx.connection(), &own, &host, &letter).await {
        Ok(()) => {}
        Err(SendError::Storage(error)) => return Err(error.into()),
        // The host is revoked: nobody waits for our word.
        Err(error) => warn!(%host, %error, "the former host cannot be told"),
    }
    tx.commit().await?;
    app.post.written(&own, &host);
    info!(%host, "the records that the former host kept are here");
    Ok(())
}

/// The last seals that the host has made, by audience; none before it has said so.
async fn seals(app: &App) -> Result<Option<BTreeMap<Audience, Seal>>> {
    let stored = hand_overs::list_seals(&mut *app.db.reader().await?).await?;
    let Some(stored) = stored else { return Ok(None) };
    let mut seals = BTreeMap::new();
    for bytes in stored {
        let seal = Seal::decode(&bytes).map_err(|_| StoreError::Damaged { what: "seal" })?;
        seals.insert(seal.statement().feed.audience, seal);
    }
    Ok(Some(seals))
}

/// Has a neighbour given us the feed as far as the host has sealed it?
fn is_taken_back(app: &App, last: &Seal) -> bool {
    let held = app.heads.find(&last.statement().feed).and_then(|view| view.held);
    let held = held.filter(|held| held.state == CopyState::Own).and_then(|held| held.seal);
    held.is_some_and(|held| !last.is_after(&held))
}

/// Are the rows that have arrived exactly those that the host has sealed?
async fn adds_up(app: &App, audience: Audience, seal: &Seal) -> Result<bool> {
    let statement = seal.statement();
    let elements = Elements::of(&statement.feed);
    let (mut sum, mut live, mut after) = (Sum::empty(), 0, Sequence(0));
    loop {
        let rows = next_rows(app, audience, after).await?;
        let rows: Vec<Row> = rows.into_iter().map(|arrived| arrived.row).collect();
        let Some(last) = rows.last() else { break };
        after = last.sequence;
        sum.join(&elements.sum(&rows));
        live += rows.iter().filter(|row| !row.removed).count() as u64;
    }
    Ok(sum.digest() == statement.digest && live == statement.live)
}

async fn next_rows(app: &App, audience: Audience, after: Sequence) -> Result<Vec<Arrived>> {
    let mut rows =
        hand_overs::rows_after(&mut *app.db.reader().await?, audience, after, ROWS).await?;
    let mut bytes = 0;
    let fits = rows.iter().take_while(|arrived| {
        let before = bytes;
        bytes += arrived.row.payload.len();
        before == 0 || bytes <= BYTES
    });
    let fits = fits.count();
    rows.truncate(fits);
    Ok(rows)
}

fn own_slot(app: &App, feed: &FeedId) -> Option<Slot> {
    let held = app.heads.find(feed)?.held?;
    (held.state == CopyState::Own).then_some(held.slot)
}

#[cfg(test)]
#[path = "moving_in_tests.rs"]
mod tests;
