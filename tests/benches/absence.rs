//! A point that holds all cards is away while some of them change.

use std::{path::Path, time::Instant};

use serde_json::json;
use yizhan_server::store::CopyState;

use crate::{
    catch_up::{self, Line},
    nodes,
};

pub async fn run(dir: &Path, rows: u32, changed: u32) -> anyhow::Result<()> {
    let changed = changed.min(rows);
    let filled = catch_up::fill(dir, rows, Line::Direct).await?;
    filled.tell(rows)?;
    filled.leaf.stop().await;
    filled.hub.stop().await?;
    nodes::load_apart(&filled.hub_dir, 0..changed, 2).await?;

    let hub = nodes::Served::start(&filled.hub_dir).await?;
    let settings = filled.leaf_dir.join("yizhan.toml");
    let moved = std::fs::read_to_string(&settings)?.replace(&filled.address, &hub.link);
    std::fs::write(&settings, moved)?;
    let target = u64::from(rows) + u64::from(changed);
    let began = Instant::now();
    let leaf = nodes::running(&filled.leaf_dir).await?;
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
