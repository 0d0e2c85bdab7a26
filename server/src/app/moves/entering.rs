//! What has come from the other side, entered into the feed of the point that it is for: one word,
//! one commit, and the word is forgotten only after it. The parts of a copy stay until the home has
//! let go of it, or has taken it back.

use prost::Message;
use tracing::warn;
use yizhan_proto::v1::{self, move_word::Kind as Said};

use super::{
    confirming,
    content::{self, Arrived, collect},
    desk::ended,
    sending::{commit, copy_again},
    stored::{Noted, damaged, find, holding, home_feed, of_member},
};
use crate::{
    app::{
        App,
        error::{Error, Result},
    },
    domain::{
        handoff::{self, Holding, Side},
        id::{PointCode, RecordId},
        language::Language,
        member_move::{self, AtOrigin, Effect, MoveState, MoveStep, Word as Spoken},
        text::Invalid,
    },
    feed::change::Change,
    parcel::words::COPY_PARTS,
    store::words::{self, Channel, Word},
    wire::{member_move as wire, value::time_message},
};

/// Words of one run.
const AT_ONCE: u32 = 256;
/// All kinds but the parts of copies, and with them.
const WORDS: std::ops::RangeInclusive<i64> = 1..=7;
const COPY: i64 = Said::Copy as i64;

/// Enters what has come.
pub async fn enter(app: &App) -> Result<()> {
    let (copies, waiting) = {
        let mut db = app.db.reader().await?;
        let copies = words::subjects(&mut db, Channel::Moves, COPY, AT_ONCE).await?;
        (copies, words::list(&mut db, Channel::Moves, WORDS, AT_ONCE).await?)
    };
    for (owner, subject, newest) in copies {
        let newest = newest as u64 / COPY_PARTS;
        if let Err(error) = look_at_copy(app, &owner, subject, newest).await {
            let error = &error as &dyn std::error::Error;
            warn!(error, "a copy of a member who moves will be looked at again");
        }
    }
    for word in waiting {
        match enter_one(app, &word).await {
            Ok(true) => forget(app, word).await?,
            Ok(false) => {}
            // Written by somebody who does not keep to the rules: it will not get better.
            Err(Error::Invalid(fields)) => {
                let reason = fields.first().map_or("", |field| field.reason);
                warn!(from = %word.sender, reason, "word on a move refused");
                forget(app, word).await?;
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                warn!(error, "word on a move will be tried again");
            }
        }
    }
    Ok(())
}

async fn forget(app: &App, word: Word) -> Result<()> {
    let app = app.clone();
    let forgetting = tokio::spawn(async move {
        let mut db = app.db.local().await?;
        words::delete(&mut db, Channel::Moves, &word).await
    });
    Ok(forgetting.await.map_err(|_| Error::Busy)??)
}

/// Forgets the parts of a move's copies, those of newer versions too.
async fn forget_copies(app: &App, home: &PointCode, id: RecordId) -> Result<()> {
    let (app, owner) = (app.clone(), home.to_string());
    let forgetting = tokio::spawn(async move {
        let mut db = app.db.local().await?;
        words::delete_up_to(&mut db, Channel::Moves, (&owner, id), COPY, i64::MAX).await
    });
    Ok(forgetting.await.map_err(|_| Error::Busy)??)
}

/// The newest version of a copy that is whole here, with its hash and what it holds.
struct Whole {
    version: u64,
    hash: Vec<u8>,
    bytes: Vec<u8>,
}

async fn whole(app: &App, owner: &str, id: RecordId, from: &PointCode) -> Result<Option<Whole>> {
    let parts = {
        let mut db = app.db.reader().await?;
        words::of_subject(&mut db, Channel::Moves, owner, id, COPY).await?
    };
    let mut decoded = Vec::new();
    for part in parts.iter().filter(|part| part.sender == from.as_str()) {
        decoded.push(v1::MoveWord::decode(&part.word[..]).map_err(|_| damaged())?);
    }
    let mut versions: Vec<u64> = decoded.iter().map(|part| part.version).collect();
    versions.sort_unstable();
    versions.dedup();
    for version in versions.into_iter().rev() {
        let mut of: Vec<&v1::MoveWord> =
            decoded.iter().filter(|part| part.version == version).collect();
        of.sort_by_key(|part| part.part);
        let Some(first) = of.first() else { continue };
        let is_whole = first.parts as usize == of.len()
            && of.iter().enumerate().all(|(at, part)| part.part as usize == at);
        let bytes: Vec<u8> = of.iter().flat_map(|part| part.content.clone()).collect();
        if is_whole && blake3::hash(&bytes).as_bytes()[..] == first.content_hash[..] {
            return Ok(Some(Whole { version, hash: first.content_hash.clone(), bytes }));
        }
    }
    Ok(None)
}

