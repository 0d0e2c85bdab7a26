//! `yizhand`: arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use yizhan_client::answer::finish;
use yizhan_server::command::{self, Cli};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let format = cli.output.into();
    let outcome = command::run(cli.command, format).await;
    ExitCode::from(finish("yizhand", outcome, format))
}
