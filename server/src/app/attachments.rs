//! Files that come with a help request. A file is looked at, stripped and sealed as it arrives, under
//! a key that its client has drawn; of the key nothing is kept. The request names its files and their
//! keys inside its own sealed content. Files that no request takes are swept away.

use std::sync::Arc;

use chacha20poly1305::{
    ChaCha20Poly1305, Key, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use tokio::sync::{Semaphore, mpsc, oneshot};
use yizhan_proto::v1;
use zeroize::Zeroizing;

use super::{
    App,
    error::{Error, Result},
    records,
};
use crate::{
    domain::{
        attachment::{Accepted, Intake, Refused},
        id::RecordId,
        kind::Kind,
        text::Invalid,
        time::Time,
    },
    store::{StoreError, attachments, database::Database, help_requests},
};

/// Bytes of a file in one sealed piece.
const PIECE: usize = 64 * 1_024;
/// Pieces of one transaction.
const PIECES_AT_ONCE: usize = 16;
/// Parts of an upload that wait for their transaction.
const PARTS: usize = 8;
/// Uploads under way.
const UPLOADS_MAX: usize = 16;
/// Bytes that wait for a request, of all clients.
const WAITING_MAX: i64 = 2 * 1_024 * 1_024 * 1_024;
/// A file that no request has taken is removed after this.
pub const UNTAKEN_US: i64 = 60 * 60 * 1_000_000;
/// Files looked at in one sweep.
const SWEPT: u32 = 256;

/// A file's key, as its client has drawn it.
pub type FileKey = Zeroizing<[u8; 32]>;

/// Room for uploads.
pub struct Attachments {
    room: Arc<Semaphore>,
}

impl Default for Attachments {
    fn default() -> Attachments {
        Attachments { room: Arc::new(Semaphore::new(UPLOADS_MAX)) }
    }
}

/// A part of an upload.
pub enum Part {
    Bytes(Vec<u8>),
    /// There is no more. Without it the upload has broken off, and nothing stays.
    End,
}

/// An upload under way.
pub struct Upload {
    parts: mpsc::Sender<Part>,
    done: oneshot::Receiver<Result<(RecordId, Accepted)>>,
}

impl Upload {
    /// Hands over the next part; false if the upload was refused meanwhile.
    pub async fn push(&self, part: Part) -> bool {
        self.parts.send(part).await.is_ok()
    }

    pub async fn finish(self) -> Result<(RecordId, Accepted)> {
        drop(self.parts);
        self.done.await.map_err(|_| Error::Busy)?
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Error {
        match refused {
            Refused::TooLarge => Error::FileTooLarge,
            Refused::Invalid(invalid) => Error::Invalid(vec![invalid]),
        }
    }
}

/// Begins to take a file in. It runs in a task of its own, because it holds transactions.
pub async fn upload(app: &App, name: &str, key: FileKey) -> Result<Upload> {
    let intake = Intake::new(name)?;
    // Words have room when files have none.
    if app.disk.is_scarce() {
        return Err(Error::StorageFull);
    }
    let permit = app.attachments.room.clone().try_acquire_owned().map_err(|_| Error::Busy)?;
    let waiting = attachments::waiting_bytes(&mut *app.db.reader().await?).await?;
    if waiting > WAITING_MAX {
        return Err(Error::Busy);
    }
    let (id, now) = (app.outside.record_id(), app.outside.now());
    let (parts, mut queue) = mpsc::channel(PARTS);
    let (reply, done) = oneshot::channel();
    let db = app.db.clone();
    tokio::spawn(async move {
        let _permit = permit;
        let taken = take(&db, id, now, intake, &key, &mut queue).await;
        if taken.is_err() {
            remove(&db, id).await;
        }
        // Whoever hung up meanwhile is not told; the file is swept away.
        let _ = reply.send(taken.map(|accepted| (id, accepted)));
    });
    Ok(Upload { parts, done })
}

async fn take(
    db: &Database,
    id: RecordId,
    now: Time,
    mut intake: Intake,
    key: &FileKey,
    parts: &mut mpsc::Receiver<Part>,
) -> Result<Accepted> {
    let mut tx = db.begin().await?;
    attachments::insert(tx.connection(), id, now).await?;
    tx.commit().await?;
    let mut sealing =
        Sealing { key, id, next: 0, plain: Vec::new(), pieces: Vec::new(), stored: 0 };
    loop {
        match parts.recv().await {
            Some(Part::Bytes(bytes)) => {
                intake.push(&bytes, &mut sealing.plain)?;
                sealing.seal(false);
                if sealing.pieces.len() >= PIECES_AT_ONCE {
                    sealing.store(db).await?;
                }
            }
            Some(Part::End) => break,
            None => return Err(Invalid::new("attachment", "file_broken").into()),
        }
    }
    let accepted = intake.finish(&mut sealing.plain)?;
    sealing.seal(true);
    sealing.store(db).await?;
    let mut tx = db.begin().await?;
    attachments::finish(tx.connection(), id).await?;
    tx.commit().await?;
    Ok(accepted)
}

/// What was kept of a file and is on its way to the disk.
struct Sealing<'a> {
    key: &'a FileKey,
    id: RecordId,
    /// Number of the next piece to be sealed.
    next: u64,
    plain: Vec<u8>,
    pieces: Vec<Vec<u8>>,
    /// Pieces that are stored.
    stored: i64,
}

impl Sealing<'_> {
    /// Seals all whole pieces; at the end what is left too, marked as the last.
    fn seal(&mut self, last: bool) {
        // One piece stays back, so that the last one is known as such.
        while self.plain.len() > PIECE {
            let rest = self.plain.split_off(PIECE);
            let piece = std::mem::replace(&mut self.plain, rest);
            self.pieces.push(seal_piece(self.key, self.id, self.next, false, &piece));
            self.next += 1;
        }
        if last {
            let piece = std::mem::take(&mut self.plain);
            self.pieces.push(seal_piece(self.key, self.id, self.next, true, &piece));
            self.next += 1;
        }
    }

    async fn store(&mut self, db: &Database) -> Result<()> {
        let mut tx = db.begin().await?;
        let kept = attachments::append(tx.connection(), self.id, self.stored, &self.pieces).await?;
        if !kept {
            return Err(Error::Busy);
        }
        tx.commit().await?;
        self.stored += self.pieces.len() as i64;
        self.pieces.clear();
        Ok(())
    }
}

