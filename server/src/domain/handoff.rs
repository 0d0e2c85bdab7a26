//! Passing a help request from one point to another: the state machine of both sides, and the rule of
//! ownership. Pure, so that a simulator can run it against every crash, loss and reordering.
//!
//! An offer discloses nothing that names anybody. ACCEPT is the receiver's promise and carries no
//! content. Ownership moves when the origin commits RELEASE: in that commit its record becomes a stub
//! that names the new owner. The owner is the destination of the newest RELEASE.
//!
//! Until the origin knows that a RELEASE has come, it keeps what it let go of, and the new owner does not
//! pass it on: if that point leaves the network meanwhile, the request is the origin's again, and nobody
//! else's. DONE says that nothing is kept any more.

use super::{
    code::named,
    text::{self, Invalid},
    time::Time,
};

/// Longest summary of an offer, in characters.
pub const SUMMARY_MAX: usize = 280;
/// Longest reason, in characters.
pub const REASON_MAX: usize = 500;
/// An offer that nobody answers ends by itself after so many hours, unless the operator says otherwise.
pub const OFFER_HOURS: i64 = 7 * 24;
/// One that is older than this is brought to its origin's mind.
pub const OFFER_OLD_US: i64 = DAY_US;
const DAY_US: i64 = 24 * 60 * 60 * 1_000_000;

named! {
    /// Where a handoff stands, at either side.
    HandoffState, "unknown_handoff_state";
    /// The client has been asked. The destination knows of nothing.
    Asked = 1 "asked",
    Offered = 2 "offered",
    Accepted = 3 "accepted",
    Released = 4 "released",
    Declined = 5 "declined",
    Recalled = 6 "recalled",
    Expired = 7 "expired",
    /// Released to a point that left the network before it came; the origin's again.
    Returned = 8 "returned",
}

impl HandoffState {
    /// At most one of a request is open.
    pub fn is_open(self) -> bool {
        use HandoffState::*;
        matches!(self, Asked | Offered | Accepted)
    }
}

/// Which end of a handoff a point is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    Origin,
    Destination,
}

/// What happens to a handoff.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum HandoffMove {
    /// The client agrees, or somebody answers for passing it on without being asked.
    Consent,
    /// The client does not agree.
    Refuse,
    /// The destination promises to take it.
    Accept,
    /// The destination says why not.
    Decline,
    /// The origin takes the offer back; so it does by itself when the request ends.
    Recall,
    /// Nobody answered in time.
    Expire,
    /// The destination has left the network before what was released had come there.
    Return,
}

impl HandoffMove {
    /// Those that somebody makes. A request comes back by itself.
    pub const ALL: [HandoffMove; 6] = [
        HandoffMove::Consent,
        HandoffMove::Refuse,
        HandoffMove::Accept,
        HandoffMove::Decline,
        HandoffMove::Recall,
        HandoffMove::Expire,
    ];

    pub fn name(self) -> &'static str {
        match self {
            HandoffMove::Consent => "consent",
            HandoffMove::Refuse => "refuse",
            HandoffMove::Accept => "accept",
            HandoffMove::Decline => "decline",
            HandoffMove::Recall => "recall",
            HandoffMove::Expire => "expire",
            HandoffMove::Return => "return",
        }
    }
}

/// The only way a handoff moves on. At the origin an ACCEPT releases in the same commit.
pub fn after(side: Side, state: HandoffState, step: HandoffMove) -> Option<HandoffState> {
    use {HandoffMove::*, HandoffState::*, Side::*};
    match (side, state, step) {
        (Origin, Asked, Consent) => Some(Offered),
        (Origin, Asked | Offered, Refuse | Recall) => Some(Recalled),
        (Origin, Asked | Offered, Expire) => Some(Expired),
        (Origin, Offered, Accept) => Some(Released),
        (Origin, Offered, Decline) => Some(Declined),
        (Origin, Released, Return) => Some(Returned),
        (Destination, Offered, Accept) => Some(Accepted),
        (Destination, Offered, Decline) => Some(Declined),
        _ => None,
    }
}

/// The same; a refusal names the moves that are allowed.
pub fn moved(side: Side, state: HandoffState, step: HandoffMove) -> Result<HandoffState, Invalid> {
    after(side, state, step).ok_or_else(|| {
        let allowed =
            HandoffMove::ALL.into_iter().filter(|step| after(side, state, *step).is_some());
        let allowed: Vec<&str> = allowed.map(HandoffMove::name).collect();
        let allowed = if allowed.is_empty() { "-".to_owned() } else { allowed.join(", ") };
        Invalid::new("handoff", "move_refused").hint(format_args!(
            "{}: {}; allowed: {allowed}",
            state.name(),
            step.name()
        ))
    })
}

/// What one side writes to the other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Word {
    Offer,
    Accept,
    Decline,
    Recall,
    /// Carries the request. Its number is that of the owner it makes.
    Release(u32),
    /// The origin knows that the request has come, and keeps nothing of it.
    Done,
}

/// What a point knows of one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Holding {
    /// Never heard of it, or of its preview alone.
    #[default]
    Nothing,
    /// Owns it. Owners of one request are numbered from 0.
    Owner(u32),
    /// Passed it on to the owner with this number.
    Stub(u32),
}

