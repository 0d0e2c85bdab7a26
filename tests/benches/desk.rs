//! A desk with many past requests opens its queue.

use std::{fmt::Write, path::Path, time::Instant};

use anyhow::ensure;
use serde_json::json;
use yizhan_proto::v1;
use yizhan_server::domain::help_reference::Reference;

use crate::{
    help::{self, Call},
    office::Times,
};

/// Open requests beside the past ones.
const OPEN: usize = 500;
/// Times that the queue is opened.
const OPENED: usize = 300;
const COLUMNS: &str = "request_id,ref,received_at,channel,country,region_code,category,urgency,lang,\
audience,client_name,client_email,client_phone,text,supply_lines,advice_slot_at,attachments,\
origin_point,owner_point,route_rule,first_response_target_min,status,triaged_at,assigned_at,\
first_responded_at,waiting_since,paused_min,resolved_at,closed_at,reopened,rating,outcome_code,\
redirected_to,duplicate_of\n";

pub async fn run(dir: &Path, past: usize) -> anyhow::Result<()> {
    let office = help::office(dir).await?;
    let visitor = office.visitor().await?;
    for number in 0..OPEN {
        visitor.help_requests().submit_help_request(Call::new(number).request).await?;
    }
    let began = Instant::now();
    let tables = dir.join("requests");
    std::fs::create_dir_all(&tables)?;
    std::fs::write(tables.join("requests.csv"), table(past)?)?;
    let report = office.yizhan(&["import"], &tables).await?;
    let (accepted, first) = (&report["accepted"], &report["rejected"][0]);
    ensure!(*accepted == past, "{accepted} of {past} requests went in; first refused: {first}");
    let took = began.elapsed();

    let admin = office.admin().await?;
    for state in [v1::HelpState::Unspecified, v1::HelpState::Closed] {
        let mut times = Vec::with_capacity(OPENED);
        let began = Instant::now();
        for _ in 0..OPENED {
            let request = v1::ListDeskRequestsRequest { state: state.into(), ..Default::default() };
            let began = Instant::now();
            let page = admin.desk().list_desk_requests(request).await?.into_inner();
            times.push(began.elapsed());
            ensure!(page.items.len() == 50, "{} requests in the queue", page.items.len());
        }
        let times = Times::new(times, began.elapsed());
        println!(
            "{}",
            json!({
                "bench": "desk_queue",
                "state": if state == v1::HelpState::Closed { "closed" } else { "open" },
                "past": past,
                "open": OPEN,
                "p50_ms": times.ms(0.5),
                "p99_ms": times.ms(0.99),
                "past_imported_per_s": (past as f64 / took.as_secs_f64()).round(),
            })
        );
    }
    office.node.stop().await
}

/// Closed requests of past years.
fn table(past: usize) -> anyhow::Result<String> {
    let mut rows = COLUMNS.to_owned();
    for number in 0..past {
        let (day, minute, second) = (number % 28 + 1, number / 60 % 60, number % 60);
        let month = number / 28 % 12 + 1;
        let at = format!("2022-{month:02}-{day:02}");
        let reference = Reference::new("GD", 2022, number as u32 + 1);
        writeln!(
            rows,
            "R-{number:06},{reference},{at}T01:{minute:02}:{second:02}Z,web,CN,440100,legal,normal,zh-Hans,\
             self,,,,question {number},,,,CN-440000,CN-440000,area=44 category=legal lang=zh-Hans,\
             480,closed,{at}T02:{minute:02}:{second:02}Z,{at}T03:{minute:02}:{second:02}Z,\
             {at}T04:{minute:02}:{second:02}Z,,0,{at}T05:{minute:02}:{second:02}Z,\
             {at}T06:{minute:02}:{second:02}Z,0,5,advised,,",
        )?;
    }
    Ok(rows)
}
