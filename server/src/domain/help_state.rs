//! How a help request moves on: the states, the moves, and what a client is told of them.

use super::{code::named, text::Invalid, time::Time};

/// A request that was closed longer ago is not taken up again, in days.
pub const REOPEN_DAYS: i64 = 30;

named! {
    /// Where a request stands.
    HelpState, "unknown_help_state";
    Received = 1 "received",
    Triaged = 2 "triaged",
    Assigned = 3 "assigned",
    InProgress = 4 "in_progress",
    WaitingClient = 5 "waiting_client",
    Resolved = 6 "resolved",
    Closed = 7 "closed",
    Redirected = 8 "redirected",
    Duplicate = 9 "duplicate",
    Withdrawn = 10 "withdrawn",
}

named! {
    /// How pressing it is.
    Urgency, "unknown_urgency";
    Emergency = 1 "emergency",
    Urgent = 2 "urgent",
    Normal = 3 "normal",
    Low = 4 "low",
}

/// What can happen to a request.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum HelpMove {
    Triage,
    Assign,
    /// The desk answers.
    Reply,
    /// The desk asks the client something.
    Wait,
    /// The client writes.
    Answer,
    Resolve,
    Close,
    Redirect,
    MarkDuplicate,
    Withdraw,
    Reopen,
}

impl HelpMove {
    pub const ALL: [HelpMove; 11] = [
        HelpMove::Triage,
        HelpMove::Assign,
        HelpMove::Reply,
        HelpMove::Wait,
        HelpMove::Answer,
        HelpMove::Resolve,
        HelpMove::Close,
        HelpMove::Redirect,
        HelpMove::MarkDuplicate,
        HelpMove::Withdraw,
        HelpMove::Reopen,
    ];

    pub fn name(self) -> &'static str {
        match self {
            HelpMove::Triage => "triage",
            HelpMove::Assign => "assign",
            HelpMove::Reply => "reply",
            HelpMove::Wait => "wait",
            HelpMove::Answer => "answer",
            HelpMove::Resolve => "resolve",
            HelpMove::Close => "close",
            HelpMove::Redirect => "redirect",
            HelpMove::MarkDuplicate => "duplicate",
            HelpMove::Withdraw => "withdraw",
            HelpMove::Reopen => "reopen",
        }
    }
}

impl HelpState {
    /// The only way a request moves on. A move not listed here is refused.
    pub fn after(self, step: HelpMove) -> Option<HelpState> {
        use {HelpMove::*, HelpState::*};
        match (self, step) {
            (Received, Triage) => Some(Triaged),
            (Triaged | Assigned | InProgress | WaitingClient, Triage) => Some(self),
            (Received | Triaged, Assign) => Some(Assigned),
            (Assigned | InProgress | WaitingClient, Assign) => Some(self),
            (Received | Triaged | Assigned | InProgress, Reply) => Some(InProgress),
            (WaitingClient, Reply) => Some(WaitingClient),
            (Received | Triaged | Assigned | InProgress, Wait) => Some(WaitingClient),
            (WaitingClient, Answer) => Some(InProgress),
            (Received | Triaged | Assigned | InProgress, Answer) => Some(self),
            (Assigned | InProgress | WaitingClient, Resolve) => Some(Resolved),
            (Resolved, Close) => Some(Closed),
            (Received | Triaged, Redirect) => Some(Redirected),
            (Received | Triaged | Assigned | InProgress, MarkDuplicate) => Some(Duplicate),
            (Received | Triaged | Assigned | InProgress | WaitingClient, Withdraw) => {
                Some(Withdrawn)
            }
            // Whoever writes again has not been helped.
            (Resolved | Closed, Reopen | Answer) => Some(InProgress),
            _ => None,
        }
    }

    /// The same; a refusal names the moves that are allowed.
    pub fn moved(self, step: HelpMove) -> Result<HelpState, Invalid> {
        self.after(step).ok_or_else(|| {
            let allowed: Vec<&str> = HelpMove::ALL
                .into_iter()
                .filter(|step| self.after(*step).is_some())
                .map(HelpMove::name)
                .collect();
            let allowed = if allowed.is_empty() { "-".to_owned() } else { allowed.join(", ") };
            Invalid::new("state", "move_refused").hint(format_args!(
                "{}: {}; allowed: {allowed}",
                self.name(),
                step.name()
            ))
        })
    }

