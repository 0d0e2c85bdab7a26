//! The accept loop: one for TLS over TCP, for the local socket, and for a simulated network.

use std::{io, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use rustls::server::Acceptor;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use super::{
    body::Arriving,
    capacity::Capacity,
    census::{Census, Ticket},
    connection::{self, Shared},
    gate::Access,
    incoming::{Incoming, Source},
    limits::Limits,
};
use crate::identity::{
    peer::Peer,
    tls::{ServerTls, peer_of},
};

/// After an accept that failed for lack of descriptors, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A handshake that is not done by then waits for the other end, which costs nothing but memory: its
/// turn goes on to the next.
const HANDSHAKE_TURN: Duration = Duration::from_millis(100);

/// What lies between the socket and HTTP.
#[derive(Clone)]
pub enum Security {
    Tls(Arc<ServerTls>),
    /// For the local socket: its directory says who may open it.
    Plain,
}

#[derive(Clone)]
pub struct Options {
    pub limits: Limits,
    pub security: Security,
    pub access: Access,
}

/// A listener at work. Dropping it does not stop it; `drain` does.
pub struct Serving {
    stop: CancellationToken,
    tasks: TaskTracker,
    census: Arc<Census>,
    access: Access,
}

/// Begins to accept.
pub fn serve<I: Incoming>(incoming: I, router: Router, options: Options) -> Serving {
    let serving = Serving {
        stop: CancellationToken::new(),
        tasks: TaskTracker::new(),
        census: Census::new(options.limits.clone()),
        access: options.access.clone(),
    };
    let stop = serving.stop.clone();
    let capacity = Arc::new(Capacity::new(&options.limits));
    let arriving = Some(options.limits.arriving).filter(|max| *max > 0);
    let arriving = arriving.map(|max| Arc::new(Arriving::new(max)));
    let handshakes = Semaphore::new(options.limits.handshakes);
    let listener = Arc::new(Listener { router, options, stop, capacity, arriving, handshakes });
    let census = serving.census.clone();
    serving.tasks.spawn(accept(incoming, listener, census, serving.tasks.clone()));
    serving
}

impl Serving {
    /// Open connections, handshakes included.
    pub fn connections(&self) -> usize {
        self.census.len()
    }

    /// Asks the roster again about every connected node, and cuts off the refused ones now. Called
    /// whenever the roster has changed.
    pub fn recheck(&self) {
        self.census.close_nodes(|peer| !self.access.admits(peer));
    }

    /// Accepts no more, lets what is under way finish within `grace`, then closes the rest.
    pub async fn drain(self, grace: Duration) {
        self.stop.cancel();
        self.tasks.close();
        if timeout(grace, self.tasks.wait()).await.is_err() {
            debug!(left = self.census.len(), "drain: grace is over");
            self.census.close_all();
            self.tasks.wait().await;
        }
    }
}

struct Listener {
    router: Router,
    options: Options,
    stop: CancellationToken,
    capacity: Arc<Capacity>,
    arriving: Option<Arc<Arriving>>,
    /// Turns of those whose first word is here.
    handshakes: Semaphore,
}

async fn accept<I: Incoming>(
    mut incoming: I,
    listener: Arc<Listener>,
    census: Arc<Census>,
    tasks: TaskTracker,
) {
    let limits = &listener.options.limits;
    loop {
        let accepted = tokio::select! {
            () = listener.stop.cancelled() => return,
            accepted = incoming.accept() => accepted,
        };
        match accepted {
            Ok((io, source)) => match census.enter(source) {
                Some(ticket) => {
                    tasks.spawn(handle(io, source, ticket, listener.clone()));
                }
                None => debug!(listener = limits.name, ?source, "refused: too many connections"),
            },
            Err(error) => {
                warn!(listener = limits.name, %error, "accept failed");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn handle<Io>(io: Io, source: Source, ticket: Ticket, listener: Arc<Listener>)
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = &listener.options.limits;
    match &listener.options.security {
        Security::Plain => listener.run(io, source, None, ticket).await,
        Security::Tls(tls) => {
            let handshake = timeout(limits.handshake_timeout, listener.handshake(tls, io));
            let accepted = tokio::select! {
                accepted = handshake => accepted,
                () = listener.stop.cancelled() => return,
                () = ticket.close.cancelled() => return,
            };
            let io = match accepted {
                Ok(Ok(io)) => io,
                Ok(Err(error)) => {
                    debug!(listener = limits.name, ?source, %error, "handshake failed");
                    return;
                }
                Err(_) => {
                    debug!(listener = limits.name, ?source, "handshake took too long");
                    return;
                }
            };
            // The verifier has read the identity once already: this does not fail.
            match peer_of(io.get_ref().1) {
                Ok(peer) => listener.run(io, source, peer, ticket).await,
                Err(error) => debug!(listener = limits.name, %error, "no identity"),
            }
        }
    }
}

impl Listener {
    /// Whoever says nothing is waited for without a turn; asymmetric work is done in turns.
    async fn handshake<Io>(&self, tls: &ServerTls, io: Io) -> io::Result<TlsStream<Io>>
    where
        Io: AsyncRead + AsyncWrite + Unpin,
    {
        let hello = LazyConfigAcceptor::new(Acceptor::default(), io).await?;
        let turn = self.handshakes.acquire().await.expect("BUG: the semaphore is never closed");
        let config = tls.acceptor().config().clone();
        let mut accepting = pin!(hello.into_stream(config));
        tokio::select! {
            biased;
            accepted = accepting.as_mut() => return accepted,
            () = sleep(HANDSHAKE_TURN) => drop(turn),
        }
        accepting.await
    }

    async fn run<Io>(&self, io: Io, source: Source, peer: Option<Peer>, ticket: Ticket)
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Options { limits, access, .. } = &self.options;
        let admitted = peer.as_ref().filter(|peer| access.admits(peer));
        match admitted {
            Some(peer) => ticket.is_node(peer),
            None if !ticket.is_stranger() => {
                debug!(listener = limits.name, ?source, "refused: too many strangers");
                return;
            }
            None if access.is_for_nodes() => {
                let limits = limits.for_strangers();
                return self.serve(io, source, peer, &limits, &ticket).await;
            }
            None => {}
        }
        self.serve(io, source, peer, limits, &ticket).await;
    }

    async fn serve<Io>(
        &self,
        io: Io,
        source: Source,
        peer: Option<Peer>,
        limits: &Limits,
        ticket: &Ticket,
    ) where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let access = self.options.access.clone();
        let router = self.router.clone();
        let shared = Shared {
            router,
            access,
            source,
            peer,
            pulse: ticket.pulse.clone(),
            capacity: self.capacity.clone(),
            arriving: self.arriving.clone(),
            body_timeout: limits.body_timeout,
            request_timeout: limits.request_timeout,
        };
        connection::run(io, shared, limits, &self.stop, &ticket.close).await;
    }
}
