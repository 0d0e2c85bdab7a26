//! Copies as their home has stored them.

use prost::Message;
use yizhan_proto::v1;

use crate::{
    app::{
        App,
        error::{Error, Result},
        records::{self, Found},
    },
    domain::{
        analyzer::{Filter, filter},
        audience::{Audience, FeedId},
        basis::BasisKind,
        disclosure::Card,
        id::{PointCode, RecordId},
        kind::Kind,
        position::Sequence,
        time::Time,
        transfer::{TransferMove, TransferState},
    },
    feed::change::Change,
    store::StoreError,
    wire::{
        transfer::{self as wire, LIVE},
        value::time_message,
    },
};

/// One entry of a person's ledger.
pub struct Noted {
    pub feed: FeedId,
    pub id: RecordId,
    pub at: Option<Sequence>,
    pub transfer: v1::Transfer,
}

impl Noted {
    fn of(found: Found) -> Result<Noted> {
        let transfer = found.message()?;
        let at = Some(found.row.sequence);
        Ok(Noted { id: found.row.id, at, feed: found.feed, transfer })
    }

    pub fn state(&self) -> Result<TransferState> {
        TransferState::from_number(self.transfer.state, "state").map_err(|_| damaged())
    }

    pub fn to(&self) -> Result<PointCode> {
        self.transfer.to.parse().map_err(|_| damaged())
    }

    pub fn member(&self) -> Result<RecordId> {
        RecordId::parse(&self.transfer.member, "member").map_err(|_| damaged())
    }

    pub fn basis(&self) -> Result<BasisKind> {
        BasisKind::from_number(self.transfer.basis, "basis").map_err(|_| damaged())
    }

    pub fn step(&mut self, step: TransferMove, now: Time) -> Result<()> {
        self.transfer.state = self.state()?.after(step)?.number();
        self.transfer.state_time = Some(time_message(now));
        Ok(())
    }

    /// Makes this card the one that the destination is to have.
    pub fn say_card(&mut self, card: Card) {
        let card = v1::Card::from(card);
        self.transfer.card_hash = hash(&card);
        self.transfer.outgoing = Some(wire::word(self.id, &self.transfer, Some(card)));
    }

    /// The destination is to have none.
    pub fn say_gone(&mut self, now: Time) -> Result<()> {
        self.transfer.version += 1;
        self.step(TransferMove::Withdraw, now)?;
        self.transfer.card_hash.clear();
        self.transfer.outgoing = Some(wire::word(self.id, &self.transfer, None));
        Ok(())
    }

    /// Adds this record, as it is now, to a change.
    pub fn put(&self, change: Change) -> Change {
        change.expect(self.feed.clone(), self.id, self.at).put(
            self.feed.clone(),
            Kind::TRANSFER,
            self.id,
            self.transfer.encode_to_vec(),
        )
    }
}

pub fn hash(card: &v1::Card) -> Vec<u8> {
    blake3::hash(&card.encode_to_vec()).as_bytes().to_vec()
}

pub fn damaged() -> Error {
    Error::Storage(StoreError::Damaged { what: "copy" })
}

pub fn home_feed(home: &PointCode) -> FeedId {
    FeedId::new(home.clone(), Audience::Home)
}

/// A copy by its id, at one home.
pub async fn find(app: &App, home: &PointCode, id: RecordId) -> Result<Option<Noted>> {
    let feed = home_feed(home);
    let found = records::find(app, id).await?;
    let found =
        found.into_iter().find(|found| found.feed == feed && found.row.kind == Kind::TRANSFER);
    found.map(Noted::of).transpose()
}

/// All copies of a member that the home has ever sent, the newest first.
pub async fn of_member(app: &App, home: &PointCode, member: RecordId) -> Result<Vec<Noted>> {
    let term = filter(Filter::Member, &hex::encode(member.0));
    let mut noted = carrying(app, home, term).await?;
    noted.sort_by_key(|noted| std::cmp::Reverse(noted.id));
    Ok(noted)
}

/// Copies with something to be sent.
pub async fn in_work(app: &App, home: &PointCode) -> Result<Vec<Noted>> {
    carrying(app, home, filter(Filter::Kind, wire::IN_WORK)).await
}

/// Copies that their destination may have.
pub async fn live(app: &App, home: &PointCode) -> Result<Vec<Noted>> {
    carrying(app, home, filter(Filter::Kind, LIVE)).await
}

async fn carrying(app: &App, home: &PointCode, term: String) -> Result<Vec<Noted>> {
    let found = records::carrying(app, &home_feed(home), Kind::TRANSFER, term).await?;
    // One that another home has sent here lies in the same feed.
    let sent = found
        .into_iter()
        .map(Noted::of)
        .filter(|noted| noted.as_ref().map_or(true, |noted| noted.transfer.home == home.as_str()));
    sent.collect()
}
