//! Handoffs as they are stored, and what people see of them.

use prost::Message;
use yizhan_proto::v1;

use crate::{
    app::{
        App,
        error::{Error, Result},
        help_requests::stored::sealed_feed,
        records::{self, Found},
    },
    domain::{
        analyzer::{Filter, filter},
        audience::FeedId,
        handoff::{self, HandoffMove, HandoffState, Side, Word},
        id::{PointCode, RecordId},
        kind::Kind,
        position::Sequence,
        time::Time,
        working_time::WorkingTime,
    },
    feed::change::Change,
    store::StoreError,
    wire::{
        handoff::{self as wire, IN_WORK},
        help_request::{clock_message, clock_state, clock_value},
        value::time_message,
    },
};

/// One side's record of a handoff.
#[derive(Clone)]
pub struct Noted {
    pub feed: FeedId,
    pub id: RecordId,
    pub at: Option<Sequence>,
    pub handoff: v1::Handoff,
}

impl Noted {
    fn of(found: Found) -> Result<Noted> {
        let handoff = found.message()?;
        let at = Some(found.row.sequence);
        Ok(Noted { id: found.row.id, at, feed: found.feed, handoff })
    }

    pub fn state(&self) -> Result<HandoffState> {
        HandoffState::from_number(self.handoff.state, "state").map_err(|_| damaged())
    }

    pub fn side(&self) -> Side {
        if self.handoff.from == self.feed.home.as_str() { Side::Origin } else { Side::Destination }
    }

    /// The other end.
    pub fn other(&self) -> Result<PointCode> {
        let code = match self.side() {
            Side::Origin => &self.handoff.to,
            Side::Destination => &self.handoff.from,
        };
        code.parse().map_err(|_| damaged())
    }

    pub fn request(&self) -> Result<RecordId> {
        self.handoff.request[..].try_into().map(RecordId).map_err(|_| damaged())
    }

    /// Moves on by the table, with the word that the other side has to hear.
    pub fn step(&mut self, step: HandoffMove, now: Time) -> Result<()> {
        let before = self.state()?;
        let next = handoff::moved(self.side(), before, step)?;
        self.become_state(next, Some(before), now);
        Ok(())
    }

    pub fn become_state(&mut self, next: HandoffState, before: Option<HandoffState>, now: Time) {
        self.handoff.state = next.number();
        self.handoff.decide_time = Some(time_message(now));
        if let Some(word) = handoff::word_for(self.side(), next, before) {
            self.say(word);
        }
        if next == HandoffState::Accepted {
            // What may take long from now on is the request itself.
            self.handoff.delay_told = false;
        }
        if !next.is_open() && self.side() == Side::Destination {
            // Nothing of what was not taken over stays here.
            self.handoff.preview = None;
        }
    }

    /// The promise to answer was not kept.
    pub fn note_breach(&mut self, now: Time) {
        let ack = self.handoff.ack.take().and_then(|ack| clock_value(ack).ok());
        self.handoff.ack = ack.map(|mut ack| {
            ack.note_breach(now);
            clock_state(&ack)
        });
    }

    pub fn say(&mut self, word: Word) {
        self.handoff.outgoing = Some(wire::word(self.id, &self.handoff, word));
    }

    /// Adds this record, as it is now, to a change.
    pub fn put(&self, change: Change) -> Change {
        change.expect(self.feed.clone(), self.id, self.at).put(
            self.feed.clone(),
            Kind::HANDOFF,
            self.id,
            self.handoff.encode_to_vec(),
        )
    }
}

pub fn damaged() -> Error {
    Error::Storage(StoreError::Damaged { what: "handoff" })
}

/// This home's record of a handoff.
pub async fn find(app: &App, home: &PointCode, id: RecordId) -> Result<Option<Noted>> {
    let feed = sealed_feed(home);
    let found = records::find(app, id).await?;
    let found =
        found.into_iter().find(|found| found.feed == feed && found.row.kind == Kind::HANDOFF);
    found.map(Noted::of).transpose()
}

/// The handoff that a client is asked about, if this is one.
pub async fn asked(app: &App, home: &PointCode, id: RecordId) -> Result<Option<v1::Handoff>> {
    let Some(noted) = find(app, home, id).await? else { return Ok(None) };
    Ok((noted.state()? == HandoffState::Asked).then_some(noted.handoff))
}

/// Handoffs of a home that are open, have something to be sent, or keep something until it has come.
pub async fn in_work(app: &App, home: &PointCode) -> Result<Vec<Noted>> {
    listed(app, home, IN_WORK).await
}

pub async fn all(app: &App, home: &PointCode) -> Result<Vec<Noted>> {
    listed(app, home, &Kind::HANDOFF.0.to_string()).await
}

async fn listed(app: &App, home: &PointCode, kind: &str) -> Result<Vec<Noted>> {
    let term = filter(Filter::Kind, kind);
    let found = records::carrying(app, &sealed_feed(home), Kind::HANDOFF, term).await?;
    found.into_iter().map(Noted::of).collect()
}

/// A request has ended: whatever is open of it at its owner is taken back, in the same commit.
pub async fn ended_with(
    app: &App,
    home: &PointCode,
    id: Option<RecordId>,
    change: Change,
) -> Result<Change> {
    let Some(id) = id else { return Ok(change) };
    let Some(mut noted) = find(app, home, id).await? else { return Ok(change) };
    if !noted.state()?.is_open() {
        return Ok(change);
    }
    noted.step(HandoffMove::Recall, app.outside.now())?;
    Ok(noted.put(change))
}

/// A handoff as people see it.
pub fn view(noted: &Noted, hours: &WorkingTime, now: Time) -> v1::HandoffView {
    let handoff = noted.handoff.clone();
    let ack = handoff.ack.and_then(|ack| clock_value(ack).ok());
    v1::HandoffView {
        id: noted.id.to_string(),
        reference: handoff.reference,
        from: handoff.from,
        to: handoff.to,
        state: handoff.state,
        preview: handoff.preview,
        offered_by: handoff.offered_by,
        override_reason: handoff.override_reason,
        consent_time: handoff.consent_time,
        offer_time: handoff.offer_time,
        expire_time: handoff.expire_time,
        reason: handoff.reason,
        suggested_point: handoff.suggested_point,
        decided_by: handoff.decided_by,
        decide_time: handoff.decide_time,
        ack: ack.map(|ack| clock_message(&ack, now, hours)),
    }
}
