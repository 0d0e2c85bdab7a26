//! The one writer: takes what waits, does it in one transaction, answers after the commit.
//!
//! Between transactions it does one step of whatever long work there is (making a first copy
//! searchable, applying a large catch-up, clearing away a retired copy), so that nobody waits for it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, info, warn};

use super::{
    change::{Change, CommitError, Committed},
    continuity::{self, Mark, MarkFile, Marks},
    heads::{Heads, Heard, Held},
    indexing::Indexing,
    inflow::{self, Delivery, Inflow, Outcome},
    keyring::Keyring,
    own::{self, Gathering},
    seal::Seal,
};
use crate::{
    domain::{
        audience::{Audience, FeedId},
        audit::Notes,
        id::PointCode,
        position::{Epoch, Sequence},
        roster::{ApprovedEpoch, Roster, RosterEntry},
    },
    outside::Outside,
    planted::{self, Fault},
    store::{Copy, CopyState, FeedStore, FeedTx, FoundEquivocation, Slot, StoreError},
};

/// Commands that wait for the writer. A caller beyond that waits to be let in.
const QUEUE: usize = 1_024;
/// Commands of one transaction.
const GROUP: usize = 512;
/// Rows cleared away in one step.
const CLEAR: usize = 2_000;
/// Seals that could not be kept for want of room, and are tried again with whatever comes next.
const UNKEPT_MAX: usize = 1_024;
/// Rest after a failed transaction, so that a full disk is not asked a thousand times a second.
const AFTER_FAILURE: Duration = Duration::from_millis(200);

/// How often it is read from a shared database what other nodes have heard.
const HEAR_EVERY: Duration = Duration::from_secs(10);
/// EX_IOERR of sysexits.h.
const EXIT_DISK_FAILS: i32 = 74;

/// What the writer needs to know of its node.
pub struct Parts<S> {
    pub store: S,
    pub keys: Arc<Keyring>,
    pub heads: Arc<Heads>,
    pub outside: Outside,
    pub mark_file: MarkFile,
    /// What the mark file held at start.
    pub marks: Option<Marks>,
}

/// A granted pull: what to ask the neighbour for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    pub pull: u64,
    pub epoch: Epoch,
    pub after: Sequence,
}

enum Command {
    Commit {
        change: Change,
        reconciles: bool,
        reply: oneshot::Sender<Result<Committed, CommitError>>,
    },
    Open {
        seal: Arc<Seal>,
        peer: PointCode,
        reply: oneshot::Sender<Option<Granted>>,
    },
    Deliver {
        delivery: Box<Delivery>,
        reply: oneshot::Sender<Outcome>,
    },
    Close {
        feed: FeedId,
        pull: u64,
    },
    Remember {
        seal: Arc<Seal>,
    },
    Hear {
        home: PointCode,
        heard: Heard,
    },
    OpenEpochs,
    Reconciling(bool),
    Refresh,
}

/// The writer's front door. Cheap to clone.
#[derive(Clone)]
pub struct Writer {
    commands: mpsc::Sender<Command>,
    recovering: watch::Receiver<Recovery>,
}

impl Writer {
    /// Reads what is stored, publishes it, and starts the writer. The handle resolves when the last
    /// `Writer` is gone and everything that waited is done.
    pub async fn start<S: FeedStore>(
        parts: Parts<S>,
    ) -> Result<(Writer, tokio::task::JoinHandle<()>), StoreError> {
        let (commands, queue) = mpsc::channel(QUEUE);
        let (recovery, recovering) = watch::channel(Recovery::default());
        let mut engine = Engine {
            store: parts.store,
            keys: parts.keys,
            heads: parts.heads,
            outside: parts.outside,
            mark_file: parts.mark_file,
            marks: Marks::new(),
            generation: 0,
            recovery,
            inflows: BTreeMap::new(),
            next_pull: 1,
            work: VecDeque::new(),
            indexing: Indexing::default(),
            unkept: Vec::new(),
            turn: 0,
            heard: None,
        };
        engine.resume(parts.marks).await?;
        Ok((Writer { commands, recovering }, tokio::spawn(engine.run(queue))))
    }

    /// Makes a change durable and visible, or nothing of it.
    pub async fn commit(&self, change: Change) -> Result<Committed, CommitError> {
        self.commit_as(change, false).await
    }

    /// The same for a change that brings home records in line with what was taken back: the only one
    /// that is let in between `begin_reconciling` and `end_reconciling`.
    pub async fn reconcile(&self, change: Change) -> Result<Committed, CommitError> {
        self.commit_as(change, true).await
    }

    async fn commit_as(&self, change: Change, reconciles: bool) -> Result<Committed, CommitError> {
        let (reply, answer) = oneshot::channel();
        let commit = Command::Commit { change, reconciles, reply };
        self.send(commit).await.ok_or(CommitError::Stopping)?;
        answer.await.map_err(|_| CommitError::Stopping)?
    }

    /// From here on nothing is written that could disclose again what was withdrawn.
    pub async fn begin_reconciling(&self) {
        self.send(Command::Reconciling(true)).await;
    }

    pub async fn end_reconciling(&self) {
        self.send(Command::Reconciling(false)).await;
    }

