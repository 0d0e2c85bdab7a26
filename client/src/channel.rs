//! A connection to a node: TLS pinned to the network's authority, or the node's local socket.
//!
//! A call that may be repeated is repeated while the node is unavailable; any other is made once.

use std::{future::Future, path::PathBuf, sync::Arc, time::Duration};

use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::net::{TcpStream, UnixStream};
use tonic::{
    Code, Request, Response, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint, Uri},
};
use yizhan_proto::v1::{
    account_service_client::AccountServiceClient, approval_service_client::ApprovalServiceClient,
    audit_service_client::AuditServiceClient, control_service_client::ControlServiceClient,
    desk_service_client::DeskServiceClient, event_service_client::EventServiceClient,
    export_service_client::ExportServiceClient, group_service_client::GroupServiceClient,
    handoff_service_client::HandoffServiceClient,
    help_request_service_client::HelpRequestServiceClient,
    import_service_client::ImportServiceClient, member_service_client::MemberServiceClient,
    move_service_client::MoveServiceClient, node_service_client::NodeServiceClient,
    notice_service_client::NoticeServiceClient, org_service_client::OrgServiceClient,
    peer_service_client::PeerServiceClient, point_service_client::PointServiceClient,
    report_service_client::ReportServiceClient, series_service_client::SeriesServiceClient,
    transfer_service_client::TransferServiceClient,
};

use crate::error::{Error, Result, innermost};

/// Time for name look-up, TCP and TLS together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for one unary call.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Repetitions of a call that may be repeated.
const RETRIES: u32 = 3;
/// Wait before the first repetition; it doubles.
const RETRY_FIRST: Duration = Duration::from_millis(100);
/// Largest answer: a page of 1,000 full records.
const MESSAGE_MAX: usize = 64 * 1024 * 1024;
/// A connection without any byte for this long is asked for a sign of life.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Puts the session token on every call, and why it is made.
#[derive(Clone, Default)]
pub struct Authorise {
    token: Option<MetadataValue<Ascii>>,
    purpose: Option<MetadataValue<Ascii>>,
}

impl Interceptor for Authorise {
    fn call(&mut self, mut request: Request<()>) -> std::result::Result<Request<()>, Status> {
        if let Some(value) = &self.token {
            request.metadata_mut().insert("authorization", value.clone());
        }
        if let Some(value) = &self.purpose {
            request.metadata_mut().insert("yizhan-purpose", value.clone());
        }
        Ok(request)
    }
}

type Authorised = InterceptedService<Channel, Authorise>;

/// A node, as one caller sees it. Cheap to clone; all clones share one connection.
#[derive(Clone)]
pub struct Node {
    channel: Channel,
    authorise: Authorise,
}

/// Declares one accessor per service.
macro_rules! services {
    ($($name:ident: $client:ident),+ $(,)?) => {
        impl Node {
            $(pub fn $name(&self) -> $client<Authorised> {
                $client::with_interceptor(self.channel.clone(), self.authorise.clone())
                    .max_decoding_message_size(MESSAGE_MAX)
            })+
        }
    };
}

services!(
    accounts: AccountServiceClient,
    nodes: NodeServiceClient,
    points: PointServiceClient,
    peers: PeerServiceClient,
    members: MemberServiceClient,
    events: EventServiceClient,
    series: SeriesServiceClient,
    groups: GroupServiceClient,
    orgs: OrgServiceClient,
    reports: ReportServiceClient,
    imports: ImportServiceClient,
    exports: ExportServiceClient,
    audit: AuditServiceClient,
    approvals: ApprovalServiceClient,
    handoffs: HandoffServiceClient,
    notices: NoticeServiceClient,
    transfers: TransferServiceClient,
    moves: MoveServiceClient,
    help_requests: HelpRequestServiceClient,
    desk: DeskServiceClient,
    control: ControlServiceClient,
);

impl Node {
    /// Connects to `https://host:port` over TLS 1.3. `ca` is PEM: only servers whose certificate it
    /// has signed are spoken to.
    pub async fn connect(server: &str, ca: &[u8]) -> Result<Node> {
        let uri: Uri = server_url(server)?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(443);
        let tls = tokio_rustls::TlsConnector::from(Arc::new(tls_config(ca)?));
        let name = ServerName::try_from(host.clone())
            .map_err(|_| Error::usage(format!("--server has no usable host: {server}")))?;

        let connector = tower::service_fn(move |_: Uri| {
            let (tls, name, host) = (tls.clone(), name.clone(), host.clone());
            async move {
                let connect = async {
                    let stream = TcpStream::connect((host.as_str(), port)).await?;
                    stream.set_nodelay(true)?;
                    tls.connect(name, stream).await
                };
                match tokio::time::timeout(CONNECT_TIMEOUT, connect).await {
                    Ok(stream) => stream.map(TokioIo::new),
                    Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
                }
            }
        });
        let endpoint = Endpoint::from(uri).keep_alive_timeout(KEEP_ALIVE);
        let endpoint = endpoint.http2_keep_alive_interval(KEEP_ALIVE).keep_alive_while_idle(true);
        let channel = endpoint.connect_with_connector(connector).await.map_err(|error| {
            Error::unreachable(format!("cannot reach {server}: {}", innermost(&error)))
                .advice("check --server and --ca, and that the node runs")
        })?;
        Ok(Node { channel, authorise: Authorise::default() })
    }

