//! Nodes for measuring: one in a process of its own, one in this process.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, ensure};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};
use yizhan_server::{
    config::{self, Address, Config, DatabaseUrl},
    domain::{
        audience::{Audience, FeedId},
        id::{PointCode, RecordId},
        kind::Kind,
    },
    feed::change::Change,
    found::{self, Place},
    node::{Node, Running},
    outside::Outside,
};

use crate::cards::card;

/// Writes of one change while loading.
const BATCH: u32 = 5_000;
pub const HUB: &str = "CN-440000";
pub const LEAF: &str = "GB-LON";

pub fn hub_cards() -> FeedId {
    FeedId::new(HUB.parse().expect("BUG: a point code"), Audience::Network)
}

pub fn place() -> Place {
    let any = Address { host: "127.0.0.1".to_owned(), port: 0 };
    Place { listen_link: any.clone(), listen_public: any, database: DatabaseUrl::Sqlite }
}

pub fn settings(dir: &Path) -> anyhow::Result<Config> {
    Ok(config::load(dir, &[], |name| std::env::var(name).ok())?.0)
}

/// Ids rise with time, as those of records made one after another do.
pub fn card_id(number: u32) -> RecordId {
    RecordId::of_source(
        "bench",
        Kind::CARD.0,
        &number.to_string(),
        1_600_000_000_000 + u64::from(number) * 100,
    )
}

/// Founds the hub's network in `dir` and fills it, in a process of its own so that its memory is not
/// counted here.
pub async fn founded(dir: &Path, rows: u32) -> anyhow::Result<PathBuf> {
    let hub = dir.join("hub");
    let point: PointCode = HUB.parse()?;
    found::found(&hub, "bench", &point, place(), &Outside::real()).await?;
    load_apart(&hub, 0..rows, 1).await?;
    Ok(hub)
}

pub async fn load_apart(node: &Path, rows: Range<u32>, version: u32) -> anyhow::Result<()> {
    let status = Command::new(std::env::current_exe()?)
        .args(["load", "--node"])
        .arg(node)
        .args(["--from", &rows.start.to_string(), "--to", &rows.end.to_string()])
        .args(["--version", &version.to_string()])
        .status()
        .await?;
    ensure!(status.success(), "loading failed");
    Ok(())
}

/// Writes cards into a node that does not run.
pub async fn load(dir: &Path, rows: Range<u32>, version: u32) -> anyhow::Result<()> {
    let node = Node::open(dir, settings(dir)?, Outside::real()).await?;
    let mut from = rows.start;
    while from < rows.end {
        let to = (from + BATCH).min(rows.end);
        let mut change = Change::new();
        for number in from..to {
            change = change.put(hub_cards(), Kind::CARD, card_id(number), card(number, version));
        }
        node.app.writer.commit(change).await?;
        from = to;
    }
    node.app.db.truncate_log().await?;
    Ok(())
}

/// A running `yizhand`.
pub struct Served {
    child: Child,
    pub link: String,
    pub public: String,
}

impl Served {
    pub async fn start(dir: &Path) -> anyhow::Result<Served> {
        let program = std::env::current_exe()?.with_file_name("yizhand");
        ensure!(program.exists(), "build it first: cargo build --release --workspace --bins");
        let mut child = Command::new(program)
            .args(["run", "--dir"])
            .arg(dir)
            .env("YIZHAN_LOG", "warn")
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(child.stderr.take().context("no stderr")?).lines();
        let ready = loop {
            let line = lines.next_line().await?.context("the node stopped at its start")?;
            if let Some(rest) = line.strip_prefix("ready ") {
                break rest.to_owned();
            }
        };
        let address = |name: &str| {
            let mut words = ready.split(' ');
            let found = words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            found.map(str::to_owned).context("no address in the ready line")
        };
        let (link, public) = (address("link")?, address("public")?);
        // Read on, so that the node never waits for us.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Served { child, link, public })
    }

    pub async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(pid) = self.child.id() {
            Command::new("kill").args(["-TERM", &pid.to_string()]).status().await?;
        }
        self.child.wait().await?;
        Ok(())
    }

    /// kill -9.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }
}

/// Joins the leaf to the hub over `address`.
pub async fn joined(dir: &Path, hub: &Path, address: &str) -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?.with_file_name("yizhand");
    let output = Command::new(program)
        .args(["--output", "json", "token", "--point", LEAF, "--dir"])
        .arg(hub)
        .output()
        .await?;
    ensure!(output.status.success(), "no token: {}", String::from_utf8_lossy(&output.stderr));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let token = document["token"].as_str().context("no token")?;
    let leaf = dir.join("leaf");
    let parent = Address::parse(address).map_err(anyhow::Error::msg)?;
    found::join(&leaf, token, &parent, place(), None, &Outside::real()).await?;
    Ok(leaf)
}

/// Runs a node in this process.
pub async fn running(dir: &Path) -> anyhow::Result<Running> {
    Ok(Node::open(dir, settings(dir)?, Outside::real()).await?.start().await?)
}

/// Waits until a view of the hub's cards fits.
pub async fn until(
    running: &Running,
    what: &str,
    fits: impl Fn(&yizhan_server::feed::heads::View) -> bool,
) -> anyhow::Result<()> {
    let heads = Arc::clone(&running.app.heads);
    let mut changed = heads.watch();
    let wait = async {
        while !heads.find(&hub_cards()).is_some_and(|view| fits(&view)) {
            changed.changed().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(900), wait)
        .await
        .with_context(|| format!("never: {what}"))
}

/// A line of /proc/self/status or of another process, in MiB.
pub fn memory_mib(pid: &str, line: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|l| l.starts_with(line)).context("no such line")?;
    let kib: f64 = line.split_whitespace().nth(1).context("no figure")?.parse()?;
    Ok(kib / 1024.0)
}

/// CPU time of a process so far, in microseconds; `self` is this one.
pub fn cpu_us(pid: &str) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name may hold spaces, and ends with the last bracket: utime and stime are the 12th and 13th
    // fields after it, in hundredths of a second (proc(5), sysconf(_SC_CLK_TCK)).
    let (_, fields) = stat.rsplit_once(')').context("no such process")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? * 10_000.0)
}
