//! Real sockets on loopback: who gets in, who does not, and what a connection may use.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Extension, Router, routing::any};
use http::Request;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType};
use rustls::{
    ClientConfig,
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::Notify,
    time::timeout,
};
use tonic::transport::Channel;
use tower::ServiceExt;

use super::{dial::DialError, *};
use crate::{
    domain::{roster::Refused, time::Time},
    identity::{
        keys::TlsIdentity,
        peer::Peer,
        samples::*,
        spki::Fingerprint,
        tls::{
            Clock, Credentials, ServerTls, enrolment_client, hostile_client, link_client,
            link_server, public_server,
        },
    },
};

const PATIENCE: Duration = Duration::from_secs(10);
const MEMBERS_ONLY: &str = "/yizhan.v1.LinkService/OpenSession";
const ENROLMENT: &str = "/yizhan.v1.EnrolmentService/GetNonce";
const DAY_US: i64 = 24 * 3_600_000_000;

fn clock() -> Clock {
    Clock::new(|| NOW)
}

/// A node of CN-440000 that listens for links.
struct Node {
    network: Network,
    credentials: Arc<Credentials>,
    address: String,
    serving: Serving,
    revoked: Arc<Mutex<BTreeSet<String>>>,
    /// Lets the request to `/wait` finish.
    go_on: Arc<Notify>,
}

impl Node {
    async fn start() -> Node {
        Node::start_with(LINK).await
    }

    async fn start_with(limits: Limits) -> Node {
        let network = Network::found();
        let identity = network.identity("CN-440000", 1);
        Node::start_as(network, identity, limits).await
    }

