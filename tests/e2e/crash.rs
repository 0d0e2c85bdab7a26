//! kill -9 while rows go in: what was acknowledged is there, and every sum is right.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::watch;
use yizhan_tests::{
    client::{Client, exit},
    cluster::Cluster,
};

use crate::people::{demo_data, person, scratch, text};

const CYCLES: u32 = 10;
/// Numbers those who are made.
static SOMEONE: AtomicUsize = AtomicUsize::new(0);
/// Members made in a cycle before the node is killed.
const ACKNOWLEDGED: usize = 2;

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let mut cluster = Cluster::found("CN-440000").await;
    let mut acknowledged: Vec<String> = Vec::new();
    for cycle in 0..CYCLES {
        let client = Arc::new(cluster.admin("CN-440000").await);
        let (made, mut count) = watch::channel(0_usize);
        let ids = Arc::new(Mutex::new(Vec::new()));
        let importing = tokio::spawn(import_until_killed(client.clone()));
        let files = scratch(&cluster).join("member.json");
        let making = tokio::spawn(make_until_killed(client.clone(), files, ids.clone(), made));
        // One more each time, so that the blow falls elsewhere in the import.
        let enough = ACKNOWLEDGED + cycle as usize % 3;
        count.wait_for(|made| *made >= enough).await.expect("members are made");
        cluster.kill("CN-440000").await;
        making.await.expect("makes");
        importing.await.expect("imports");

        cluster.start("CN-440000").await;
        let client = cluster.admin("CN-440000").await;
        let mut new = std::mem::take(&mut *ids.lock().expect("BUG: poisoned"));
        for id in &new {
            client.ask(&["member", "get", id]).await;
        }
        acknowledged.append(&mut new);
        cluster.yizhand("verify", "CN-440000", &[]).await.expect_code(exit::DONE);
    }
    assert!(acknowledged.len() >= CYCLES as usize * ACKNOWLEDGED);
    let client = cluster.admin("CN-440000").await;
    for id in &acknowledged {
        client.ask(&["member", "get", id]).await;
    }
    // What the import had reported as done is unchanged; the rest goes in now.
    client.ask(&["import", &demo_data()]).await;
    let again = client.ask(&["import", &demo_data()]).await;
    assert_eq!(again["accepted"], 0, "{again}");
}

async fn make_until_killed(
    client: Arc<Client>,
    file: PathBuf,
    ids: Arc<Mutex<Vec<String>>>,
    made: watch::Sender<usize>,
) {
    let file = text(&file);
    loop {
        // Somebody else each time: nobody is entered twice.
        let mut someone = person("Survivor");
        someone.latin = format!("Zong Survivor {}", SOMEONE.fetch_add(1, Ordering::Relaxed));
        std::fs::write(&file, someone.document().to_string()).expect("a document");
        let answer = client.run(&["member", "create", "--file", &file]).await;
        if answer.code != exit::DONE {
            return;
        }
        let id = answer.json()["id"].as_str().expect("an id").to_owned();
        ids.lock().expect("BUG: poisoned").push(id);
        made.send_modify(|made| *made += 1);
    }
}

async fn import_until_killed(client: Arc<Client>) {
    while client.run(&["import", &demo_data()]).await.code == exit::DONE {}
}
