//! A member on the way to another home: the state machine of both sides, and the rule of who is home.
//! Pure, so that a harness can run it against every crash, loss and reordering.
//!
//! The person asks or has agreed, the home offers, the other point accepts. Then the home sends a
//! copy, which is kept apart at the destination until it is whole; the home moves when the old one
//! commits CONFIRM, which it does only for exactly what the destination has said it holds. In that
//! commit its records go and the redirect is made. So the member is nowhere lost with a disk, and
//! nobody is home twice: the home is the destination of the newest CONFIRM.

use super::{
    code::named,
    handoff::{Holding, Side},
    text::Invalid,
    time::Time,
};

/// An offer that nobody answered, or a copy that never came to an end, ends by itself after so many
/// days.
pub const OPEN_DAYS: i64 = 14;
const DAY_US: i64 = 24 * 60 * 60 * 1_000_000;

named! {
    /// Where a move stands, at either side.
    MoveState, "unknown_move_state";
    /// The person has asked; the home has not agreed. The destination knows of nothing.
    Requested = 1 "requested",
    Offered = 2 "offered",
    /// The destination will take the member; the copy is on its way.
    Accepted = 3 "accepted",
    /// At the destination: the copy is whole. The old home is home.
    Copied = 4 "copied",
    /// The destination is home.
    Confirmed = 5 "confirmed",
    Declined = 6 "declined",
    Recalled = 7 "recalled",
    Expired = 8 "expired",
}

impl MoveState {
    /// At most one of a member is open.
    pub fn is_open(self) -> bool {
        use MoveState::*;
        matches!(self, Requested | Offered | Accepted | Copied)
    }
}

/// What happens to a move.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum MoveStep {
    /// The home agrees to what the person has asked for.
    Offer,
    /// The destination will take the member.
    Accept,
    /// The destination says why not; so it does if it cannot read what has come.
    Decline,
    /// The copy is whole at the destination.
    Copy,
    /// The old home lets go of exactly that copy.
    Confirm,
    /// The home takes it back; so it does by itself when the member leaves, is erased or no longer
    /// agrees.
    Recall,
    /// Nobody answered in time.
    Expire,
}

impl MoveStep {
    pub const ALL: [MoveStep; 7] = [
        MoveStep::Offer,
        MoveStep::Accept,
        MoveStep::Decline,
        MoveStep::Copy,
        MoveStep::Confirm,
        MoveStep::Recall,
        MoveStep::Expire,
    ];

    pub fn name(self) -> &'static str {
        match self {
            MoveStep::Offer => "offer",
            MoveStep::Accept => "accept",
            MoveStep::Decline => "decline",
            MoveStep::Copy => "copy",
            MoveStep::Confirm => "confirm",
            MoveStep::Recall => "recall",
            MoveStep::Expire => "expire",
        }
    }
}

/// The only way a move goes on.
pub fn after(side: Side, state: MoveState, step: MoveStep) -> Option<MoveState> {
    use {MoveState::*, MoveStep::*, Side::*};
    match (side, state, step) {
        (Origin, Requested, Offer) => Some(Offered),
        (Origin, Offered, Accept) => Some(Accepted),
        (Origin, Offered | Accepted, Decline) => Some(Declined),
        (Origin, Accepted, Confirm) => Some(Confirmed),
        (Origin, Requested | Offered | Accepted, Recall) => Some(Recalled),
        (Origin, Requested | Offered | Accepted, Expire) => Some(Expired),
        (Destination, Offered, Accept) => Some(Accepted),
        (Destination, Offered | Accepted, Decline) => Some(Declined),
        // A newer copy takes the place of an older one.
        (Destination, Accepted | Copied, Copy) => Some(Copied),
        (Destination, Copied, Confirm) => Some(Confirmed),
        (Destination, Offered | Accepted | Copied, Recall) => Some(Recalled),
        _ => None,
    }
}

