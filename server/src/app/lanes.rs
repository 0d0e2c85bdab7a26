//! What must not be made twice at one moment, though nothing in the tables is named by it: a person who
//! is entered at two desks, a number that two people give.
//!
//! Looking first is not enough: both may look before either has written. So each reads the turn of the
//! name's lane before it looks, and passes the lane with what it writes; the second one is stale, and
//! looks again. Many names share a lane, which costs a second look now and then; in return a lane says
//! nothing of anybody, and stays when people are erased.

use std::collections::BTreeSet;

use super::{App, error::Result};
use crate::{
    domain::{id::PointCode, likeness::Traits, member::Member, position::Turn},
    store,
};

/// Lanes of a database.
const LANES: u32 = 1_024;
/// Times that something is tried whose lane somebody else has passed.
pub const TRIES: usize = 16;

/// Where the lanes of these names stand. To be read before what is held against what is stored.
pub async fn turns(app: &App, names: impl IntoIterator<Item = String>) -> Result<Vec<Turn>> {
    let lanes: BTreeSet<u32> = names.into_iter().map(|name| lane(&name)).collect();
    Ok(store::lanes::turns(&mut *app.db.reader().await?, lanes).await?)
}

/// What a member is known by at a home, and nobody else is to be entered with at the same moment.
pub fn names_of(home: &PointCode, member: &Member) -> Vec<String> {
    let traits = Traits::of(member);
    traits.asked().into_iter().map(|by| format!("member {home} {by:?}")).collect()
}

fn lane(name: &str) -> u32 {
    let hash = blake3::hash(name.as_bytes());
    let [a, b, c, d, ..] = *hash.as_bytes();
    u32::from_le_bytes([a, b, c, d]) % LANES
}
