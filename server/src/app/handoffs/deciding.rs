//! What a word of the other side makes of what is stored here. Pure: no storage, no clock, no keys, so
//! that a simulator can run this very code against crashes, loss and reordering.

use yizhan_proto::v1;

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
        handoff::{self, Effect, HandoffState, Holding, Side, Word},
        help_request::HelpRequest,
        help_state::HelpState,
        id::{PointCode, RecordId},
        text::Invalid,
        time::Time,
        working_time::WorkingTime,
    },
    wire::{handoff as wire, help_request::clock_state, value},
};

/// What a word does, said by `sender` to a point that has this of the handoff and of the request.
pub fn hear(
    noted: Option<&Noted>,
    holding: Holding,
    owned: Option<&HelpRequest>,
    sender: &str,
    said: Word,
) -> Result<Effect> {
    let Some(noted) = noted else { return Ok(handoff::hear_at_destination(None, holding, said)) };
    if noted.other()?.as_str() != sender {
        return Err(Invalid::new("handoff", "not_permitted").into());
    }
    let state = noted.state()?;
    Ok(match noted.side() {
        Side::Origin => {
            let is_free = |request: &HelpRequest| {
                request.state.is_open() && request.handoff == Some(noted.id)
            };
            handoff::hear_at_origin(state, said, owned.is_some_and(is_free))
        }
        Side::Destination => handoff::hear_at_destination(Some(state), holding, said),
    })
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
/// The handoff gets the RELEASE to say; what is left of the request is the stub.
pub fn let_go(
    noted: &mut Noted,
    mut request: HelpRequest,
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
    let stub = v1::HelpStub {
        reference: request.reference.to_string(),
        lookup_hash: request.lookup_hash.clone(),
        mac_hash: request.mac_hash.clone(),
        owner: noted.handoff.to.clone(),
        key_hash: request.key_hash.clone(),
        received_time: Some(value::time_message(request.received)),
        owner_number: number,
        ..v1::HelpStub::default()
    };
    said.help_request = Some(request.into());
    noted.handoff.outgoing = Some(said);
    Ok(stub)
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
    request.clocks.on_new_owner(now, before, after);
    request.owner_number = word.owner_number;
    request.handoff = None;
    request.assignee.clear();
    request.escalation = 0;
    request.updated = now;
    request.passed = Some(now);
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
