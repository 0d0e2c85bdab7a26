//! `yizhan`: arguments in, exit code out.

mod command;

use std::process::ExitCode;

use clap::Parser;
use yizhan_client::answer::finish;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = command::Cli::parse();
    let format = cli.global.output;
    ExitCode::from(finish("yizhan", command::run(cli).await, format))
}
