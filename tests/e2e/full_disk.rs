//! A node whose disk fills up: it says so, goes on answering, and goes on writing when there is room.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use yizhan_tests::{
    client::{Client, exit},
    cluster::Cluster,
};

use crate::people::{document, person};

/// Room of the small disk; a node that has begun uses a quarter of it.
const SIZE: &str = "size=32m";
/// Records that surely do not fit into what is left of a page here and there.
const TRIES: usize = 400;

/// A small disk of its own in memory, gone with the test.
struct Disk(PathBuf);

impl Disk {
    /// None where this account may not mount anything.
    fn mount(path: &Path) -> Option<Disk> {
        fs::create_dir_all(path).expect("a directory");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(path).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Disk(path.to_owned()))
    }

    /// Leaves no room.
    fn fill(&self) {
        let mut file = fs::File::create(self.filler()).expect("a file");
        for chunk in [64 * 1_024, 4_096, 1] {
            while file.write_all(&vec![1; chunk]).is_ok() {}
        }
    }

    fn empty(&self) {
        fs::remove_file(self.filler()).expect("the file that filled it");
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

async fn finds(client: &Client, name: &str) -> bool {
    client.finds(name).await.len() == 1
}

#[tokio::test]
async fn a_full_disk_is_told_loses_nothing_and_is_over_when_there_is_room() {
    let mut cluster = Cluster::found("CN-440000").await;
    let Some(disk) = Disk::mount(&cluster.path("GB-LON")) else {
        // Said, not hidden: the same rules are tested on the store by a limit of pages. Where every
        // change is tested, it must run.
        assert!(std::env::var_os("CI").is_none(), "CI may not mount a small disk");
        eprintln!("NOT RUN: this account may not mount a small disk");
        return;
    };
    cluster.join("GB-LON", "CN-440000").await;
    let (guangdong, london) = (cluster.admin("CN-440000").await, cluster.admin("GB-LON").await);
    person("Early").create_shown(&cluster, &london).await;
    cluster.eventually("Guangdong has it", async || finds(&guangdong, "Early").await).await;

    disk.fill();
    let mut person = person("Later");
    // A record of some size, so that free pages here and there are soon used up.
    person.expertise = "x".repeat(60);
    let mut acknowledged = Vec::new();
    let mut refused = None;
    let mut file = String::new();
    for each in 0..TRIES {
        // Somebody else each time: nobody is entered twice.
        person.latin = format!("Zong Later {each}");
        file = document(&cluster, "later.json", &person.document());
        let answer = london.run(&["member", "create", "--file", &file]).await;
        let made = answer.json();
        if answer.code == exit::DONE {
            acknowledged.push(made["id"].as_str().expect("an id").to_owned());
        } else {
            refused = Some(made["error"].clone());
            break;
        }
    }
    let refused = refused.expect("the disk is full");
    assert_eq!(refused["code"], "RESOURCE_EXHAUSTED", "{refused}");
    assert_eq!(refused["reason"], "DISK_FULL", "{refused}");
    eprintln!("{} records found room before the first was refused", acknowledged.len());

    // Reads go on, and what others write is waited for. The reserve is given up: whoever needs help
    // is heard and answered, and looks at persons have their line in the audit.
    cluster
        .eventually("London knows that it is short of room", async || {
            london.status().await["disk"]["scarce"] == true
        })
        .await;
    let call = ["help", "submit", "--category", "documents", "--country", "GB", "--lang", "en"];
    let heard = cluster.visitor("GB-LON").ask(&[&call[..], &["--text", "lost"]].concat()).await;
    let reference = heard["reference"].as_str().expect("a reference");
    london.ask(&["desk", "reply", reference, "--text", "on our way"]).await;
    assert!(finds(&london, "Early").await);
    let refused = london.refused(&["member", "create", "--file", &file]).await;
    assert_eq!(refused, "DISK_FULL");
    london.list(&["point", "list"]).await;
    london.list(&["event", "list"]).await;
    crate::people::person("Elsewhere").create_shown(&cluster, &guangdong).await;
    assert_eq!(london.status().await["point"], "GB-LON");

    disk.empty();
    cluster
        .eventually("London writes again", async || {
            london.run(&["member", "create", "--file", &file]).await.code == exit::DONE
        })
        .await;
    assert_eq!(london.status().await["disk"]["scarce"], false);
    cluster.eventually("London catches up", async || finds(&london, "Elsewhere").await).await;
    assert!(finds(&london, "Early").await);
    for id in &acknowledged {
        assert_eq!(london.ask(&["member", "get", id]).await["id"], **id, "acknowledged");
    }
    cluster.agree().await;
    cluster.yizhand("verify", "GB-LON", &[]).await.expect_code(exit::DONE);
    assert!(cluster.stop("GB-LON").await.success());
}
