//! What must hold, whatever happens: looked at after every step, at every crash, and at the end.
//!
//! The numbers are those of the design's invariants.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use prost::Message;
use yizhan_proto::v1;
use yizhan_server::{
    domain::{
        audience::{Audience, FeedId},
        position::{Row, Sequence},
    },
    feed::{digest::Elements, seal::Seal},
    store::{Copy, CopyState, Slot},
};

use crate::{
    machine::{Machine, Running},
    world::{Outcome, World},
};

/// What a watcher remembers of one run of a node.
#[derive(Default)]
pub struct Watch {
    revision: u64,
    heads: BTreeMap<FeedId, (u64, u64)>,
    /// Copies that have been added up, by the revision they were in.
    audited: BTreeMap<Slot, (u64, Sequence, CopyState)>,
}

impl Watch {
    /// A node was started anew: its views may begin where its disk stands.
    pub fn restarted(&mut self) {
        self.revision = 0;
        self.heads.clear();
        self.audited.clear();
    }

    /// While running: nobody reads a state that its home has not sealed (2), no head goes back (6, 7), a
    /// feed is frozen only where its home has said two things (7), nothing is held without right.
    pub fn look(&mut self, world: &World, machine: &Machine) {
        let Some(Running { heads, keys }) = machine.running() else { return };
        let (changed, revision) = heads.since(self.revision);
        self.revision = revision;
        for (feed, view) in changed {
            let at = &machine.host;
            let honest = !world.inner().dishonest.contains(&feed.home);
            if let Some(held) = view.held.as_ref().filter(|held| held.state.is_readable()) {
                // What it lost the right to it has a moment to clear away; `unsettled` sees that it did.
                let entitled = feed.home == machine.point
                    || keys.may_hold(&feed)
                    || world.is_entitled(&machine.point, &feed);
                if !entitled {
                    world.violated(format!("audience: {at} holds {feed}"));
                }
                match &held.seal {
                    Some(seal) if world.is_sealed(seal) => {}
                    seal => world.violated(format!("invariant 2: {at} shows {feed} at {seal:?}")),
                }
            }
            if let Some(head) = &view.head {
                let statement = head.statement();
                let now = (statement.epoch.counter, statement.number);
                let before = self.heads.insert(feed.clone(), now);
                if before.is_some_and(|before| before > now) {
                    world.violated(format!("invariant 6: {at} goes back to {head:?}"));
                }
                if honest && !world.is_sealed(head) {
                    world.violated(format!("invariant 7: {at} believes {head:?}"));
                }
            }
            if view.contradicted.is_some() && honest {
                world.violated(format!("invariant 7: {at} has frozen {feed} of an honest home"));
            }
        }
    }

    /// What lies on the disk: the sum that a copy states is the sum over its rows, and what counts as a
    /// state of its home is one (2).
    pub fn audit(&mut self, world: &World, machine: &Machine) {
        machine.look(|disk| {
            for copy in disk.copies.values() {
                let now = (copy.number, copy.sequence, copy.state);
                let unfinished = matches!(copy.state, CopyState::CatchingUp | CopyState::Filling);
                if copy.state == CopyState::Retired
                    || (!unfinished && self.audited.insert(copy.slot, now) == Some(now))
                {
                    continue;
                }
                let rows = disk.records.after(copy.slot, Sequence(0));
                if let Some(wrong) = wrong_with(world, copy, rows) {
                    let (at, feed) = (&machine.host, &copy.feed);
                    world.violated(format!("invariant 2: {at} {feed} ({:?}): {wrong}", copy.state));
                }
            }
        });
    }
}

