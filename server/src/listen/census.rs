//! Who is connected right now, and whether one more may be.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{incoming::Source, limits::Limits, pulse::Pulse};
use crate::identity::peer::Peer;

pub(super) struct Census {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    connections: HashMap<u64, Connection>,
}

struct Connection {
    source: Source,
    stage: Stage,
    since: Instant,
    pulse: Arc<Pulse>,
    close: CancellationToken,
}

#[derive(PartialEq)]
enum Stage {
    Handshake,
    Stranger,
    Node(Peer),
}

impl Census {
    pub fn new(limits: Limits) -> Arc<Census> {
        Arc::new(Census { limits, state: Mutex::default() })
    }

    /// Counts a new connection in; none if there is no room for it, and nobody who gives way.
    pub fn enter(self: &Arc<Census>, source: Source) -> Option<Ticket> {
        let mut state = self.state();
        let from_source = || state.connections.values().filter(|c| c.source == source);
        let handshakes = from_source().filter(|c| c.stage == Stage::Handshake).count();
        if from_source().count() >= self.limits.connections_per_source
            || handshakes >= self.limits.handshakes_per_source
        {
            return None;
        }
        let open = state.connections.values().filter(|c| !c.close.is_cancelled()).count();
        if open >= self.limits.connections {
            state.least_useful(self.limits.settling)?.close.cancel();
        }
        let id = state.next;
        state.next += 1;
        let close = CancellationToken::new();
        let pulse = Arc::new(Pulse::default());
        let connection = Connection {
            source,
            stage: Stage::Handshake,
            since: Instant::now(),
            pulse: pulse.clone(),
            close: close.clone(),
        };
        state.connections.insert(id, connection);
        Some(Ticket { census: self.clone(), id, pulse, close })
    }

    pub fn len(&self) -> usize {
        self.state().connections.len()
    }

    /// Cuts off every node that `refused` names, within the same moment.
    pub fn close_nodes(&self, refused: impl Fn(&Peer) -> bool) {
        for connection in self.state().connections.values() {
            if let Stage::Node(peer) = &connection.stage
                && refused(peer)
            {
                connection.close.cancel();
            }
        }
    }

    pub fn close_all(&self) {
        self.state().connections.values().for_each(|connection| connection.close.cancel());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under the lock can leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Who gives way: the oldest of those that have had no request answered, else the oldest idle one.
    fn least_useful(&self, settling: Duration) -> Option<&Connection> {
        let settled = self.connections.values().filter(|connection| {
            !matches!(connection.stage, Stage::Node(_))
                && !connection.close.is_cancelled()
                && connection.since.elapsed() >= settling
        });
        let ranked = settled.filter_map(|connection| {
            let look = connection.pulse.look();
            let is_of_use = look.answered() > 0;
            let at_work = is_of_use && look.under_way > 0;
            (!at_work).then_some((is_of_use, connection.since, connection))
        });
        let least = ranked.min_by_key(|(is_of_use, since, _)| (*is_of_use, *since));
        least.map(|(_, _, connection)| connection)
    }
}

/// A connection's place among the others, given back when it is dropped.
pub(super) struct Ticket {
    census: Arc<Census>,
    id: u64,
    /// What it does.
    pub pulse: Arc<Pulse>,
    /// Cancelled to cut the connection off.
    pub close: CancellationToken,
}

impl Ticket {
    /// The handshake is done and nobody known is at the other end; false if there are too many.
    pub fn is_stranger(&self) -> bool {
        let mut state = self.census.state();
        let strangers = state.connections.values().filter(|c| c.stage == Stage::Stranger).count();
        if strangers >= self.census.limits.strangers {
            return false;
        }
        if let Some(connection) = state.connections.get_mut(&self.id) {
            connection.stage = Stage::Stranger;
        }
        true
    }

