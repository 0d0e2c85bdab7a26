//! A node that holds many cards is asked for lists of them, filtered and not, through gRPC over TLS.

use std::{path::Path, time::Instant};

use anyhow::ensure;
use serde_json::json;
use yizhan_client::channel::Node;
use yizhan_proto::v1::{SearchMembersRequest, SearchMembersResponse};

use crate::{
    cards, nodes,
    office::{Office, Times},
};

/// What is asked, for the card with this number.
type Question = fn(u32) -> SearchMembersRequest;

/// Questions that are asked before anything is counted.
const WARMING: usize = 50;

pub async fn run(dir: &Path, rows: u32, questions: usize) -> anyhow::Result<()> {
    let hub = nodes::founded(dir, rows).await?;
    let office = Office::open(dir, &hub).await?;
    let admin = office.admin().await?;
    let filters: [(&str, Question); 7] = [
        ("all", |_| SearchMembersRequest::default()),
        ("region", |_| SearchMembersRequest { region: "440100".into(), ..Default::default() }),
        ("field", |_| SearchMembersRequest { field: "health".into(), ..Default::default() }),
        ("region_field", |_| SearchMembersRequest {
            region: "44".into(),
            field: "ict".into(),
            ..Default::default()
        }),
        ("language_home", |_| SearchMembersRequest {
            language: "zh".into(),
            home: nodes::HUB.into(),
            ..Default::default()
        }),
        ("name", |number| SearchMembersRequest {
            words: cards::first_two(number),
            ..Default::default()
        }),
        ("name_region", |number| SearchMembersRequest {
            words: cards::first_two(number),
            region: "44".into(),
            ..Default::default()
        }),
    ];
    let mut all = Vec::new();
    for (name, question) in filters {
        let mut times = Vec::with_capacity(questions);
        let began = Instant::now();
        let mut token = String::new();
        for number in 0..WARMING + questions {
            let number = (number as u32).wrapping_mul(7_919) % rows;
            let mut question = question(number);
            // Every other question goes on where the one before ended.
            let goes_on = !token.is_empty() && question.words.is_empty();
            question.page_token = if goes_on { std::mem::take(&mut token) } else { String::new() };
            let began = Instant::now();
            let page = ask(&admin, question).await?;
            times.push(began.elapsed());
            ensure!(!page.items.is_empty(), "nothing was found");
            token = page.next_page_token;
        }
        let times = times.split_off(WARMING);
        all.extend_from_slice(&times);
        tell(name, rows, &Times::new(times, began.elapsed()));
    }
    tell("together", rows, &Times::new(all, std::time::Duration::ZERO));
    office.node.stop().await
}

async fn ask(node: &Node, question: SearchMembersRequest) -> anyhow::Result<SearchMembersResponse> {
    Ok(node.members().search_members(question).await?.into_inner())
}

fn tell(filter: &str, rows: u32, times: &Times) {
    println!(
        "{}",
        json!({
            "bench": "list",
            "filter": filter,
            "rows": rows,
            "page": 50,
            "p50_ms": times.ms(0.5),
            "p99_ms": times.ms(0.99),
        })
    );
}
