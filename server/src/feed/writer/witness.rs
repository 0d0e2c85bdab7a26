//! Seals that are kept: two of one number are a proof against their home.

use std::sync::Arc;

use tracing::error;

use super::engine::{Engine, Touched};
use crate::{
    feed::seal::Seal,
    planted::{self, Fault},
    store::{FeedStore, FeedTx, FoundEquivocation, StoreError},
};

impl<S: FeedStore> Engine<S> {
    pub(super) async fn remember(
        &mut self,
        tx: &mut S::Tx,
        touched: &mut Touched,
        seal: &Arc<Seal>,
        against: Option<&Seal>,
    ) -> Result<(), StoreError> {
        let statement = seal.statement();
        let counter = statement.epoch.counter;
        let bytes = seal.encode();
        let kept = tx.remember_seal(&statement.feed, counter, statement.number, &bytes).await?;
        let kept = kept.or_else(|| against.map(Seal::encode));
        self.judge(tx, touched, seal, kept).await?;
        touched.raised.push(seal.clone());
        Ok(())
    }

    /// Two different seals under one number, or one epoch counter with two randoms: the home has said
    /// two things.
    pub(super) async fn judge(
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
        // What a key has signed that counts no more, a thief's or a former issuer's, is nobody's word.
        let contradicts = |other: &Seal| {
            other.contradicts(seal)
                && self.keys.verify(other).is_ok()
                && !planted::is(Fault::IgnoreEquivocation)
        };
        match other.filter(contradicts) {
            Some(other) => self.freeze(tx, touched, seal, Some(&other)).await,
            None => Ok(()),
        }
    }

    pub(super) async fn freeze(
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
        touched.contradicted.push((found.feed, found.epoch_counter));
        Ok(())
    }
}
