//! Delivery: what lies in the outbox is sent until it is settled.
//!
//! A parcel is sent when it is written, when the way opens, when its destination shows a sign of life,
//! and else again and again with growing pauses. What is under way is bounded per destination.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use prost::Message;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use yizhan_proto::v1::letter;

use super::{
    office::{Office, read_back},
    seal::{self, Manner, ReadError},
    settlement::{Outcome, Word},
};
use crate::{
    domain::{
        id::{PointCode, RecordId},
        roster::{Roster, Route},
    },
    store::{
        StoreError,
        help_requests::{self, Returned},
        parcels::{self, Failure, Outgoing},
    },
};

/// First pause before a parcel is sent again; doubled up to the longest, with jitter, reset by any
/// sign of life from the destination.
const RETRY_MIN: Duration = Duration::from_secs(5);
const RETRY_MAX: Duration = Duration::from_secs(300);
/// How often the outbox is looked through for what another node of this point has written.
const POLL: Duration = Duration::from_secs(10);
/// Signs of life are gathered for so long: heads may change a hundred times a second.
const GATHER: Duration = Duration::from_millis(100);
/// Parcels under way to one destination, and their bytes: at least one.
const UNDER_WAY: usize = 64;
const UNDER_WAY_BYTES: usize = 256 * 1_024;

/// Why parcels to a point that has left the network are closed.
pub const POINT_REVOKED: &str = "POINT_REVOKED";

/// From one point of ours to one destination.
type Ends = (PointCode, PointCode);
/// A parcel between two ends: epoch, number.
type Key = (u64, u64);

struct Conversation {
    /// Sent, and neither settled nor given up as lost; when.
    sent: BTreeMap<Key, Instant>,
    pause: Duration,
    retry_at: Option<Instant>,
    /// Look now.
    due: bool,
}

impl Default for Conversation {
    fn default() -> Conversation {
        Conversation { sent: BTreeMap::new(), pause: RETRY_MIN, retry_at: None, due: true }
    }
}

impl Conversation {
    /// The way is open again: what was sent before may be lost.
    fn start_over(&mut self) {
        *self = Conversation::default();
    }
}

/// What is under way. Rebuilt from the outbox, so nothing is lost with it.
#[derive(Default)]
pub(super) struct Delivery {
    conversations: Mutex<BTreeMap<Ends, Conversation>>,
    opened: Mutex<BTreeSet<PointCode>>,
    wake: Notify,
}

impl Delivery {
    pub fn written(&self, from: &PointCode, to: &PointCode) {
        self.with(|all| all.entry((from.clone(), to.clone())).or_default().due = true);
        self.wake.notify_one();
    }

    /// A session with a neighbour is open; who lies behind it, the loop finds out.
    pub fn connected(&self, peer: &PointCode) {
        let mut opened = self.opened.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        opened.insert(peer.clone());
        self.wake.notify_one();
    }

