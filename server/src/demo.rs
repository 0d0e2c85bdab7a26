//! A whole network on this machine: three nodes in one process, with real links over mutual TLS, filled
//! with the reference data that ships with the program.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tokio::sync::mpsc;
use yizhan_proto::v1::{self, import_response::Report};

use crate::{
    app::{
        accounts::NewAccount,
        error::Error as AppError,
        import::driving::{self, Order, Part},
        network, report,
    },
    config::{self, Address, DatabaseUrl},
    domain::{id::PointCode, policy::Role},
    feed::heads::View,
    found::{self, FoundError, Place},
    identity::{caller::Caller, token::TTL_DEFAULT},
    node::{Node, NodeError, Running},
    outside::Outside,
    store::CopyState,
};

/// Founding node first; it hosts the data set's other points.
pub const POINTS: [&str; 3] = ["CN-440000", "CN-440100", "GB-LON"];
pub const NETWORK: &str = "guangdong-demo";
/// The same on all three nodes: nothing of the demo is anybody's secret.
pub const USER: &str = "demo";
pub const PASSWORD: &str = "welcome-to-yizhan";
/// How long the nodes may take to agree.
const AGREE_MAX: Duration = Duration::from_secs(300);
/// Times that `Size::Full` has the members once more.
const COPIES: usize = 99;
/// Bytes handed to the import at once.
const CHUNK: usize = 64 * 1024;

/// The tables, in the order in which an import needs them.
const TABLES: [(&str, &[u8]); 14] = [
    ("points.csv", include_bytes!("../data/demo/points.csv")),
    ("orgs.csv", include_bytes!("../data/demo/orgs.csv")),
    ("org_figures.csv", include_bytes!("../data/demo/org_figures.csv")),
    ("speakers.csv", include_bytes!("../data/demo/speakers.csv")),
    ("seats.csv", include_bytes!("../data/demo/seats.csv")),
    ("members.csv", include_bytes!("../data/demo/members.csv")),
    ("grants.csv", include_bytes!("../data/demo/grants.csv")),
    ("series.csv", include_bytes!("../data/demo/series.csv")),
    ("events.csv", include_bytes!("../data/demo/events.csv")),
    ("event_hosts.csv", include_bytes!("../data/demo/event_hosts.csv")),
    ("appearances.csv", include_bytes!("../data/demo/appearances.csv")),
    ("groups.csv", include_bytes!("../data/demo/groups.csv")),
    ("group_members.csv", include_bytes!("../data/demo/group_members.csv")),
    ("requests.csv", include_bytes!("../data/demo/requests.csv")),
];

