//! Defects that tests put in on purpose, to prove that they would be noticed.
//!
//! Without the feature `planted-faults` every question here is a constant `false`, and nothing of this
//! is in the program.

/// What can be broken. Each names the promise that it breaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// What arrived counts as verified whatever it adds up to.
    ApplyBeforeVerify,
    /// A head may go back.
    AcceptRewoundSeal,
    /// A seal counts whoever has signed it.
    SkipRosterCheck,
    /// Feeds are announced and served to whoever asks.
    SkipEntitlement,
    /// Two seals of one number are let pass.
    IgnoreEquivocation,
    /// A card shows what only the home may know.
    DiscloseHomeFields,
    /// A search looks at records that the asker may not know of.
    SearchHidden,
    /// Who was erased is not erased again after a restore.
    SkipErasureReplay,
    /// A consent that was withdrawn still counts as one.
    CountWithdrawn,
    /// A node whose stored state lies behind what was shown writes all the same.
    WriteWhileBehind,
}

#[cfg(not(feature = "planted-faults"))]
pub const fn is(_: Fault) -> bool {
    false
}

#[cfg(feature = "planted-faults")]
pub use current::{is, plant};

#[cfg(feature = "planted-faults")]
mod current {
    use std::cell::Cell;

    use super::Fault;

    thread_local! {
        static PLANTED: Cell<Option<Fault>> = const { Cell::new(None) };
    }

    pub fn is(fault: Fault) -> bool {
        PLANTED.get() == Some(fault)
    }

    /// Plants a defect into whatever this thread runs, or takes it out.
    pub fn plant(fault: Option<Fault>) {
        PLANTED.set(fault);
    }
}
