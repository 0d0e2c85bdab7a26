//! Words of our homes on their way to the other points, moves that nobody answered, and the old home's
//! last word: that no card of it is held anywhere any more.

use tracing::{info, warn};
use yizhan_proto::v1::{self, Letter, letter, move_word::Kind as Said};

use super::{
    content::collect,
    departed,
    desk::ended,
    stored::{Noted, in_work, member_at},
};
use crate::{
    app::{
        App,
        copies::{self, Copies},
        error::{Error, Result},
        members,
    },
    domain::{
        handoff::Side,
        id::PointCode,
        member_move::{MoveState, MoveStep, Word},
        text::Invalid,
        time::Time,
    },
    feed::change::{Change, CommitError},
    parcel::{office::SendError, words::PART_MAX},
    wire::{member_move as wire, value},
};

/// Posts the words of all our homes. The same word may be posted twice, which changes nothing.
pub async fn send(app: &App) -> Result<()> {
    for home in app.keys.homes() {
        for noted in in_work(app, &home).await? {
            if let Err(error) = send_one(app, &home, noted).await {
                let error = &error as &dyn std::error::Error;
                warn!(error, "word on a move waits to be sent");
            }
        }
    }
    Ok(())
}

async fn send_one(app: &App, home: &PointCode, mut noted: Noted) -> Result<()> {
    let Some(word) = noted.moving.outgoing.clone() else { return Ok(()) };
    let to = noted.other()?;
    if word.kind() == Said::Copy {
        return send_copy(app, home, &to, noted, word).await;
    }
    if word.kind() == Said::Confirm {
        departed::remember(app, noted.id, noted.member()?, &to).await?;
    }
    post(app, home, &to, word).await?;
    noted.moving.outgoing = None;
    commit(app, noted.put(Change::new())).await.map(drop)
}

/// Sends what the version stands for, in parts. If that is not what there is any more, it becomes the
/// next version first: parts of one version are always of one content.
async fn send_copy(
    app: &App,
    home: &PointCode,
    to: &PointCode,
    mut noted: Noted,
    word: v1::MoveWord,
) -> Result<()> {
    let Some(content) = collect(app, &noted).await? else { return Ok(()) };
    if content.hash != word.content_hash {
        copy_again(&mut noted, content.hash);
        return commit(app, noted.put(Change::new())).await.map(drop);
    }
    let parts: Vec<&[u8]> = content.bytes.chunks(PART_MAX).collect();
    for (part, bytes) in parts.iter().enumerate() {
        let word = v1::MoveWord {
            part: part as u32,
            parts: parts.len() as u32,
            content: bytes.to_vec(),
            ..word.clone()
        };
        post(app, home, to, word).await?;
    }
    noted.moving.outgoing = None;
    commit(app, noted.put(Change::new())).await.map(drop)
}

/// What there is now goes as the next version.
pub(super) fn copy_again(noted: &mut Noted, hash: Vec<u8>) {
    noted.moving.version += 1;
    noted.moving.content_hash = hash;
    let version = noted.moving.version;
    noted.say(Word::Copy(version));
}

async fn post(app: &App, home: &PointCode, to: &PointCode, word: v1::MoveWord) -> Result<()> {
    let letter = Letter { kind: Some(letter::Kind::MoveWord(word)) };
    app.post.send(home.clone(), to.clone(), letter).await.map_err(|error: SendError| {
        Error::Precondition { reason: "NOT_SENT", message: error.to_string() }
    })
}

/// Moves that came to no end in time are over, and the member stays.
pub async fn expire(app: &App) -> Result<()> {
    let now = app.outside.now();
    for home in app.keys.homes() {
        for mut noted in in_work(app, &home).await? {
            let is_over = noted.side() == Side::Origin
                && noted.state()?.is_open()
                && expires(&noted).is_some_and(|expires| expires < now);
            if is_over {
                noted.step(MoveStep::Expire, now)?;
                let change = ended(app, Change::new(), &noted).await?;
                commit(app, noted.put(change)).await?;
            }
        }
    }
    Ok(())
}

fn expires(noted: &Noted) -> Option<Time> {
    noted.moving.expire_time.and_then(|time| value::time(time, "expire_time").ok())
}

/// Once all who held a card of a member who has gone have confirmed that it is gone, the new home is
/// told, and nothing is left here but the redirect.
pub async fn clear(app: &App) -> Result<()> {
    for home in app.keys.homes() {
        for mut noted in in_work(app, &home).await? {
            let is_clearing = noted.side() == Side::Origin
                && noted.state()? == MoveState::Confirmed
                && noted.moving.clear_time.is_none()
                && noted.moving.outgoing.is_none();
            if !is_clearing || !is_clear(app, &noted).await? {
                continue;
            }
            let id = noted.member()?;
            members::forget_locally(app, id).await?;
            noted.moving.clear_time = Some(value::time_message(app.outside.now()));
            noted.moving.outgoing = Some(v1::MoveWord {
                kind: Said::Cleared.into(),
                ..wire::word(noted.id, &noted.moving, Word::Recall)
            });
            if commit(app, noted.put(Change::new())).await? {
                info!(%home, to = noted.moving.to, "a member has moved, and no copy is left");
            }
        }
    }
    Ok(())
}

async fn is_clear(app: &App, noted: &Noted) -> Result<bool> {
    let (home, id) = (&noted.feed.home, noted.member()?);
    if member_at(app, home, id).await?.is_some() {
        // Here again: what is held now is held rightly.
        return Ok(true);
    }
    let sent = crate::app::transfers::ledger(app, home, id).await?;
    let sent_is_gone = sent.iter().all(|copy| copy.state() == v1::member_copy::State::Scrubbed);
    let copies = Copies { db: app.db.clone(), heads: app.heads.clone(), keys: app.keys.clone() };
    let cards = match copies.of_record(home, id).await {
        Ok(copies) => copies,
        // Nothing of it was ever in a feed.
        Err(Error::NotFound { .. }) => Vec::new(),
        Err(error) => return Err(error),
    };
    // Its own rows are copies, too: they are gone once index and log are rewritten.
    let is_gone = |copy: &copies::CopyAt| {
        matches!(copy.state, copies::State::Scrubbed | copies::State::Revoked)
    };
    Ok(sent_is_gone && cards.iter().all(is_gone))
}

/// False if somebody else was faster: what is stored is looked at again.
pub(super) async fn commit(app: &App, change: Change) -> Result<bool> {
    match app.writer.commit(change).await {
        Ok(_) => Ok(true),
        Err(CommitError::Stale) => Ok(false),
        Err(CommitError::TooMany) => Err(Invalid::new("member", "too_large").into()),
        Err(error) => Err(error.into()),
    }
}