#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("a node cannot be founded")]
    Found(#[from] FoundError),
    #[error("a node cannot run")]
    Node(#[from] NodeError),
    #[error("settings cannot be read")]
    Settings(#[from] config::Error),
    #[error("the demo's own data did not go in")]
    App(#[from] AppError),
    #[error("the nodes did not agree within {} s", AGREE_MAX.as_secs())]
    NoAgreement,
}

/// A node of the demo at work.
pub struct DemoNode {
    pub point: PointCode,
    pub dir: PathBuf,
    pub running: Running,
}

/// The demo's network.
pub struct Demo {
    pub nodes: Vec<DemoNode>,
    pub reports: Vec<(PointCode, Report)>,
    /// From the last import to equal digests everywhere.
    pub agreed_after: Duration,
}

/// How much there is to look at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Size {
    /// The reference data: 12 points, 1,200 members, 60 events
    Small,
    /// The same with a hundred times the members, 120,000, all invented
    Full,
}

/// Founds or finds the network in `dir`, imports, and waits until all nodes agree. `say` is told how
/// it goes.
pub async fn start(dir: &Path, size: Size, say: impl Fn(&str)) -> Result<Demo, DemoError> {
    let mut nodes: Vec<DemoNode> = Vec::new();
    for point in POINTS {
        say(&format!("starting {point}"));
        let code: PointCode = point.parse().expect("BUG: a point code");
        let node_dir = dir.join(point);
        let is_new = !node_dir.join(config::FILE).exists();
        if is_new {
            make(&node_dir, &code, nodes.first()).await?;
        } else if let Some(hub) = nodes.first() {
            // Ports are drawn anew at every start.
            set_parent(&node_dir, &hub.running.link.to_string())?;
        }
        let running = run(&node_dir).await?;
        if is_new {
            add_user(&running, &code).await?;
        }
        nodes.push(DemoNode { point: code, dir: node_dir, running });
    }
    let mut reports = Vec::new();
    for node in &nodes {
        say(&format!("importing at {}", node.point));
        reports.push((node.point.clone(), import(&node.running, size).await?));
    }
    say("waiting until all agree");
    let began = Instant::now();
    while !agree(&nodes) {
        if began.elapsed() > AGREE_MAX {
            return Err(DemoError::NoAgreement);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(Demo { nodes, reports, agreed_after: began.elapsed() })
}

impl Demo {
    pub async fn stop(self) {
        let stopping = self.nodes.into_iter().map(|node| node.running.stop());
        futures::future::join_all(stopping).await;
    }
}

fn any() -> Place {
    let address = Address { host: "127.0.0.1".to_owned(), port: 0 };
    Place { listen_link: address.clone(), listen_public: address, database: DatabaseUrl::Sqlite }
}

async fn make(dir: &Path, point: &PointCode, hub: Option<&DemoNode>) -> Result<(), DemoError> {
    let outside = Outside::real();
    let Some(hub) = hub else {
        found::found(dir, NETWORK, point, any(), &outside).await?;
        return Ok(());
    };
    let app = &hub.running.app;
    let operator = Caller::Operator { point: hub.point.clone() };
    let authority = hub.running.authority;
    let (token, _) =
        network::create_token(app, &operator, authority, point.clone(), None, TTL_DEFAULT).await?;
    let parent = Address { host: "127.0.0.1".to_owned(), port: hub.running.link.port() };
    found::join(dir, &token, &parent, any(), None, &outside).await?;
    Ok(())
}

fn set_parent(dir: &Path, address: &str) -> Result<(), DemoError> {
    let path = dir.join(config::FILE);
    let write = || {
        let text = std::fs::read_to_string(&path)?;
        let lines = text.lines().map(|line| match line.starts_with("parent = ") {
            true => format!("parent = \"{address}\""),
            false => line.to_owned(),
        });
        std::fs::write(&path, lines.collect::<Vec<_>>().join("\n") + "\n")
    };
    write().map_err(|error| DemoError::Settings(config::Error::Read(error)))
}

async fn run(dir: &Path) -> Result<Running, DemoError> {
    let (settings, _) = config::load(dir, &[], |name| std::env::var(name).ok())?;
    Ok(Node::open(dir, settings, Outside::real()).await?.start().await?)
}

async fn add_user(running: &Running, point: &PointCode) -> Result<(), DemoError> {
    let app = &running.app;
    let new = NewAccount {
        name: USER.to_owned(),
        password: PASSWORD.to_owned(),
        role: Role::PointAdmin,
        point: None,
        member: None,
    };
    let operator = Caller::Operator { point: point.clone() };
    app.accounts.create(&operator, new, app.outside.now(), app.outside.random()).await?;
    Ok(())
}

async fn import(running: &Running, size: Size) -> Result<Report, DemoError> {
    let app = &running.app;
    let (parts, queue) = mpsc::channel(4);
    let copies = match size {
        Size::Small => 0,
        Size::Full => COPIES,
    };
    let feeding = tokio::spawn(async move {
        for (name, bytes) in TABLES {
            if parts.send(Part::File(name.into())).await.is_err() {
                return;
            }
            for chunk in bytes.chunks(CHUNK) {
                if parts.send(Part::Bytes(chunk.to_vec())).await.is_err() {
                    return;
                }
            }
            for copy in 0..copies {
                let rows = copied(name, bytes, copy);
                for chunk in rows.as_bytes().chunks(CHUNK) {
                    if parts.send(Part::Bytes(chunk.to_vec())).await.is_err() {
                        return;
                    }
                }
            }
        }
        let _ = parts.send(Part::End).await;
    });
    let (progress, mut heard) = mpsc::channel(4);
    tokio::spawn(async move { while heard.recv().await.is_some() {} });
    let caller = importer(&app.keys.point, app.outside.now());
    let report = driving::run(app, &caller, Order::default(), queue, progress).await;
    let _ = feeding.await;
    Ok(report?)
}

/// Rows of members or of their consents once more, as those of other people: ids of their own, and
/// no telephone, mailbox or account, which belong to one person each. Other tables are not copied.
fn copied(table: &str, bytes: &[u8], copy: usize) -> String {
    let (ids, cleared): (&[&str], &[&str]) = match table {
        "members.csv" => (&["member_id"], &["phone", "email", "handle"]),
        "grants.csv" => (&["grant_id", "member_id"], &[]),
        _ => return String::new(),
    };
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let mut rows = String::with_capacity(bytes.len());
    for line in lines {
        // Rows with quoted cells are few, and stay single.
        let mut cells: Vec<String> = line.split(',').map(str::to_owned).collect();
        if cells.len() != header.len() || line.contains('"') {
            continue;
        }
        for (name, cell) in header.iter().zip(&mut cells) {
            if ids.contains(name) {
                cell.push_str(&format!("-{copy:02}"));
            }
            if cleared.contains(name) {
                cell.clear();
            }
        }
        rows.push_str(&cells.join(","));
        rows.push('\n');
    }
    rows
}

/// The association report, as the founding node sees it.
pub async fn report(network: &Demo) -> Result<v1::GetReportResponse, DemoError> {
    let first = network.nodes.first().expect("BUG: the demo has three nodes");
    let app = &first.running.app;
    let caller = importer(&first.point, app.outside.now());
    Ok(report::get(app, &caller, report::ASSOCIATION, None, false).await?)
}

/// The demo's administrator, as if signed in.
fn importer(point: &PointCode, now: crate::domain::time::Time) -> Caller {
    Caller::Account {
        account: crate::domain::account::AccountId([0; 16]),
        name: USER.to_owned(),
        role: Role::PointAdmin,
        point: point.clone(),
        also: Vec::new(),
        member: None,
        own_word: crate::domain::account::OwnWord::Own,
        purpose: None,
        expires: now,
    }
}

/// Does every node hold every shared feed that it may, in the state that its home has?
fn agree(nodes: &[DemoNode]) -> bool {
    let digest = |view: &View| {
        let held = view
            .held
            .as_ref()
            .filter(|held| matches!(held.state, CopyState::Own | CopyState::Current))?;
        Some(held.seal.as_ref()?.statement().digest)
    };
    nodes.iter().all(|home| {
        let views = home.running.app.heads.all();
        let own = views.iter().filter(|(feed, view)| {
            feed.audience.is_shared()
                && view.held.as_ref().is_some_and(|held| held.state == CopyState::Own)
        });
        own.into_iter().all(|(feed, view)| {
            nodes.iter().all(|other| {
                let app = &other.running.app;
                !app.keys.may_hold(feed)
                    || app.heads.find(feed).as_ref().and_then(digest) == digest(view)
            })
        })
    })
}
