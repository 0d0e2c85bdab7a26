//! Between points: requests on their way to the owner, and sealed copies on their way to the deputy.
//!
//! A stub is the durable intention to send; what has come lies in its own table until the owner's
//! feed holds it. Both may be done twice and have one effect.

use prost::Message;
use tracing::warn;
use yizhan_proto::v1::{self, Letter, help_copies::Copy, letter};

use super::{
    stored::{Stored, found_at, put_key, sealed_feed, with_lookup},
    submit::stub,
};
use crate::{
    app::{
        App,
        error::{Error, Result},
        records::{self, Found},
    },
    domain::{
        audience::FeedId,
        audit::Deed,
        deputy::deputy_of,
        help_request::HelpRequest,
        help_state::HelpMove,
        id::{PointCode, RecordId},
        kind::Kind,
        position::{Row, Sequence},
    },
    feed::change::{Change, CommitError},
    store::{
        FeedStore, StoreError,
        help_requests::{self, Arrival, Returned},
    },
    wire::help_request as wire,
};

/// Requests that are sent in one run, or listed together.
const AT_ONCE: usize = 256;
/// Arrivals that are looked at in one run.
const RUN_MAX: usize = 10_240;
/// Sealed records of one letter to a deputy.
const COPIES: usize = 512;
const COPIES_BYTES: usize = 256 * 1024;
/// Letters to a deputy in one run: copies never crowd out what people wait for.
const COPY_LETTERS: usize = 16;

/// Sends what other points are to handle.
pub async fn send(app: &App) -> Result<()> {
    for home in app.keys.homes() {
        let feed = sealed_feed(&home);
        let Some(held) = app.heads.find(&feed).and_then(|view| view.held) else { continue };
        let stubs = {
            let mut db = app.db.reader().await?;
            let positions = help_requests::list_unsent(&mut db, held.slot, AT_ONCE).await?;
            found_at(app, &mut db, &positions).await?
        };
        for found in stubs.iter().filter(|found| found.row.kind == Kind::HELP_STUB) {
            if let Err(error) = send_one(app, &home, found).await {
                let error = &error as &dyn std::error::Error;
                warn!(error, "a help request waits to be sent to its owner");
            }
        }
    }
    Ok(())
}

