//! `yizhand join`: makes a node of a network that exists.

use clap::Args;

use super::{Dir, Places};

#[derive(Args)]
pub struct Join {
    #[command(flatten)]
    pub dir: Dir,
    /// What `yizhand token` printed at a node of the network
    #[arg(long, value_name = "T")]
    pub token: String,
    /// Link address of the parent's node
    #[arg(long, value_name = "H:P")]
    pub parent: String,
    #[command(flatten)]
    pub places: Places,
}
