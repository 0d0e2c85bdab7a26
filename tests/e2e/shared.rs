//! Two nodes of one point on one PostgreSQL: both serve and write, one leads; when that one is killed in
//! the middle of writes, the other goes on, and nothing that was acknowledged is lost or doubled.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use sqlx::{Connection, PgConnection};
use yizhan_client::{channel::Node, document};
use yizhan_proto::v1;
use yizhan_tests::{
    client::{Client, exit},
    cluster::{ADMIN, Cluster},
    postgres::Postgres,
    waiting::eventually,
};

use crate::people::{erase_by_two, person};

const PROVINCE: &str = "CN-440000";
const POINT: &str = "CN-440100";
const BESIDE: &str = "CN-440100-beside";
/// People who write at each node.
const WRITERS: usize = 4;
/// Acknowledged writes of each node before the leader is killed, and at the other one afterwards.
const BEFORE: usize = 60;
const AFTER: usize = 60;
/// A lease runs out within 15 s, and a link is dialled within seconds from then.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(60);
const WRITTEN_WITHIN: Duration = Duration::from_secs(90);

/// Writes of one node: ids that were acknowledged.
#[derive(Clone, Default)]
struct Acknowledged(Arc<std::sync::Mutex<Vec<String>>>);

impl Acknowledged {
    fn add(&self, id: String) {
        self.0.lock().unwrap().push(id);
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// A member whom nobody takes for another one.
fn member(number: usize) -> v1::Member {
    let mut document = person(&format!("Shared{number}")).document();
    document["phone"] = json!(format!("+8613{number:09}"));
    let document: document::member::Member = document::read(document).expect("a member");
    v1::Member::try_from(&document).expect("a member")
}

/// People who create members at a node until they are stopped or nobody answers any more.
fn write(node: &Node, first: usize, stop: &Arc<AtomicBool>) -> Acknowledged {
    let acknowledged = Acknowledged::default();
    for writer in 0..WRITERS {
        let (node, stop, acknowledged) = (node.clone(), stop.clone(), acknowledged.clone());
        tokio::spawn(async move {
            let mut number = first + writer;
            while !stop.load(Ordering::Relaxed) {
                let request = v1::CreateMemberRequest {
                    member: Some(member(number)),
                    ..v1::CreateMemberRequest::default()
                };
                match node.members().create_member(request).await {
                    Ok(made) => acknowledged.add(made.into_inner().member.expect("a member").id),
                    // The node is gone, or not yet sure of its feeds: asked again.
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
                number += WRITERS;
            }
        });
    }
    acknowledged
}

async fn is_leader(client: &Client) -> bool {
    client.status().await["role"] == "leader"
}

async fn is_linked(province: &Client) -> bool {
    let status = province.status().await;
    let links = status["links"].as_array().cloned().unwrap_or_default();
    links.iter().any(|link| link["peer"] == POINT && link["state"] == "connected")
}

/// Sequence numbers of the point's home records, and how many of these there are.
async fn sequences(url: &str) -> (Vec<i64>, i64) {
    let mut db = PgConnection::connect(url).await.expect("the database");
    let sql = "select position & ((1::bigint << 40) - 1) from records
               where slot = (select slot from copies where home = $1 and audience = 2 and state = 1)
               order by position";
    let all: Vec<i64> =
        sqlx::query_scalar(sql).bind(POINT).fetch_all(&mut db).await.expect("sequences");
    let sql = "select sequence from copies where home = $1 and audience = 2 and state = 1";
    let newest: i64 = sqlx::query_scalar(sql).bind(POINT).fetch_one(&mut db).await.expect("a copy");
    (all, newest)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_point_with_two_nodes_loses_nothing_when_the_leader_is_killed() {
    let url = Postgres::database().await;
    let mut cluster = Cluster::found(PROVINCE).await;
    cluster.join_on(POINT, PROVINCE, &url).await;
    cluster.join_beside(BESIDE, POINT, PROVINCE, &url).await;
    cluster.agree().await;

    // Both start anew and are written to from the first moment, before either knows who leads.
    for name in [POINT, BESIDE] {
        cluster.kill(name).await;
    }
    for name in [POINT, BESIDE] {
        cluster.start(name).await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let mut written = Vec::new();
    for (first, name) in [(0, POINT), (1_000_000, BESIDE)] {
        written.push((name, write(&cluster.caller(name, ADMIN).await, first, &stop)));
    }
    eventually("both have written", WRITTEN_WITHIN, async || {
        written.iter().all(|(_, acknowledged)| acknowledged.count() >= BEFORE)
    })
    .await;
    let (one, other) = (cluster.admin(POINT).await, cluster.admin(BESIDE).await);
    eventually("one of them leads", TAKEN_OVER_WITHIN, async || {
        is_leader(&one).await != is_leader(&other).await
    })
    .await;
    let (leader, follower) = if is_leader(&one).await { (POINT, BESIDE) } else { (BESIDE, POINT) };
    cluster.kill(leader).await;

    let rest = written.iter().find(|(name, _)| *name == follower).expect("its writes").1.clone();
    let so_far = rest.count();
    eventually("the other one writes on", WRITTEN_WITHIN, async || rest.count() >= so_far + AFTER)
        .await;
    stop.store(true, Ordering::Relaxed);
    let survivor = cluster.admin(follower).await;
    eventually("the other one leads", TAKEN_OVER_WITHIN, async || is_leader(&survivor).await).await;
    let province = cluster.admin(PROVINCE).await;
    eventually("and is linked", TAKEN_OVER_WITHIN, async || is_linked(&province).await).await;

    // All that was acknowledged is there once, by whichever node.
    let acknowledged: Vec<String> =
        written.iter().flat_map(|(_, acknowledged)| acknowledged.all()).collect();
    let ids: BTreeSet<&String> = acknowledged.iter().collect();
    assert_eq!(ids.len(), acknowledged.len(), "no id was given twice");
    let members = survivor.list(&["member", "search", "--home", POINT]).await;
    let found: BTreeSet<String> =
        members.iter().filter_map(|one| one["id"].as_str().map(str::to_owned)).collect();
    let lost: Vec<&&String> = ids.iter().filter(|id| !found.contains(**id)).collect();
    assert_eq!(lost.len(), 0, "{lost:?}");
    // Only members were put into the home feed, each once: its numbers have neither hole nor double.
    let (sequences, newest) = sequences(&url).await;
    assert_eq!(sequences, (1..=newest).collect::<Vec<i64>>());

    // What is disclosed from now on goes its way by the node that is left.
    person("Afterwards").create_shown(&cluster, &survivor).await;
    eventually("the province has it", TAKEN_OVER_WITHIN, async || {
        province.finds("Afterwards").await.len() == 1
    })
    .await;
    cluster.agree().await;
    cluster.yizhand("verify", follower, &[]).await.expect_code(exit::DONE);

    // The killed one comes back as one of the two.
    cluster.start(leader).await;
    let back = cluster.admin(leader).await;
    assert_eq!(back.finds("Afterwards").await.len(), 1);
    cluster.agree().await;
    for name in [POINT, BESIDE, PROVINCE] {
        cluster.yizhand("verify", name, &[]).await.expect_code(exit::DONE);
    }

    // Whom one of them erases, the other's ledger outside the database knows too.
    let gone = person("Afterwards's Neighbour").create(&cluster, &back).await;
    erase_by_two(&cluster, leader, &gone).await;
    assert_eq!(survivor.refused(&["member", "get", &gone]).await, "NOT_FOUND");
    let digits: Vec<u8> = gone.bytes().filter(|digit| *digit != b'-').collect();
    let id: Vec<u8> = digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).expect("digits"), 16).expect("hex"))
        .collect();
    eventually("both keep the order", TAKEN_OVER_WITHIN, async || {
        [leader, follower].iter().all(|name| {
            let ledger = std::fs::read(cluster.path(name).join("erasures")).unwrap_or_default();
            ledger.windows(id.len()).any(|window| window == id)
        })
    })
    .await;
}
