//! One commit at the hub at a time, until a search at the leaf finds it.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::ensure;
use serde_json::json;
use yizhan_server::{
    domain::{id::RecordId, kind::Kind},
    feed::change::Change,
    store::{CopyState, records},
};

use crate::{cards, nodes};

/// A commit that is not found by then never will be.
const FOUND_WITHIN: Duration = Duration::from_secs(10);

pub async fn run(dir: &Path, commits: u32, rows: u32) -> anyhow::Result<()> {
    let hub_dir = nodes::founded(dir, rows).await?;
    let hub = nodes::running(&hub_dir).await?;
    let leaf_dir = nodes::joined(dir, &hub_dir, &hub.link.to_string()).await?;
    let leaf = nodes::running(&leaf_dir).await?;
    nodes::until(&leaf, "cards have arrived", |view| {
        view.held.as_ref().is_some_and(|held| held.state == CopyState::Current)
    })
    .await?;

    let mut times = Vec::with_capacity(commits as usize);
    for number in rows..rows + commits {
        let id: RecordId = nodes::card_id(number);
        let change = Change::new().put(nodes::hub_cards(), Kind::CARD, id, cards::card(number, 1));
        let began = Instant::now();
        hub.app.writer.commit(change).await?;
        let mut changed = leaf.app.heads.watch();
        while !found(&leaf, id, number).await? {
            ensure!(began.elapsed() < FOUND_WITHIN, "card {number} is not found");
            // The state may have changed between the search and the wait.
            let _ = tokio::time::timeout(Duration::from_millis(1), changed.changed()).await;
        }
        times.push(began.elapsed());
    }
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "{}",
        json!({
            "bench": "live",
            "rows": rows,
            "commits": commits,
            "p50_ms": at(0.5),
            "p99_ms": at(0.99),
        })
    );
    leaf.stop().await;
    hub.stop().await;
    Ok(())
}

/// Is the record among those that its two first characters find?
async fn found(
    leaf: &yizhan_server::node::Running,
    id: RecordId,
    number: u32,
) -> anyhow::Result<bool> {
    let stored = {
        let mut db = leaf.app.db.reader().await?;
        records::find(&mut db, id).await?
    };
    let Some(stored) = stored.first() else { return Ok(false) };
    let position = stored.slot.position(stored.row.sequence);
    let mut db = leaf.app.db.reader().await?;
    let dialect = leaf.app.db.dialect;
    let query = dialect.word(&cards::first_two(number));
    let hits = records::find_positions(&mut db, dialect, &query, position - 1, 1).await?;
    Ok(hits == [position])
}
