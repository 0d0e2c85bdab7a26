//! One connection from the end of its handshake to its own end.

use std::{convert::Infallible, future::pending, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::debug;

use super::{
    body::{Arriving, Late},
    capacity::Capacity,
    gate::{self, Access},
    incoming::Source,
    limits::{Limits, PROGRESS_INTERVAL},
    pulse::{Counted, Pulse, UnderWay},
};
use crate::identity::peer::Peer;

/// What the requests of one connection have in common.
pub(super) struct Shared {
    pub router: Router,
    pub access: Access,
    pub source: Source,
    /// As the certificate says; whether the roster admits it is asked for every request.
    pub peer: Option<Peer>,
    pub pulse: Arc<Pulse>,
    pub capacity: Arc<Capacity>,
    /// None where a request takes its room at once.
    pub arriving: Option<Arc<Arriving>>,
    pub body_timeout: Duration,
    pub request_timeout: Duration,
}

/// Serves until the other end leaves, a limit is reached, `stop` asks for an end in good order, or
/// `close` for one at once.
pub(super) async fn run<Io>(
    io: Io,
    shared: Shared,
    limits: &Limits,
    stop: &CancellationToken,
    close: &CancellationToken,
) where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shared = Arc::new(shared);
    let pulse = shared.pulse.clone();
    let io = TokioIo::new(Counted::new(io, pulse.clone()));
    // Counted when it is met, not when its turn comes: its body may be here long before.
    let service = service_fn(move |request| answer(shared.clone(), shared.pulse.begin(), request));
    let builder = builder(limits);
    let mut connection = pin!(builder.serve_connection_with_upgrades(io, service));

    let mut ticks = interval_at(Instant::now() + PROGRESS_INTERVAL, PROGRESS_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = pulse.look();
    let mut idle_since = Instant::now();
    let age = limits.age.and_then(|age| Instant::now().checked_add(jittered(age)));
    let mut ending: Option<Instant> = None;
    loop {
        let in_good_order = tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    debug!(listener = limits.name, %error, "connection ended");
                }
                return;
            }
            () = close.cancelled() => return,
            () = at(ending), if ending.is_some() => return,
            () = stop.cancelled(), if ending.is_none() => true,
            () = at(age), if ending.is_none() => true,
            _ = ticks.tick() => {
                let now = pulse.look();
                if now.is_busy_since(&before) {
                    idle_since = Instant::now();
                } else if now.read - before.read > limits.bytes_without_request {
                    debug!(listener = limits.name, "closed: bytes without a request");
                    return;
                }
                before = now;
                ending.is_none() && idle_since.elapsed() >= limits.idle
            }
        };
        if in_good_order {
            connection.as_mut().graceful_shutdown();
            ending = Some(Instant::now() + limits.grace);
        }
    }
}

async fn answer(
    shared: Arc<Shared>,
    under_way: UnderWay,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    if let Err(refusal) = shared.access.check(&mut request, shared.peer.as_ref()) {
        return Ok(*refusal);
    }
    request.extensions_mut().insert(shared.source);
    let request = match arrived(&shared, request).await {
        Ok(request) => request,
        Err(Late::GaveWay) => return Ok(gate::busy()),
        Err(Late::TooSlow | Late::Broken) => return Ok(gate::late()),
    };
    // Held until the answer begins: what then flows is bounded by windows and buffers.
    let Some(_room) = shared.capacity.enter(request.uri().path()) else { return Ok(gate::busy()) };
    let answering = shared.router.clone().oneshot(request);
    let Ok(response) = timeout(shared.request_timeout, answering).await else {
        return Ok(gate::late());
    };
    let response = response?;
    Ok(response.map(|body| under_way.until_sent(body)))
}

/// The request once its first message is here.
async fn arrived(shared: &Shared, request: Request<Incoming>) -> Result<Request<Body>, Late> {
    let Some(arriving) = &shared.arriving else { return Ok(request.map(Body::new)) };
    let (head, body) = request.into_parts();
    let body = arriving.first(body, shared.body_timeout).await?;
    Ok(Request::from_parts(head, Body::new(body)))
}

fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read_timeout)
        .max_buf_size(usize::max(limits.header_list as usize, HTTP1_BUFFER_MIN))
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(limits.stream_window)
        .initial_connection_window_size(limits.connection_window)
        .max_frame_size(limits.frame)
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.header_list)
        .max_send_buf_size(limits.send_buffer)
        .max_pending_accept_reset_streams(limits.pending_accept_resets)
        .max_local_error_reset_streams(limits.local_error_resets)
        .keep_alive_interval(limits.keepalive_interval)
        .keep_alive_timeout(limits.keepalive_timeout);
    if limits.http1 { builder } else { builder.http2_only() }
}

/// hyper refuses to have less.
const HTTP1_BUFFER_MIN: usize = 8192;

/// Give or take a tenth, so that connections opened together do not end together.
fn jittered(age: Duration) -> Duration {
    age.mul_f64(rand::random_range(0.9..1.1))
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        pin::Pin,
        sync::atomic::{AtomicBool, Ordering::Relaxed},
        task::{Context, Poll},
    };

    use http_body_util::Full;
    use hyper::body::Bytes;
    use tokio::{
        io::{DuplexStream, ReadBuf, duplex},
        task::yield_now,
    };

    use super::{super::limits::PUBLIC, *};

    /// Bytes that a client can send before the server says a word.
    const BODY: usize = 60_000;

    /// A connection whose bytes are all there at the moment when its progress is looked at for the
    /// first time, as on a machine that is late with everything: their coming wakes nobody.
    struct Late {
        io: DuplexStream,
        is_there: Arc<AtomicBool>,
    }

    impl AsyncRead for Late {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            match self.is_there.load(Relaxed) {
                true => Pin::new(&mut self.io).poll_read(context, buffer),
                false => Poll::Pending,
            }
        }
    }

    impl AsyncWrite for Late {
        fn poll_write(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.io).poll_write(context, bytes)
        }

        fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.io).poll_flush(context)
        }

        fn poll_shutdown(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.io).poll_shutdown(context)
        }
    }

    async fn serve_one(io: Late) {
        let length = |body: axum::body::Bytes| async move { body.len().to_string() };
        let shared = Shared {
            router: Router::new().fallback(length),
            access: Access::Anybody,
            source: Source::Local,
            peer: None,
            pulse: Arc::default(),
            capacity: Arc::new(Capacity::new(&PUBLIC)),
            arriving: Some(Arc::new(Arriving::new(PUBLIC.arriving))),
            body_timeout: PUBLIC.body_timeout,
            request_timeout: PUBLIC.request_timeout,
        };
        let never = CancellationToken::new();
        run(io, shared, &PUBLIC, &never, &never).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_whose_body_is_there_at_once_is_a_request() {
        const { assert!(BODY as u64 > PUBLIC.bytes_without_request) }
        // What is polled first is a matter of chance.
        for _ in 0..50 {
            let (near, far) = duplex(4 * BODY);
            let near = TokioIo::new(near);
            let client = hyper::client::conn::http2::handshake(TokioExecutor::new(), near);
            let (mut sender, sending) = client.await.unwrap();
            tokio::spawn(sending);
            let body = Full::new(Bytes::from(vec![0; BODY]));
            let answer = tokio::spawn(sender.send_request(Request::post("/").body(body).unwrap()));
            let is_there = Arc::new(AtomicBool::new(false));
            tokio::spawn(serve_one(Late { io: far, is_there: is_there.clone() }));
            for _ in 0..10 {
                yield_now().await;
            }
            is_there.store(true, Relaxed);
            let response = answer.await.unwrap().expect("the connection stays");
            let said = axum::body::to_bytes(Body::new(response.into_body()), 100).await.unwrap();
            assert_eq!(said, BODY.to_string());
        }
    }
}
