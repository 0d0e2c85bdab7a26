//! What arrives: relayed at once, or acted upon together with its number in one transaction.
//!
//! Signatures are checked before anything is passed on or opened. A word on a parcel leaves this node
//! only after the commit that it speaks of.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use yizhan_proto::v1::{self, Letter, frame::Kind};

use super::{
    lanes::{Arrived, FRAME_ITEMS},
    letters::{self, Here, Verdict},
    office::Office,
    seal::{Manner, OpenError, Sealed},
    settlement::{Outcome, Settled, Word},
};
use crate::{
    domain::{id::PointCode, roster::Route},
    store::{
        StoreError,
        parcels::{self, Connection, Failure, Series, Standing},
    },
};

/// Items that share a transaction.
const AT_ONCE: usize = 64;

/// Something for this node, checked, that needs the database.
pub(super) struct Work {
    pub item: Item,
    /// Taken where it arrived, and given back with the last item of its frame.
    pub _room: Arc<Vec<OwnedSemaphorePermit>>,
}

pub(super) enum Item {
    Parcel(Sealed),
    Word(Word),
}

impl Office {
    /// Takes what neighbours sent apart: for us, for others, for nobody.
    pub(super) async fn sort(
        self: Arc<Office>,
        mut arrived: mpsc::Receiver<Arrived>,
        stop: CancellationToken,
    ) {
        loop {
            let next = tokio::select! {
                next = arrived.recv() => next,
                () = stop.cancelled() => return,
            };
            let Some(Arrived { peer, kind, room }) = next else { return };
            let room = Arc::new(room);
            match kind {
                Kind::Parcels(parcels) => self.sort_parcels(&peer, parcels.parcels, &room),
                Kind::Settled(settled) => self.sort_words(&peer, settled.settlements, &room),
                _ => {}
            }
            // Checking signatures is work: others on this thread get their turn.
            tokio::task::yield_now().await;
        }
    }

    fn sort_parcels(
        self: &Arc<Office>,
        peer: &PointCode,
        parcels: Vec<v1::Parcel>,
        room: &Arc<Vec<OwnedSemaphorePermit>>,
    ) {
        let keys = &self.parts.keys;
        let roster = keys.roster();
        for message in parcels.into_iter().take(FRAME_ITEMS) {
            let checked = Sealed::read(message)
                .and_then(|parcel| parcel.verify(&keys.network, &roster).map(|()| parcel));
            let parcel = match checked {
                Ok(parcel) => parcel,
                Err(error) => {
                    debug!(%peer, %error, "parcel dropped");
                    continue;
                }
            };
            match roster.route(&keys.point, &parcel.address().to) {
                Route::Here => self.take(parcel, room),
                Route::Next(next) if next != *peer => {
                    self.lanes.send_parcels(&next, vec![parcel.message().clone()]);
                }
                Route::Next(_) | Route::Nowhere => debug!(%peer, ?parcel, "no way onward"),
            }
        }
    }

    fn sort_words(
        &self,
        peer: &PointCode,
        words: Vec<v1::Settlement>,
        room: &Arc<Vec<OwnedSemaphorePermit>>,
    ) {
        let keys = &self.parts.keys;
        let roster = keys.roster();
        for message in words.into_iter().take(FRAME_ITEMS) {
            let checked = Settled::read(message)
                .and_then(|settled| settled.verify(&keys.network, &roster).map(|()| settled));
            let settled = match checked {
                Ok(settled) => settled,
                Err(error) => {
                    debug!(%peer, %error, "settlement dropped");
                    continue;
                }
            };
            match roster.route(&keys.point, &settled.word().from) {
                Route::Here => {
                    let item = Item::Word(settled.word().clone());
                    self.queue(Work { item, _room: room.clone() });
                }
                Route::Next(next) if next != *peer => {
                    self.lanes.send_settlements(&next, vec![settled.message().clone()]);
                }
                Route::Next(_) | Route::Nowhere => debug!(%peer, ?settled, "no way onward"),
            }
        }
    }

    /// A parcel for a point of ours, checked.
    pub(super) fn take(self: &Arc<Office>, parcel: Sealed, room: &Arc<Vec<OwnedSemaphorePermit>>) {
        match parcel.address().manner {
            Manner::Durable { .. } => {
                self.queue(Work { item: Item::Parcel(parcel), _room: room.clone() });
            }
            Manner::Ephemeral { deadline_ms, correlation } => {
                self.converse(parcel, deadline_ms, correlation);
            }
        }
    }

    /// What finds no room is dropped: its sender sends it again.
    fn queue(&self, work: Work) {
        if self.work.try_send(work).is_err() {
            debug!("too much waits for the database, dropped");
        }
    }

    /// An answer to a question of ours, or a question.
    fn converse(self: &Arc<Office>, parcel: Sealed, deadline_ms: i64, correlation: [u8; 16]) {
        let (from, to) = (parcel.address().from.clone(), parcel.address().to.clone());
        if self.questions.awaits(&from, &correlation) {
            if let Ok(letter) = parcel.open(&self.parts.case_key) {
                self.questions.answered(&from, &correlation, letter);
            }
            return;
        }
        let now = self.parts.outside.now();
        let Some(permit) = self.questions.admit(correlation, deadline_ms, now) else { return };
        let Ok(question) = parcel.open(&self.parts.case_key) else { return };
        let Some(answer) = self.questions.answer(from.clone(), question) else { return };
        let office = self.clone();
        tokio::spawn(async move {
            let _permit = permit;
            let answer = answer.await;
            let manner = Manner::Ephemeral { deadline_ms, correlation };
            if let Err(error) = office.post_ephemeral(&to, &from, manner, &answer) {
                debug!(%from, %error, "answer not sent");
            }
        });
    }

