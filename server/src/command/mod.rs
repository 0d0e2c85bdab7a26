//! The commands of `yizhand`, one file each: arguments in, an answer out.
//!
//! Commands about a running node go through its local socket, where the caller is its operator.

pub mod backup;
pub mod config;
pub mod demo;
pub mod init;
pub mod join;
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
    channel::Node,
    error::{Error, Result},
};

use crate::socket::Socket;

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
    /// Make a token with which a point's node joins the network
    Token(token::Token),
    /// Accounts of the node
    #[command(subcommand)]
    User(user::User),
    /// Shut a point out of the network
    Revoke(revoke::Revoke),
    /// Add up every feed again and check every seal and index
    Verify(verify::Verify),
    /// Write an encrypted copy of the node, while it runs
    Backup(backup::Backup),
    /// How the node is doing: its feeds, links and parcels
    Status(status::Status),
    /// All settings and where they come from
    Config(config::Config),
}

/// Does what the command line says.
pub async fn run(command: Command) -> Result<Answer> {
    match command {
        Command::Token(token) => token.run().await,
        Command::User(user) => user.run().await,
        Command::Revoke(revoke) => revoke.run().await,
        Command::Verify(verify) => verify.run().await,
        Command::Backup(backup) => backup.run().await,
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

/// A running node, as its operator, and what keeps the way to it open.
pub struct Local {
    pub node: Node,
    _socket: Socket,
}

impl Dir {
    pub async fn connect(&self) -> Result<Local> {
        let shown = self.dir.display();
        if !self.dir.is_dir() {
            return Err(Error::failed("NO_NODE", format!("{shown} is not a directory"))
                .advice("make a node there with `yizhand init` or `yizhand join`"));
        }
        let socket = Socket::of(&self.dir).map_err(|error| {
            Error::failed("NO_NODE", format!("{shown} cannot be used: {error}"))
        })?;
        let node = Node::local(socket.path().to_owned(), &shown.to_string()).await?;
        Ok(Local { node, _socket: socket })
    }
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
