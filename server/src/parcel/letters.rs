//! What a letter means: which subject it is about, and what is done when it arrives.
//!
//! Everything is decided before anything is written, so that a refusal leaves nothing behind.

use prost::Message;
use tracing::{info, warn};
use yizhan_proto::v1::{self, Letter, letter::Kind};

use super::{handoff, help, looks, words};
use crate::{
    app::App,
    domain::{
        audience::{Audience, FeedId},
        id::{PointCode, RecordId},
        position::Sequence,
        time::Time,
    },
    feed::{
        apply,
        heads::Heads,
        keyring::Keyring,
        seal::{Seal, epoch},
    },
    link::frame::Unpacker,
    store::{
        StoreError,
        dialect::Dialect,
        freezes::{self, Heard},
        hand_overs::{self, Arriving, Stage},
        parcels::{self, Connection, Extent, Receipt},
    },
};

/// Rows and bytes that a former host hands over at most.
const HANDED_OVER_ROWS: u64 = 4_000_000;
const HANDED_OVER_BYTES: u64 = 16 * 1_024 * 1_024 * 1_024;

/// What becomes of a letter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Done,
    /// For good, with a stable reason.
    Refused(&'static str),
    /// Not now: it is left to come again.
    Later,
}

/// What letters act upon, besides the transaction.
pub struct Here<'a> {
    pub keys: &'a Keyring,
    pub heads: &'a Heads,
    pub now: Time,
    pub dialect: Dialect,
    /// Anything unpredictable.
    pub seed: [u8; 32],
}

