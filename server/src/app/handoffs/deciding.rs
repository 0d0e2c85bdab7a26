//! What a word of the other side makes of what is stored here. Pure: no storage, no clock, no keys, so
//! that a simulator can run this very code against crashes, loss and reordering.

use subtle::ConstantTimeEq;
use yizhan_proto::v1::{self, sealed_message::Author};

use super::{
    desk::ack_clock,
    stored::{Noted, damaged},
};
use crate::{
    app::{
        error::{Error, Result},
        help_requests::stored::sealed_feed,
    },
    domain::{
        handoff::{self, Effect, HandoffMove, HandoffState, Holding, MayRelease, Side, Word},
        help_request::HelpRequest,
        help_state::HelpState,
        id::{PointCode, RecordId},
        text::Invalid,
        time::Time,
        working_time::WorkingTime,
    },
    wire::{handoff as wire, help_request::clock_state, value},
};

/// What a point has of a request: the request itself, or the stub that it has left.
#[derive(Clone, Copy, Default)]
pub struct Known<'a> {
    pub owned: Option<&'a HelpRequest>,
    pub stub: Option<&'a v1::HelpStub>,
    /// Its former owner keeps it still, and can get it back.
    pub is_kept: bool,
}

impl Known<'_> {
    pub fn holding(&self) -> Holding {
        match (self.owned, self.stub) {
            (Some(request), _) => Holding::Owner(request.owner_number),
            (None, Some(stub)) => Holding::Stub(stub.owner_number),
            (None, None) => Holding::Nothing,
        }
    }

    /// Is it this request that comes? Whoever has not handled it does not know what a stub knows.
    fn is_same(&self, request: &v1::HelpRequest) -> bool {
        let (reference, lookup_hash, mac_hash) = match (self.owned, self.stub) {
            (Some(known), _) => (known.reference.as_str(), &known.lookup_hash, &known.mac_hash),
            (None, Some(known)) => (&known.reference[..], &known.lookup_hash, &known.mac_hash),
            (None, None) => return true,
        };
        let same = lookup_hash[..].ct_eq(&request.lookup_hash[..])
            & mac_hash[..].ct_eq(&request.mac_hash[..]);
        bool::from(same) && reference == request.reference
    }
}

/// What a word does, said by `sender` to a point that has this of the handoff and of the request.
pub fn hear(
    noted: Option<&Noted>,
    known: Known<'_>,
    sender: &str,
    word: &v1::HandoffWord,
) -> Result<Effect> {
    // Of a kind that a newer version has added.
    let Some(said) = wire::said(word) else { return Ok(Effect::Nothing) };
    let Some(noted) = noted else { return hear_at_destination(None, known, said, word) };
    let is_of_it = noted.other()?.as_str() == sender && noted.handoff.request == word.request;
    if !is_of_it {
        return Ok(Effect::Refused);
    }
    let state = noted.state()?;
    match noted.side() {
        Side::Origin => {
            let is_free = |request: &&HelpRequest| {
                request.state.is_open() && request.handoff == Some(noted.id)
            };
            let may_release = match known.owned.filter(is_free) {
                Some(_) if known.is_kept => MayRelease::NotYet,
                Some(_) => MayRelease::Yes,
                None => MayRelease::No,
            };
            Ok(handoff::hear_at_origin(state, said, may_release))
        }
        Side::Destination => hear_at_destination(Some(state), known, said, word),
    }
}

fn hear_at_destination(
    state: Option<HandoffState>,
    known: Known<'_>,
    said: Word,
    word: &v1::HandoffWord,
) -> Result<Effect> {
    let effect = handoff::hear_at_destination(state, known.holding(), said);
    if effect == Effect::Settled && !known.is_kept {
        return Ok(Effect::Nothing);
    }
    if effect == Effect::Owns {
        let request = word.help_request.as_ref();
        let request = request.ok_or_else(|| Invalid::new("help_request", "required"))?;
        if !known.is_same(request) {
            return Ok(Effect::Refused);
        }
    }
    Ok(effect)
}

/// Who has sent a message or a file after a request, as far as this home knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Follower {
    /// Has released the request to this home.
    FormerOwner,
    /// Is to release it: what it sends may have overtaken its RELEASE.
    Origin,
    /// Has taken the request in for this home.
    Intake,
    /// Keeps the sealed copy of this home.
    Deputy,
}

/// May it send this: a message of an author, or a file? None: not yet.
pub fn may_follow(followers: &[Follower], author: Option<Author>) -> Option<bool> {
    use Follower::*;
    if author == Some(Author::Unspecified) {
        return Some(false);
    }
    let may = followers.iter().any(|follower| match follower {
        FormerOwner => true,
        Intake => matches!(author, None | Some(Author::Client)),
        // Two persons have opened the copy, and the client is told.
        Deputy => author == Some(Author::System),
        Origin => false,
    });
    match may {
        true => Some(true),
        false if followers.contains(&Origin) => None,
        false => Some(false),
    }
}

/// A handoff that a home hears of for the first time.
pub fn first_note(home: &PointCode, id: RecordId, sender: &str, word: &v1::HandoffWord) -> Noted {
    Noted {
        feed: sealed_feed(home),
        id,
        at: None,
        handoff: v1::Handoff {
            reference: word.reference.clone(),
            request: word.request.clone(),
            from: sender.to_owned(),
            to: home.to_string(),
            ..v1::Handoff::default()
        },
    }
}

