//! `yizhand init`: founds a network.

use clap::Args;

use super::{Dir, Places};

#[derive(Args)]
pub struct Init {
    #[command(flatten)]
    pub dir: Dir,
    /// Name of the network
    #[arg(long, value_name = "NAME")]
    pub network: String,
    /// Code of the first point, such as CN-440000
    #[arg(long, value_name = "CODE")]
    pub point: String,
    #[command(flatten)]
    pub places: Places,
}
