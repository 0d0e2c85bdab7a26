//! Whose messages and files may follow a request to this home.

use super::{
    afar::intake_of,
    deciding::Follower,
    entering::Held,
    stored::{Noted, all},
};
use crate::{
    app::{App, error::Result},
    domain::{
        deputy::deputy_of,
        handoff::{HandoffState, Side},
        help_reference::Reference,
        id::{PointCode, RecordId},
    },
};

/// What a sender has had to do with a request that this home owns or has passed on.
pub(super) async fn followers(
    app: &App,
    home: &PointCode,
    request: RecordId,
    held: &Held,
    sender: &str,
) -> Result<Vec<Follower>> {
    let mut followers = Vec::new();
    let is_of_it = |noted: &&Noted| {
        noted.side() == Side::Destination
            && noted.handoff.from == sender
            && noted.handoff.request == request.0
    };
    for noted in all(app, home).await?.iter().filter(is_of_it) {
        match noted.state()? {
            HandoffState::Released => followers.push(Follower::FormerOwner),
            HandoffState::Accepted => followers.push(Follower::Origin),
            _ => {}
        }
    }
    if is_intake(app, held, sender).await? {
        followers.push(Follower::Intake);
    }
    if deputy_of(&app.keys.roster(), home).is_some_and(|deputy| deputy.as_str() == sender) {
        followers.push(Follower::Deputy);
    }
    Ok(followers)
}

/// A stub does not name the point that took its request in: the reference does.
async fn is_intake(app: &App, held: &Held, sender: &str) -> Result<bool> {
    if let Some(stored) = &held.owned {
        return Ok(stored.request.intake == sender);
    }
    let reference = held.stub.as_ref().map(|stub| Reference::parse(&stub.reference, "reference"));
    let Some(Ok(reference)) = reference else { return Ok(false) };
    Ok(intake_of(app, &reference).await?.is_some_and(|point| point.as_str() == sender))
}
