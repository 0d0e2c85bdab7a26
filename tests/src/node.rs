//! One `yizhand run` as a process: started, waited for, signalled, buried.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStderr, Command},
    sync::oneshot,
    time::timeout,
};

/// From the start of a process to its `ready`. Long, for a machine that has other things to do.
pub const READY_WITHIN: Duration = Duration::from_secs(30);
/// From SIGTERM to the end of the process, draining included.
pub const STOPPED_WITHIN: Duration = Duration::from_secs(30);
/// What is kept of a node's stderr: its last lines.
const LINES_MAX: usize = 2_000;

/// Where a node listens, as its ready line says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Addresses {
    pub link: SocketAddr,
    pub public: SocketAddr,
}

/// What a test does to a process without asking it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// SIGTERM: drain and exit.
    Terminate,
    /// SIGSTOP: stand still, connections open.
    Pause,
    /// SIGCONT: go on.
    Resume,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Signal::Terminate => "TERM",
            Signal::Pause => "STOP",
            Signal::Resume => "CONT",
        }
    }
}

/// A running process. Dropped, it is killed.
#[derive(Debug)]
pub struct Node {
    child: Child,
    pid: u32,
    addresses: Addresses,
    log: Log,
}

impl Node {
    /// Starts `command` and waits for its ready line. An error carries what the process said.
    pub async fn start(mut command: Command) -> Result<Node> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().context("starting a node")?;
        let pid = child.id().context("a node that has just started has a pid")?;
        let stderr = child.stderr.take().context("stderr is piped")?;
        let log = Log::default();
        let (ready, addresses) = oneshot::channel();
        tokio::spawn(listen(stderr, log.clone(), ready));
        match timeout(READY_WITHIN, addresses).await {
            Ok(Ok(addresses)) => Ok(Node { child, pid, addresses, log }),
            Ok(Err(_)) => {
                let status = child.wait().await?;
                bail!("a node ended with {status} before it was ready:\n{}", log.text());
            }
            Err(_) => bail!("a node was not ready within {READY_WITHIN:?}:\n{}", log.text()),
        }
    }

    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The last lines of stderr.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Sends a signal to the process, which must be running.
    pub async fn signal(&self, signal: Signal) {
        let kill = format!("kill -{} {}", signal.name(), self.pid);
        let sent = Command::new("sh").args(["-c", &kill]).status().await.expect("sh runs");
        assert!(sent.success(), "no process {} takes {signal:?}:\n{}", self.pid, self.log());
    }

    /// kill -9: no draining, no last words.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("a child can be killed");
    }

    /// SIGTERM, then waits for the end.
    pub async fn stop(mut self) -> ExitStatus {
        self.signal(Signal::Terminate).await;
        self.ended(STOPPED_WITHIN).await
    }

    /// Waits for a process that ends by itself.
    pub async fn ended(&mut self, within: Duration) -> ExitStatus {
        match timeout(within, self.child.wait()).await {
            Ok(status) => status.expect("a child can be waited for"),
            Err(_) => panic!("a node did not end within {within:?}:\n{}", self.log()),
        }
    }
}

/// The end of a process's stderr.
#[derive(Clone, Default, Debug)]
struct Log(Arc<Mutex<VecDeque<String>>>);

impl Log {
    fn add(&self, line: String) {
        let mut lines = self.0.lock().expect("BUG: poisoned");
        if lines.len() == LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    fn text(&self) -> String {
        let lines = self.0.lock().expect("BUG: poisoned");
        lines.iter().map(|line| format!("  | {line}\n")).collect()
    }
}

/// Reads stderr to its end, so that the process never waits for us.
async fn listen(stderr: ChildStderr, log: Log, ready: oneshot::Sender<Addresses>) {
    let mut ready = Some(ready);
    let mut lines = BufReader::new(stderr).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = String::from_utf8_lossy(&line).into_owned();
        if let Some(addresses) = ready_line(&line)
            && let Some(ready) = ready.take()
        {
            // Nobody waits any more if the deadline has passed.
            let _ = ready.send(addresses);
        }
        log.add(line);
    }
}

/// Reads `ready link=H:P public=H:P`.
fn ready_line(line: &str) -> Option<Addresses> {
    let mut words = line.trim().strip_prefix("ready ")?.split_whitespace();
    let link = words.next()?.strip_prefix("link=")?.parse().ok()?;
    let public = words.next()?.strip_prefix("public=")?.parse().ok()?;
    Some(Addresses { link, public })
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: &str = "ready link=127.0.0.1:4001 public=[::1]:4002";

    /// A stand-in for a node: a script that says what a node says.
    fn script(text: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", text]);
        command
    }

    #[test]
    fn the_ready_line_names_both_addresses() {
        let addresses = ready_line(READY).unwrap();
        assert_eq!(addresses.link, "127.0.0.1:4001".parse().unwrap());
        assert_eq!(addresses.public, "[::1]:4002".parse().unwrap());
        for other in ["", "ready", "not ready link=1 public=2", "ready link=x public=y"] {
            assert_eq!(ready_line(other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn a_node_that_is_ready_can_be_stopped() {
        let text = format!("echo starting >&2; echo {READY} >&2; exec sleep 60");
        let node = Node::start(script(&text)).await.unwrap();
        assert_eq!(node.addresses(), ready_line(READY).unwrap());
        assert!(node.log().contains("starting"));
        let status = node.stop().await;
        assert!(!status.success(), "sleep does not drain: {status}");
    }

    #[tokio::test]
    async fn a_node_that_fails_is_quoted() {
        let error = Node::start(script("echo no disk >&2; exit 3")).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("no disk") && text.contains('3'), "{text}");
    }

    #[tokio::test]
    async fn a_paused_node_goes_on_where_it_stood() {
        let text = format!("trap 'exit 7' TERM; echo {READY} >&2; while :; do sleep 0.05; done");
        let mut node = Node::start(script(&text)).await.unwrap();
        node.signal(Signal::Pause).await;
        node.signal(Signal::Terminate).await;
        let still = timeout(Duration::from_millis(300), node.child.wait()).await;
        assert!(still.is_err(), "a paused process handles no signal");
        node.signal(Signal::Resume).await;
        assert_eq!(node.ended(STOPPED_WITHIN).await.code(), Some(7));
    }
}
