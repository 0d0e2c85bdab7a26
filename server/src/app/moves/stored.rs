//! Moves as they are stored, and what people see of them.

use prost::Message;
use yizhan_proto::v1;

use crate::{
    app::{
        App,
        error::{Error, Result},
        records::{self, Found},
    },
    domain::{
        analyzer::{Filter, filter},
        audience::{Audience, FeedId},
        grant::Grant,
        handoff::{Holding, Side},
        id::{PointCode, RecordId},
        kind::Kind,
        member::{Member, MemberMove, MemberState},
        member_move::{self, MoveState, MoveStep, Word},
        position::Sequence,
        time::Time,
        transfer,
    },
    feed::change::Change,
    store::StoreError,
    wire::{
        member_move::{self as wire, ALL, IN_WORK},
        value::time_message,
    },
};

/// One side's record of a move.
pub struct Noted {
    pub feed: FeedId,
    pub id: RecordId,
    pub at: Option<Sequence>,
    pub moving: v1::MemberMove,
}

impl Noted {
    fn of(found: Found) -> Result<Noted> {
        let moving = found.message()?;
        let at = Some(found.row.sequence);
        Ok(Noted { id: found.row.id, at, feed: found.feed, moving })
    }

    pub fn state(&self) -> Result<MoveState> {
        MoveState::from_number(self.moving.state, "state").map_err(|_| damaged())
    }

    pub fn side(&self) -> Side {
        if self.moving.from == self.feed.home.as_str() { Side::Origin } else { Side::Destination }
    }

    /// The other end.
    pub fn other(&self) -> Result<PointCode> {
        let code = match self.side() {
            Side::Origin => &self.moving.to,
            Side::Destination => &self.moving.from,
        };
        code.parse().map_err(|_| damaged())
    }

    pub fn member(&self) -> Result<RecordId> {
        RecordId::parse(&self.moving.member, "member").map_err(|_| damaged())
    }

    /// Moves on by the table, with the word that the other side has to hear.
    pub fn step(&mut self, step: MoveStep, now: Time) -> Result<()> {
        let before = self.state()?;
        let next = member_move::moved(self.side(), before, step)?;
        self.become_state(next, Some(before), now);
        Ok(())
    }

    pub fn become_state(&mut self, next: MoveState, before: Option<MoveState>, now: Time) {
        self.moving.state = next.number();
        self.moving.state_time = Some(time_message(now));
        if !next.is_open() {
            self.moving.expire_time = None;
        }
        let version = self.moving.version;
        if let Some(word) = member_move::word_for(self.side(), next, before, version) {
            self.say(word);
        }
    }

    pub fn say(&mut self, word: Word) {
        self.moving.outgoing = Some(wire::word(self.id, &self.moving, word));
    }

    /// Adds this record, as it is now, to a change.
    pub fn put(&self, change: Change) -> Change {
        change.expect(self.feed.clone(), self.id, self.at).put(
            self.feed.clone(),
            Kind::MEMBER_MOVE,
            self.id,
            self.moving.encode_to_vec(),
        )
    }

    pub fn view(&self) -> v1::MoveView {
        let moving = self.moving.clone();
        v1::MoveView {
            id: self.id.to_string(),
            member: moving.member,
            from: moving.from,
            to: moving.to,
            state: moving.state,
            note: moving.note,
            language: moving.language,
            is_own_wish: moving.is_own_wish,
            offered_by: moving.offered_by,
            decided_by: moving.decided_by,
            request_time: moving.request_time,
            expire_time: moving.expire_time,
            state_time: moving.state_time,
            reason: moving.reason,
            clear_time: moving.clear_time,
        }
    }
}

pub fn damaged() -> Error {
    Error::Storage(StoreError::Damaged { what: "move" })
}

pub fn home_feed(home: &PointCode) -> FeedId {
    FeedId::new(home.clone(), Audience::Home)
}

/// This home's record of a move.
pub async fn find(app: &App, home: &PointCode, id: RecordId) -> Result<Option<Noted>> {
    let feed = home_feed(home);
    let found = records::find(app, id).await?;
    let found =
        found.into_iter().find(|found| found.feed == feed && found.row.kind == Kind::MEMBER_MOVE);
    found.map(Noted::of).transpose()
}

/// Moves of a home that are open or have something to be done.
pub async fn in_work(app: &App, home: &PointCode) -> Result<Vec<Noted>> {
    carrying(app, home, filter(Filter::Kind, IN_WORK)).await
}

pub async fn all(app: &App, home: &PointCode) -> Result<Vec<Noted>> {
    carrying(app, home, filter(Filter::Kind, ALL)).await
}

