//! Walking through the hits of a question in the order of positions, in some copies only.

use std::collections::BTreeSet;

use crate::{
    domain::position::Sequence,
    store::{
        Slot, StoreError,
        database::{Database, Reader},
        records,
    },
};

/// Questions to the index in one walk. Copies that may not be read are jumped over, one question
/// each at most; a walk that ends here goes on with the next page.
const QUESTIONS_MAX: usize = 10_000;

/// A walk through the hits of one question.
pub struct Scan<'a> {
    db: &'a Database,
    words: String,
    slots: BTreeSet<Slot>,
    /// Just before the next position to look at.
    at: i64,
    questions: usize,
    is_over: bool,
}

impl<'a> Scan<'a> {
    pub fn new(db: &'a Database, words: String, slots: BTreeSet<Slot>, after: i64) -> Scan<'a> {
        Scan { db, words, slots, at: after, questions: 0, is_over: false }
    }

    /// The next positions, at most `limit`, in order; fewer only at the end.
    pub async fn next(&mut self, db: &mut Reader, limit: usize) -> Result<Vec<i64>, StoreError> {
        let mut hits = Vec::new();
        while !self.is_over && hits.len() < limit {
            let Some(slot) = self.slots.range(slot_of(self.at)..).next().copied() else {
                self.is_over = true;
                break;
            };
            self.at = self.at.max(slot.position(Sequence(0)));
            if self.questions == QUESTIONS_MAX {
                break;
            }
            self.questions += 1;
            let asked = limit - hits.len();
            let found =
                records::find_positions(db, self.db.dialect, &self.words, self.at, asked).await?;
            let is_inside = |at: &&i64| self.slots.contains(&slot_of(**at));
            let inside = found.iter().take_while(is_inside).count();
            hits.extend_from_slice(&found[..inside]);
            match found.get(inside) {
                // Nothing of this copy may be seen: on to the next one.
                Some(outside) => self.at = slot_of(*outside).position(Sequence::MAX),
                None => {
                    self.at = found.last().copied().unwrap_or(self.at);
                    self.is_over = found.len() < asked;
                }
            }
        }
        Ok(hits)
    }

    /// Nothing is left.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Gave up for this page: the next one starts at `at`.
    pub fn is_tired(&self) -> bool {
        !self.is_over && self.questions >= QUESTIONS_MAX
    }

    pub fn at(&self) -> i64 {
        self.at
    }
}

fn slot_of(position: i64) -> Slot {
    Slot((position >> 40) as u32)
}
