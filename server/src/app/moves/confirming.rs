//! The two commits that make a new home: the old one lets go of exactly what the destination holds;
//! the destination puts in what it holds, and nothing else.

use prost::Message;
use yizhan_proto::v1::{self, tombstone::Reason};

use super::{
    content::{Arrived, Content},
    departed,
    sending::commit,
    stored::{Noted, damaged, home_feed},
};
use crate::{
    app::{
        App,
        error::Result,
        groups, members, people,
        records::{self, Found},
        transfers,
    },
    domain::{
        audience::{Audience, FeedId},
        audit::Deed,
        disclosure::{self, Disclosed},
        handoff::{Holding, Side},
        id::{GrantId, PointCode, RecordId},
        kind::Kind,
        member::AFFILIATIONS_MAX,
        member_move::{MoveState, Word},
        text::Invalid,
        time::Time,
    },
    feed::change::Change,
};

/// How the audit names both commits.
const DEED: &str = "move_member";

/// The old home lets go: in one commit its records and cards go, what refers to the person there is
/// unlinked, and the move becomes the redirect. Nothing of it may have changed since it was read.
pub async fn confirm(app: &App, mut noted: Noted, held: Holding, content: Content) -> Result<bool> {
    let (_, number) = held.after_own_release().ok_or_else(damaged)?;
    let (home, id, now) = (noted.feed.home.clone(), noted.member()?, app.outside.now());
    noted.moving.home_number = number;
    noted.moving.content_hash = content.hash;
    // What is left says where to, and nothing of who it was.
    noted.moving.note.clear();
    noted.moving.language.clear();
    noted.become_state(MoveState::Confirmed, None, now);
    let version = noted.moving.version;
    noted.say(Word::Confirm(number, version));
    let change = Change::new().by(Deed::of_node(DEED));
    let mut records = vec![content.member];
    records.extend(content.others);
    let to = noted.other()?;
    let change = gone(app, change, (&home, &to), id, &records).await?;
    commit(app, noted.put(change)).await
}

/// Adds to a change that a person's records are here no more: they and the cards go, and what refers to
/// the person is unlinked. Nothing of it may have changed since it was read.
pub async fn gone(
    app: &App,
    change: Change,
    (home, to): (&PointCode, &PointCode),
    id: RecordId,
    records: &[Found],
) -> Result<Change> {
    // The appearances stay counted, by a token that only this point could make; who spoke is the new
    // home's to say.
    let change = people::revise(app, change, home, id, |appearance| {
        appearance.member = None;
        appearance.release = None;
        appearance.display_names = Default::default();
    })
    .await?;
    let change = people::gone_to(app, change, (home, to), id).await?;
    let mut change = transfers::follow(app, change, home, id, None).await?;
    let network = FeedId::new(home.clone(), Audience::Network);
    for found in records {
        let (feed, record) = (found.feed.clone(), found.row.id);
        change = change.expect(feed.clone(), record, Some(found.row.sequence));
        change = change.remove(feed, record, Reason::Moved);
        if found.row.kind == Kind::GROUP_MEMBER {
            change = change.remove(network.clone(), record, Reason::Moved);
        }
    }
    Ok(members::disclose(change, home, id, Disclosed::default(), Reason::Moved))
}

/// The destination is home: everything that the copy holds goes in with one commit, and the cards that
/// the consents allow are this home's from then on.
pub async fn own(
    app: &App,
    mut noted: Noted,
    word: &v1::MoveWord,
    arrived: Arrived,
) -> Result<bool> {
    let (home, id, now) = (noted.feed.home.clone(), arrived.id, app.outside.now());
    departed::forgive(app, noted.id, id, &home).await?;
    if arrived.home_number != word.home_number {
        return Err(Invalid::new("home_number", "not_rising").into());
    }
    let feed = home_feed(&home);
    let from: PointCode = noted.moving.from.parse().map_err(|_| damaged())?;
    let mut member = arrived.member;
    member.state = arrived.state;
    member.home_number = word.home_number;
    member.moved_from = Some(from);
    member.moved_on = day(now);
    member.update_time = now.max(Time(member.update_time.0 + 1));
    // The home is no affiliation.
    member.affiliations.retain(|affiliation| affiliation.point != home);
    member.affiliations.truncate(AFFILIATIONS_MAX);
    let member = member.checked()?;
    // A copy of the card that was sent here before, or an older stay, may lie in the member's place.
    let before = records::find_even_erased(app, id).await?;
    let before = before.into_iter().find(|found| found.feed == feed);
    let mut change = Change::new().by(Deed::of_node(DEED));
    change = change.expect(feed.clone(), id, before.map(|found| found.row.sequence));
    let disclosed = disclosure::member(&member, arrived.grants.iter().map(|(_, grant)| grant), now);
    change = change.put(feed.clone(), Kind::MEMBER, id, v1::Member::from(member).encode_to_vec());
    let held: Vec<GrantId> = arrived.grants.iter().map(|(id, _)| GrantId(id.0)).collect();
    for (grant_id, grant) in arrived.grants {
        let payload = v1::Grant::from(grant).encode_to_vec();
        change = change.put(feed.clone(), Kind::GRANT, grant_id, payload);
    }
    for (place_id, mut place) in arrived.places {
        if place.grant.is_some_and(|grant| !held.contains(&grant)) {
            place.hide();
        }
        change = groups::put(change, &home, place_id, place);
    }
    change = members::disclose(change, &home, id, disclosed, Reason::Moved);
    noted.moving.member = id.to_string();
    noted.moving.home_number = word.home_number;
    noted.become_state(MoveState::Confirmed, None, now);
    noted.moving.outgoing = None;
    debug_assert_eq!(noted.side(), Side::Destination);
    commit(app, noted.put(change)).await
}

/// The day of a moment in UTC.
fn day(now: Time) -> Option<crate::domain::calendar::Date> {
    let now = jiff::Timestamp::from_microsecond(now.0).ok()?;
    Some(now.to_zoned(jiff::tz::TimeZone::UTC).date())
}