    /// The destination has spoken of a parcel.
    pub fn progress(&self, word: &Word) {
        self.with(|all| {
            let Some(conversation) = all.get_mut(&(word.from.clone(), word.to.clone())) else {
                return;
            };
            if word.outcome == Outcome::Rekey {
                // At once it would only be refused again: the roster with the new key comes first.
                return;
            }
            conversation.sent.remove(&(word.sender_epoch, word.number));
            conversation.pause = RETRY_MIN;
            // What was sent before it may be lost: a lively conversation does not keep it waiting.
            let first = conversation.sent.values().min();
            conversation.retry_at = first.map(|at| *at + RETRY_MIN);
            conversation.due = true;
        });
        self.wake.notify_one();
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<Ends, Conversation>) -> T) -> T {
        act(&mut self.conversations.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// A destination shows a sign of life: what was sent to it a while ago is sent again. What was sent
    /// just now may have been answered and may have been lost: it waits for the shortest pause.
    fn contact(&self, homes: &BTreeSet<PointCode>) {
        self.with(|all| {
            for ((_, to), conversation) in all.iter_mut() {
                if !homes.contains(to) {
                    continue;
                }
                match conversation.sent.values().max() {
                    Some(at) if at.elapsed() < RETRY_MIN => {
                        let soon = *at + RETRY_MIN;
                        let retry = conversation.retry_at.map_or(soon, |retry| retry.min(soon));
                        conversation.retry_at = Some(retry);
                        conversation.pause = RETRY_MIN;
                    }
                    _ => conversation.start_over(),
                }
            }
        });
    }

    /// Conversations behind neighbours that have just connected begin anew.
    fn reopen(&self, own: &PointCode, roster: &Roster) {
        let opened = {
            let mut opened = self.opened.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            std::mem::take(&mut *opened)
        };
        if opened.is_empty() {
            return;
        }
        self.with(|all| {
            for ((_, to), conversation) in all.iter_mut() {
                if matches!(roster.route(own, to), Route::Next(next) if opened.contains(&next)) {
                    conversation.start_over();
                }
            }
        });
    }

    /// Those to look at now. A retry forgets what was sent, but for a moment ago, and is followed by a
    /// longer pause.
    fn take_due(&self) -> Vec<Ends> {
        let now = Instant::now();
        self.with(|all| {
            let mut due = Vec::new();
            for (ends, conversation) in all.iter_mut() {
                if conversation.retry_at.is_some_and(|at| at <= now) {
                    conversation.sent.retain(|_, at| now.duration_since(*at) < RETRY_MIN / 2);
                    conversation.retry_at = None;
                    conversation.pause = (conversation.pause * 2).min(RETRY_MAX);
                    conversation.due = true;
                }
                if std::mem::take(&mut conversation.due) {
                    due.push(ends.clone());
                }
            }
            due
        })
    }

    fn next_retry(&self) -> Option<Instant> {
        self.with(|all| all.values().filter_map(|conversation| conversation.retry_at).min())
    }

    fn sent(&self, ends: &Ends) -> BTreeSet<Key> {
        let sent = |known: &Conversation| known.sent.keys().copied().collect();
        self.with(|all| all.get(ends).map(sent).unwrap_or_default())
    }
}

/// Signs of life of homes: number of the newest seal or statement seen.
#[derive(Default)]
struct Signs {
    revision: u64,
    heads: BTreeMap<crate::domain::audience::FeedId, (u64, u64)>,
    heard: BTreeMap<crate::feed::heads::List, u64>,
}

impl Office {
    pub(super) async fn deliver(self: Arc<Office>, stop: CancellationToken) {
        let mut changed = self.parts.heads.watch();
        let mut signs = Signs::default();
        self.look_for_life(&mut signs);
        let mut polled: Option<Instant> = None;
        loop {
            if polled.is_none_or(|at| at.elapsed() >= POLL) {
                polled = Some(Instant::now());
                if let Err(error) = self.poll().await {
                    let error = &error as &dyn std::error::Error;
                    warn!(error, "outbox cannot be read, will be tried again");
                }
            }
            self.delivery.reopen(&self.parts.keys.point, &self.parts.keys.roster());
            for ends in self.delivery.take_due() {
                if let Err(error) = self.deliver_to(&ends).await {
                    let error = &error as &dyn std::error::Error;
                    warn!(to = %ends.1, error, "parcels not sent, will be tried again");
                    self.pause(&ends);
                }
            }
            let retry = self.delivery.next_retry();
            let wait = retry.map_or(POLL, |at| at.saturating_duration_since(Instant::now()));
            tokio::select! {
                () = self.delivery.wake.notified() => {}
                () = changed.changed() => {
                    tokio::time::sleep(GATHER).await;
                    changed.mark_unchanged();
                    let alive = self.look_for_life(&mut signs);
                    self.delivery.contact(&alive);
                }
                () = tokio::time::sleep(wait.min(POLL)) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Takes up what lies in the outbox: after a start, or written by another node of this point.
    async fn poll(&self) -> Result<(), StoreError> {
        let mut db = self.parts.database.reader().await?;
        let found = parcels::list_conversations(&mut db).await?;
        self.delivery.with(|all| {
            for ends in found {
                all.entry(ends).or_default();
            }
        });
        Ok(())
    }

    /// Homes that have sealed or said something new since we last looked.
    fn look_for_life(&self, signs: &mut Signs) -> BTreeSet<PointCode> {
        let mut alive = BTreeSet::new();
        let (views, revision) = self.parts.heads.since(signs.revision);
        signs.revision = revision;
        for (feed, view) in views {
            let Some(head) = view.head else { continue };
            let newest = (head.statement().epoch.counter, head.statement().number);
            if signs.heads.insert(feed.clone(), newest).is_none_or(|before| before < newest) {
                alive.insert(feed.home);
            }
        }
        for (list, heard) in self.parts.heads.all_heard() {
            let before = signs.heard.insert(list.clone(), heard.number);
            if before.is_none_or(|before| before < heard.number) {
                alive.insert(list.0);
            }
        }
        alive
    }

    async fn deliver_to(self: &Arc<Office>, ends: &Ends) -> Result<(), StoreError> {
        let (from, to) = ends;
        let roster = self.parts.keys.roster();
        if roster.has_left(to) {
            return self.give_up(ends).await;
        }
        let due = {
            let mut db = self.parts.database.reader().await?;
            parcels::list_due(&mut db, from, to, UNDER_WAY).await?
        };
        if due.is_empty() {
            // Unless something was written meanwhile.
            self.delivery.with(|all| {
                if all.get(ends).is_some_and(|conversation| !conversation.due) {
                    all.remove(ends);
                }
            });
            return Ok(());
        }
        let fits = fitting(due, self.delivery.sent(ends));
        let fits = self.with_current_key(fits, &roster).await?;
        let sent = match roster.route(&self.parts.keys.point, to) {
            Route::Here => {
                for parcel in &fits {
                    self.take(read_back(parcel)?, &Arc::default());
                }
                fits.len()
            }
            Route::Next(next) => {
                let messages = fits.iter().map(|p| Ok(read_back(p)?.message().clone()));
                self.lanes.send_parcels(&next, messages.collect::<Result<_, StoreError>>()?)
            }
            // The roster may not have come so far yet.
            Route::Nowhere => 0,
        };
        self.delivery.with(|all| {
            let Some(conversation) = all.get_mut(ends) else { return };
            let now = Instant::now();
            let keys = fits.iter().take(sent).map(|p| (p.series.sender_epoch, p.number));
            conversation.sent.extend(keys.map(|key| (key, now)));
        });
        self.pause(ends);
        Ok(())
    }

    /// Sets the next retry, unless one is set: whatever is under way may be lost.
    fn pause(&self, ends: &Ends) {
        let [byte] = self.parts.outside.random::<1>();
        self.delivery.with(|all| {
            let Some(conversation) = all.get_mut(ends) else { return };
            // Full jitter over the upper half: what a cut has gathered does not return all at once.
            let pause = conversation.pause.mul_f64(0.5 + f64::from(byte) / 512.0);
            conversation.retry_at.get_or_insert(Instant::now() + pause);
        });
    }

    /// Seals again what is sealed to another key than the roster names by now, or signed with one
    /// that it names no more. What a home that has its own node by now has left here cannot be signed
    /// for it any more: its own node does that.
    async fn with_current_key(
        &self,
        parcels: Vec<Outgoing>,
        roster: &Roster,
    ) -> Result<Vec<Outgoing>, StoreError> {
        let mut current = Vec::with_capacity(parcels.len());
        for mut parcel in parcels {
            let Some(key) = roster.case_key(&parcel.series.to) else { continue };
            let network = &self.parts.keys.network;
            let unsigned =
                read_back(&parcel)?.verify(network, roster) == Err(ReadError::BadSignature);
            if unsigned
                && roster.handed_over_by(&parcel.series.from) == Some(&self.parts.keys.point)
            {
                // It goes along with the point's records, whose own node goes on with it.
                continue;
            }
            if unsigned && !self.parts.keys.is_home(&parcel.series.from) {
                self.lose(&parcel, "HANDED_OVER").await?;
                continue;
            }
            if unsigned || parcel.sealed_to != key[..] {
                let Some(resealed) = self.seal_again(&parcel, key)? else {
                    self.lose(&parcel, "KEY_LOST").await?;
                    continue;
                };
                parcel.parcel = resealed;
                parcel.sealed_to = key.to_vec();
                let mut tx = self.parts.database.begin().await?;
                let (number, sealed) = (parcel.number, &parcel.parcel);
                parcels::reseal(tx.connection(), &parcel.series, number, sealed, key).await?;
                tx.commit().await?;
            }
            current.push(parcel);
        }
        Ok(current)
    }

    /// The same letter under the same number, to another key. None if our own copy does not open.
    fn seal_again(&self, parcel: &Outgoing, key: &[u8; 32]) -> Result<Option<Vec<u8>>, StoreError> {
        let before = read_back(parcel)?;
        let oldest = match before.address().manner {
            Manner::Durable { oldest, .. } => oldest,
            Manner::Ephemeral { .. } => return Ok(None),
        };
        let number = parcel.number;
        let address = self.address(&parcel.series, Manner::Durable { number, oldest });
        let Ok(letter) = seal::open_kept(&address, &parcel.kept, &self.parts.case_key) else {
            return Ok(None);
        };
        let (signer, seed) = (self.parts.keys.seal_key(), self.parts.outside.random());
        Ok(seal::seal(&address, &letter, key, signer, seed).ok().map(|sealed| sealed.encode()))
    }

    /// A parcel that nobody here can seal any more: our case key is another, or its home is no home of
    /// ours.
    async fn lose(&self, parcel: &Outgoing, reason: &'static str) -> Result<(), StoreError> {
        let (ends, number) = ((&parcel.series.from, &parcel.series.to), parcel.number);
        warn!(from = %ends.0, to = %ends.1, number, reason, "parcel cannot be sealed again");
        let now = self.parts.outside.now();
        let mut tx = self.parts.database.begin().await?;
        let db = tx.connection();
        if parcels::close(db, &parcel.series, number).await? {
            parcels::count_failure(db, ends, Failure::Undeliverable, reason, 1, now).await?;
        }
        tx.commit().await
    }

    /// Parcels to a revoked point are closed, counted and shown. Of those that carry a request, it is
    /// kept, in the transaction that closes them.
    async fn give_up(&self, ends: &Ends) -> Result<(), StoreError> {
        let (from, to) = ends;
        let now = self.parts.outside.now();
        loop {
            let left = {
                let mut db = self.parts.database.reader().await?;
                parcels::list_outgoing(&mut db, from, to, UNDER_WAY).await?
            };
            if left.is_empty() {
                break;
            }
            let returned: Vec<Returned> =
                left.iter().filter_map(|parcel| self.returned(parcel)).collect();
            let mut tx = self.parts.database.begin().await?;
            let db = tx.connection();
            for one in &returned {
                help_requests::put_returned(db, one).await?;
            }
            let mut closed = 0;
            for parcel in &left {
                closed += u64::from(parcels::close(db, &parcel.series, parcel.number).await?);
            }
            if closed > 0 {
                info!(%to, closed, "parcels closed, the point is revoked");
                let failure = Failure::Undeliverable;
                parcels::count_failure(db, (from, to), failure, POINT_REVOKED, closed, now).await?;
            }
            tx.commit().await?;
        }
        self.delivery.with(|all| all.remove(ends));
        Ok(())
    }

    /// The request that a parcel carries to the point that was to handle it.
    fn returned(&self, parcel: &Outgoing) -> Option<Returned> {
        let sealed = read_back(parcel).ok()?;
        let own_key = &self.parts.case_key;
        let letter = seal::open_kept(sealed.address(), &parcel.kept, own_key).ok()?;
        let Some(letter::Kind::HelpParcel(request)) = letter.kind else { return None };
        Some(Returned {
            home: parcel.series.from.to_string(),
            id: request.id[..].try_into().map(RecordId).ok()?,
            owner: parcel.series.to.to_string(),
            parcel: request.encode_to_vec(),
        })
    }
}

/// What may join what is under way.
fn fitting(due: Vec<Outgoing>, sent: BTreeSet<Key>) -> Vec<Outgoing> {
    let mut bytes = 0;
    let mut fits = Vec::new();
    for parcel in due {
        // What is under way counts too.
        let first = bytes == 0;
        bytes += parcel.parcel.len();
        if !first && bytes > UNDER_WAY_BYTES {
            break;
        }
        if !sent.contains(&(parcel.series.sender_epoch, parcel.number)) {
            fits.push(parcel);
        }
    }
    fits
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With what was sent so long ago and long pauses after it.
    fn delivery(to: &PointCode, sent_before: Duration) -> Delivery {
        let delivery = Delivery::default();
        let from: PointCode = "GB-LON".parse().unwrap();
        delivery.written(&from, to);
        assert_eq!(delivery.take_due(), [(from.clone(), to.clone())]);
        delivery.with(|all| {
            let conversation = all.get_mut(&(from, to.clone())).unwrap();
            conversation.sent.insert((1, 1), Instant::now() - sent_before);
            conversation.pause = RETRY_MAX;
            conversation.retry_at = Some(Instant::now() + RETRY_MAX);
        });
        delivery
    }

    /// A parcel is lost, and others come and go: each is settled before the shortest pause is over.
    #[tokio::test(start_paused = true)]
    async fn a_lively_conversation_does_not_keep_a_lost_parcel_waiting() {
        let (from, to): (PointCode, PointCode) =
            ("GB-LON".parse().unwrap(), "CN-440100".parse().unwrap());
        let delivery = delivery(&to, Duration::ZERO);
        let ends = (from.clone(), to.clone());
        let sent_again = async {
            for number in 2.. {
                delivery.with(|all| {
                    all.get_mut(&ends).unwrap().sent.insert((1, number), Instant::now())
                });
                tokio::time::sleep(Duration::from_secs(1)).await;
                delivery.progress(&Word {
                    network: String::new(),
                    from: from.clone(),
                    to: to.clone(),
                    sender_epoch: 1,
                    number,
                    outcome: Outcome::Done,
                });
                delivery.take_due();
                if !delivery.sent(&ends).contains(&(1, 1)) {
                    return;
                }
            }
        };
        tokio::time::timeout(RETRY_MIN * 2, sent_again).await.expect("it is sent again");
    }

    #[test]
    fn what_a_destination_may_have_missed_is_sent_at_once_when_it_is_back() {
        let to: PointCode = "CN-440100".parse().unwrap();
        let delivery = delivery(&to, RETRY_MIN * 2);
        delivery.contact(&BTreeSet::from(["CN-440300".parse().unwrap()]));
        assert!(delivery.take_due().is_empty(), "another one is back");
        delivery.contact(&BTreeSet::from([to]));
        assert_eq!(delivery.take_due().len(), 1);
    }

    #[test]
    fn what_was_sent_just_before_a_destination_is_back_waits_for_the_shortest_pause() {
        let to: PointCode = "CN-440100".parse().unwrap();
        let delivery = delivery(&to, Duration::ZERO);
        delivery.contact(&BTreeSet::from([to]));
        assert!(delivery.take_due().is_empty());
        let retry = delivery.next_retry().unwrap();
        assert!(retry <= Instant::now() + RETRY_MIN, "not a sign of life later");
    }
}
