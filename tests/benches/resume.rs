//! A fresh point takes all cards while the line is cut, or the point killed: how many bytes that had
//! arrived come again each time.

use std::{path::Path, time::Duration};

use anyhow::ensure;
use serde_json::json;
use tokio::time::sleep;
use yizhan_tests::proxy::{Direction, Proxy};

use crate::nodes;

/// What is done to a transfer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Harm {
    None,
    Cut,
    Kill,
}

/// How often it is looked how many bytes have passed.
const LOOK: Duration = Duration::from_millis(1);

pub async fn run(dir: &Path, rows: u32, times: u32) -> anyhow::Result<()> {
    let whole = taken(&dir.join("whole"), rows, Harm::None, 0, 0).await?;
    let step = whole / u64::from(times + 1);
    for (name, harm) in [("cut", Harm::Cut), ("kill", Harm::Kill)] {
        let bytes = taken(&dir.join(name), rows, harm, times, step).await?;
        let again = bytes.saturating_sub(whole) / u64::from(times);
        println!(
            "{}",
            json!({
                "bench": "resume",
                "harm": name,
                "rows": rows,
                "times": times,
                "whole_bytes": whole,
                "again_kib_each": again / 1024,
            })
        );
    }
    Ok(())
}

/// Bytes that came down while a leaf took everything.
async fn taken(dir: &Path, rows: u32, harm: Harm, times: u32, step: u64) -> anyhow::Result<u64> {
    std::fs::create_dir_all(dir)?;
    let hub_dir = nodes::founded(dir, rows).await?;
    let hub = nodes::Served::start(&hub_dir).await?;
    let proxy = Proxy::start(hub.link.parse()?).await?;
    let leaf_dir = nodes::joined(dir, &hub_dir, &proxy.address().to_string()).await?;
    let arrived = || proxy.counts().flow(Direction::Down).bytes;
    if harm == Harm::Kill {
        for _ in 0..times {
            let (before, leaf) = (arrived(), nodes::Served::start(&leaf_dir).await?);
            while arrived() < before + step {
                sleep(LOOK).await;
            }
            leaf.kill().await?;
        }
    }
    let leaf = nodes::running(&leaf_dir).await?;
    if harm == Harm::Cut {
        for _ in 0..times {
            let before = proxy.counts().cut;
            proxy.cut_after(Direction::Down, step);
            while proxy.counts().cut == before {
                sleep(LOOK).await;
            }
            proxy.heal();
        }
    }
    nodes::until(&leaf, "all cards are stored", |view| {
        view.held.as_ref().is_some_and(|held| held.live == u64::from(rows))
    })
    .await?;
    ensure!(harm != Harm::Cut || proxy.inert().is_empty(), "a cut that did not happen");
    let bytes = arrived();
    leaf.stop().await;
    hub.stop().await?;
    Ok(bytes)
}