    pub fn is_open(self) -> bool {
        use HelpState::*;
        matches!(self, Received | Triaged | Assigned | InProgress | WaitingClient)
    }

    /// Code, zh-Hans, zh-Hant, en of what a client is told.
    pub fn label(self) -> (&'static str, [&'static str; 3]) {
        match self {
            HelpState::Received | HelpState::Triaged => {
                ("received", ["已收到", "已收到", "Received"])
            }
            HelpState::Assigned | HelpState::InProgress | HelpState::Duplicate => {
                ("in_progress", ["处理中", "處理中", "In progress"])
            }
            HelpState::WaitingClient => {
                ("waiting_for_you", ["等待您回复", "等待您回覆", "Waiting for you"])
            }
            HelpState::Resolved | HelpState::Closed => ("done", ["已办结", "已辦結", "Done"]),
            HelpState::Withdrawn => ("withdrawn", ["已撤回", "已撤回", "Withdrawn"]),
            HelpState::Redirected => (
                "not_ours",
                ["不属本系统，请看建议", "不屬本系統，請看建議", "Not ours: see advice"],
            ),
        }
    }
}

/// May a request that ended then be taken up again now?
pub fn may_reopen(state: HelpState, closed: Option<Time>, now: Time) -> Result<(), Invalid> {
    const DAY_US: i64 = 24 * 60 * 60 * 1_000_000;
    match (state, closed) {
        (HelpState::Closed, Some(closed)) if now.0 - closed.0 > REOPEN_DAYS * DAY_US => {
            Err(Invalid::new("state", "closed_too_long_ago")
                .hint(format_args!("at most {REOPEN_DAYS} days; submit a new request")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_way_of_the_book_is_open() {
        use {HelpMove::*, HelpState::*};
        let way = [
            (Triage, Triaged),
            (Assign, Assigned),
            (Reply, InProgress),
            (Wait, WaitingClient),
            (Answer, InProgress),
            (Resolve, Resolved),
            (Close, Closed),
            (Reopen, InProgress),
        ];
        let mut state = Received;
        for (step, next) in way {
            state = state.moved(step).unwrap();
            assert_eq!(state, next);
        }
    }

    #[test]
    fn a_refusal_names_what_would_be_allowed() {
        let refused = HelpState::Closed.moved(HelpMove::Resolve).unwrap_err();
        assert_eq!(refused.reason, "move_refused");
        assert_eq!(refused.hint, "closed: resolve; allowed: answer, reopen");
        let refused = HelpState::Withdrawn.moved(HelpMove::Reply).unwrap_err();
        assert_eq!(refused.hint, "withdrawn: reply; allowed: -");
    }

    #[test]
    fn what_has_ended_for_good_stays_so() {
        for state in [HelpState::Redirected, HelpState::Duplicate, HelpState::Withdrawn] {
            assert!(HelpMove::ALL.into_iter().all(|step| state.after(step).is_none()));
        }
        for state in HelpState::ALL {
            assert_eq!(state.after(HelpMove::Withdraw).is_some(), state.is_open());
        }
    }

    #[test]
    fn a_request_is_taken_up_again_within_thirty_days() {
        let day = |n: i64| Time(n * 24 * 60 * 60 * 1_000_000);
        assert!(may_reopen(HelpState::Closed, Some(day(0)), day(30)).is_ok());
        assert!(may_reopen(HelpState::Closed, Some(day(0)), day(31)).is_err());
        assert!(may_reopen(HelpState::Resolved, None, day(90)).is_ok());
    }

    proptest! {
        #[test]
        fn no_walk_waits_for_a_client_who_was_not_asked(steps in prop::collection::vec(0usize..11, 0..60)) {
            let mut state = HelpState::Received;
            let mut asked = false;
            for step in steps {
                let step = HelpMove::ALL[step];
                let Some(next) = state.after(step) else { continue };
                match step {
                    HelpMove::Wait => asked = true,
                    HelpMove::Answer => asked = false,
                    _ => (),
                }
                prop_assert!(next != HelpState::WaitingClient || asked);
                prop_assert!(state.is_open() || next == HelpState::InProgress || next == HelpState::Closed);
                state = next;
            }
        }
    }
}
