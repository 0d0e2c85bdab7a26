//! Runs a job again and again until the node stops.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::app::leading::Leading;

pub trait Job: Send + Sync + 'static {
    const NAME: &'static str;
    type Error: std::error::Error + Send;

    fn run_once(&self) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// Runs a job at once and then every so often, until stopped. A failed run is not retried early: the
/// next one starts again from what is stored.
pub async fn keep_running<J: Job>(job: J, every: Duration, stop: CancellationToken) {
    repeat(&job, every, stop).await;
}

/// The same on the one node of a point that leads it.
pub async fn keep_running_if_leading<J: Job>(
    job: J,
    every: Duration,
    leading: Leading,
    stop: CancellationToken,
) {
    leading.whenever_leading(stop, |stop| repeat(&job, every, stop)).await;
}

pub(super) async fn repeat<J: Job>(job: &J, every: Duration, stop: CancellationToken) {
    loop {
        tokio::select! {
            result = job.run_once() => {
                if let Err(error) = result {
                    let error = &error as &dyn std::error::Error;
                    warn!(job = J::NAME, error, "job failed, will run again");
                }
            }
            () = stop.cancelled() => return,
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = stop.cancelled() => return,
        }
    }
}
