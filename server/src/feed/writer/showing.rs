//! After a commit: everybody may know. Marks first, then heads, then the roster that others check against.

use std::sync::Arc;

use tracing::{error, warn};

use super::{
    engine::{EXIT_DISK_FAILS, Engine, Touched},
    work::Work,
};
use crate::{
    domain::{
        audience::FeedId,
        kind::Kind,
        position::{Row, Sequence},
    },
    feed::{heads::Held, seal::Seal, statement},
    store::{Copy, CopyState, FeedStore, StoreError},
    wire,
};

impl<S: FeedStore> Engine<S> {
    /// Durable before shown: a node that cannot write its marks must not show its seals.
    pub(super) fn write_marks(&mut self) {
        self.generation += 1;
        if let Err(error) = self.mark_file.write(self.generation, &self.marks) {
            error!(%error, "cannot write the continuity marks: stopping");
            // Fail-stop: nothing has been shown or answered yet, and a restart starts from what is
            // stored. Guessing would risk one number for two states.
            std::process::exit(EXIT_DISK_FAILS);
        }
    }

    /// After a commit: everybody may know.
    pub(super) async fn show(&mut self, touched: Touched) {
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
        for (feed, counter) in &touched.contradicted {
            self.heads.contradict(feed, *counter);
        }
        self.work.extend(touched.work);
        if roster_changed && let Err(error) = self.reload_roster().await {
            error!(error = &error as &dyn std::error::Error, "roster cannot be read");
        }
    }

    pub(super) fn publish(&self, feed: &FeedId, copies: &[Copy]) {
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
    pub(super) async fn reload_roster(&mut self) -> Result<(), StoreError> {
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
            // A kind that a newer version has added says nothing here.
            let is_entry = |row: &&Row| !row.removed && row.kind == Kind::ROSTER_POINT;
            for row in page.rows.iter().filter(is_entry) {
                match wire::roster::read(&row.payload) {
                    Ok(entry) => entries.push(entry),
                    // It is entered, and counted, as a row that cannot be read.
                    Err(invalid) => {
                        warn!(id = %row.id, field = %invalid.field, "roster entry cannot be read");
                    }
                }
            }
        }
        self.keys.set_roster(entries.into_iter().collect());
        self.disown();
        self.work.push_back(Work::LeaveHomes);
        self.work.extend(self.withdrawn().into_iter().map(Work::GiveAway));
        // Sessions check their peers against it when they see that something has changed.
        self.heads.update(&feed, |_| {});
        Ok(())
    }

    /// What lies beyond the last state that its key counts for is not shown any more, and what such a key
    /// has announced is not waited for.
    fn disown(&self) {
        for (feed, view) in self.heads.all() {
            let seal = view.held.as_ref().and_then(|held| held.seal.clone());
            let is_void =
                |head: &Arc<Seal>| Some(head) != seal.as_ref() && self.keys.verify(head).is_err();
            if view.head.as_ref().is_some_and(is_void) {
                self.heads.update(&feed, |view| view.head = seal.clone());
            }
            let Some(seal) = seal.filter(|seal| self.keys.is_disowned(seal)) else { continue };
            let counter = seal.statement().epoch.counter;
            if view.disowned < Some(counter) {
                warn!(%feed, ?seal, "its key does not count for it any more: hidden");
                self.heads.update(&feed, |view| view.disowned = Some(counter));
            }
        }
    }

    /// Takes the homes' words on their heads as they are stored.
    pub(super) async fn hear_kept(&self) -> Result<(), StoreError> {
        for (statement, heard_us) in self.store.statements().await? {
            if let Some((home, heard)) = statement::read_kept(&statement, heard_us) {
                self.heads.hear(&home, heard, |feed| self.keys.may_hold(feed));
            }
        }
        Ok(())
    }
}