    async fn start_as(network: Network, identity: TlsIdentity, limits: Limits) -> Node {
        let credentials = Credentials::new(&identity).unwrap();
        let tls = ServerTls::new(link_server(credentials.clone(), &clock()).unwrap());
        let revoked = Arc::new(Mutex::new(BTreeSet::new()));
        let known = revoked.clone();
        let admission: Admission = Arc::new(move |peer: &Peer| {
            match known.lock().unwrap().contains(peer.point.as_str()) {
                true => Err(Refused::Revoked),
                false => Ok(()),
            }
        });
        let options =
            Options { limits, security: Security::Tls(tls), access: Access::Nodes(admission) };
        let go_on = Arc::new(Notify::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let serving = serve(TcpIncoming(listener), router(go_on.clone()), options);
        Node { network, credentials, address, serving, revoked, go_on }
    }

    fn fingerprint(&self) -> Fingerprint {
        self.network.authority.fingerprint()
    }

    fn member(&self, code: &str) -> ClientConfig {
        let credentials = Credentials::new(&self.network.identity(code, 9)).unwrap();
        link_client(credentials, &point("CN-440000"), &clock()).unwrap()
    }

    async fn connect(&self, tls: ClientConfig) -> Result<(Channel, Peer), DialError> {
        let stream = dial::open_tcp(&self.address).await.unwrap();
        dial::connect(stream, tls, &point("CN-440000")).await
    }
}

fn router(go_on: Arc<Notify>) -> Router {
    let who = |peer: Option<Extension<Peer>>| async move {
        peer.map_or("nobody".to_owned(), |Extension(peer)| peer.link_name())
    };
    let wait = move || async move {
        go_on.notified().await;
        "waited"
    };
    Router::new().route(MEMBERS_ONLY, any(who)).route(ENROLMENT, any(who)).route("/wait", any(wait))
}

/// The body of an answer, or why there is none.
async fn call(channel: &Channel, path: &str) -> Result<String, String> {
    let request = Request::builder().uri(path).body(tonic::body::Body::empty()).unwrap();
    let answer = channel.clone().oneshot(request);
    let response = timeout(PATIENCE, answer).await.map_err(|_| "no answer".to_owned())?;
    let response = response.map_err(|error| format!("{error:?}"))?;
    if let Some(code) = response.headers().get("grpc-status") {
        return Err(code.to_str().unwrap().to_owned());
    }
    let body = axum::body::Body::new(response.into_body());
    let bytes = axum::body::to_bytes(body, 1 << 20).await.map_err(|error| error.to_string())?;
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

/// What a client meets that shows the certificate: its name there, or the refusal.
async fn reach(node: &Node, tls: ClientConfig) -> Result<String, String> {
    match node.connect(tls).await {
        Ok((channel, _)) => call(&channel, MEMBERS_ONLY).await,
        Err(error) => Err(format!("{error:?}")),
    }
}

#[tokio::test]
async fn a_member_is_known_by_its_certificate() {
    let node = Node::start().await;
    let (channel, peer) = node.connect(node.member("GB-LON")).await.unwrap();
    assert_eq!(peer.point, point("CN-440000"));
    let seen = call(&channel, MEMBERS_ONLY).await;
    assert_eq!(seen.unwrap(), "gb-lon.0909090909090909.point.yizhan.internal");
}

#[tokio::test]
async fn without_a_certificate_only_enrolment_is_open() {
    let node = Node::start().await;
    let tls = enrolment_client(node.fingerprint(), &clock()).unwrap();
    let (channel, _) = node.connect(tls).await.unwrap();
    assert_eq!(call(&channel, ENROLMENT).await.unwrap(), "nobody");
    for path in
        [MEMBERS_ONLY, "/", "/yizhan.v1.EnrolmentServices/GetNonce", "/grpc.health.v1.Health/Check"]
    {
        assert_eq!(call(&channel, path).await.unwrap_err(), "16", "{path}");
    }
}

#[tokio::test]
async fn a_joining_node_accepts_the_pinned_authority_only() {
    let node = Node::start().await;
    let stranger = Network::found();
    let tls = enrolment_client(stranger.authority.fingerprint(), &clock()).unwrap();
    let refused = node.connect(tls).await.unwrap_err();
    assert!(matches!(refused, DialError::Handshake(_)), "{refused:?}");
}

/// A certificate made as `change` wants it, signed by the network's issuer.
fn forged(
    network: &Network,
    change: impl FnOnce(&mut CertificateParams),
) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let mut params = member_params();
    change(&mut params);
    let issuer =
        rcgen::Issuer::from_ca_cert_der(network.issuer.certificate(), network.issuer.key().pair());
    let leaf = params.signed_by(&key, &issuer.unwrap()).unwrap().der().clone();
    let chain =
        vec![leaf, network.issuer.certificate().clone(), network.issuer.authority().clone()];
    (chain, private(&key))
}

fn member_params() -> CertificateParams {
    let name = "gb-lon.0909090909090909.point.yizhan.internal";
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2023, 10, 19);
    params.not_after = rcgen::date_time_ymd(2023, 10, 22);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn private(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialized_der().to_vec()))
}

#[tokio::test]
async fn a_certificate_with_any_fault_is_refused() {
    let node = Node::start().await;
    let network = &node.network;
    let foreign = Network::found();
    let self_signed = {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        (vec![member_params().self_signed(&key).unwrap().der().clone()], private(&key))
    };
    let issuer = {
        let chain = vec![network.issuer.certificate().clone(), network.issuer.authority().clone()];
        (chain, private(network.issuer.key().pair()))
    };
    let member = {
        // What a member could sign for itself, were its certificate an issuer's.
        let (mut chain, key) = forged(network, |_| {});
        let pair = KeyPair::try_from(key.secret_der()).unwrap();
        let signer = rcgen::Issuer::from_ca_cert_der(&chain[0], &pair).unwrap();
        let leaf_key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let leaf = member_params().signed_by(&leaf_key, &signer).unwrap().der().clone();
        chain.insert(0, leaf);
        (chain, private(&leaf_key))
    };
    let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());

    assert!(reach(&node, client(&node, forged(network, |_| {}))).await.is_ok());
    let table = [
        ("foreign network", forged(&foreign, |_| {})),
        ("self-signed", self_signed),
        ("the issuer itself", issuer),
        ("signed by a member", member),
        ("expired", forged(network, |p| p.not_after = rcgen::date_time_ymd(2023, 10, 19))),
        ("not yet valid", forged(network, |p| p.not_before = rcgen::date_time_ymd(2023, 10, 21))),
        (
            "for servers only",
            forged(network, |p| {
                p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            }),
        ),
        ("a CA", forged(network, |p| p.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained))),
        ("no identity", forged(network, |p| p.subject_alt_names = vec![dns("localhost")])),
        (
            "two identities",
            forged(network, |p| {
                p.subject_alt_names.push(dns("hk.0909090909090909.point.yizhan.internal"));
            }),
        ),
        (
            "a name that is no point",
            forged(network, |p| {
                p.subject_alt_names = vec![dns("x.0909090909090909.point.yizhan.internal")];
            }),
        ),
    ];
    for (name, certificate) in table {
        let refused = reach(&node, client(&node, certificate)).await;
        let why = refused.expect_err(name);
        assert!(why.contains("fatal alert"), "{name}: {why}");
    }
}

