//! `yizhand demo`: a whole network on this machine.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Args)]
pub struct Demo {
    /// Where the nodes live; a temporary directory if not given
    #[arg(long, value_name = "D")]
    pub dir: Option<PathBuf>,
    /// Print the association's report and stop
    #[arg(long)]
    pub once: bool,
    /// How much data
    #[arg(long, value_enum, default_value_t = Size::Small)]
    pub size: Size,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Size {
    Small,
    Full,
}
