//! One member, as far as the caller may see it.

use yizhan_proto::v1::{self, get_member_response::Seen as Message};

use crate::{
    app::{
        App, answers,
        error::{Error, Result},
        records::{self, Found},
        sight::Sight,
    },
    domain::{
        audience::{Audience, FeedId},
        id::{PointCode, RecordId},
        kind::Kind,
        policy::Operation,
    },
    identity::caller::Caller,
};

/// What the caller may see of a member.
pub struct Seen {
    pub home: PointCode,
    pub seen: Message,
    pub point: v1::PointState,
}

/// Gets the home record if the caller may read that, else the card, else the public card. What the
/// caller may not see is not found, like an id that nobody has.
pub async fn get(app: &App, caller: &Caller, id: RecordId) -> Result<Seen> {
    let sight = Sight::of(app, caller, Operation::ReadCard, Operation::ReadMember)?;
    let mut found = records::find(app, id).await?;
    found.retain(|found| sight.allows(&found.feed) && rank(found) < NOT_A_MEMBER);
    let best = found.into_iter().min_by_key(rank).ok_or(Error::NotFound { noun: "member" })?;
    let home = best.feed.home.clone();
    let point = answers::point(app, &sight, &home, &[best.feed.audience]);
    let seen = match best.row.kind {
        Kind::MEMBER => Message::Member(home_record(app, &best)?),
        Kind::CARD => Message::Card(best.message()?),
        _ => Message::PublicCard(best.message()?),
    };
    Ok(Seen { home, seen, point })
}

const NOT_A_MEMBER: u8 = 3;

/// The richest first.
fn rank(found: &Found) -> u8 {
    match found.row.kind {
        Kind::MEMBER => 0,
        Kind::CARD => 1,
        Kind::PUBLIC_CARD => 2,
        _ => NOT_A_MEMBER,
    }
}

/// The home record with what only answers carry.
pub(super) fn home_record(app: &App, found: &Found) -> Result<v1::Member> {
    let mut member: v1::Member = found.message()?;
    member.id = found.row.id.to_string();
    member.home = found.feed.home.to_string();
    member.etag = found.etag(app);
    Ok(member)
}

/// The home record of a member whom the caller may do something to. A member whom it can see
/// elsewhere is refused by name of the home; any other is not found.
pub(super) async fn own(
    app: &App,
    caller: &Caller,
    operation: Operation,
    id: RecordId,
) -> Result<Found> {
    caller.may(operation)?;
    let sight = Sight::of(app, caller, Operation::ReadCard, operation)?;
    let mut elsewhere = None;
    for found in records::find(app, id).await? {
        if !sight.allows(&found.feed) {
            continue;
        }
        if found.is(Kind::MEMBER, Audience::Home) {
            return Ok(found);
        }
        if rank(&found) < NOT_A_MEMBER && !app.keys.is_home(&found.feed.home) {
            elsewhere = Some(found.feed.home);
        }
    }
    Err(match elsewhere {
        Some(home) => Error::NotHome { home: home.to_string() },
        None => Error::NotFound { noun: "member" },
    })
}

pub(super) fn home_feed(home: &PointCode) -> FeedId {
    FeedId::new(home.clone(), Audience::Home)
}
