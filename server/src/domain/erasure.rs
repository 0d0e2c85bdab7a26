//! An erasure, from the person's wish to the last receipt.

use super::{
    code::named,
    text::{Invalid, ways_of},
};

named! {
    /// How it was made sure that it is the person who asks.
    Identity, "unknown_identity_check";
    SignedIn = 1 "signed_in",
    InPerson = 2 "in_person",
    DocumentSeen = 3 "document_seen",
    Known = 4 "known",
}

named! {
    /// How far it has come.
    ErasureState, "unknown_erasure_state";
    Requested = 1 "requested",
    IdentityChecked = 2 "identity_checked",
    Previewed = 3 "preview",
    Ordered = 4 "ordered",
    ExecutedHere = 5 "executed_here",
    Receipts = 6 "receipts",
    Complete = 7 "complete",
    CompleteWithExceptions = 8 "complete_with_exceptions",
}

/// What may happen to an erasure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErasureMove {
    CheckIdentity,
    Preview,
    /// By the person, or by two others.
    Order,
    /// After the order is in the ledger, durable, outside the database.
    Execute,
    /// `n` of `m` points have confirmed.
    Confirm {
        receipts: usize,
        points: usize,
        /// Points that cannot be asked any more.
        exceptions: usize,
    },
}

impl ErasureState {
    /// A move that is not listed here is refused, with those that are.
    pub fn after(self, step: ErasureMove) -> Result<ErasureState, Invalid> {
        use {ErasureMove::*, ErasureState::*};
        match (self, step) {
            (Requested, CheckIdentity) => Ok(IdentityChecked),
            (IdentityChecked | Previewed, Preview) => Ok(Previewed),
            (Previewed, Order) => Ok(Ordered),
            // After a restore it is executed again.
            (Ordered | ExecutedHere | Receipts | Complete | CompleteWithExceptions, Execute) => {
                Ok(ExecutedHere)
            }
            (ExecutedHere | Receipts, Confirm { receipts: 0, points, .. }) if points > 0 => {
                Ok(ExecutedHere)
            }
            (ExecutedHere | Receipts, Confirm { receipts, points, .. }) if receipts < points => {
                Ok(Receipts)
            }
            (
                ExecutedHere | Receipts | Complete | CompleteWithExceptions,
                Confirm { exceptions, .. },
            ) => Ok(if exceptions == 0 { Complete } else { CompleteWithExceptions }),
            _ => Err(Invalid::new("state", "move_refused").hint(self.ways())),
        }
    }

    /// Where the state can go from here, for people.
    fn ways(self) -> String {
        use ErasureState::*;
        let next: &[ErasureState] = match self {
            Requested => &[IdentityChecked],
            IdentityChecked => &[Previewed],
            Previewed => &[Previewed, Ordered],
            Ordered => &[ExecutedHere],
            ExecutedHere | Receipts => &[ExecutedHere, Receipts, Complete, CompleteWithExceptions],
            Complete | CompleteWithExceptions => &[ExecutedHere, Complete, CompleteWithExceptions],
        };
        ways_of(self.name(), next.iter().map(|state| state.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_erasure_goes_through_all_its_states() {
        use {ErasureMove::*, ErasureState::*};
        let mut state = Requested;
        for (step, next) in [
            (CheckIdentity, IdentityChecked),
            (Preview, Previewed),
            (Order, Ordered),
            (Execute, ExecutedHere),
            (Confirm { receipts: 0, points: 6, exceptions: 0 }, ExecutedHere),
            (Confirm { receipts: 5, points: 6, exceptions: 1 }, Receipts),
            (Confirm { receipts: 6, points: 6, exceptions: 1 }, CompleteWithExceptions),
            (Confirm { receipts: 6, points: 6, exceptions: 0 }, Complete),
            (Execute, ExecutedHere),
        ] {
            state = state.after(step).unwrap();
            assert_eq!(state, next);
        }
        assert!(Requested.after(Order).is_err(), "nobody is erased unasked");
        assert!(Previewed.after(Execute).is_err());
        assert!(Ordered.after(Confirm { receipts: 1, points: 1, exceptions: 0 }).is_err());
    }
}