fn client(
    node: &Node,
    certificate: (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>),
) -> ClientConfig {
    hostile_client(node.fingerprint(), Some(certificate), &[&TLS13])
}

#[tokio::test]
async fn tls_1_2_is_not_spoken_on_the_link() {
    let node = Node::start().await;
    let tls = hostile_client(node.fingerprint(), None, &[&TLS12]);
    let refused = node.connect(tls).await.unwrap_err();
    assert!(matches!(refused, DialError::Handshake(_)), "{refused:?}");
}

#[tokio::test]
async fn no_session_is_resumed_on_the_link() {
    let node = Node::start().await;
    let tls = Arc::new(hostile_client(node.fingerprint(), None, &[&TLS13]));
    for _ in 0..3 {
        let stream = TcpStream::connect(&node.address).await.unwrap();
        let name = "x.yizhan.internal".try_into().unwrap();
        let connector = tokio_rustls::TlsConnector::from(tls.clone());
        let mut io = connector.connect(name, stream).await.unwrap();
        // Were there a ticket, it would come before the answer to this.
        io.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        io.read_exact(&mut [0; 9]).await.unwrap();
        let (_, connection) = io.get_ref();
        assert_eq!(connection.handshake_kind(), Some(rustls::HandshakeKind::Full));
        assert_eq!(connection.tls13_tickets_received(), 0);
    }
}

#[tokio::test]
async fn a_dialled_server_with_any_fault_is_refused() {
    let day_before = Time(NOW.0 - 4 * DAY_US);
    for (name, code, issued, foreign) in [
        ("another point", "CN-440100", NOW, false),
        ("expired", "CN-440000", day_before, false),
        ("foreign network", "CN-440000", NOW, true),
    ] {
        let (ours, theirs) = (Network::found_at(day_before), Network::found_at(day_before));
        let member = Credentials::new(&ours.identity("GB-LON", 9)).unwrap();
        let network = if foreign { theirs } else { ours };
        let identity = network.identity_at(code, 1, issued);
        let node = Node::start_as(network, identity, LINK).await;
        let tls = link_client(member, &point("CN-440000"), &clock()).unwrap();
        let refused = node.connect(tls).await.map(|_| ()).unwrap_err();
        assert!(matches!(refused, DialError::Handshake(_)), "{name}: {refused:?}");
    }
}

#[tokio::test]
async fn the_roster_is_asked_for_every_call_and_cuts_off_at_once() {
    let node = Node::start().await;
    let (channel, _) = node.connect(node.member("GB-LON")).await.unwrap();
    let (other, _) = node.connect(node.member("HK")).await.unwrap();
    call(&channel, MEMBERS_ONLY).await.unwrap();
    call(&other, MEMBERS_ONLY).await.unwrap();

    node.revoked.lock().unwrap().insert("GB-LON".into());
    assert_eq!(call(&channel, MEMBERS_ONLY).await.unwrap_err(), "7");
    node.serving.recheck();
    eventually(|| node.serving.connections() == 1).await;
    assert!(call(&channel, MEMBERS_ONLY).await.is_err());
    assert!(call(&other, MEMBERS_ONLY).await.is_ok());

    let (again, _) = node.connect(node.member("GB-LON")).await.unwrap();
    assert_eq!(call(&again, MEMBERS_ONLY).await.unwrap_err(), "7");
}

