//! Records of a group that nothing else may be looked up like: asked once, however many they are.

use std::collections::{BTreeMap, HashMap};

use super::group::Prepared;
use crate::{
    domain::{audience::FeedId, id::RecordId},
    feed::change::Change,
    store::{FeedTx, Slot, StoreError},
};

/// What look-up ids lead to.
#[derive(Default)]
pub(super) struct Doubles(HashMap<(FeedId, [u8; 16]), RecordId>);

impl Doubles {
    pub(super) async fn read<T: FeedTx>(
        tx: &mut T,
        group: &[Prepared],
        slots: &BTreeMap<FeedId, Slot>,
    ) -> Result<Doubles, StoreError> {
        let mut wanted: BTreeMap<&FeedId, Vec<[u8; 16]>> = BTreeMap::new();
        for sole in group.iter().filter_map(Prepared::change).flat_map(|change| &change.soles) {
            wanted.entry(&sole.feed).or_default().push(sole.lookup);
        }
        let mut doubles = Doubles::default();
        for (feed, lookups) in wanted {
            let Some(slot) = slots.get(feed) else { continue };
            for (lookup, id) in tx.looked_up(*slot, &lookups).await? {
                doubles.0.insert((feed.clone(), lookup), id);
            }
        }
        Ok(doubles)
    }

    /// Is nothing else looked up as this change's records are, and by nothing before it in its group?
    pub(super) fn admit(&mut self, change: &Change) -> bool {
        change.soles.iter().all(|sole| {
            *self.0.entry((sole.feed.clone(), sole.lookup)).or_insert(sole.id) == sole.id
        })
    }
}