    /// Asks to pull a feed up to `seal` or further from `peer`; none if somebody else is delivering
    /// it, or there is nothing to pull.
    pub async fn open(&self, seal: Arc<Seal>, peer: PointCode) -> Option<Granted> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Open { seal, peer, reply }).await?;
        answer.await.ok()?
    }

    /// Hands over a page; resolves when it is durable, or refused.
    pub async fn deliver(&self, delivery: Delivery) -> Outcome {
        let (reply, answer) = oneshot::channel();
        let sent = self.send(Command::Deliver { delivery: Box::new(delivery), reply }).await;
        match sent {
            Some(()) => answer.await.unwrap_or(Outcome::Dropped),
            None => Outcome::Dropped,
        }
    }

    /// Gives a granted pull back.
    pub async fn close(&self, feed: FeedId, pull: u64) {
        self.send(Command::Close { feed, pull }).await;
    }

    /// What keeps this node from writing.
    pub fn recovery(&self) -> Recovery {
        self.recovering.borrow().clone()
    }

    /// Resolves once recovery is as far as asked; or the writer is gone.
    pub async fn until(&self, far_enough: impl FnMut(&Recovery) -> bool) {
        let mut recovering = self.recovering.clone();
        let _ = recovering.wait_for(far_enough).await;
    }

    /// Gives up waiting for what neighbours do not have: every own feed that is still to be taken
    /// back goes on in a new epoch from what is here.
    pub async fn open_epochs(&self) {
        self.send(Command::OpenEpochs).await;
    }

    /// Takes notice of what other nodes have written into a shared database.
    pub async fn refresh(&self) {
        self.send(Command::Refresh).await;
    }

    /// Keeps a verified seal, and notices if it contradicts one that is kept.
    pub async fn remember(&self, seal: Arc<Seal>) {
        self.send(Command::Remember { seal }).await;
    }

    /// Keeps a home's verified word on its heads.
    pub async fn hear(&self, home: PointCode, heard: Heard) {
        self.send(Command::Hear { home, heard }).await;
    }

    async fn send(&self, command: Command) -> Option<()> {
        self.commands.send(command).await.ok()
    }
}

/// What keeps the node from writing after a start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recovery {
    /// Own feeds that have to be taken back from neighbours, and up to where.
    pub feeds: Marks,
    /// The marks are gone too, as after a restore or with the whole disk: which feeds there were and
    /// how far they had come is not known, and neighbours decide.
    pub unmarked: bool,
    /// Home records are being brought in line with what neighbours have, or will be once `feeds` is
    /// empty.
    pub reconciling: bool,
}

impl Recovery {
    pub fn is_over(&self) -> bool {
        self.is_taken_back() && !self.reconciling
    }

    /// Nothing is expected of neighbours any more.
    pub fn is_taken_back(&self) -> bool {
        self.feeds.is_empty() && !self.unmarked
    }

    /// May a feed of our own come from a neighbour?
    fn awaits(&self, feed: &FeedId) -> bool {
        self.unmarked || self.feeds.contains_key(feed)
    }

    /// What is left has never left this node: nobody can give it back, and nobody can contradict.
    pub fn is_private(&self) -> bool {
        !self.feeds.is_empty()
            && !self.unmarked
            && self.feeds.keys().all(|feed| !feed.audience.is_shared())
    }
}

/// One step of long work.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Work {
    OpenEpochs,
    Refresh,
    Index(FeedId, Slot),
    Advance(FeedId, Slot),
    Clear(FeedId, Slot),
}

struct Engine<S> {
    store: S,
    keys: Arc<Keyring>,
    heads: Arc<Heads>,
    outside: Outside,
    mark_file: MarkFile,
    marks: Marks,
    generation: u64,
    recovery: watch::Sender<Recovery>,
    inflows: BTreeMap<FeedId, Inflow>,
    next_pull: u64,
    work: VecDeque<Work>,
    indexing: Indexing,
    unkept: Vec<Arc<Seal>>,
    /// Up to here it is known what other nodes have written.
    turn: u64,
    /// When it was last read what other nodes have heard.
    heard: Option<tokio::time::Instant>,
}

/// What a transaction has touched, to be shown after its commit.
#[derive(Default)]
struct Touched {
    copies: BTreeMap<FeedId, Vec<Copy>>,
    raised: Vec<Arc<Seal>>,
    frozen: Vec<FeedId>,
    work: Vec<Work>,
}

impl Touched {
    /// The copies of a feed, read once per transaction.
    async fn copies<T: FeedTx>(
        &mut self,
        tx: &mut T,
        feed: &FeedId,
    ) -> Result<&mut Vec<Copy>, StoreError> {
        if !self.copies.contains_key(feed) {
            let copies = tx.copies(feed).await?;
            self.copies.insert(feed.clone(), copies);
        }
        Ok(self.copies.entry(feed.clone()).or_default())
    }

    async fn copy<T: FeedTx>(
        &mut self,
        tx: &mut T,
        feed: &FeedId,
        slot: Slot,
    ) -> Result<Option<&mut Copy>, StoreError> {
        Ok(self.copies(tx, feed).await?.iter_mut().find(|copy| copy.slot == slot))
    }
}

impl<S: FeedStore> Engine<S> {
    /// Picks up whatever was under way when the node stopped.
    async fn resume(&mut self, marks: Option<Marks>) -> Result<(), StoreError> {
        for found in self.store.equivocations().await? {
            self.heads.update(&found.feed, |view| view.frozen = true);
        }
        let mut by_feed: BTreeMap<FeedId, Vec<Copy>> = BTreeMap::new();
        for copy in self.store.copies().await? {
            match copy.state {
                CopyState::Own => {
                    let mark = Mark { epoch: copy.epoch, number: copy.number };
                    self.marks.insert(copy.feed.clone(), mark);
                }
                CopyState::Indexing => {
                    self.work.push_back(Work::Index(copy.feed.clone(), copy.slot));
                }
                CopyState::CatchingUp => {
                    self.work.push_back(Work::Advance(copy.feed.clone(), copy.slot));
                }
                CopyState::Retired => {
                    self.work.push_back(Work::Clear(copy.feed.clone(), copy.slot));
                }
                CopyState::Filling | CopyState::Current => {}
            }
            by_feed.entry(copy.feed.clone()).or_default().push(copy);
        }
        self.recovery.send_replace(self.behind(marks.clone()));
        let recovery = self.recovery.borrow().clone();
        if let Some(marks) = marks {
            // What was shown once stays marked. What a crash kept from being marked is marked now,
            // before it is shown: an older disk would otherwise pass for this one.
            self.marks.extend(recovery.feeds.clone());
            if self.marks != marks {
                self.write_marks();
            }
        }
        for (feed, mark) in &recovery.feeds {
            warn!(%feed, number = mark.number, "stored state lies behind what was shown");
        }
        if recovery.is_private() {
            self.work.push_back(Work::OpenEpochs);
        }
        for (feed, copies) in &by_feed {
            self.publish(feed, copies);
        }
        if by_feed.contains_key(&self.keys.roster_feed()) {
            self.reload_roster().await?;
        }
        self.hear_kept().await
    }

