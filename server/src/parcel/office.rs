//! The post office of a node: what the rest of the node sees of parcels.
//!
//! Three loops run behind it: one sorts what arrives, one acts on what is for us, one delivers what
//! lies in the outbox. None of them waits for a peer.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use yizhan_proto::v1::{self, EnrolmentAnswer, EnrolmentForward, Frame, Letter, frame, letter};

use super::{
    arrival::Work,
    delivery::Delivery,
    lanes::{Arrived, Lanes},
    letters,
    questions::{
        AskError, EnrolmentHandler, FiguresHandler, HeadsHandler, LookupHandler, Questions,
        ReleasesHandler,
    },
    seal::{self, Address, Manner, SealError, Sealed, is_admitted},
};
use crate::{
    domain::{
        audience::{Audience, FeedId},
        id::PointCode,
        roster::Route,
        time::Time,
    },
    feed::{heads::Heads, keyring::Keyring},
    identity::keys::CaseKey,
    link::session::Post,
    outside::Outside,
    store::{
        StoreError,
        database::Database,
        parcels::{self, Connection, Failed, Outgoing, Series},
    },
};

/// Parcels to one destination that are not settled.
pub const OUTBOX_MAX: u64 = 10_000;
/// Parcels and settlements for this node that wait for their transaction; their bytes are bounded
/// where they arrive.
const WORK_MAX: usize = 4_096;
/// How long an enrolment that is passed on may take.
pub const ENROLMENT_DEADLINE: Duration = Duration::from_secs(20);
/// A node that has just started may have neither roster nor link yet: so long it is given.
const WAY_WITHIN: Duration = Duration::from_secs(5);
const WAY_LOOK: Duration = Duration::from_millis(100);

/// What a post office uses of its node.
pub struct Parts {
    pub database: Database,
    pub keys: Arc<Keyring>,
    pub case_key: CaseKey,
    pub heads: Arc<Heads>,
    pub outside: Outside,
}

pub struct Office {
    pub(super) parts: Parts,
    pub(super) lanes: Lanes,
    pub(super) delivery: Delivery,
    pub(super) questions: Questions,
    pub(super) work: mpsc::Sender<Work>,
    loops: std::sync::Mutex<Option<(mpsc::Receiver<Arrived>, mpsc::Receiver<Work>)>>,
}

#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error("the sender is not served by this node")]
    NotOurs,
    #[error("the roster does not admit the destination")]
    NotAdmitted,
    #[error("the roster names no key for the destination")]
    NoKey,
    #[error("the letter does not fit into a parcel")]
    Unfit(#[from] SealError),
    #[error("too many parcels wait for the destination")]
    Full,
    #[error("the parcel could not be stored")]
    Storage(#[from] StoreError),
}

/// Figures for status.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Figures {
    /// Durable parcels without a settlement.
    pub outbox: u64,
    /// Parcels that have arrived and wait for their transaction.
    pub inbox: u64,
    /// Age of the oldest one in the outbox.
    pub oldest_ms: i64,
    /// Closed without effect, by destination and outcome.
    pub failures: Vec<Failed>,
}

impl Office {
    pub fn new(parts: Parts) -> Arc<Office> {
        let (lanes, arrived) = Lanes::new();
        let (work, to_do) = mpsc::channel(WORK_MAX);
        Arc::new(Office {
            parts,
            lanes,
            delivery: Delivery::default(),
            questions: Questions::default(),
            work,
            loops: std::sync::Mutex::new(Some((arrived, to_do))),
        })
    }

    /// Sorts, acts and delivers until stopped. Once per office; a second call returns at once.
    pub async fn run(self: Arc<Office>, stop: CancellationToken) {
        let loops = self.loops.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        let Some((arrived, to_do)) = loops else { return };
        tokio::join!(
            self.clone().sort(arrived, stop.clone()),
            self.clone().act(to_do, stop.clone()),
            self.clone().deliver(stop),
        );
    }

    /// Posts a letter: durable when this returns, delivered when the destination can be reached.
    pub async fn send(
        self: &Arc<Office>,
        from: PointCode,
        to: PointCode,
        letter: Letter,
    ) -> Result<(), SendError> {
        let office = self.clone();
        // In a task of its own: a caller that goes away must not leave a transaction open.
        let posting = tokio::spawn(async move {
            let mut tx = office.parts.database.begin().await?;
            office.write(tx.connection(), &from, &to, &letter).await?;
            tx.commit().await?;
            office.written(&from, &to);
            Ok(())
        });
        posting.await.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
    }

