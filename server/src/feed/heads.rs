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
        audience::{Audience, FeedId},
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

/// A seal's place among the seals of its feed: epochs are compared first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Position {
    /// Counter of the epoch.
    pub epoch: u64,
    /// Of the seal.
    pub number: u64,
}

impl Position {
    pub fn of(seal: &Seal) -> Position {
        let statement = seal.statement();
        Position { epoch: statement.epoch.counter, number: statement.number }
    }
}

impl Held {
    pub fn position(&self) -> Option<Position> {
        self.seal.as_deref().map(Position::of)
    }

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
    /// The newest position that the home has named in a list of its heads; none before it named one.
    pub stated: Option<Position>,
    /// When the list arrived since which `stated` has been above what is held.
    pub stated_at: Time,
    /// It came with a backup in this position, and nothing newer was heard that says whether it is the
    /// newest: not shown.
    pub unchecked: Option<Position>,
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
        self.unchecked.is_none() && !self.is_disowned()
    }

    /// Could a pull be granted that leads to `seal`? The writer has the last word.
    pub fn lacks(&self, seal: &Seal) -> bool {
        let held = self.held.as_ref();
        let settled = held
            .is_none_or(|held| !matches!(held.state, CopyState::Indexing | CopyState::CatchingUp));
        let newer = held.and_then(|held| held.seal.as_ref()).is_none_or(|held| seal.is_after(held));
        !self.busy && settled && newer
    }

    /// Since when the home has named a position that is not here; it matters not who keeps it back.
    pub fn lacking_since(&self) -> Option<Time> {
        let held = self.held.as_ref().and_then(Held::position);
        (self.stated > held).then_some(self.stated_at)
    }

    /// Is there something newer than what is held, by seals or by the home's list of its heads?
    pub fn lags(&self) -> bool {
        self.is_behind() || self.lacking_since().is_some()
    }

    /// The home has gone on in an epoch that is not here yet: what is held belongs to one that is over.
    pub fn is_of_past_epoch(&self) -> bool {
        let head = self.head.as_ref().map(|head| head.statement().epoch.counter);
        let newest = head.max(self.stated.map(|stated| stated.epoch));
        self.held.as_ref().is_some_and(|held| newest > Some(held.epoch.counter))
    }

    /// Is a seal known that is newer than what is held?
    pub fn is_behind(&self) -> bool {
        match (&self.head, self.held.as_ref().and_then(|held| held.seal.as_ref())) {
            (Some(head), Some(held)) => head.is_after(held),
            (Some(_), None) => true,
            (None, _) => false,
        }
    }
}

/// Whose readers a home's word is for.
pub type List = (PointCode, Option<Audience>);

/// The audience of the list that names a feed's head: the roster's is for anybody.
pub fn list_of(audience: Audience) -> Audience {
    match audience {
        Audience::Sealed | Audience::Home => audience,
        Audience::Domestic | Audience::Network | Audience::Public => audience,
        Audience::Roster => Audience::Public,
    }
}

/// A home's own word on its heads, and when it reached us.
#[derive(Clone, Debug)]
pub struct Heard {
    pub number: u64,
    pub at: Time,
    /// Whose readers it is for; none: for all of the home's feeds, as older versions say it.
    pub audience: Option<Audience>,
    /// Where each of its feeds stands.
    pub heads: Vec<(Audience, Position)>,
    /// Encoded SignedHeads, to pass on.
    pub statement: Arc<Vec<u8>>,
}

#[derive(Default)]
struct Inner {
    views: BTreeMap<FeedId, View>,
    heard: BTreeMap<List, Heard>,
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
    /// A seal that the backup may have held already says nothing, unless the home itself says it now.
    pub fn check(&self, seal: &Seal, by_home: bool) {
        let said = Position::of(seal);
        self.check_position(&seal.statement().feed, said, |came_with| by_home || said > came_with);
    }

