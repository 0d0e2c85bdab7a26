//! The dialling side of a link: one TCP connection, one handshake, one channel over it.
//!
//! The channel does not dial again: a link that is lost is a session that has ended.

use std::{io, sync::Arc};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use super::limits::{
    DIAL_TIMEOUT, LINK_CONNECTION_WINDOW, LINK_FRAME, LINK_HEADER_LIST, LINK_KEEPALIVE_INTERVAL,
    LINK_KEEPALIVE_TIMEOUT, LINK_STREAM_WINDOW,
};
use crate::{
    domain::id::PointCode,
    identity::{
        error::Error as IdentityError,
        peer::{Peer, dialled_name},
        tls::peer_of,
    },
};

/// The name sent where no point is known yet: before enrolment.
const ENROLMENT_NAME: &str = "enrolment.yizhan.internal";

#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error("{address} cannot be reached")]
    Unreachable { address: String, source: io::Error },
    #[error("no answer within {} s", DIAL_TIMEOUT.as_secs())]
    TimedOut,
    #[error("the connection was cut before the other end had shown who it is")]
    Cut(#[source] io::Error),
    #[error("the other end is not who it should be, or does not let us in")]
    Handshake(#[source] io::Error),
    #[error("the other end shows no identity")]
    Identity(#[source] IdentityError),
    #[error("HTTP/2 could not begin")]
    Http(#[source] tonic::transport::Error),
}

/// Opens TCP to `host:port`.
pub async fn open_tcp(address: &str) -> Result<TcpStream, DialError> {
    let unreachable = |source| DialError::Unreachable { address: address.to_owned(), source };
    let stream = timeout(DIAL_TIMEOUT, TcpStream::connect(address))
        .await
        .map_err(|_| DialError::TimedOut)?
        .map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    Ok(stream)
}

/// A channel to a point over an open stream, and who is at its other end. Whether the roster admits
/// them is the caller's to ask. With TLS 1.3 a refusal of our certificate shows at the first call.
pub async fn connect<Io>(
    io: Io,
    tls: ClientConfig,
    point: &PointCode,
) -> Result<(Channel, Peer), DialError>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    over_tls(io, tls, &dialled_name(point)).await
}

/// The same towards whoever answers for the network, for enrolment and renewal.
pub async fn connect_for_enrolment<Io>(
    io: Io,
    tls: ClientConfig,
) -> Result<(Channel, Peer), DialError>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    over_tls(io, tls, ENROLMENT_NAME).await
}

async fn over_tls<Io>(io: Io, tls: ClientConfig, name: &str) -> Result<(Channel, Peer), DialError>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let server = ServerName::try_from(name.to_owned())
        .map_err(|_| DialError::Identity(IdentityError::malformed("the name of the point")))?;
    let io = timeout(DIAL_TIMEOUT, TlsConnector::from(Arc::new(tls)).connect(server, io))
        .await
        .map_err(|_| DialError::TimedOut)?
        .map_err(of_handshake)?;
    let peer = peer_of(io.get_ref().1)
        .and_then(|peer| peer.ok_or(IdentityError::malformed("the certificate chain")))
        .map_err(DialError::Identity)?;

    let mut io = Some(TokioIo::new(io));
    let once = service_fn(move |_: Uri| {
        let io = io.take().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected));
        async move { io }
    });
    let channel = timeout(DIAL_TIMEOUT, endpoint(name)?.connect_with_connector(once))
        .await
        .map_err(|_| DialError::TimedOut)?
        .map_err(DialError::Http)?;
    Ok((channel, peer))
}

/// What TLS itself finds wrong is invalid data; everything else is the line.
fn of_handshake(error: io::Error) -> DialError {
    match error.kind() {
        io::ErrorKind::InvalidData => DialError::Handshake(error),
        _ => DialError::Cut(error),
    }
}

/// The same windows and keepalive as the accepting side has.
fn endpoint(name: &str) -> Result<Endpoint, DialError> {
    Ok(Endpoint::from_shared(format!("http://{name}"))
        .map_err(DialError::Http)?
        .initial_stream_window_size(LINK_STREAM_WINDOW)
        .initial_connection_window_size(LINK_CONNECTION_WINDOW)
        .max_frame_size(LINK_FRAME)
        .http2_max_header_list_size(LINK_HEADER_LIST)
        .http2_keep_alive_interval(LINK_KEEPALIVE_INTERVAL)
        .keep_alive_timeout(LINK_KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true))
}
