//! Takes and renews the lease by which one of several nodes on one database leads its point.

use std::{convert::Infallible, time::Instant};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::runner::{Job, repeat};
use crate::{
    app::{
        App,
        leading::{LEASE, RENEW_EVERY},
    },
    store::{StoreError, leases},
};

/// The lease that the leader of a point holds.
const NAME: &str = "leader";

pub struct Leading {
    pub app: App,
    /// Drawn at start: a node that starts anew is somebody else.
    pub holder: [u8; 16],
}

impl Leading {
    async fn ask(&self) -> Result<bool, StoreError> {
        let mut db = self.app.db.local().await?;
        leases::take(&mut db, NAME, &self.holder, LEASE.as_micros() as i64).await
    }

    /// Takes part until stopped.
    pub async fn run(self, stop: CancellationToken) {
        repeat(&self, RENEW_EVERY, stop).await;
        self.give_back().await;
    }

    /// At the end, so that another node follows at once.
    async fn give_back(&self) {
        self.app.leading.lose();
        let give_back =
            async { leases::give_back(&mut *self.app.db.local().await?, NAME, &self.holder).await };
        let given: Result<Result<(), StoreError>, _> = timeout(RENEW_EVERY, give_back).await;
        if !matches!(given, Ok(Ok(()))) {
            warn!("the lease could not be given back and will run out");
        }
    }
}

impl Job for Leading {
    const NAME: &'static str = "leading";
    type Error = Infallible;

    async fn run_once(&self) -> Result<(), Infallible> {
        let leading = &self.app.leading;
        let led = leading.is_leader();
        let asked = Instant::now();
        match timeout(RENEW_EVERY, self.ask()).await {
            Ok(Ok(true)) => leading.take(asked),
            Ok(Ok(false)) => leading.lose(),
            // What was taken before is good until its time is over.
            Ok(Err(_)) | Err(_) if led => {}
            Ok(Err(_)) | Err(_) => leading.lose(),
        }
        if led != leading.is_leader() {
            info!(leads = !led, "another turn at leading the point");
        }
        Ok(())
    }
}
