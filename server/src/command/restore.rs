//! `yizhand restore`: puts a backup back.

use std::path::PathBuf;

use clap::Args;

use super::Dir;

#[derive(Args)]
pub struct Restore {
    #[command(flatten)]
    pub dir: Dir,
    /// What `yizhand backup` wrote
    #[arg(long, value_name = "FILE")]
    pub from: PathBuf,
}