fn wrong_with<'a>(
    world: &World,
    copy: &Copy,
    rows: impl Iterator<Item = &'a Row>,
) -> Option<String> {
    let mut live = 0;
    let sum = Elements::of(&copy.feed).sum(rows.inspect(|row| live += u64::from(!row.removed)));
    if sum.to_bytes() != copy.sum {
        return Some("the stored sum is not that of the rows".into());
    }
    if live != copy.live {
        return Some(format!("{live} live rows, {} stated", copy.live));
    }
    if matches!(copy.state, CopyState::Filling | CopyState::CatchingUp) || copy.number == 0 {
        return None;
    }
    let Ok(seal) = Seal::decode(&copy.seal) else { return Some("no seal".into()) };
    let statement = seal.statement();
    if sum.digest() != statement.digest || live != statement.live {
        return Some(format!("rows are not those of {seal:?}"));
    }
    if statement.number != copy.number || statement.sequence != copy.sequence {
        return Some(format!("stands at {} {:?}, not at {seal:?}", copy.number, copy.sequence));
    }
    (!world.is_sealed(&seal)).then(|| format!("{seal:?} was never sealed by its home"))
}

/// Machines that a feed can reach: along links between machines that may hold it.
fn holders(
    world: &World,
    machines: &[Arc<Machine>],
    home: usize,
    feed: &FeedId,
) -> BTreeSet<usize> {
    let inner = world.inner();
    let entitled = |machine: &Machine| {
        feed.audience == Audience::Roster || inner.roster.may_node_hold(&machine.point, feed)
    };
    let mut reached = BTreeSet::from([home]);
    loop {
        let before = reached.len();
        for machine in machines {
            for (other, ..) in &machine.dials {
                let ends = [machine.index, *other];
                if ends.iter().any(|end| reached.contains(end)) {
                    reached.extend(ends.iter().filter(|end| entitled(&machines[**end])));
                }
            }
        }
        if reached.len() == before {
            return reached;
        }
    }
}

/// A proof against a feed's home that a machine has and one of its neighbours has not, though it holds
/// the feed (7).
fn untold(world: &World, machines: &[Arc<Machine>]) -> Option<String> {
    let inner = world.inner();
    let is_honest = |machine: &Machine| !inner.dishonest.contains(&machine.point);
    let links = machines.iter().flat_map(|machine| {
        let dials = machine.dials.iter().map(|(other, ..)| (machine.index, *other));
        dials.flat_map(|(a, b)| [(a, b), (b, a)])
    });
    for (knows, neighbour) in links.map(|(a, b)| (&machines[a], &machines[b])) {
        if !is_honest(knows) || !is_honest(neighbour) {
            continue;
        }
        let is_whole =
            |proof: &[u8]| v1::Equivocation::decode(proof).is_ok_and(|proof| proof.other.is_some());
        let proofs: Vec<(FeedId, u64)> = knows.look(|disk| {
            let whole = disk.equivocations.iter().filter(|(_, found)| is_whole(&found.proof));
            whole.map(|(name, _)| name.clone()).collect()
        });
        for (feed, counter) in proofs {
            let entitled = feed.audience == Audience::Roster
                || inner.roster.may_node_hold(&neighbour.point, &feed);
            let contradicted =
                neighbour.running().and_then(|running| running.heads.find(&feed)?.contradicted);
            let holds = neighbour.look(|disk| {
                let held = |copy: &Copy| copy.feed == feed && copy.state != CopyState::Retired;
                disk.copies.values().any(held)
            });
            if entitled && holds && contradicted < Some(counter) {
                let (knows, neighbour) = (&knows.host, &neighbour.host);
                return Some(format!(
                    "{knows} has a proof against {feed} in epoch {counter}, {neighbour} has not"
                ));
            }
        }
    }
    None
}

