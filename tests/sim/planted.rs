//! Defects put in on purpose. An oracle that has never failed proves nothing: each of these has to be
//! noticed within a few seeds.

use std::cell::Cell;

use yizhan_server::planted::Fault;

/// Defects of a machine, beside those that the engine itself has hooks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Planted {
    /// Transactions are answered before they are on the disk.
    AcknowledgeBeforeCommit,
    /// A removed record's tombstone is not stored.
    DropTombstone,
    /// A restarted node uses the number of its last seal again.
    ReuseNumber,
    /// A crash loses rows that had arrived, while the copy says they are there.
    LoseArrivedRows,
    /// Marks are not kept, so that an old disk passes for a current one.
    ForgetMarks,
    /// A hook in the engine.
    Engine(Fault),
}

thread_local! {
    static PLANTED: Cell<Option<Planted>> = const { Cell::new(None) };
}

/// Plants a defect into every machine that this thread simulates, or takes it out.
pub fn plant(planted: Option<Planted>) {
    PLANTED.set(planted);
    yizhan_server::planted::plant(match planted {
        Some(Planted::Engine(fault)) => Some(fault),
        _ => None,
    });
}

pub fn is(planted: Planted) -> bool {
    PLANTED.get() == Some(planted)
}