/// The handoff in the state that a word has brought it to.
pub fn become_state(
    noted: &mut Noted,
    state: HandoffState,
    word: &v1::HandoffWord,
    now: Time,
    hours: &WorkingTime,
) -> Result<()> {
    match state {
        HandoffState::Offered => {
            noted.handoff.preview = Some(wire::preview(word.preview.clone())?);
            noted.handoff.offered_by.clone_from(&word.offered_by);
            noted.handoff.expire_time = word.expire_time;
            noted.handoff.offer_time = Some(value::time_message(now));
            let urgency = noted.handoff.preview.as_ref().map_or(0, |preview| preview.urgency);
            noted.handoff.ack = Some(clock_state(&ack_clock(urgency, now, hours)));
            noted.handoff.state = state.number();
        }
        HandoffState::Declined => {
            noted.handoff.reason = handoff::reason(&word.reason, "reason")?;
            let suggested = value::optional_point(&word.suggested_point, "suggested_point")?;
            noted.handoff.suggested_point = value::point_message(suggested);
            noted.handoff.decided_by.clone_from(&word.decided_by);
            noted.become_state(state, None, now);
        }
        _ => noted.become_state(state, Some(HandoffState::Offered), now),
    }
    Ok(())
}

/// The origin lets go. `request` is wrapped for the destination already, under `key` if it has one.
/// The handoff gets the RELEASE to say; what is left of the request is the stub, with what was `kept` of
/// it until it has come.
pub fn let_go(
    noted: &mut Noted,
    (kept, mut request): (HelpRequest, HelpRequest),
    decided_by: &str,
    key: Option<(RecordId, v1::HelpKey)>,
    now: Time,
) -> Result<v1::HelpStub> {
    let holding = Holding::Owner(request.owner_number);
    let (_, number) = holding.after_own_release().ok_or_else(damaged)?;
    noted.handoff.decided_by = decided_by.to_owned();
    noted.become_state(HandoffState::Released, Some(HandoffState::Offered), now);
    let mut said = wire::word(noted.id, &noted.handoff, Word::Release(number));
    if let Some((id, key)) = key {
        said.key_id = id.0.to_vec();
        said.key = Some(key);
    }
    request.owner_number = number;
    request.handoff = None;
    request.kept_by = None;
    said.kept = true;
    noted.handoff.unsettled = true;
    let intake_key = kept.intake_key.map(|id| id.0.to_vec()).unwrap_or_default();
    let kept = HelpRequest { handoff: None, kept_by: None, ..kept };
    let stub = v1::HelpStub {
        reference: request.reference.to_string(),
        lookup_hash: request.lookup_hash.clone(),
        mac_hash: request.mac_hash.clone(),
        owner: noted.handoff.to.clone(),
        key_hash: request.key_hash.clone(),
        received_time: Some(value::time_message(request.received)),
        owner_number: number,
        kept: Some(kept.into()),
        intake_key,
        ..v1::HelpStub::default()
    };
    said.help_request = Some(request.into());
    noted.handoff.outgoing = Some(said);
    Ok(stub)
}

/// What was released has come: the origin keeps nothing of it, and says so.
pub fn settle(noted: &mut Noted, stub: &mut v1::HelpStub) {
    stub.kept = None;
    noted.handoff.unsettled = false;
    noted.say(Word::Done);
}

/// The destination has left the network, and what was released never came there: the request is the
/// origin's again, as it was. None if the stub keeps nothing of this handoff.
pub fn take_back(noted: &mut Noted, stub: &v1::HelpStub, now: Time) -> Result<Option<HelpRequest>> {
    let kept = stub.kept.clone().filter(|_| stub.owner == noted.handoff.to);
    let Some(kept) = kept else { return Ok(None) };
    let mut request = HelpRequest::try_from(kept).map_err(|_| damaged())?;
    request.owner_number = stub.owner_number.checked_add(1).ok_or_else(damaged)?;
    request.updated = now;
    noted.step(HandoffMove::Return, now)?;
    noted.handoff.unsettled = false;
    noted.handoff.outgoing = None;
    Ok(Some(request))
}

/// The destination owns the request from here on. Clocks keep what has passed and go on in this
/// point's hours.
pub fn take_over(
    noted: &mut Noted,
    word: &v1::HandoffWord,
    now: Time,
    (before, after): (&WorkingTime, &WorkingTime),
) -> Result<HelpRequest> {
    let message = word.help_request.clone();
    let message = message.ok_or_else(|| Invalid::new("help_request", "required"))?;
    let mut request = HelpRequest::try_from(message).map_err(Error::from)?;
    // It names the key that comes with it, and none that lies here; each record has an id of its own.
    let key_id = request.intake_key.map(|id| id.0.to_vec()).unwrap_or_default();
    let handoff = &noted.id.0[..];
    let is_apart = key_id != handoff && key_id != word.request && word.request != handoff;
    if key_id != word.key_id || key_id.is_empty() != word.key.is_none() || !is_apart {
        return Err(Invalid::new("key_id", "not_permitted").into());
    }
    request.clocks.on_new_owner(now, before, after);
    request.owner_number = word.owner_number;
    request.handoff = None;
    request.kept_by = match word.kept {
        true => Some(noted.other()?),
        false => None,
    };
    request.assignee.clear();
    request.escalation = 0;
    request.updated = now;
    request.passed = Some(now);
    request.taken_over = Some(now);
    // Whoever handled it elsewhere does not any more; how far it has come stays.
    if request.state == HelpState::Assigned {
        request.state = HelpState::Triaged;
    }
    if noted.handoff.reference.is_empty() {
        noted.handoff.reference = request.reference.to_string();
    }
    noted.handoff.state = HandoffState::Released.number();
    noted.handoff.decide_time = Some(value::time_message(now));
    Ok(request)
}

#[cfg(test)]
#[path = "deciding_tests.rs"]
mod tests;
