//! A node that is asked as people ask it: by its own client program, and over connections of many.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::process::Command;
use yizhan_client::channel::Node;
use yizhan_proto::v1;

use crate::nodes;

const PASSWORD: &str = "correct horse battery staple";
/// No command of a bench takes longer.
const PATIENCE: Duration = Duration::from_secs(600);

/// A running node with an administrator.
pub struct Office {
    pub node: nodes::Served,
    dir: PathBuf,
    node_dir: PathBuf,
    pub ca: Vec<u8>,
    token: String,
}

impl Office {
    /// Starts the node in `node_dir` and signs in; `dir` is where the client keeps its things.
    pub async fn open(dir: &Path, node_dir: &Path) -> anyhow::Result<Office> {
        let password = dir.join("password");
        std::fs::write(&password, PASSWORD)?;
        let node = nodes::Served::start(node_dir).await?;
        let mut adding = Command::new(program("yizhand")?);
        let account = ["user", "add", "--name", "admin", "--role", "point_admin"];
        adding.args(account).arg("--password-file").arg(&password).arg("--dir").arg(node_dir);
        finished(adding).await?;
        let ca = std::fs::read(node_dir.join("ca.pem"))?;
        let (dir, node_dir) = (dir.to_owned(), node_dir.to_owned());
        let mut office = Office { node, dir, node_dir, ca, token: String::new() };
        office.yizhan(&["login", "--name", "admin", "--password-file"], &password).await?;
        let sign_in = v1::SignInRequest {
            name: "admin".to_owned(),
            password: PASSWORD.to_owned(),
            otp: String::new(),
        };
        let signed_in = office.visitor().await?.accounts().sign_in(sign_in).await?;
        office.token = signed_in.into_inner().token;
        Ok(office)
    }

    /// Runs the client's program and reads its answer.
    pub async fn yizhan(&self, words: &[&str], path: &Path) -> anyhow::Result<Value> {
        let mut command = Command::new(program("yizhan")?);
        for variable in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"] {
            command.env(variable, &self.dir);
        }
        command.args(["--server", &self.url(), "--output", "json", "--ca"]);
        command.arg(self.node_dir.join("ca.pem")).args(words).arg(path);
        Ok(serde_json::from_slice(&finished(command).await?)?)
    }

    fn url(&self) -> String {
        format!("https://{}", self.node.public)
    }

    /// A connection of its own, without an account.
    pub async fn visitor(&self) -> anyhow::Result<Node> {
        Node::connect(&self.url(), &self.ca).await.map_err(|error| anyhow::anyhow!("{error:?}"))
    }

    /// A connection of its own, as the administrator.
    pub async fn admin(&self) -> anyhow::Result<Node> {
        let node = self.visitor().await?;
        node.signed_in(Some(&self.token)).map_err(|error| anyhow::anyhow!("{error:?}"))
    }

    /// Most memory that the node has had.
    pub fn peak_mib(&self) -> anyhow::Result<f64> {
        let pid = self.node.pid().context("the node is gone")?.to_string();
        Ok(nodes::memory_mib(&pid, "VmHWM")?.round())
    }

    /// CPU time so far, of the node and of this process that asks it.
    pub fn cpu(&self) -> anyhow::Result<Cpu> {
        let pid = self.node.pid().context("the node is gone")?.to_string();
        Ok(Cpu { node_us: nodes::cpu_us(&pid)?, asker_us: nodes::cpu_us("self")? })
    }
}

fn program(name: &str) -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?.with_file_name(name);
    ensure!(program.exists(), "build it first: cargo build --release --workspace --bins");
    Ok(program)
}

async fn finished(mut command: Command) -> anyhow::Result<Vec<u8>> {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.context("too slow")??;
    ensure!(
        output.status.success(),
        "{command:?}: {} {}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}

/// CPU time in microseconds: says what a call costs where the clock is not to be trusted.
pub struct Cpu {
    pub node_us: f64,
    pub asker_us: f64,
}

impl Cpu {
    /// What each of `calls` has cost since `before`.
    pub fn each(&self, before: &Cpu, calls: usize) -> Cpu {
        let each = |now: f64, then: f64| ((now - then) / calls as f64).round();
        Cpu {
            node_us: each(self.node_us, before.node_us),
            asker_us: each(self.asker_us, before.asker_us),
        }
    }
}

/// How long calls took, shortest first.
pub struct Times {
    each: Vec<Duration>,
    pub together: Duration,
}

impl Times {
    pub fn new(mut each: Vec<Duration>, together: Duration) -> Times {
        each.sort_unstable();
        Times { each, together }
    }

    pub fn ms(&self, share: f64) -> f64 {
        let Some(last) = self.each.len().checked_sub(1) else { return 0.0 };
        let at = self.each[(last as f64 * share) as usize].as_secs_f64() * 1e3;
        (at * 100.0).round() / 100.0
    }

    pub fn per_s(&self) -> f64 {
        (self.each.len() as f64 / self.together.as_secs_f64()).round()
    }
}

/// Makes `calls` calls, `each` at a time on every connection, and times them.
pub async fn in_flight<F, Fut>(
    nodes: &[Node],
    each: usize,
    calls: usize,
    call: F,
) -> anyhow::Result<Times>
where
    F: Fn(Node, usize) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let mut callers = tokio::task::JoinSet::new();
    for node in nodes {
        for _ in 0..each {
            let (node, next, call) = (node.clone(), next.clone(), call.clone());
            callers.spawn(async move {
                let mut times = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= calls {
                        return anyhow::Ok(times);
                    }
                    let began = Instant::now();
                    call(node.clone(), number).await?;
                    times.push(began.elapsed());
                }
            });
        }
    }
    let mut times = Vec::with_capacity(calls);
    while let Some(done) = callers.join_next().await {
        times.extend(done??);
    }
    Ok(Times::new(times, began.elapsed()))
}
