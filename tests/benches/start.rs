//! A node that holds all cards starts; what it needs when nothing happens.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context;
use serde_json::json;

use crate::nodes;

pub async fn run(dir: &Path, rows: u32) -> anyhow::Result<()> {
    let hub_dir = nodes::founded(dir, rows).await?;
    let began = Instant::now();
    let hub = nodes::Served::start(&hub_dir).await?;
    let ready = began.elapsed();
    // Long enough for everything that runs after the start to have run.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let pid = hub.pid().context("the node is gone")?.to_string();
    println!(
        "{}",
        json!({
            "bench": "start",
            "rows": rows,
            "ready_s": ready.as_secs_f64(),
            "idle_memory_mib": nodes::memory_mib(&pid, "VmRSS")?.round(),
        })
    );
    hub.stop().await
}
