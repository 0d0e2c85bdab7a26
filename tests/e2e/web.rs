//! A browser asks for help: gRPC-Web over HTTP/1.1 and HTTP/2 through TLS, framed here by hand, so that
//! nothing of our own client stands between the test and the wire.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{BufMut, Bytes};
use http::{HeaderMap, Method, Request, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::Code;
use yizhan_client::sealed::{self, TrackingCode};
use yizhan_proto::v1;
use yizhan_tests::cluster::Cluster;

const POINT: &str = "GB-LON";
const HELP: &str = "/yizhan.v1.HelpRequestService";
const WEB: &str = "application/grpc-web+proto";
const PAGE: &str = "https://page.example";
/// The first byte of a frame of trailers.
const TRAILERS: u8 = 0x80;

/// One connection of a browser.
enum Browser {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

/// What came back.
struct Came {
    status: StatusCode,
    headers: HeaderMap,
    /// Without its frame.
    message: Bytes,
    /// As the last frame says; as the headers say if there is no frame.
    code: i32,
    trailers: String,
}

impl Browser {
    async fn open(cluster: &Cluster, version: Version) -> Browser {
        let mut roots = RootCertStore::empty();
        let ca = std::fs::read(cluster.path(POINT).join("ca.pem")).expect("ca.pem");
        for certificate in CertificateDer::pem_slice_iter(&ca) {
            roots.add(certificate.expect("a certificate")).expect("an authority");
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let protocol: &[u8] = if version == Version::HTTP_2 { b"h2" } else { b"http/1.1" };
        tls.alpn_protocols = vec![protocol.to_vec()];
        let public = cluster.addresses(POINT).public;
        let stream = TcpStream::connect(public).await.expect("a connection");
        let name = ServerName::from(public.ip());
        let tls = TlsConnector::from(Arc::new(tls));
        let stream = tls.connect(name, stream).await.expect("a handshake");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
        let io = TokioIo::new(stream);
        if version == Version::HTTP_2 {
            let (sender, connection) =
                http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
            tokio::spawn(connection);
            Browser::Two(sender)
        } else {
            let (sender, connection) = http1::handshake(io).await.expect("HTTP/1.1");
            tokio::spawn(connection);
            Browser::One(sender)
        }
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Came {
        let response = match self {
            Browser::One(sender) => {
                sender.ready().await.expect("an open connection");
                sender.send_request(request).await
            }
            Browser::Two(sender) => {
                sender.ready().await.expect("an open connection");
                sender.send_request(request).await
            }
        };
        let (head, body) = response.expect("an answer").into_parts();
        let body = body.collect().await.expect("all of it").to_bytes();
        let kind = head.headers.get("content-type").map(|kind| kind.as_bytes().to_vec());
        let is_web = kind.is_some_and(|kind| kind.starts_with(b"application/grpc-web"));
        let (message, trailers) = if is_web { unframed(&body) } else { Default::default() };
        let header = head.headers.get("grpc-status").map(|code| code.to_str().unwrap().to_owned());
        let trailer = trailers.lines().find_map(|line| line.strip_prefix("grpc-status:"));
        let code = trailer.map(|code| code.trim().to_owned()).or(header);
        let code = code.map_or(-1, |code| code.parse().expect("a code"));
        Came { status: head.status, headers: head.headers, message, code, trailers }
    }

    /// One call as a page of `origin` makes it.
    async fn call(&mut self, path: &str, message: &impl Message, origin: Option<&str>) -> Came {
        let request = self.request(path, origin).header("x-grpc-web", "1");
        let body = Full::new(framed(message));
        self.send(request.header("content-type", WEB).body(body).expect("a request")).await
    }

    /// What a browser asks before a page may call.
    async fn preflight(&mut self, path: &str) -> Came {
        let request = self.request(path, Some(PAGE)).method(Method::OPTIONS);
        let request = request
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type,x-grpc-web");
        self.send(request.body(Full::default()).expect("a request")).await
    }

    fn request(&self, path: &str, origin: Option<&str>) -> http::request::Builder {
        let request = Request::builder().method(Method::POST);
        let mut request = match self {
            Browser::One(_) => request.uri(path).header("host", "node.example"),
            Browser::Two(_) => request.uri(format!("https://node.example{path}")),
        };
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        request
    }
}

fn framed(message: &impl Message) -> Bytes {
    let mut bytes = Vec::with_capacity(message.encoded_len() + 5);
    bytes.put_u8(0);
    bytes.put_u32(message.encoded_len() as u32);
    bytes.extend(message.encode_to_vec());
    bytes.into()
}

/// The message and the trailers of an answer: frames of a flag, a length, and that many bytes.
fn unframed(mut body: &[u8]) -> (Bytes, String) {
    let (mut message, mut trailers) = (Bytes::new(), String::new());
    while let [flag, a, b, c, d, rest @ ..] = body {
        let len = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let (frame, rest) = rest.split_at(len);
        if flag & TRAILERS == 0 {
            message = Bytes::copy_from_slice(frame);
        } else {
            trailers = String::from_utf8(frame.to_vec()).expect("trailers are text");
        }
        body = rest;
    }
    assert!(body.is_empty(), "{} bytes after the last frame", body.len());
    (message, trailers)
}

fn secret(code: &TrackingCode) -> Option<v1::HelpSecret> {
    let (lookup_id, mac_key) = (code.lookup_id().to_vec(), code.mac_key().to_vec());
    Some(v1::HelpSecret { lookup_id, mac_key })
}

fn submission(code: &TrackingCode, text: &str) -> v1::SubmitHelpRequestRequest {
    let key = sealed::random_key();
    let wrap =
        sealed::seal_exactly(&code.reply_key(), "client wrap", &code.lookup_id(), key.as_ref());
    v1::SubmitHelpRequestRequest {
        category: "legal".to_owned(),
        country: "GB".to_owned(),
        city: "GBLON".to_owned(),
        language: "zh-Hans".to_owned(),
        content: Some(v1::HelpContent { text: text.to_owned(), ..Default::default() }),
        secret: secret(code),
        content_key: key.to_vec(),
        client_wrap: wrap,
        ..Default::default()
    }
}

fn look_up(reference: &str, code: &TrackingCode) -> v1::TrackHelpRequestRequest {
    let reference = reference.to_owned();
    v1::TrackHelpRequestRequest { reference, secret: secret(code), message_limit: 0 }
}

#[tokio::test]
async fn a_page_asks_for_help_and_follows_it_over_both_versions_of_http() {
    let cluster = Cluster::found(POINT).await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut browser = Browser::open(&cluster, version).await;
        let code = TrackingCode::random();
        let text = format!("签证到期 {version:?}");
        let submit = format!("{HELP}/SubmitHelpRequest");
        let came = browser.call(&submit, &submission(&code, &text), Some(PAGE)).await;
        assert_eq!((came.status, came.code), (StatusCode::OK, 0), "{}", came.trailers);
        assert_eq!(came.headers["content-type"], WEB);
        assert_eq!(came.headers["access-control-allow-origin"], "*");
        let done = v1::SubmitHelpRequestResponse::decode(came.message).expect("an answer");
        assert!(done.reference.starts_with("LON-"), "{done:?}");

        let track = format!("{HELP}/TrackHelpRequest");
        let came = browser.call(&track, &look_up(&done.reference, &code), Some(PAGE)).await;
        assert_eq!(came.code, 0, "{}", came.trailers);
        let found = v1::TrackHelpRequestResponse::decode(came.message).expect("an answer");
        assert_eq!((&found.reference, &found.owner), (&done.reference, &POINT.to_owned()));

        // The page can read what it has written, and the desk too.
        let wrap = &found.client_wrap;
        let key = sealed::open_exactly(&code.reply_key(), "client wrap", &code.lookup_id(), wrap)
            .unwrap();
        let key = sealed::Key::new(key[..].try_into().unwrap());
        let id = uuid_bytes(&found.id);
        let content = sealed::open(&key, "content", &id, &found.content).expect("its own words");
        assert_eq!(v1::HelpContent::decode(&content[..]).unwrap().text, text);
        let desk = cluster.admin(POINT).await;
        let shown = desk.ask(&["desk", "show", &done.reference]).await;
        assert_eq!(shown["content"]["text"], text);

        // Bad input names its field, in words that a page can show.
        let mut bad = submission(&code, "x");
        bad.country = "XX".to_owned();
        let came = browser.call(&submit, &bad, Some(PAGE)).await;
        assert_eq!(came.code, Code::InvalidArgument as i32);
        let details = came.trailers.contains("grpc-status-details-bin")
            || came.headers.contains_key("grpc-status-details-bin");
        assert!(details, "no details: {:?} {}", came.headers, came.trailers);
        let exposed = came.headers["access-control-expose-headers"].to_str().unwrap();
        assert!(exposed.contains("grpc-status-details-bin"), "{exposed}");
    }
}

fn uuid_bytes(text: &str) -> [u8; 16] {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let number = u128::from_str_radix(&digits, 16).expect("an id");
    number.to_be_bytes()
}

#[tokio::test]
async fn wrong_codes_look_alike_and_are_slowed_down_on_the_web_too() {
    let cluster = Cluster::found(POINT).await;
    let mut browser = Browser::open(&cluster, Version::HTTP_2).await;
    let code = TrackingCode::random();
    let submit = format!("{HELP}/SubmitHelpRequest");
    let came = browser.call(&submit, &submission(&code, "x"), Some(PAGE)).await;
    let done = v1::SubmitHelpRequestResponse::decode(came.message).expect("an answer");

    let track = format!("{HELP}/TrackHelpRequest");
    let wrong =
        browser.call(&track, &look_up(&done.reference, &TrackingCode::random()), Some(PAGE)).await;
    let unknown = browser.call(&track, &look_up("LON-23-00012-A", &code), Some(PAGE)).await;
    assert_eq!((wrong.code, &wrong.trailers), (unknown.code, &unknown.trailers));
    assert_eq!(wrong.headers.get("grpc-message"), unknown.headers.get("grpc-message"));
    assert_eq!(wrong.code, Code::NotFound as i32);

    // Twenty wrong ones are enough for a while, whichever way they come; asking for help goes on.
    let mut last = wrong;
    for _ in 0..40 {
        let guess = look_up(&done.reference, &TrackingCode::random());
        last = browser.call(&track, &guess, Some(PAGE)).await;
        if last.code == Code::ResourceExhausted as i32 {
            break;
        }
        assert_eq!(last.code, Code::NotFound as i32);
    }
    assert_eq!(last.code, Code::ResourceExhausted as i32);
    assert_eq!(last.headers["access-control-allow-origin"], "*", "a page can read the refusal");
    let came = browser.call(&submit, &submission(&code, "another"), Some(PAGE)).await;
    assert_eq!(came.code, 0);
    let visitor = cluster.visitor(POINT);
    let slow = ["help", "track", &done.reference, "--code", &code.reveal()];
    let refused = visitor.run(&slow).await.expect_code(yizhan_tests::client::exit::REFUSED);
    assert_eq!(refused.json()["error"]["code"], "RESOURCE_EXHAUSTED");
}

/// Nobody tells by the clock whether there is a request of that name. Slow answers of a busy machine fall
/// on both alike.
#[tokio::test]
async fn a_wrong_code_takes_as_long_as_an_unknown_reference() {
    const EACH: usize = 9;
    const STEP: Duration = Duration::from_millis(25);
    let cluster = Cluster::found(POINT).await;
    let mut browser = Browser::open(&cluster, Version::HTTP_2).await;
    let code = TrackingCode::random();
    let submit = format!("{HELP}/SubmitHelpRequest");
    let came = browser.call(&submit, &submission(&code, "x"), Some(PAGE)).await;
    let done = v1::SubmitHelpRequestResponse::decode(came.message).expect("an answer");
    let track = format!("{HELP}/TrackHelpRequest");
    let (mut wrong, mut unknown) = (Vec::new(), Vec::new());
    for _ in 0..EACH {
        for (reference, took) in
            [(done.reference.as_str(), &mut wrong), ("LON-23-00012-A", &mut unknown)]
        {
            let began = Instant::now();
            let guess = look_up(reference, &TrackingCode::random());
            let came = browser.call(&track, &guess, Some(PAGE)).await;
            took.push(began.elapsed());
            assert_eq!(came.code, Code::NotFound as i32);
        }
    }
    for took in [&mut wrong, &mut unknown] {
        took.sort();
        assert!(took[0] >= STEP, "answered before the first step: {took:?}");
    }
    let apart = wrong[EACH / 2].abs_diff(unknown[EACH / 2]);
    assert!(apart < STEP, "{apart:?} apart: {wrong:?} and {unknown:?}");
}

#[tokio::test]
async fn a_page_sends_a_file_in_several_frames_of_one_body() {
    use v1::upload_attachment_request::{Head, Part};
    let cluster = Cluster::found(POINT).await;
    let words = "a note in several frames. ".repeat(3_000);
    let key = sealed::random_key();
    let head = Part::Head(Head { name: "note.txt".to_owned(), key: key.to_vec() });
    let data = words.as_bytes().chunks(32 * 1_024).map(|part| Part::Data(part.to_vec()));
    let parts = std::iter::once(head).chain(data);
    let mut body = Vec::new();
    for part in parts {
        body.extend(framed(&v1::UploadAttachmentRequest { part: Some(part) }));
    }
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut browser = Browser::open(&cluster, version).await;
        let request = browser.request(&format!("{HELP}/UploadAttachment"), Some(PAGE));
        let request = request.header("x-grpc-web", "1").header("content-type", WEB);
        let request = request.body(Full::new(body.clone().into())).expect("a request");
        let came = browser.send(request).await;
        assert_eq!((came.status, came.code), (StatusCode::OK, 0), "{}", came.trailers);
        let stored = v1::UploadAttachmentResponse::decode(came.message).expect("an answer");
        assert_eq!((stored.size, &*stored.media_type), (words.len() as i64, "text/plain"));

        let code = TrackingCode::random();
        let mut asks = submission(&code, "with a note");
        let file = v1::HelpFile {
            id: stored.id,
            name: stored.name,
            media_type: stored.media_type,
            size: stored.size,
            key: key.to_vec(),
        };
        asks.content.as_mut().expect("content").files.push(file);
        let came = browser.call(&format!("{HELP}/SubmitHelpRequest"), &asks, Some(PAGE)).await;
        assert_eq!(came.code, 0, "{}", came.trailers);
        let done = v1::SubmitHelpRequestResponse::decode(came.message).expect("an answer");
        let desk = cluster.admin(POINT).await;
        let shown = desk.ask(&["desk", "show", &done.reference]).await;
        assert_eq!(shown["content"]["attachments"][0]["name"], "note.txt");
    }
}

#[tokio::test]
async fn pages_from_elsewhere_get_the_help_service_alone() {
    let cluster = Cluster::found(POINT).await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut browser = Browser::open(&cluster, version).await;
        let asked = browser.preflight(&format!("{HELP}/SubmitHelpRequest")).await;
        assert_eq!(asked.status, StatusCode::NO_CONTENT, "{version:?}");
        assert_eq!(asked.headers["access-control-allow-methods"], "POST");
        let allowed = asked.headers["access-control-allow-headers"].to_str().unwrap();
        assert!(allowed.contains("x-grpc-web") && !allowed.contains("authorization"));

        let sign_in = v1::SignInRequest::default();
        for path in ["/yizhan.v1.AccountService/SignIn", "/yizhan.v1.PointService/ListPoints"] {
            let asked = browser.preflight(path).await;
            assert!(!asked.headers.contains_key("access-control-allow-origin"), "{path}");
            let came = browser.call(path, &sign_in, Some(PAGE)).await;
            assert_eq!((came.status, came.code), (StatusCode::FORBIDDEN, -1), "{path}");
        }
    }
}

/// Every RPC there is, called without an account: what is answered is the same whichever way it
/// comes, so nothing is open on the web that is closed elsewhere.
#[tokio::test]
async fn the_web_opens_nothing_that_the_policy_keeps_closed() {
    let cluster = Cluster::found(POINT).await;
    let files = prost_types::FileDescriptorSet::decode(yizhan_proto::FILE_DESCRIPTOR_SET)
        .expect("descriptors");
    let mut paths = Vec::new();
    for file in &files.file {
        for service in &file.service {
            for method in &service.method {
                // Two streams at once are not for browsers.
                if method.client_streaming() {
                    continue;
                }
                let (package, service) = (file.package(), service.name());
                paths.push(format!("/{package}.{service}/{}", method.name()));
            }
        }
    }
    assert!(paths.len() > 80, "{} RPCs", paths.len());
    let mut web = Browser::open(&cluster, Version::HTTP_2).await;
    let mut plain = Browser::open(&cluster, Version::HTTP_2).await;
    let mut closed = 0;
    for path in &paths {
        let came = web.call(path, &(), None).await;
        let request = plain.request(path, None).header("te", "trailers");
        let request = request.header("content-type", "application/grpc");
        let request = request.body(Full::new(framed(&()))).expect("a request");
        let expected = plain_code(&mut plain, request).await;
        assert_eq!(came.code, expected, "{path}: {}", came.trailers);
        let shut = [Code::Unauthenticated, Code::PermissionDenied, Code::Unimplemented];
        closed += usize::from(shut.iter().any(|code| *code as i32 == came.code));
    }
    assert!(closed > 60, "only {closed} of {} are closed to strangers", paths.len());
}

/// The code that plain gRPC ends with, in its headers or its trailers.
async fn plain_code(browser: &mut Browser, request: Request<Full<Bytes>>) -> i32 {
    let Browser::Two(sender) = browser else { unreachable!("plain gRPC is HTTP/2") };
    sender.ready().await.expect("an open connection");
    let response = sender.send_request(request).await.expect("an answer");
    let in_head = response.headers().get("grpc-status").cloned();
    let body = response.into_body().collect().await.expect("all of it");
    let in_tail = body.trailers().and_then(|trailers| trailers.get("grpc-status").cloned());
    let code = in_head.or(in_tail).expect("a code");
    code.to_str().unwrap().parse().expect("a number")
}
