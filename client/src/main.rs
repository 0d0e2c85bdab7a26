//! `yizhan`: arguments in, exit code out.

mod command;

use std::process::ExitCode;

use clap::Parser;
use yizhan_client::{
    answer::Format,
    error::{EXIT_FAILED, EXIT_PARTIAL},
};

use command::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let format = cli.global.output;
    match command::run(cli).await {
        Ok(answer) => {
            if let Err(error) = answer.print(format) {
                eprintln!("yizhan: the answer cannot be written: {error}");
                return ExitCode::from(EXIT_FAILED);
            }
            match answer.missing.as_slice() {
                [] => ExitCode::SUCCESS,
                missing => {
                    eprintln!("yizhan: partial answer: {} did not answer", missing.join(", "));
                    ExitCode::from(EXIT_PARTIAL)
                }
            }
        }
        Err(error) => {
            eprintln!("yizhan: {}", error.line());
            if format == Format::Json {
                println!("{}", error.document());
            }
            ExitCode::from(error.exit)
        }
    }
}
