//! What people do: the member asks, the home offers or takes back, the other point accepts or
//! declines, both look.

use prost::Message;
use yizhan_proto::v1;

use super::stored::{Noted, all, find, home_feed, in_work, member_at, of_member, stays};
use crate::{
    app::{
        App,
        error::{Error, Result},
        holders::own_word,
        members, sight,
        transfers::{refused, way_between},
    },
    domain::{
        handoff::{self, SUMMARY_MAX, Side},
        id::{PointCode, RecordId},
        kind::Kind,
        member::{Member, MemberMove, MemberState},
        member_move::{self, MoveState, MoveStep},
        policy::Operation,
        text::Invalid,
        transfer,
    },
    feed::change::Change,
    identity::caller::Caller,
    wire::value::time_message,
};

/// Moves that are listed.
const LISTED_MAX: usize = 1_000;

/// Who is to move, and where to.
pub struct Wish {
    pub member: RecordId,
    pub to: PointCode,
    pub note: String,
}

fn not_found() -> Error {
    Error::NotFound { noun: "move" }
}

/// The member asks for the own move, or staff offers it to the destination. Both points and the person
/// have to agree: staff offers what the person has asked for, or holds a `transfer.to` for.
pub async fn start(app: &App, caller: &Caller, wish: Wish) -> Result<v1::MoveView> {
    let Wish { member: id, to, note } = wish;
    let found = members::own(app, caller, Operation::MoveMember, id).await?;
    let home = found.feed.home.clone();
    if to == home {
        return Err(Invalid::new("to", "is_itself").into());
    }
    let note = match note.as_str() {
        "" => String::new(),
        text if text.chars().count() > SUMMARY_MAX => {
            return Err(Invalid::new("note", "too_long").into());
        }
        text => {
            handoff::summary(text).map_err(|invalid| Invalid { field: "note".into(), ..invalid })?
        }
    };
    let is_own = caller.is_person(&home, id);
    if is_own {
        own_word(caller)?;
    }
    let now = app.outside.now();
    let open = of_member(app, &home, id).await?;
    let open = open
        .into_iter()
        .find(|noted| noted.side() == Side::Origin && noted.state().is_ok_and(MoveState::is_open));
    let asked = match open {
        Some(noted) if noted.moving.to != to.as_str() => return Err(is_open(&noted)),
        Some(noted) if noted.state()? != MoveState::Requested || is_own => return Ok(noted.view()),
        asked => asked,
    };
    check_way(app, caller, &home, (id, &to), is_own || asked.is_some()).await?;
    let mut member: Member = found.value::<v1::Member, _>()?;
    let before = member.state;
    if !matches!(before, MemberState::Active | MemberState::Resting) {
        return Err(Invalid::new("member.state", "move_refused").hint(before.ways()).into());
    }
    let mut noted = asked.unwrap_or_else(|| Noted {
        feed: home_feed(&home),
        id: app.outside.record_id(),
        at: None,
        moving: v1::MemberMove {
            member: id.to_string(),
            from: home.to_string(),
            to: to.to_string(),
            state: MoveState::Requested.number(),
            language: member.preferred_language.to_string(),
            is_own_wish: is_own,
            request_time: Some(time_message(now)),
            state_time: Some(time_message(now)),
            ..v1::MemberMove::default()
        },
    });
    noted.moving.expire_time = Some(time_message(member_move::expires(now)));
    let mut change = Change::new();
    if !is_own {
        noted.moving.note = note;
        noted.moving.offered_by = name_of(caller);
        noted.moving.member_state = before.number() as u32;
        noted.step(MoveStep::Offer, now)?;
        member.state = before.after(MemberMove::OfferAway)?;
        member.update_time = now;
        change = members::change_with(app, change, &found, member).await?;
    } else {
        change = change.expect(found.feed.clone(), id, Some(found.row.sequence));
    }
    let change = noted.put(change).by(caller.deed(Operation::MoveMember));
    app.writer.commit(change).await?;
    Ok(noted.view())
}

/// Is the destination admitted, has the person agreed, and does a declared basis reach so far?
async fn check_way(
    app: &App,
    caller: &Caller,
    home: &PointCode,
    (id, to): (RecordId, &PointCode),
    has_asked: bool,
) -> Result<()> {
    let grants = members::in_force(app, home, id).await?;
    let way = way_between(app, home, to).await?;
    let roster = app.keys.roster();
    let passed = match has_asked {
        true => transfer::way(&roster, &way).map(|_| ()),
        false => transfer::gate(&roster, &way, &grants, app.outside.now()).map(|_| ()),
    };
    if let Err(refusal) = passed {
        app.audit.refused(caller, Operation::MoveMember, Some(id), refusal.reason()).await?;
        return Err(refused(refusal));
    }
    Ok(())
}

