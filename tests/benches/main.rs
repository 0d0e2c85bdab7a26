//! Hot paths, measured from outside: real nodes, real TLS, both ends on this machine. One JSON line
//! per figure; figures and what they are held against: README.md beside this file.
//!
//!     cargo run --release -p yizhan-tests --bin yizhan-bench -- catch-up --rows 1000000

mod absence;
mod cards;
mod catch_up;
mod desk;
mod help;
mod import;
mod list;
mod live;
mod nodes;
mod office;
mod resume;
mod slow;
mod start;

use std::{path::PathBuf, time::Duration};

use catch_up::Line;
use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;

/// As in `yizhand`: what is measured in this process is a node too.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[derive(Parser)]
#[command(disable_help_subcommand = true)]
struct Cli {
    /// Where the nodes live; a temporary directory if not given
    #[arg(long, global = true)]
    dir: Option<PathBuf>,
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// A fresh point takes all cards of another
    CatchUp {
        #[arg(long, default_value_t = 1_000_000)]
        rows: u32,
        /// Pass all bytes through a proxy that counts them
        #[arg(long)]
        count_bytes: bool,
    },
    /// A point that holds all cards is away while some change
    Absence {
        #[arg(long, default_value_t = 1_000_000)]
        rows: u32,
        /// Cards that change while the point is away
        #[arg(long, default_value_t = 100_000)]
        changed: u32,
    },
    /// A fresh point takes all cards over a near and over a far line
    Delay {
        #[arg(long, default_value_t = 1_000_000)]
        rows: u32,
        /// Round trip of the far line, in milliseconds
        #[arg(long, default_value_t = 250)]
        delay_ms: u64,
    },
    /// Members with two consents each go in through the client
    Import {
        #[arg(long, default_value_t = 100_000)]
        members: u32,
    },
    /// One commit at a time, until the other node finds it
    Live {
        #[arg(long, default_value_t = 1_000)]
        commits: u32,
        /// Cards that are there already
        #[arg(long, default_value_t = 100_000)]
        rows: u32,
    },
    /// A fresh point takes all cards over a line that is cut, and is killed meanwhile
    Resume {
        #[arg(long, default_value_t = 1_000_000)]
        rows: u32,
        /// How often it is cut, and how often killed
        #[arg(long, default_value_t = 5)]
        times: u32,
    },
    /// A node that holds all cards starts
    Start {
        #[arg(long, default_value_t = 1_000_000)]
        rows: u32,
    },
    /// Strangers ask for help on four connections, then look up how it stands
    Help {
        #[arg(long, default_value_t = 100_000)]
        submissions: usize,
        #[arg(long, default_value_t = 100_000)]
        lookups: usize,
    },
    /// A desk with past requests opens its queue
    Desk {
        #[arg(long, default_value_t = 100_000)]
        past: usize,
    },
    /// Connections that dawdle, and somebody who asks for help among them
    Slow {
        #[arg(long, default_value_t = 2_000)]
        connections: usize,
        #[arg(long, default_value_t = 1_000)]
        good: usize,
    },
    /// A node that holds all cards is asked for lists
    List {
        #[arg(long, default_value_t = 1_000_000)]
        rows: u32,
        /// Of each sort
        #[arg(long, default_value_t = 500)]
        questions: usize,
    },
    /// Fills a node's directory; run by the others in a process of its own
    #[command(hide = true)]
    Load {
        #[arg(long)]
        node: PathBuf,
        #[arg(long)]
        from: u32,
        #[arg(long)]
        to: u32,
        #[arg(long)]
        version: u32,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let scratch = tempfile::tempdir()?;
    let dir = cli.dir.unwrap_or_else(|| scratch.path().to_owned());
    match cli.bench {
        Bench::CatchUp { rows, count_bytes } => {
            let line = match count_bytes {
                true => Line::Proxied { round_trip: Duration::ZERO },
                false => Line::Direct,
            };
            catch_up::run(&dir, rows, line).await
        }
        Bench::Absence { rows, changed } => absence::run(&dir, rows, changed).await,
        Bench::Delay { rows, delay_ms } => catch_up::delay(&dir, rows, delay_ms).await,
        Bench::Import { members } => import::run(&dir, members).await,
        Bench::Live { commits, rows } => live::run(&dir, commits, rows).await,
        Bench::Resume { rows, times } => resume::run(&dir, rows, times).await,
        Bench::Start { rows } => start::run(&dir, rows).await,
        Bench::Help { submissions, lookups } => help::run(&dir, submissions, lookups).await,
        Bench::Desk { past } => desk::run(&dir, past).await,
        Bench::Slow { connections, good } => slow::run(&dir, connections, good).await,
        Bench::List { rows, questions } => list::run(&dir, rows, questions).await,
        Bench::Load { node, from, to, version } => nodes::load(&node, from..to, version).await,
    }
}
