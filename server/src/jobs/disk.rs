//! Looks how much room is left on the disk.

use std::{io, sync::Arc, time::Duration};

use super::runner::Job;
use crate::disk::Disk;

/// How often it is looked.
pub const EVERY: Duration = Duration::from_secs(5);

pub struct Looking {
    pub disk: Arc<Disk>,
}

impl Job for Looking {
    const NAME: &'static str = "disk";
    type Error = io::Error;

    async fn run_once(&self) -> io::Result<()> {
        let disk = self.disk.clone();
        tokio::task::spawn_blocking(move || disk.look()).await.map_err(io::Error::other)?
    }
}