    /// Which own feeds lie behind what may have been seen of them.
    fn behind(&self, marks: Option<Marks>) -> Recovery {
        if planted::is(Fault::WriteWhileBehind) {
            return Recovery::default();
        }
        match marks {
            Some(marks) => {
                let mut feeds = continuity::behind(&marks, &self.marks);
                feeds.retain(|feed, _| self.may_sign(feed));
                Recovery { feeds, ..Recovery::default() }
            }
            None => {
                let mut feeds = self.marks.clone();
                feeds.retain(|feed, _| self.may_sign(feed));
                Recovery { unmarked: true, feeds, reconciling: false }
            }
        }
    }

    /// The founding point's roster is written by the node that holds the issuer, and by no other node
    /// on the same database.
    fn may_sign(&self, feed: &FeedId) -> bool {
        feed.audience != Audience::Roster || self.keys.signer(feed).is_some()
    }

    async fn run(mut self, mut queue: mpsc::Receiver<Command>) {
        let mut group = Vec::with_capacity(GROUP);
        loop {
            if self.work.is_empty() {
                if queue.recv_many(&mut group, GROUP).await == 0 {
                    return;
                }
            } else {
                while group.len() < GROUP {
                    match queue.try_recv() {
                        Ok(command) => group.push(command),
                        Err(mpsc::error::TryRecvError::Empty) => break,
                        Err(mpsc::error::TryRecvError::Disconnected) if group.is_empty() => return,
                        Err(mpsc::error::TryRecvError::Disconnected) => break,
                    }
                }
            }
            if !group.is_empty() {
                self.handle(std::mem::take(&mut group)).await;
            }
            if let Some(work) = self.work.pop_front() {
                if let Err(error) = self.step(work.clone()).await {
                    stop_where_disk_fails(&error);
                    warn!(?work, error = &error as &dyn std::error::Error, "will be tried again");
                    self.work.push_back(work);
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
                tokio::task::yield_now().await;
            }
        }
    }

    /// One group, one transaction. If it fails as a whole, each command is tried by itself, so that a
    /// neighbour's malformed page costs nobody else anything.
    async fn handle(&mut self, group: Vec<Command>) {
        let alone = group.len() == 1;
        let mut prepared: Vec<Prepared> = Vec::with_capacity(group.len());
        let unkept = std::mem::take(&mut self.unkept);
        let alone = alone && unkept.is_empty();
        prepared.extend(unkept.into_iter().map(|seal| Prepared::new(Command::Remember { seal })));
        for command in group {
            if let Some(command) = self.prepare(command) {
                prepared.push(command);
            }
        }
        if prepared.is_empty() {
            return;
        }
        let result = self.transact(&mut prepared).await;
        result.as_ref().inspect_err(|error| stop_where_disk_fails(error)).ok();
        if result.is_err() {
            self.take_back(&prepared);
        }
        match result {
            Ok(()) => {}
            Err(error) if alone => self.fail(prepared, &error).await,
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "group failed, trying one by one");
                for command in prepared {
                    let mut single = vec![command.again()];
                    if let Err(error) = self.transact(&mut single).await {
                        stop_where_disk_fails(&error);
                        self.take_back(&single);
                        self.fail(single, &error).await;
                    }
                }
            }
        }
    }

    /// A pull is over; others may have been waiting for their turn to deliver the feed.
    fn end_inflow(&mut self, feed: &FeedId) {
        self.inflows.remove(feed);
        self.heads.update(feed, |view| view.busy = false);
    }

    /// Pulls that a failed transaction had granted are nobody's.
    fn take_back(&mut self, group: &[Prepared]) {
        for prepared in group {
            if let Answer::Open(Some(granted)) = &prepared.answer {
                let granted = |inflow: &Inflow| inflow.pull == granted.pull;
                let feed = self.inflows.iter().find(|(_, inflow)| granted(inflow));
                if let Some(feed) = feed.map(|(feed, _)| feed.clone()) {
                    self.end_inflow(&feed);
                }
            }
        }
    }

    /// What needs no transaction is answered here.
    fn prepare(&mut self, command: Command) -> Option<Prepared> {
        match command {
            Command::Close { feed, pull } => {
                if self.inflows.get(&feed).is_some_and(|inflow| inflow.pull == pull) {
                    self.end_inflow(&feed);
                }
                None
            }
            Command::OpenEpochs => {
                self.work.push_back(Work::OpenEpochs);
                None
            }
            Command::Refresh => {
                if !self.work.contains(&Work::Refresh) {
                    self.work.push_back(Work::Refresh);
                }
                None
            }
            Command::Reconciling(reconciling) => {
                self.recovery.send_modify(|recovery| recovery.reconciling = reconciling);
                None
            }
            Command::Commit { change, reconciles, reply } => {
                let recovery = self.recovery.borrow().clone();
                let open = recovery.is_over() || (reconciles && recovery.is_taken_back());
                let refused = if !open {
                    Some(CommitError::Recovering)
                } else {
                    own::check(&change, &self.keys).err()
                };
                match refused {
                    Some(error) => {
                        let _ = reply.send(Err(error));
                        None
                    }
                    None => Some(Prepared::new(Command::Commit { change, reconciles, reply })),
                }
            }
            other => Some(Prepared::new(other)),
        }
    }

    async fn transact(&mut self, group: &mut [Prepared]) -> Result<(), StoreError> {
        let now = self.outside.now();
        let mut tx = self.store.begin().await?;
        let mut touched = Touched::default();
        let mut gathering = Gathering::default();
        let mut notes = Notes::default();

        for prepared in group.iter_mut() {
            prepared.answer = match prepared.command.as_ref().expect("BUG: taken when answered") {
                Command::Commit { change, .. } => {
                    let mut slots = BTreeMap::new();
                    let writes = change.writes.iter().map(|write| &write.feed);
                    for feed in writes.chain(change.expects.iter().map(|expect| &expect.feed)) {
                        if !slots.contains_key(feed) {
                            let copies = touched.copies(&mut tx, feed).await?;
                            if let Some(own) = own_copy(copies) {
                                slots.insert(feed.clone(), own.slot);
                            }
                        }
                    }
                    gathering.read(&mut tx, change, &slots).await?;
                    let committed = gathering.add(change.clone());
                    if let Ok(committed) = &committed {
                        change.notes(&committed.changed, &mut notes);
                    }
                    Answer::Commit(committed)
                }
                Command::Open { seal, peer, .. } => {
                    Answer::Open(self.open(&mut tx, &mut touched, seal, peer).await?)
                }
                Command::Deliver { delivery, .. } => {
                    Answer::Deliver(self.deliver(&mut tx, &mut touched, delivery).await?)
                }
                Command::Remember { seal } => {
                    self.remember(&mut tx, &mut touched, seal).await?;
                    Answer::Nothing
                }
                Command::Hear { home, heard } => {
                    tx.put_statement(home.as_str(), heard.number, &heard.statement, heard.at.0)
                        .await?;
                    Answer::Nothing
                }
                Command::Close { .. }
                | Command::OpenEpochs
                | Command::Refresh
                | Command::Reconciling(_) => Answer::Nothing,
            };
        }

        let mut sealed = Vec::new();
        for (feed, old, new) in gathering.finish() {
            let copies = touched.copies(&mut tx, &feed).await?;
            if own_copy(copies).is_none() {
                let copy = own::new_copy(feed.clone(), &self.keys, &self.outside);
                copies.push(tx.insert_copy(copy).await?);
            }
            let copy = own_copy(copies).expect("BUG: was inserted above");
            let seal = own::store(&mut tx, copy, &old, new, &self.keys, now).await?;
            let mark = Mark { epoch: copy.epoch, number: copy.number };
            sealed.push((feed, Arc::new(seal), mark));
        }
        if !notes.is_empty() {
            tx.note(&notes, now, self.outside.random()).await?;
        }
        tx.commit().await?;

        if !sealed.is_empty() {
            for (feed, seal, mark) in sealed {
                self.marks.insert(feed, mark);
                touched.raised.push(seal);
            }
            self.write_marks();
        }
        self.show(touched).await;
        for prepared in group.iter_mut() {
            prepared.reply();
        }
        Ok(())
    }

    /// Durable before shown: a node that cannot write its marks must not show its seals.
    fn write_marks(&mut self) {
        self.generation += 1;
        if let Err(error) = self.mark_file.write(self.generation, &self.marks) {
            error!(%error, "cannot write the continuity marks: stopping");
            // Fail-stop: nothing has been shown or answered yet, and a restart starts from what is
            // stored. Guessing would risk one number for two states.
            std::process::exit(EXIT_DISK_FAILS);
        }
    }

    async fn fail(&mut self, group: Vec<Prepared>, error: &StoreError) {
        error!(error = error as &dyn std::error::Error, "transaction failed");
        let full = matches!(error, StoreError::Full(_));
        for prepared in group {
            match prepared.command {
                Some(Command::Commit { reply, .. }) => {
                    let why = if full { CommitError::DiskFull } else { CommitError::Storage };
                    let _ = reply.send(Err(why));
                }
                Some(Command::Deliver { delivery, reply }) => {
                    // A page that the tables refuse is not an honest one; a full disk is ours.
                    self.end_inflow(&delivery.feed);
                    let outcome = if full { Outcome::Dropped } else { Outcome::Mismatch };
                    if !full {
                        let _ = self.drop_filling(&delivery.feed).await;
                    }
                    let _ = reply.send(outcome);
                }
                // It may be half of a proof, and nobody says it twice in one session.
                Some(Command::Remember { seal }) if self.unkept.len() < UNKEPT_MAX => {
                    self.unkept.push(seal);
                }
                _ => {}
            }
        }
        tokio::time::sleep(AFTER_FAILURE).await;
    }

    /// Retires whatever was being filled for a feed.
    async fn drop_filling(&mut self, feed: &FeedId) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        let mut touched = Touched::default();
        let mut retired = Vec::new();
        for copy in touched.copies(&mut tx, feed).await? {
            if copy.state == CopyState::Filling {
                copy.state = CopyState::Retired;
                tx.update_copy(copy).await?;
                retired.push(Work::Clear(feed.clone(), copy.slot));
            }
        }
        touched.work = retired;
        tx.commit().await?;
        self.show(touched).await;
        Ok(())
    }

    /// Grants a pull, if there is something to pull and nobody else delivers it.
    async fn open(
        &mut self,
        tx: &mut S::Tx,
        touched: &mut Touched,
        seal: &Arc<Seal>,
        peer: &PointCode,
    ) -> Result<Option<Granted>, StoreError> {
        let statement = seal.statement();
        let feed = &statement.feed;
        let ours = self.keys.signer(feed).is_some();
        if self.inflows.contains_key(feed)
            || (ours && !self.recovery.borrow().awaits(feed))
            || !(ours || self.keys.may_hold(feed))
        {
            return Ok(None);
        }
        let frozen = self.heads.find(feed).is_some_and(|view| view.frozen);
        let roster = self.keys.roster();
        let copies = touched.copies(tx, feed).await?;
        let newest = copies
            .iter()
            .filter(|copy| copy.state != CopyState::Retired)
            .max_by_key(|copy| copy.epoch.counter);
        let newest_counter = newest.map_or(0, |copy| copy.epoch.counter);
        let counter = statement.epoch.counter;
        if frozen && (counter <= newest_counter || !approved(&roster, seal)) {
            return Ok(None);
        }

        let same = copies
            .iter()
            .find(|copy| copy.epoch == statement.epoch && copy.state != CopyState::Retired);
        let base = same.map_or(0, |copy| copy.number);
        let (slot, fills, after, mixed) = match same {
            Some(copy) if copy.state == CopyState::Filling => {
                (copy.slot, true, copy.sequence, copy.sequence > Sequence(0))
            }
            Some(copy) if matches!(copy.state, CopyState::Current | CopyState::Own) => {
                if statement.number <= copy.number {
                    return Ok(None);
                }
                let slot = copy.slot;
                let base = copy.sequence;
                match tx.staged_extent(slot).await? {
                    Some((last, _)) => (slot, false, last, true),
                    None => (slot, false, base, false),
                }
            }
            // Being made searchable, or being applied: its turn comes.
            Some(_) => return Ok(None),
            None if counter <= newest_counter => return Ok(None),
            None => {
                let copy = inflow::new_copy(feed.clone(), statement.epoch, statement.sequence);
                let copy = tx.insert_copy(copy).await?;
                let slot = copy.slot;
                copies.push(copy);
                (slot, true, Sequence(0), false)
            }
        };
        // What another node puts aside for the same copy cannot be told from what this one does.
        let mixed = mixed || self.store.is_shared();
        let pull = self.next_pull;
        self.next_pull += 1;
        let inflow = Inflow {
            pull,
            peer: peer.clone(),
            slot,
            epoch: statement.epoch,
            fills,
            after,
            mixed,
            base,
        };
        self.inflows.insert(feed.clone(), inflow);
        self.heads.update(feed, |view| view.busy = true);
        Ok(Some(Granted { pull, epoch: statement.epoch, after }))
    }

    async fn deliver(
        &mut self,
        tx: &mut S::Tx,
        touched: &mut Touched,
        delivery: &Delivery,
    ) -> Result<Outcome, StoreError> {
        let feed = &delivery.feed;
        let Some(inflow) = self.inflows.get(feed).filter(|inflow| inflow.pull == delivery.pull)
        else {
            return Ok(Outcome::Dropped);
        };
        let mut inflow = inflow.clone();
        let statement = delivery.seal.statement();
        let in_order = delivery.rows.first().is_none_or(|row| row.sequence > inflow.after);
        if statement.epoch != inflow.epoch || statement.feed != *feed || !in_order {
            self.end_inflow(feed);
            return Ok(Outcome::Dropped);
        }
        let settled = self.settled_state(feed);
        let is_shared = self.store.is_shared();
        let Some(copy) = touched.copy(tx, feed, inflow.slot).await? else {
            self.end_inflow(feed);
            return Ok(Outcome::Dropped);
        };
        if is_shared && inflow.is_overtaken(copy) {
            self.end_inflow(feed);
            return Ok(Outcome::Dropped);
        }
        let outcome = if inflow.fills {
            inflow::fill(tx, copy, delivery).await?
        } else {
            inflow::update(tx, copy, settled, delivery).await?
        };
        let (slot, state) = (copy.slot, copy.state);
        match outcome {
            Outcome::Stored => {
                if let Some(last) = delivery.rows.last() {
                    inflow.after = last.sequence;
                }
                self.inflows.insert(feed.clone(), inflow);
            }
            Outcome::Reached => {
                self.end_inflow(feed);
                let seal = Arc::new(delivery.seal.clone());
                let kept = tx
                    .remember_seal(feed, statement.epoch.counter, statement.number, &seal.encode())
                    .await?;
                self.judge(tx, touched, &seal, kept).await?;
                touched.raised.push(seal);
                match state {
                    CopyState::Indexing => touched.work.push(Work::Index(feed.clone(), slot)),
                    CopyState::CatchingUp => touched.work.push(Work::Advance(feed.clone(), slot)),
                    _ => {}
                }
            }
            Outcome::Mismatch => {
                self.end_inflow(feed);
                warn!(%feed, peer = %inflow.peer, mixed = inflow.mixed, "what was delivered does not add up");
                if state == CopyState::Retired {
                    touched.work.push(Work::Clear(feed.clone(), slot));
                }
                // The home itself has no one to blame: its own seal and its own rows disagree.
                let home_node = self.keys.roster().server_of(&feed.home).cloned();
                if !inflow.mixed && home_node.as_ref() == Some(&inflow.peer) {
                    self.freeze(tx, touched, &delivery.seal, None).await?;
                }
            }
            Outcome::Dropped => {}
        }
        Ok(outcome)
    }

    async fn remember(
        &mut self,
        tx: &mut S::Tx,
        touched: &mut Touched,
        seal: &Arc<Seal>,
    ) -> Result<(), StoreError> {
        let statement = seal.statement();
        let counter = statement.epoch.counter;
        let bytes = seal.encode();
        let kept = tx.remember_seal(&statement.feed, counter, statement.number, &bytes).await?;
        self.judge(tx, touched, seal, kept).await?;
        touched.raised.push(seal.clone());
        Ok(())
    }

    /// Two different seals under one number, or one epoch counter with two randoms: the home has said
    /// two things.
    async fn judge(
        &mut self,
        tx: &mut S::Tx,
        touched: &mut Touched,
        seal: &Arc<Seal>,
        kept: Option<Vec<u8>>,
    ) -> Result<(), StoreError> {
        let mut other = kept.and_then(|kept| Seal::decode(&kept).ok());
        if other.is_none() {
            let copies = touched.copies(tx, &seal.statement().feed).await?;
            other = copies
                .iter()
                .filter_map(|copy| Seal::decode(&copy.seal).ok())
                .find(|held| held.contradicts(seal));
        }
        let contradicts =
            |other: &Seal| other.contradicts(seal) && !planted::is(Fault::IgnoreEquivocation);
        match other.filter(contradicts) {
            Some(other) => self.freeze(tx, touched, seal, Some(&other)).await,
            None => Ok(()),
        }
    }

    async fn freeze(
        &mut self,
        tx: &mut S::Tx,
        touched: &mut Touched,
        one: &Seal,
        other: Option<&Seal>,
    ) -> Result<(), StoreError> {
        use prost::Message;
        let statement = one.statement();
        let proof = yizhan_proto::v1::Equivocation {
            one: Some(one.message().clone()),
            other: other.map(|other| other.message().clone()),
        };
        let found = FoundEquivocation {
            feed: statement.feed.clone(),
            epoch_counter: statement.epoch.counter,
            proof: proof.encode_to_vec(),
        };
        error!(feed = %found.feed, ?one, ?other, "frozen until the home's next epoch");
        tx.insert_equivocation(&found, self.outside.now().0).await?;
        touched.frozen.push(found.feed);
        Ok(())
    }

    /// One step of long work, in a transaction of its own.
    async fn step(&mut self, work: Work) -> Result<(), StoreError> {
        match &work {
            Work::OpenEpochs => self.open_epochs().await?,
            Work::Refresh => self.refresh().await?,
            Work::Clear(feed, slot) => {
                let mut tx = self.store.begin().await?;
                // Another node may have cleared it away, and given its slot to something new.
                let copies = tx.copies(feed).await?;
                let is_there = |copy: &Copy| copy.slot == *slot && copy.state == CopyState::Retired;
                let done = !copies.iter().any(is_there) || tx.clear(*slot, CLEAR).await?;
                tx.commit().await?;
                if !done {
                    self.work.push_back(work);
                } else if let Some(view) = self.heads.find(feed)
                    && view.filling.is_some_and(|filling| filling.slot == *slot)
                {
                    self.heads.update(feed, |view| view.filling = None);
                }
            }
            Work::Advance(feed, slot) => {
                let settled = self.settled_state(feed);
                let mut tx = self.store.begin().await?;
                let mut touched = Touched::default();
                let Some(copy) = touched.copy(&mut tx, feed, *slot).await? else { return Ok(()) };
                if copy.state != CopyState::CatchingUp {
                    // Another node has done it.
                    return Ok(());
                }
                let done = inflow::advance(&mut tx, copy, settled).await?;
                tx.commit().await?;
                self.show(touched).await;
                if !done {
                    self.work.push_front(work);
                }
            }
            Work::Index(feed, slot) => {
                if !self.index(feed, *slot).await? {
                    self.work.push_front(work);
                }
            }
        }
        Ok(())
    }

    /// Makes the next rows of a verified copy searchable; shows the copy when all are.
    async fn index(&mut self, feed: &FeedId, slot: Slot) -> Result<bool, StoreError> {
        let mut tx = self.store.begin().await?;
        let mut touched = Touched::default();
        let Some(copy) = touched.copy(&mut tx, feed, slot).await? else { return Ok(true) };
        if copy.state != CopyState::Indexing {
            // Another node has done it.
            self.indexing.forget(slot);
            return Ok(true);
        }
        let (entries, last) = self.indexing.next(&self.store, copy).await?;
        if let Some(last) = last {
            tx.enter(slot, &entries).await?;
            copy.indexed = last;
            tx.update_copy(copy).await?;
            tx.commit().await?;
            return Ok(false);
        }
        copy.indexed = copy.sequence;
        copy.state = self.settled_state(feed);
        tx.update_copy(copy).await?;
        let counter = copy.epoch.counter;
        // The switch: what the epoch before held is not read any more from this commit on.
        let mut retired = Vec::new();
        for other in touched.copies(&mut tx, feed).await? {
            if other.slot != slot && other.epoch.counter < counter {
                other.state = CopyState::Retired;
                tx.update_copy(other).await?;
                retired.push(Work::Clear(feed.clone(), other.slot));
            }
        }
        touched.work = retired;
        tx.commit().await?;
        info!(%feed, "copy is complete and searchable");
        self.show(touched).await;
        Ok(true)
    }

    /// Shows what other nodes on the same database have committed. What they have not told anybody
    /// yet is marked here before this node does.
    async fn refresh(&mut self) -> Result<(), StoreError> {
        let changed = self.store.changed(self.turn).await?;
        if changed.turn == self.turn {
            return Ok(());
        }
        let mut touched = Touched::default();
        let (mut is_new, mut opened) = (false, Vec::new());
        for copy in changed.copies {
            if copy.state == CopyState::Own {
                // Under another epoch where it lay: only who opens an epoch does that. One that was
                // taken back from a neighbour lies elsewhere.
                let before = self.heads.find(&copy.feed).and_then(|view| view.held);
                let in_place =
                    |held: Held| held.slot == copy.slot && held.epoch.counter < copy.epoch.counter;
                if before.is_some_and(in_place) {
                    opened.push(copy.feed.clone());
                }
                let mark = Mark { epoch: copy.epoch, number: copy.number };
                let newer = |known: &Mark| {
                    (known.epoch.counter, known.number) < (mark.epoch.counter, mark.number)
                };
                if self.marks.get(&copy.feed).is_none_or(newer) {
                    self.marks.insert(copy.feed.clone(), mark);
                    is_new = true;
                }
            }
            touched.copies.entry(copy.feed.clone()).or_default().push(copy);
        }
        if is_new {
            self.write_marks();
        }
        for found in self.store.equivocations().await? {
            if self.heads.find(&found.feed).is_none_or(|view| !view.frozen) {
                touched.frozen.push(found.feed);
            }
        }
        if self.heard.is_none_or(|heard| heard.elapsed() > HEAR_EVERY) {
            self.heard = Some(tokio::time::Instant::now());
            self.hear_kept().await?;
        }
        self.turn = changed.turn;
        self.show(touched).await;
        if !opened.is_empty() {
            self.recovery.send_modify(|recovery| {
                recovery.feeds.retain(|feed, _| !opened.contains(feed));
                recovery.unmarked &= !recovery.feeds.is_empty();
            });
        }
        Ok(())
    }

    /// Takes the homes' words on their heads as they are stored.
    async fn hear_kept(&self) -> Result<(), StoreError> {
        for (statement, heard_us) in self.store.statements().await? {
            if let Some((home, heard)) = super::statement::read_kept(&statement, heard_us) {
                self.heads.hear(&home, heard);
            }
        }
        Ok(())
    }

    /// What a copy is once it is whole: ours, or a copy.
    fn settled_state(&self, feed: &FeedId) -> CopyState {
        match self.keys.signer(feed) {
            Some(_) => CopyState::Own,
            None => CopyState::Current,
        }
    }

    /// After a commit: everybody may know.
    async fn show(&mut self, touched: Touched) {
        let roster_feed = self.keys.roster_feed();
        let mut roster_changed = false;
        for (feed, copies) in &touched.copies {
            self.publish(feed, copies);
            roster_changed |= *feed == roster_feed;
            self.note_taken_back(feed, copies);
        }
        for seal in &touched.raised {
            self.heads.raise(seal);
        }
        for feed in &touched.frozen {
            self.heads.update(feed, |view| view.frozen = true);
        }
        self.work.extend(touched.work);
        if roster_changed && let Err(error) = self.reload_roster().await {
            error!(error = &error as &dyn std::error::Error, "roster cannot be read");
        }
    }

    /// An own feed has reached what may have been seen of it.
    fn note_taken_back(&mut self, feed: &FeedId, copies: &[Copy]) {
        let recovery = self.recovery.borrow().clone();
        let Some(mark) = recovery.feeds.get(feed).filter(|_| !recovery.unmarked) else { return };
        let reached = copies.iter().find(|copy| {
            copy.state == CopyState::Own
                && (copy.epoch.counter, copy.number) >= (mark.epoch.counter, mark.number)
        });
        let Some(copy) = reached else { return };
        info!(%feed, "taken back from a neighbour");
        self.marks.insert(feed.clone(), Mark { epoch: copy.epoch, number: copy.number });
        self.recovery.send_modify(|recovery| {
            recovery.feeds.remove(feed);
        });
        let recovery = self.recovery.borrow().clone();
        if recovery.is_private() {
            self.work.push_back(Work::OpenEpochs);
        }
    }

    /// Every own feed that is not whole goes on in a new epoch from what is here.
    async fn open_epochs(&mut self) -> Result<(), StoreError> {
        let recovery = self.recovery.borrow().clone();
        if recovery.is_taken_back() {
            return Ok(());
        }
        let now = self.outside.now();
        let mut tx = self.store.begin().await?;
        let mut touched = Touched::default();
        let mut marks = Marks::new();
        for feed in self.to_open(&recovery) {
            let feed = &feed;
            let last = self.heads.find(feed).and_then(|view| view.head);
            let seen = last.as_ref().map_or(0, |seal| seal.statement().epoch.counter);
            let copies = touched.copies(&mut tx, feed).await?;
            if own_copy(copies).is_none() {
                let copy = own::new_copy(feed.clone(), &self.keys, &self.outside);
                copies.push(tx.insert_copy(copy).await?);
            }
            let mut retired = Vec::new();
            for copy in copies.iter_mut().filter(|copy| copy.state == CopyState::Filling) {
                copy.state = CopyState::Retired;
                tx.update_copy(copy).await?;
                retired.push(Work::Clear(feed.clone(), copy.slot));
            }
            let copy = own_copy(copies).expect("BUG: was inserted above");
            tx.unstage(copy.slot, None).await?;
            // The newest key of the home signs no epoch before its first.
            let first = self.keys.first_epoch(&feed.home);
            let marked = recovery.feeds.get(feed).map_or(0, |mark| mark.epoch.counter);
            let seen = seen.max(marked).max(first - 1);
            own::next_epoch(copy, seen, last.as_deref(), &self.outside);
            let seal = own::reseal(&mut tx, copy, &self.keys, now).await?;
            marks.insert(feed.clone(), Mark { epoch: copy.epoch, number: copy.number });
            touched.work.extend(retired);
            touched.raised.push(Arc::new(seal));
        }
        tx.commit().await?;
        for feed in marks.keys() {
            warn!(%feed, "goes on in a new epoch");
            self.inflows.remove(feed);
        }
        self.marks.extend(marks);
        self.write_marks();
        self.show(touched).await;
        // Last: who waits for it finds the new epochs.
        self.recovery.send_modify(|recovery| {
            recovery.feeds.clear();
            recovery.unmarked = false;
        });
        Ok(())
    }

    /// Own feeds that go on in a new epoch: those that are expected back, and where nobody knows which
    /// there were, all that are here or were heard of.
    fn to_open(&self, recovery: &Recovery) -> BTreeSet<FeedId> {
        let mut feeds: BTreeSet<FeedId> = recovery.feeds.keys().cloned().collect();
        if recovery.unmarked {
            let known = self.heads.all().into_iter().map(|(feed, _)| feed);
            feeds.extend(known.filter(|feed| self.keys.signer(feed).is_some()));
        }
        feeds
    }

    fn publish(&self, feed: &FeedId, copies: &[Copy]) {
        let newest = |accept: fn(CopyState) -> bool| {
            copies
                .iter()
                .filter(|copy| accept(copy.state))
                .max_by_key(|copy| copy.epoch.counter)
                .map(Held::of)
        };
        let held = newest(CopyState::is_readable).or_else(|| newest(|s| s == CopyState::Indexing));
        let filling = newest(|s| s == CopyState::Filling);
        let seal = held.as_ref().and_then(|held| held.seal.clone());
        let current = self.heads.find(feed);
        if current.is_none() && copies.is_empty() {
            // A record was to be removed from a feed that there never was.
            return;
        }
        let same = current.is_some_and(|view| {
            let key = |held: &Option<Held>| {
                held.as_ref().map(|held| {
                    (
                        held.slot,
                        held.state,
                        held.sequence,
                        held.seal.as_ref().map(|seal| seal.hash()),
                    )
                })
            };
            key(&view.held) == key(&held) && key(&view.filling) == key(&filling)
        });
        if !same {
            self.heads.update(feed, |view| {
                view.held = held;
                view.filling = filling;
            });
        }
        if let Some(seal) = seal {
            self.heads.raise(&seal);
        }
    }

    /// Reads the roster from its copy and lets everybody check against it from now on.
    async fn reload_roster(&mut self) -> Result<(), StoreError> {
        use prost::Message;
        let feed = self.keys.roster_feed();
        let Some(held) = self.heads.find(&feed).and_then(|view| view.held) else { return Ok(()) };
        if !held.state.is_relayed() {
            return Ok(());
        }
        let mut entries = Vec::new();
        let mut after = Sequence(0);
        while let Some(page) = self.store.page(held.slot, after, 1_000, usize::MAX).await? {
            let Some(last) = page.rows.last() else { break };
            after = last.sequence;
            for row in page.rows.iter().filter(|row| !row.removed) {
                let entry = yizhan_proto::v1::RosterPoint::decode(row.payload.clone())
                    .ok()
                    .and_then(|message| RosterEntry::try_from(message).ok());
                match entry {
                    Some(entry) => entries.push(entry),
                    None => warn!(id = %row.id, "roster entry cannot be read"),
                }
            }
        }
        self.keys.set_roster(entries.into_iter().collect());
        // Sessions check their peers against it when they see that something has changed.
        self.heads.update(&feed, |_| {});
        Ok(())
    }
}

