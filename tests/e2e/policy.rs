//! The stored policy against a real node: every RPC of the table, over TLS, as every role.
//!
//! Every call carries a body that is no message. Whoever may call is told so; whoever may not is
//! refused before the body is read. So nothing is changed, and who was let in cannot be mistaken.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use tokio::time::timeout;
use tonic::{
    Code, Request, Status,
    client::{Grpc, GrpcService},
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::{Body, StdError},
};
use yizhan_client::channel::Node;
use yizhan_server::{
    domain::time::Time,
    identity::{
        keys::KeyDirectory,
        tls::{Clock, Credentials, link_client},
    },
    listen::dial,
};
use yizhan_tests::cluster::Cluster;

/// What the server's own test holds against its code.
const STORED: &str = include_str!("../../server/src/domain/policy.txt");
const POINT: &str = "CN-440000";
const PEER: &str = "GB-LON";
/// A tag with the wire type 7, which does not exist.
const NO_MESSAGE: &[u8] = &[0xff];
/// No answer takes longer, on a machine that is busy.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);

/// The stored table: by RPC, the roles that it is open to.
struct Table {
    roles: Vec<String>,
    open: BTreeMap<String, BTreeSet<String>>,
}

impl Table {
    fn read() -> Table {
        let (operations, rpcs) = STORED.split_once("\n\n").expect("two parts");
        let mut lines = operations.lines();
        let words = |line: &str| -> Vec<String> {
            line.split_whitespace().filter(|word| *word != "2p").map(str::to_owned).collect()
        };
        let roles = words(lines.next().expect("a line of roles"));
        let mut reaches = BTreeMap::new();
        for line in lines {
            let cells = words(line);
            assert_eq!(cells.len(), roles.len() + 1, "{line}");
            let open = roles.iter().zip(&cells[1..]).filter(|(_, reach)| *reach != "-");
            let open: BTreeSet<String> = open.map(|(role, _)| role.clone()).collect();
            reaches.insert(cells[0].clone(), open);
        }
        let open = rpcs.lines().map(|line| {
            let (path, operation) = line.split_once(' ').expect("a path and its operation");
            (path.to_owned(), reaches[operation].clone())
        });
        Table { open: open.collect(), roles }
    }
}

/// Bytes as they are.
#[derive(Clone, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// How a call ended; `None`: it was answered.
async fn call<S>(service: S, path: &str) -> Option<Status>
where
    S: GrpcService<tonic::body::Body>,
    S::ResponseBody: Body<Data = Bytes> + Send + 'static,
    <S::ResponseBody as Body>::Error: Into<StdError> + Send,
    S::Error: Into<StdError>,
{
    let mut grpc = Grpc::new(service);
    let path: PathAndQuery = path.parse().expect("a path");
    let calling = async {
        grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let request = Request::new(Bytes::from_static(NO_MESSAGE));
        let answer = grpc.server_streaming(request, path.clone(), Raw).await?;
        answer.into_inner().message().await
    };
    let ended = timeout(ANSWERED_WITHIN, calling).await;
    ended.unwrap_or_else(|_| panic!("{path} is not answered")).err()
}

/// What a denial says, all of it.
type Denial = (i32, String, Vec<u8>);

/// Calls every RPC as one role, and gives the denials.
async fn walk<S>(table: &Table, role: &str, service: S) -> BTreeSet<Denial>
where
    S: GrpcService<tonic::body::Body> + Clone,
    S::ResponseBody: Body<Data = Bytes> + Send + 'static,
    <S::ResponseBody as Body>::Error: Into<StdError> + Send,
    S::Error: Into<StdError>,
{
    assert!(table.roles.iter().any(|known| known == role), "{role}");
    let mut denials = BTreeSet::new();
    for (path, open) in &table.open {
        let ended = call(service.clone(), path).await;
        let denied = ended.filter(|status| {
            matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied)
        });
        assert_eq!(denied.is_none(), open.contains(role), "{path} as {role}: {denied:?}");
        denials.extend(denied.map(|denied| {
            (denied.code() as i32, denied.message().to_owned(), denied.details().to_vec())
        }));
    }
    denials
}

#[tokio::test]
async fn every_rpc_refuses_exactly_the_roles_that_the_stored_table_does() {
    let table = Table::read();
    let mut cluster = Cluster::found(POINT).await;
    cluster.join(PEER, POINT).await;

    let anonymous = walk(&table, "client", cluster.anybody(POINT).await.service()).await;
    assert_eq!(anonymous.len(), 1, "denials look alike: {anonymous:?}");
    let mut known = BTreeSet::new();
    let accounts = ["member", "volunteer", "staff", "point_admin", "provincial_admin", "auditor"];
    for role in accounts {
        let name = format!("walking-{}", role.replace('_', "-"));
        cluster.add_user(POINT, &name, role).await;
        known.extend(walk(&table, role, cluster.caller(POINT, &name).await.service()).await);
    }

    let socket = cluster.path(POINT).join("control.sock");
    let operator = Node::local(socket, POINT).await.expect("the node's socket");
    known.extend(walk(&table, "operator", operator.service()).await);

    let keys = KeyDirectory::open(&cluster.path(PEER).join("keys")).expect("keys of a peer");
    let credentials = Credentials::new(&keys.load_tls().expect("an identity")).unwrap();
    let now = || Time(std::time::UNIX_EPOCH.elapsed().expect("a clock").as_micros() as i64);
    let founder = POINT.parse().unwrap();
    let tls = link_client(credentials, &founder, &Clock::new(now)).expect("a peer's side");
    let address = cluster.addresses(POINT).link.to_string();
    let stream = dial::open_tcp(&address).await.expect("the link's port");
    let (peer, _) = dial::connect(stream, tls, &founder).await.expect("a link");
    known.extend(walk(&table, "peer", peer).await);
    assert_eq!(known.len(), 1, "denials look alike: {known:?}");

    let walked: BTreeSet<&str> =
        ["client", "operator", "peer"].into_iter().chain(accounts).collect();
    assert_eq!(walked, table.roles.iter().map(String::as_str).collect(), "nobody was left out");
}
