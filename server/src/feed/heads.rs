//! What this node knows of every feed right now: the state it holds, and the newest seal it has seen.
//!
//! Written by the writer after a commit and by sessions that hear of heads; read by everybody. It is
//! rebuilt from what is stored, so nothing is lost with it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

use super::seal::Seal;
use crate::{
    domain::{
        audience::FeedId,
        id::PointCode,
        position::{Epoch, Sequence},
        time::Time,
    },
    planted::{self, Fault},
    store::{Copy, CopyState, Slot},
};

/// The copy that answers rest on, or that is being filled.
#[derive(Clone, Debug)]
pub struct Held {
    pub slot: Slot,
    pub epoch: Epoch,
    pub state: CopyState,
    pub sequence: Sequence,
    pub live: u64,
    /// The seal of this state; none while filling.
    pub seal: Option<Arc<Seal>>,
}

impl Held {
    pub fn of(copy: &Copy) -> Held {
        Held {
            slot: copy.slot,
            epoch: copy.epoch,
            state: copy.state,
            sequence: copy.sequence,
            live: copy.live,
            seal: Seal::decode(&copy.seal).ok().map(Arc::new),
        }
    }
}

/// One feed as this node sees it.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// What is read and relayed: the copy of the highest epoch that is verified.
    pub held: Option<Held>,
    /// A first copy or a new epoch that is on its way in.
    pub filling: Option<Held>,
    /// The newest seal seen of this feed, ours included.
    pub head: Option<Arc<Seal>>,
    /// A neighbour is delivering it.
    pub busy: bool,
    /// It came with a backup, and no neighbour has said yet whether it is the newest: not shown.
    pub unchecked: bool,
    /// The highest epoch in which the home has sealed two states under one number, or a state that
    /// does not add up.
    pub contradicted: Option<u64>,
    /// The highest epoch in which what was held lies beyond the last state that its key counts for.
    pub disowned: Option<u64>,
    /// Rises whenever anything above changes.
    revision: u64,
}

impl View {
    /// The seal that neighbours may be told of: of a state that is here, verified and whole.
    pub fn relayed(&self) -> Option<&Arc<Seal>> {
        // What came with a backup is not passed on either: so the neighbour says what it has.
        let held = self.held.as_ref().filter(|held| held.state.is_relayed() && self.counts())?;
        held.seal.as_ref()
    }

    /// What answers may rest on.
    pub fn readable(&self) -> Option<&Held> {
        self.held.as_ref().filter(|held| held.state.is_readable() && self.counts())
    }

    /// The epoch up to which nothing new is taken.
    pub fn broken(&self) -> Option<u64> {
        self.contradicted.max(self.disowned)
    }

    /// The home has contradicted itself, or lost its key, in the epoch that is held, and no later one
    /// is here.
    pub fn is_frozen(&self) -> bool {
        self.reaches_held(self.broken())
    }

    /// What is held may be a thief's: it is not shown.
    pub fn is_disowned(&self) -> bool {
        self.reaches_held(self.disowned)
    }

    fn reaches_held(&self, epoch: Option<u64>) -> bool {
        let held = self.held.as_ref().map_or(0, |held| held.epoch.counter);
        epoch.is_some_and(|counter| counter >= held)
    }

    /// Neither waits for a neighbour's word nor may be a thief's.
    fn counts(&self) -> bool {
        !self.unchecked && !self.is_disowned()
    }

    /// Could a pull be granted that leads to `seal`? The writer has the last word.
    pub fn lacks(&self, seal: &Seal) -> bool {
        let held = self.held.as_ref();
        let settled = held
            .is_none_or(|held| !matches!(held.state, CopyState::Indexing | CopyState::CatchingUp));
        let newer = held.and_then(|held| held.seal.as_ref()).is_none_or(|held| seal.is_after(held));
        !self.busy && settled && newer
    }

    /// Is there something newer than what is held?
    pub fn is_behind(&self) -> bool {
        match (&self.head, self.held.as_ref().and_then(|held| held.seal.as_ref())) {
            (Some(head), Some(held)) => head.is_after(held),
            (Some(_), None) => true,
            (None, _) => false,
        }
    }
}