impl Holding {
    /// The holding after a RELEASE that makes this point the owner of that number. Older ones, and
    /// the same one again, change nothing.
    pub fn after_release(self, number: u32) -> Option<Holding> {
        let known = match self {
            Holding::Nothing => None,
            Holding::Owner(known) | Holding::Stub(known) => Some(known),
        };
        known.is_none_or(|known| known < number).then_some(Holding::Owner(number))
    }

    /// The holding of an owner that releases, and the number of the owner it makes.
    pub fn after_own_release(self) -> Option<(Holding, u32)> {
        match self {
            Holding::Owner(number) => {
                let next = number.checked_add(1)?;
                Some((Holding::Stub(next), next))
            }
            Holding::Nothing | Holding::Stub(_) => None,
        }
    }
}

/// What a word of the other side does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// The handoff is so from now on.
    Becomes(HandoffState),
    /// The origin lets go: handoff, stub and RELEASE in one commit.
    Releases,
    /// The destination owns the request from now on.
    Owns,
    /// The former owner keeps nothing any more: this one may pass the request on.
    Settled,
    /// The word was heard before, or comes too late; the other side is told again how it stands.
    Answer(Word),
    /// Not yet: the word is looked at again.
    Later,
    Nothing,
    /// Nobody who keeps to the rules says it.
    Refused,
}

/// May an origin let go of a request?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MayRelease {
    /// It is open and owned here.
    Yes,
    /// So it is, and its former owner, who may get it back, still keeps it.
    NotYet,
    No,
}

/// Hears a word at the origin, which has written the handoff.
pub fn hear_at_origin(state: HandoffState, word: Word, may_release: MayRelease) -> Effect {
    use HandoffState::*;
    match (state, word, may_release) {
        (Offered, Word::Accept, MayRelease::Yes) => Effect::Releases,
        (Offered, Word::Accept, MayRelease::NotYet) => Effect::Later,
        (Offered, Word::Accept, MayRelease::No) => Effect::Becomes(Recalled),
        (Offered, Word::Decline, _) => Effect::Becomes(Declined),
        // Taken back before the promise arrived.
        (Recalled | Expired, Word::Accept, _) => Effect::Answer(Word::Recall),
        _ => Effect::Nothing,
    }
}

/// Hears a word at the destination, which may not know of the handoff yet. Who owns a request lets nobody
/// make it the owner of another one by the same id: only its own promise, given after an old backup came
/// back, can be answered by a RELEASE of what it holds.
pub fn hear_at_destination(state: Option<HandoffState>, holding: Holding, word: Word) -> Effect {
    use HandoffState::*;
    match (state, word) {
        (None, Word::Offer) => Effect::Becomes(Offered),
        // It may come before the offer; then the offer comes too late.
        (None | Some(Offered | Accepted), Word::Recall) => Effect::Becomes(Recalled),
        // The origin has let go: whatever is noted here, nobody else has the request.
        (_, Word::Release(number)) => match (holding.after_release(number), holding) {
            (Some(_), Holding::Owner(_)) if state != Some(Accepted) => Effect::Refused,
            (Some(_), _) => Effect::Owns,
            (None, _) => Effect::Nothing,
        },
        (Some(Released), Word::Done) if matches!(holding, Holding::Owner(_)) => Effect::Settled,
        // The RELEASE that it follows was not entered yet.
        (Some(Accepted), Word::Done) => Effect::Later,
        _ => Effect::Nothing,
    }
}

/// What the other side has to be told for a state that was entered by a move.
pub fn word_for(side: Side, state: HandoffState, before: Option<HandoffState>) -> Option<Word> {
    use {HandoffState::*, Side::*};
    match (side, state) {
        (Origin, Offered) => Some(Word::Offer),
        // Who was never offered anything has nothing to be taken back.
        (Origin, Recalled | Expired) if before == Some(Offered) => Some(Word::Recall),
        (Destination, Accepted) => Some(Word::Accept),
        (Destination, Declined) => Some(Word::Decline),
        _ => None,
    }
}

/// What the destination may see before it accepts, beside category, region, language and urgency.
pub fn summary(text: &str) -> Result<String, Invalid> {
    let summary = text::required(text::line(text, "summary", SUMMARY_MAX)?, "summary")?;
    // A staff member writes it; what looks like a way to reach somebody does not belong there.
    if looks_personal(&summary) {
        return Err(Invalid::new("summary", "names_somebody"));
    }
    Ok(summary)
}

pub fn reason(text: &str, field: &str) -> Result<String, Invalid> {
    text::required(text::line(text, field, REASON_MAX)?, field)
}

/// When an offer made now ends by itself.
pub fn expires(now: Time, hours: i64) -> Time {
    Time(now.0.saturating_add(hours.saturating_mul(DAY_US / 24)))
}

/// An address, or so many digits that they reach somebody.
fn looks_personal(text: &str) -> bool {
    let mut digits = 0;
    for c in text.chars() {
        match c {
            '@' | '＠' => return true,
            '0'..='9' | '０'..='９' => digits += 1,
            ' ' | '-' | '(' | ')' | '+' | '.' => {}
            _ => digits = 0,
        }
        // Dates have eight digits, telephone numbers more.
        if digits > 8 {
            return true;
        }
    }
    false
}

#[cfg(test)]
#[path = "handoff_tests.rs"]
mod tests;
