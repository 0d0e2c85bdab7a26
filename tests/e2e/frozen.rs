//! Two machines with one point's keys: what they sealed apart is found out, frozen, and gone on with
//! once the home has opened the next epoch and the network has agreed.

use std::{collections::BTreeSet, fs, path::Path};

use yizhan_tests::{
    client::{Client, exit},
    cluster::{Cluster, feeds},
};

use crate::people::{NETWORK_PURPOSE, person, scratch};

const POINT: &str = "GB-LON";
const FOUNDER: &str = "CN-440000";

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    // Keys that others may read are not used.
    let permissions = fs::metadata(from).expect("a directory").permissions();
    fs::set_permissions(to, permissions).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type().expect("a type") {
            kind if kind.is_dir() => copy_directory(&path, &target),
            kind if kind.is_file() => {
                fs::copy(&path, &target).expect("a copy");
            }
            _ => {}
        }
    }
}

/// Feeds of the point that are frozen here, as commands name them.
async fn frozen(client: &Client) -> BTreeSet<String> {
    let status = client.status().await;
    let of_point = feeds(&status).into_iter().filter(|((home, _), _)| home == POINT);
    let frozen = of_point.filter(|(_, feed)| feed.state == "frozen");
    frozen.map(|((home, audience), _)| format!("{home}/{audience}")).collect()
}

/// Finds somebody, be the answer partial or not.
async fn shows(client: &Client, name: &str) -> bool {
    let answer = client.run(&["member", "search", name]).await;
    assert!([exit::DONE, exit::PARTIAL].contains(&answer.code), "{answer:?}");
    answer.json()["items"].as_array().is_some_and(|items| !items.is_empty())
}

#[tokio::test]
async fn a_cloned_node_is_found_out_and_its_home_goes_on_in_an_approved_epoch() {
    let mut cluster = Cluster::found(FOUNDER).await;
    cluster.join(POINT, FOUNDER).await;
    let guangdong = cluster.admin(FOUNDER).await;
    let london = cluster.admin(POINT).await;
    person("Early").create_shown(&cluster, &london).await;
    cluster.eventually("Guangdong has it", async || shows(&guangdong, "Early").await).await;
    cluster.stop(POINT).await;
    let (place, aside) = (cluster.path(POINT), scratch(&cluster));
    copy_directory(&place, &aside.join("clone"));

    // Each goes on by itself from where they parted.
    cluster.start(POINT).await;
    let london = cluster.admin(POINT).await;
    person("Original").create_shown(&cluster, &london).await;
    cluster.eventually("Guangdong has it", async || shows(&guangdong, "Original").await).await;
    cluster.stop(POINT).await;
    fs::rename(&place, aside.join("original")).expect("put aside");
    fs::rename(aside.join("clone"), &place).expect("put in its place");
    cluster.cut_off(POINT);
    cluster.start(POINT).await;
    let london = cluster.admin(POINT).await;
    // More seals than the original has made: one of them stands under a number that is known.
    for name in ["Clone", "Copied", "Copied again"] {
        person(name).create_shown(&cluster, &london).await;
    }
    cluster.rejoin(POINT);
    let what = "Guangdong has the proof";
    cluster.eventually(what, async || !frozen(&guangdong).await.is_empty()).await;
    let network = format!("{POINT}/network");
    let what = "the clone is told";
    cluster.eventually(what, async || frozen(&london).await.contains(&network)).await;

    // The clone is stopped; the original is told too, and takes nothing that nobody would take from it.
    cluster.stop(POINT).await;
    fs::rename(&place, aside.join("clone")).expect("put aside");
    fs::rename(aside.join("original"), &place).expect("put back");
    cluster.start(POINT).await;
    let london = cluster.admin(POINT).await;
    let what = "London knows what Guangdong knows";
    cluster
        .eventually(what, async || {
            let known = frozen(&guangdong).await;
            !known.is_empty() && frozen(&london).await == known
        })
        .await;
    let known = frozen(&london).await;
    assert!(known.contains(&network), "{known:?}");
    let id = person("Afterwards").create(&cluster, &london).await;
    let consent = ["member", "consent", &id, "--purpose", NETWORK_PURPOSE];
    assert_eq!(london.refused(&consent).await, "FROZEN");
    assert!(shows(&guangdong, "Original").await && !shows(&guangdong, "Clone").await);

    for feed in &known {
        let opened = cluster.yizhand("recover", POINT, &["--feed", feed]).await;
        let opened = opened.expect_code(exit::DONE).json();
        let epoch = opened["items"][0]["epoch_name"].as_str().expect("an epoch").to_owned();
        let unproved = cluster.yizhand("recover", FOUNDER, &["--feed", feed]).await;
        unproved.expect_code(exit::REFUSED);
        let approval = ["--feed", feed, "--epoch", &epoch];
        cluster.yizhand("approve-epoch", FOUNDER, &approval).await.expect_code(exit::DONE);
    }
    london.ask(&consent).await;
    cluster
        .eventually("Guangdong goes on with London", async || {
            shows(&guangdong, "Afterwards").await && frozen(&guangdong).await.is_empty()
        })
        .await;
    cluster.agree().await;
    assert!(shows(&guangdong, "Original").await);

    // The proof is kept, and freezes nothing any more.
    for point in [FOUNDER, POINT] {
        cluster.stop(point).await;
        cluster.start(point).await;
    }
    person("Later").create_shown(&cluster, &cluster.admin(POINT).await).await;
    let guangdong = cluster.admin(FOUNDER).await;
    cluster.eventually("Guangdong has it", async || shows(&guangdong, "Later").await).await;
    cluster.agree().await;
    cluster.assert_faults_fired();
}