/// The first thing in which the network has not come to rest, if any (convergence; lag; proofs).
pub fn unsettled(world: &World, machines: &[Arc<Machine>]) -> Option<String> {
    if let Some(untold) = untold(world, machines) {
        return Some(untold);
    }
    for machine in machines.iter().filter(|m| !world.inner().dishonest.contains(&m.point)) {
        let inner = world.inner();
        let withheld = |feed: &FeedId| {
            feed.home != machine.point
                && feed.audience != Audience::Roster
                && !inner.roster.may_node_hold(&machine.point, feed)
        };
        let kept =
            machine.look(|disk| disk.copies.values().find(|copy| withheld(&copy.feed)).cloned());
        if let Some(copy) = kept {
            return Some(format!("{} still stores {}", machine.host, copy.feed));
        }
    }
    for home in machines {
        if world.inner().dishonest.contains(&home.point) {
            continue;
        }
        let own: Vec<(FeedId, u64, Vec<u8>)> = home.look(|disk| {
            let own = disk.copies.values().filter(|copy| copy.state == CopyState::Own);
            own.map(|copy| (copy.feed.clone(), copy.number, copy.seal.clone())).collect()
        });
        // A feed whose only seals went with the lost disk has nobody to come back from.
        let tail = world.inner().lost_tail.iter().any(|tail| tail.home == home.point);
        if own.is_empty() && !tail {
            return Some(format!("{} has no own feed", home.host));
        }
        for (feed, number, seal) in own {
            if !feed.audience.is_shared() {
                continue;
            }
            for holder in holders(world, machines, home.index, &feed) {
                let machine = &machines[holder];
                let found = machine.look(|disk| {
                    let of_feed = disk.copies.values().filter(|copy| copy.feed == feed);
                    of_feed.map(|copy| (copy.state, copy.number, copy.seal == seal)).collect()
                });
                let found: Vec<(CopyState, u64, bool)> = found;
                let settled = match found[..] {
                    [(state, at, same)] => {
                        matches!(state, CopyState::Own | CopyState::Current) && at == number && same
                    }
                    _ => false,
                };
                let seen = machine.running().and_then(|running| running.heads.find(&feed)?.held);
                if !settled || seen.is_none_or(|held| !held.state.is_readable()) {
                    return Some(format!("{} holds {feed}#{number} as {found:?}", machine.host));
                }
            }
        }
    }
    None
}

/// At the end: nothing lies where it may not (audiences), and every acknowledged change is there or was
/// superseded (3). Equality of the copies with their homes makes that hold for all of them.
pub fn finish(world: &World, machines: &[Arc<Machine>]) {
    for machine in machines {
        machine.look(|disk| {
            for copy in disk.copies.values() {
                let feed = &copy.feed;
                let own = feed.home == machine.point;
                let entitled = own
                    || feed.audience == Audience::Roster
                    || (feed.audience.is_shared()
                        && world.inner().roster.may_node_hold(&machine.point, feed));
                if !entitled {
                    world.violated(format!("audience: {} stores {feed}", machine.host));
                }
            }
        });
    }
    let inner = world.inner();
    let mut lost = Vec::new();
    for ((feed, id), versions) in &inner.history {
        let known = inner.lost_tail.iter().any(|tail| tail.home == feed.home);
        let Some(home) = machines.iter().find(|machine| machine.point == feed.home) else {
            continue;
        };
        if known || inner.dishonest.contains(&feed.home) {
            continue;
        }
        let stored: Option<Vec<u8>> = home.look(|disk| {
            let slot = disk.own(feed)?.slot;
            let row = disk.records.find(slot, *id).filter(|row| !row.removed)?;
            Some(row.payload.to_vec())
        });
        let last = versions.iter().rposition(|version| version.outcome == Outcome::Acknowledged);
        let possible = &versions[last.unwrap_or(0)..];
        let fits = possible
            .iter()
            .any(|version| version.outcome != Outcome::Refused && version.value == stored);
        if !fits && (last.is_some() || stored.is_some()) {
            lost.push(format!("invariant 3: {feed} {id}: acknowledged changes are not there"));
        }
    }
    for (machine, names) in &inner.heard {
        for name in names.iter().filter(|(_, bodies)| bodies.len() > 1).map(|(name, _)| name) {
            // The twin of a cloned machine may go on lying to itself.
            let Some(machine) = machines.get(*machine) else { continue };
            let frozen = machine
                .running()
                .and_then(|running| running.heads.find(&name.0))
                .is_some_and(|view| view.contradicted.is_some());
            if !frozen {
                lost.push(format!(
                    "invariant 7: {} has heard two of {}#{}",
                    machine.host, name.0, name.2
                ));
            }
        }
    }
    drop(inner);
    lost.into_iter().take(5).for_each(|lost| world.violated(lost));
}
