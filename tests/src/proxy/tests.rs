//! The line does what it says, and tells when it did not.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};

use super::{Direction::*, *};
use crate::waiting::{PATIENCE, eventually};

/// Far more than an unhindered byte takes on loopback, far less than a test's patience.
const SILENCE: Duration = Duration::from_millis(200);

/// Two ends with a line between them.
struct Ends {
    listener: TcpListener,
    proxy: Proxy,
    dialled: TcpStream,
    accepted: TcpStream,
}

impl Ends {
    async fn connected() -> Ends {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap()).await.unwrap();
        let (dialled, accepted) = connection(&proxy, &listener).await;
        Ends { listener, proxy, dialled, accepted }
    }
}

async fn connection(proxy: &Proxy, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let dialled = TcpStream::connect(proxy.address()).await.unwrap();
    let (accepted, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    (dialled, accepted)
}

async fn arrives(stream: &mut TcpStream, bytes: &[u8]) {
    let mut got = vec![0; bytes.len()];
    timeout(PATIENCE, stream.read_exact(&mut got)).await.unwrap().unwrap();
    assert_eq!(got, bytes);
}

async fn stays_silent(stream: &mut TcpStream) {
    let read = timeout(SILENCE, stream.read_u8()).await;
    assert!(read.is_err(), "not silent: {read:?}");
}

async fn is_reset(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let end = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_sound_line_carries_both_ways_and_counts() {
    let mut ends = Ends::connected().await;
    ends.dialled.write_all(b"hello").await.unwrap();
    arrives(&mut ends.accepted, b"hello").await;
    ends.accepted.write_all(b"welcome").await.unwrap();
    arrives(&mut ends.dialled, b"welcome").await;
    ends.dialled.shutdown().await.unwrap();
    assert_eq!(ends.accepted.read(&mut [0; 1]).await.unwrap(), 0, "an end is passed on");

    let counts = ends.proxy.counts();
    assert_eq!((counts.connections, counts.up.bytes, counts.down.bytes), (1, 5, 7));
    ends.proxy.assert_faults_fired();
}

#[tokio::test]
async fn a_fault_that_never_fires_is_noticed() {
    let mut ends = Ends::connected().await;
    // Planted: a delay on the way that nothing goes.
    ends.proxy.delay(Down, Duration::from_millis(250));
    ends.dialled.write_all(b"one way only").await.unwrap();
    arrives(&mut ends.accepted, b"one way only").await;

    assert_eq!(ends.proxy.inert(), [(Down, Fault::Delay)]);
    let silenced = std::panic::AssertUnwindSafe(|| ends.proxy.assert_faults_fired());
    assert!(std::panic::catch_unwind(silenced).is_err());
}

#[tokio::test]
async fn a_cut_with_nobody_connected_is_inert() {
    let proxy = Proxy::start("127.0.0.1:9".parse().unwrap()).await.unwrap();
    proxy.cut();
    proxy.refuse();
    assert_eq!(proxy.inert(), [(Up, Fault::Cut), (Up, Fault::Refuse)]);
}

#[tokio::test]
async fn a_delay_delays_one_way_only() {
    let mut ends = Ends::connected().await;
    let delay = Duration::from_millis(250);
    ends.proxy.delay(Up, delay);
    let start = Instant::now();
    ends.accepted.write_all(b"down").await.unwrap();
    arrives(&mut ends.dialled, b"down").await;
    assert!(start.elapsed() < delay);

    let start = Instant::now();
    ends.dialled.write_all(b"up").await.unwrap();
    arrives(&mut ends.accepted, b"up").await;
    assert!(start.elapsed() >= delay);
    ends.proxy.assert_faults_fired();
}

#[tokio::test]
async fn a_delay_does_not_limit_throughput() {
    const BYTES: usize = 32 * 1024 * 1024;
    let mut ends = Ends::connected().await;
    ends.proxy.delay(Up, Duration::from_millis(250));
    let start = Instant::now();
    let send = async {
        ends.dialled.write_all(&vec![7; BYTES]).await.unwrap();
    };
    let receive = async {
        let mut left = BYTES;
        let mut buffer = vec![0; 64 * 1024];
        while left > 0 {
            left -= ends.accepted.read(&mut buffer).await.unwrap();
        }
    };
    timeout(PATIENCE, async { tokio::join!(send, receive) }).await.unwrap();
    // One chunk of 64 KiB at a time would take 512 times the delay: more than two minutes.
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!(ends.proxy.counts().up.delayed_bytes, BYTES as u64);
}

#[tokio::test]
async fn a_thin_line_takes_its_time() {
    let mut ends = Ends::connected().await;
    ends.proxy.throttle(Up, Some(10_000));
    let start = Instant::now();
    ends.dialled.write_all(&[1; 5_000]).await.unwrap();
    arrives(&mut ends.accepted, &[1; 5_000]).await;
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(450), "{took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    ends.proxy.assert_faults_fired();
}

#[tokio::test]
async fn a_stalled_line_loses_nothing() {
    let mut ends = Ends::connected().await;
    ends.proxy.stall(Up, true);
    ends.dialled.write_all(b"later").await.unwrap();
    stays_silent(&mut ends.accepted).await;
    ends.proxy.stall(Up, false);
    arrives(&mut ends.accepted, b"later").await;
    ends.proxy.assert_faults_fired();
}

#[tokio::test]
async fn a_silent_line_swallows_bytes_and_the_end() {
    let mut ends = Ends::connected().await;
    ends.proxy.swallow(Up);
    ends.dialled.write_all(b"lost").await.unwrap();
    ends.dialled.shutdown().await.unwrap();
    stays_silent(&mut ends.accepted).await;
    ends.accepted.write_all(b"the other way").await.unwrap();
    arrives(&mut ends.dialled, b"the other way").await;
    assert_eq!(ends.proxy.counts().up.swallowed, 5, "four bytes and an end");

    ends.proxy.heal();
    is_reset(&mut ends.accepted).await;
    let (mut dialled, mut accepted) = connection(&ends.proxy, &ends.listener).await;
    dialled.write_all(b"again").await.unwrap();
    arrives(&mut accepted, b"again").await;
}

#[tokio::test]
async fn healing_spares_a_connection_that_lost_nothing() {
    let mut ends = Ends::connected().await;
    ends.proxy.swallow(Up);
    ends.proxy.heal();
    ends.dialled.write_all(b"sound").await.unwrap();
    arrives(&mut ends.accepted, b"sound").await;
    assert_eq!(ends.proxy.inert(), [(Up, Fault::Swallow)]);
}

#[tokio::test]
async fn a_cut_resets_both_ends_and_lets_new_ones_in() {
    let mut ends = Ends::connected().await;
    ends.proxy.cut();
    is_reset(&mut ends.dialled).await;
    is_reset(&mut ends.accepted).await;
    let (mut dialled, mut accepted) = connection(&ends.proxy, &ends.listener).await;
    dialled.write_all(b"again").await.unwrap();
    arrives(&mut accepted, b"again").await;
    assert_eq!(ends.proxy.counts().cut, 1);
    ends.proxy.assert_faults_fired();
}

#[tokio::test]
async fn a_line_cut_after_so_many_bytes_delivers_exactly_these() {
    for bytes in [0, 1, 4, 5] {
        let mut ends = Ends::connected().await;
        ends.proxy.cut_after(Up, bytes);
        ends.dialled.write_all(b"hello, world").await.unwrap();
        let mut got = Vec::new();
        let end = timeout(PATIENCE, ends.accepted.read_to_end(&mut got)).await.unwrap();
        assert!(end.is_ok() || end.is_err_and(|e| e.kind() == io::ErrorKind::ConnectionReset));
        assert_eq!(got, &b"hello, world"[..bytes as usize]);
        eventually("the cut is counted", PATIENCE, async || ends.proxy.inert().is_empty()).await;
    }
}

#[tokio::test]
async fn a_broken_line_refuses_until_it_is_healed() {
    let mut ends = Ends::connected().await;
    ends.proxy.break_line();
    is_reset(&mut ends.dialled).await;
    let mut refused = TcpStream::connect(ends.proxy.address()).await.unwrap();
    is_reset(&mut refused).await;
    ends.proxy.heal();
    connection(&ends.proxy, &ends.listener).await;
    assert_eq!(ends.proxy.counts().refused, 1);
    ends.proxy.assert_faults_fired();
}

#[tokio::test]
async fn a_node_that_moved_is_found_by_the_same_address() {
    let ends = Ends::connected().await;
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    ends.proxy.set_target(elsewhere.local_addr().unwrap());
    connection(&ends.proxy, &elsewhere).await;
    assert_eq!(ends.proxy.open_connections(), 2);
}

#[tokio::test]
async fn a_tape_holds_what_arrived_from_then_on() {
    let mut ends = Ends::connected().await;
    ends.dialled.write_all(b"before").await.unwrap();
    arrives(&mut ends.accepted, b"before").await;
    assert!(ends.proxy.tapes().is_empty());
    ends.proxy.record();
    ends.dialled.write_all(b"up").await.unwrap();
    arrives(&mut ends.accepted, b"up").await;
    ends.accepted.write_all(b"down").await.unwrap();
    arrives(&mut ends.dialled, b"down").await;
    let (mut other, mut accepted) = connection(&ends.proxy, &ends.listener).await;
    other.write_all(b"other").await.unwrap();
    arrives(&mut accepted, b"other").await;
    // A byte may be here a moment before it is on the tape.
    eventually("all is on tape", PATIENCE, async || {
        let mut tapes = ends.proxy.tapes();
        tapes.sort();
        tapes == [b"down".to_vec(), b"other".to_vec(), b"up".to_vec()]
    })
    .await;
}
