//! Many connections that dawdle, and somebody among them who asks for help.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};
use tokio_rustls::TlsConnector;

use crate::{
    help::{self, Call},
    office::{Office, Times},
};

/// Dawdlers that share one address: what a node takes from one.
const PER_SOURCE: usize = 25;
/// From a byte to the next.
const BETWEEN: Duration = Duration::from_secs(1);
/// A dawdler that was sent away comes back after this.
const AGAIN: Duration = Duration::from_millis(250);
/// From the first dawdler to the first good client: long enough for all to be there.
const SETTLING: Duration = Duration::from_secs(8);
/// A good client that has no answer by then has failed.
const PATIENCE: Duration = Duration::from_secs(2);
const GOOD_AT_ONCE: usize = 4;

pub async fn run(dir: &Path, dawdlers: usize, good: usize) -> anyhow::Result<()> {
    let office = help::office(dir).await?;
    // The node wraps its intake key before anybody dawdles.
    office.visitor().await?.help_requests().submit_help_request(Call::new(0).request).await?;
    let address: SocketAddr = office.node.public.parse()?;
    let tls = tls(&office.ca)?;
    let open = Arc::new(AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..dawdlers {
        tasks.spawn(dawdle(number, address, tls.clone(), open.clone()));
    }
    tokio::time::sleep(SETTLING).await;

    let held = open.load(Ordering::Relaxed);
    let times = ask_all(&Arc::new(office), good).await?;
    let (office, times, answered) = times;
    println!(
        "{}",
        json!({
            "bench": "slow",
            "slow_connections": dawdlers,
            "open_of_them": held,
            "open_at_the_end": open.load(Ordering::Relaxed),
            "good_calls": good,
            "good_answered": answered,
            "share": answered as f64 / good as f64,
            "p50_ms": times.ms(0.5),
            "p99_ms": times.ms(0.99),
            "peak_memory_mib": office.peak_mib()?,
        })
    );
    tasks.abort_all();
    Ok(())
}

/// Each on a connection of its own, as strangers are.
async fn ask_all(office: &Arc<Office>, good: usize) -> anyhow::Result<(Arc<Office>, Times, usize)> {
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..GOOD_AT_ONCE {
        let (office, next) = (office.clone(), next.clone());
        callers.spawn(async move {
            let mut times = Vec::new();
            while next.fetch_add(1, Ordering::Relaxed) < good {
                let began = Instant::now();
                let asking = async {
                    let node = office.visitor().await?;
                    node.help_requests().submit_help_request(Call::new(1).request).await?;
                    anyhow::Ok(())
                };
                match tokio::time::timeout(PATIENCE, asking).await {
                    Ok(Ok(())) => times.push(began.elapsed()),
                    Ok(Err(error)) => eprintln!("a good call failed: {error}"),
                    Err(_) => eprintln!("a good call was not answered in time"),
                }
            }
            times
        });
    }
    let mut times = Vec::new();
    while let Some(done) = callers.join_next().await {
        times.extend(done?);
    }
    let answered = times.len();
    Ok((office.clone(), Times::new(times, began.elapsed()), answered))
}

/// Comes back whenever it is sent away; a quarter each stops before TLS, in its handshake, in the
/// headers of a request, and in its body.
async fn dawdle(number: usize, to: SocketAddr, tls: TlsConnector, open: Arc<AtomicUsize>) {
    loop {
        if let Ok(stream) = connect(number, to).await {
            open.fetch_add(1, Ordering::Relaxed);
            let _ = hold(number % 4, stream, &tls).await;
            open.fetch_sub(1, Ordering::Relaxed);
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn connect(number: usize, to: SocketAddr) -> std::io::Result<TcpStream> {
    let source = number / PER_SOURCE;
    let source = Ipv4Addr::new(127, 1, (source / 250) as u8, (source % 250 + 1) as u8);
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(source.into(), 0))?;
    socket.connect(to).await
}

async fn hold(kind: usize, stream: TcpStream, tls: &TlsConnector) -> std::io::Result<()> {
    /// A TLS record that announces 512 bytes of a handshake.
    const HELLO: [u8; 9] = [22, 3, 1, 2, 0, 1, 0, 1, 252];
    const HEADERS: &[u8] = b"POST /yizhan.v1.HelpRequestService/SubmitHelpRequest HTTP/1.1\r\n\
        host: localhost\r\nx-dawdling: ";
    const BODY: &[u8] = b"POST /yizhan.v1.HelpRequestService/SubmitHelpRequest HTTP/1.1\r\n\
        host: localhost\r\ncontent-type: application/grpc-web+proto\r\ncontent-length: 5000\r\n\r\n";
    match kind {
        0 => drip(stream, &[]).await,
        1 => drip(stream, &HELLO).await,
        _ => {
            let name = ServerName::try_from("127.0.0.1").expect("BUG: an address");
            let stream = tls.connect(name, stream).await?;
            drip(stream, if kind == 2 { HEADERS } else { BODY }).await
        }
    }
}

/// Sends `first` and then a byte now and then, until the other end has had enough. Nothing at all
/// if `first` is empty.
async fn drip(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    first: &[u8],
) -> std::io::Result<()> {
    stream.write_all(first).await?;
    stream.flush().await?;
    let mut answer = [0; 512];
    loop {
        tokio::select! {
            read = stream.read(&mut answer) => {
                if read? == 0 {
                    return Ok(());
                }
            }
            () = tokio::time::sleep(BETWEEN) => {
                if !first.is_empty() {
                    stream.write_all(b"a").await?;
                    stream.flush().await?;
                }
            }
        }
    }
}

fn tls(ca: &[u8]) -> anyhow::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca) {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