impl<'a> Here<'a> {
    pub fn of(app: &'a App, now: Time) -> Here<'a> {
        let (dialect, seed) = (app.db.dialect, app.outside.random());
        Here { keys: &app.keys, heads: &app.heads, now, dialect, seed }
    }
}

/// Letters of one subject take effect in the order in which they were written; empty: in any order.
pub fn subject(letter: &Letter) -> Vec<u8> {
    let feed = match &letter.kind {
        Some(Kind::RemovalReceipt(receipt)) => ("removal", &receipt.home, receipt.audience),
        // One after the other, whatever audience: the last one says that nothing follows.
        Some(Kind::HomeHandOver(part)) => ("hand over", &part.home, 0),
        // One after the other, of whatever feed: the newest word on each counts.
        Some(Kind::FeedFrozen(_)) => {
            return blake3::hash(b"frozen").as_bytes()[..16].to_vec();
        }
        Some(Kind::HandoffWord(word)) => return handoff::subject(word),
        Some(Kind::HelpParcel(parcel)) => return help::subject(parcel),
        Some(Kind::TransferWord(word)) => return words::subject(b"transfer ", &word.transfer),
        Some(Kind::MoveWord(word)) => return words::subject(b"move ", &word.r#move),
        Some(Kind::AreaWord(word)) => return words::subject(b"areas ", &word.approval),
        Some(
            Kind::EnrolmentForward(_)
            | Kind::EnrolmentAnswer(_)
            | Kind::HelpCopies(_)
            | Kind::HelpEscalation(_)
            | Kind::HelpFiguresQuestion(_)
            | Kind::HelpFigures(_)
            | Kind::HelpLookup(_)
            | Kind::HelpLookupAnswer(_)
            | Kind::HeadsQuestion(_)
            | Kind::HeadsAnswer(_)
            | Kind::ReleasesQuestion(_)
            | Kind::ReleasesAnswer(_)
            | Kind::Looks(_),
        )
        | None => return Vec::new(),
    };
    let (purpose, home, audience) = feed;
    let hash = blake3::hash(format!("{purpose} {home} {audience}").as_bytes());
    hash.as_bytes()[..16].to_vec()
}

/// The same of words on a help request.
pub fn request_subject(request: RecordId) -> Vec<u8> {
    handoff::subject(&v1::HandoffWord { request: request.0.to_vec(), ..Default::default() })
}

/// The same of a parcel with a request that was routed elsewhere, by its reference.
pub fn routed_subject(reference: &str) -> Vec<u8> {
    help::subject_of(reference)
}

/// Acts on a letter, inside the transaction that records its number.
pub async fn act(
    here: &Here<'_>,
    db: &mut Connection,
    (from, to): (&PointCode, &PointCode),
    letter: &Letter,
) -> Result<Verdict, StoreError> {
    match &letter.kind {
        Some(Kind::RemovalReceipt(receipt)) => enter_receipt(here, db, (from, to), receipt).await,
        // These are asked and answered at once, or not at all.
        Some(
            Kind::EnrolmentForward(_)
            | Kind::EnrolmentAnswer(_)
            | Kind::HelpFiguresQuestion(_)
            | Kind::HelpFigures(_)
            | Kind::HelpLookup(_)
            | Kind::HelpLookupAnswer(_)
            | Kind::HeadsQuestion(_)
            | Kind::HeadsAnswer(_)
            | Kind::ReleasesQuestion(_)
            | Kind::ReleasesAnswer(_),
        ) => Ok(Verdict::Refused("NOT_EPHEMERAL")),
        Some(Kind::HelpParcel(parcel)) => help::arrive(here, db, (from, to), parcel).await,
        Some(Kind::HelpCopies(copies)) => help::keep_copies(here, db, (from, to), copies).await,
        Some(Kind::HelpEscalation(escalation)) => {
            help::note_escalation(here, db, (from, to), escalation).await
        }
        Some(Kind::HandoffWord(word)) => handoff::arrive(here, db, (from, to), word).await,
        Some(Kind::TransferWord(word)) => words::arrive_transfer(here, db, (from, to), word).await,
        Some(Kind::MoveWord(word)) => words::arrive_move(here, db, (from, to), word).await,
        Some(Kind::AreaWord(word)) => words::arrive_areas(here, db, (from, to), word).await,
        Some(Kind::HomeHandOver(part)) => hand_over(here, db, (from, to), part).await,
        Some(Kind::FeedFrozen(notice)) => enter_freeze(here, db, (from, to), notice).await,
        Some(Kind::Looks(looks)) => looks::enter(here, db, (from, to), looks).await,
        // A kind that a newer version has added.
        None => Ok(Verdict::Refused("UNKNOWN_KIND")),
    }
}

/// "All removals up to this seal are carried out at `from`": into the ledger of the feed's home.
async fn enter_receipt(
    here: &Here<'_>,
    db: &mut Connection,
    (from, to): (&PointCode, &PointCode),
    receipt: &v1::RemovalReceipt,
) -> Result<Verdict, StoreError> {
    let malformed = Verdict::Refused("MALFORMED");
    let Some(audience) = Audience::from_number(i64::from(receipt.audience)) else {
        return Ok(malformed);
    };
    let Some(epoch) = receipt.epoch.clone().and_then(epoch) else { return Ok(malformed) };
    if receipt.home != to.as_str() || receipt.sequence > Sequence::MAX.0 {
        return Ok(malformed);
    }
    let feed = FeedId::new(to.clone(), audience);
    if !audience.is_shared() || !here.keys.roster().may_node_hold(from, &feed) {
        return Ok(Verdict::Refused("NOT_ENTITLED"));
    }
    let own = here.heads.find(&feed).and_then(|view| view.held);
    let Some(own) = own.filter(|own| own.epoch.counter >= epoch.counter) else {
        // We may be behind our own past, after a restore.
        return Ok(Verdict::Later);
    };
    if own.epoch.counter == epoch.counter {
        if own.epoch.random != epoch.random {
            return Ok(Verdict::Refused("OTHER_EPOCH"));
        }
        if own.sequence.0 < receipt.sequence {
            return Ok(Verdict::Later);
        }
    }
    let entry = Receipt {
        point: from.clone(),
        extent: Extent {
            epoch_counter: epoch.counter,
            number: receipt.number.min(i64::MAX as u64),
            sequence: Sequence(receipt.sequence),
        },
        scrubbed: Time(receipt.scrubbed_us),
        received: here.now,
    };
    parcels::put_receipt(db, &feed, &entry).await?;
    Ok(Verdict::Done)
}

/// "Your feed is frozen here": kept for whoever operates this node, until it is over.
async fn enter_freeze(
    here: &Here<'_>,
    db: &mut Connection,
    (from, to): (&PointCode, &PointCode),
    notice: &v1::FeedFrozen,
) -> Result<Verdict, StoreError> {
    let Some(audience) = Audience::from_number(i64::from(notice.audience)) else {
        return Ok(Verdict::Refused("MALFORMED"));
    };
    let feed = FeedId::new(to.clone(), audience);
    if !audience.is_shared()
        || audience == Audience::Roster
        || !here.keys.roster().may_node_hold(from, &feed)
    {
        return Ok(Verdict::Refused("NOT_ENTITLED"));
    }
    if notice.over {
        info!(%feed, by = %from, "the feed goes on there");
        freezes::remove_heard(db, &feed, from).await?;
        return Ok(Verdict::Done);
    }
    warn!(
        %feed, by = %from, epoch = notice.epoch_counter, number = notice.number,
        proved = notice.proved, "our feed is frozen there until its next epoch"
    );
    let heard = Heard {
        feed,
        point: from.clone(),
        epoch_counter: notice.epoch_counter.min(i64::MAX as u64),
        number: notice.number.min(i64::MAX as u64),
        proved: notice.proved,
        at: here.now,
    };
    freezes::put_heard(db, &heard).await?;
    Ok(Verdict::Done)
}

/// Is a point of ours about to get what its former host knows? Until it has that, nothing is acted on
/// that might have been acted on there.
pub async fn is_moving_in(
    here: &Here<'_>,
    db: &mut Connection,
    to: &PointCode,
) -> Result<bool, StoreError> {
    if *to != here.keys.point || here.keys.roster().handed_over_by(to).is_none() {
        return Ok(false);
    }
    if hand_overs::moving(db, to).await?.stage == Arriving::MovedIn {
        return Ok(false);
    }
    // Where the operator went on without the former host, nobody waits for it.
    Ok(hand_overs::list_seals(db).await?.is_some() || !has_begun(here.keys, here.heads))
}

pub fn is_of_hand_over(letter: &Letter) -> bool {
    matches!(letter.kind, Some(Kind::HomeHandOver(_)))
}

/// Has this point's own key sealed anything? Then its node is no newcomer.
pub fn has_begun(keys: &Keyring, heads: &Heads) -> bool {
    let first = keys.first_epoch(&keys.point);
    heads.all().into_iter().any(|(feed, view)| {
        feed.home == keys.point
            && feed.audience != Audience::Roster
            && view.head.is_some_and(|head| head.statement().epoch.counter >= first)
    })
}

/// Records of a point that was hosted: kept until they are complete; or the point's word that they
/// are, at its former host.
async fn hand_over(
    here: &Here<'_>,
    db: &mut Connection,
    (from, to): (&PointCode, &PointCode),
    part: &v1::HomeHandOver,
) -> Result<Verdict, StoreError> {
    let roster = here.keys.roster();
    if part.home == from.as_str() && roster.handed_over_by(from) == Some(to) {
        let mut progress = hand_overs::find(db, from).await?.unwrap_or_default();
        if progress.stage != Stage::Cleared {
            progress.stage = Stage::Settled;
            hand_overs::put(db, from, &progress).await?;
        }
        return Ok(Verdict::Done);
    }
    if part.home != to.as_str() || *to != here.keys.point {
        return Ok(Verdict::Refused("NOT_EXPECTED"));
    }
    match roster.handed_over_by(to) {
        Some(host) if host == from => {}
        Some(_) => return Ok(Verdict::Refused("NOT_EXPECTED")),
        // The host knows a newer roster than we do; or nobody ever hosted us.
        None if roster.get(to).is_none_or(|entry| entry.host.is_some()) => {
            return Ok(Verdict::Later);
        }
        None => return Ok(Verdict::Refused("NOT_EXPECTED")),
    }
    let mut moving = hand_overs::moving(db, to).await?;
    // The last letter says that nothing follows: whoever was host once does not write here for ever.
    if moving.stage > Arriving::Awaited || hand_overs::list_seals(db).await?.is_some() {
        return Ok(Verdict::Refused("NOT_EXPECTED"));
    }
    let malformed = Verdict::Refused("MALFORMED");
    if part.rows_len > 0 {
        let audience = Audience::from_number(i64::from(part.audience));
        let Some(audience) = audience.filter(|audience| !audience.is_shared()) else {
            return Ok(malformed);
        };
        let Some(rows) = Unpacker::new().unpack(&part.rows_zstd, part.rows_len) else {
            return Ok(malformed);
        };
        if apply::check_page(Sequence(0), &rows, Sequence::MAX).is_err() {
            return Ok(malformed);
        }
        moving.rows += rows.len() as u64;
        moving.bytes += rows.iter().map(|row| row.payload.len() as u64).sum::<u64>();
        if moving.rows > HANDED_OVER_ROWS || moving.bytes > HANDED_OVER_BYTES {
            return Ok(Verdict::Refused("TOO_MUCH"));
        }
        hand_overs::insert_rows(db, audience, &rows).await?;
        for key in &part.keys {
            let Ok(id) = key.id[..].try_into().map(RecordId) else { return Ok(malformed) };
            hand_overs::put_wrap(db, audience, id, &key.encode_to_vec()).await?;
        }
        hand_overs::put_moving(db, to, moving).await?;
    }
    let is_more = !part.arrivals.is_empty()
        || part.file.is_some()
        || !part.parcels.is_empty()
        || !part.settled.is_empty()
        || !part.accounts.is_empty();
    if is_more {
        let encoded = part.encode_to_vec();
        moving.bytes += encoded.len() as u64;
        if moving.bytes > HANDED_OVER_BYTES {
            return Ok(Verdict::Refused("TOO_MUCH"));
        }
        hand_overs::insert_part(db, &encoded).await?;
        hand_overs::put_moving(db, to, moving).await?;
    }
    if part.last {
        let successor = here.keys.seal_key().verifying_key().to_bytes();
        for message in part.seals.iter().take(Audience::RECORDS.len()) {
            let Ok(seal) = Seal::read(message.clone()) else { return Ok(malformed) };
            let statement = seal.statement();
            let is_last = statement.feed.home == *to && statement.successor == Some(successor);
            if !is_last || here.keys.verify(&seal).is_err() {
                return Ok(malformed);
            }
            hand_overs::put_seal(db, Some(statement.feed.audience), &seal.encode()).await?;
        }
        hand_overs::put_seal(db, None, &[]).await?;
    }
    Ok(Verdict::Done)
}
