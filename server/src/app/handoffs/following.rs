//! Whose messages and files may follow a request to this home.

use std::collections::{BTreeMap, BTreeSet};

use super::{afar::intakes_of, deciding::Follower, entering::Held, stored::all};
use crate::{
    app::{App, error::Result},
    domain::{
        deputy::deputy_of,
        handoff::{HandoffState, Side},
        help_reference::Reference,
        id::{PointCode, RecordId},
    },
};

/// Who has given requests to a home, or is to: by the request.
type Given = BTreeMap<Vec<u8>, Vec<(String, Follower)>>;

/// What one run has found out, so that it asks once for all that waits.
#[derive(Default)]
pub(super) struct Looked {
    unknown: BTreeSet<(PointCode, RecordId)>,
    given: BTreeMap<PointCode, Given>,
}

impl Looked {
    /// The home knows nothing of the request.
    pub fn unknown(&mut self, home: &PointCode, request: RecordId) {
        self.unknown.insert((home.clone(), request));
    }

    pub fn is_unknown(&self, home: &PointCode, request: RecordId) -> bool {
        self.unknown.contains(&(home.clone(), request))
    }

    /// What a sender has had to do with a request that this home owns or has passed on.
    pub async fn followers(
        &mut self,
        app: &App,
        home: &PointCode,
        request: RecordId,
        held: &Held,
        sender: &str,
    ) -> Result<Vec<Follower>> {
        if !self.given.contains_key(home) {
            self.given.insert(home.clone(), given(app, home).await?);
        }
        let given = self.given.get(home).and_then(|given| given.get(&request.0[..]));
        let given = given.into_iter().flatten().filter(|(from, _)| from == sender);
        let mut followers: Vec<Follower> = given.map(|(_, follower)| *follower).collect();
        if is_intake(app, held, sender).await? {
            followers.push(Follower::Intake);
        }
        if deputy_of(&app.keys.roster(), home).is_some_and(|deputy| deputy.as_str() == sender) {
            followers.push(Follower::Deputy);
        }
        Ok(followers)
    }
}

async fn given(app: &App, home: &PointCode) -> Result<Given> {
    let mut given = Given::new();
    for noted in all(app, home).await?.into_iter().filter(|one| one.side() == Side::Destination) {
        let follower = match noted.state()? {
            HandoffState::Released => Follower::FormerOwner,
            HandoffState::Accepted => Follower::Origin,
            _ => continue,
        };
        given.entry(noted.handoff.request).or_default().push((noted.handoff.from, follower));
    }
    Ok(given)
}

/// A stub does not name the point that took its request in: the reference does.
async fn is_intake(app: &App, held: &Held, sender: &str) -> Result<bool> {
    if let Some(stored) = &held.owned {
        return Ok(stored.request.intake == sender);
    }
    let reference = held.stub.as_ref().map(|stub| Reference::parse(&stub.reference, "reference"));
    let Some(Ok(reference)) = reference else { return Ok(false) };
    Ok(intakes_of(app, &reference).await?.iter().any(|point| point.as_str() == sender))
}
