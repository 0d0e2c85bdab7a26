//! The commands of `yizhand`, one file each: arguments in, an answer out.
//!
//! Commands about a running node go through its local socket, where the caller is its operator.

pub mod approval;
pub mod approve_epoch;
mod backup;
pub mod basis;
pub mod config;
pub mod demo;
pub mod init;
pub mod join;
pub mod limit_key;
pub mod recover;
pub mod replace_issuer;
pub mod restore;
pub mod revoke;
pub mod run;
pub mod status;
pub mod token;
pub mod user;
pub mod verify;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use yizhan_client::{
    answer::{Answer, Format},
    error::{Error, Result},
};

use crate::{
    domain::id::PointCode,
    found::{FoundError, Place},
    node::{LocalOnly, Node, NodeError},
    outside::Outside,
    socket::Socket,
};

/// Yizhan (驿站): one node of a network of contact points
#[derive(Parser)]
#[command(name = "yizhand", version, propagate_version = true)]
pub struct Cli {
    /// How to print the answer
    #[arg(long, global = true, value_enum, default_value_t = Output::Table)]
    pub output: Output,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Table,
    Json,
    Csv,
}

impl From<Output> for Format {
    fn from(output: Output) -> Format {
        match output {
            Output::Table => Format::Table,
            Output::Json => Format::Json,
            Output::Csv => Format::Csv,
        }
    }
}

#[derive(Subcommand)]
pub enum Command {
    /// Found a network: its authority, its roster, its first point
    Init(init::Init),
    /// Join a network with a token
    Join(join::Join),
    /// A whole network on this machine, filled with reference data
    Demo(demo::Run),
    /// Serve until stopped
    Run(run::Run),
    /// Make a token with which a point's node joins the network
    Token(token::Token),
    /// Accounts of the node
    #[command(subcommand)]
    User(user::User),
    /// Agree to what needs a second person
    #[command(subcommand)]
    Approval(approval::Approval),
    /// Shut a point out of the network
    Revoke(revoke::Revoke),
    /// Let a home go on with a feed that it has contradicted itself in
    ApproveEpoch(approve_epoch::ApproveEpoch),
    /// Let a stolen seal key count no further than a last good state
    LimitKey(limit_key::LimitKey),
    /// Declare on what basis a point may have what others disclose
    Basis(basis::Basis),
    /// Add up every feed again and check every seal and index
    Verify(verify::Verify),
    /// Write an encrypted copy of the node, while it runs
    Backup(backup::Backup),
    /// Put a backup back, while the node does not run
    Restore(restore::Restore),
    /// Go on in a new epoch: without what neighbours do not have, or with a frozen feed
    Recover(recover::Recover),
    ReplaceIssuer(replace_issuer::ReplaceIssuer),
    /// How the node is doing: its feeds, links and parcels
    Status(status::Status),
    /// All settings and where they come from
    Config(config::Config),
}

/// Does what the command line says. `format` is for what does not end with its answer.
pub async fn run(command: Command, format: Format) -> Result<Answer> {
    match command {
        Command::Init(init) => init.run().await,
        Command::Join(join) => join.run().await,
        Command::Demo(demo) => demo.run(format).await,
        Command::Run(run) => run.run().await,
        Command::Token(token) => token.run().await,
        Command::Approval(approval) => approval.run().await,
        Command::User(user) => user.run().await,
        Command::Revoke(revoke) => revoke.run().await,
        Command::ApproveEpoch(approve) => approve.run().await,
        Command::LimitKey(limit) => limit.run().await,
        Command::Basis(basis) => basis.run().await,
        Command::Verify(verify) => verify.run().await,
        Command::Backup(backup) => backup.run().await,
        Command::Restore(restore) => restore.run().await,
        Command::Recover(recover) => recover.run().await,
        Command::ReplaceIssuer(replace) => replace.run().await,
        Command::Status(status) => status.run().await,
        Command::Config(config) => config.run(),
    }
}

/// Which node.
#[derive(Args)]
pub struct Dir {
    /// The node's directory
    #[arg(long, value_name = "D")]
    pub dir: PathBuf,
}

/// A node as its operator sees it, and what keeps the way to it open.
pub struct Local {
    pub node: yizhan_client::channel::Node,
    _socket: Socket,
    /// Opened for this command alone, because none was running.
    _opened: Option<LocalOnly>,
}

impl Dir {
    /// Speaks to the running node; where none runs, opens the node for as long as the command takes.
    pub async fn connect(&self) -> Result<Local> {
        let shown = self.dir.display();
        if !self.dir.is_dir() {
            return Err(Error::failed("NO_NODE", format!("{shown} is not a directory"))
                .advice("make a node there with `yizhand init` or `yizhand join`"));
        }
        let config = settings(&self.dir, &[])?;
        let opened = match Node::open(&self.dir, config, Outside::real()).await {
            Ok(node) => Some(node.start_local().map_err(|error| failure(error.reason(), &error))?),
            Err(NodeError::Running) => None,
            Err(error) => return Err(failure(error.reason(), &error)),
        };
        let socket = Socket::of(&self.dir).map_err(|error| {
            Error::failed("NO_NODE", format!("{shown} cannot be used: {error}"))
        })?;
        let path = socket.path().to_owned();
        let node = yizhan_client::channel::Node::local(path, &shown.to_string()).await?;
        Ok(Local { node, _socket: socket, _opened: opened })
    }
}

/// The settings of a directory's node.
pub fn settings(
    dir: &std::path::Path,
    flags: &[(&'static str, String)],
) -> Result<crate::config::Config> {
    let environment = |name: &str| std::env::var(name).ok();
    let loaded = crate::config::load(dir, flags, environment);
    loaded.map(|(config, _)| config).map_err(|error| failure("SETTINGS", &error))
}

/// An error with everything behind it, on one line.
pub fn failure(reason: &str, error: &dyn std::error::Error) -> Error {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(behind) = source {
        message.push_str(&format!(": {behind}"));
        source = behind.source();
    }
    Error::failed(reason, message)
}

/// Why no node was made, and what to do about it, in both languages.
pub fn not_founded(error: &FoundError) -> Error {
    let (advice, advice_zh) = error.advice();
    let message_zh = format!("{}；{advice_zh}", error.message_zh());
    failure(error.reason(), error).advice(advice).in_chinese(message_zh)
}

pub fn point_code(code: &str) -> Result<PointCode> {
    code.parse().map_err(|_| {
        Error::usage(format!("{code} is not a point code"))
            .advice("such as CN-440100, HK, GB-LON or US-BOS-2")
    })
}

/// Where a node listens and keeps its tables.
#[derive(Args, Default)]
pub struct Places {
    /// Where other nodes reach this one; port 0 takes a free one
    #[arg(long, value_name = "H:P")]
    pub listen_link: Option<String>,
    /// Where clients reach this node; port 0 takes a free one
    #[arg(long, value_name = "H:P")]
    pub listen_public: Option<String>,
    /// sqlite: for a file in the directory, or postgres://...
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
}

impl Places {
    pub fn resolve(&self, dir: &std::path::Path) -> Result<Place> {
        let config = settings(dir, &self.flags())?;
        Ok(Place {
            listen_link: config.listen_link,
            listen_public: config.listen_public,
            database: config.database,
        })
    }

    /// As flags for `config::load`.
    pub fn flags(&self) -> Vec<(&'static str, String)> {
        let given = [
            ("listen_link", &self.listen_link),
            ("listen_public", &self.listen_public),
            ("database", &self.database),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
    }
}
