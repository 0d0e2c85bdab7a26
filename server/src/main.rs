//! `yizhand`: arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use yizhan_client::answer::finish;
use yizhan_server::command::{self, Cli};

/// A call makes some hundreds of small allocations, freed by another thread as often as not.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let format = cli.output.into();
    let outcome = command::run(cli.command, format).await;
    ExitCode::from(finish("yizhand", outcome, format))
}
