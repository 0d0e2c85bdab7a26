//! A node joins and renews over real sockets.

use std::sync::{
    Mutex,
    atomic::{AtomicI64, AtomicU64, Ordering::SeqCst},
};

use tokio::net::TcpListener;

use super::*;
use crate::{
    domain::{
        roster::{NodeId, PointKind, RosterEntry, RosterNode},
        time::Time,
    },
    identity::{
        enrolment::Office,
        join::{JoinError, PointKeys, join, renew},
        keys::KeyDirectory,
        samples::*,
        spki::Fingerprint,
        tls::{Credentials, ServerTls, enrolment_client, link_server},
        token::{JoinToken, TTL_DEFAULT},
    },
    listen::{
        Access, LINK, Options, Security, Serving, TcpIncoming,
        dial::{connect_for_enrolment, open_tcp},
        serve,
    },
    store::{database::Database, tokens},
};

/// A founding node that listens, and its clock.
struct Parent {
    state: Arc<State>,
    db: Database,
    address: String,
    credentials: Arc<Credentials>,
    clock: Clock,
    moment: Arc<AtomicI64>,
    _serving: Serving,
    _file: tempfile::TempDir,
}

struct State {
    network: Network,
    roster: Mutex<Arc<Roster>>,
    sequence: AtomicU64,
}

