//! Names beside the cards: of a speaker in an event, of whoever holds a place in a group. They rest on
//! consents too, and follow them in the same commit.

use crate::{
    app::{App, error::Result, groups, people},
    domain::{
        disclosure,
        grant::{Grant, Purpose, Scope},
        id::{GrantId, PointCode, RecordId},
        member::Member,
    },
    feed::change::Change,
};

/// Adds to a change where a member is named from then on. `grants` are all of the member's, as the
/// change leaves them. A place that was not shown is shown only with a consent that is `new`: somebody
/// may be counted in a group without being named there.
pub async fn follow(
    app: &App,
    change: Change,
    home: &PointCode,
    id: RecordId,
    member: &Member,
    grants: &[(GrantId, Grant)],
    new: Option<GrantId>,
) -> Result<Change> {
    let now = app.outside.now();
    let change = people::follow_releases(app, change, home, id, &member.names, grants).await?;
    let is_contact = |grant: &Grant| {
        grant.purpose == Purpose::ContactByPoints
            && grant.scope == Scope::Unlimited
            && disclosure::counts(grant, now)
            && member.state.is_disclosable()
    };
    let fits: Vec<GrantId> =
        grants.iter().filter(|(_, grant)| is_contact(grant)).map(|(id, _)| *id).collect();
    let is_new = new.is_some_and(|new| fits.contains(&new));
    let names = people::display_names(&member.names);
    groups::revise(app, change, home, id, |place| {
        if place.grant.is_none() && !is_new {
            return;
        }
        let held = place.grant.filter(|grant| fits.contains(grant));
        match held.or(new.filter(|_| is_new)).or(fits.first().copied()) {
            Some(grant) => {
                place.grant = Some(grant);
                place.display_names = names.clone();
            }
            None => place.hide(),
        }
    })
    .await
}
