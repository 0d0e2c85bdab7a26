//! What has come: at a destination the copy, or that it has to go; at the home what the destination
//! says of it. One word, one commit, and it is forgotten only after that.

use prost::Message;
use tracing::warn;
use yizhan_proto::v1::{self, Letter, letter, tombstone::Reason, transfer_word::Kind as Said};

use super::stored::{damaged, find, home_feed};
use crate::{
    app::{
        App,
        error::{Error, Result},
        records,
    },
    domain::{
        id::{PointCode, RecordId},
        kind::Kind,
        text::Invalid,
        transfer::{TransferMove, TransferState},
    },
    feed::change::{Change, CommitError},
    parcel::office::SendError,
    store::{
        parcels,
        records::find as versions,
        words::{self, Channel, Word},
    },
    wire::{transfer as wire, value::time_message},
};

/// Words of one run.
const AT_ONCE: u32 = 256;
/// All kinds of words.
const KINDS: std::ops::RangeInclusive<i64> = 1..=4;

/// Enters what has come.
pub async fn enter(app: &App) -> Result<()> {
    let waiting = {
        let mut db = app.db.reader().await?;
        words::list(&mut db, Channel::Transfers, KINDS, AT_ONCE).await?
    };
    for word in waiting {
        match enter_one(app, &word).await {
            Ok(true) => forget(app, word).await?,
            Ok(false) => {}
            // Written by somebody who does not keep to the rules: it will not get better.
            Err(Error::Invalid(fields)) => {
                let reason = fields.first().map_or("", |field| field.reason);
                warn!(from = %word.sender, reason, "word on a copy refused");
                forget(app, word).await?;
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                warn!(error, "word on a copy will be tried again");
            }
        }
    }
    Ok(())
}

async fn forget(app: &App, word: Word) -> Result<()> {
    let app = app.clone();
    let forgetting = tokio::spawn(async move {
        let mut db = app.db.local().await?;
        words::delete(&mut db, Channel::Transfers, &word).await
    });
    Ok(forgetting.await.map_err(|_| Error::Busy)??)
}

/// False: not yet.
async fn enter_one(app: &App, arrived: &Word) -> Result<bool> {
    let word = v1::TransferWord::decode(&arrived.word[..]).map_err(|_| damaged())?;
    let here: PointCode = arrived.owner.parse().map_err(|_| damaged())?;
    let member = RecordId(word.member[..].try_into().map_err(|_| damaged())?);
    match word.kind() {
        Said::Copy => keep(app, &here, member, word).await,
        Said::Withdraw => give_back(app, &here, member, arrived, word).await,
        Said::Held | Said::Scrubbed => hear(app, &here, arrived, word).await,
        Said::Unspecified => Ok(true),
    }
}

/// What a destination has of a member: the copy, if it is one.
struct Here {
    at: Option<crate::domain::position::Sequence>,
    copy: Option<v1::Transfer>,
}

async fn here(app: &App, to: &PointCode, member: RecordId) -> Result<Here> {
    let feed = home_feed(to);
    let found = records::find_even_erased(app, member).await?;
    let Some(found) = found.into_iter().find(|found| found.feed == feed) else {
        return Ok(Here { at: None, copy: None });
    };
    let is_copy = found.row.kind == Kind::TRANSFER;
    let copy = if is_copy { Some(found.message::<v1::Transfer>()?) } else { None };
    Ok(Here { at: Some(found.row.sequence), copy })
}

/// A copy comes in, or a newer version of it, and the home is told that it is here.
async fn keep(app: &App, to: &PointCode, member: RecordId, word: v1::TransferWord) -> Result<bool> {
    let known = here(app, to, member).await?;
    let answer = v1::TransferWord { card: None, ..word.clone() };
    let is_known = known
        .copy
        .as_ref()
        .is_some_and(|copy| copy.transfer == word.transfer && copy.version >= word.version);
    // Somebody who is a member here needs no copy; the home is told all the same.
    let is_member = known.at.is_some() && known.copy.is_none();
    if !is_known && !is_member {
        let mut transfer = wire::received(word, to.as_str())?;
        let now = time_message(app.outside.now());
        (transfer.create_time, transfer.state_time) = (Some(now), Some(now));
        let feed = home_feed(to);
        let change = Change::new().expect(feed.clone(), member, known.at).put(
            feed,
            Kind::TRANSFER,
            member,
            transfer.encode_to_vec(),
        );
        if !commit(app, change).await? {
            return Ok(false);
        }
    }
    tell(app, to, answer, Said::Held, None).await
}