impl Parent {
    async fn start() -> Parent {
        let network = Network::found();
        let mut root = RosterEntry::new(point("CN-440000"), "GD".into(), PointKind::Province);
        root.nodes =
            vec![RosterNode { node: NodeId([1; 8]), spki_sha256: [1; 32], public_host: None }];
        let credentials = Credentials::new(&network.identity("CN-440000", 1)).unwrap();
        let moment = Arc::new(AtomicI64::new(NOW.0));
        let clock = Clock::new({
            let moment = moment.clone();
            move || Time(moment.load(SeqCst))
        });
        let roster = Mutex::new(Arc::new(Roster::from_iter([root])));
        let state = Arc::new(State { network, roster, sequence: AtomicU64::new(3) });
        let file = tempfile::tempdir().unwrap();
        let db = database(&file).await;
        let behind = behind(state.clone(), db.clone(), clock.clone());
        let service = Enrolment::new(clock.clone(), behind).service();
        let router = tonic::service::Routes::new(service).prepare().into_axum_router();
        let tls = ServerTls::new(link_server(credentials.clone(), &clock).unwrap());
        let options = Options {
            limits: LINK,
            security: Security::Tls(tls),
            access: Access::Nodes(Arc::new(|_| Ok(()))),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let serving = serve(TcpIncoming(listener), router, options);
        Parent { state, db, address, credentials, clock, moment, _serving: serving, _file: file }
    }

    fn now(&self) -> Time {
        self.clock.now()
    }

    async fn token(&self, code: &str) -> JoinToken {
        let authority = self.state.network.authority.fingerprint();
        let sequence = self.state.sequence.load(SeqCst);
        let (token, stored) =
            JoinToken::make(point(code), authority, sequence, TTL_DEFAULT, self.now()).unwrap();
        tokens::insert(&mut self.db.local().await.unwrap(), &stored).await.unwrap();
        token
    }

    async fn channel(&self, authority: Fingerprint) -> tonic::transport::Channel {
        let tls = enrolment_client(authority, &self.clock).unwrap();
        let stream = open_tcp(&self.address).await.unwrap();
        connect_for_enrolment(stream, tls).await.unwrap().0
    }
}

async fn database(dir: &tempfile::TempDir) -> Database {
    Database::open(&Database::address_in(dir.path())).await.unwrap()
}

fn behind(state: Arc<State>, db: Database, clock: Clock) -> Behind {
    let (for_roster, for_admit, for_renew) = (state.clone(), state.clone(), state);
    let (admit_clock, renew_clock) = (clock.clone(), clock);
    Behind {
        connection: Box::new(move || {
            let db = db.clone();
            Box::pin(async move { db.local().await.map_err(|_| Refusal::Unavailable) })
        }),
        roster: Box::new(move || for_roster.roster.lock().unwrap().clone()),
        admit: Box::new(move |(_, application)| {
            let (state, now) = (for_admit.clone(), admit_clock.now());
            Box::pin(async move {
                let roster = state.roster.lock().unwrap().clone();
                let issuer = &state.network.issuer;
                let office = Office { issuer, network: "gd", roster: &roster };
                let commit = async |record: yizhan_proto::v1::RosterPoint| {
                    let mut roster = state.roster.lock().unwrap();
                    Arc::make_mut(&mut roster).put(record.try_into().unwrap());
                    Ok(state.sequence.fetch_add(1, SeqCst) + 1)
                };
                office.admit(&point("CN-440000"), &application, 2, now, commit).await
            })
        }),
        renew: Box::new(move |renewal| {
            let (state, now) = (for_renew.clone(), renew_clock.now());
            Box::pin(async move {
                let roster = state.roster.lock().unwrap().clone();
                let issuer = &state.network.issuer;
                Office { issuer, network: "gd", roster: &roster }.renew(&renewal, now)
            })
        }),
    }
}

fn keys() -> (tempfile::TempDir, KeyDirectory) {
    let home = tempfile::tempdir().unwrap();
    let keys = KeyDirectory::create(&home.path().join("keys")).unwrap();
    (home, keys)
}

fn code_of(error: JoinError) -> tonic::Code {
    match error {
        JoinError::Refused(status) => status.code(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_node_joins_and_renews_a_year_later() {
    let parent = Parent::start().await;
    let token = parent.token("GB-LON").await;
    let (_home, keys) = keys();
    let channel = parent.channel(token.authority).await;
    let joined = join(channel, &token, None, None, &keys, parent.now()).await.unwrap();
    assert_eq!((joined.network.as_str(), joined.roster_sequence), ("gd", 4));
    let identity = keys.load_tls().unwrap();
    assert_eq!(identity.chain, joined.identity.chain);
    assert!(keys.find_pending_tls().unwrap().is_none());

    parent.moment.fetch_add(365 * 24 * 3_600_000_000, SeqCst);
    let fresh = parent.state.network.identity_at("CN-440000", 1, parent.now());
    parent.credentials.swap(&fresh, parent.now()).unwrap();
    let channel = parent.channel(token.authority).await;
    let seal = keys.load_seal().unwrap();
    let renewed = renew(channel, &identity, &seal, &keys, parent.now()).await.unwrap();
    assert!(renewed.chain.validity().not_after > identity.chain.validity().not_after);
    assert_eq!(renewed.chain.peer(), identity.chain.peer());
    assert_eq!(keys.load_tls().unwrap().chain, renewed.chain);
    let credentials = Credentials::new(&identity).unwrap();
    credentials.swap(&renewed, parent.now()).unwrap();
}

#[tokio::test]
async fn joining_again_after_a_lost_answer_gets_the_same_certificate() {
    let parent = Parent::start().await;
    let token = parent.token("GB-LON").await;
    let (home, keys) = keys();
    let channel = parent.channel(token.authority).await;
    let first = join(channel, &token, None, None, &keys, parent.now()).await.unwrap();
    // As if the process had died before it wrote the answer.
    keys.save_pending_tls(&first.identity.key).unwrap();
    std::fs::remove_file(home.path().join("keys/tls.pem")).unwrap();

    let channel = parent.channel(token.authority).await;
    let again = join(channel, &token, None, None, &keys, parent.now()).await.unwrap();
    assert_eq!(again.identity.chain, first.identity.chain);
}

#[tokio::test]
async fn of_many_that_use_one_token_at_once_one_gets_in() {
    let parent = Arc::new(Parent::start().await);
    let token = parent.token("GB-LON").await;
    let tries: Vec<_> = (0..8)
        .map(|_| {
            let (parent, token) = (parent.clone(), token.clone());
            tokio::spawn(async move {
                let (_home, keys) = keys();
                let channel = parent.channel(token.authority).await;
                join(channel, &token, None, None, &keys, parent.now()).await
            })
        })
        .collect();
    let mut joined = 0;
    for done in tries {
        match done.await.unwrap() {
            Ok(_) => joined += 1,
            Err(error) => assert_eq!(code_of(error), tonic::Code::PermissionDenied),
        }
    }
    assert_eq!(joined, 1);
}

#[tokio::test]
async fn a_second_node_takes_the_points_keys() {
    let parent = Parent::start().await;
    let (_home, first) = keys();
    let token = parent.token("GB-LON").await;
    let channel = parent.channel(token.authority).await;
    join(channel, &token, None, None, &first, parent.now()).await.unwrap();

    let (_home, second) = keys();
    let token = parent.token("GB-LON").await;
    let point_keys =
        PointKeys { seal: first.load_seal().unwrap(), case: first.load_case().unwrap() };
    let channel = parent.channel(token.authority).await;
    join(channel, &token, None, Some(point_keys), &second, parent.now()).await.unwrap();
    let roster = parent.state.roster.lock().unwrap().clone();
    assert_eq!(roster.get(&point("GB-LON")).unwrap().nodes.len(), 2);
}

#[tokio::test]
async fn a_roster_older_than_the_token_is_not_believed() {
    let parent = Parent::start().await;
    let mut token = parent.token("GB-LON").await;
    token.roster_sequence = 99;
    let (_home, keys) = keys();
    let channel = parent.channel(token.authority).await;
    let refused = join(channel, &token, None, None, &keys, parent.now()).await.unwrap_err();
    assert!(matches!(refused, JoinError::RosterTooOld { held: 4, wanted: 99 }), "{refused:?}");
}

#[tokio::test]
async fn a_refusal_carries_its_reason() {
    let parent = Parent::start().await;
    let token = parent.token("GB-LON").await;
    parent.moment.fetch_add(601_000_000, SeqCst);
    let (_home, keys) = keys();
    let channel = parent.channel(token.authority).await;
    let refused = join(channel, &token, None, None, &keys, parent.now()).await.unwrap_err();
    let JoinError::Refused(status) = refused else { panic!("{refused:?}") };
    assert_eq!(status.get_details_error_info().unwrap().reason, "TOKEN_EXPIRED");
    assert!(status.message().contains("expired"));
}
