//! The writer's front door: what may be asked of it, and how it is started.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use tokio::sync::{mpsc, oneshot, watch};

use super::{engine::Engine, recovery::Recovery};
use crate::{
    disk::Disk,
    domain::audience::FeedId,
    domain::{
        id::PointCode,
        position::{Epoch, Sequence},
    },
    feed::{
        change::{Change, CommitError, Committed},
        continuity::{MarkFile, Marks},
        heads::{Heads, Heard},
        indexing::Indexing,
        inflow::{Delivery, Outcome},
        keyring::Keyring,
        seal::Seal,
    },
    outside::Outside,
    store::{FeedStore, StoreError},
};

/// Commands that wait for the writer. A caller beyond that waits to be let in.
const QUEUE: usize = 1_024;

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

pub(super) enum Command {
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
        /// The other half of a proof.
        against: Option<Arc<Seal>>,
    },
    Hear {
        home: PointCode,
        heard: Heard,
    },
    Expect(Marks),
    OpenEpochs,
    NextEpochs(BTreeSet<FeedId>),
    Reconciling(bool),
    Refresh,
    Retire(FeedId),
}

/// The writer's front door. Cheap to clone.
#[derive(Clone)]
pub struct Writer {
    commands: mpsc::Sender<Command>,
    recovering: watch::Receiver<Recovery>,
    disk: Arc<Disk>,
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
            intact: BTreeMap::new(),
            turn: 0,
            heard: None,
        };
        engine.resume(parts.marks).await?;
        let writer = Writer { commands, recovering, disk: Arc::default() };
        Ok((writer, tokio::spawn(engine.run(queue))))
    }

    /// The same writer, which from here on lets in only what cannot wait while the disk is short of
    /// room.
    pub fn minding(self, disk: Arc<Disk>) -> Writer {
        Writer { disk, ..self }
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
        if self.disk.is_scarce() && change.can_wait() {
            return Err(CommitError::DiskFull);
        }
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
    /// it, there is nothing to pull, or the disk is short of room.
    pub async fn open(&self, seal: Arc<Seal>, peer: PointCode) -> Option<Granted> {
        if self.disk.is_scarce() {
            return None;
        }
        let (reply, answer) = oneshot::channel();
        self.send(Command::Open { seal, peer, reply }).await?;
        answer.await.ok()?
    }

    /// Hands over a page, in the order of the calls. What is returned resolves when the page is
    /// durable, or refused.
    pub async fn deliver(&self, delivery: Delivery) -> impl Future<Output = Outcome> + use<> {
        let (reply, answer) = oneshot::channel();
        // If the writer is gone, so is the reply.
        self.send(Command::Deliver { delivery: Box::new(delivery), reply }).await;
        async move { answer.await.unwrap_or(Outcome::Dropped) }
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

    /// These own feeds go on in their next epochs from what is here: after the home has contradicted
    /// itself.
    pub async fn next_epochs(&self, feeds: BTreeSet<FeedId>) {
        self.send(Command::NextEpochs(feeds)).await;
    }

    /// Own feeds that go on somewhere above these marks once epochs are opened, though nothing of them
    /// is here.
    pub async fn expect(&self, marks: Marks) {
        self.send(Command::Expect(marks)).await;
    }

    /// Clears away a feed that has been handed over to the home's own node.
    pub async fn retire(&self, feed: FeedId) {
        self.send(Command::Retire(feed)).await;
    }

    /// Takes notice of what other nodes have written into a shared database.
    pub async fn refresh(&self) {
        self.send(Command::Refresh).await;
    }

    /// Keeps a verified seal, and notices if it contradicts one that is kept.
    pub async fn remember(&self, seal: Arc<Seal>) {
        self.send(Command::Remember { seal, against: None }).await;
    }

    /// Keeps two verified seals that contradict each other. They need not have one number: an epoch that
    /// was opened twice is a contradiction too, which who holds no copy could not tell from either half.
    pub async fn remember_both(&self, one: Arc<Seal>, other: Arc<Seal>) {
        self.send(Command::Remember { seal: one.clone(), against: None }).await;
        self.send(Command::Remember { seal: other, against: Some(one) }).await;
    }

    /// Keeps a home's verified word on its heads.
    pub async fn hear(&self, home: PointCode, heard: Heard) {
        self.send(Command::Hear { home, heard }).await;
    }

    async fn send(&self, command: Command) -> Option<()> {
        self.commands.send(command).await.ok()
    }
}
