//! One member, as far as the caller may see it.

use yizhan_proto::v1::{self, get_member_response::Seen as Message};

use crate::{
    app::{
        App, answers,
        error::{Error, Result},
        moves,
        records::{self, Found},
        sight::Sight,
        transfers,
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
    found.retain(|found| {
        let is_shown = rank(found) < NOT_A_MEMBER && found.row.id == id;
        // What a home knows of the copies that it has sent has an id of its own, and no card.
        let is_card = !matches!(transfers::received(found), Ok(None)) || !is_transfer(found);
        is_shown && is_card && sight.allows_record(&found.feed, id)
    });
    let Some(best) = found.into_iter().min_by_key(rank) else {
        if let Some(home) = moved_to(app, &sight, id).await? {
            return Err(Error::NotHome { home: home.to_string() });
        }
        // Of somebody who was erased the audit keeps the order alone.
        let asked = app.erasures.find(id).map_or(id, |erasure| erasure.order);
        app.audit.refused(caller, Operation::ReadMember, Some(asked), "not_found").await?;
        return Err(Error::NotFound { noun: "member" });
    };
    let mut home = best.feed.home.clone();
    let point = answers::point(app, &sight, &home, &[best.feed.audience]);
    looked(app, caller, [(best.feed.audience, best.row.kind, id)]).await?;
    let seen = match best.row.kind {
        Kind::MEMBER => Message::Member(home_record(app, &best)?),
        Kind::CARD => Message::Card(best.message()?),
        Kind::TRANSFER => {
            let received = transfers::received(&best)?;
            let (card, from) = received.ok_or(Error::NotFound { noun: "member" })?;
            home = from;
            Message::Card(card)
        }
        _ => Message::PublicCard(best.message()?),
    };
    Ok(Seen { home, seen, point })
}

/// Notes that the caller is shown these members; what is public is nobody's secret.
pub(super) async fn looked(
    app: &App,
    caller: &Caller,
    shown: impl IntoIterator<Item = (Audience, Kind, RecordId)>,
) -> Result<()> {
    let (mut inner, mut cards) = (Vec::new(), Vec::new());
    for (audience, kind, id) in shown {
        match audience {
            Audience::Public => {}
            Audience::Home if kind != Kind::TRANSFER => inner.push((kind, id)),
            _ => cards.push((kind, id)),
        }
    }
    app.audit.looked(caller, Operation::ReadMember, inner).await?;
    app.audit.looked(caller, Operation::ReadCard, cards).await
}

/// Where a member has gone from one of the caller's own homes: all that those still know.
async fn moved_to(app: &App, sight: &Sight, id: RecordId) -> Result<Option<PointCode>> {
    for home in sight.own.iter().chain(sight.home_of(id)) {
        if let Some((to, _)) = moves::gone_to(app, home, id).await? {
            return Ok(Some(to));
        }
    }
    Ok(None)
}

const NOT_A_MEMBER: u8 = 4;

fn is_transfer(found: &Found) -> bool {
    found.row.kind == Kind::TRANSFER
}

fn rank(found: &Found) -> u8 {
    rank_of(found.row.kind)
}

/// The richest first.
pub(super) fn rank_of(kind: Kind) -> u8 {
    match kind {
        Kind::MEMBER => 0,
        Kind::CARD => 1,
        // A copy for this point alone says no more than a card in a feed, and is not kept as well.
        Kind::TRANSFER => 2,
        Kind::PUBLIC_CARD => 3,
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

/// A member of one of the caller's own homes.
pub(super) enum Own {
    Record(Found),
    /// The record was lost with a disk; these came back from neighbours.
    Cards(Vec<Found>),
}

/// A member whom the caller may do something to. One whom it can see elsewhere is refused by name of
/// the home; any other is not found.
pub(super) async fn find_own(
    app: &App,
    caller: &Caller,
    operation: Operation,
    id: RecordId,
) -> Result<Own> {
    caller.may(operation)?;
    let sight = Sight::of(app, caller, Operation::ReadCard, operation)?;
    let mut elsewhere = None;
    let mut cards = Vec::new();
    for found in records::find(app, id).await? {
        if !sight.allows_record(&found.feed, id) {
            continue;
        }
        if found.is(Kind::MEMBER, Audience::Home) {
            return Ok(Own::Record(found));
        }
        if let Ok(Some((_, home))) = transfers::received(&found) {
            // Whoever has a copy cannot do anything to the member.
            elsewhere = Some(home);
        } else if rank(&found) < NOT_A_MEMBER && !is_transfer(&found) {
            let is_ours = app.keys.is_home(&found.feed.home);
            if sight.is_own(&found.feed.home) || caller.is_person(&found.feed.home, id) {
                cards.push(found);
            } else if !is_ours {
                elsewhere = Some(found.feed.home);
            }
        }
    }
    match elsewhere {
        _ if !cards.is_empty() => Ok(Own::Cards(cards)),
        Some(home) => Err(Error::NotHome { home: home.to_string() }),
        None => match moved_to(app, &sight, id).await? {
            Some(home) => Err(Error::NotHome { home: home.to_string() }),
            None => Err(Error::NotFound { noun: "member" }),
        },
    }
}

/// The same where nothing can be done without the home record.
pub(crate) async fn own(
    app: &App,
    caller: &Caller,
    operation: Operation,
    id: RecordId,
) -> Result<Found> {
    match find_own(app, caller, operation, id).await? {
        Own::Record(found) => Ok(found),
        Own::Cards(_) => Err(Error::Precondition {
            reason: "HOME_RECORD_LOST",
            message: "the home record was lost with a disk and only the card came back from \
                      neighbours: withdraw or erase it, and create the member anew · \
                      本地档案已随磁盘丢失,只有名片从邻点取回:请撤回或删除该名片,并重新登记该成员"
                .to_owned(),
        }),
    }
}

pub(super) fn home_feed(home: &PointCode) -> FeedId {
    FeedId::new(home.clone(), Audience::Home)
}