#[tokio::test]
async fn the_next_handshake_gets_the_renewed_certificate() {
    let node = Node::start().await;
    let fresh = node.network.identity("CN-440000", 1);
    let (before, was) = node.connect(node.member("GB-LON")).await.unwrap();
    node.credentials.swap(&fresh, NOW).unwrap();
    let (_, is) = node.connect(node.member("GB-LON")).await.unwrap();
    assert_ne!(was.spki_sha256, is.spki_sha256);
    assert_eq!(is.spki_sha256, fresh.key.spki().fingerprint().0);
    assert!(call(&before, MEMBERS_ONLY).await.is_ok());
}

#[tokio::test]
async fn a_certificate_that_would_not_do_is_not_swapped_in() {
    let node = Node::start().await;
    let past = Time(NOW.0 - 4 * DAY_US);
    for (reason, identity) in [
        ("NOT_VALID_NOW", node.network.identity_at("CN-440000", 1, past)),
        ("WRONG_AUTHORITY", Network::found().identity("CN-440000", 1)),
        ("OTHER_POINT", node.network.identity("CN-440100", 1)),
        ("OTHER_POINT", node.network.identity("CN-440000", 2)),
    ] {
        assert_eq!(node.credentials.swap(&identity, NOW).unwrap_err().reason(), reason);
    }
    assert!(node.connect(node.member("GB-LON")).await.is_ok());
}

#[tokio::test]
async fn a_slow_handshake_is_cut() {
    let limits = Limits { handshake_timeout: Duration::from_millis(50), ..LINK };
    let node = Node::start_with(limits).await;
    let mut slow = TcpStream::connect(&node.address).await.unwrap();
    slow.write_all(&[0x16, 0x03, 0x01]).await.unwrap();
    let end = timeout(PATIENCE, slow.read(&mut [0; 16])).await.unwrap();
    assert!(matches!(end, Ok(0) | Err(_)));
    assert!(node.connect(node.member("GB-LON")).await.is_ok());
}

#[tokio::test]
async fn slow_handshakes_of_one_source_leave_room_for_members() {
    let limits = Limits { handshakes: 4, handshakes_per_source: 2, ..LINK };
    let node = Node::start_with(limits).await;
    let mut slow = Vec::new();
    for _ in 0..8 {
        slow.push(TcpStream::connect(&node.address).await.unwrap());
    }
    eventually(|| node.serving.connections() == 2).await;
    // Same source, so it has to wait for its turn; another source would not.
    drop(slow);
    eventually(|| node.serving.connections() == 0).await;
    assert!(node.connect(node.member("GB-LON")).await.is_ok());
}

#[tokio::test]
async fn a_stranger_does_not_stay() {
    let limits = Limits {
        stranger_age: Duration::from_millis(50),
        grace: Duration::from_millis(50),
        ..LINK
    };
    let node = Node::start_with(limits).await;
    let tls = enrolment_client(node.fingerprint(), &clock()).unwrap();
    let (stranger, _) = node.connect(tls).await.unwrap();
    let (member, _) = node.connect(node.member("GB-LON")).await.unwrap();
    eventually(|| node.serving.connections() == 1).await;
    assert!(call(&stranger, ENROLMENT).await.is_err());
    assert!(call(&member, MEMBERS_ONLY).await.is_ok());
}

