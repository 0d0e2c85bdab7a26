//! Strangers ask for help, and look up how it stands: durable submissions and look-ups over TLS, as
//! many as the node takes.

use std::{path::Path, sync::Arc};

use serde_json::json;
use yizhan_client::{
    channel::Node,
    sealed::{self, TrackingCode},
};
use yizhan_proto::v1;
use yizhan_server::{found, outside::Outside};

use crate::{
    nodes,
    office::{Office, in_flight},
};

/// Connections, and calls in flight on each.
const CONNECTIONS: usize = 4;
const EACH: usize = 16;
/// What goes before the measuring.
const WARMING: usize = 4_000;
/// Bytes of a request's text: as many as the peer's rows have.
const TEXT: usize = 400;

/// A call for help that is ready to be sent, and what leads back to it.
pub struct Call {
    pub request: v1::SubmitHelpRequestRequest,
    secret: v1::HelpSecret,
}

impl Call {
    pub fn new(number: usize) -> Call {
        let code = TrackingCode::random();
        let content_key = sealed::random_key();
        let (lookup_id, mac_key) = (code.lookup_id(), code.mac_key());
        let secret = v1::HelpSecret { lookup_id: lookup_id.to_vec(), mac_key: mac_key.to_vec() };
        let wrap = sealed::seal_exactly(
            &code.reply_key(),
            "client wrap",
            &lookup_id,
            content_key.as_ref(),
        );
        let mut text = format!("question {number}: ");
        text.extend(std::iter::repeat_n('x', TEXT.saturating_sub(text.len())));
        let request = v1::SubmitHelpRequestRequest {
            category: "legal".to_owned(),
            country: "CN".to_owned(),
            region_code: "440100".to_owned(),
            language: "zh-Hans".to_owned(),
            content: Some(v1::HelpContent { text, ..Default::default() }),
            key: uuid_v7(),
            secret: Some(secret.clone()),
            content_key: content_key.to_vec(),
            client_wrap: wrap,
            ..Default::default()
        };
        Call { request, secret }
    }
}

fn uuid_v7() -> String {
    yizhan_server::outside::Outside::real().record_id().to_string()
}

/// A node with the reference data's points, ready to be asked.
pub async fn office(dir: &Path) -> anyhow::Result<Office> {
    let hub = dir.join("hub");
    found::found(&hub, "bench", &nodes::HUB.parse()?, nodes::place(), &Outside::real()).await?;
    let office = Office::open(dir, &hub).await?;
    let points = dir.join("points");
    std::fs::create_dir_all(&points)?;
    let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/../server/data/demo/points.csv");
    std::fs::copy(demo, points.join("points.csv"))?;
    office.yizhan(&["import"], &points).await?;
    Ok(office)
}

pub async fn run(dir: &Path, submissions: usize, lookups: usize) -> anyhow::Result<()> {
    let office = office(dir).await?;
    let mut nodes = Vec::new();
    for _ in 0..CONNECTIONS {
        nodes.push(office.visitor().await?);
    }
    let warming: Arc<Vec<Call>> = Arc::new((0..WARMING).map(Call::new).collect());
    submitted(&nodes, &warming).await?;
    let calls: Arc<Vec<Call>> = Arc::new((0..submissions).map(Call::new).collect());
    let before = office.cpu()?;
    let times = submitted(&nodes, &calls).await?;
    let cpu = office.cpu()?.each(&before, submissions);
    println!(
        "{}",
        json!({
            "bench": "help_submit",
            "submissions": submissions,
            "in_flight": CONNECTIONS * EACH,
            "per_s": times.per_s(),
            "p50_ms": times.ms(0.5),
            "p99_ms": times.ms(0.99),
            "max_ms": times.ms(1.0),
            "cpu_us_each": {"node": cpu.node_us, "asker": cpu.asker_us},
            "peak_memory_mib": office.peak_mib()?,
        })
    );

    let references = known(&nodes, &calls).await?;
    let before = office.cpu()?;
    let times = tracked(&nodes, references, lookups).await?;
    let cpu = office.cpu()?.each(&before, lookups);
    println!(
        "{}",
        json!({
            "bench": "help_track",
            "requests": submissions,
            "lookups": lookups,
            "in_flight": CONNECTIONS * EACH,
            "per_s": times.per_s(),
            "p50_ms": times.ms(0.5),
            "p99_ms": times.ms(0.99),
            "cpu_us_each": {"node": cpu.node_us, "asker": cpu.asker_us},
            "peak_memory_mib": office.peak_mib()?,
        })
    );
    office.node.stop().await
}

async fn submitted(nodes: &[Node], calls: &Arc<Vec<Call>>) -> anyhow::Result<crate::office::Times> {
    let (each, count) = (calls.clone(), calls.len());
    in_flight(nodes, EACH, count, move |node, number| {
        let request = each[number].request.clone();
        async move {
            node.help_requests().submit_help_request(request).await?;
            Ok(())
        }
    })
    .await
}

/// References of some calls, and what leads to each.
type Known = Arc<Vec<(String, v1::HelpSecret)>>;

/// Sends calls again: the same key has the same answer, so who holds a code learns its reference.
async fn known(nodes: &[Node], calls: &Arc<Vec<Call>>) -> anyhow::Result<Known> {
    let known = calls.len().min(LOOKED_UP);
    let mut references = Vec::with_capacity(known);
    for at in 0..known {
        let call = &calls[at * (calls.len() / known)];
        let again = nodes[at % nodes.len()].help_requests();
        let answer = { again }.submit_help_request(call.request.clone()).await?.into_inner();
        references.push((answer.reference, call.secret.clone()));
    }
    Ok(Arc::new(references))
}

/// Looks requests up by their references.
async fn tracked(
    nodes: &[Node],
    references: Known,
    lookups: usize,
) -> anyhow::Result<crate::office::Times> {
    in_flight(nodes, EACH, lookups, move |node, number| {
        let (reference, secret) = references[number * 7 % references.len()].clone();
        async move {
            let request = v1::TrackHelpRequestRequest {
                reference: reference.clone(),
                secret: Some(secret),
                message_limit: 0,
            };
            let found = node.help_requests().track_help_request(request).await?.into_inner();
            anyhow::ensure!(found.reference == reference, "another request was found");
            Ok(())
        }
    })
    .await
}

/// Different requests that are looked up.
const LOOKED_UP: usize = 2_000;
