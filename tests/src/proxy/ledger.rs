//! What went over a line and what its faults did; and which planned faults did nothing.

use std::{collections::BTreeMap, sync::Mutex};

use super::Direction;

/// What can be wrong with a line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fault {
    /// Counted in bytes that arrived late.
    Delay,
    /// Counted in bytes that had to wait for the thin line.
    Throttle,
    /// Counted in waits in front of a stalled line.
    Stall,
    /// Counted in bytes that vanished, and ends of connections that did.
    Swallow,
    /// Counted in connections that were reset.
    Cut,
    /// Counted in connections that were refused.
    Refuse,
}

/// One direction's figures.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Flow {
    /// Bytes handed to the receiving end.
    pub bytes: u64,
    pub delayed_bytes: u64,
    pub throttled_bytes: u64,
    pub stalls: u64,
    pub swallowed: u64,
}

/// A line's figures since it was started.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Counts {
    pub connections: u64,
    pub cut: u64,
    pub refused: u64,
    pub up: Flow,
    pub down: Flow,
}

impl Counts {
    pub fn flow(&self, direction: Direction) -> &Flow {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    /// How often a fault took effect, in the unit that [`Fault`] names.
    pub fn of(&self, direction: Direction, fault: Fault) -> u64 {
        let flow = self.flow(direction);
        match fault {
            Fault::Delay => flow.delayed_bytes,
            Fault::Throttle => flow.throttled_bytes,
            Fault::Stall => flow.stalls,
            Fault::Swallow => flow.swallowed,
            Fault::Cut => self.cut,
            Fault::Refuse => self.refused,
        }
    }

    fn of_mut(&mut self, direction: Direction, fault: Fault) -> &mut u64 {
        let flow = match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        };
        match fault {
            Fault::Delay => &mut flow.delayed_bytes,
            Fault::Throttle => &mut flow.throttled_bytes,
            Fault::Stall => &mut flow.stalls,
            Fault::Swallow => &mut flow.swallowed,
            Fault::Cut => &mut self.cut,
            Fault::Refuse => &mut self.refused,
        }
    }
}

#[derive(Default)]
pub(super) struct Ledger(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    counts: Counts,
    /// Every fault asked for, with its count at that moment.
    planned: BTreeMap<(Direction, Fault), u64>,
}

impl Ledger {
    pub(super) fn counts(&self) -> Counts {
        self.0.lock().expect("BUG: poisoned").counts
    }

    pub(super) fn connected(&self) {
        self.0.lock().expect("BUG: poisoned").counts.connections += 1;
    }

    pub(super) fn arrived(&self, direction: Direction, bytes: u64) {
        let counts = &mut self.0.lock().expect("BUG: poisoned").counts;
        match direction {
            Direction::Up => counts.up.bytes += bytes,
            Direction::Down => counts.down.bytes += bytes,
        }
    }

    pub(super) fn happened(&self, direction: Direction, fault: Fault, times: u64) {
        *self.0.lock().expect("BUG: poisoned").counts.of_mut(direction, fault) += times;
    }

    pub(super) fn plan(&self, direction: Direction, fault: Fault) {
        let entries = &mut *self.0.lock().expect("BUG: poisoned");
        entries.planned.insert((direction, fault), entries.counts.of(direction, fault));
    }

    pub(super) fn inert(&self) -> Vec<(Direction, Fault)> {
        let entries = self.0.lock().expect("BUG: poisoned");
        let unmoved = |&(&(direction, fault), &before): &(&(Direction, Fault), &u64)| {
            entries.counts.of(direction, fault) == before
        };
        entries.planned.iter().filter(unmoved).map(|(&planned, _)| planned).collect()
    }
}