    /// Puts a letter into the outbox, inside the caller's transaction. After its commit the caller
    /// says `written`.
    pub async fn write(
        &self,
        db: &mut Connection,
        from: &PointCode,
        to: &PointCode,
        letter: &Letter,
    ) -> Result<(), SendError> {
        let keys = &self.parts.keys;
        let roster = keys.roster();
        if !keys.is_home(from) {
            return Err(SendError::NotOurs);
        }
        if !is_admitted(&roster, to) {
            return Err(SendError::NotAdmitted);
        }
        let case_key = *roster.case_key(to).ok_or(SendError::NoKey)?;
        if parcels::count_outgoing(db, from, to).await? >= OUTBOX_MAX {
            return Err(SendError::Full);
        }
        let sender_epoch = self.sender_epoch(from);
        let series = Series { from: from.clone(), to: to.clone(), sender_epoch };
        let number = parcels::next_number(db, &series).await?;
        let oldest = parcels::find_oldest(db, &series).await?.unwrap_or(number);
        let address = self.address(&series, Manner::Durable { number, oldest });
        let outside = &self.parts.outside;
        let sealed = seal::seal(&address, letter, &case_key, keys.seal_key(), outside.random())?;
        let own_key = self.parts.case_key.public();
        let parcel = Outgoing {
            number,
            subject: letters::subject(letter),
            parcel: sealed.encode(),
            kept: seal::keep(&address, letter, &own_key, outside.random())?,
            sealed_to: case_key.to_vec(),
            written: outside.now(),
            series,
        };
        Ok(parcels::insert_outgoing(db, &parcel).await?)
    }

    /// The letter of a parcel in our outbox; none if our own copy does not open.
    pub fn reopen(&self, parcel: &Outgoing) -> Result<Option<Letter>, StoreError> {
        let before = read_back(parcel)?;
        Ok(seal::open_kept(before.address(), &parcel.kept, &self.parts.case_key).ok())
    }

    /// Goes on with a parcel of ours that a former host has left, under the number that it has: whoever
    /// has acted on it knows it by that. False if it can go nowhere any more.
    pub async fn take_over(
        &self,
        db: &mut Connection,
        parcel: v1::HandedParcel,
    ) -> Result<bool, SendError> {
        let keys = &self.parts.keys;
        let (roster, from) = (keys.roster(), &keys.point);
        let (Ok(to), Some(letter)) = (parcel.to.parse::<PointCode>(), &parcel.letter) else {
            return Ok(false);
        };
        // Numbers of epochs of our own are ours to give.
        let is_theirs = (1..keys.first_epoch(from)).contains(&parcel.sender_epoch);
        let is_number = (1..=i64::MAX as u64).contains(&parcel.number);
        let key = roster.case_key(&to).filter(|_| is_admitted(&roster, &to));
        let Some(key) = key.filter(|_| is_theirs && is_number) else { return Ok(false) };
        let sender_epoch = parcel.sender_epoch;
        let series = Series { from: from.clone(), to: to.clone(), sender_epoch };
        let number = parcel.number;
        let oldest = parcels::find_oldest(db, &series).await?.unwrap_or(number).min(number);
        let address = self.address(&series, Manner::Durable { number, oldest });
        let outside = &self.parts.outside;
        let sealed = seal::seal(&address, letter, key, keys.seal_key(), outside.random())?;
        let own_key = self.parts.case_key.public();
        let outgoing = Outgoing {
            number,
            subject: letters::subject(letter),
            parcel: sealed.encode(),
            kept: seal::keep(&address, letter, &own_key, outside.random())?,
            sealed_to: key.to_vec(),
            written: Time(parcel.written_us),
            series,
        };
        parcels::close(db, &outgoing.series, number).await?;
        parcels::insert_outgoing(db, &outgoing).await?;
        Ok(true)
    }

    /// A parcel that was written is committed: delivery may begin.
    pub fn written(&self, from: &PointCode, to: &PointCode) {
        self.delivery.written(from, to);
    }

