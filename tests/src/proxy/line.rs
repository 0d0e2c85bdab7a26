//! One direction of one connection: read, wait as the faults say, hand on in order.
//!
//! The thin line is in front, the long line behind it: what is throttled is not read, so a sender
//! feels it; what is delayed has left the sender, so a long line does not make a thin one.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::tcp::{ReadHalf, WriteHalf},
    sync::{Semaphore, mpsc},
    time::{Instant, sleep_until},
};

use super::{Direction, Fault, Faults, Shared, Side};

/// Bytes read at once; fewer on a thin line.
const CHUNK_MAX: usize = 64 * 1024;
const CHUNK_MIN: usize = 64;
/// A thin line passes its bytes in pieces of this length.
const PIECES_PER_S: u64 = 20;
/// Bytes under way on one direction of one connection: 250 ms at 256 MiB/s.
const UNDER_WAY_MAX: usize = 64 * 1024 * 1024;
/// Pieces under way, so that tiny reads cannot pile up either.
const PIECES_MAX: usize = 64 * 1024;

struct Piece {
    due: Instant,
    delayed: bool,
    bytes: Bytes,
}

/// Carries until the sending end closes. An error is the end of both directions.
pub(super) async fn carry(
    direction: Direction,
    from: ReadHalf<'_>,
    to: WriteHalf<'_>,
    shared: &Shared,
    lost: &AtomicBool,
) -> io::Result<()> {
    let (put, take) = mpsc::channel(PIECES_MAX);
    let room = Semaphore::new(UNDER_WAY_MAX);
    tokio::try_join!(
        fill(direction, from, put, &room, shared, lost),
        hand_on(direction, to, take, &room, shared),
    )?;
    Ok(())
}

async fn fill(
    direction: Direction,
    mut from: ReadHalf<'_>,
    put: mpsc::Sender<Piece>,
    room: &Semaphore,
    shared: &Shared,
    lost_any: &AtomicBool,
) -> io::Result<()> {
    let side = shared.side(direction);
    let mut lost = false;
    loop {
        let mut chunk = BytesMut::with_capacity(chunk_size(&side.faults.borrow()));
        let count = from.read_buf(&mut chunk).await?;
        wait_out_stall(direction, side, shared).await;
        // Read after the wait: the faults that count are those of the moment the bytes set out.
        let faults = *side.faults.borrow();

        if faults.swallowing || lost {
            lost = true;
            lost_any.store(true, Ordering::SeqCst);
            shared.ledger.happened(direction, Fault::Swallow, (count as u64).max(1));
            if count == 0 {
                // The end was swallowed too: only a cut or a heal ends this connection.
                std::future::pending::<()>().await;
            }
            continue;
        }
        if count == 0 {
            return Ok(());
        }
        pass_thin_line(direction, count, side, shared).await;
        // `count` fits: a chunk is far smaller than the room.
        if let Ok(permit) = room.acquire_many(count as u32).await {
            permit.forget();
        }
        let due = Instant::now() + faults.delay;
        let piece = Piece { due, delayed: !faults.delay.is_zero(), bytes: chunk.freeze() };
        if put.send(piece).await.is_err() {
            return Ok(());
        }
    }
}

async fn hand_on(
    direction: Direction,
    mut to: WriteHalf<'_>,
    mut take: mpsc::Receiver<Piece>,
    room: &Semaphore,
    shared: &Shared,
) -> io::Result<()> {
    let mut tape = None;
    while let Some(piece) = take.recv().await {
        if piece.due > Instant::now() {
            sleep_until(piece.due).await;
        }
        if piece.delayed {
            shared.ledger.happened(direction, Fault::Delay, piece.bytes.len() as u64);
        }
        let (allowed, cut) = allowance(shared.side(direction), piece.bytes.len());
        to.write_all(&piece.bytes[..allowed]).await?;
        shared.ledger.arrived(direction, allowed as u64);
        shared.tapes.keep(&mut tape, &piece.bytes[..allowed]);
        if cut {
            // An orderly end after the last byte, so that exactly the asked number arrives.
            to.shutdown().await?;
            shared.cut_now();
            std::future::pending::<()>().await;
        }
        room.add_permits(piece.bytes.len());
    }
    to.shutdown().await
}

/// How many of `count` bytes may still go, and whether the line is cut after them.
fn allowance(side: &Side, count: usize) -> (usize, bool) {
    let mut cut_after = side.cut_after.lock().expect("BUG: poisoned");
    let Some(left) = *cut_after else { return (count, false) };
    if (count as u64) < left {
        *cut_after = Some(left - count as u64);
        return (count, false);
    }
    *cut_after = None;
    (left as usize, true)
}

fn chunk_size(faults: &Faults) -> usize {
    match faults.bytes_per_s {
        None => CHUNK_MAX,
        Some(rate) => {
            usize::try_from(rate / PIECES_PER_S).unwrap_or(CHUNK_MAX).clamp(CHUNK_MIN, CHUNK_MAX)
        }
    }
}

async fn wait_out_stall(direction: Direction, side: &Side, shared: &Shared) {
    let mut faults = side.faults.subscribe();
    if faults.borrow_and_update().stalled {
        shared.ledger.happened(direction, Fault::Stall, 1);
        // The sender lives as long as the line does.
        let _ = faults.wait_for(|faults| !faults.stalled).await;
    }
}

/// Waits for the thin line to be free, and for the bytes to have passed it.
async fn pass_thin_line(direction: Direction, count: usize, side: &Side, shared: &Shared) {
    let Some(rate) = side.faults.borrow().bytes_per_s else { return };
    shared.ledger.happened(direction, Fault::Throttle, count as u64);
    let through = {
        let mut free_at = side.free_at.lock().expect("BUG: poisoned");
        let from = free_at.map_or_else(Instant::now, |free| free.max(Instant::now()));
        let through = from + Duration::from_secs_f64(count as f64 / rate.max(1) as f64);
        *free_at = Some(through);
        through
    };
    sleep_until(through).await;
}
