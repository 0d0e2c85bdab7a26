//! Looks on their way into the audit: those that wait share one transaction.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot};
use tracing::{error, warn};

use super::mark::MarkFile;
use crate::{
    app::error::{Error, Result},
    domain::{
        audit::{Act, Deed, KEPT_US, MARK_MISSING, Mark},
        id::RecordId,
        kind::Kind,
        policy::{Operation, Role},
        time::Time,
    },
    identity::caller::Caller,
    outside::Outside,
    store::{StoreError, audit, database::Database},
};

/// Looks that wait for their transaction. One beyond that is refused: what is not noted is not shown.
const QUEUE: usize = 4_096;
/// Looks of one transaction.
const GROUP: usize = 512;
/// Old lines removed in one transaction.
const REMOVED_AT_ONCE: u64 = 10_000;
/// How long a failed transaction is rested from.
const AFTER_FAILURE: Duration = Duration::from_millis(200);

struct Waiting {
    acts: Vec<Act>,
    done: oneshot::Sender<Done>,
}

enum Done {
    Durable,
    Full,
    Failed,
}

/// The audit of a node. Cheap to clone.
#[derive(Clone)]
pub struct Audit {
    queue: mpsc::Sender<Waiting>,
    pub(super) db: Database,
    pub(super) outside: Outside,
    pub(super) mark: Arc<MarkFile>,
}

impl Audit {
    /// Holds the chain against the mark in `dir` (none: the mark is kept in memory, for tests), and
    /// starts to append. What has been cut off is noted as lost; with `put_back` it is known that
    /// the whole database is an older one.
    pub async fn start(
        db: Database,
        outside: Outside,
        dir: Option<&Path>,
        put_back: bool,
    ) -> Result<Audit, StoreError> {
        let mark = Arc::new(MarkFile::open(dir).map_err(|_| StoreError::Damaged { what: "mark" })?);
        let (queue, waiting) = mpsc::channel(QUEUE);
        let audit = Audit { queue, db: db.clone(), outside: outside.clone(), mark };
        audit.resume(put_back).await?;
        tokio::spawn(append(db, outside, waiting));
        Ok(audit)
    }

    async fn resume(&self, put_back: bool) -> Result<(), StoreError> {
        let (now, seed) = (self.outside.now(), self.outside.random());
        let mut tx = self.db.begin().await?;
        let dialect = tx.dialect;
        let newest = audit::newest(tx.connection()).await?;
        match self.mark.get() {
            None if newest != Mark::NONE => {
                warn!("the audit's mark is missing, as after a restore");
                let act = Deed::of_node(MARK_MISSING).on_nothing("started");
                audit::append(tx.connection(), dialect, &[act], now, seed).await?;
            }
            Some(mark) if newest.number < mark.number => {
                error!(found = newest.number, marked = mark.number, "lines of the audit are gone");
                audit::note_loss(tx.connection(), dialect, (mark, put_back), now, seed).await?;
            }
            _ => return Ok(()),
        }
        tx.commit().await?;
        let newest = audit::newest(&mut *self.db.reader().await?).await?;
        self.mark.put(newest).map_err(|_| StoreError::Damaged { what: "mark" })
    }

    /// Keeps the newest line's number and hash outside the database. A chain that does not hold what
    /// was marked stays as it is, for a check to find.
    pub async fn keep_mark(&self) -> Result<(), StoreError> {
        let newest = audit::newest(&mut *self.db.reader().await?).await?;
        let before = self.mark.get();
        if newest == Mark::NONE || before == Some(newest) {
            return Ok(());
        }
        if let Some(before) = before {
            let db = &mut *self.db.reader().await?;
            let is_removed = before.number <= audit::base(db).await?.number;
            if !is_removed && audit::hash_of(db, before.number).await? != Some(before.hash) {
                error!(number = before.number, "the audit is not what was marked");
                return Ok(());
            }
        }
        let mark = self.mark.clone();
        let kept = tokio::task::spawn_blocking(move || mark.put(newest)).await;
        match kept {
            Ok(Ok(())) => Ok(()),
            _ => Err(StoreError::Damaged { what: "mark" }),
        }
    }

    /// Removes lines that are older than they may become.
    pub async fn remove_old(&self) -> Result<(), StoreError> {
        let now = self.outside.now();
        loop {
            let mut tx = self.db.begin().await?;
            let before = Time(now.0 - KEPT_US);
            let seed = self.outside.random();
            if !audit::remove_old(&mut tx, before, REMOVED_AT_ONCE, now, seed).await? {
                return Ok(());
            }
            tx.commit().await?;
        }
    }

    /// The caller has been shown these records. Returns when that is durable; the answer may leave
    /// the node only then. Public records are nobody's secret: they are not for here.
    pub async fn looked(
        &self,
        caller: &Caller,
        operation: Operation,
        shown: impl IntoIterator<Item = (Kind, RecordId)>,
    ) -> Result<()> {
        let deed = caller.deed(operation);
        self.note(shown.into_iter().map(|(kind, id)| deed.act(kind, id, "shown")).collect()).await
    }

    /// Somebody of the province has looked at what the network's points do. Returns when that is durable.
    pub async fn looked_at_network(&self, caller: &Caller, operation: Operation) -> Result<()> {
        let deed = caller.deed(operation);
        if deed.author.role != Role::ProvincialAdmin.name() {
            return Ok(());
        }
        self.note(vec![deed.on_nothing("network_metadata")]).await
    }

    /// A caller who is signed in was refused something. `outcome` is a short word.
    pub async fn refused(
        &self,
        caller: &Caller,
        operation: Operation,
        record: Option<RecordId>,
        outcome: &'static str,
    ) -> Result<()> {
        if !matches!(caller, Caller::Account { .. }) {
            return Ok(());
        }
        let deed = caller.deed(operation);
        let act = match record {
            Some(record) => deed.act(Kind(0), record, outcome),
            None => deed.on_nothing(outcome),
        };
        self.note(vec![act]).await
    }

    /// Appends lines; durable when this returns.
    pub async fn note(&self, acts: Vec<Act>) -> Result<()> {
        if acts.is_empty() {
            return Ok(());
        }
        let (done, answer) = oneshot::channel();
        self.queue.try_send(Waiting { acts, done }).map_err(|_| Error::Busy)?;
        match answer.await {
            Ok(Done::Durable) => Ok(()),
            Ok(Done::Full) => Err(Error::StorageFull),
            Ok(Done::Failed) | Err(_) => Err(Error::Busy),
        }
    }
}

async fn append(db: Database, outside: Outside, mut waiting: mpsc::Receiver<Waiting>) {
    let mut group = Vec::with_capacity(GROUP);
    while waiting.recv_many(&mut group, GROUP).await > 0 {
        let taken = std::mem::take(&mut group);
        let acts: Vec<Act> = taken.iter().flat_map(|one| one.acts.iter().cloned()).collect();
        let result = commit(&db, &outside, &acts).await;
        for one in taken {
            // A caller that has hung up is shown nothing.
            let _ = one.done.send(match &result {
                Ok(()) => Done::Durable,
                Err(StoreError::Full(_)) => Done::Full,
                Err(_) => Done::Failed,
            });
        }
        if let Err(error) = &result {
            error!(error = error as &dyn std::error::Error, "looks cannot be noted: not answered");
            tokio::time::sleep(AFTER_FAILURE).await;
        }
    }
}

async fn commit(db: &Database, outside: &Outside, acts: &[Act]) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    let dialect = tx.dialect;
    audit::append(tx.connection(), dialect, acts, outside.now(), outside.random()).await?;
    tx.commit().await
}
