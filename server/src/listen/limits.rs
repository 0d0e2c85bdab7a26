//! What a connection may use, per listener. One table, so that a limit is read beside its neighbours.

use std::time::Duration;

const KIB: u32 = 1024;
const MIB: u32 = 1024 * KIB;

/// HTTP/2 windows of a link, at both ends: above what 2 s of credit can fill, so that round-trip
/// time never binds; credit is what keeps a thin line from clogging.
pub const LINK_STREAM_WINDOW: u32 = 16 * MIB;
pub const LINK_CONNECTION_WINDOW: u32 = 32 * MIB;
/// A page fits into a few frames; small enough that a ping is not long behind one.
pub const LINK_FRAME: u32 = 64 * KIB;
pub const LINK_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
pub const LINK_KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
pub const LINK_HEADER_LIST: u32 = 16 * KIB;
/// For TCP and then for TLS, on the dialling side.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub struct Limits {
    /// For logs.
    pub name: &'static str,
    /// From the first byte of a TLS handshake to its end.
    pub handshake_timeout: Duration,
    /// Handshakes at once; more wait in the kernel's backlog.
    pub handshakes: usize,
    /// Of these, from one address: one slow source cannot hold all.
    pub handshakes_per_source: usize,
    pub connections: usize,
    pub connections_per_source: usize,
    /// Of one node of the network. A newer connection closes its oldest, which is often dead.
    pub connections_per_node: usize,
    /// When there is no room for a connection, one that is older than this and has not had a request
    /// answered gives way, else one that is idle. Nodes never do.
    pub settling: Duration,
    /// Without an admitted certificate, on a listener that asks for one.
    pub strangers: usize,
    /// Such a connection ends after this.
    pub stranger_age: Duration,
    pub streams: u32,
    pub stream_window: u32,
    pub connection_window: u32,
    pub frame: u32,
    /// Bytes of one stream's answer that wait for the socket.
    pub send_buffer: usize,
    pub header_list: u32,
    /// Streams that the other end opened and reset before they were accepted.
    pub pending_accept_resets: usize,
    /// Streams that we reset because of the other end's errors.
    pub local_error_resets: usize,
    pub keepalive_interval: Duration,
    pub keepalive_timeout: Duration,
    /// HTTP/1: from the first byte of a request to the end of its headers.
    pub header_read_timeout: Duration,
    /// HTTP/1 is spoken too.
    pub http1: bool,
    /// Without a request for this long, the connection is closed in good order.
    pub idle: Duration,
    /// A connection is closed in good order at this age, give or take a tenth, so that clients
    /// spread over nodes again; none where sessions are long-lived.
    pub age: Option<Duration>,
    /// From closing in good order to closing.
    pub grace: Duration,
    /// Requests that are worked on at once, all connections together; more are refused.
    pub requests: usize,
    /// Of these, for help intake alone.
    pub requests_reserved: usize,
    /// Requests whose first message is on its way; none where sessions are long-lived: those take
    /// their room at once.
    pub arriving: usize,
    /// For a request's first message, and for each further part of its body.
    pub body_timeout: Duration,
    /// From a request's headers to those of its answer, its body included.
    pub request_timeout: Duration,
    /// Bytes within `PROGRESS_INTERVAL` without any request: floods of PING, SETTINGS, WINDOW_UPDATE.
    pub bytes_without_request: u64,
}

/// Windows and streams of a caller that shows no admitted certificate: enough for enrolment.
const STRANGER_WINDOW: u32 = 64 * KIB;
const STRANGER_STREAMS: u32 = 4;

impl Limits {
    /// The same listener with what the settings say of it. One source may hold half of all
    /// handshakes.
    pub fn with(self, connections: usize, handshakes: usize, timeout: Duration) -> Limits {
        Limits {
            connections,
            connections_per_source: self.connections_per_source.min(connections),
            handshakes,
            handshakes_per_source: handshakes.div_ceil(2),
            handshake_timeout: timeout,
            ..self
        }
    }

    /// The same listener towards somebody unknown.
    pub(super) fn for_strangers(&self) -> Limits {
        Limits {
            streams: STRANGER_STREAMS,
            stream_window: STRANGER_WINDOW,
            connection_window: 2 * STRANGER_WINDOW,
            frame: 16 * KIB,
            age: Some(self.stranger_age),
            ..self.clone()
        }
    }
}

/// How often a connection's progress is looked at.
pub const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// Node to node. A hub has 400 links.
pub const LINK: Limits = Limits {
    name: "link",
    handshake_timeout: Duration::from_secs(5),
    handshakes: 32,
    handshakes_per_source: 16,
    connections: 1_000,
    // Many points may sit behind one router; how many of one node is limited below.
    connections_per_source: usize::MAX,
    connections_per_node: 4,
    settling: Duration::from_secs(5),
    strangers: 32,
    stranger_age: Duration::from_secs(60),
    streams: 64,
    stream_window: LINK_STREAM_WINDOW,
    connection_window: LINK_CONNECTION_WINDOW,
    frame: LINK_FRAME,
    send_buffer: MIB as usize,
    header_list: LINK_HEADER_LIST,
    pending_accept_resets: 20,
    local_error_resets: 128,
    keepalive_interval: LINK_KEEPALIVE_INTERVAL,
    keepalive_timeout: LINK_KEEPALIVE_TIMEOUT,
    header_read_timeout: Duration::from_secs(10),
    http1: false,
    idle: Duration::from_secs(60),
    age: None,
    grace: Duration::from_secs(30),
    requests: 256,
    requests_reserved: 0,
    arriving: 0,
    body_timeout: Duration::MAX,
    // Above the 20 s that an enrolment may take which is passed on to the founding node.
    request_timeout: Duration::from_secs(30),
    bytes_without_request: 64 * KIB as u64,
};

/// Clients and browsers.
pub const PUBLIC: Limits = Limits {
    name: "public",
    handshake_timeout: Duration::from_secs(5),
    handshakes: 64,
    handshakes_per_source: 32,
    connections: 1_024,
    connections_per_source: 32,
    connections_per_node: 32,
    settling: Duration::from_secs(2),
    strangers: usize::MAX,
    stranger_age: Duration::MAX,
    streams: 16,
    stream_window: 64 * KIB,
    connection_window: 128 * KIB,
    frame: 16 * KIB,
    send_buffer: 256 * KIB as usize,
    header_list: 8 * KIB,
    pending_accept_resets: 20,
    local_error_resets: 64,
    keepalive_interval: Duration::from_secs(60),
    keepalive_timeout: Duration::from_secs(20),
    header_read_timeout: Duration::from_secs(10),
    http1: true,
    idle: Duration::from_secs(60),
    age: Some(Duration::from_secs(600)),
    grace: Duration::from_secs(30),
    requests: 128,
    requests_reserved: 32,
    arriving: 1_024,
    body_timeout: Duration::from_secs(10),
    request_timeout: Duration::from_secs(120),
    bytes_without_request: 32 * KIB as u64,
};

/// The commands beside a running node, over its Unix socket.
pub const LOCAL: Limits = Limits {
    name: "local",
    connections: 64,
    connections_per_source: 64,
    http1: false,
    stream_window: MIB,
    connection_window: 2 * MIB,
    age: None,
    // The operator knows what takes long: checking every feed, a backup.
    request_timeout: Duration::from_secs(24 * 3_600),
    ..PUBLIC
};