/// Says of a copy that it is whole, or declines one that cannot be read or put in here.
async fn look_at_copy(app: &App, owner: &str, id: RecordId, newest: u64) -> Result<()> {
    let home: PointCode = owner.parse().map_err(|_| damaged())?;
    // A copy is sent to whoever has accepted: any other is nobody's.
    let Some(mut noted) = find(app, &home, id).await? else {
        return forget_copies(app, &home, id).await;
    };
    let (state, from) = (noted.state()?, noted.other()?);
    let is_awaited = matches!(state, MoveState::Accepted | MoveState::Copied);
    if noted.side() != Side::Destination || !is_awaited {
        return forget_copies(app, &home, id).await;
    }
    if newest <= noted.moving.version {
        return Ok(());
    }
    let Some(whole) = whole(app, owner, id, &from).await? else { return Ok(()) };
    if whole.version <= noted.moving.version {
        return Ok(());
    }
    let word = Spoken::Copy(whole.version);
    let newest = Some(whole.version);
    let effect = member_move::hear_at_destination(Some(state), Holding::Nothing, newest, word);
    let Effect::Becomes(MoveState::Copied) = effect else { return Ok(()) };
    let now = app.outside.now();
    let checked = match content::read(&whole.bytes) {
        Ok(arrived) => content::check_free(app, (&from, &home), &arrived).await,
        Err(invalid) => Err(invalid.into()),
    };
    match checked {
        Ok(()) => {
            noted.moving.version = whole.version;
            noted.moving.content_hash = whole.hash;
            noted.step(MoveStep::Copy, now)?;
        }
        Err(Error::Invalid(fields)) => {
            let reason = fields.first().map_or("", |field| field.reason);
            warn!(%from, reason, "a copy of a member who moves cannot be taken");
            noted.moving.reason = format!("the copy cannot be taken: {reason}");
            let step =
                member_move::moved(Side::Destination, MoveState::Accepted, MoveStep::Decline)?;
            noted.become_state(step, Some(state), now);
        }
        Err(error) => return Err(error),
    }
    commit(app, noted.put(Change::new())).await.map(drop)
}

/// False: not yet.
async fn enter_one(app: &App, arrived: &Word) -> Result<bool> {
    let word = v1::MoveWord::decode(&arrived.word[..]).map_err(|_| damaged())?;
    let home: PointCode = arrived.owner.parse().map_err(|_| damaged())?;
    let noted = find(app, &home, arrived.subject).await?;
    let is_other = |noted: &Noted| noted.other().is_ok_and(|o| o.as_str() == arrived.sender);
    if noted.as_ref().is_some_and(|noted| !is_other(noted)) {
        return Err(Invalid::new("move", "not_permitted").into());
    }
    if word.kind() == Said::Cleared {
        return enter_cleared(app, noted, &word).await;
    }
    let Some(said) = wire::said(&word) else { return Ok(true) };
    match noted {
        Some(noted) if noted.side() == Side::Origin => at_origin(app, noted, &word, said).await,
        noted => at_destination(app, &home, arrived, noted, &word, said).await,
    }
}