    /// The handshake is done and this node is at the other end. A node that comes back before its
    /// dead connections have timed out takes the place of the oldest.
    pub fn is_node(&self, peer: &Peer) {
        let mut state = self.census.state();
        let same = |connection: &Connection| match &connection.stage {
            Stage::Node(other) => other.point == peer.point && other.node == peer.node,
            Stage::Handshake | Stage::Stranger => false,
        };
        let mut open: Vec<u64> = state
            .connections
            .iter()
            .filter(|(_, connection)| same(connection) && !connection.close.is_cancelled())
            .map(|(&id, _)| id)
            .collect();
        open.sort_unstable();
        let excess = (open.len() + 1).saturating_sub(self.census.limits.connections_per_node);
        for id in &open[..excess.min(open.len())] {
            state.connections[id].close.cancel();
        }
        if let Some(connection) = state.connections.get_mut(&self.id) {
            connection.stage = Stage::Node(peer.clone());
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.census.state().connections.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::limits, *};
    use crate::{domain::roster::NodeId, identity::samples::point};

    fn census() -> Arc<Census> {
        Census::new(Limits {
            connections: 6,
            connections_per_source: 4,
            handshakes_per_source: 2,
            connections_per_node: 2,
            strangers: 1,
            settling: Duration::ZERO,
            ..limits::LINK
        })
    }

    fn source(last: u8) -> Source {
        Source::of([203, 0, 113, last].into())
    }

    fn peer(node: u8) -> Peer {
        Peer { point: point("GB-LON"), node: NodeId([node; 8]), spki_sha256: [0; 32] }
    }

    #[test]
    fn one_source_cannot_take_all_handshakes() {
        let census = census();
        let _held = [census.enter(source(1)).unwrap(), census.enter(source(1)).unwrap()];
        assert!(census.enter(source(1)).is_none());
        assert!(census.enter(source(2)).is_some());
    }

    #[test]
    fn one_source_cannot_take_all_connections() {
        let census = census();
        let held: Vec<_> = (1..=4)
            .map(|node| {
                let ticket = census.enter(source(1)).unwrap();
                ticket.is_node(&peer(node));
                ticket
            })
            .collect();
        assert!(census.enter(source(1)).is_none());
        drop(held);
        assert_eq!(census.len(), 0);
        assert!(census.enter(source(1)).is_some());
    }

    #[test]
    fn who_has_had_no_answer_gives_way_then_who_is_idle() {
        let limits = Limits {
            connections: 3,
            connections_per_source: 3,
            handshakes_per_source: 3,
            settling: Duration::ZERO,
            ..limits::PUBLIC
        };
        let census = Census::new(limits);
        let enter = || census.enter(source(1));
        let (idle, silent, busy) = (enter().unwrap(), enter().unwrap(), enter().unwrap());
        drop(idle.pulse.begin());
        drop(busy.pulse.begin());
        let _under_way = busy.pulse.begin();
        let closed = || [&idle, &silent, &busy].map(|ticket| ticket.close.is_cancelled());
        let other = |last| census.enter(source(last));
        let new = other(2).expect("the silent one gives way");
        assert_eq!(closed(), [false, true, false]);
        drop(new.pulse.begin());
        let _newer = other(3).expect("the oldest idle one gives way");
        assert_eq!(closed(), [true, true, false]);
        assert!(!new.close.is_cancelled());
    }

    #[test]
    fn whoever_is_at_work_stays() {
        let limits = Limits { connections: 1, settling: Duration::ZERO, ..limits::PUBLIC };
        let census = Census::new(limits);
        let busy = census.enter(source(1)).unwrap();
        drop(busy.pulse.begin());
        let _under_way = busy.pulse.begin();
        assert!(census.enter(source(2)).is_none());
        let node = Census::new(Limits { connections: 1, settling: Duration::ZERO, ..limits::LINK });
        let known = node.enter(source(1)).unwrap();
        known.is_node(&peer(1));
        assert!(node.enter(source(2)).is_none());
    }

    #[test]
    fn strangers_are_few() {
        let census = census();
        let (one, other) = (census.enter(source(1)).unwrap(), census.enter(source(2)).unwrap());
        assert!(one.is_stranger());
        assert!(!other.is_stranger());
        drop(one);
        assert!(other.is_stranger());
    }

    #[test]
    fn a_node_that_comes_back_takes_its_oldest_place() {
        let census = census();
        let tickets: Vec<_> = (0..3)
            .map(|_| {
                let ticket = census.enter(source(1)).unwrap();
                ticket.is_node(&peer(1));
                ticket
            })
            .collect();
        let closed: Vec<bool> = tickets.iter().map(|t| t.close.is_cancelled()).collect();
        assert_eq!(closed, [true, false, false]);
    }

    #[test]
    fn only_refused_nodes_are_cut_off() {
        let census = census();
        let (one, other) = (census.enter(source(1)).unwrap(), census.enter(source(2)).unwrap());
        one.is_node(&peer(1));
        other.is_node(&peer(2));
        census.close_nodes(|peer| peer.node == NodeId([2; 8]));
        assert!(!one.close.is_cancelled());
        assert!(other.close.is_cancelled());
    }
}
