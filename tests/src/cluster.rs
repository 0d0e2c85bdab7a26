//! A network of real nodes on this machine: founded, joined, cut off, killed and waited for.
//!
//! Nodes go by the code of their point. Every link runs through a [`Proxy`], which stays where it is
//! when the parent comes back on another port. A test that fails shows what every node has said.

mod feeds;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::ExitStatus,
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;
use yizhan_client::channel;
use yizhan_proto::v1;

pub use self::feeds::{FeedName, FeedState, disagreements, feeds};
use crate::{
    binaries,
    client::{self, Answer, Client, exit},
    clock,
    node::{Addresses, Node, Signal},
    proxy::Proxy,
    waiting::{PATIENCE, eventually},
};

/// The name of every network of a test.
pub const NETWORK: &str = "test";
/// The point administrator that every node gets.
pub const ADMIN: &str = "admin";
/// Everybody's password.
pub const PASSWORD: &str = "correct horse battery staple";

/// Nodes and the lines between them. Dropped, the nodes are killed and their files removed.
pub struct Cluster {
    places: BTreeMap<String, Place>,
    directory: TempDir,
}

/// A node's directory, its line to the parent, and its process while it runs.
struct Place {
    directory: PathBuf,
    parent: Option<String>,
    line: Option<Proxy>,
    node: Option<Node>,
}

impl Cluster {
    /// Founds a network at `point` and starts its first node, with an administrator.
    pub async fn found(point: &str) -> Cluster {
        Cluster::found_on(point, "sqlite:").await
    }

    /// The same on a database of choice.
    pub async fn found_on(point: &str, database: &str) -> Cluster {
        let directory = tempfile::tempdir().expect("a directory for a cluster");
        fs::write(directory.path().join("password"), PASSWORD).expect("a password file");
        let mut cluster = Cluster { places: BTreeMap::new(), directory };
        let place = cluster.place(point, None, None);
        let founding = ["--network", NETWORK, "--point", point, "--database", database];
        yizhand("init", &place.directory, &[&founding[..], &LISTENING].concat())
            .await
            .expect_code(exit::DONE);
        cluster.places.insert(point.to_owned(), place);
        cluster.start(point).await;
        cluster.add_user(point, ADMIN, "point_admin").await;
        cluster
    }

    /// Joins a node for `point` below `parent`, through a line of its own, and starts it.
    pub async fn join(&mut self, point: &str, parent: &str) {
        self.join_on(point, parent, "sqlite:").await;
    }

    /// The same on a database of choice.
    pub async fn join_on(&mut self, point: &str, parent: &str, database: &str) {
        let token = self.token(parent, point).await;
        let line = Proxy::start(self.addresses(parent).link).await.expect("a line");
        let answer = self.try_join(point, &token, &line, database).await;
        answer.expect_code(exit::DONE);
        let place = self.place(point, Some(parent), Some(line));
        self.places.insert(point.to_owned(), place);
        self.start(point).await;
        self.add_user(point, ADMIN, "point_admin").await;
    }

    /// Joins another node for `point` on the database that the point's first node uses, under a name of
    /// its own, and starts it. It is brought the point's keys as its operator would bring them.
    pub async fn join_beside(&mut self, name: &str, point: &str, parent: &str, database: &str) {
        let keys = self.directory.path().join("keys").join(name);
        fs::create_dir_all(&keys).expect("a directory for keys");
        // Keys that others may read are not used.
        fs::set_permissions(&keys, fs::Permissions::from_mode(0o700)).expect("a mode");
        for file in ["seal.key", "case.key"] {
            fs::copy(self.path(point).join("keys").join(file), keys.join(file)).expect("a key");
        }
        let token = self.token(parent, point).await;
        let line = Proxy::start(self.addresses(parent).link).await.expect("a line");
        let (address, keys) = (line.address().to_string(), keys.to_str().expect("UTF-8"));
        let joining = ["--token", &token, "--parent", &address, "--database", database];
        let joining = [&joining[..], &["--point-keys", keys], &LISTENING].concat();
        yizhand("join", &self.path(name), &joining).await.expect_code(exit::DONE);
        let place = self.place(name, Some(parent), Some(line));
        self.places.insert(name.to_owned(), place);
        self.start(name).await;
    }

    /// Runs `join` with any token over any line: for those that must be refused.
    pub async fn try_join(&self, point: &str, token: &str, line: &Proxy, database: &str) -> Answer {
        let parent = line.address().to_string();
        let joining = ["--token", token, "--parent", &parent, "--database", database];
        yizhand("join", &self.path(point), &[&joining[..], &LISTENING].concat()).await
    }