/// A home's own word on all its heads, and when it reached us.
#[derive(Clone, Debug)]
pub struct Heard {
    pub number: u64,
    pub at: Time,
    /// Encoded SignedHeads, to pass on.
    pub statement: Arc<Vec<u8>>,
}

#[derive(Default)]
struct Inner {
    views: BTreeMap<FeedId, View>,
    heard: BTreeMap<PointCode, Heard>,
    revision: u64,
    /// What may be read, until that changes; asked for with every answer.
    readable: Option<Arc<BTreeMap<Slot, FeedId>>>,
}

/// Wakes who waits in the order they began to. `tokio::sync::watch` does so in random order, and a
/// simulated day would not be the same twice.
#[derive(Default)]
struct Signal {
    changes: AtomicU64,
    waiting: Notify,
}

impl Signal {
    fn send(&self) {
        self.changes.fetch_add(1, Ordering::Release);
        self.waiting.notify_waiters();
    }
}

/// One watcher's place among the changes.
pub struct Changes {
    signal: Arc<Signal>,
    seen: u64,
}

impl Changes {
    /// Lets the next `changed` resolve at once.
    pub fn mark_changed(&mut self) {
        self.seen = self.signal.changes.load(Ordering::Acquire).wrapping_sub(1);
    }

    /// What has changed so far is not told any more.
    pub fn mark_unchanged(&mut self) {
        self.seen = self.signal.changes.load(Ordering::Acquire);
    }

    /// Resolves when something has changed since it last did.
    pub async fn changed(&mut self) {
        loop {
            // Before the look: a change in between then wakes it.
            let woken = self.signal.waiting.notified();
            let changes = self.signal.changes.load(Ordering::Acquire);
            if changes != self.seen {
                self.seen = changes;
                return;
            }
            woken.await;
        }
    }
}

/// Shared by the writer, the sessions and the use cases.
#[derive(Default)]
pub struct Heads {
    inner: Mutex<Inner>,
    changed: Arc<Signal>,
}