    /// Asks a point, and waits for its answer until the deadline. Nothing is stored anywhere.
    pub async fn ask(
        &self,
        to: &PointCode,
        letter: Letter,
        wait: Duration,
    ) -> Result<Letter, AskError> {
        let own = &self.parts.keys.point;
        let correlation = self.parts.outside.random();
        if matches!(self.parts.keys.roster().route(own, to), Route::Here) {
            let answer = self.questions.answer(own.clone(), letter).ok_or(AskError::NoWay)?;
            return tokio::time::timeout(wait, answer).await.map_err(|_| AskError::Late);
        }
        let (_asked, answered) = self.questions.ask(to, correlation)?;
        let deadline_ms = self.parts.outside.now().millis() + wait.as_millis() as i64;
        let manner = Manner::Ephemeral { deadline_ms, correlation };
        self.post_ephemeral(own, to, manner, &letter)?;
        match tokio::time::timeout(wait, answered).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(AskError::Late),
        }
    }

    /// The founding node says how enrolments that others pass on are answered. Only the first
    /// handler counts; false for a later one.
    pub fn on_enrolment(&self, handler: EnrolmentHandler) -> bool {
        self.questions.set_enrolment(handler)
    }

    /// Says how questions that clients asked elsewhere are answered. Only the first handler counts.
    pub fn on_lookup(&self, handler: LookupHandler) -> bool {
        self.questions.set_lookup(handler)
    }

    /// Says how questions about desks' figures are answered. Only the first handler counts.
    pub fn on_figures(&self, handler: FiguresHandler) -> bool {
        self.questions.set_figures(handler)
    }

    /// Says how live questions are answered. Only the first handler counts.
    pub fn on_heads(&self, handler: HeadsHandler) -> bool {
        self.questions.set_heads(handler)
    }

    /// Says how questions about releases are answered. Only the first handler counts.
    pub fn on_releases(&self, handler: ReleasesHandler) -> bool {
        self.questions.set_releases(handler)
    }

    /// At the end: nothing that a handler holds is held any longer.
    pub fn close(&self) {
        self.questions.forget_handlers();
    }

    /// Passes a child's enrolment or renewal, as it arrived, to the founding node.
    pub async fn forward_enrolment(
        &self,
        request: Vec<u8>,
        renewal: bool,
    ) -> Result<EnrolmentAnswer, AskError> {
        let forward = EnrolmentForward { request, renewal };
        let letter = Letter { kind: Some(letter::Kind::EnrolmentForward(forward)) };
        let until = Instant::now() + WAY_WITHIN;
        let answer = loop {
            match self.ask(&self.parts.keys.founder, letter.clone(), ENROLMENT_DEADLINE).await {
                Err(AskError::NoWay) if Instant::now() < until => sleep(WAY_LOOK).await,
                answer => break answer?,
            }
        };
        match answer.kind {
            Some(letter::Kind::EnrolmentAnswer(answer)) => Ok(answer),
            _ => Err(AskError::OtherKind),
        }
    }

    pub async fn figures(&self) -> Result<Figures, StoreError> {
        let mut db = self.parts.database.reader().await?;
        let (outbox, oldest) = parcels::outbox_figures(&mut db).await?;
        let failures = parcels::list_failures(&mut db).await?;
        let now = self.parts.outside.now();
        let inbox = (self.work.max_capacity() - self.work.capacity()) as u64;
        let oldest_ms = oldest.map_or(0, |oldest| (now.millis() - oldest.millis()).max(0));
        Ok(Figures { outbox, inbox, oldest_ms, failures })
    }

    /// Sends an ephemeral parcel once; a lost one is not sent again.
    pub(super) fn post_ephemeral(
        &self,
        from: &PointCode,
        to: &PointCode,
        manner: Manner,
        letter: &Letter,
    ) -> Result<(), AskError> {
        let roster = self.parts.keys.roster();
        let case_key = roster.case_key(to).ok_or(AskError::NoWay)?;
        let sender_epoch = self.sender_epoch(from);
        let series = Series { from: from.clone(), to: to.clone(), sender_epoch };
        let address = self.address(&series, manner);
        let (signer, seed) = (self.parts.keys.seal_key(), self.parts.outside.random());
        let sealed =
            seal::seal(&address, letter, case_key, signer, seed).map_err(|error| match error {
                SealError::TooLarge => AskError::TooLarge,
                SealError::UnfitKey => AskError::NoWay,
            })?;
        let Route::Next(next) = roster.route(&self.parts.keys.point, to) else {
            return Err(AskError::NoWay);
        };
        match self.lanes.send_parcels(&next, vec![sealed.message().clone()]) {
            0 => Err(AskError::NoWay),
            _ => Ok(()),
        }
    }

    pub(super) fn address(&self, series: &Series, manner: Manner) -> Address {
        Address {
            network: self.parts.keys.network.clone(),
            from: series.from.clone(),
            to: series.to.clone(),
            sender_epoch: series.sender_epoch,
            manner,
        }
    }

    /// Numbering starts anew with an epoch of the sender's `home` feed; before that feed has a first
    /// record, with the epoch it will get.
    fn sender_epoch(&self, from: &PointCode) -> u64 {
        let home = FeedId::new(from.clone(), Audience::Home);
        let held = self.parts.heads.find(&home).and_then(|view| view.held);
        held.map_or_else(|| self.parts.keys.first_epoch(from), |held| held.epoch.counter)
    }
}

impl Post for Office {
    fn arrived(&self, from: &PointCode, kind: frame::Kind) {
        self.lanes.arrived(from, kind);
    }

    fn connected(&self, peer: &PointCode, frames: mpsc::Sender<Frame>) {
        self.lanes.connected(peer, frames);
        self.delivery.connected(peer);
    }

    fn disconnected(&self, peer: &PointCode, frames: &mpsc::Sender<Frame>) {
        self.lanes.disconnected(peer, frames);
    }
}

/// A parcel of our own outbox, read back.
pub(super) fn read_back(parcel: &Outgoing) -> Result<Sealed, StoreError> {
    Sealed::decode(&parcel.parcel).map_err(|_| StoreError::Damaged { what: "parcel" })
}

#[cfg(test)]
#[path = "office_tests.rs"]
mod tests;