    /// A join token for `point`, issued at `at`.
    pub async fn token(&self, at: &str, point: &str) -> String {
        let answer = self.yizhand("token", at, &["--point", point]).await;
        let document = answer.expect_code(exit::DONE).json();
        document["token"].as_str().expect("a token").to_owned()
    }

    pub async fn add_user(&self, point: &str, name: &str, role: &str) {
        let password = self.password_file();
        let file = password.to_str().expect("a path in UTF-8");
        let account = ["--name", name, "--role", role, "--password-file", file];
        let added = yizhand_words(&["user", "add"], &self.path(point), &account).await;
        added.expect_code(exit::DONE);
    }

    /// Runs a command of `yizhand` on a point's directory.
    pub async fn yizhand(&self, command: &str, point: &str, arguments: &[&str]) -> Answer {
        yizhand(command, &self.path(point), arguments).await
    }

    /// The same for a command of two words, such as `approval give`.
    pub async fn yizhand_words(&self, words: &[&str], point: &str, arguments: &[&str]) -> Answer {
        yizhand_words(words, &self.path(point), arguments).await
    }

    /// The administrator of a point, at its own node, signed in.
    pub async fn admin(&self, point: &str) -> Client {
        self.user(point, ADMIN).await
    }

    /// Somebody with an account at a point, signed in at its node.
    pub async fn user(&self, point: &str, name: &str) -> Client {
        let client = self.visitor_as(point, name);
        client.sign_in(name, &self.password_file()).await;
        client
    }

    /// The typed client of anybody at a point's node, not signed in: for many calls over one connection.
    pub async fn anybody(&self, point: &str) -> channel::Node {
        let server = format!("https://{}", self.addresses(point).public);
        let ca = fs::read(self.path(point).join("ca.pem")).expect("ca.pem");
        channel::Node::connect(&server, &ca).await.expect("a connection")
    }

    /// The same of somebody with an account there.
    pub async fn caller(&self, point: &str, name: &str) -> channel::Node {
        let node = self.anybody(point).await;
        let (name, password) = (name.to_owned(), PASSWORD.to_owned());
        let request = v1::SignInRequest { name, password, otp: String::new() };
        let token = node.accounts().sign_in(request).await.expect("a session").into_inner().token;
        node.signed_in(Some(&token)).expect("a token")
    }

    /// Anybody at a point's node, not signed in.
    pub fn visitor(&self, point: &str) -> Client {
        self.visitor_as(point, "nobody")
    }

    /// kill -9.
    pub async fn kill(&mut self, point: &str) {
        self.take_node(point).kill().await;
    }

    /// SIGTERM. The contract wants exit code 0, which is the test's to check.
    pub async fn stop(&mut self, point: &str) -> ExitStatus {
        self.take_node(point).stop().await
    }

    /// Starts a node that was killed or stopped. It may listen elsewhere than before; the lines to
    /// it follow.
    pub async fn start(&mut self, point: &str) {
        self.start_with(point, &[]).await;
    }

    /// The same with a clock that is ahead by so many hours.
    pub async fn start_ahead(&mut self, point: &str, hours: u32) {
        let settings = clock::ahead(self.directory.path(), hours);
        self.start_with(point, &settings).await;
    }

    /// The same with settings of its environment.
    pub async fn start_with(&mut self, point: &str, settings: &[(&str, String)]) {
        let place = self.places.get_mut(point).unwrap_or_else(|| panic!("no node {point}"));
        assert!(place.node.is_none(), "{point} runs already");
        let mut command = Command::new(binaries::yizhand());
        command.arg("run").arg("--dir").arg(&place.directory);
        command.envs(settings.iter().map(|(name, value)| (*name, value)));
        let node = Node::start(command).await.unwrap_or_else(|error| panic!("{point}: {error:#}"));
        let link = node.addresses().link;
        place.node = Some(node);
        for child in self.places.values().filter(|child| child.parent.as_deref() == Some(point)) {
            if let Some(line) = &child.line {
                line.set_target(link);
            }
        }
    }

    /// SIGSTOP: connections stay open and nothing answers.
    pub async fn pause(&self, point: &str) {
        self.node(point).signal(Signal::Pause).await;
    }

    pub async fn resume(&self, point: &str) {
        self.node(point).signal(Signal::Resume).await;
    }

