//! Who owns the requests that this node has passed on, in the file of those who have left: a backup that
//! is put back makes no second owner.
//!
//! An entry is durable before the RELEASE can leave, and names the newest owner that this node knows of
//! and its number.

use prost::Message;
use tracing::{error, warn};
use yizhan_proto::v1;

use super::{
    deciding::{self, first_note},
    entering::wrapped,
    stored::{Noted, all},
};
use crate::{
    app::{
        App,
        erasures::Erasure,
        error::{Error, Result},
        help_requests::stored::{Stored, sealed_feed},
        records,
    },
    domain::{
        audit::Deed,
        handoff::Side,
        id::{PointCode, RecordId},
        kind::Kind,
    },
    feed::change::{Change, CommitError},
};

/// Notes who owns a request from now on. Returns when that would survive a power cut.
pub(super) async fn remember(
    app: &App,
    request: RecordId,
    owner: &PointCode,
    number: u32,
) -> Result<()> {
    let known = app.departures.find(request);
    if known.is_some_and(|known| number_of(&known) >= number) {
        return Ok(());
    }
    let entry = Erasure {
        order: as_order(number),
        record: request,
        home: owner.clone(),
        ordered: app.outside.now(),
    };
    let ledger = app.departures.clone();
    match tokio::task::spawn_blocking(move || ledger.add(entry)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(failed)) => {
            error!(error = %failed, "the ledger of departures cannot be written: a RELEASE waits");
            Err(Error::StorageFull)
        }
        Err(_) => Err(Error::Busy),
    }
}

/// The same for a request that comes here: only if the ledger says that it had gone.
pub(super) async fn take_back(
    app: &App,
    request: RecordId,
    home: &PointCode,
    number: u32,
) -> Result<()> {
    match app.departures.find(request) {
        Some(_) => remember(app, request, home, number).await,
        None => Ok(()),
    }
}

/// An entry has room for an order where a passed request has the number of its owner.
fn as_order(number: u32) -> RecordId {
    let mut order = [0; 16];
    order[..4].copy_from_slice(&number.to_be_bytes());
    RecordId(order)
}

fn number_of(entry: &Erasure) -> u32 {
    let [a, b, c, d, ..] = entry.order.0;
    u32::from_be_bytes([a, b, c, d])
}

/// Lets go again of every request that was passed on and is back in the tables, as after a restore.
pub async fn replay(app: &App) -> Result<()> {
    for entry in app.departures.all() {
        for found in records::find(app, entry.record).await? {
            let home = found.feed.home.clone();
            let is_own = app.keys.is_home(&home) && found.feed == sealed_feed(&home);
            if !is_own || found.row.kind != Kind::HELP_REQUEST {
                continue;
            }
            let stored = Stored::of(found)?;
            // Two homes of this node were put back together, and agree.
            let agrees = home != entry.home && app.keys.is_home(&entry.home);
            if agrees || stored.request.owner_number >= number_of(&entry) {
                continue;
            }
            let change = match home == entry.home {
                true => own_again(stored, number_of(&entry)),
                false => let_go_again(app, &home, stored, &entry).await?,
            };
            match app.writer.reconcile(change.by(Deed::of_node("pass_again"))).await {
                // Another node on the same database is at it.
                Ok(_) | Err(CommitError::Stale) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// It had come back here after the backup was made: the next owner's number has to be newer than that.
fn own_again(stored: Stored, number: u32) -> Change {
    let (feed, id, at) = (stored.feed().clone(), stored.id(), stored.found.row.sequence);
    let mut request = stored.request;
    request.owner_number = number;
    let payload = v1::HelpRequest::from(request).encode_to_vec();
    Change::new().expect(feed.clone(), id, Some(at)).put(feed, Kind::HELP_REQUEST, id, payload)
}

/// The stub takes the request's place, and the owner is given it once more: the RELEASE may have been
/// lost with the outbox. One who has it hears nothing new.
async fn let_go_again(
    app: &App,
    home: &PointCode,
    stored: Stored,
    entry: &Erasure,
) -> Result<Change> {
    let (feed, id, at) = (stored.feed().clone(), stored.id(), stored.found.row.sequence);
    let owner = &entry.home;
    warn!(%home, %owner, "a help request that was passed on was in the tables: let go again");
    let mut noted = match offered(app, home, id, owner).await? {
        Some(noted) => noted,
        None => note(app, home, &stored, owner),
    };
    let mut request = stored.request;
    request.owner_number = number_of(entry).saturating_sub(1);
    let kept = request.clone();
    let (request, key, is_readable) = match wrapped(app, &feed, id, request.clone(), owner).await {
        Ok((request, key)) => (request, key, true),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            warn!(error, %owner, "it cannot be given to its owner once more");
            (request, None, false)
        }
    };
    let both = (kept, request);
    let stub = deciding::let_go(&mut noted, both, "", key, app.outside.now())?;
    if !is_readable {
        noted.handoff.outgoing = None;
    }
    let change = Change::new().expect(feed.clone(), id, Some(at)).put(
        feed,
        Kind::HELP_STUB,
        id,
        stub.encode_to_vec(),
    );
    Ok(noted.put(change))
}

/// The handoff as it was before the backup.
async fn offered(
    app: &App,
    home: &PointCode,
    request: RecordId,
    to: &PointCode,
) -> Result<Option<Noted>> {
    for noted in all(app, home).await? {
        let is_it = noted.side() == Side::Origin
            && noted.handoff.request == request.0
            && noted.handoff.to == to.as_str()
            && noted.state()?.is_open();
        if is_it {
            return Ok(Some(noted));
        }
    }
    Ok(None)
}

fn note(app: &App, home: &PointCode, stored: &Stored, to: &PointCode) -> Noted {
    let word = v1::HandoffWord {
        reference: stored.request.reference.to_string(),
        request: stored.id().0.to_vec(),
        ..v1::HandoffWord::default()
    };
    let mut noted = first_note(home, app.outside.record_id(), home.as_str(), &word);
    noted.handoff.to = to.to_string();
    noted
}
