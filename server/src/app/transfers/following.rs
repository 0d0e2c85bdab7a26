//! Copies follow the member and the consents, in the same commit, as cards in feeds do; and they end
//! with what they rest on in the roster.

use std::collections::BTreeSet;

use yizhan_proto::v1;

use super::{
    gate::way_between,
    stored::{hash, home_feed, live, of_member},
};
use crate::{
    app::{App, error::Result, members, records},
    domain::{
        disclosure::{self, ConsentBasis},
        grant::Grant,
        id::{PointCode, RecordId},
        kind::Kind,
        member::Member,
        transfer::{self, TransferMove},
    },
    feed::change::{Change, CommitError},
};

/// Adds to a change what becomes of the copies of a member. None: the member is no more here.
pub async fn follow(
    app: &App,
    mut change: Change,
    home: &PointCode,
    id: RecordId,
    member: Option<(&Member, &[Grant])>,
) -> Result<Change> {
    let now = app.outside.now();
    for mut noted in of_member(app, home, id).await? {
        if !noted.state()?.is_live() {
            continue;
        }
        let to = noted.to()?;
        let kept = member.filter(|(member, _)| member.state.is_disclosable()).and_then(
            |(member, grants)| {
                let grant = transfer::consent(grants, &to, now)?;
                Some(disclosure::card(member, ConsentBasis::of(&grants[grant])))
            },
        );
        match kept {
            Some(card) if noted.transfer.card_hash == hash(&v1::Card::from(card.clone())) => {
                continue;
            }
            Some(card) => {
                noted.transfer.version += 1;
                noted.step(TransferMove::Change, now)?;
                noted.say_card(card);
            }
            None => noted.say_gone(now)?,
        }
        change = noted.put(change);
    }
    Ok(change)
}

/// Holds all copies that destinations may have against the roster, the consents and the cards, and
/// takes back what rests on nothing any more. An import writes members and consents in bulk: its
/// copies follow here.
pub async fn recheck(app: &App) -> Result<()> {
    let now = app.outside.now();
    for home in app.keys.homes() {
        let mut members = BTreeSet::new();
        for mut noted in live(app, &home).await? {
            members.insert(noted.member()?);
            let to = noted.to()?;
            let way = way_between(app, &home, &to).await?;
            match transfer::way(&app.keys.roster(), &way) {
                Ok(basis) if basis.kind == noted.basis()? => continue,
                // Another basis now: that is what it rests on.
                Ok(basis) => {
                    noted.transfer.basis = basis.kind.number();
                    noted.transfer.reference = basis.reference;
                }
                Err(_) => noted.say_gone(now)?,
            }
            commit(app, noted.put(Change::new())).await?;
        }
        for id in members {
            let feed = home_feed(&home);
            let found = records::find(app, id).await?.into_iter();
            let found = found.filter(|found| found.feed == feed && found.row.kind == Kind::MEMBER);
            let mut change = Change::new();
            let mut member = None;
            for found in found {
                change = change.expect(feed.clone(), id, Some(found.row.sequence));
                let grants = members::in_force(app, &home, id).await?;
                member = Some((found.value::<v1::Member, Member>()?, grants));
            }
            let member = member.as_ref().map(|(member, grants)| (member, &grants[..]));
            let change = follow(app, change, &home, id, member).await?;
            if !change.writes.is_empty() {
                commit(app, change).await?;
            }
        }
    }
    Ok(())
}

async fn commit(app: &App, change: Change) -> Result<()> {
    match app.writer.commit(change).await {
        Ok(_) | Err(CommitError::Stale) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
