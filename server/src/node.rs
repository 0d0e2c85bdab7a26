//! Builds a node from its directory, runs it, drains it. The one place that knows every part.

use std::{
    fs::File,
    io,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use ed25519_dalek::SigningKey;
use futures::future::BoxFuture;
use prost::Message;
use tokio::{
    net::{TcpListener, UnixListener},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::Routes;
use tracing::{info, warn};
use yizhan_proto::v1;

use crate::{
    api,
    app::{
        self, App, accounts::Accounts, audit::Audit, erasures::Ledger, help_requests::Help,
        leading::Leading, moves, notices::Notices,
    },
    backup,
    config::Config,
    disk::Disk,
    domain::{id::PointCode, kind::Kind, language::Language, retention::Periods},
    feed::{
        change::Change,
        continuity::MarkFile,
        heads::Heads,
        keyring::Keyring,
        writer::{self, Writer},
    },
    found::{CA_FILE, KEYS, MARKS, database_address, roster_id},
    identity::{
        authority::Issuer,
        enrolment::{self, Application, Refusal, Renewal},
        error::Error as IdentityError,
        keys::KeyDirectory,
        peer::Peer,
        spki::Fingerprint,
        tls::{Clock, Credentials, ServerTls, link_client, link_server, public_server},
    },
    jobs::{
        self,
        runner::{keep_running, keep_running_if_leading},
    },
    link::{
        budget::Total,
        links::{self, Identity},
        session::Parts,
    },
    listen::{
        self, Access, LINK, LOCAL, Limits, Options, PUBLIC, Security, Serving, TcpIncoming,
        UnixIncoming,
        dial::{self, DialError},
    },
    notify::setup,
    outside::Outside,
    parcel::{
        office::{self, Office},
        receipts::Receipts,
    },
    socket::{self, Socket},
    store::{StoreError, database::Database, dialect::Dialect},
};

/// Held while a node runs, or while a command works on its directory.
const LOCK: &str = "lock";

#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("{0} is no node's directory: `yizhand init` or `yizhand join` makes one")]
    NoNode(String),
    #[error("another yizhand works on this directory")]
    Running,
    #[error("the directory cannot be used")]
    Directory(#[source] io::Error),
    #[error("{address} cannot be listened on")]
    Listen { address: String, source: io::Error },
    #[error("keys or certificates failed")]
    Identity(#[from] IdentityError),
    #[error("storage failed")]
    Storage(#[from] StoreError),
    #[error("notices cannot be sent")]
    Notices(#[from] setup::Error),
    #[error("home records cannot be compared with what was disclosed from them")]
    Reconciling(#[from] app::error::Error),
}

/// A node whose parts are built and whose listeners are not yet open.
pub struct Node {
    pub app: App,
    dir: PathBuf,
    config: Config,
    point: PointCode,
    directory: KeyDirectory,
    credentials: Arc<Credentials>,
    clock: Clock,
    issuer: Option<Arc<Issuer>>,
    backup: backup::Source,
    writing: JoinHandle<()>,
    /// Freed when the node is gone.
    _lock: File,
}

/// A node at work.
pub struct Running {
    pub link: SocketAddr,
    pub public: SocketAddr,
    pub app: App,
    /// What joining nodes and clients pin.
    pub authority: Fingerprint,
    node: RunningParts,
}

struct RunningParts {
    serving: Vec<Serving>,
    sessions: CancellationToken,
    tasks: TaskTracker,
    grace: Duration,
    writing: JoinHandle<()>,
    socket: PathBuf,
    db: Database,
    _lock: File,
}

impl Node {
    /// Opens keys and tables and reads what is stored.
    pub async fn open(dir: &Path, config: Config, outside: Outside) -> Result<Node, NodeError> {
        let (Some(point), Some(founder)) = (config.point.clone(), config.founder.clone()) else {
            return Err(NodeError::NoNode(dir.display().to_string()));
        };
        let lock = lock(dir)?;
        backup::Source::tidy(dir);
        let directory = KeyDirectory::open(&dir.join(KEYS))?;
        let tls = directory.load_tls()?;
        let credentials = Credentials::new(&tls)?;
        let clock = {
            let outside = outside.clone();
            Clock::new(move || outside.now())
        };
        let issuer = directory.load_issuer()?.map(Arc::new);
        let roster_key: Option<SigningKey> = directory.load_roster_key()?;
        let keys = Arc::new(Keyring::new(
            config.network.clone(),
            point.clone(),
            founder,
            directory.load_seal()?,
            tls.chain.roster_key(),
            roster_key,
        ));
        let address = database_address(dir, &config.database);
        let db = Database::open_with(&address, config.readers as u32).await?;
        let backup = backup::Source {
            db: db.clone(),
            dir: dir.to_owned(),
            recipient: directory.load_backup()?.to_public(),
        };
        let heads = Arc::new(Heads::default());
        let (mark_file, marks) = MarkFile::open(&dir.join(MARKS)).map_err(NodeError::Directory)?;
        let (writer, writing) = Writer::start(writer::Parts {
            store: db.clone(),
            keys: keys.clone(),
            heads: heads.clone(),
            outside: outside.clone(),
            mark_file,
            marks,
        })
        .await?;
        let post = Office::new(office::Parts {
            database: db.clone(),
            keys: keys.clone(),
            case_key: directory.load_case()?,
            heads: heads.clone(),
            outside: outside.clone(),
        });
        let behind = !writer.recovery().feeds.is_empty();
        let audit = Audit::start(db.clone(), outside.clone(), Some(dir), behind).await?;
        let notices = Arc::new(Notices {
            db: db.clone(),
            ways: setup::ways(&config, &directory)?,
            case_key: directory.load_case()?,
            outside: outside.clone(),
            language: Language::parse(&config.webhook_language, "webhook_language")
                .map_err(|_| setup::Error::Language)?,
        });
        let disk = Arc::new(Disk::of(dir));
        let writer = writer.minding(disk.clone());
        let app = App {
            disk,
            post,
            attachments: Arc::default(),
            notices,
            leading: match db.dialect {
                Dialect::Sqlite => Leading::always(),
                Dialect::Postgres => Leading::by_lease(),
            },
            accounts: Accounts::new(db.clone(), outside.random()),
            audit,
            help: Help::new(directory.load_case()?, periods(&config)),
            erasures: Arc::new(Ledger::open(dir).map_err(NodeError::Directory)?),
            departures: Arc::new(moves::open(dir).map_err(NodeError::Directory)?),
            doing: Arc::default(),
            live: Default::default(),
            started: outside.now(),
            stale_after_ms: config.stale_after_ms,
            links: Arc::default(),
            db,
            writer,
            heads,
            keys,
            outside,
        };
        // What the other nodes of the point know of who is gone, before anybody is read.
        for shared in app::shared_ledgers(&app) {
            shared.meet().await?;
        }
        app.writer.begin_reconciling().await;
        if app.writer.recovery().is_private() {
            app.writer.until(|recovery| recovery.is_taken_back()).await;
        }
        if app.writer.recovery().is_taken_back() {
            app::recovery::reconcile(&app).await?;
        }
        Ok(Node {
            app,
            dir: dir.to_owned(),
            config,
            point,
            directory,
            credentials,
            clock,
            issuer,
            backup,
            writing,
            _lock: lock,
        })
    }

    /// Opens the listeners, dials the parent, starts the jobs.
    pub async fn start(self) -> Result<Running, NodeError> {
        let sessions = CancellationToken::new();
        let tasks = TaskTracker::new();
        let parts = Parts {
            store: self.app.db.clone(),
            writer: self.app.writer.clone(),
            heads: self.app.heads.clone(),
            keys: self.app.keys.clone(),
            outside: self.app.outside.clone(),
            total: Total::default(),
            post: Some(self.app.post.clone()),
        };

        let (link_listener, link) = bind(&self.config.listen_link.to_string()).await?;
        let (public_listener, public) = bind(&self.config.listen_public.to_string()).await?;
        let socket = self.dir.join(socket::NAME);
        let local_listener = bind_local(&self.dir)?;

        let link_tls = ServerTls::new(link_server(self.credentials.clone(), &self.clock)?);
        let public_tls = ServerTls::new(public_server(self.credentials.clone(), &self.clock)?);

        let link_api = api::link::LinkApi {
            links: self.app.links.clone(),
            parts: parts.clone(),
            stop: sessions.clone(),
        };
        let link_service = v1::link_service_server::LinkServiceServer::new(link_api)
            .max_decoding_message_size(crate::link::frame::FRAME_MAX)
            .max_encoding_message_size(crate::link::frame::FRAME_MAX);
        let enrolment = api::enrolment::Enrolment::new(self.clock.clone(), self.enrolment_desk());
        let link_routes =
            Routes::new(link_service).add_service(enrolment.service()).prepare().into_axum_router();
        let link_routes = api::policy::guard(link_routes, api::policy::Callers::Certificates);
        let admission = self.admission();
        let (link_limits, public_limits) = self.limits();
        let link_options = Options {
            limits: link_limits,
            security: Security::Tls(link_tls),
            access: Access::Nodes(admission),
        };
        let public_options = Options {
            limits: public_limits,
            security: Security::Tls(public_tls),
            access: Access::Anybody,
        };
        let authority = self.credentials.chain().authority_fingerprint();
        let public_routes = api::routes::public(&self.app, authority);
        let serving = vec![
            listen::serve(TcpIncoming(link_listener), link_routes, link_options),
            listen::serve(TcpIncoming(public_listener), public_routes, public_options),
            self.serve_local(local_listener),
        ];
        self.dial_neighbours(&parts, &tasks, &sessions);
        self.start_jobs(&tasks, &sessions);
        info!(point = %self.point, %link, %public, "node is ready");
        Ok(Running {
            link,
            public,
            app: self.app.clone(),
            authority: self.credentials.chain().authority_fingerprint(),
            node: RunningParts {
                serving,
                sessions,
                tasks,
                grace: Duration::from_millis(self.config.drain_ms),
                writing: self.writing,
                socket,
                db: self.app.db.clone(),
                _lock: self._lock,
            },
        })
    }

    /// What every node does for itself, and what one node does for its point.
    fn start_jobs(&self, tasks: &TaskTracker, sessions: &CancellationToken) {
        let (app, stop) = (&self.app, || sessions.clone());
        let leading = || app.leading.clone();
        if app.db.dialect == Dialect::Postgres {
            let holder = app.outside.random();
            tasks.spawn(jobs::leading::Leading { app: app.clone(), holder }.run(stop()));
            let refreshing = jobs::refreshing::Refreshing { app: app.clone() };
            tasks.spawn(keep_running(refreshing, jobs::refreshing::EVERY, stop()));
            let ledgers = jobs::ledgers::Ledgers::new(app);
            tasks.spawn(keep_running(ledgers, jobs::ledgers::EVERY, stop()));
        }
        let chance = u32::from_le_bytes(app.outside.random());
        let renewal = jobs::renewal::Renewal {
            credentials: self.credentials.clone(),
            clock: self.clock.clone(),
            directory: self.directory.clone(),
            keys: app.keys.clone(),
            heads: app.heads.clone(),
            issuer: self.issuer.clone(),
            parent: self.config.parent.clone(),
            ca_file: self.dir.join(CA_FILE),
            chance: f64::from(chance) / f64::from(u32::MAX),
        };
        tasks.spawn(keep_running(renewal, jobs::renewal::EVERY, stop()));
        let auditing = jobs::auditing::Auditing::new(app.audit.clone());
        tasks.spawn(keep_running(auditing, jobs::auditing::EVERY, stop()));
        // Parcels are acted on by whoever they reach: exactly once, by the transaction.
        tasks.spawn(app.post.clone().run(stop()));
        let looking = jobs::disk::Looking { disk: app.disk.clone() };
        tasks.spawn(keep_running(looking, jobs::disk::EVERY, stop()));
        let reconciling = jobs::reconciling::Reconciling { app: app.clone() };
        tasks.spawn(keep_running(reconciling, jobs::reconciling::EVERY, stop()));

        let every = Duration::from_millis(self.config.statement_every_ms);
        let statements = jobs::statements::Statements::new(app.clone(), every);
        let look = jobs::statements::EVERY.min(every);
        tasks.spawn(keep_running_if_leading(statements, look, leading(), stop()));
        let approvals = jobs::approvals::Approvals { app: app.clone() };
        tasks.spawn(keep_running_if_leading(approvals, jobs::approvals::EVERY, leading(), stop()));
        let figures = jobs::home_figures::HomeFigures::new(app.clone());
        let every = jobs::home_figures::EVERY;
        tasks.spawn(keep_running_if_leading(figures, every, leading(), stop()));
        let receipts = Receipts::new(app.post.clone());
        tasks.spawn(keep_running_if_leading(receipts, jobs::receipts::EVERY, leading(), stop()));
        let delivering = jobs::notices::Delivering { notices: app.notices.clone() };
        tasks.spawn(keep_running_if_leading(delivering, jobs::notices::EVERY, leading(), stop()));
        let telling = jobs::telling::Telling { app: app.clone() };
        tasks.spawn(keep_running_if_leading(telling, jobs::telling::EVERY, leading(), stop()));
        let scrubbing = jobs::scrubbing::Scrubbing { app: app.clone() };
        tasks.spawn(keep_running(scrubbing, jobs::scrubbing::EVERY, stop()));
        let keeping = jobs::retention::Retention { app: app.clone() };
        tasks.spawn(keep_running_if_leading(keeping, jobs::retention::EVERY, leading(), stop()));
        let figures = app.clone();
        app.post.on_figures(Box::new(move |from| {
            let app = figures.clone();
            Box::pin(async move { app::desk::answer(&app, &from).await })
        }));
        let lookups = app.clone();
        app.post.on_lookup(Box::new(move |lookup| {
            let app = lookups.clone();
            Box::pin(async move { app::handoffs::answer_lookup(&app, lookup).await })
        }));
        let heads = app.clone();
        app.post.on_heads(Box::new(move |from, question| {
            let app = heads.clone();
            Box::pin(async move { app::live::answer(&app, &from, question).await })
        }));
        let releases = app.clone();
        app.post.on_releases(Box::new(move |question| {
            let app = releases.clone();
            Box::pin(async move { app::releases::answer(&app, question).await })
        }));
        let releasing = jobs::releasing::Releasing { app: app.clone() };
        tasks.spawn(keep_running_if_leading(releasing, jobs::releasing::EVERY, leading(), stop()));
        let sweeping = jobs::sweeping::Sweeping { app: app.clone() };
        tasks.spawn(keep_running_if_leading(sweeping, jobs::sweeping::EVERY, leading(), stop()));
        let handoffs = jobs::handoffs::Handoffs { app: app.clone() };
        let every = jobs::handoffs::EVERY;
        tasks.spawn(keep_running_if_leading(handoffs, every, leading(), stop()));
        let posting = jobs::help_posting::HelpPosting { app: app.clone() };
        let every = jobs::help_posting::EVERY;
        tasks.spawn(keep_running_if_leading(posting, every, leading(), stop()));
        let escalation = jobs::help_escalation::HelpEscalation { app: app.clone() };
        let every = jobs::help_escalation::EVERY;
        tasks.spawn(keep_running_if_leading(escalation, every, leading(), stop()));
        let expiring = jobs::expiring::Expiring::new(app.clone());
        tasks.spawn(keep_running_if_leading(expiring, jobs::expiring::EVERY, leading(), stop()));
        let moves = jobs::moves::Moves { app: app.clone() };
        let every = jobs::moves::EVERY;
        tasks.spawn(keep_running_if_leading(moves, every, leading(), stop()));
        let transfers = jobs::transfers::Transfers::new(app.clone());
        let every = jobs::transfers::EVERY;
        tasks.spawn(keep_running_if_leading(transfers, every, leading(), stop()));
        let handing = jobs::handing_over::HandingOver { app: app.clone() };
        tasks.spawn(keep_running_if_leading(handing, jobs::handing_over::EVERY, leading(), stop()));
        let freezes = jobs::freezes::Freezes { app: app.clone() };
        tasks.spawn(keep_running_if_leading(freezes, jobs::freezes::EVERY, leading(), stop()));
        let looks = jobs::looks::Looks { app: app.clone() };
        tasks.spawn(keep_running_if_leading(looks, jobs::looks::EVERY, leading(), stop()));
        let recovery = jobs::recovery::Recovery { app: app.clone() };
        tasks.spawn(keep_running_if_leading(recovery, jobs::recovery::EVERY, leading(), stop()));
    }

    /// What is backed up of this node.
    pub fn backup(&self) -> backup::Source {
        self.backup.clone()
    }

    /// Gives the directory back without having served.
    pub async fn close(self) {
        let _ = self.app.audit.keep_mark().await;
        drop(self.app.writer);
        let _ = self.writing.await;
        self.app.db.close().await;
    }

    /// Opens the local socket alone, for a command on a node that is not running.
    pub fn start_local(self) -> Result<LocalOnly, NodeError> {
        let serving = self.serve_local(bind_local(&self.dir)?);
        Ok(LocalOnly { path: self.dir.join(socket::NAME), _serving: serving, _node: self })
    }

    fn serve_local(&self, listener: UnixListener) -> Serving {
        let control = api::control::ControlApi {
            app: self.app.clone(),
            authority: self.credentials.chain().authority_fingerprint(),
            backup: self.backup.clone(),
        };
        let options = Options { limits: LOCAL, security: Security::Plain, access: Access::Anybody };
        listen::serve(UnixIncoming(listener), api::routes::local(&self.app, control), options)
    }

    /// Asks the roster about a peer.
    fn admission(&self) -> listen::Admission {
        let keys = self.app.keys.clone();
        Arc::new(move |peer: &Peer| {
            keys.roster().check_peer(&peer.point, peer.node, &peer.spki_sha256)
        })
    }

    /// Of the link listener and the public one.
    fn limits(&self) -> (Limits, Limits) {
        let config = &self.config;
        let handshakes = config.handshakes_max as usize;
        let timeout = Duration::from_millis(config.handshake_timeout_ms);
        (
            LINK.with(config.links_max as usize, handshakes, timeout),
            PUBLIC.with(config.public_connections_max as usize, handshakes, timeout),
        )
    }

    fn dial_neighbours(
        &self,
        parts: &Parts<Database>,
        tasks: &TaskTracker,
        sessions: &CancellationToken,
    ) {
        let mut neighbours: Vec<(String, PointCode)> = Vec::new();
        if let (Some(address), Some(point)) = (&self.config.parent, &self.config.parent_point) {
            neighbours.push((address.to_string(), point.clone()));
        }
        for sibling in &self.config.siblings {
            neighbours.push((sibling.address.to_string(), sibling.point.clone()));
        }
        for (address, point) in neighbours {
            let (credentials, clock) = (self.credentials.clone(), self.clock.clone());
            let peer = point.clone();
            let dial = move || {
                let (credentials, clock) = (credentials.clone(), clock.clone());
                let (address, point) = (address.clone(), point.clone());
                async move {
                    let tls =
                        link_client(credentials, &point, &clock).map_err(DialError::Identity)?;
                    let stream = dial::open_tcp(&address).await?;
                    let (channel, peer) = dial::connect(stream, tls, &point).await?;
                    let identity = Identity {
                        point: peer.point,
                        node: peer.node,
                        spki_sha256: peer.spki_sha256,
                    };
                    Ok::<_, DialError>((channel, identity))
                }
            };
            let links = self.app.links.clone();
            let (parts, sessions) = (parts.clone(), sessions.clone());
            let leading = self.app.leading.clone();
            tasks.spawn(async move {
                let dialling = |stop| {
                    links::keep_dialling(
                        links.clone(),
                        parts.clone(),
                        peer.clone(),
                        dial.clone(),
                        stop,
                    )
                };
                leading.whenever_leading(sessions, dialling).await;
            });
        }
    }

    /// Storage, roster and issuer, as the enrolment service needs them.
    fn enrolment_desk(&self) -> api::enrolment::Behind {
        let (db, roster_keys) = (self.app.db.clone(), self.app.keys.clone());
        let admit = Admitting { app: self.app.clone(), issuer: self.issuer.clone() };
        let renewing = admit.clone();
        if self.issuer.is_some() {
            let forwarded = admit.clone();
            self.app.post.on_enrolment(Box::new(move |voucher, forward| {
                Box::pin(forwarded.clone().answer(voucher, forward))
            }));
        }
        api::enrolment::Behind {
            connection: Box::new(move || {
                let db = db.clone();
                Box::pin(async move { db.local().await.map_err(|_| Refusal::Unavailable) })
            }),
            roster: Box::new(move || roster_keys.roster()),
            admit: Box::new(move |(request, application)| {
                admit.clone().admit(request, application)
            }),
            renew: Box::new(move |renewal| renewing.clone().renew(renewal)),
        }
    }
}

/// The founding node's office, as the enrolment service calls it.
#[derive(Clone)]
struct Admitting {
    app: App,
    issuer: Option<Arc<Issuer>>,
}

impl Admitting {
    fn admit(
        self,
        request: v1::EnrolRequest,
        application: Application,
    ) -> BoxFuture<'static, Result<v1::EnrolResponse, Refusal>> {
        Box::pin(async move {
            if self.issuer.is_none() {
                let answer = self.forward(request.encode_to_vec(), false).await?;
                return v1::EnrolResponse::decode(&answer[..]).map_err(|_| Refusal::Unavailable);
            }
            let voucher = self.app.keys.point.clone();
            // In a task of its own: a child that hangs up must not leave half an admission.
            let task = tokio::spawn(self.admit_here(voucher, application));
            task.await.unwrap_or(Err(Refusal::Unavailable))
        })
    }

    async fn admit_here(
        self,
        voucher: PointCode,
        application: Application,
    ) -> Result<v1::EnrolResponse, Refusal> {
        let issuer = self.issuer.as_ref().ok_or(Refusal::Unavailable)?;
        let keys = &self.app.keys;
        let roster = keys.roster();
        let office = enrolment::Office { issuer, network: &keys.network, roster: &roster };
        let next_epoch = self.next_epoch(&application.token.point);
        let commit = async |point: v1::RosterPoint| {
            let code = point.code.parse().map_err(|_| Refusal::Unavailable)?;
            let id = roster_id(&keys.network, &code);
            let feed = keys.roster_feed();
            let payload = point.encode_to_vec();
            let change = Change::new().put(feed.clone(), Kind::ROSTER_POINT, id, payload);
            self.app.writer.commit(change).await.map_err(|_| Refusal::Unavailable)?;
            let view = self.app.heads.find(&feed).and_then(|view| view.held);
            Ok(view.map_or(0, |held| held.sequence.0))
        };
        office.admit(&voucher, &application, next_epoch, self.app.outside.now(), commit).await
    }

    fn renew(self, renewal: Renewal) -> BoxFuture<'static, Result<v1::RenewResponse, Refusal>> {
        Box::pin(async move {
            if self.issuer.is_none() {
                let answer = self.forward(renewal.request.encode_to_vec(), true).await?;
                return v1::RenewResponse::decode(&answer[..]).map_err(|_| Refusal::Unavailable);
            }
            self.renew_here(&renewal)
        })
    }

    fn renew_here(&self, renewal: &Renewal) -> Result<v1::RenewResponse, Refusal> {
        let issuer = self.issuer.as_ref().ok_or(Refusal::Unavailable)?;
        let roster = self.app.keys.roster();
        let office = enrolment::Office { issuer, network: &self.app.keys.network, roster: &roster };
        office.renew(renewal, self.app.outside.now())
    }

    /// Asks the founding node, through whoever lies between.
    async fn forward(&self, request: Vec<u8>, renewal: bool) -> Result<Vec<u8>, Refusal> {
        let answer = self.app.post.forward_enrolment(request, renewal).await;
        let answer = answer.map_err(|error| {
            warn!(%error, "the founding node did not answer");
            Refusal::Unavailable
        })?;
        match answer.refused.as_str() {
            "" => Ok(answer.response),
            reason => {
                warn!(reason, "the founding node refused");
                Err(Refusal::by_founder(reason))
            }
        }
    }

    /// The founding node's answer to what another node passed on. The voucher has checked the token;
    /// the proofs are checked again here.
    async fn answer(
        self,
        voucher: PointCode,
        forward: v1::EnrolmentForward,
    ) -> v1::EnrolmentAnswer {
        let result = async {
            let wrong = |_| Refusal::Unavailable;
            if forward.renewal {
                let request = v1::RenewRequest::decode(&forward.request[..]).map_err(wrong)?;
                let renewal = Renewal::read(request)?;
                return Ok(self.renew_here(&renewal)?.encode_to_vec());
            }
            let request = v1::EnrolRequest::decode(&forward.request[..]).map_err(wrong)?;
            let application = Application::read(&request)?;
            Ok(self.admit_here(voucher, application).await?.encode_to_vec())
        };
        match result.await {
            Ok(response) => v1::EnrolmentAnswer { response, refused: String::new() },
            Err(refusal) => {
                let (_, reason): (_, &str) = Refusal::kind(&refusal);
                v1::EnrolmentAnswer { response: Vec::new(), refused: reason.to_owned() }
            }
        }
    }

    /// The first epoch that a point's own key may sign: above every epoch seen of its feeds.
    fn next_epoch(&self, point: &PointCode) -> u64 {
        let views = self.app.heads.all();
        let of_point = views.iter().filter(|(feed, _)| feed.home == *point);
        let epochs = of_point.flat_map(|(_, view)| {
            let held = view.held.as_ref().map(|held| held.epoch.counter);
            let head = view.head.as_ref().map(|head| head.statement().epoch.counter);
            held.into_iter().chain(head)
        });
        epochs.max().unwrap_or(0) + 1
    }
}

/// How long help requests are kept here.
fn periods(config: &Config) -> Periods {
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    Periods {
        close_days: count(config.help_close_days),
        files_days: count(config.help_files_days),
        anonymise_days: count(config.help_anonymise_days),
        ahead_days: count(config.help_ahead_days),
        offer_hours: count(config.help_offer_hours),
    }
}

/// A node that answers its operator and nobody else.
pub struct LocalOnly {
    path: PathBuf,
    _serving: Serving,
    _node: Node,
}

impl Drop for LocalOnly {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl NodeError {
    /// Stable, for scripts.
    pub fn reason(&self) -> &'static str {
        match self {
            NodeError::NoNode(_) => "NO_NODE",
            NodeError::Running => "ALREADY_RUNNING",
            NodeError::Directory(_) => "DIRECTORY",
            NodeError::Listen { .. } => "CANNOT_LISTEN",
            NodeError::Identity(_) => "IDENTITY",
            NodeError::Storage(_) => "STORAGE_FAILED",
            NodeError::Reconciling(_) => "RECONCILING",
            NodeError::Notices(_) => "NOTICES",
        }
    }
}

impl Running {
    /// Refuses new work, finishes what is running within the grace, and closes the tables.
    pub async fn stop(self) {
        let parts = self.node;
        parts.sessions.cancel();
        let grace = parts.grace;
        let drains = parts.serving.into_iter().map(|serving| serving.drain(grace));
        futures::future::join_all(drains).await;
        parts.tasks.close();
        if tokio::time::timeout(grace, parts.tasks.wait()).await.is_err() {
            warn!("some jobs did not stop in time");
        }
        let _ = std::fs::remove_file(&parts.socket);
        if let Err(error) = self.app.audit.keep_mark().await {
            warn!(error = &error as &dyn std::error::Error, "the audit's end is not marked");
        }
        self.app.post.close();
        drop(self.app);
        let writing = parts.writing;
        if tokio::time::timeout(grace, writing).await.is_err() {
            warn!("the writer did not stop in time; what it had acknowledged is durable");
        }
        parts.db.close().await;
    }
}

/// Excludes every other yizhand that would work on this directory.
pub fn lock(dir: &Path) -> Result<File, NodeError> {
    let mut options = File::options();
    options.create(true).write(true).truncate(false);
    let file = options.open(dir.join(LOCK)).map_err(NodeError::Directory)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(NodeError::Running),
        Err(std::fs::TryLockError::Error(error)) => Err(NodeError::Directory(error)),
    }
}

async fn bind(address: &str) -> Result<(TcpListener, SocketAddr), NodeError> {
    let failed = |source| NodeError::Listen { address: address.to_owned(), source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// The socket belongs to the owner of the directory alone. A file left by a killed node is replaced:
/// the lock says that nobody listens on it.
fn bind_local(dir: &Path) -> Result<UnixListener, NodeError> {
    let socket = Socket::of(dir).map_err(NodeError::Directory)?;
    let path = socket.path();
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(NodeError::Directory(error));
        }
        _ => {}
    }
    let listener = UnixListener::bind(path)
        .map_err(|source| NodeError::Listen { address: path.display().to_string(), source })?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .map_err(NodeError::Directory)?;
    Ok(listener)
}
