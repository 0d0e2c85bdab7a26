//! A fresh point takes all cards of another over mutual TLS, verified and durable.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::ensure;
use serde_json::json;
use yizhan_server::{
    node::Running,
    store::{CopyState, records},
    wire::entry::quarantined,
};
use yizhan_tests::proxy::{Direction, Proxy};

use crate::{cards, nodes};

/// What lies between the two nodes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Line {
    Direct,
    /// Through a proxy that counts bytes and delays each by this much, half of it each way.
    Proxied {
        round_trip: Duration,
    },
}

/// A fresh copy, and how it came to be.
pub struct Filled {
    pub hub_dir: PathBuf,
    pub leaf_dir: PathBuf,
    /// Where the leaf looks for the hub.
    pub address: String,
    pub hub: nodes::Served,
    pub leaf: Running,
    pub stored: Duration,
    /// From the first row on: without dialling, handshakes and greetings.
    pub flowing: Duration,
    pub searchable: Duration,
    pub wire_bytes: Option<u64>,
}

impl Filled {
    pub fn tell(&self, rows: u32) -> anyhow::Result<()> {
        println!(
            "{}",
            json!({
                "bench": "catch_up",
                "rows": rows,
                "stored_rows_per_s": (f64::from(rows) / self.stored.as_secs_f64()).round(),
                "stored_s": self.stored.as_secs_f64(),
                "searchable_s": self.searchable.as_secs_f64(),
                "peak_memory_mib": nodes::memory_mib("self", "VmHWM")?.round(),
                "wire_bytes_per_card": self.wire_bytes.map(|bytes| bytes as f64 / f64::from(rows)),
            })
        );
        Ok(())
    }
}

pub async fn run(dir: &Path, rows: u32, line: Line) -> anyhow::Result<()> {
    let filled = fill(dir, rows, line).await?;
    filled.tell(rows)?;
    filled.leaf.stop().await;
    filled.hub.stop().await
}

/// The same over a line with and without delay, one after the other.
pub async fn delay(dir: &Path, rows: u32, delay_ms: u64) -> anyhow::Result<()> {
    let mut rates = Vec::new();
    for (name, ms) in [("near", 0), ("far", delay_ms)] {
        let place = dir.join(name);
        std::fs::create_dir_all(&place)?;
        let line = Line::Proxied { round_trip: Duration::from_millis(ms) };
        let filled = fill(&place, rows, line).await?;
        rates.push((
            f64::from(rows) / filled.flowing.as_secs_f64(),
            f64::from(rows) / filled.stored.as_secs_f64(),
        ));
        filled.leaf.stop().await;
        filled.hub.stop().await?;
    }
    let [(near, near_whole), (far, far_whole)] = rates[..] else { unreachable!("two lines") };
    println!(
        "{}",
        json!({
            "bench": "delay",
            "rows": rows,
            "delay_ms": delay_ms,
            "near_rows_per_s": near.round(),
            "far_rows_per_s": far.round(),
            "cost_percent": ((1.0 - far / near) * 100.0 * 10.0).round() / 10.0,
            "near_with_handshakes_rows_per_s": near_whole.round(),
            "far_with_handshakes_rows_per_s": far_whole.round(),
        })
    );
    Ok(())
}

/// Founds, fills and serves the hub; lets a leaf join and take everything.
pub async fn fill(dir: &Path, rows: u32, line: Line) -> anyhow::Result<Filled> {
    let hub_dir = nodes::founded(dir, rows).await?;
    let hub = nodes::Served::start(&hub_dir).await?;
    let proxy = match line {
        Line::Direct => None,
        Line::Proxied { round_trip } => {
            let proxy = Proxy::start(hub.link.parse()?).await?;
            if !round_trip.is_zero() {
                proxy.delay(Direction::Up, round_trip / 2);
                proxy.delay(Direction::Down, round_trip / 2);
            }
            Some(proxy)
        }
    };
    let address = proxy.as_ref().map_or(hub.link.clone(), |proxy| proxy.address().to_string());
    let leaf_dir = nodes::joined(dir, &hub_dir, &address).await?;

    let began = Instant::now();
    let leaf = nodes::running(&leaf_dir).await?;
    nodes::until(&leaf, "the first card has arrived", |view| {
        let arrived = |held: &yizhan_server::feed::heads::Held| held.sequence.0 > 0;
        view.filling.as_ref().is_some_and(arrived) || view.held.as_ref().is_some_and(arrived)
    })
    .await?;
    let first = began.elapsed();
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
    ensure!(hits(&leaf, &cards::first_two(rows - 1)).await? > 0, "the last card is not found");
    ensure!(hits(&leaf, &quarantined()).await? == 0, "cards that nobody can read");
    let wire_bytes = proxy.as_ref().map(|proxy| proxy.counts().flow(Direction::Down).bytes);
    let flowing = stored - first;
    Ok(Filled { hub_dir, leaf_dir, address, hub, leaf, stored, flowing, searchable, wire_bytes })
}

/// Cards found by a word, up to 100.
async fn hits(leaf: &Running, word: &str) -> anyhow::Result<usize> {
    let query = leaf.app.db.dialect.word(word);
    let mut db = leaf.app.db.reader().await?;
    let found = records::find_positions(&mut db, leaf.app.db.dialect, &query, 0, 100).await?;
    Ok(found.len())
}
