//! Members and their consents from CSV files through the client: `yizhan import`, from its start to
//! its report.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, ensure};
use serde_json::json;
use yizhan_server::{found, outside::Outside};

use crate::{cards, nodes, office::Office};

const MEMBERS: &str = "member_id,home_point,state,joined_on,name_zh_hans,family_zh,given_zh,\
name_latin,family_latin,given_latin,name_order,preferred_script,sort_key,preferred_lang,city_code,\
phone,email,study_country,study_from,study_to,degree_isced,field_group,field_isced_f,roles,\
created_at,updated_at\n";
const GRANTS: &str = "grant_id,member_id,purpose,scope,text_version,text_lang,given_via,given_at,\
state,asserted_by\n";

pub async fn run(dir: &Path, members: u32) -> anyhow::Result<()> {
    let hub = dir.join("hub");
    found::found(&hub, "bench", &nodes::HUB.parse()?, nodes::place(), &Outside::real()).await?;
    let tables = tables(dir, members)?;
    let office = Office::open(dir, &hub).await?;

    let began = Instant::now();
    let report = office.yizhan(&["import"], &tables).await?;
    let took = began.elapsed();
    let rows = report["rows"].as_u64().context("no rows in the report")?;
    ensure!(report["accepted"] == rows, "not all rows went in: {report}");
    println!(
        "{}",
        json!({
            "bench": "import",
            "members": members,
            "rows": rows,
            "rows_per_s": (rows as f64 / took.as_secs_f64()).round(),
            "took_s": took.as_secs_f64(),
        })
    );
    office.node.stop().await
}

/// members.csv and grants.csv: two consents each, to be shown in the network and to be written to.
fn tables(dir: &Path, members: u32) -> anyhow::Result<PathBuf> {
    let (mut people, mut consents) = (MEMBERS.to_owned(), GRANTS.to_owned());
    for number in 0..members {
        let (full, family_latin, given_latin) = cards::name(number);
        let family: String = full.chars().take(1).collect();
        let given: String = full.chars().skip(1).collect();
        let (day, second) = (number % 28 + 1, number % 60);
        writeln!(
            people,
            "M-{number:06},{home},active,2021-11-{day:02},{full},{family},{given},\
             {family_latin} {given_latin},{family_latin},{given_latin},family_first,zh-Hans,\
             {family_latin} {given_latin},zh-Hans,440100,+86154{number:08},\
             m{number}@mail.example,GB,2014,2016,7,engineering,0715,,\
             2021-11-{day:02}T01:03:{second:02}Z,2023-06-22T10:26:02Z",
            home = nodes::HUB,
        )?;
        for (at, purpose) in ["profile.network", "contact.by_members"].iter().enumerate() {
            writeln!(
                consents,
                "C-{number:06}{at},M-{number:06},{purpose},,v2,zh-Hans,web,\
                 2022-06-25T05:{second:02}:12Z,given,",
            )?;
        }
    }
    let tables = dir.join("tables");
    std::fs::create_dir_all(&tables)?;
    std::fs::write(tables.join("members.csv"), people)?;
    std::fs::write(tables.join("grants.csv"), consents)?;
    Ok(tables)
}
