//! Pulls that are granted to neighbours, and the pages that they deliver.

use std::sync::Arc;

use prost::Message;
use tracing::warn;
use yizhan_proto::v1;

use super::{
    doubt::Doubt,
    engine::{Engine, Touched},
    group::{Answer, Prepared},
    handle::Granted,
    work::Work,
};
use crate::{
    domain::{
        audience::{Audience, FeedId},
        id::PointCode,
        position::Sequence,
        roster::{ApprovedEpoch, Roster},
    },
    feed::{
        inflow::{self, Delivery, Inflow, Outcome},
        seal::Seal,
    },
    store::{CopyState, FeedStore, FeedTx, StoreError},
};

impl<S: FeedStore> Engine<S> {
    /// Grants a pull, if there is something to pull and nobody else delivers it.
    pub(super) async fn open(
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
        let view = self.heads.find(feed).unwrap_or_default();
        let counter = statement.epoch.counter;
        // A frozen feed goes on with an epoch that the roster approves, and with nothing else.
        if view.is_frozen() && (view.broken() >= Some(counter) || !self.approves(seal).await?) {
            return Ok(None);
        }
        let copies = touched.copies(tx, feed).await?;
        let newest = copies
            .iter()
            .filter(|copy| copy.state != CopyState::Retired)
            .max_by_key(|copy| copy.epoch.counter);
        let newest_counter = newest.map_or(0, |copy| copy.epoch.counter);
        let same = copies
            .iter()
            .find(|copy| copy.epoch == statement.epoch && copy.state != CopyState::Retired);
        let base = same.map_or(0, |copy| copy.number);
        let mut staged = false;
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
                    Some((last, _)) => {
                        staged = true;
                        (slot, false, last, true)
                    }
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
            staged,
        };
        self.inflows.insert(feed.clone(), inflow);
        self.heads.update(feed, |view| view.busy = true);
        Ok(Some(Granted { pull, epoch: statement.epoch, after }))
    }

    pub(super) async fn deliver(
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
        let outcome = if delivery.bad.is_some() {
            inflow::give_up(tx, copy, inflow.fills).await?
        } else if inflow.fills {
            inflow::fill(tx, copy, delivery).await?
        } else {
            // On a shared database another node may have put rows aside.
            let staged = match is_shared {
                true => tx.staged_extent(copy.slot).await?.is_some(),
                false => inflow.staged,
            };
            inflow::update(tx, copy, settled, staged, delivery).await?
        };
        let (slot, state) = (copy.slot, copy.state);
        if inflow.fills {
            touched.unwritten.insert((feed.clone(), slot));
        }
        match outcome {
            Outcome::Stored => {
                if let Some(last) = delivery.rows.last() {
                    inflow.after = last.sequence;
                    inflow.staged |= !inflow.fills;
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
                warn!(%feed, peer = %inflow.peer, mixed = inflow.mixed, bad = ?delivery.bad, "what was delivered does not add up");
                if state == CopyState::Retired {
                    touched.work.push(Work::Clear(feed.clone(), slot));
                }
                // The home itself has no one to blame: its own seal and its own rows disagree.
                let is_theirs = delivery.bad.is_some() || !inflow.mixed;
                let home_node = self.keys.roster().server_of(&feed.home).cloned();
                let blamed = is_theirs && home_node.as_ref() == Some(&inflow.peer);
                if delivery.bad.is_none() && state == CopyState::Current {
                    let blamed = blamed.then(|| delivery.seal.clone());
                    let base = touched.copy(tx, feed, slot).await?;
                    let doubt = base.map(|base| Doubt::of(base, blamed));
                    doubt.into_iter().for_each(|doubt| self.doubt(touched, doubt));
                } else if blamed {
                    self.freeze(tx, touched, &delivery.seal, None).await?;
                }
            }
            Outcome::Dropped => {}
        }
        Ok(outcome)
    }

    /// After an equivocation or a compromise, a new epoch needs the issuer's word. If it is the issuer
    /// that has contradicted itself, it needs the authority's, which has then named another one.
    async fn approves(&self, seal: &Seal) -> Result<bool, StoreError> {
        let feed = &seal.statement().feed;
        if feed.audience != Audience::Roster {
            return Ok(is_approved(&self.keys.roster(), seal));
        }
        let held = self.heads.find(feed).and_then(|view| view.held);
        let held = held.map_or(0, |held| held.epoch.counter);
        let found = self.store.equivocations().await?;
        let mut proofs = found
            .into_iter()
            .filter(|found| found.feed == *feed && found.epoch_counter >= held)
            .filter_map(|found| v1::Equivocation::decode(&found.proof[..]).ok());
        let is_by_issuer = |proof: v1::Equivocation| {
            let said = [proof.one, proof.other].into_iter().flatten();
            said.filter_map(|said| Seal::read(said).ok())
                .any(|said| self.keys.verify(&said).is_ok())
        };
        Ok(!proofs.any(is_by_issuer))
    }

    /// A pull is over; others may have been waiting for their turn to deliver the feed.
    pub(super) fn end_inflow(&mut self, feed: &FeedId) {
        self.inflows.remove(feed);
        self.heads.update(feed, |view| view.busy = false);
    }

    /// Pulls that a failed transaction had granted are nobody's.
    pub(super) fn take_back(&mut self, group: &[Prepared]) {
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

    /// Retires whatever was being filled for a feed.
    pub(super) async fn drop_filling(&mut self, feed: &FeedId) -> Result<(), StoreError> {
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
}

/// Does the issuer approve of the epoch of this seal?
fn is_approved(roster: &Roster, seal: &Seal) -> bool {
    let statement = seal.statement();
    let epoch = ApprovedEpoch {
        audience: statement.feed.audience,
        counter: statement.epoch.counter,
        random: statement.epoch.random,
    };
    roster
        .get(&statement.feed.home)
        .is_some_and(|entry| entry.approves(&epoch) || entry.has_new_key_at(epoch.counter))
}