async fn send_one(app: &App, home: &PointCode, found: &Found) -> Result<()> {
    let mut stub: v1::HelpStub = found.message()?;
    let Some(parcel) = stub.parcel.take() else { return Ok(()) };
    let owner: PointCode = stub.owner.parse().map_err(Error::from)?;
    let letter = Letter { kind: Some(letter::Kind::HelpParcel(parcel)) };
    app.post
        .send(home.clone(), owner, letter)
        .await
        .map_err(|error| Error::Precondition { reason: "NOT_SENT", message: error.to_string() })?;
    let (feed, id) = (found.feed.clone(), found.row.id);
    let change = Change::new().expect(feed.clone(), id, Some(found.row.sequence)).put(
        feed,
        Kind::HELP_STUB,
        id,
        stub.encode_to_vec(),
    );
    match app.writer.commit(change).await {
        // Somebody else has sent it too: the owner takes one.
        Ok(_) | Err(CommitError::Stale) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Sends on what was for a point that has left the network, to whoever else can open it: the deputy. What
/// nobody can open waits, and says so.
pub async fn readdress(app: &App) -> Result<()> {
    let mut after = (String::new(), RecordId([0; 16]));
    for _ in 0..RUN_MAX / AT_ONCE {
        let returned = {
            let mut db = app.db.reader().await?;
            help_requests::list_returned(&mut db, &after, AT_ONCE).await?
        };
        let Some(last) = returned.last() else { break };
        after = (last.home.clone(), last.id);
        for one in returned {
            if let Err(error) = readdress_one(app, &one).await {
                let error = &error as &dyn std::error::Error;
                warn!(owner = %one.owner, error, "a help request waits for another owner");
            }
        }
    }
    Ok(())
}

async fn readdress_one(app: &App, one: &Returned) -> Result<()> {
    let damaged = || Error::Storage(StoreError::Damaged { what: "returned parcel" });
    let mut parcel = v1::HelpParcel::decode(&one.parcel[..]).map_err(|_| damaged())?;
    let home: PointCode = one.home.parse().map_err(|_| damaged())?;
    let left: PointCode = one.owner.parse().map_err(|_| damaged())?;
    let feed = sealed_feed(&home);
    let found = records::find(app, one.id).await?;
    let found = found.into_iter().find(|found| found.feed == feed);
    let Some(found) = found.filter(|found| found.row.kind == Kind::HELP_STUB) else {
        return forget_returned(app, one).await;
    };
    let mut stub: v1::HelpStub = found.message()?;
    if stub.owner != one.owner || stub.parcel.is_some() {
        return forget_returned(app, one).await;
    }
    let roster = app.keys.roster();
    let readers = parcel.key.iter().flat_map(|key| &key.wraps);
    let mut readers = readers.filter_map(|wrap| wrap.point.parse::<PointCode>().ok());
    let fits = |point: &PointCode| {
        *point != left && !roster.has_left(point) && app.help.keys.can_seal_to(app, point)
    };
    let owner = readers.find(fits).ok_or_else(|| Error::Precondition {
        reason: "OWNER_REVOKED",
        message: format!("{left} has left the network, and so has its deputy"),
    })?;
    let mut request: HelpRequest =
        parcel.request.take().and_then(|request| request.try_into().ok()).ok_or_else(damaged)?;
    let desks = app.help.desks.get(app).await?;
    let hours = (&desks.hours(&left), &desks.hours(&owner));
    request.clocks.on_new_owner(app.outside.now(), hours.0, hours.1);
    request.route.reason = format!(
        "{left} has left the network: its deputy {owner} takes it · {left} 已退出网络，由其副联络点 {owner} 受理; {}",
        request.route.reason
    );
    let change = Change::new().expect(feed.clone(), one.id, Some(found.row.sequence));
    let change = if owner == home {
        let key_id = wire::id(&parcel.key_id, "key_id").map_err(|_| damaged())?;
        let payload = v1::HelpRequest::from(request).encode_to_vec();
        let change = change.put(feed.clone(), Kind::HELP_REQUEST, one.id, payload);
        put_key(app, change, &feed, key_id, &parcel.key.unwrap_or_default()).await?
    } else {
        stub.owner = owner.to_string();
        stub.route = Some(wire::route_message(request.route.clone()));
        parcel.request = Some(request.into());
        stub.parcel = Some(parcel);
        change.put(feed, Kind::HELP_STUB, one.id, stub.encode_to_vec())
    };
    app.writer.commit(change).await?;
    forget_returned(app, one).await
}

async fn forget_returned(app: &App, one: &Returned) -> Result<()> {
    let (app, one) = (app.clone(), one.clone());
    let forgetting = tokio::spawn(async move {
        let mut db = app.db.local().await?;
        help_requests::remove_returned(&mut db, &one.home, one.id).await
    });
    Ok(forgetting.await.map_err(|_| Error::Busy)??)
}

/// Enters what has come into the feeds of its owners. One that cannot be entered keeps no other out.
pub async fn enter(app: &App) -> Result<()> {
    if !app.writer.recovery().is_over() {
        return Ok(());
    }
    let mut after = help_requests::FIRST_ARRIVAL;
    for _ in 0..RUN_MAX / AT_ONCE {
        let arrivals = {
            let mut db = app.db.reader().await?;
            help_requests::list_arrivals(&mut db, after, AT_ONCE).await?
        };
        let Some(last) = arrivals.last() else { break };
        after = (last.arrived_us, last.id);
        for arrival in arrivals {
            match enter_one(app, &arrival).await {
                Ok(()) => remove(app, arrival).await?,
                // Written by somebody who does not keep to the rules: it will not get better.
                Err(Error::Invalid(fields)) => {
                    let reason = fields.first().map_or("", |field| field.reason);
                    warn!(owner = %arrival.owner, reason, "a help request that has come is refused");
                    remove(app, arrival).await?;
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    warn!(error, "a help request that has come waits to be entered");
                }
            }
        }
    }
    Ok(())
}

async fn remove(app: &App, arrival: Arrival) -> Result<()> {
    let app = app.clone();
    let removing = tokio::spawn(async move {
        let mut db = app.db.local().await?;
        help_requests::remove_arrival(&mut db, &arrival.sender, arrival.id).await
    });
    Ok(removing.await.map_err(|_| Error::Busy)??)
}

async fn enter_one(app: &App, arrival: &Arrival) -> Result<()> {
    let damaged = || Error::Storage(StoreError::Damaged { what: "arrival" });
    let parcel = v1::HelpParcel::decode(&arrival.parcel[..]).map_err(|_| damaged())?;
    let owner: PointCode = arrival.owner.parse().map_err(|_| damaged())?;
    let key_id = wire::id(&parcel.key_id, "key_id").map_err(|_| damaged())?;
    let mut request: HelpRequest =
        parcel.request.clone().and_then(|request| request.try_into().ok()).ok_or_else(damaged)?;
    if !app.keys.is_home(&owner) {
        return enter_stub(app, (&owner, arrival.id), &request, parcel).await;
    }
    merge(app, &owner, arrival.id, &mut request).await?;
    let feed = sealed_feed(&owner);
    let known = records::find(app, arrival.id).await?;
    if let Some(known) = known.into_iter().find(|found| found.feed == feed) {
        // It came before; another one that has its id keeps it waiting, and is told of.
        return match is_same(known, &request)? {
            true => Ok(()),
            false => Err(Error::Exists { noun: "record under the id of a help request" }),
        };
    }
    let payload = v1::HelpRequest::from(request).encode_to_vec();
    let change = Change::new().expect(feed.clone(), arrival.id, None).put(
        feed.clone(),
        Kind::HELP_REQUEST,
        arrival.id,
        payload,
    );
    let key = parcel.key.unwrap_or_default();
    let change = put_key(app, change, &feed, key_id, &key).await?;
    Ok(app.writer.commit(change).await.map(drop)?)
}

/// Is a record what a request that has come was entered as, or what is left of that?
fn is_same(known: Found, request: &HelpRequest) -> Result<bool> {
    Ok(match known.row.kind {
        Kind::HELP_REQUEST => Stored::of(known)?.request.reference == request.reference,
        Kind::HELP_STUB => known.message::<v1::HelpStub>()?.reference == request.reference.as_str(),
        _ => false,
    })
}

/// Of what was taken in here while own feeds could not be written, and is for another point.
async fn enter_stub(
    app: &App,
    (owner, id): (&PointCode, RecordId),
    request: &HelpRequest,
    parcel: v1::HelpParcel,
) -> Result<()> {
    let desks = app.help.desks.get(app).await?;
    let feed = sealed_feed(&app.keys.point);
    let payload = stub(&desks, request, owner, parcel).encode_to_vec();
    let change =
        Change::new().expect(feed.clone(), id, None).put(feed, Kind::HELP_STUB, id, payload);
    match app.writer.commit(change).await {
        Ok(_) | Err(CommitError::Stale) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// One key of a client that tried at two nodes makes two references: the later is a double of the
/// first, and both codes are one.
pub async fn merge(
    app: &App,
    owner: &PointCode,
    id: RecordId,
    request: &mut HelpRequest,
) -> Result<()> {
    let Some(lookup) = request.lookup_hash[..].first_chunk::<32>() else { return Ok(()) };
    for found in with_lookup(app, lookup, 0).await? {
        if found.feed != sealed_feed(owner) || found.row.kind != Kind::HELP_REQUEST {
            continue;
        }
        let known = Stored::of(found)?;
        let same = !request.key_hash.is_empty()
            && known.request.key_hash == request.key_hash
            && known.request.mac_hash == request.mac_hash
            && known.request.duplicate_of.is_none();
        if same && known.id() != id {
            let hours = app.help.desks.get(app).await?.hours(owner);
            request.step(HelpMove::MarkDuplicate, app.outside.now(), &hours)?;
            request.duplicate_of = Some(known.request.reference);
            return Ok(());
        }
    }
    Ok(())
}

/// Sends each home's newest sealed records to its deputy.
pub async fn copy(app: &App) -> Result<()> {
    let roster = app.keys.roster();
    for home in app.keys.homes() {
        let Some(deputy) = deputy_of(&roster, &home) else { continue };
        let mut is_behind = true;
        for _ in 0..COPY_LETTERS {
            is_behind = copy_some(app, &home, &deputy).await?;
            if !is_behind {
                break;
            }
        }
        if !is_behind {
            dismiss(app, &home, &deputy).await?;
        }
    }
    Ok(())
}

/// Points that were deputies before are told to delete what they have, once the present one has all.
async fn dismiss(app: &App, home: &PointCode, deputy: &PointCode) -> Result<()> {
    let feed = sealed_feed(home);
    let Some(held) = app.heads.find(&feed).and_then(|view| view.held) else { return Ok(()) };
    let known = {
        let mut db = app.db.reader().await?;
        help_requests::list_deputies(&mut db, home.as_str()).await?
    };
    let (present, before): (Vec<_>, Vec<_>) =
        known.into_iter().partition(|(point, _)| point == deputy.as_str());
    let Some((_, (epoch, sequence))) = present.first().filter(|_| !before.is_empty()) else {
        return Ok(());
    };
    let left = app.db.page(held.slot, Sequence(*sequence as u64), 1, COPIES_BYTES).await?;
    if *epoch != held.epoch.counter as i64 || left.is_some_and(|page| !page.rows.is_empty()) {
        return Ok(());
    }
    for (point, _) in before {
        let before: PointCode = point.parse().map_err(Error::from)?;
        let copies = v1::HelpCopies { home: home.to_string(), over: true, ..Default::default() };
        let letter = Letter { kind: Some(letter::Kind::HelpCopies(copies)) };
        let is_revoked = app.keys.roster().is_revoked(&before);
        let (app, home) = (app.clone(), home.clone());
        // In a task of its own, because it holds a transaction.
        let posting = tokio::spawn(async move {
            let mut tx = app.db.begin().await?;
            if !is_revoked
                && let Err(error) = app.post.write(tx.connection(), &home, &before, &letter).await
            {
                warn!(%home, %before, %error, "a word to a former deputy waits");
                return Ok::<(), Error>(());
            }
            help_requests::remove_deputy(tx.connection(), home.as_str(), before.as_str()).await?;
            tx.commit().await?;
            app.post.written(&home, &before);
            Ok(())
        });
        posting.await.map_err(|_| Error::Busy)??;
    }
    Ok(())
}

/// Keys that another deputy was to open are wrapped for this one. What is committed here comes with a
/// later letter.
async fn rewrap(app: &App, feed: &FeedId, deputy: &PointCode, rows: &[Row]) -> Result<()> {
    let mut change = Change::new().by(Deed::of_node("deputy"));
    for row in rows.iter().filter(|row| row.kind == Kind::HELP_KEY && !row.removed) {
        let damaged = || Error::Storage(StoreError::Damaged { what: "intake key" });
        let record = v1::HelpKey::decode(&row.payload[..]).map_err(|_| damaged())?;
        let points = (&feed.home, deputy);
        if let Some(again) = app.help.keys.rewrap(app, &record, row.id, points)? {
            change = change.expect(feed.clone(), row.id, Some(row.sequence)).put(
                feed.clone(),
                Kind::HELP_KEY,
                row.id,
                again.encode_to_vec(),
            );
        }
    }
    if change.writes.is_empty() {
        return Ok(());
    }
    app.writer.commit(change).await?;
    Ok(())
}

/// The next letter to a deputy; false if there is nothing to send.
async fn copy_some(app: &App, home: &PointCode, deputy: &PointCode) -> Result<bool> {
    let feed = sealed_feed(home);
    let Some(held) = app.heads.find(&feed).and_then(|view| view.held) else { return Ok(false) };
    let epoch = held.epoch.counter as i64;
    let (marked, sequence) = {
        let mut db = app.db.reader().await?;
        help_requests::deputy_mark(&mut db, home.as_str(), deputy.as_str()).await?
    };
    let after = if marked == epoch { Sequence(sequence as u64) } else { Sequence(0) };
    if held.sequence <= after {
        return Ok(false);
    }
    let page = app.db.page(held.slot, after, COPIES, COPIES_BYTES).await?;
    let Some((page, last)) = page.and_then(|page| {
        let last = page.rows.last()?.sequence;
        Some((page, last))
    }) else {
        return Ok(false);
    };
    rewrap(app, &feed, deputy, &page.rows).await?;
    let records = page.rows.iter().map(|row| Copy {
        id: row.id.0.to_vec(),
        kind: row.kind.0,
        sequence: row.sequence.0,
        removed: row.removed,
        payload: if row.removed { Vec::new() } else { row.payload.to_vec() },
    });
    let copies = v1::HelpCopies { home: home.to_string(), records: records.collect(), over: false };
    let letter = Letter { kind: Some(letter::Kind::HelpCopies(copies)) };
    let (app, home, deputy) = (app.clone(), home.clone(), deputy.clone());
    // In a task of its own, because it holds a transaction.
    let posting = tokio::spawn(async move {
        let mut tx = app.db.begin().await?;
        if let Err(error) = app.post.write(tx.connection(), &home, &deputy, &letter).await {
            // The deputy cannot be reached for long, or has no key: it is tried again.
            warn!(%home, %deputy, %error, "sealed copies wait");
            return Ok::<bool, Error>(false);
        }
        let mark = (epoch, last.0 as i64);
        let (of, to) = (home.as_str(), deputy.as_str());
        help_requests::set_deputy_mark(tx.connection(), of, to, mark).await?;
        tx.commit().await?;
        app.post.written(&home, &deputy);
        Ok(true)
    });
    posting.await.map_err(|_| Error::Busy)?
}
