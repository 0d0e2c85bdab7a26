//! What was released has come, or its destination has left the network before: then the request is its
//! origin's again. So are offers that nobody is left to answer.
//!
//! A RELEASE has come once the destination has settled its parcel, so that it lies in the outbox no more.
//! Until then the stub keeps the request as it was, and messages and files stay where they are.

use prost::Message;
use yizhan_proto::v1;

use super::{
    deciding,
    entering::Held,
    passed,
    stored::{Noted, in_work},
    telling,
};
use crate::{
    app::{App, error::Result, help_requests::retention::note_deleted},
    domain::{
        handoff::{HandoffMove, HandoffState, Side},
        help_request::HelpRequest,
        id::{PointCode, RecordId},
        kind::Kind,
        notice::Fact,
    },
    feed::change::{Change, CommitError},
    parcel::{delivery::POINT_REVOKED, letters::request_subject},
    store::parcels,
    wire::value,
};

/// Settles what has come, and takes back what never will.
pub async fn settle(app: &App) -> Result<()> {
    for home in app.keys.homes() {
        for noted in in_work(app, &home).await? {
            if let Err(error) = settle_one(app, &home, noted).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "a handoff waits to be settled");
            }
        }
    }
    Ok(())
}

async fn settle_one(app: &App, home: &PointCode, mut noted: Noted) -> Result<()> {
    let (state, other, now) = (noted.state()?, noted.other()?, app.outside.now());
    let has_left = app.keys.roster().has_left(&other);
    let change = match (noted.side(), state) {
        (Side::Origin, HandoffState::Released) if noted.handoff.unsettled => {
            return settle_release(app, home, &other, noted).await;
        }
        _ if !has_left => return Ok(()),
        (Side::Origin, HandoffState::Asked | HandoffState::Offered) => {
            telling::desk(app, &noted, Fact::HandoffDecided).await?;
            noted.step(HandoffMove::Recall, now)?;
            noted.handoff.outgoing = None;
            noted.put(Change::new())
        }
        (Side::Destination, HandoffState::Offered | HandoffState::Accepted) => {
            noted.become_state(HandoffState::Recalled, Some(state), now);
            noted.handoff.outgoing = None;
            note_deleted(app).await?;
            noted.put(Change::new())
        }
        // It has nobody to be said to.
        _ if noted.handoff.outgoing.take().is_some() => noted.put(Change::new()),
        _ => return Ok(()),
    };
    commit(app, change).await
}

/// A RELEASE that was not known to have come.
async fn settle_release(
    app: &App,
    home: &PointCode,
    other: &PointCode,
    mut noted: Noted,
) -> Result<()> {
    let id = noted.request()?;
    let Some(became) = became(app, home, other, (&noted, id)).await? else { return Ok(()) };
    let (feed, now) = (noted.feed.clone(), app.outside.now());
    let held = Held::of(app, home, id).await?;
    let change = Change::new().expect(feed.clone(), id, held.at);
    let Some(mut stub) = held.stub.filter(|stub| stub.kept.is_some()) else {
        // It has come back by another handoff since, or is forgotten.
        noted.handoff.unsettled = false;
        return commit(app, noted.put(Change::new())).await;
    };
    let change = match became {
        Became::Settled => {
            deciding::settle(&mut noted, &mut stub);
            change.put(feed, Kind::HELP_STUB, id, stub.encode_to_vec())
        }
        Became::Lost => match deciding::take_back(&mut noted, &stub, now)? {
            Some(request) => {
                passed::take_back(app, id, home, request.owner_number).await?;
                // Told before the commit and named by the handoff: nobody is told twice.
                telling::desk(app, &noted, Fact::HandoffDecided).await?;
                tracing::info!(to = %other, "a request is its origin's again, the point is revoked");
                change.put(feed, Kind::HELP_REQUEST, id, payload(request))
            }
            None => {
                noted.handoff.unsettled = false;
                Change::new()
            }
        },
    };
    commit(app, noted.put(change)).await?;
    // What was kept, or what is left of it, is not to stay in the log.
    note_deleted(app).await?;
    app.help.post.notify_one();
    Ok(())
}

enum Became {
    /// The destination has it.
    Settled,
    /// The destination has left the network, and its parcel was closed.
    Lost,
}

/// None: it is under way.
async fn became(
    app: &App,
    home: &PointCode,
    other: &PointCode,
    (noted, request): (&Noted, RecordId),
) -> Result<Option<Became>> {
    let mut db = app.db.reader().await?;
    let under_way = noted.handoff.outgoing.is_some()
        || parcels::is_outgoing(&mut db, home, other, &request_subject(request)).await?;
    // Asked after whether it is under way: another node on these tables may have heard of the revocation
    // first, and have closed it. What was closed before it was released is another matter.
    let given_up = parcels::given_up(&mut db, home, other, POINT_REVOKED).await?;
    let released = noted.handoff.decide_time.and_then(|at| value::time(at, "decide_time").ok());
    let was_closed =
        !under_way && given_up.is_some_and(|at| released.is_none_or(|then| then <= at));
    if was_closed || app.keys.roster().has_left(other) {
        return Ok(Some(Became::Lost));
    }
    Ok((!under_way).then_some(Became::Settled))
}

fn payload(request: HelpRequest) -> Vec<u8> {
    v1::HelpRequest::from(request).encode_to_vec()
}

/// What others were faster with is looked at again.
async fn commit(app: &App, change: Change) -> Result<()> {
    match app.writer.commit(change).await {
        Ok(_) | Err(CommitError::Stale) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