async fn remove(db: &Database, id: RecordId) {
    let removed = async {
        let mut tx = db.begin().await?;
        attachments::delete(tx.connection(), id).await?;
        tx.commit().await
    };
    if let Err(error) = removed.await {
        tracing::warn!(error = &error as &dyn std::error::Error, "a broken upload will be swept");
    }
}

/// Pieces are numbered and the last is marked, so that none can be left out, doubled or moved (STREAM,
/// "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", 2015).
fn seal_piece(key: &FileKey, id: RecordId, number: u64, last: bool, piece: &[u8]) -> Vec<u8> {
    let payload = Payload { msg: piece, aad: &id.0 };
    let sealed = cipher(key, id).encrypt(&nonce(number, last), payload);
    sealed.expect("BUG: a piece is short")
}

fn open_piece(
    key: &FileKey,
    id: RecordId,
    number: u64,
    last: bool,
    piece: &[u8],
) -> Option<Vec<u8>> {
    let payload = Payload { msg: piece, aad: &id.0 };
    cipher(key, id).decrypt(&nonce(number, last), payload).ok()
}

/// A key per file, even if a client draws one for several.
fn cipher(key: &FileKey, id: RecordId) -> ChaCha20Poly1305 {
    let mut hash = blake3::Hasher::new_derive_key("yizhan attachment v1");
    hash.update(key.as_ref());
    hash.update(&id.0);
    ChaCha20Poly1305::new(&Key::from(*hash.finalize().as_bytes()))
}