/// Fail-stop: after a write or an fsync that failed, nobody knows what is on the disk, and asking it
/// again may get a false yes. Nothing of the transaction was answered or shown; the next start reads
/// what is there.
fn stop_where_disk_fails(error: &StoreError) {
    if let StoreError::Io(_) = error {
        error!(error = error as &dyn std::error::Error, "the disk fails: stopping");
        std::process::exit(EXIT_DISK_FAILS);
    }
}

/// The copy that is written here.
fn own_copy(copies: &mut [Copy]) -> Option<&mut Copy> {
    copies.iter_mut().find(|copy| copy.state == CopyState::Own)
}

/// After an equivocation or a compromise, a new epoch needs the issuer's word.
fn approved(roster: &Roster, seal: &Seal) -> bool {
    let statement = seal.statement();
    let epoch = ApprovedEpoch {
        audience: statement.feed.audience,
        counter: statement.epoch.counter,
        random: statement.epoch.random,
    };
    statement.feed.audience == Audience::Roster
        || roster.get(&statement.feed.home).is_some_and(|entry| entry.approves(&epoch))
}

/// What a command is answered with once the transaction is durable.
enum Answer {
    Nothing,
    Commit(Result<Committed, CommitError>),
    Open(Option<Granted>),
    Deliver(Outcome),
}

struct Prepared {
    command: Option<Command>,
    answer: Answer,
}

impl Prepared {
    fn new(command: Command) -> Prepared {
        Prepared { command: Some(command), answer: Answer::Nothing }
    }

    /// The same command, to be tried by itself.
    fn again(self) -> Prepared {
        Prepared { command: self.command, answer: Answer::Nothing }
    }

    fn reply(&mut self) {
        // A caller that has hung up does not want to know.
        match (self.command.take(), std::mem::replace(&mut self.answer, Answer::Nothing)) {
            (Some(Command::Commit { reply, .. }), Answer::Commit(result)) => {
                let _ = reply.send(result);
            }
            (Some(Command::Open { reply, .. }), Answer::Open(granted)) => {
                let _ = reply.send(granted);
            }
            (Some(Command::Deliver { reply, .. }), Answer::Deliver(outcome)) => {
                let _ = reply.send(outcome);
            }
            _ => {}
        }
    }
}