async fn at_origin(app: &App, mut noted: Noted, word: &v1::MoveWord, said: Spoken) -> Result<bool> {
    let (home, id) = (noted.feed.home.clone(), noted.member()?);
    let held = holding(app, &home, id).await?;
    let content = match held {
        Holding::Owner(_) => collect(app, &noted).await?,
        Holding::Nothing | Holding::Stub(_) => None,
    };
    let newest = of_member(app, &home, id).await?.into_iter();
    let newest = newest.filter(|known| known.side() == Side::Origin).map(|known| known.id).max();
    let hash = content.as_ref().map(|content| content.hash.clone()).unwrap_or_default();
    let at = AtOrigin {
        state: noted.state()?,
        version: noted.moving.version,
        is_unchanged: hash == noted.moving.content_hash && hash == word.content_hash,
        may_go: content.is_some() && newest == Some(noted.id),
    };
    let now = app.outside.now();
    match member_move::hear_at_origin(at, said) {
        Effect::Nothing => Ok(true),
        Effect::Becomes(MoveState::Accepted) => {
            noted.moving.decided_by.clone_from(&word.decided_by);
            noted.step(MoveStep::Accept, now)?;
            copy_again(&mut noted, hash);
            commit(app, noted.put(Change::new())).await
        }
        Effect::CopiesAgain => {
            copy_again(&mut noted, hash);
            commit(app, noted.put(Change::new())).await
        }
        Effect::Becomes(state) => {
            if state == MoveState::Declined {
                noted.moving.reason = handoff::reason(&word.reason, "reason")?;
                noted.moving.decided_by.clone_from(&word.decided_by);
            }
            let before = noted.state()?;
            noted.become_state(state, Some(before), now);
            let change = ended(app, Change::new(), &noted).await?;
            commit(app, noted.put(change)).await
        }
        Effect::Confirms => match content {
            Some(content) => confirming::confirm(app, noted, held, content).await,
            None => Ok(false),
        },
        Effect::Answer(answer) => {
            noted.say(answer);
            commit(app, noted.put(Change::new())).await
        }
        Effect::Owns => Err(damaged()),
    }
}

async fn at_destination(
    app: &App,
    home: &PointCode,
    arrived: &Word,
    noted: Option<Noted>,
    word: &v1::MoveWord,
    said: Spoken,
) -> Result<bool> {
    let state = noted.as_ref().map(Noted::state).transpose()?;
    let from: PointCode = arrived.sender.parse().map_err(|_| damaged())?;
    let is_confirm = matches!(said, Spoken::Confirm(..));
    let whole = match is_confirm {
        true => whole(app, &arrived.owner, arrived.subject, &from).await?,
        false => None,
    };
    let read: Option<Arrived> = match &whole {
        Some(whole) => Some(content::read(&whole.bytes)?),
        None => None,
    };
    let held = match &read {
        Some(read) => holding(app, home, read.id).await?,
        None => Holding::Nothing,
    };
    let version = whole.as_ref().map(|whole| whole.version);
    let now = app.outside.now();
    let mut noted = noted.unwrap_or_else(|| first_note(home, &from, arrived.subject));
    match member_move::hear_at_destination(state, held, version, said) {
        Effect::Nothing => Ok(true),
        Effect::Becomes(MoveState::Offered) => {
            if !word.note.is_empty() {
                noted.moving.note = handoff::summary(&word.note)?;
            }
            noted.moving.language = Language::parse(&word.language, "language")?.to_string();
            noted.moving.offered_by.clone_from(&word.offered_by);
            noted.moving.expire_time = word.expire_time;
            noted.moving.request_time = Some(time_message(now));
            noted.become_state(MoveState::Offered, None, now);
            commit(app, noted.put(Change::new())).await
        }
        Effect::Becomes(state) => {
            noted.become_state(state, None, now);
            noted.moving.note.clear();
            // Nothing of what was not taken over stays here.
            forget_copies(app, home, arrived.subject).await?;
            commit(app, noted.put(Change::new())).await
        }
        Effect::Owns => {
            let Some(read) = read else { return Ok(false) };
            let owned = confirming::own(app, noted, word, read).await?;
            if owned {
                forget_copies(app, home, arrived.subject).await?;
            }
            Ok(owned)
        }
        Effect::Answer(answer) => {
            noted.say(answer);
            commit(app, noted.put(Change::new())).await
        }
        Effect::Confirms | Effect::CopiesAgain => Err(damaged()),
    }
}

/// No card of the old home is held anywhere any more.
async fn enter_cleared(app: &App, noted: Option<Noted>, word: &v1::MoveWord) -> Result<bool> {
    let Some(mut noted) = noted else { return Ok(true) };
    if noted.side() == Side::Destination && noted.state()? == MoveState::Confirmed {
        noted.moving.clear_time = word.expire_time.or(Some(time_message(app.outside.now())));
        return commit(app, noted.put(Change::new())).await;
    }
    Ok(noted.state()? != MoveState::Copied)
}

/// A move that this home hears of for the first time.
fn first_note(home: &PointCode, from: &PointCode, id: RecordId) -> Noted {
    Noted {
        feed: home_feed(home),
        id,
        at: None,
        moving: v1::MemberMove {
            from: from.to_string(),
            to: home.to_string(),
            ..v1::MemberMove::default()
        },
    }
}