    /// Shows a feed again that came with a backup, where `said` is news and not above what is held.
    fn check_position(&self, feed: &FeedId, said: Position, is_news: impl Fn(Position) -> bool) {
        let is_as_new = |view: &View| {
            view.unchecked.is_some_and(&is_news)
                && view.held.as_ref().and_then(Held::position) >= Some(said)
        };
        if self.find(feed).is_some_and(|view| is_as_new(&view)) {
            self.update(feed, |view| view.unchecked = None);
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

    /// Takes a home's newer word on its heads; false if it is not newer. What it says of feeds that
    /// this node may not hold is none of its business.
    pub fn hear(&self, home: &PointCode, heard: Heard, may_hold: impl Fn(&FeedId) -> bool) -> bool {
        let (heads, at) = (heard.heads.clone(), heard.at);
        let list = (home.clone(), heard.audience);
        let newer = self.with(|inner| {
            let newer = inner.heard.get(&list).is_none_or(|known| heard.number > known.number);
            if newer {
                inner.revision += 1;
                inner.heard.insert(list, heard);
            }
            newer
        });
        if newer {
            for (audience, position) in heads {
                let feed = FeedId::new(home.clone(), audience);
                if may_hold(&feed) {
                    self.state(&feed, position, at);
                }
            }
            self.changed.send();
        }
        newer
    }

    /// The home has named where a feed stands.
    fn state(&self, feed: &FeedId, position: Position, at: Time) {
        if self.find(feed).is_none_or(|view| view.stated < Some(position)) {
            self.update(feed, |view| {
                if view.lacking_since().is_none() {
                    view.stated_at = at;
                }
                view.stated = Some(position);
            });
        }
        // The list is newer than the one that came with a backup, or it would not have been taken.
        self.check_position(feed, position, |_| true);
    }

    /// The newest word of a home, whoever it is for.
    pub fn heard(&self, home: &PointCode) -> Option<Heard> {
        self.with(|inner| {
            let lists = inner.heard.range((home.clone(), None)..);
            let own = lists.take_while(|((of, _), _)| of == home).map(|(_, heard)| heard);
            own.max_by_key(|heard| heard.number).cloned()
        })
    }

    /// The newest word of a home that is about this feed.
    pub fn heard_of(&self, feed: &FeedId) -> Option<Heard> {
        self.with(|inner| {
            let list = |audience| inner.heard.get(&(feed.home.clone(), audience));
            let (old, new) = (list(None), list(Some(list_of(feed.audience))));
            old.into_iter().chain(new).max_by_key(|heard| heard.number).cloned()
        })
    }

    pub fn all_heard(&self) -> Vec<(List, Heard)> {
        self.with(|inner| {
            inner.heard.iter().map(|(list, heard)| (list.clone(), heard.clone())).collect()
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
    use crate::feed::seal::Statement;

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
        let came_with = Position { epoch: 1, number: 1 };
        heads.update(&feed, |view| view.unchecked = Some(came_with));
        assert_eq!(readable(), []);
        heads.update(&feed, |view| view.unchecked = None);
        heads.update(&feed, |view| view.held = Some(held(2, CopyState::Current)));
        assert_eq!(readable(), [Slot(2)]);
    }

    fn feed() -> FeedId {
        FeedId::new("GB-LON".parse().unwrap(), Audience::Network)
    }

    fn seal(number: u64) -> Arc<Seal> {
        let statement = Statement {
            network: "gd".into(),
            feed: feed(),
            epoch: Epoch { counter: 1, random: [0; 16] },
            number,
            sequence: Sequence(number),
            live: 1,
            digest: [number as u8; 32],
            previous: None,
            sealed_at: Time(0),
            successor: None,
        };
        Arc::new(Seal::sign(statement, &ed25519_dalek::SigningKey::from_bytes(&[3; 32])))
    }

    fn said(number: u64, head: u64) -> Heard {
        let heads = vec![(Audience::Network, Position { epoch: 1, number: head })];
        let (at, audience) = (Time(number as i64), Some(Audience::Network));
        Heard { number, at, audience, heads, statement: Arc::default() }
    }

    fn hold(heads: &Heads, number: u64) {
        let held = Held { seal: Some(seal(number)), ..held(1, CopyState::Current) };
        heads.update(&feed(), |view| view.held = Some(held));
    }

    fn hear(heads: &Heads, heard: Heard) {
        heads.hear(&feed().home, heard, |_| true);
    }

    #[test]
    fn a_head_that_the_home_names_and_nobody_announces_is_missed() {
        let heads = Heads::default();
        let view = || heads.find(&feed()).unwrap();
        hold(&heads, 4);
        hear(&heads, said(10, 4));
        assert!(!view().lags());
        hear(&heads, said(11, 6));
        hear(&heads, said(12, 7));
        assert!(view().lags() && !view().is_behind());
        assert_eq!(view().lacking_since(), Some(Time(11)), "since the first that named it");
        hold(&heads, 6);
        assert!(view().lags());
        hold(&heads, 7);
        assert!(!view().lags());
    }

    #[test]
    fn a_head_of_a_feed_that_is_not_here_at_all_is_missed_by_who_may_hold_it() {
        let heads = Heads::default();
        heads.hear(&feed().home, said(1, 1), |_| false);
        assert!(heads.find(&feed()).is_none());
        hear(&heads, said(2, 1));
        assert!(heads.find(&feed()).unwrap().lags());
    }

    #[test]
    fn what_came_with_a_backup_is_shown_again_by_news_alone() {
        let came_with = Position { epoch: 1, number: 4 };
        let restored = || {
            let heads = Heads::default();
            hear(&heads, said(10, 4));
            hold(&heads, 4);
            heads.update(&feed(), |view| view.unchecked = Some(came_with));
            heads
        };
        let is_shown = |heads: &Heads| heads.find(&feed()).unwrap().unchecked.is_none();

        let heads = restored();
        heads.check(&seal(4), false);
        heads.check(&seal(3), false);
        hear(&heads, said(10, 4));
        assert!(!is_shown(&heads), "the backup may have held all of that");
        heads.check(&seal(6), false);
        hear(&heads, said(11, 6));
        assert!(!is_shown(&heads), "there is something newer");
        hold(&heads, 6);
        heads.check(&seal(6), false);
        assert!(is_shown(&heads), "and now it is here");

        let heads = restored();
        hear(&heads, said(11, 4));
        assert!(is_shown(&heads), "a newer list names what is held");
        let heads = restored();
        heads.check(&seal(4), true);
        assert!(is_shown(&heads), "the home says it now");
    }
}
