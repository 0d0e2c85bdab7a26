//! Files follow their request to its new owner, sealed as they lie, piece by piece. A piece leaves these
//! tables in the transaction that puts it into the outbox, so that the old owner keeps none.

use std::collections::BTreeSet;

use tracing::warn;
use yizhan_proto::v1::{self, Letter, handoff_word::Kind as Said, letter};

use super::sending::owner_of;
use crate::{
    app::{
        App,
        error::{Error, Result},
        help_requests::stored::sealed_feed,
    },
    domain::{
        attachment::{COUNT_MAX, SIZE_MAX},
        id::{PointCode, RecordId},
        text::Invalid,
        time::Time,
    },
    store::{
        StoreError,
        attachments::{self, Most, Piece},
    },
    wire::help_request as wire,
};

/// Files that are listed together, and looked at in one run.
const LISTED: u32 = 64;
const RUN_MAX: u32 = 8_192;
/// Files of which something is sent in one run, and pieces of each.
const FILES: usize = 4;
const PIECES: usize = 32;
/// Largest sealed piece, in bytes.
const PIECE_MAX: usize = 66 * 1_024;
/// Pieces of one file: 20 MB in pieces of 64 KiB, and some.
const PIECES_MAX: u32 = 400;
/// What may come of one request: its files, and their sealed bytes.
pub const FILES_MAX: Most = Most {
    files: COUNT_MAX as i64,
    bytes: COUNT_MAX as i64 * (SIZE_MAX as i64 + PIECE_MAX as i64),
};

/// Sends what is left behind. What cannot go now keeps nothing else back.
pub async fn send(app: &App) -> Result<()> {
    for home in app.keys.homes() {
        send_of(app, &home).await?;
    }
    Ok(())
}

async fn send_of(app: &App, home: &PointCode) -> Result<()> {
    let feed = sealed_feed(home);
    let Some(held) = app.heads.find(&feed).and_then(|view| view.held) else { return Ok(()) };
    let (mut after, mut sent) = (RecordId([0; 16]), 0);
    let mut closed: BTreeSet<PointCode> = BTreeSet::new();
    for _ in 0..RUN_MAX / LISTED {
        let left = {
            let mut db = app.db.reader().await?;
            attachments::list_left_behind(&mut db, held.slot, after, LISTED).await?
        };
        let Some((last, _)) = left.last() else { break };
        after = *last;
        for (file, request) in left {
            let owner = owner_of(app, home, &request.0).await?;
            // At another home of this node the file lies where it is read.
            let owner = owner.filter(|owner| !closed.contains(owner) && !app.keys.is_home(owner));
            let Some(owner) = owner else { continue };
            for _ in 0..PIECES {
                match send_piece(app, (home, &owner), file, request).await? {
                    Sent::Piece => {}
                    Sent::Whole => break,
                    Sent::NoRoom => {
                        closed.insert(owner.clone());
                        break;
                    }
                }
            }
            sent += usize::from(!closed.contains(&owner));
            if sent >= FILES {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// What became of a file's next piece.
enum Sent {
    Piece,
    /// There was none: the file has gone.
    Whole,
    NoRoom,
}

async fn send_piece(
    app: &App,
    (home, owner): (&PointCode, &PointCode),
    file: RecordId,
    request: RecordId,
) -> Result<Sent> {
    let (app, home, owner) = (app.clone(), home.clone(), owner.clone());
    let sending = tokio::spawn(async move {
        let mut tx = app.db.begin().await?;
        let Some(piece) = attachments::first_piece(tx.connection(), file).await? else {
            attachments::delete(tx.connection(), file).await?;
            tx.commit().await?;
            return Ok::<Sent, Error>(Sent::Whole);
        };
        let count = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
        let number = piece.number;
        let word = v1::HandoffWord {
            handoff: request.0.to_vec(),
            request: request.0.to_vec(),
            kind: Said::File.into(),
            // Names the piece among words that have come.
            message_id: [&file.0[..], &count(number).to_be_bytes()].concat(),
            file_id: file.0.to_vec(),
            piece_number: count(number),
            pieces: count(piece.of),
            piece: piece.sealed,
            ..v1::HandoffWord::default()
        };
        let letter = Letter { kind: Some(letter::Kind::HandoffWord(word)) };
        if let Err(error) = app.post.write(tx.connection(), &home, &owner, &letter).await {
            warn!(%owner, %error, "a file waits to follow its request");
            return Ok(Sent::NoRoom);
        }
        attachments::delete_piece(tx.connection(), file, number).await?;
        tx.commit().await?;
        app.post.written(&home, &owner);
        Ok(Sent::Piece)
    });
    sending.await.map_err(|_| Error::Busy)?
}

/// Can there be such a piece, of so many and of this length?
pub fn is_piece(number: u32, of: u32, bytes: usize) -> bool {
    bytes <= PIECE_MAX && of <= PIECES_MAX && number < of
}

/// Keeps a piece that has come.
pub async fn enter(app: &App, request: RecordId, word: v1::HandoffWord) -> Result<bool> {
    let file = wire::id(&word.file_id, "file_id")?;
    if !is_piece(word.piece_number, word.pieces, word.piece.len()) {
        return Err(Invalid::new("piece", "out_of_range").into());
    }
    let piece = Piece {
        number: i64::from(word.piece_number),
        of: i64::from(word.pieces),
        sealed: word.piece,
    };
    let (db, now): (_, Time) = (app.db.clone(), app.outside.now());
    let keeping = tokio::spawn(async move {
        let mut tx = db.begin().await?;
        let files = FILES_MAX;
        let kept = attachments::receive(tx.connection(), (file, request), &piece, now, files);
        let kept = kept.await?;
        tx.commit().await?;
        Ok::<bool, StoreError>(kept)
    });
    match keeping.await.map_err(|_| Error::Busy)?? {
        true => Ok(true),
        false => Err(Invalid::new("piece", "too_many").into()),
    }
}