    /// Connects to the socket of a node on this machine, as its operator. `shown` names the node
    /// in errors.
    pub async fn local(socket: PathBuf, shown: &str) -> Result<Node> {
        let connector = tower::service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        let endpoint = Endpoint::from_static("http://node.invalid");
        let channel = endpoint.connect_with_connector(connector).await.map_err(|error| {
            Error::unreachable(format!("no node runs in {shown}: {}", innermost(&error)))
                .advice("start it with `yizhand run`")
        })?;
        Ok(Node { channel, authorise: Authorise::default() })
    }

    /// The connection itself, for calls that have no typed client here.
    pub fn service(&self) -> InterceptedService<Channel, Authorise> {
        InterceptedService::new(self.channel.clone(), self.authorise.clone())
    }

    /// The same node with a session token, or without one.
    pub fn signed_in(mut self, token: Option<&str>) -> Result<Node> {
        let value = token.map(|token| format!("Bearer {token}").parse()).transpose();
        let value =
            value.map_err(|_| Error::failed("PROFILE_BROKEN", "the stored session is not one"))?;
        self.authorise.token = value;
        Ok(self)
    }

    /// The same node, told why it is asked; `None`: the operation's own purpose.
    pub fn for_purpose(mut self, purpose: Option<&str>) -> Result<Node> {
        let value = purpose.map(str::parse).transpose();
        self.authorise.purpose = value.map_err(|_| Error::usage("--purpose is not a word"))?;
        Ok(self)
    }
}

/// Makes a call that may be repeated without harm: reading, or writing with a request id.
pub async fn repeating<T, F>(mut call: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = std::result::Result<Response<T>, Status>>,
{
    let mut wait = RETRY_FIRST;
    for _ in 0..RETRIES {
        match in_time(call()).await {
            Err(status) if status.code() == Code::Unavailable => {
                tokio::time::sleep(wait).await;
                wait *= 2;
            }
            done => return Ok(done?),
        }
    }
    Ok(in_time(call()).await?)
}

/// Makes a call once.
pub async fn once<T>(
    call: impl Future<Output = std::result::Result<Response<T>, Status>>,
) -> Result<T> {
    Ok(in_time(call).await?)
}

async fn in_time<T>(
    call: impl Future<Output = std::result::Result<Response<T>, Status>>,
) -> std::result::Result<T, Status> {
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(answer) => answer.map(Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded("the server did not answer in time")),
    }
}

/// Reads `https://host:port`; `host:port` means the same.
pub fn server_url(server: &str) -> Result<Uri> {
    let wrong = || Error::usage(format!("--server is not https://HOST:PORT: {server}"));
    let address = match server.split_once("://") {
        None => server,
        Some(("https", address)) => address,
        Some(_) => return Err(wrong()),
    };
    let address = address.trim_end_matches('/');
    let uri: Uri = format!("https://{address}").parse().map_err(|_| wrong())?;
    match uri.host() {
        Some(host) if !host.is_empty() => Ok(uri),
        _ => Err(wrong()),
    }
}

fn tls_config(ca: &[u8]) -> Result<ClientConfig> {
    let wrong = |what: &str| Error::usage(format!("--ca is {what}"));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca) {
        let certificate = certificate.map_err(|_| wrong("not PEM"))?;
        roots.add(certificate).map_err(|_| wrong("not a certificate of an authority"))?;
    }
    if roots.is_empty() {
        return Err(wrong("without a certificate"));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("BUG: the provider knows TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_https_with_or_without_saying_so() {
        for text in ["https://127.0.0.1:8443", "127.0.0.1:8443", "https://127.0.0.1:8443/"] {
            let uri = server_url(text).unwrap();
            assert_eq!((uri.host(), uri.port_u16()), (Some("127.0.0.1"), Some(8443)), "{text}");
        }
        for text in ["http://a:1", "", "https://", "ftp://a"] {
            assert!(server_url(text).is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_repeatable_call_is_repeated_while_unavailable_only() {
        for (code, expected) in [(Code::Unavailable, 4), (Code::NotFound, 1)] {
            let mut calls = 0;
            let answer: Result<()> = repeating(|| {
                calls += 1;
                async move { Err(Status::new(code, "no")) }
            })
            .await;
            assert!(answer.is_err());
            assert_eq!(calls, expected);
        }
    }

    #[tokio::test]
    async fn a_closed_port_is_unreachable() {
        let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = dead.local_addr().unwrap();
        drop(dead);
        let ca = include_bytes!("../tests/ca.pem");
        let error = Node::connect(&address.to_string(), ca).await.map(|_| ()).unwrap_err();
        assert_eq!(error.exit, crate::error::EXIT_UNREACHABLE);
    }
}
