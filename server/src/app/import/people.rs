//! Who the files speak of: what later tables need to know of an earlier table's members.
//!
//! Kept under a hash of the source id, so that a million people cost tens of megabytes and not
//! hundreds; the hash is seeded at random, so nobody can choose two ids that meet.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
};

use crate::domain::{
    disclosure::Bases,
    id::{GrantId, MemberId},
    language::LocalTexts,
};

/// A member of the files.
pub struct Person {
    pub id: MemberId,
    /// Number of the home in `Homes`.
    pub home: u32,
    pub state: Standing,
    /// Only of members whose home is served here.
    pub cards: Option<Box<Cards>>,
    /// What is shown beside an appearance, and the releases that allow it; only of speakers.
    pub speaker: Option<Box<Speaker>>,
    /// The consent to be reached by points, if it holds.
    pub contact: Option<GrantId>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// The row was bad: whatever leans on it is bad too.
    Rejected,
    Erased,
    Living,
}

/// What a member's consents may bring about.
pub struct Cards {
    /// Encoded card without a basis; the public card is a part of it. None: the member's state
    /// lets none exist.
    pub card: Option<Box<[u8]>>,
    pub bases: Bases,
}

#[derive(Default)]
pub struct Speaker {
    pub display_names: LocalTexts,
    /// Source id of the event (empty: any), and the consent.
    pub releases: Vec<(String, GrantId)>,
}

/// All members of the files by source id.
#[derive(Default)]
pub struct People {
    seed: RandomState,
    by_source: HashMap<u64, Person>,
}

impl People {
    /// False: the id was there before.
    pub fn add(&mut self, source: &str, person: Person) -> bool {
        use std::collections::hash_map::Entry;
        match self.by_source.entry(self.seed.hash_one(source)) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(person);
                true
            }
        }
    }

    pub fn get(&self, source: &str) -> Option<&Person> {
        self.by_source.get(&self.seed.hash_one(source))
    }

    pub fn get_mut(&mut self, source: &str) -> Option<&mut Person> {
        self.by_source.get_mut(&self.seed.hash_one(source))
    }

    pub fn has(&self, source: &str) -> bool {
        self.by_source.contains_key(&self.seed.hash_one(source))
    }

    pub fn all(&mut self) -> impl Iterator<Item = &mut Person> {
        self.by_source.values_mut()
    }
}