/// Moves of a member that a home knows of, the newest first.
pub async fn of_member(app: &App, home: &PointCode, member: RecordId) -> Result<Vec<Noted>> {
    let mut noted = carrying(app, home, filter(Filter::Member, &hex::encode(member.0))).await?;
    noted.sort_by_key(|noted| std::cmp::Reverse(noted.id));
    Ok(noted)
}

async fn carrying(app: &App, home: &PointCode, term: String) -> Result<Vec<Noted>> {
    let found = records::carrying(app, &home_feed(home), Kind::MEMBER_MOVE, term).await?;
    found.into_iter().map(Noted::of).collect()
}

/// The member at a home of ours, if it is there.
pub async fn member_at(app: &App, home: &PointCode, id: RecordId) -> Result<Option<Found>> {
    let feed = home_feed(home);
    let found = records::find(app, id).await?;
    Ok(found.into_iter().find(|found| found.feed == feed && found.row.kind == Kind::MEMBER))
}

/// What a home has of a member: it itself, a redirect, or nothing.
pub async fn holding(app: &App, home: &PointCode, id: RecordId) -> Result<Holding> {
    if let Some(found) = member_at(app, home, id).await? {
        let member: v1::Member = found.message()?;
        return Ok(Holding::Owner(member.home_number));
    }
    let gone = gone_from(app, home, id).await?;
    Ok(gone.map_or(Holding::Nothing, |noted| Holding::Stub(noted.moving.home_number)))
}

/// The move by which a member has left a home, the last one.
async fn gone_from(app: &App, home: &PointCode, id: RecordId) -> Result<Option<Noted>> {
    let noted = of_member(app, home, id).await?.into_iter();
    let left = noted.filter(|noted| {
        noted.side() == Side::Origin && noted.moving.state == MoveState::Confirmed.number()
    });
    Ok(left.max_by_key(|noted| noted.moving.home_number))
}

/// Where a member has gone from a home of ours, and since when all copies of its cards are gone.
pub async fn gone_to(
    app: &App,
    home: &PointCode,
    id: RecordId,
) -> Result<Option<(PointCode, v1::MemberMove)>> {
    if member_at(app, home, id).await?.is_some() {
        // Back again.
        return Ok(None);
    }
    let Some(noted) = gone_from(app, home, id).await? else { return Ok(None) };
    Ok(Some((noted.other()?, noted.moving)))
}

/// The homes that a member of ours had before, as far as this home knows: the moves here.
pub async fn came_from(app: &App, home: &PointCode, id: RecordId) -> Result<Vec<v1::MemberMove>> {
    let noted = of_member(app, home, id).await?.into_iter();
    let came = noted.filter(|noted| {
        noted.side() == Side::Destination && noted.moving.state == MoveState::Confirmed.number()
    });
    Ok(came.map(|noted| noted.moving).collect())
}

/// The member leaves, is erased, or no longer agrees: what is open is taken back in the same commit.
pub async fn ended_with(
    app: &App,
    mut change: Change,
    home: &PointCode,
    id: RecordId,
) -> Result<Change> {
    for mut noted in of_member(app, home, id).await? {
        if noted.side() == Side::Origin && noted.state()?.is_open() {
            noted.step(MoveStep::Recall, app.outside.now())?;
            change = noted.put(change);
        }
    }
    Ok(change)
}

/// A move that rests on a consent ends with it, in the same commit, and the member stays.
pub async fn follow(
    app: &App,
    mut change: Change,
    home: &PointCode,
    id: RecordId,
    mut member: Member,
    grants: &[Grant],
) -> Result<(Change, Member)> {
    if member.state != MemberState::Moving {
        return Ok((change, member));
    }
    let now = app.outside.now();
    for mut noted in of_member(app, home, id).await? {
        let rests_on_it =
            noted.side() == Side::Origin && noted.state()?.is_open() && !noted.moving.is_own_wish;
        if rests_on_it && transfer::consent(grants, &noted.other()?, now).is_none() {
            noted.step(MoveStep::Recall, now)?;
            member = stays(&noted.moving, member, now)?;
            change = noted.put(change);
        }
    }
    Ok((change, member))
}

/// The membership as it was before the member was offered away.
pub fn stays(moving: &v1::MemberMove, mut member: Member, now: Time) -> Result<Member> {
    if member.state == MemberState::Moving {
        member.state = member.state.after(MemberMove::StayHere)?;
        if moving.member_state == MemberState::Resting.number() as u32 {
            member.state = member.state.after(MemberMove::Rest)?;
        }
        member.update_time = now.max(Time(member.update_time.0 + 1));
    }
    Ok(member)
}
