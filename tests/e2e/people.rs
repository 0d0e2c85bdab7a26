//! People and talks that a test makes up, and the documents that commands take for them.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use yizhan_tests::{
    client::{Client, exit},
    cluster::Cluster,
};

/// The purpose that puts a card into the network's directory.
pub const NETWORK_PURPOSE: &str = "profile.network";

/// A member with a name of characters, a name of letters and one field of expertise.
pub struct Person {
    pub hans: &'static str,
    pub sort_key: &'static str,
    pub latin: String,
    pub expertise: String,
}

impl Person {
    pub fn document(&self) -> Value {
        let mut characters = self.hans.chars();
        let family = characters.next().map(String::from).unwrap_or_default();
        json!({
            "state": "active", "joined_on": "2024-01-02", "preferred_script": "hans",
            "preferred_language": "zh-Hans", "city_code": "440100", "field_group": "engineering",
            "expertise": [self.expertise],
            "names": [
                {"script": "hans", "family": family, "given": characters.as_str(),
                 "full": self.hans, "order": "family_first", "sort_key": self.sort_key},
                {"script": "latin", "full": self.latin, "order": "given_first"},
            ],
        })
    }

    /// Makes the member at `client`'s point and gives its id.
    pub async fn create(&self, cluster: &Cluster, client: &Client) -> String {
        let file = document(cluster, "member.json", &self.document());
        let made = client.ask(&["member", "create", "--file", &file]).await;
        made["id"].as_str().expect("an id").to_owned()
    }

    /// The same with a consent to be shown in the whole network.
    pub async fn create_shown(&self, cluster: &Cluster, client: &Client) -> String {
        let id = self.create(cluster, client).await;
        client.ask(&["member", "consent", &id, "--purpose", NETWORK_PURPOSE]).await;
        id
    }
}

/// Somebody whose name of letters is `latin`.
pub fn person(latin: &str) -> Person {
    Person {
        hans: "宗泽",
        sort_key: "zong ze",
        latin: format!("Zong {latin}"),
        expertise: "battery".to_owned(),
    }
}

/// A talk that has yet to take place.
pub fn talk(title: &str) -> Value {
    json!({
        "kind": "talk", "mode": "online", "tz": "Asia/Shanghai",
        "titles": {"zh-Hans": title, "en": "A talk"},
        "starts_at": "2035-04-22T14:30:00+08:00", "ends_at": "2035-04-22T16:30:00+08:00",
    })
}

/// Writes a document where a command can read it.
pub fn document(cluster: &Cluster, name: &str, document: &Value) -> String {
    let path = scratch(cluster).join(name);
    fs::write(&path, document.to_string()).expect("a document");
    text(&path)
}

/// A directory of the test's own, beside those of the nodes.
pub fn scratch(cluster: &Cluster) -> PathBuf {
    let path = cluster.path("scratch");
    fs::create_dir_all(&path).expect("a directory");
    path
}

pub fn text(path: &std::path::Path) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// The reference data that ships with the program.
pub fn demo_data() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../server/data/demo").to_owned()
}

/// Gives a member an account and signs the member in, who has changed the password that was given. The
/// node's operator has made sure that it is the member.
pub async fn own_account(cluster: &Cluster, point: &str, id: &str) -> Client {
    let given = text(&cluster.password_file());
    let changed = scratch(cluster).join("own-password");
    fs::write(&changed, "nobody else knows it").expect("a password file");
    let account = ["user", "add", "--name", "own", "--role", "member", "--member", id];
    let admin = cluster.admin(point).await;
    admin.ask(&[&account[..], &["--password-file", &given]].concat()).await;
    let own = cluster.user(point, "own").await;
    assert_eq!(own.refused(&["member", "erase", id]).await, "PASSWORD_NOT_OWN");
    let changing = ["user", "passwd", "--current-password-file", &given];
    own.ask(&[&changing[..], &["--password-file", &text(&changed)]].concat()).await;
    own.sign_in("own", &changed).await;
    assert_eq!(own.refused(&["member", "erase", id]).await, "ACCOUNT_NOT_CONFIRMED");
    let confirming = ["user", "confirm", "--name", "own"];
    assert_eq!(admin.refused(&confirming).await, "PASSWORD_GIVER");
    let confirmed = cluster.yizhand_words(&confirming[..2], point, &confirming[2..]).await;
    confirmed.expect_code(exit::DONE);
    own
}

/// Erases somebody at a point: its administrator asks, and the node's operator agrees.
pub async fn erase_by_two(cluster: &Cluster, point: &str, id: &str) {
    let admin = cluster.admin(point).await;
    let asked = admin.ask(&["member", "erase", id]).await;
    let approval = asked["approval"].as_str().expect("an approval").to_owned();
    let given = cluster.yizhand_words(&["approval", "give"], point, &[&approval]).await;
    assert_eq!(given.expect_code(exit::DONE).json()["state"], "done");
}

/// Files below `directory` that hold any of these words, and which. Each file is gone through once,
/// however many words there are.
pub fn traces(directory: &Path, marks: &[String]) -> Vec<String> {
    let mut by_start: Vec<Vec<&str>> = vec![Vec::new(); 1 << 16];
    for mark in marks {
        by_start[start(mark.as_bytes())].push(mark);
    }
    let mut found = Vec::new();
    let mut below = vec![directory.to_owned()];
    while let Some(directory) = below.pop() {
        for entry in fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                below.push(path);
                continue;
            }
            // A socket cannot be read and holds nothing.
            let Ok(mut bytes) = fs::read(&path) else { continue };
            bytes.make_ascii_lowercase();
            let mut here: BTreeSet<&str> = BTreeSet::new();
            for (at, pair) in bytes.windows(2).enumerate() {
                let begun = by_start[start(pair)].iter();
                here.extend(begun.filter(|mark| bytes[at..].starts_with(mark.as_bytes())).copied());
            }
            found.extend(here.into_iter().map(|mark| format!("{mark} in {}", path.display())));
        }
    }
    found
}

/// The first two bytes, as a number.
fn start(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}
