//! Creating, changing, ending and erasing members of this home.

use prost::Message;
use yizhan_proto::v1::{self, tombstone::Reason};

use super::{
    consents::in_force,
    disclose,
    likeness::check_new,
    read::{home_feed, home_record, own},
};
use crate::{
    app::{
        App,
        error::Result,
        groups,
        records::{self, Found},
        sight, transfers,
    },
    domain::{
        audit::Deed,
        calendar::Date,
        disclosure,
        id::{PointCode, RecordId},
        kind::Kind,
        member::{Member, MemberMove, MemberState},
        policy::Operation,
        text::Invalid,
        time::Time,
    },
    feed::change::{Change, CommitError},
    identity::caller::Caller,
    wire::value::time_message,
};

/// A member to create.
#[derive(Default)]
pub struct New {
    pub member: v1::Member,
    /// None: the node's own point.
    pub home: Option<PointCode>,
    pub request_id: String,
    /// Members who are alike, and of whom the caller says that they are other persons.
    pub other_than: Vec<RecordId>,
}

/// Creates a member, unless it is one already. Nothing is disclosed: there is no consent yet.
pub async fn create(app: &App, caller: &Caller, new: New) -> Result<v1::Member> {
    let New { member: mut new, home, request_id, other_than } = new;
    caller.may(Operation::CreateMember)?;
    let home = sight::home_for(app, caller, Operation::CreateMember, home)?;
    let id = records::id_of_request(app, &home, Kind::MEMBER, &request_id)?;
    if !request_id.is_empty() && is_made(app, &home, id).await? {
        // Made by the same request before: this is its answer again.
        return stored(app, caller, id).await;
    }
    new.home_number = 0;
    let now = time_message(app.outside.now());
    (new.create_time, new.update_time) = (Some(now), Some(now));
    let member: Member = new.try_into().map_err(|invalid: Invalid| invalid.under("member"))?;
    if !matches!(member.state, MemberState::Applied | MemberState::Active) {
        return Err(Invalid::new("member.state", "move_refused").into());
    }
    check_new(app, &home, &member, &other_than).await?;
    let feed = home_feed(&home);
    let payload = v1::Member::from(member).encode_to_vec();
    let change = Change::new().expect(feed.clone(), id, None).put(feed, Kind::MEMBER, id, payload);
    match app.writer.commit(change.by(caller.deed(Operation::CreateMember))).await {
        // Made by the same request in between.
        Err(CommitError::Stale) if !request_id.is_empty() => (),
        done => drop(done?),
    }
    stored(app, caller, id).await
}

async fn is_made(app: &App, home: &PointCode, id: RecordId) -> Result<bool> {
    let feed = home_feed(home);
    Ok(records::find(app, id).await?.iter().any(|found| found.feed == feed))
}

/// Changes a member. `etag` is that of the version the change was made from; the state moves by its
/// table.
pub async fn update(app: &App, caller: &Caller, mut changed: v1::Member) -> Result<v1::Member> {
    caller.may(Operation::EditMember)?;
    let id = RecordId::parse(&changed.id, "member.id")?;
    if changed.etag.is_empty() {
        return Err(Invalid::new("member.etag", "required").into());
    }
    let found = own(app, caller, Operation::EditMember, id).await?;
    found.check_etag(app, &changed.etag)?;
    let before: Member = found.value::<v1::Member, _>()?;
    changed.create_time = Some(time_message(before.create_time));
    changed.update_time = Some(time_message(app.outside.now()));
    changed.source.clone_from(&before.source);
    changed.home_number = before.home_number;
    let member: Member = changed.try_into().map_err(|invalid: Invalid| invalid.under("member"))?;
    check_move(before.state, member.state)?;
    if let (Some(known), Some(speaker)) = (&before.speaker, &member.speaker) {
        known.state.moved_to(speaker.state).map_err(|invalid| invalid.under("member"))?;
    }
    let works_here = sight::homes(app, caller, Operation::EditMember).contains(&found.feed.home);
    if before.state != member.state && !works_here {
        // Whether somebody is a member is the point's to say; leaving is a step of its own.
        return Err(Invalid::new("member.state", "move_refused").into());
    }
    commit(app, &found, member, caller.deed(Operation::EditMember)).await?;
    stored(app, caller, id).await
}

/// Ends a membership; its cards go in the same commit.
pub async fn leave(
    app: &App,
    caller: &Caller,
    id: RecordId,
    ended_on: Option<Date>,
    etag: &str,
) -> Result<v1::Member> {
    let found = own(app, caller, Operation::EditMember, id).await?;
    found.check_etag(app, etag)?;
    let mut member: Member = found.value::<v1::Member, _>()?;
    member.state = member.state.after(MemberMove::Leave)?;
    let ended_on = ended_on.or_else(|| today(app.outside.now()));
    member.ended_on = ended_on;
    member.update_time = app.outside.now();
    let deed = caller.deed(Operation::EditMember);
    let change = groups::revise(app, Change::new(), &found.feed.home, id, |place| {
        place.give_up(ended_on);
    });
    commit_with(app, change.await?.by(deed), &found, member.checked()?).await?;
    stored(app, caller, id).await
}

/// Stores the member and what follows for its cards, unless it changed meanwhile.
pub(super) async fn commit(app: &App, found: &Found, member: Member, deed: Deed) -> Result<()> {
    let change = change_with(app, Change::new().by(deed), found, member).await?;
    app.writer.commit(change).await?;
    Ok(())
}

/// Stores the member in one commit with what else has changed.
pub(crate) async fn commit_with(
    app: &App,
    change: Change,
    found: &Found,
    member: Member,
) -> Result<()> {
    let change = change_with(app, change, found, member).await?;
    app.writer.commit(change).await?;
    Ok(())
}

/// Adds to a change that the member is so, with what follows for cards and copies, unless it changed
/// meanwhile.
pub(crate) async fn change_with(
    app: &App,
    change: Change,
    found: &Found,
    member: Member,
) -> Result<Change> {
    let (home, id) = (&found.feed.home, found.row.id);
    let grants = in_force(app, home, id).await?;
    let disclosed = disclosure::member(&member, grants.iter(), app.outside.now());
    let change = transfers::follow(app, change, home, id, Some((&member, &grants))).await?;
    let payload = v1::Member::from(member).encode_to_vec();
    // Whoever changes a consent writes the member too, so this also holds the consents still.
    let change = change.expect(found.feed.clone(), id, Some(found.row.sequence)).put(
        found.feed.clone(),
        Kind::MEMBER,
        id,
        payload,
    );
    Ok(disclose(change, home, id, disclosed, Reason::Withdrawn))
}

async fn stored(app: &App, caller: &Caller, id: RecordId) -> Result<v1::Member> {
    let found = own(app, caller, Operation::ReadMember, id).await?;
    home_record(app, &found)
}

/// A change of state must be one move of the table.
fn check_move(from: MemberState, to: MemberState) -> Result<(), Invalid> {
    use MemberMove::*;
    let moves = [Admit, Rest, Resume, Leave];
    let known = from == to || moves.iter().any(|step| from.after(*step) == Ok(to));
    if known {
        return Ok(());
    }
    Err(Invalid::new("member.state", "move_refused").hint(from.ways()))
}

/// The day it is in UTC.
fn today(now: Time) -> Option<Date> {
    let now = jiff::Timestamp::from_microsecond(now.0).ok()?;
    Some(now.to_zoned(jiff::tz::TimeZone::UTC).date())
}
