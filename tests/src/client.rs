//! Commands of `yizhan` and `yizhand`, as scripts would run them: arguments in, JSON and code out.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::Value;
use tokio::{process::Command, time::timeout};

use crate::binaries;

/// No command of a test takes longer; an import of the small data set takes seconds.
pub const ANSWERED_WITHIN: Duration = Duration::from_secs(120);

/// What the contract says about exit codes.
pub mod exit {
    pub const DONE: i32 = 0;
    pub const REFUSED: i32 = 1;
    pub const USAGE: i32 = 2;
    pub const PARTIAL: i32 = 3;
    pub const UNREACHABLE: i32 = 4;
}

/// How a command ended.
pub struct Answer {
    pub command: String,
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Answer {
    /// The document on stdout.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    #[track_caller]
    pub fn expect_code(self, code: i32) -> Answer {
        assert_eq!(self.code, code, "{self:?}");
        self
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: exit code {}", self.command, self.code)?;
        writeln!(f, "stdout: {}\nstderr: {}", self.stdout, self.stderr)
    }
}

/// Runs a program with `--output json` and waits for its end.
pub async fn run(mut command: Command) -> Answer {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let shown = format!("{:?}", command.as_std());
    let output = match timeout(ANSWERED_WITHIN, command.output()).await {
        Ok(output) => output.unwrap_or_else(|error| panic!("{shown}: {error}")),
        Err(_) => panic!("{shown}: no answer within {ANSWERED_WITHIN:?}"),
    };
    Answer {
        command: shown,
        // Killed by a signal: no code, and none of the contract's.
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Somebody at a desk: signed in, or not yet, at one node.
pub struct Client {
    server: String,
    ca: PathBuf,
    /// Where this person's sign-in is kept, apart from everybody else's.
    home: PathBuf,
}

impl Client {
    /// A client of the server at `public` that trusts `ca` and keeps its sign-in under `home`.
    pub fn new(public: std::net::SocketAddr, ca: &Path, home: &Path) -> Client {
        fs::create_dir_all(home).expect("a directory for a client");
        Client { server: format!("https://{public}"), ca: ca.into(), home: home.into() }
    }

    /// The token of this person's session, as the client keeps it.
    pub fn session(&self) -> String {
        let path = self.home.join("yizhan").join("profiles.toml");
        let profiles = fs::read_to_string(&path).expect("a signed-in client's profiles");
        let mut lines = profiles.lines().filter_map(|line| line.trim().strip_prefix("token = "));
        lines.next().expect("a token").trim_matches('"').to_owned()
    }

    /// Runs a command, whatever comes of it.
    pub async fn run<S: AsRef<str>>(&self, arguments: &[S]) -> Answer {
        let mut command = Command::new(binaries::yizhan());
        for variable in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"] {
            command.env(variable, &self.home);
        }
        command.env_remove("YIZHAN_SERVER");
        command.args(["--server", &self.server, "--output", "json"]).arg("--ca").arg(&self.ca);
        command.args(arguments.iter().map(AsRef::as_ref));
        run(command).await
    }

    /// Runs a command that must succeed, and reads its document.
    pub async fn ask<S: AsRef<str>>(&self, arguments: &[S]) -> Value {
        self.run(arguments).await.expect_code(exit::DONE).json()
    }

    /// Runs a command that must be refused, and gives the reason.
    pub async fn refused<S: AsRef<str>>(&self, arguments: &[S]) -> String {
        let document = self.run(arguments).await.expect_code(exit::REFUSED).json();
        let reason = document["error"]["reason"].as_str().map(str::to_owned);
        reason.unwrap_or_else(|| panic!("no error.reason in {document}"))
    }

    /// Runs a listing command to its last page, and gives the items.
    pub async fn list<S: AsRef<str>>(&self, arguments: &[S]) -> Vec<Value> {
        let mut all: Vec<&str> = arguments.iter().map(AsRef::as_ref).collect();
        all.push("--all");
        match self.ask(&all).await["items"].take() {
            Value::Array(items) => items,
            other => panic!("{all:?}: items is no array but {other}"),
        }
    }

    pub async fn sign_in(&self, name: &str, password_file: &Path) {
        let file = password_file.to_str().expect("a path in UTF-8");
        let login = ["login", "--name", name, "--password-file", file];
        self.run(&login).await.expect_code(exit::DONE);
    }

    pub async fn status(&self) -> Value {
        self.ask(&["status"]).await
    }

    /// The members that a search finds here.
    pub async fn finds(&self, words: &str) -> Vec<Value> {
        self.list(&["member", "search", words]).await
    }

    /// Does this node list the event?
    pub async fn sees_event(&self, id: &str) -> bool {
        self.list(&["event", "list"]).await.iter().any(|event| event["id"] == id)
    }
}