    /// Breaks every line that ends at `point`, and keeps it broken.
    pub fn cut_off(&self, point: &str) {
        self.lines_at(point).for_each(Proxy::break_line);
    }

    /// Heals every line that ends at `point`.
    pub fn rejoin(&self, point: &str) {
        self.lines_at(point).for_each(Proxy::heal);
    }

    /// The line from `point` up to its parent.
    pub fn line(&self, point: &str) -> &Proxy {
        self.at(point).line.as_ref().unwrap_or_else(|| panic!("{point} has no parent"))
    }

    pub fn node(&self, point: &str) -> &Node {
        self.at(point).node.as_ref().unwrap_or_else(|| panic!("{point} does not run"))
    }

    pub fn addresses(&self, point: &str) -> Addresses {
        self.node(point).addresses()
    }

    /// The last lines that a running node has said.
    pub fn log(&self, point: &str) -> String {
        self.node(point).log()
    }

    /// A node's directory: database, keys, settings.
    pub fn path(&self, point: &str) -> PathBuf {
        self.directory.path().join(point)
    }

    pub fn password_file(&self) -> PathBuf {
        self.directory.path().join("password")
    }

    /// Points whose nodes run now.
    pub fn running(&self) -> Vec<String> {
        let running = self.places.iter().filter(|(_, place)| place.node.is_some());
        running.map(|(point, _)| point.clone()).collect()
    }

    /// Waits under the usual deadline.
    pub async fn eventually(&self, what: &str, check: impl AsyncFnMut() -> bool) {
        eventually(what, PATIENCE, check).await;
    }

    /// Waits until every running node shows the same state of every shared feed as its home does.
    pub async fn agree(&self) {
        let mut clients = Vec::new();
        for point in self.running() {
            clients.push((point.clone(), self.admin(&point).await));
        }
        let mut last = Vec::new();
        let all_agree = async || {
            let mut shown: BTreeMap<String, Value> = BTreeMap::new();
            for (point, client) in &clients {
                shown.insert(point.clone(), client.status().await);
            }
            let differing = disagreements(&shown);
            if differing != last {
                // Shown by the test runner if the wait fails: what was amiss, and how it changed.
                eprintln!("not yet agreed: {differing:#?}");
                last = differing;
            }
            last.is_empty()
        };
        eventually("all nodes agree", PATIENCE, all_agree).await;
    }

    /// Fails the test if a fault that it set on a line never took effect.
    #[track_caller]
    pub fn assert_faults_fired(&self) {
        self.places.values().filter_map(|place| place.line.as_ref()).for_each(|line| {
            line.assert_faults_fired();
        });
    }

    fn place(&self, point: &str, parent: Option<&str>, line: Option<Proxy>) -> Place {
        let parent = parent.map(str::to_owned);
        Place { directory: self.path(point), parent, line, node: None }
    }

    fn at(&self, point: &str) -> &Place {
        self.places.get(point).unwrap_or_else(|| panic!("no node {point} in this cluster"))
    }

    fn take_node(&mut self, point: &str) -> Node {
        let place = self.places.get_mut(point).unwrap_or_else(|| panic!("no node {point}"));
        place.node.take().unwrap_or_else(|| panic!("{point} does not run"))
    }

    fn lines_at(&self, point: &str) -> impl Iterator<Item = &Proxy> {
        let ends_here = move |(code, place): &(&String, &Place)| {
            code.as_str() == point || place.parent.as_deref() == Some(point)
        };
        self.places.iter().filter(ends_here).filter_map(|(_, place)| place.line.as_ref())
    }

    fn visitor_as(&self, point: &str, name: &str) -> Client {
        let ca = self.path(point).join("ca.pem");
        let home = self.directory.path().join("clients").join(point).join(name);
        Client::new(self.addresses(point).public, &ca, &home)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for (point, place) in &self.places {
            match &place.node {
                Some(node) => eprintln!("{point} (pid {}) said:\n{}", node.pid(), node.log()),
                None => eprintln!("{point} was not running"),
            }
        }
    }
}

const LISTENING: [&str; 4] = ["--listen-link", "127.0.0.1:0", "--listen-public", "127.0.0.1:0"];

async fn yizhand(command: &str, directory: &Path, arguments: &[&str]) -> Answer {
    yizhand_words(&[command], directory, arguments).await
}

async fn yizhand_words(words: &[&str], directory: &Path, arguments: &[&str]) -> Answer {
    let mut command = Command::new(binaries::yizhand());
    command.args(words).arg("--dir").arg(directory).args(arguments).args(["--output", "json"]);
    client::run(command).await
}
