//! A group of commands in one transaction, answered once it is durable.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tracing::{error, warn};

use super::{
    doubles::Doubles,
    engine::{AFTER_FAILURE, Engine, Touched, UNKEPT_MAX, own_copy, stop_where_disk_fails},
    handle::{Command, Granted},
    work::Work,
};
use crate::{
    domain::{audience::FeedId, audit::Notes},
    feed::{
        change::{Change, CommitError, Committed, Expect},
        continuity::Mark,
        inflow::Outcome,
        own::{self, Gathering},
    },
    store::{FeedStore, FeedTx, StoreError},
};

impl<S: FeedStore> Engine<S> {
    /// One group, one transaction. If it fails as a whole, each command is tried by itself, so that a
    /// neighbour's malformed page costs nobody else anything.
    pub(super) async fn handle(&mut self, group: Vec<Command>) {
        let alone = group.len() == 1;
        let mut prepared: Vec<Prepared> = Vec::with_capacity(group.len());
        let unkept = std::mem::take(&mut self.unkept);
        let alone = alone && unkept.is_empty();
        let again = |(seal, against)| Prepared::new(Command::Remember { seal, against });
        prepared.extend(unkept.into_iter().map(again));
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

    /// What needs no transaction is answered here.
    pub(super) fn prepare(&mut self, command: Command) -> Option<Prepared> {
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
            Command::NextEpochs(feeds) => {
                self.work.push_back(Work::NextEpochs(feeds));
                None
            }
            Command::Expect(marks) => {
                self.recovery.send_if_modified(|recovery| {
                    let expects = recovery.unmarked;
                    if expects {
                        recovery.feeds.extend(marks);
                    }
                    expects
                });
                None
            }
            Command::Retire(feed) => {
                self.work.push_back(Work::Retire(feed));
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
                    let checked = own::check(&change, &self.keys);
                    checked.and_then(|()| self.check_frozen(&change, reconciles)).err()
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

    /// Nobody would take what is written into a frozen feed. What brings home records in line before
    /// the node serves is let in: the next epoch starts from it.
    fn check_frozen(&self, change: &Change, reconciles: bool) -> Result<(), CommitError> {
        let feeds: BTreeSet<&FeedId> = change.writes.iter().map(|write| &write.feed).collect();
        let is_frozen = |feed: &&FeedId| self.heads.find(feed).is_some_and(|view| view.is_frozen());
        match feeds.into_iter().find(is_frozen) {
            Some(feed) if !reconciles => Err(CommitError::Frozen { feed: feed.clone() }),
            _ => Ok(()),
        }
    }

    pub(super) async fn transact(&mut self, group: &mut [Prepared]) -> Result<(), StoreError> {
        let now = self.outside.now();
        let mut tx = self.store.begin().await?;
        let mut touched = Touched::default();
        let mut gathering = Gathering::default();
        let mut notes = Notes::default();

        // What all changes of the group meet is read at once: one query per feed, however many small
        // changes there are. Nothing else in a group writes into own feeds; while one is taken back,
        // changes are refused before they get here.
        let met = met(group);
        let mut slots = BTreeMap::new();
        for feed in met.expects.iter().map(|expect| &expect.feed) {
            if !slots.contains_key(feed) {
                let copies = touched.copies(&mut tx, feed).await?;
                if let Some(own) = own_copy(copies) {
                    slots.insert(feed.clone(), own.slot);
                }
            }
        }
        gathering.read(&mut tx, &met, &slots).await?;
        let mut doubles = Doubles::read(&mut tx, group, &slots).await?;
        for prepared in group.iter_mut() {
            prepared.answer = match prepared.command.as_ref().expect("BUG: taken when answered") {
                Command::Commit { change, .. } => {
                    let committed = match doubles.admit(change) && pass(&mut tx, change).await? {
                        true => gathering.add(change.clone()),
                        false => Err(CommitError::Stale),
                    };
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
                Command::Remember { seal, against } => {
                    self.remember(&mut tx, &mut touched, seal, against.as_deref()).await?;
                    Answer::Nothing
                }
                Command::Hear { home, heard } => {
                    let list = match heard.audience {
                        None => home.to_string(),
                        Some(audience) => FeedId::new(home.clone(), audience).to_string(),
                    };
                    tx.put_statement(&list, heard.number, &heard.statement, heard.at.0).await?;
                    Answer::Nothing
                }
                Command::Close { .. }
                | Command::Expect(_)
                | Command::OpenEpochs
                | Command::NextEpochs(_)
                | Command::Refresh
                | Command::Retire(_)
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
        touched.write(&mut tx).await?;
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

    pub(super) async fn fail(&mut self, group: Vec<Prepared>, error: &StoreError) {
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
                Some(Command::Remember { seal, against }) if self.unkept.len() < UNKEPT_MAX => {
                    self.unkept.push((seal, against));
                }
                _ => {}
            }
        }
        tokio::time::sleep(AFTER_FAILURE).await;
    }
}

/// What a command is answered with once the transaction is durable.
pub(super) enum Answer {
    Nothing,
    Commit(Result<Committed, CommitError>),
    Open(Option<Granted>),
    Deliver(Outcome),
}

/// Passes the lanes of a change; false if somebody has passed one of them before.
async fn pass<T: FeedTx>(tx: &mut T, change: &Change) -> Result<bool, StoreError> {
    for turn in &change.turns {
        if !tx.pass(*turn).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Every record that the changes of a group touch or expect.
fn met(group: &[Prepared]) -> Change {
    let mut met = Change::new();
    for prepared in group {
        let Some(change) = prepared.change() else { continue };
        let writes = change.writes.iter().map(|write| (&write.feed, write.id));
        let expects = change.expects.iter().map(|expect| (&expect.feed, expect.id));
        for (feed, id) in writes.chain(expects) {
            met.expects.push(Expect { feed: feed.clone(), id, at: None });
        }
    }
    met
}

pub(super) struct Prepared {
    pub(super) command: Option<Command>,
    pub(super) answer: Answer,
}

impl Prepared {
    pub(super) fn new(command: Command) -> Prepared {
        Prepared { command: Some(command), answer: Answer::Nothing }
    }

    /// What it is to write into own feeds.
    pub(super) fn change(&self) -> Option<&Change> {
        match &self.command {
            Some(Command::Commit { change, .. }) => Some(change),
            _ => None,
        }
    }

    /// The same command, to be tried by itself.
    pub(super) fn again(self) -> Prepared {
        Prepared { command: self.command, answer: Answer::Nothing }
    }

    pub(super) fn reply(&mut self) {
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
