//! Files of help requests: sealed pieces, and which request has taken them. Local to this database.

use sqlx::{AnyConnection, Row};

use super::{Result, Slot, StoreError, database::failed};
use crate::domain::{id::RecordId, time::Time};

/// What the queries of this file take; the caller owns it.
pub type Connection = AnyConnection;

/// A file as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    pub whole: bool,
    pub request: Vec<u8>,
    pub pieces: i64,
}

/// Begins a file.
pub async fn insert(db: &mut Connection, id: RecordId, now: Time) -> Result<()> {
    let sql = "insert into attachments (id, whole, request, pieces, bytes, created_us)
               values ($1, 0, $2, 0, 0, $3)";
    let query = sqlx::query(sql).bind(id.0.to_vec()).bind(Vec::<u8>::new()).bind(now.0);
    query.execute(db).await.map_err(failed)?;
    Ok(())
}

/// Adds sealed pieces in order; false if the file was swept away meanwhile.
pub async fn append(
    db: &mut Connection,
    id: RecordId,
    first: i64,
    pieces: &[Vec<u8>],
) -> Result<bool> {
    for (number, piece) in (first..).zip(pieces) {
        let sql = "insert into attachment_pieces (attachment, number, sealed)
                   values ($1, $2, $3)";
        let query = sqlx::query(sql).bind(id.0.to_vec()).bind(number).bind(piece.clone());
        query.execute(&mut *db).await.map_err(failed)?;
    }
    let bytes: usize = pieces.iter().map(Vec::len).sum();
    let sql = "update attachments set pieces = pieces + $1, bytes = bytes + $2
               where id = $3 and whole = 0";
    let query = sqlx::query(sql).bind(pieces.len() as i64).bind(bytes as i64);
    let done = query.bind(id.0.to_vec()).execute(db).await.map_err(failed)?;
    Ok(done.rows_affected() == 1)
}

/// The file is whole.
pub async fn finish(db: &mut Connection, id: RecordId) -> Result<()> {
    let sql = "update attachments set whole = 1 where id = $1";
    sqlx::query(sql).bind(id.0.to_vec()).execute(db).await.map_err(failed)?;
    Ok(())
}

/// Gives a whole file to a request; false if it is not there, or another request has it.
pub async fn claim(db: &mut Connection, id: RecordId, request: RecordId) -> Result<bool> {
    let sql = "update attachments set request = $1
               where id = $2 and whole > 0 and (request = $1 or request = $3)";
    let query = sqlx::query(sql).bind(request.0.to_vec()).bind(id.0.to_vec());
    let done = query.bind(Vec::<u8>::new()).execute(db).await.map_err(failed)?;
    Ok(done.rows_affected() == 1)
}

/// Takes a file back from a request that does not name it, unless it is known to be stored with it.
pub async fn release(db: &mut Connection, id: RecordId, request: RecordId) -> Result<()> {
    let sql = "update attachments set request = $1 where id = $2 and request = $3 and whole = 1";
    let query = sqlx::query(sql).bind(Vec::<u8>::new()).bind(id.0.to_vec());
    query.bind(request.0.to_vec()).execute(db).await.map_err(failed)?;
    Ok(())
}

pub async fn find(db: &mut Connection, id: RecordId) -> Result<Option<Stored>> {
    let sql = "select whole, request, pieces from attachments where id = $1";
    let row = sqlx::query(sql).bind(id.0.to_vec()).fetch_optional(db).await.map_err(failed)?;
    let Some(row) = row else { return Ok(None) };
    let whole: i64 = row.try_get("whole")?;
    let (request, pieces) = (row.try_get("request")?, row.try_get("pieces")?);
    Ok(Some(Stored { whole: whole > 0, request, pieces }))
}

pub async fn piece(db: &mut Connection, id: RecordId, number: i64) -> Result<Option<Vec<u8>>> {
    let sql = "select sealed from attachment_pieces where attachment = $1 and number = $2";
    let query = sqlx::query_scalar(sql).bind(id.0.to_vec()).bind(number);
    query.fetch_optional(db).await.map_err(failed)
}