impl Heads {
    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        // A panic while it was held cannot have left half a change: every change is one assignment.
        act(&mut self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// Changes one feed's view and wakes everybody who waits for changes.
    pub fn update(&self, feed: &FeedId, change: impl FnOnce(&mut View)) {
        self.with(|inner| {
            inner.revision += 1;
            let view = inner.views.entry(feed.clone()).or_default();
            let before = view.readable().map(|held| held.slot);
            change(view);
            view.revision = inner.revision;
            if view.readable().map(|held| held.slot) != before {
                inner.readable = None;
            }
        });
        self.changed.send();
    }

    /// Takes a verified seal as the feed's head if it is newer; true if it was.
    pub fn raise(&self, seal: &Arc<Seal>) -> bool {
        let feed = &seal.statement().feed;
        let newer = self
            .find(feed)
            .is_none_or(|view| view.head.as_ref().is_none_or(|head| seal.is_after(head)))
            || planted::is(Fault::AcceptRewoundSeal);
        if newer {
            self.update(feed, |view| {
                let rewound = planted::is(Fault::AcceptRewoundSeal);
                if rewound || view.head.as_ref().is_none_or(|head| seal.is_after(head)) {
                    view.head = Some(seal.clone());
                }
            });
        }
        newer
    }

    /// The home has contradicted itself in this epoch.
    pub fn contradict(&self, feed: &FeedId, counter: u64) {
        self.update(feed, |view| view.contradicted = view.contradicted.max(Some(counter)));
    }

    /// A neighbour's word on a feed that came with a backup: it may be shown again once it is as new.
    pub fn check(&self, seal: &Seal) {
        let feed = &seal.statement().feed;
        let is_as_new = |view: &View| {
            let held = view.held.as_ref().and_then(|held| held.seal.as_ref());
            view.unchecked && held.is_some_and(|held| !seal.is_after(held))
        };
        if self.find(feed).is_some_and(|view| is_as_new(&view)) {
            self.update(feed, |view| view.unchecked = false);
        }
    }

    pub fn find(&self, feed: &FeedId) -> Option<View> {
        self.with(|inner| inner.views.get(feed).cloned())
    }

    pub fn all(&self) -> Vec<(FeedId, View)> {
        self.with(|inner| {
            inner.views.iter().map(|(feed, view)| (feed.clone(), view.clone())).collect()
        })
    }

    /// Views that changed after `revision`, and the revision to ask from next time.
    pub fn since(&self, revision: u64) -> (Vec<(FeedId, View)>, u64) {
        self.with(|inner| {
            let changed = inner.views.iter().filter(|(_, view)| view.revision > revision);
            (changed.map(|(feed, view)| (feed.clone(), view.clone())).collect(), inner.revision)
        })
    }

    /// Resolves whenever something has changed since the receiver last looked.
    pub fn watch(&self) -> Changes {
        let seen = self.changed.changes.load(Ordering::Acquire);
        Changes { signal: self.changed.clone(), seen }
    }

    /// Takes a home's newer word on its heads; false if it is not newer.
    pub fn hear(&self, home: &PointCode, heard: Heard) -> bool {
        let newer = self.with(|inner| {
            let newer = inner.heard.get(home).is_none_or(|known| heard.number > known.number);
            if newer {
                inner.revision += 1;
                inner.heard.insert(home.clone(), heard);
            }
            newer
        });
        if newer {
            self.changed.send();
        }
        newer
    }

    pub fn heard(&self, home: &PointCode) -> Option<Heard> {
        self.with(|inner| inner.heard.get(home).cloned())
    }

    pub fn all_heard(&self) -> Vec<(PointCode, Heard)> {
        self.with(|inner| {
            inner.heard.iter().map(|(home, heard)| (home.clone(), heard.clone())).collect()
        })
    }

    /// Finds the feed whose readable copy is `slot`.
    pub fn readable_slots(&self) -> Arc<BTreeMap<Slot, FeedId>> {
        self.with(|inner| {
            let Inner { views, readable, .. } = inner;
            let listed = || {
                let readable = views.iter().filter_map(|(feed, view)| {
                    view.readable().map(|held| (held.slot, feed.clone()))
                });
                Arc::new(readable.collect())
            };
            readable.get_or_insert_with(listed).clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audience::Audience;

    fn held(slot: u32, state: CopyState) -> Held {
        let epoch = Epoch { counter: 1, random: [0; 16] };
        Held { slot: Slot(slot), epoch, state, sequence: Sequence(1), live: 1, seal: None }
    }

    #[test]
    fn a_feed_is_frozen_until_an_epoch_above_the_contradiction_is_held() {
        let mut view = View { contradicted: Some(1), ..View::default() };
        assert!(view.is_frozen(), "nothing is held");
        view.held = Some(held(1, CopyState::Current));
        assert!(view.is_frozen());
        let next = Epoch { counter: 2, random: [1; 16] };
        view.held = Some(Held { epoch: next, ..held(2, CopyState::Current) });
        assert!(!view.is_frozen());
        view.contradicted = Some(2);
        assert!(view.is_frozen(), "the next one too");
    }

    #[test]
    fn what_may_be_read_follows_every_change() {
        let heads = Heads::default();
        let feed = FeedId::new("GB-LON".parse().unwrap(), Audience::Network);
        let readable = || heads.readable_slots().keys().copied().collect::<Vec<_>>();
        assert_eq!(readable(), []);
        heads.update(&feed, |view| view.held = Some(held(1, CopyState::Current)));
        assert_eq!(readable(), [Slot(1)]);
        heads.update(&feed, |view| view.unchecked = true);
        assert_eq!(readable(), []);
        heads.update(&feed, |view| view.unchecked = false);
        heads.update(&feed, |view| view.held = Some(held(2, CopyState::Current)));
        assert_eq!(readable(), [Slot(2)]);
    }
}
