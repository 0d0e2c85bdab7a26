//! A member's part in the speaker pool, and public offices.

use super::{calendar::Date, code::named, language::Language, member::Availability, text::Invalid};

pub const TOPICS_MAX: usize = 32;
pub const SEATS_MAX: usize = 16;
/// Highest number of a body's term.
pub const TERM_MAX: u32 = 1_000;

named! {
    /// Where a part in the pool stands.
    SpeakerState, "unknown_speaker_state";
    Prospect = 1 "prospect",
    Active = 2 "active",
    Resting = 3 "resting",
    Retired = 4 "retired",
    Declined = 5 "declined",
}

impl SpeakerState {
    /// The only way a part in the pool moves on: from each state, where it can go.
    pub fn next(self) -> &'static [SpeakerState] {
        use SpeakerState::*;
        match self {
            Prospect => &[Active, Declined],
            Active => &[Resting, Retired],
            Resting => &[Active, Retired],
            Retired | Declined => &[],
        }
    }

    /// A move not listed in `next` is refused, with those that are.
    pub fn moved_to(self, to: SpeakerState) -> Result<SpeakerState, Invalid> {
        if self == to || self.next().contains(&to) {
            return Ok(to);
        }
        let allowed: Vec<&str> = self.next().iter().map(|state| state.name()).collect();
        let allowed = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
        let hint = format!("{} -> {allowed}", self.name());
        Err(Invalid::new("speaker.state", "move_refused").hint(hint))
    }
}

named! {
    /// Where a nomination came from. Numbers are ours; none is on the wire.
    SpeakerSource, "unknown_speaker_source";
    MemberBody = 1 "member_body",
    Outside = 2 "outside",
}

/// A member's part in the speaker pool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Speaker {
    pub state: SpeakerState,
    pub source: SpeakerSource,
    pub topics: Vec<String>,
    pub languages: Vec<Language>,
    pub availability: Option<Availability>,
    pub nominated_on: Option<Date>,
    pub last_contact_on: Option<Date>,
    pub last_visit_on: Option<Date>,
    pub review_due_on: Option<Date>,
}

/// A public office, with the person's consent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seat {
    /// Code of the body: `provincial_congress`.
    pub body: String,
    /// Code of the part in it: `deputy`.
    pub role: String,
    pub term: u32,
    pub from: Option<Date>,
    pub to: Option<Date>,
    pub is_ended: bool,
    pub source: String,
}

impl Seat {
    pub fn checked(self) -> Result<Seat, Invalid> {
        if let (Some(from), Some(to)) = (self.from, self.to)
            && to < from
        {
            return Err(Invalid::new("seats.to", "end_before_start"));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_declined_does_not_come_back_into_the_pool() {
        use SpeakerState::*;
        for to in [Prospect, Active, Resting, Retired] {
            assert!(Declined.moved_to(to).is_err(), "{to:?}");
        }
        let refused = Prospect.moved_to(Resting).unwrap_err();
        assert_eq!(refused.hint, "prospect -> active, declined");
        assert_eq!(Resting.moved_to(Active), Ok(Active));
    }
}
