//! What one person may not do alone: who asked, who agreed, and how often it may happen: once.

use super::{
    code::named,
    id::{PointCode, RecordId},
    text::{Invalid, ways_of},
    time::Time,
};

/// How long an approval can be given: 3 days.
pub const OPEN_US: i64 = 3 * 24 * 60 * 60 * 1_000_000;
/// How long what was allowed can be done: a day.
pub const ALLOWED_US: i64 = 24 * 60 * 60 * 1_000_000;

named! {
    /// Where an approval stands.
    ApprovalState, "unknown_approval_state";
    Open = 1 "open",
    Given = 2 "given",
    Done = 3 "done",
    Failed = 4 "failed",
    Expired = 5 "expired",
}

/// What may happen to an approval.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ApprovalMove {
    Give,
    /// What was agreed to has been done.
    Do,
    /// The state of things refused it.
    Fail,
    Expire,
}

impl ApprovalState {
    /// A move that is not listed here is refused, with those that are.
    pub fn after(self, step: ApprovalMove) -> Result<ApprovalState, Invalid> {
        let refused = || Invalid::new("state", "move_refused").hint(self.ways());
        self.moved(step).ok_or_else(refused)
    }

    fn moved(self, step: ApprovalMove) -> Option<ApprovalState> {
        use {ApprovalMove::*, ApprovalState::*};
        match (self, step) {
            (Open, Give) => Some(Given),
            (Given, Do) => Some(Done),
            (Given, Fail) => Some(Failed),
            (Open | Given, Expire) => Some(Expired),
            _ => None,
        }
    }

    /// Where the state can go from here, for people.
    pub fn ways(self) -> String {
        use ApprovalMove::*;
        let ways = [Give, Do, Fail, Expire].map(|step| self.moved(step));
        ways_of(self.name(), ways.into_iter().flatten().map(ApprovalState::name))
    }
}

/// Something that waits, or has waited, for a second person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Approval {
    pub id: RecordId,
    pub operation: String,
    pub subject: String,
    pub task: String,
    pub point: PointCode,
    pub requested_by: String,
    pub requested: Time,
    pub expires: Time,
    pub state: ApprovalState,
    pub decided_by: String,
    pub decided: Option<Time>,
    pub outcome: String,
}

impl Approval {
    /// The state at a moment: what was not given in time can be given no more.
    pub fn state_at(&self, now: Time) -> ApprovalState {
        match self.state {
            ApprovalState::Open if now >= self.expires => ApprovalState::Expired,
            ApprovalState::Given if self.task.is_empty() && !self.is_usable(now) => {
                ApprovalState::Expired
            }
            state => state,
        }
    }

    /// Who asked may do it now, once.
    pub fn is_usable(&self, now: Time) -> bool {
        let until = |given: Time| Time(given.0.saturating_add(ALLOWED_US));
        self.state == ApprovalState::Given && self.decided.is_some_and(|given| now < until(given))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_approval_is_given_once_and_done_once() {
        use {ApprovalMove::*, ApprovalState::*};
        assert_eq!(Open.after(Give), Ok(Given));
        assert_eq!(Given.after(Do), Ok(Done));
        for (state, step) in
            [(Open, Do), (Given, Give), (Done, Do), (Done, Give), (Expired, Give), (Failed, Do)]
        {
            assert_eq!(state.after(step).unwrap_err().reason, "move_refused");
        }
        assert_eq!(Open.after(Do).unwrap_err().hint, "open -> given, expired");
        assert_eq!(Done.after(Give).unwrap_err().hint, "done -> none");
    }
}