/// The same; a refusal names the moves that are allowed.
pub fn moved(side: Side, state: MoveState, step: MoveStep) -> Result<MoveState, Invalid> {
    after(side, state, step).ok_or_else(|| {
        let allowed = MoveStep::ALL.into_iter().filter(|step| after(side, state, *step).is_some());
        let allowed: Vec<&str> = allowed.map(MoveStep::name).collect();
        let allowed = if allowed.is_empty() { "-".to_owned() } else { allowed.join(", ") };
        Invalid::new("move", "move_refused").hint(format_args!(
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
    /// What belongs to the person, in this version.
    Copy(u64),
    /// This version is whole at the destination.
    Copied(u64),
    /// The destination is home with this version. The first number is that of the home it makes.
    Confirm(u32, u64),
}

/// What a word of the other side does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// The move is so from now on.
    Becomes(MoveState),
    /// The origin sends what there is now, as the next version.
    CopiesAgain,
    /// The origin lets go: move, redirect and CONFIRM in one commit.
    Confirms,
    /// The destination is home from now on.
    Owns,
    /// The word was heard before, or comes too late; the other side is told again how it stands.
    Answer(Word),
    Nothing,
}

/// What the origin knows when a word comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AtOrigin {
    pub state: MoveState,
    /// The version that was sent last.
    pub version: u64,
    /// Nothing of the person has changed since.
    pub is_unchanged: bool,
    /// The member is here, and this move is its own.
    pub may_go: bool,
}

/// Hears a word at the origin, which has written the move.
pub fn hear_at_origin(at: AtOrigin, word: Word) -> Effect {
    use MoveState::*;
    match (at.state, word) {
        (Offered | Accepted, Word::Accept | Word::Copied(_)) if !at.may_go => {
            Effect::Becomes(Recalled)
        }
        (Offered, Word::Accept) => Effect::Becomes(Accepted),
        (Offered | Accepted, Word::Decline) => Effect::Becomes(Declined),
        (Accepted, Word::Copied(version)) if version != at.version => Effect::Nothing,
        (Accepted, Word::Copied(_)) if at.is_unchanged => Effect::Confirms,
        (Accepted, Word::Copied(_)) => Effect::CopiesAgain,
        // Taken back before the promise or the copy arrived.
        (Recalled | Expired, Word::Accept | Word::Copied(_)) => Effect::Answer(Word::Recall),
        _ => Effect::Nothing,
    }
}

/// Hears a word at the destination, which may not know of the move yet. `whole`: the newest version
/// that is complete here.
pub fn hear_at_destination(
    state: Option<MoveState>,
    holding: Holding,
    whole: Option<u64>,
    word: Word,
) -> Effect {
    use MoveState::*;
    match (state, word) {
        (None, Word::Offer) => Effect::Becomes(Offered),
        // It may come before the offer; then the offer comes too late.
        (None | Some(Offered | Accepted | Copied), Word::Recall) => Effect::Becomes(Recalled),
        (Some(Accepted | Copied), Word::Copy(version)) if whole == Some(version) => {
            Effect::Becomes(Copied)
        }
        // The origin has let go of what is whole here: nobody else has the member. Who is a member here
        // cannot come from elsewhere.
        (Some(Copied), Word::Confirm(number, version))
            if whole == Some(version)
                && !matches!(holding, Holding::Owner(_))
                && holding.after_release(number).is_some() =>
        {
            Effect::Owns
        }
        _ => Effect::Nothing,
    }
}

/// What the other side has to be told for a state that was entered by a step.
pub fn word_for(
    side: Side,
    state: MoveState,
    before: Option<MoveState>,
    version: u64,
) -> Option<Word> {
    use {MoveState::*, Side::*};
    match (side, state) {
        (Origin, Offered) => Some(Word::Offer),
        (Origin, Accepted) => Some(Word::Copy(version)),
        // Who was never offered anything has nothing to be taken back.
        (Origin, Recalled | Expired) if before != Some(Requested) => Some(Word::Recall),
        (Destination, Accepted) => Some(Word::Accept),
        (Destination, Declined) => Some(Word::Decline),
        (Destination, Copied) => Some(Word::Copied(version)),
        _ => None,
    }
}

/// When a move that is open now ends by itself.
pub fn expires(now: Time) -> Time {
    Time(now.0 + OPEN_DAYS * DAY_US)
}

#[cfg(test)]
#[path = "member_move_tests.rs"]
mod tests;
