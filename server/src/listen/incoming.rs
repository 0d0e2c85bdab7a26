//! Where connections come from: TCP, a Unix socket, or a simulated network.

use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv6Addr},
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
};

/// Whom a connection is counted under.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// An IPv4 address, or the /64 of an IPv6 address: one household or office has a whole one.
    Network(IpAddr),
    /// A process of this machine that may open the local socket.
    Local,
}

impl std::fmt::Debug for Source {
    /// Never the address: it would end up in logs, and people ask for help here.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Source::Network(_) => "Network(..)",
            Source::Local => "Local",
        })
    }
}

impl Source {
    pub fn of(address: IpAddr) -> Source {
        match address.to_canonical() {
            IpAddr::V6(v6) if !v6.is_loopback() => {
                let network = u128::from(v6) & !u128::from(u64::MAX);
                Source::Network(IpAddr::V6(Ipv6Addr::from(network)))
            }
            address => Source::Network(address),
        }
    }
}

pub trait Incoming: Send + 'static {
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection. An error is about that connection or about resources: the loop goes on.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Io, Source)>> + Send;
}

pub struct TcpIncoming(pub TcpListener);

impl Incoming for TcpIncoming {
    type Io = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, Source)> {
        let (stream, address) = self.0.accept().await?;
        // Small frames must not wait for each other.
        stream.set_nodelay(true)?;
        Ok((stream, Source::of(address.ip())))
    }
}

pub struct UnixIncoming(pub UnixListener);

impl Incoming for UnixIncoming {
    type Io = UnixStream;

    async fn accept(&mut self) -> io::Result<(UnixStream, Source)> {
        let (stream, _) = self.0.accept().await?;
        Ok((stream, Source::Local))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_office_is_one_source() {
        let source = |text: &str| Source::of(text.parse().unwrap());
        assert_eq!(source("2001:db8:1:2::3"), source("2001:db8:1:2:ffff::9"));
        assert_ne!(source("2001:db8:1:2::3"), source("2001:db8:1:3::3"));
        assert_eq!(source("::ffff:203.0.113.7"), source("203.0.113.7"));
        assert_ne!(source("203.0.113.7"), source("203.0.113.8"));
    }
}