fn is_open(noted: &Noted) -> Error {
    Error::Precondition {
        reason: "MOVE_OPEN",
        message: format!("on the way to {} already: recall that first", noted.moving.to),
    }
}

pub async fn accept(app: &App, caller: &Caller, id: RecordId) -> Result<v1::MoveView> {
    let mut noted = at(app, caller, id, Side::Destination).await?;
    noted.moving.decided_by = name_of(caller);
    decide(app, caller, noted, MoveStep::Accept).await
}

pub async fn decline(
    app: &App,
    caller: &Caller,
    id: RecordId,
    reason: &str,
) -> Result<v1::MoveView> {
    let mut noted = at(app, caller, id, Side::Destination).await?;
    noted.moving.reason = handoff::reason(reason, "reason")?;
    noted.moving.decided_by = name_of(caller);
    decide(app, caller, noted, MoveStep::Decline).await
}

/// The home takes a move back, and so may the person.
pub async fn recall(app: &App, caller: &Caller, id: RecordId) -> Result<v1::MoveView> {
    let noted = at(app, caller, id, Side::Origin).await?;
    decide(app, caller, noted, MoveStep::Recall).await
}

/// Moves of the caller's points, or of the caller, the newest first.
pub async fn list(app: &App, caller: &Caller, ended_too: bool) -> Result<Vec<v1::MoveView>> {
    caller.may(Operation::MoveMember)?;
    let mut views = Vec::new();
    for home in homes(app, caller) {
        let noted = if ended_too { all(app, &home).await? } else { in_work(app, &home).await? };
        for noted in noted {
            if (ended_too || noted.state()?.is_open()) && may_see(app, caller, &noted) {
                views.push(noted.view());
            }
        }
    }
    views.sort_by(|a, b| b.id.cmp(&a.id));
    views.truncate(LISTED_MAX);
    Ok(views)
}

/// Where the caller may know of moves: staff at its points, a member where the own record lies.
fn homes(app: &App, caller: &Caller) -> Vec<PointCode> {
    let mut homes = sight::homes(app, caller, Operation::MoveMember);
    if let Some(own) = caller.point().filter(|_| caller.member().is_some())
        && app.keys.is_home(own)
        && !homes.contains(own)
    {
        homes.push(own.clone());
    }
    homes
}

/// Staff sees the moves of its points; a member the own.
fn may_see(app: &App, caller: &Caller, noted: &Noted) -> bool {
    let home = &noted.feed.home;
    let is_own = noted.member().is_ok_and(|id| caller.is_person(home, id));
    (is_own && noted.side() == Side::Origin)
        || sight::homes(app, caller, Operation::MoveMember).contains(home)
}

/// The caller's record of a move, at this end of it. One that was taken back is not there any more for
/// whoever it was offered to.
async fn at(app: &App, caller: &Caller, id: RecordId, side: Side) -> Result<Noted> {
    caller.may(Operation::MoveMember)?;
    for home in homes(app, caller) {
        let Some(noted) = find(app, &home, id).await? else { continue };
        let gone = matches!(noted.state()?, MoveState::Recalled | MoveState::Expired)
            && side == Side::Destination;
        if noted.side() == side && !gone && may_see(app, caller, &noted) {
            return Ok(noted);
        }
    }
    Err(not_found())
}

async fn decide(
    app: &App,
    caller: &Caller,
    mut noted: Noted,
    step: MoveStep,
) -> Result<v1::MoveView> {
    let now = app.outside.now();
    member_move::moved(noted.side(), noted.state()?, step)?;
    noted.step(step, now)?;
    let change = ended(app, Change::new(), &noted).await?;
    let change = noted.put(change).by(caller.deed(Operation::MoveMember));
    app.writer.commit(change).await?;
    Ok(noted.view())
}

/// A move that has ended without a new home leaves the member as it was before.
pub(super) async fn ended(app: &App, change: Change, noted: &Noted) -> Result<Change> {
    if noted.side() != Side::Origin || noted.state()?.is_open() {
        return Ok(change);
    }
    let Some(found) = member_at(app, &noted.feed.home, noted.member()?).await? else {
        return Ok(change);
    };
    let member: Member = found.value::<v1::Member, _>()?;
    let stays = stays(&noted.moving, member.clone(), app.outside.now())?;
    if stays == member {
        return Ok(change);
    }
    let payload = v1::Member::from(stays).encode_to_vec();
    let (feed, id) = (found.feed, found.row.id);
    Ok(change.expect(feed.clone(), id, Some(found.row.sequence)).put(
        feed,
        Kind::MEMBER,
        id,
        payload,
    ))
}

fn name_of(caller: &Caller) -> String {
    match caller {
        Caller::Account { name, .. } => name.clone(),
        Caller::Anonymous | Caller::Peer { .. } | Caller::Operator { .. } => String::new(),
    }
}