/// The request that has taken the file is stored too.
pub async fn keep(db: &mut Connection, id: RecordId) -> Result<()> {
    let sql = "update attachments set whole = 2 where id = $1 and whole = 1";
    sqlx::query(sql).bind(id.0.to_vec()).execute(db).await.map_err(failed)?;
    Ok(())
}

/// Files from before `before` that are not known to belong to a stored request, with the request that
/// has taken them.
pub async fn list_old(
    db: &mut Connection,
    before: Time,
    limit: u32,
) -> Result<Vec<(RecordId, Vec<u8>)>> {
    let sql = "select id, request from attachments where whole < 2 and created_us < $1
               order by created_us limit $2";
    let rows: Vec<(Vec<u8>, Vec<u8>)> = sqlx::query_as(sql)
        .bind(before.0)
        .bind(i64::from(limit))
        .fetch_all(db)
        .await
        .map_err(failed)?;
    rows.into_iter()
        .map(|(id, request)| {
            let id = id.try_into().map_err(|_| StoreError::Damaged { what: "attachment" })?;
            Ok((RecordId(id), request))
        })
        .collect()
}

/// Removes a file and all its pieces.
pub async fn delete(db: &mut Connection, id: RecordId) -> Result<()> {
    for sql in [
        "delete from attachment_pieces where attachment = $1",
        "delete from attachments where id = $1",
    ] {
        sqlx::query(sql).bind(id.0.to_vec()).execute(&mut *db).await.map_err(failed)?;
    }
    Ok(())
}

/// A sealed piece, and of how many.
pub struct Piece {
    pub number: i64,
    pub of: i64,
    pub sealed: Vec<u8>,
}

/// Files whose request was passed on from this copy, with that request, in the order of their ids from just
/// after `after`. Not only whole ones: a request that goes on before all pieces of a file have come leaves
/// them to follow it.
pub async fn list_left_behind(
    db: &mut Connection,
    slot: Slot,
    after: RecordId,
    limit: u32,
) -> Result<Vec<(RecordId, RecordId)>> {
    let sql = "select a.id, a.request from help_requests r join attachments a on a.request = r.id
               where r.slot = $1 and r.state = 0 and a.id > $2
               order by a.id limit $3";
    let query = sqlx::query_as(sql).bind(i64::from(slot.0)).bind(after.0.to_vec());
    let query = query.bind(i64::from(limit));
    let rows: Vec<(Vec<u8>, Vec<u8>)> = query.fetch_all(db).await.map_err(failed)?;
    let id = |bytes: Vec<u8>| bytes.try_into().map(RecordId);
    rows.into_iter()
        .map(|(file, request)| {
            let damaged = |_| StoreError::Damaged { what: "attachment" };
            Ok((id(file).map_err(damaged)?, id(request).map_err(damaged)?))
        })
        .collect()
}

/// The first piece that is still here.
pub async fn first_piece(db: &mut Connection, id: RecordId) -> Result<Option<Piece>> {
    let sql = "select p.number, a.pieces, p.sealed
               from attachment_pieces p join attachments a on a.id = p.attachment
               where p.attachment = $1 order by p.number limit 1";
    let row = sqlx::query(sql).bind(id.0.to_vec()).fetch_optional(db).await.map_err(failed)?;
    let Some(row) = row else { return Ok(None) };
    let (number, of) = (row.try_get("number")?, row.try_get("pieces")?);
    Ok(Some(Piece { number, of, sealed: row.try_get("sealed")? }))
}

