//! The commands of `yizhan`, one file per noun: arguments in, an answer out.

pub mod account;
pub mod approval;
mod attachment;
pub mod audit;
pub mod desk;
pub mod event;
pub mod export;
pub mod group;
pub mod handoff;
pub mod help_request;
pub mod import;
pub mod member;
mod member_move;
pub mod org;
mod peer;
pub mod point;
pub mod report;
pub mod search;
pub mod series;
pub mod status;
pub mod user;

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use clap::{Args, Parser, Subcommand};
use serde_json::Value;
use yizhan_client::{
    answer::{Answer, Format},
    channel::{Node, server_url},
    error::{Error, Result},
    profiles::{self, Profiles, Session},
};

/// Used where neither a flag, the environment nor the profile names one.
const SERVER_DEFAULT: &str = "https://localhost:8443";
/// Largest JSON file of one record, in bytes.
const FILE_MAX: u64 = 1024 * 1024;

/// Yizhan (驿站): a network of contact points, from the command line
#[derive(Parser)]
// `help` is a noun here: requests for it. `--help` explains.
#[command(name = "yizhan", version, propagate_version = true, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Where to, as whom, and how to print.
#[derive(Args, Clone)]
pub struct Global {
    /// The node to ask, https://HOST:PORT
    #[arg(long, global = true, env = "YIZHAN_SERVER", value_name = "URL")]
    pub server: Option<String>,
    /// Certificate of the network's authority (the node's ca.pem)
    #[arg(long, global = true, env = "YIZHAN_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Whose sign-in to use
    #[arg(long, global = true, env = "YIZHAN_PROFILE", default_value = profiles::DEFAULT)]
    pub profile: String,
    /// How to print the answer
    #[arg(long, global = true, value_enum, default_value_t = Format::Table)]
    pub output: Format,
}

#[derive(Subcommand)]
pub enum Command {
    /// Sign in; the session is kept for the following commands
    Login(account::Login),
    /// End the session
    Logout,
    /// Who the server takes you for
    Whoami,
    /// How the node is doing: its feeds, links and parcels
    Status,
    /// Who wrote what, who looked at whom, and why
    #[command(subcommand)]
    Audit(audit::Audit),
    /// What needs a second person
    #[command(subcommand)]
    Approval(approval::Approval),
    /// Accounts of your point
    #[command(subcommand)]
    User(user::User),
    /// Contact points
    #[command(subcommand)]
    Point(point::Point),
    /// Members and their consents
    #[command(subcommand)]
    Member(Box<member::Member>),
    /// Events
    #[command(subcommand)]
    Event(Box<event::Event>),
    /// Series of events
    #[command(subcommand)]
    Series(series::Series),
    /// Groups of members: cohorts, liaison groups, delegations, councils
    #[command(subcommand)]
    Group(Box<group::Group>),
    /// Organisations: universities, parks, companies and others
    #[command(subcommand)]
    Org(org::Org),
    /// Ask for help, without an account
    #[command(subcommand)]
    Help(Box<help_request::Help>),
    /// Work on the help requests of your point
    #[command(subcommand)]
    Desk(Box<desk::Desk>),
    /// Figures about the association, with their definitions
    Report(report::Report),
    /// Find members, events, organisations, groups and points by words
    Search(search::Search),
    /// Take records out: CSV, XLSX, vCard, iCalendar, JSON lines
    Export(export::Export),
    /// Bring in tables: CSV, or a sheet of persons (XLSX)
    Import(import::Import),
}