#[tokio::test]
async fn what_is_under_way_finishes_before_the_node_stops() {
    let node = Node::start().await;
    let (channel, _) = node.connect(node.member("GB-LON")).await.unwrap();
    let waiting = tokio::spawn({
        let channel = channel.clone();
        async move { call(&channel, "/wait").await }
    });
    // The second call is answered after the first was received, on the same connection.
    call(&channel, MEMBERS_ONLY).await.unwrap();
    let Node { serving, go_on, address, .. } = node;
    let drained = tokio::spawn(serving.drain(PATIENCE));
    eventually_async(|| async { TcpStream::connect(&address).await.is_err() }).await;
    assert!(!drained.is_finished());
    go_on.notify_one();
    assert_eq!(waiting.await.unwrap().unwrap(), "waited");
    timeout(PATIENCE, drained).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_does_not_finish_is_cut_off_after_the_grace() {
    let node = Node::start().await;
    let (channel, _) = node.connect(node.member("GB-LON")).await.unwrap();
    let waiting = tokio::spawn({
        let channel = channel.clone();
        async move { call(&channel, "/wait").await }
    });
    call(&channel, MEMBERS_ONLY).await.unwrap();
    timeout(PATIENCE, node.serving.drain(Duration::from_millis(50))).await.unwrap();
    assert!(waiting.await.unwrap().is_err());
}

#[tokio::test]
async fn the_public_listener_speaks_to_programs_that_pin_the_authority() {
    let network = Network::found();
    let credentials = Credentials::new(&network.identity("CN-440000", 1)).unwrap();
    let tls = ServerTls::new(public_server(credentials, &clock()).unwrap());
    let options = Options { limits: PUBLIC, security: Security::Tls(tls), access: Access::Anybody };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = serve(TcpIncoming(listener), router(Arc::default()), options);

    let mut roots = rustls::RootCertStore::empty();
    roots.add(network.authority.certificate().clone()).unwrap();
    let tls =
        ClientConfig::builder_with_details(crate::identity::tls::provider(), Arc::new(clock()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(tls));
    for name in ["localhost", "127.0.0.1", "::1"] {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut io = connector.connect(name.try_into().unwrap(), stream).await.unwrap();
        let request =
            format!("GET {MEMBERS_ONLY} HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n");
        io.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        timeout(PATIENCE, io.read_to_end(&mut answer)).await.unwrap().unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("nobody"), "{answer}");
    }
    serving.drain(Duration::ZERO).await;
}

#[tokio::test]
async fn the_local_socket_is_the_same_loop_without_tls() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("local.sock");
    let incoming = UnixIncoming(UnixListener::bind(&path).unwrap());
    let options = Options { limits: LOCAL, security: Security::Plain, access: Access::Anybody };
    let serving = serve(incoming, router(Arc::default()), options);

    let endpoint = tonic::transport::Endpoint::from_static("http://local");
    let connector = tower::service_fn(move |_: http::Uri| {
        let path = path.clone();
        async { UnixStream::connect(path).await.map(hyper_util::rt::TokioIo::new) }
    });
    let channel = endpoint.connect_with_connector(connector).await.unwrap();
    assert_eq!(call(&channel, MEMBERS_ONLY).await.unwrap(), "nobody");
    serving.drain(Duration::ZERO).await;
}

#[tokio::test]
async fn bytes_without_a_request_end_the_connection() {
    let limits = Limits { bytes_without_request: 1_000, ..LINK };
    let node = Node::start_with(limits).await;
    let stream = TcpStream::connect(&node.address).await.unwrap();
    let tls = Arc::new(hostile_client(node.fingerprint(), None, &[&TLS13]));
    let name = "x.yizhan.internal".try_into().unwrap();
    let mut io = tokio_rustls::TlsConnector::from(tls).connect(name, stream).await.unwrap();
    io.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let flood = b"\0\0\x08\x06\0\0\0\0\0pingping".repeat(100);
    let (mut read, mut write) = tokio::io::split(io);
    let reader =
        tokio::spawn(async move { tokio::io::copy(&mut read, &mut tokio::io::sink()).await });
    write.write_all(&flood).await.unwrap();
    let _ = timeout(2 * limits::PROGRESS_INTERVAL, reader).await.expect("the connection ends");
    eventually(|| node.serving.connections() == 0).await;
}

async fn eventually(condition: impl Fn() -> bool) {
    eventually_async(|| std::future::ready(condition())).await;
}

async fn eventually_async<F: Future<Output = bool>>(condition: impl Fn() -> F) {
    let poll = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, poll).await.expect("the condition comes true");
}