/// A piece has gone on: the file is not whole any more, so that the piece can come back.
pub async fn delete_piece(db: &mut Connection, id: RecordId, number: i64) -> Result<()> {
    let sql = "update attachments set whole = 0, bytes = bytes - coalesce(
                 (select length(sealed) from attachment_pieces where attachment = $1 and number = $2), 0)
               where id = $1";
    let query = sqlx::query(sql).bind(id.0.to_vec()).bind(number);
    query.execute(&mut *db).await.map_err(failed)?;
    let sql = "delete from attachment_pieces where attachment = $1 and number = $2";
    sqlx::query(sql).bind(id.0.to_vec()).bind(number).execute(db).await.map_err(failed)?;
    Ok(())
}

/// What is kept of one request at most.
#[derive(Clone, Copy, Debug)]
pub struct Most {
    pub files: i64,
    pub bytes: i64,
}

/// Keeps a piece that has followed its request here; the same one again changes nothing. With the last
/// one the file is whole. False if there would be too much of the request.
pub async fn receive(
    db: &mut Connection,
    (id, request): (RecordId, RecordId),
    piece: &Piece,
    now: Time,
    most: Most,
) -> Result<bool> {
    let sql = "select count(*), cast(coalesce(sum(bytes), 0) as bigint) from attachments
               where request = $1 and id <> $2";
    let query = sqlx::query_as(sql).bind(request.0.to_vec()).bind(id.0.to_vec());
    let (files, others): (i64, i64) = query.fetch_one(&mut *db).await.map_err(failed)?;
    let sql = "select bytes from attachments where request = $1 and id = $2";
    let query = sqlx::query_scalar(sql).bind(request.0.to_vec()).bind(id.0.to_vec());
    let own: Option<i64> = query.fetch_optional(&mut *db).await.map_err(failed)?;
    let bytes = i64::try_from(piece.sealed.len()).unwrap_or(i64::MAX);
    if files >= most.files || others + own.unwrap_or(0) + bytes > most.bytes {
        return Ok(false);
    }
    let sql = "insert into attachments (id, whole, request, pieces, bytes, created_us)
               values ($1, 0, $2, $3, 0, $4) on conflict (id) do nothing";
    let query = sqlx::query(sql).bind(id.0.to_vec()).bind(request.0.to_vec());
    query.bind(piece.of).bind(now.0).execute(&mut *db).await.map_err(failed)?;
    // Somebody else's file is not touched.
    let sql = "insert into attachment_pieces (attachment, number, sealed)
               select id, $2, $3 from attachments
               where id = $1 and request = $4 and pieces = $5 and whole = 0
               on conflict (attachment, number) do nothing";
    let query = sqlx::query(sql).bind(id.0.to_vec()).bind(piece.number).bind(piece.sealed.clone());
    let query = query.bind(request.0.to_vec()).bind(piece.of);
    if query.execute(&mut *db).await.map_err(failed)?.rows_affected() == 0 {
        return Ok(true);
    }
    let sql = "update attachments set bytes = bytes + $2, whole = case when pieces =
                 (select count(*) from attachment_pieces where attachment = $1) then 2 else 0 end
               where id = $1";
    let query = sqlx::query(sql).bind(id.0.to_vec()).bind(bytes);
    query.execute(db).await.map_err(failed)?;
    Ok(true)
}

/// Files that a request has taken.
pub async fn list_of(db: &mut Connection, request: RecordId) -> Result<Vec<RecordId>> {
    let sql = "select id from attachments where request = $1 order by id";
    let rows: Vec<Vec<u8>> =
        sqlx::query_scalar(sql).bind(request.0.to_vec()).fetch_all(db).await.map_err(failed)?;
    rows.into_iter()
        .map(|id| {
            let id = id.try_into().map_err(|_| StoreError::Damaged { what: "attachment" })?;
            Ok(RecordId(id))
        })
        .collect()
}

/// Bytes of files that no request has taken yet.
pub async fn waiting_bytes(db: &mut Connection) -> Result<i64> {
    let sql = "select cast(coalesce(sum(bytes), 0) as bigint) from attachments where request = $1";
    sqlx::query_scalar(sql).bind(Vec::<u8>::new()).fetch_one(db).await.map_err(failed)
}