    /// Acts on what is for us, many at a time.
    pub(super) async fn act(
        self: Arc<Office>,
        mut to_do: mpsc::Receiver<Work>,
        stop: CancellationToken,
    ) {
        let mut batch = Vec::with_capacity(AT_ONCE);
        loop {
            tokio::select! {
                taken = to_do.recv_many(&mut batch, AT_ONCE) => if taken == 0 { return },
                () = stop.cancelled() => return,
            }
            let work = std::mem::take(&mut batch);
            if self.act_on(&work).await.is_ok() {
                continue;
            }
            // One that storage cannot take must not keep the others out.
            for one in &work {
                if let Err(error) = self.act_on(std::slice::from_ref(one)).await {
                    let error = &error as &dyn std::error::Error;
                    warn!(error, "parcel not acted upon, it will come again");
                }
            }
        }
    }

    async fn act_on(&self, work: &[Work]) -> Result<(), StoreError> {
        let mut opened = Vec::new();
        let mut words = Vec::new();
        for Work { item, .. } in work {
            match item {
                Item::Parcel(parcel) => {
                    opened.push((parcel, parcel.open(&self.parts.case_key)));
                }
                Item::Word(word) => words.push(word),
            }
        }
        let mut answers = Vec::new();
        let mut tx = self.parts.database.begin().await?;
        for (parcel, letter) in &opened {
            if let Some(outcome) = self.effect(tx.connection(), parcel, letter).await? {
                answers.push((*parcel, outcome));
            }
        }
        for word in words.iter().copied() {
            self.hear(tx.connection(), word).await?;
        }
        tx.commit().await?;
        for word in words {
            self.delivery.progress(word);
        }
        for (parcel, outcome) in answers {
            self.answer(parcel, outcome);
        }
        Ok(())
    }

    /// Acts and records in one transaction; none where nothing is to be said yet.
    async fn effect(
        &self,
        db: &mut Connection,
        parcel: &Sealed,
        letter: &Result<Letter, OpenError>,
    ) -> Result<Option<Outcome>, StoreError> {
        let address = parcel.address();
        let Manner::Durable { number, oldest } = address.manner else { return Ok(None) };
        let (from, to) = (address.from.clone(), address.to.clone());
        let series = Series { from, to, sender_epoch: address.sender_epoch };
        match parcels::standing(db, &series, number, oldest).await? {
            Standing::New => {}
            Standing::Settled(None) => return Ok(Some(Outcome::Done)),
            Standing::Settled(Some(reason)) => return Ok(Some(Outcome::Refused(reason))),
            Standing::Beyond => return Ok(None),
        }
        let keys = &self.parts.keys;
        let verdict = match letter {
            Ok(letter) => {
                let now = self.parts.outside.now();
                let (dialect, seed) = (self.parts.database.dialect, self.parts.outside.random());
                let here = Here { keys, heads: &self.parts.heads, now, dialect, seed };
                if !letters::is_of_hand_over(letter)
                    && letters::is_moving_in(&here, db, &series.to).await?
                {
                    return Ok(None);
                }
                letters::act(&here, db, (&series.from, &series.to), letter).await?
            }
            Err(OpenError::OtherKey) => return Ok(Some(Outcome::Rekey)),
            Err(OpenError::NotALetter) => Verdict::Refused("MALFORMED"),
        };
        match verdict {
            Verdict::Later => Ok(None),
            Verdict::Done => {
                parcels::settle(db, &series, number, oldest, None).await?;
                Ok(Some(Outcome::Done))
            }
            Verdict::Refused(reason) => {
                parcels::settle(db, &series, number, oldest, Some(reason)).await?;
                Ok(Some(Outcome::Refused(reason.to_owned())))
            }
        }
    }

    /// Takes the destination's word on a parcel of ours.
    async fn hear(&self, db: &mut Connection, word: &Word) -> Result<(), StoreError> {
        let series = series(word);
        match &word.outcome {
            // It stays in the outbox and is sealed again before it is sent again.
            Outcome::Rekey => {}
            Outcome::Done => {
                parcels::close(db, &series, word.number).await?;
            }
            Outcome::Refused(reason) => {
                if parcels::close(db, &series, word.number).await? {
                    warn!(to = %word.to, number = word.number, %reason, "parcel refused");
                    let ends = (&word.from, &word.to);
                    let now = self.parts.outside.now();
                    parcels::count_failure(db, ends, Failure::Refused, reason, 1, now).await?;
                }
            }
        }
        Ok(())
    }

    /// Sends our word on a parcel back to its sender.
    fn answer(&self, parcel: &Sealed, outcome: Outcome) {
        let address = parcel.address();
        let Manner::Durable { number, .. } = address.manner else { return };
        let word = Word {
            network: address.network.clone(),
            from: address.from.clone(),
            to: address.to.clone(),
            sender_epoch: address.sender_epoch,
            number,
            outcome,
        };
        let keys = &self.parts.keys;
        match keys.roster().route(&keys.point, &address.from) {
            Route::Here => {
                self.queue(Work { item: Item::Word(word), _room: Arc::default() });
            }
            Route::Next(next) => {
                let settled = Settled::sign(word, keys.seal_key());
                self.lanes.send_settlements(&next, vec![settled.message().clone()]);
            }
            Route::Nowhere => debug!(?parcel, "no way back"),
        }
    }
}

pub(super) fn series(word: &Word) -> Series {
    Series { from: word.from.clone(), to: word.to.clone(), sender_epoch: word.sender_epoch }
}
