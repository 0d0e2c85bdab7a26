//! A fresh point takes all cards of another over mutual TLS, verified and durable; then it is away
//! while some change.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::ensure;
use serde_json::json;
use yizhan_server::store::{CopyState, records};
use yizhan_tests::proxy::{Direction, Proxy};

use crate::{cards, nodes};

pub async fn run(
    dir: &Path,
    rows: u32,
    changed: u32,
    delay_ms: u64,
    count_bytes: bool,
) -> anyhow::Result<()> {
    let hub_dir = nodes::founded(dir, rows).await?;
    let hub = nodes::Served::start(&hub_dir).await?;
    let proxy = match delay_ms > 0 || count_bytes {
        false => None,
        true => {
            let proxy = Proxy::start(hub.link.parse()?).await?;
            let delay = Duration::from_millis(delay_ms / 2);
            if delay_ms > 0 {
                proxy.delay(Direction::Up, delay);
                proxy.delay(Direction::Down, delay);
            }
            Some(proxy)
        }
    };
    let address = proxy.as_ref().map_or(hub.link.clone(), |proxy| proxy.address().to_string());
    let leaf_dir = nodes::joined(dir, &hub_dir, &address).await?;

    let began = Instant::now();
    let leaf = nodes::running(&leaf_dir).await?;
    nodes::until(&leaf, "all cards are stored", |view| {
        view.held.as_ref().is_some_and(|held| held.live == u64::from(rows))
    })
    .await?;
    let stored = began.elapsed();
    nodes::until(&leaf, "all cards are searchable", |view| {
        view.held.as_ref().is_some_and(|held| held.state == CopyState::Current)
    })
    .await?;
    let searchable = began.elapsed();
    let hits = hits(&leaf, rows - 1).await?;
    ensure!(hits > 0, "the last card is not found");
    let bytes = proxy.as_ref().map(|proxy| proxy.counts().flow(Direction::Down).bytes);
    println!(
        "{}",
        json!({
            "bench": "catch_up",
            "rows": rows,
            "delay_ms": delay_ms,
            "stored_rows_per_s": (f64::from(rows) / stored.as_secs_f64()).round(),
            "stored_s": stored.as_secs_f64(),
            "searchable_s": searchable.as_secs_f64(),
            "peak_memory_mib": nodes::memory_mib("self", "VmHWM")?.round(),
            "wire_bytes_per_card": bytes.map(|bytes| bytes as f64 / f64::from(rows)),
        })
    );
    leaf.stop().await;
    hub.stop().await?;
    if changed == 0 || proxy.is_some() {
        return Ok(());
    }

    // Away: every so-many-th card changes.
    nodes::load_apart(&hub_dir, 0..changed.min(rows), 2).await?;
    let hub = nodes::Served::start(&hub_dir).await?;
    std::fs::write(
        leaf_dir.join("yizhan.toml"),
        std::fs::read_to_string(leaf_dir.join("yizhan.toml"))?.replace(&address, &hub.link),
    )?;
    let began = Instant::now();
    let leaf = nodes::running(&leaf_dir).await?;
    let target = u64::from(rows) + u64::from(changed.min(rows));
    nodes::until(&leaf, "all changes are searchable", |view| {
        view.held
            .as_ref()
            .is_some_and(|held| held.state == CopyState::Current && held.sequence.0 >= target)
    })
    .await?;
    let searchable = began.elapsed();
    println!(
        "{}",
        json!({
            "bench": "after_absence",
            "rows": rows,
            "changed": changed,
            "searchable_rows_per_s": (f64::from(changed) / searchable.as_secs_f64()).round(),
            "searchable_s": searchable.as_secs_f64(),
        })
    );
    leaf.stop().await;
    hub.stop().await
}

/// Cards found by the whole name of card `number`.
async fn hits(leaf: &yizhan_server::node::Running, number: u32) -> anyhow::Result<usize> {
    let (name, ..) = cards::name(number);
    let two: String = name.chars().take(2).collect();
    let mut db = leaf.app.db.reader().await?;
    let query = format!("\"{two}\"");
    let found = records::find_positions(&mut db, leaf.app.db.dialect, &query, 0, 100).await?;
    Ok(found.len())
}
