//! Whether a connection does something: bytes in, and requests under way.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[derive(Default)]
pub(super) struct Pulse {
    read: AtomicU64,
    begun: AtomicU64,
    under_way: AtomicUsize,
}

/// What was seen at one look.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Look {
    pub read: u64,
    pub begun: u64,
    pub under_way: usize,
}

impl Look {
    /// Requests that were answered.
    pub fn answered(&self) -> u64 {
        self.begun.saturating_sub(self.under_way as u64)
    }

    /// Did anything but bytes happen since the look before?
    pub fn is_busy_since(&self, before: &Look) -> bool {
        self.under_way > 0 || self.begun != before.begun
    }
}

impl Pulse {
    pub fn look(&self) -> Look {
        Look {
            read: self.read.load(Relaxed),
            begun: self.begun.load(Relaxed),
            under_way: self.under_way.load(Relaxed),
        }
    }

    /// A request begins; it is under way until the guard is dropped.
    pub fn begin(self: &Arc<Pulse>) -> UnderWay {
        self.begun.fetch_add(1, Relaxed);
        self.under_way.fetch_add(1, Relaxed);
        UnderWay(self.clone())
    }
}

pub(super) struct UnderWay(Arc<Pulse>);

impl UnderWay {
    /// Keeps the request under way until the answer's last byte.
    pub fn until_sent(self, body: Body) -> Body {
        Body::new(Sending { body, _under_way: self })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Relaxed);
    }
}

struct Sending {
    body: Body,
    _under_way: UnderWay,
}

impl hyper::body::Body for Sending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Counts what is read.
pub(super) struct Counted<Io> {
    io: Io,
    pulse: Arc<Pulse>,
}

impl<Io> Counted<Io> {
    pub fn new(io: Io, pulse: Arc<Pulse>) -> Counted<Io> {
        Counted { io, pulse }
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Counted<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(context, buffer);
        let read = buffer.filled().len() - before;
        self.pulse.read.fetch_add(read as u64, Relaxed);
        polled
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Counted<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
