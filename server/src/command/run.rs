//! `yizhand run`: serves until SIGTERM or SIGINT, then drains.

use clap::Args;

use super::Dir;

#[derive(Args)]
pub struct Run {
    #[command(flatten)]
    pub dir: Dir,
}