#[tokio::test]
async fn more_requests_than_the_listener_works_on_are_refused_at_once() {
    let node = Node::start_with(Limits { requests: 2, ..LINK }).await;
    let (channel, _) = node.connect(node.member("GB-LON")).await.unwrap();
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let channel = channel.clone();
            tokio::spawn(async move { call(&channel, "/wait").await })
        })
        .collect();
    let mut refused = String::new();
    let shed = async {
        while refused != "8" {
            refused = call(&channel, MEMBERS_ONLY).await.err().unwrap_or_default();
        }
    };
    timeout(PATIENCE, shed).await.expect("RESOURCE_EXHAUSTED");
    node.go_on.notify_waiters();
    for waited in waiting {
        assert_eq!(waited.await.unwrap().unwrap(), "waited");
    }
    assert!(call(&channel, MEMBERS_ONLY).await.is_ok(), "there is room again");
}

/// A call whose first message never comes: its code, once it is answered.
fn dawdle(channel: &Channel) -> tokio::task::JoinHandle<String> {
    let never = futures::stream::pending::<Result<axum::body::Bytes, std::io::Error>>();
    let body = tonic::body::Body::new(axum::body::Body::from_stream(never));
    let request = Request::builder().uri(MEMBERS_ONLY).body(body).unwrap();
    let answer = channel.clone().oneshot(request);
    tokio::spawn(async move {
        let response = answer.await.expect("an answer");
        let code = response.headers().get("grpc-status").cloned();
        code.map_or_else(String::new, |code| code.to_str().unwrap().to_owned())
    })
}

#[tokio::test]
async fn whoever_dawdles_over_a_body_keeps_nobody_out() {
    let limits = Limits {
        requests: 1,
        arriving: 2,
        body_timeout: Duration::from_secs(60),
        connections_per_node: 8,
        ..LINK
    };
    let node = Node::start_with(limits).await;
    let (slow, _) = node.connect(node.member("GB-LON")).await.unwrap();
    let (good, _) = node.connect(node.member("GB-LON")).await.unwrap();
    let first = dawdle(&slow);
    let _second = dawdle(&slow);
    for _ in 0..20 {
        assert!(call(&good, MEMBERS_ONLY).await.is_ok());
    }
    // No room for more that dawdle: the oldest gives way.
    let _third = dawdle(&slow);
    let gave_way = timeout(PATIENCE, first).await.expect("an answer").unwrap();
    assert_eq!(gave_way, "8", "RESOURCE_EXHAUSTED");
    assert!(call(&good, MEMBERS_ONLY).await.is_ok());
}

#[tokio::test]
async fn a_body_that_does_not_begin_has_its_time() {
    let body_timeout = Duration::from_millis(50);
    let node = Node::start_with(Limits { arriving: 2, body_timeout, ..LINK }).await;
    let (channel, _) = node.connect(node.member("GB-LON")).await.unwrap();
    let late = timeout(PATIENCE, dawdle(&channel)).await.expect("an answer").unwrap();
    assert_eq!(late, "4", "DEADLINE_EXCEEDED");
    assert!(call(&channel, MEMBERS_ONLY).await.is_ok());
}

#[tokio::test]
async fn silent_handshakes_keep_nobody_out() {
    let limits = Limits { handshakes: 1, handshakes_per_source: 8, ..LINK };
    let node = Node::start_with(limits).await;
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(TcpStream::connect(&node.address).await.unwrap());
    }
    let mut half = TcpStream::connect(&node.address).await.unwrap();
    half.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252]).await.unwrap();
    eventually(|| node.serving.connections() == 5).await;
    assert!(node.connect(node.member("GB-LON")).await.is_ok());
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_answered_and_gives_its_room_back() {
    let request_timeout = Duration::from_millis(50);
    let node = Node::start_with(Limits { requests: 1, request_timeout, ..LINK }).await;
    let (channel, _) = node.connect(node.member("GB-LON")).await.unwrap();
    assert_eq!(call(&channel, "/wait").await.unwrap_err(), "4", "DEADLINE_EXCEEDED");
    assert!(call(&channel, MEMBERS_ONLY).await.is_ok());
}

#[tokio::test]
async fn a_line_that_is_cut_while_dialling_is_no_question_of_trust() {
    let node = Node::start().await;
    let (near, far) = tokio::io::duplex(64);
    drop(far);
    let cut = dial::connect(near, node.member("GB-LON"), &point("CN-440000")).await.unwrap_err();
    assert!(matches!(cut, DialError::Cut(_)), "{cut:?}");
}