fn nonce(number: u64, last: bool) -> Nonce {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    nonce[11] = u8::from(last);
    Nonce::from(nonce)
}

/// Gives files to the request that names them, before it is stored. One that the request does not get
/// stored with is swept away.
pub async fn claim(app: &App, request: RecordId, files: &[v1::HelpFile]) -> Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    let mut ids = Vec::new();
    for file in files {
        ids.push(RecordId::parse(&file.id, "content.files")?);
    }
    let db = app.db.clone();
    let claiming = tokio::spawn(async move {
        let mut tx = db.begin().await?;
        for id in ids {
            if !attachments::claim(tx.connection(), id, request).await? {
                return Err(Error::Invalid(vec![Invalid::new("content.files", "unknown_file")]));
            }
        }
        Ok(tx.commit().await?)
    });
    claiming.await.map_err(|_| Error::Busy)?
}

/// Takes files back from a request that was stored by another call and names others: they are swept away.
pub async fn release(app: &App, request: RecordId, files: Vec<RecordId>) -> Result<()> {
    let db = app.db.clone();
    let releasing = tokio::spawn(async move {
        let mut tx = db.begin().await?;
        for id in files {
            attachments::release(tx.connection(), id, request).await?;
        }
        tx.commit().await
    });
    Ok(releasing.await.map_err(|_| Error::Busy)??)
}

/// One piece of a file of a request; none after the last.
pub async fn read(
    app: &App,
    request: RecordId,
    file: &v1::HelpFile,
    number: u64,
) -> Result<Option<Vec<u8>>> {
    let missing = || Error::NotFound { noun: "attachment" };
    let id = RecordId::parse(&file.id, "id")?;
    let mut key = FileKey::default();
    *key = file.key[..].try_into().map_err(|_| missing())?;
    let mut db = app.db.reader().await?;
    let stored = attachments::find(&mut db, id).await?.ok_or_else(missing)?;
    if !stored.whole || stored.request != request.0 {
        return Err(missing());
    }
    let pieces = u64::try_from(stored.pieces).unwrap_or(0);
    if number >= pieces {
        return Ok(None);
    }
    let damaged = || Error::Storage(StoreError::Damaged { what: "attachment" });
    let sealed = attachments::piece(&mut db, id, number as i64).await?.ok_or_else(damaged)?;
    let plain = open_piece(&key, id, number, number + 1 == pieces, &sealed);
    Ok(Some(plain.ok_or_else(damaged)?))
}

/// Is the request stored, or on its way into its feed?
async fn is_there(app: &App, request: RecordId) -> Result<bool> {
    let found = records::find(app, request).await?;
    let takes = |kind| matches!(kind, Kind::HELP_REQUEST | Kind::HELP_STUB);
    if found.iter().any(|found| takes(found.row.kind)) {
        return Ok(true);
    }
    let mut db = app.db.reader().await?;
    Ok(help_requests::has_arrived(&mut db, request).await?)
}

/// Removes files that no request has taken, or whose request is not here.
pub async fn sweep(app: &App) -> Result<()> {
    let before = Time(app.outside.now().0 - UNTAKEN_US);
    let old = attachments::list_old(&mut *app.db.reader().await?, before, SWEPT).await?;
    for (id, request) in old {
        let taken = match request.try_into().map(RecordId) {
            Ok(request) => is_there(app, request).await?,
            Err(_) => false,
        };
        let db = app.db.clone();
        let settling = tokio::spawn(async move {
            if taken {
                return attachments::keep(&mut *db.local().await?, id).await;
            }
            remove(&db, id).await;
            Ok(())
        });
        settling.await.map_err(|_| Error::Busy)??;
    }
    Ok(())
}