/// Does what the command line says.
pub async fn run(cli: Cli) -> Result<Answer> {
    let context = Context { global: cli.global };
    match cli.command {
        Command::Login(login) => login.run(&context).await,
        Command::Logout => account::logout(&context).await,
        Command::Whoami => account::whoami(&context).await,
        Command::Status => status::run(&context).await,
        Command::Audit(audit) => audit.run(&context).await,
        Command::Approval(approval) => approval.run(&context).await,
        Command::User(user) => user.run(&context).await,
        Command::Point(point) => point.run(&context).await,
        Command::Member(member) => member.run(&context).await,
        Command::Event(event) => event.run(&context).await,
        Command::Series(series) => series.run(&context).await,
        Command::Group(group) => group.run(&context).await,
        Command::Org(org) => org.run(&context).await,
        Command::Help(help) => help.run(&context).await,
        Command::Desk(desk) => desk.run(&context).await,
        Command::Report(report) => report.run(&context).await,
        Command::Search(search) => search.run(&context).await,
        Command::Export(export) => export.run(&context).await,
        Command::Import(import) => import.run(&context).await,
    }
}

/// What every command starts from.
pub struct Context {
    global: Global,
}

/// The server that is meant, and what is known of it.
pub struct Target {
    pub server: String,
    pub ca: String,
    /// None: not signed in there.
    pub session: Option<Session>,
}

impl Context {
    /// The node, as the profile's user.
    pub async fn node(&self) -> Result<Node> {
        let target = self.target()?;
        let token = target.session.as_ref().map(|session| session.token.as_str());
        Node::connect(&target.server, target.ca.as_bytes()).await?.signed_in(token)
    }

    /// The node, as nobody in particular: whoever asks for help needs no account.
    pub async fn anonymous(&self) -> Result<Node> {
        let target = self.target()?;
        Node::connect(&target.server, target.ca.as_bytes()).await
    }

    /// Flag or environment first, then the profile.
    pub fn target(&self) -> Result<Target> {
        let mut profile = self.profiles()?.get(&self.global.profile)?;
        let named = self.global.server.as_deref().filter(|server| !server.is_empty());
        let server = match (named, profile.server.as_str()) {
            (Some(server), _) => server,
            (None, "") => SERVER_DEFAULT,
            (None, server) => server,
        };
        let server = server_url(server)?.to_string().trim_end_matches('/').to_owned();
        let session = profile.sessions.remove(&server);
        let ca = match (&self.global.ca, &session) {
            (Some(path), _) => fs::read_to_string(path).map_err(|error| {
                Error::usage(format!("--ca {} cannot be read: {error}", path.display()))
            })?,
            (None, Some(session)) => session.ca.clone(),
            (None, None) => {
                return Err(Error::usage(format!("{server} is not known yet"))
                    .advice("give --ca FILE, the ca.pem of the node or its network"));
            }
        };
        Ok(Target { server, ca, session: session.filter(|session| !session.token.is_empty()) })
    }

    pub fn profiles(&self) -> Result<Profiles> {
        Profiles::of_user(|name| std::env::var(name).ok())
    }

    pub fn profile(&self) -> &str {
        &self.global.profile
    }
}

/// The JSON document in a file, `-` for stdin.
pub fn read_json(path: &Path) -> Result<Value> {
    let shown = path.display();
    let mut text = String::new();
    let read = match path.as_os_str() == "-" {
        true => io::stdin().lock().take(FILE_MAX).read_to_string(&mut text),
        false => {
            fs::File::open(path).and_then(|file| file.take(FILE_MAX).read_to_string(&mut text))
        }
    };
    read.map_err(|error| Error::failed("FILE", format!("cannot read {shown}: {error}")))?;
    serde_json::from_str(&text)
        .map_err(|error| Error::failed("FILE", format!("{shown} is not JSON: {error}")))
}

/// The text of a file, `-` for stdin.
pub fn read_text(path: &Path) -> Result<String> {
    let shown = path.display();
    let mut text = String::new();
    let read = match path.as_os_str() == "-" {
        true => io::stdin().lock().take(FILE_MAX).read_to_string(&mut text),
        false => {
            fs::File::open(path).and_then(|file| file.take(FILE_MAX).read_to_string(&mut text))
        }
    };
    read.map_err(|error| Error::failed("FILE", format!("cannot read {shown}: {error}")))?;
    Ok(text)
}

/// Names a creation, so that repeating it has one effect. What is created takes its time from it.
pub fn request_id() -> String {
    uuid::Uuid::now_v7().to_string()
}
