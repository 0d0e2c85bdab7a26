//! One HTTP POST: its own connection, no redirects, a bounded answer. Plain HTTP only to this machine.

use std::{net::IpAddr, sync::Arc};

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::Failure;

/// Bytes of an answer that are read.
const ANSWER_MAX: usize = 64 * 1_024;

/// A URL that may be posted to.
#[derive(Clone)]
pub struct Address {
    uri: Uri,
    host: String,
    port: u16,
    tls: bool,
}

impl Address {
    /// Reads `https://host[:port]/path?query`; `http` goes to this machine alone.
    pub fn parse(url: &str) -> Result<Address, &'static str> {
        let uri: Uri = url.trim().parse().map_err(|_| "is not a URL")?;
        let host = uri.host().ok_or("names no host")?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if is_loopback(&host) => false,
            _ => return Err("is not https"),
        };
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Ok(Address { uri, host, port, tls })
    }
}

impl Address {
    pub fn host(&self) -> &str {
        &self.host
    }
}

/// Is it this machine, whatever a resolver says?
pub fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Posts JSON; `query` is added to the address. Answers with status and body.
pub async fn post(
    address: &Address,
    query: &str,
    headers: &[(&'static str, String)],
    body: Vec<u8>,
    tls: &Arc<ClientConfig>,
) -> Result<(StatusCode, Bytes), Failure> {
    let unreachable = |_| Failure::Passing("the receiver cannot be reached");
    let stream =
        TcpStream::connect((address.host.as_str(), address.port)).await.map_err(unreachable)?;
    match address.tls {
        false => exchange(stream, address, query, headers, body).await,
        true => {
            let name = ServerName::try_from(address.host.clone())
                .map_err(|_| Failure::Lasting("the receiver's host is no name"))?;
            let connector = TlsConnector::from(tls.clone());
            let stream = connector.connect(name, stream).await.map_err(unreachable)?;
            exchange(stream, address, query, headers, body).await
        }
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    address: &Address,
    query: &str,
    headers: &[(&'static str, String)],
    body: Vec<u8>,
) -> Result<(StatusCode, Bytes), Failure> {
    let broken = |_| Failure::Passing("the receiver broke off");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let mut path = address.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    if !query.is_empty() {
        path.push(if path.contains('?') { '&' } else { '?' });
        path.push_str(query);
    }
    let mut request = Request::post(path)
        .header(header::HOST, format!("{}:{}", address.host, address.port))
        .header(header::CONTENT_TYPE, "application/json; charset=utf-8");
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let request = request
        .body(Full::new(Bytes::from(body)))
        .map_err(|_| Failure::Lasting("the receiver's address is no path"))?;
    let asking = async {
        let answer = sender.send_request(request).await.map_err(broken)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_MAX).collect().await;
        let body = body.map_err(|_| Failure::Passing("the receiver's answer is too long"))?;
        Ok((status, body.to_bytes()))
    };
    let mut asking = std::pin::pin!(asking);
    tokio::select! {
        biased;
        answer = &mut asking => answer,
        // It may end with its answer given.
        _ = connection => asking.await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to_in_the_clear() {
        for good in ["https://a.example/x?key=1", "http://127.0.0.1:9/x", "http://localhost/"] {
            assert!(Address::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a.example", "http://a.example/", "ftp://127.0.0.1/", "http://10.0.0.1/"] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }
}