/// A copy has to go. The home is told once it is gone from tables, index and files.
async fn give_back(
    app: &App,
    to: &PointCode,
    member: RecordId,
    arrived: &Word,
    word: v1::TransferWord,
) -> Result<bool> {
    // A version that has come and waits: it must not be kept any more.
    let (owner, subject) = (arrived.owner.clone(), arrived.subject);
    let db = app.clone();
    let version = arrived.part;
    let dropping = tokio::spawn(async move {
        let mut db = db.db.local().await?;
        let about = (owner.as_str(), subject);
        words::delete_up_to(&mut db, Channel::Transfers, about, Said::Copy as i64, version).await
    });
    dropping.await.map_err(|_| Error::Busy)??;
    let feed = home_feed(to);
    let known = here(app, to, member).await?;
    if let Some(copy) = &known.copy
        && copy.transfer == word.transfer
    {
        let change = Change::new().expect(feed.clone(), member, known.at).remove(
            feed,
            member,
            Reason::Withdrawn,
        );
        commit(app, change).await?;
        // What confirms that the bytes are gone comes later.
        return Ok(false);
    }
    let scrubbed = {
        let mut db = app.db.reader().await?;
        let readable = app.heads.readable_slots();
        let stored = versions(&mut db, member).await?;
        let tombstone = stored.into_iter().find(|stored| {
            stored.row.removed && readable.get(&stored.slot).is_some_and(|known| *known == feed)
        });
        let Some(tombstone) = tombstone else {
            // Never here, or replaced since: there is nothing to wait for.
            drop(db);
            return tell(app, to, word, Said::Scrubbed, Some(app.outside.now())).await;
        };
        let receipts = parcels::list_receipts(&mut db, &feed).await?;
        let own = receipts.into_iter().find(|receipt| receipt.point == app.keys.point);
        let epoch = app.heads.find(&feed).and_then(|view| view.held).map(|held| held.epoch.counter);
        own.filter(|own| {
            epoch.is_some_and(|epoch| own.extent.covers(epoch, tombstone.row.sequence))
        })
    };
    match scrubbed {
        Some(receipt) => tell(app, to, word, Said::Scrubbed, Some(receipt.scrubbed)).await,
        None => Ok(false),
    }
}

/// Tells a home how its copy stands.
async fn tell(
    app: &App,
    from: &PointCode,
    about: v1::TransferWord,
    said: Said,
    time: Option<crate::domain::time::Time>,
) -> Result<bool> {
    let home: PointCode =
        about.home.parse().map_err(|_| Invalid::new("home", "not_a_point_code"))?;
    let word = v1::TransferWord {
        kind: said.into(),
        card: None,
        basis: 0,
        reference: String::new(),
        time: time.map(time_message),
        ..about
    };
    let letter = Letter { kind: Some(letter::Kind::TransferWord(word)) };
    match app.post.send(from.clone(), home, letter).await {
        Ok(()) => Ok(true),
        Err(SendError::Storage(error)) => Err(error.into()),
        // The home was put out: nobody waits for our word.
        Err(SendError::NotAdmitted) => Ok(true),
        Err(_) => Ok(false),
    }
}

/// The home hears of its copy.
async fn hear(app: &App, home: &PointCode, arrived: &Word, word: v1::TransferWord) -> Result<bool> {
    let Some(mut noted) = find(app, home, arrived.subject).await? else { return Ok(true) };
    if noted.transfer.to != arrived.sender {
        return Err(Invalid::new("transfer", "not_permitted").into());
    }
    // Of a version that is not the newest any more.
    if word.version != noted.transfer.version {
        return Ok(true);
    }
    let now = app.outside.now();
    match (word.kind(), noted.state()?) {
        (Said::Held, TransferState::Sent) => noted.step(TransferMove::Hold, now)?,
        (Said::Scrubbed, TransferState::Withdrawn) => {
            noted.step(TransferMove::Scrub, now)?;
            noted.transfer.receipt = word.encode_to_vec();
        }
        _ => return Ok(true),
    }
    commit(app, noted.put(Change::new())).await
}

/// False if somebody else was faster: what is stored is looked at again.
async fn commit(app: &App, change: Change) -> Result<bool> {
    match app.writer.commit(change).await {
        Ok(_) => Ok(true),
        Err(CommitError::Stale) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
