//! What is taken out is what the caller may see, and is in the audit.

use tokio::sync::mpsc;
use yizhan_proto::v1;

use super::*;
use crate::{
    app::{
        audit,
        error::Result,
        groups,
        import::Order,
        members, points, records,
        samples::{FILES, FOUNDER, Node, account, admin, also, founder},
    },
    domain::{id::RecordId, policy::Role},
    identity::caller::Caller,
};

fn asked(kind: ExportKind) -> Asked {
    Asked {
        kind,
        words: String::new(),
        region: String::new(),
        field: String::new(),
        language: String::new(),
        role: None,
        home: None,
        host: None,
        state: String::new(),
        series: String::new(),
    }
}

/// Columns and rows of a whole export.
async fn taken(
    node: &Node,
    caller: &Caller,
    asked: Asked,
) -> Result<(Vec<&'static str>, Vec<Vec<String>>)> {
    let (pieces, mut made) = mpsc::channel(2);
    let (mut columns, mut rows, mut end) = (Vec::new(), Vec::new(), None);
    let read = async {
        while let Some(piece) = made.recv().await {
            match piece {
                Piece::Columns(names) => columns = names,
                Piece::Rows(page) => rows.extend(page),
                Piece::End { rows } => end = Some(rows),
            }
        }
    };
    let (done, ()) = tokio::join!(run(&node.app, caller, asked, pieces), read);
    done?;
    assert_eq!(end, Some(rows.len() as u64));
    assert!(rows.iter().all(|row| row.len() == columns.len()));
    Ok((columns, rows))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_and_rows_are_those_that_the_caller_may_see() {
    let node = founder().await;
    node.import(&FILES, Order::default()).await;
    let (columns, rows) = taken(&node, &admin(FOUNDER), asked(ExportKind::Member)).await.unwrap();
    assert_eq!(rows.len(), 1_200);
    let at = |name: &str| columns.iter().position(|column| *column == name).unwrap();
    assert!(rows.iter().any(|row| row[at("phone")].starts_with("+86")));

    let network = account(Role::ProvincialAdmin, FOUNDER);
    let refused = taken(&node, &network, asked(ExportKind::Member)).await.map(|_| ());
    assert_eq!(refused.unwrap_err().kind().1, "DENIED", "the province takes no list of members");

    // Of a hosted point's own members everything, of the others their cards.
    let (columns, rows) = taken(&node, &admin("HK"), asked(ExportKind::Member)).await.unwrap();
    let at = |name: &str| columns.iter().position(|column| *column == name).unwrap();
    for row in &rows {
        assert_eq!(row[at("audience")] == "home", row[at("home_point")] == "HK");
        assert!(row[at("audience")] == "home" || row[at("email")].is_empty());
    }
    for refused in [Caller::Anonymous, account(Role::Member, FOUNDER)] {
        assert!(taken(&node, &refused, asked(ExportKind::Member)).await.is_err());
    }
    let (_, events) = taken(&node, &network, asked(ExportKind::Event)).await.unwrap();
    assert!(events.len() > 50);
    for (kind, count) in [(ExportKind::Org, 210), (ExportKind::Group, 11), (ExportKind::Series, 8)]
    {
        assert_eq!(taken(&node, &network, asked(kind)).await.unwrap().1.len(), count, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consents_and_places_are_taken_out_as_they_are_brought_in() {
    let node = founder().await;
    let (app, staff) = (&node.app, admin(FOUNDER));
    node.import(&FILES, Order::default()).await;
    let page = members::search(app, &staff, members::Search::default()).await.unwrap();
    let member = page.items[0].id.clone();
    let given = v1::Grant {
        member: member.clone(),
        purpose: "board.listing".into(),
        text_version: "v2".into(),
        text_language: "en".into(),
        given_via: 2,
        evidence_hash: vec![7; 32],
        ..Default::default()
    };
    members::give(app, &staff, given, "").await.unwrap();

    let (columns, rows) = taken(&node, &staff, asked(ExportKind::Grant)).await.unwrap();
    assert_eq!(rows.len(), 3_401);
    let at = |name: &str| columns.iter().position(|column| *column == name).unwrap();
    let own = rows.iter().find(|row| row[at("purpose")] == "board.listing" && row[0].len() == 36);
    assert!(own.is_some(), "what came from no file is called by its id");
    let report = node.import(&[("grants.csv", &file(&columns, &rows))], Order::default()).await;
    assert_eq!((report.accepted, report.unchanged, report.rejected_rows), (0, 3_401, 0));

    let (columns, rows) = taken(&node, &staff, asked(ExportKind::GroupMember)).await.unwrap();
    assert_eq!(rows.len(), 363);
    let files = [("group_members.csv", &*file(&columns, &rows))];
    let report = node.import(&files, Order::default()).await;
    assert_eq!((report.accepted, report.unchanged, report.rejected_rows), (0, 363, 0));
    for kind in [ExportKind::Grant, ExportKind::GroupMember] {
        let network = account(Role::ProvincialAdmin, FOUNDER);
        assert!(taken(&node, &network, asked(kind)).await.is_err(), "they do not leave home");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_and_groups_that_were_taken_out_and_are_brought_in_again_change_nothing() {
    let node = founder().await;
    let (app, staff) = (&node.app, admin(FOUNDER));
    node.import(&FILES, Order::default()).await;
    // Somebody, and a group, that came from no file.
    let name = |script, family: &str, given: &str, full: &str, order, key: &str| v1::PersonName {
        script,
        family: family.into(),
        given: given.into(),
        full: full.into(),
        order,
        sort_key: key.into(),
    };
    let member = v1::Member {
        state: 2,
        names: vec![
            name(1, "欧阳", "若晴", "欧阳若晴", 1, "ouyang ruoqing"),
            name(2, "歐陽", "若晴", "歐陽若晴", 1, ""),
            name(3, "Ouyang", "Ruoqing", "Ruoqing Ouyang", 2, ""),
        ],
        preferred_script: 1,
        preferred_language: "zh-Hans".into(),
        other_languages: vec!["en".into()],
        city_code: "440100".into(),
        phone: "+8613800138000".into(),
        study: Some(v1::member::Study {
            country: "GB".into(),
            institution: "School of the Arts".into(),
            subject: "Stage lighting".into(),
            ..Default::default()
        }),
        skills: vec!["lighting".into(), "sound".into()],
        ..Default::default()
    };
    let new = members::New { member, ..members::New::default() };
    let made = members::create(app, &staff, new).await.unwrap();
    let group = v1::Group {
        kind: 2,
        titles: vec![v1::LocalText { language: "en".into(), text: "Liaison".into() }],
        scope_region: "440100".into(),
        state: 2,
        ..Default::default()
    };
    groups::create(app, &staff, group, None, "").await.unwrap();
    let id = RecordId::parse(&made.id, "id").unwrap();
    let stored = async || {
        let found = records::find(app, id).await.unwrap();
        found
            .iter()
            .map(|found| (found.feed.clone(), found.row.payload.clone()))
            .collect::<Vec<_>>()
    };
    let before = stored().await;

    let (columns, rows) = taken(&node, &staff, asked(ExportKind::Member)).await.unwrap();
    let members_file = file(&columns, &rows);
    let (columns, rows) = taken(&node, &staff, asked(ExportKind::Group)).await.unwrap();
    let groups_file = file(&columns, &rows);
    let (columns, rows) = taken(&node, &staff, asked(ExportKind::Grant)).await.unwrap();
    let grants_file = file(&columns, &rows);
    for files in [
        &[("members.csv", &*members_file)][..],
        &[("groups.csv", &*groups_file)],
        &[("members.csv", &*members_file), ("grants.csv", &*grants_file)],
    ] {
        let report = node.import(files, Order::default()).await;
        let names: Vec<_> = files.iter().map(|(name, _)| name).collect();
        assert_eq!((report.accepted, report.rejected_rows), (0, 0), "{names:?}: {report:?}");
        assert_eq!(report.unchanged, report.rows, "{names:?}: {report:?}");
    }
    assert_eq!(stored().await, before);

    // A file that has no column for institution and subject leaves them.
    let without = |line: &str| line.replace("\"institution\"", "\"x\"");
    let bare = without(&members_file).replace("\"subject\"", "\"y\"").replace("sound", "noise");
    let report = node.import(&[("members.csv", &bare)], Order::default()).await;
    assert_eq!((report.accepted, report.rejected_rows), (1, 0), "{report:?}");
    let seen = members::get(app, &staff, id).await.unwrap().seen;
    let v1::get_member_response::Seen::Member(member) = seen else { panic!("{seen:?}") };
    let study = member.study.unwrap();
    assert_eq!((&*study.institution, &*study.subject), ("School of the Arts", "Stage lighting"));
    assert_eq!(member.skills, ["lighting", "noise"]);

    // Whoever was erased since does not come back by the file.
    let own = Caller::Account {
        account: crate::domain::account::AccountId([5; 16]),
        name: "own".into(),
        role: Role::Member,
        point: staff.point().unwrap().clone(),
        also: Vec::new(),
        member: Some(id),
        own_word: crate::domain::account::OwnWord::Own,
        purpose: None,
        expires: crate::domain::time::Time(i64::MAX),
    };
    members::erase(app, &own, id, members::Wish::default()).await.map(|_| ()).unwrap();
    let report = node.import(&[("members.csv", &members_file)], Order::default()).await;
    assert_eq!((report.accepted, report.rejected_rows), (0, 1), "{report:?}");
    assert!(members::get(app, &staff, id).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_without_a_number_is_the_same_whenever_the_file_comes() {
    let node = founder().await;
    let staff = admin(FOUNDER);
    node.import(&FILES, Order::default()).await;
    let places = async || taken(&node, &staff, asked(ExportKind::GroupMember)).await.unwrap().1;
    let before = places().await;
    let (group, seated) = (before[0][0].clone(), before[0][2].clone());
    let others: Vec<String> = {
        let (columns, rows) = taken(&node, &staff, asked(ExportKind::Member)).await.unwrap();
        let at = |name: &str| columns.iter().position(|column| *column == name).unwrap();
        let is_free = |id: &&String| before.iter().all(|row| row[2] != **id);
        let active = rows.iter().filter(|row| row[at("state")] == "active");
        active.map(|row| &row[at("member_id")]).filter(is_free).take(2).cloned().collect()
    };
    // Two of them are new in the group, one has a place with a number.
    let line = |member: &str| format!("{group},{member},key_contact,enrolled\n");
    let header = "group_id,member_id,role,state\n".to_owned();
    let text = header.clone() + &others.iter().map(|id| line(id)).collect::<String>();
    let file = [("group_members.csv", &*text)];
    let report = node.import(&file, Order::default()).await;
    assert_eq!((report.accepted, report.rejected_rows), (2, 0), "{report:?}");
    let after = places().await;
    assert_eq!(after.len(), before.len() + 2);
    let report = node.import(&file, Order::default()).await;
    assert_eq!((report.accepted, report.unchanged), (0, 2), "{report:?}");
    let (role, state, from) = (&before[0][3], &before[0][4], &before[0][5]);
    let text =
        format!("group_id,member_id,role,state,from_on\n{group},{seated},{role},{state},{from}\n");
    node.import(&[("group_members.csv", &*text)], Order::default()).await;
    assert_eq!(places().await.len(), after.len(), "who has a place keeps that one");
}

/// A table as a file.
fn file(columns: &[&'static str], rows: &[Vec<String>]) -> String {
    let marked = |cell: &str| if cell.starts_with('+') { format!("'{cell}") } else { cell.into() };
    let quoted = |cell: &str| format!("\"{}\"", marked(cell).replace('"', "\"\""));
    let line =
        |cells: &[String]| cells.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(",");
    let header: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
    let lines = std::iter::once(line(&header)).chain(rows.iter().map(|row| line(row)));
    lines.map(|line| line + "\n").collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn points_that_were_taken_out_and_are_brought_in_again_change_nothing() {
    let node = founder().await;
    let (app, province) = (&node.app, account(Role::ProvincialAdmin, FOUNDER));
    node.import(&FILES, Order::default()).await;
    let code = FOUNDER.parse().unwrap();
    let mut entry = points::get(app, &province, &code).await.unwrap().point;
    let text =
        |language: &str, text: &str| v1::LocalText { language: language.into(), text: text.into() };
    let day = |month, day| Some(v1::Date { year: 2023, month, day });
    entry.names.push(text("pt", "Ponto"));
    entry.hours = vec![v1::point::Hours {
        days: vec![1, 2, 5],
        opens_minute: 540,
        closes_minute: 720,
        valid_from: day(6, 1),
        ..Default::default()
    }];
    entry.closures = vec![v1::point::Closure {
        from: day(10, 1),
        to: day(10, 3),
        cover: "GB-LON".into(),
        notes: vec![text("en", "Holiday")],
    }];
    entry.areas = vec![v1::point::Area {
        prefix: "44".into(),
        languages: vec!["en".into(), "yue".into()],
        priority: 3,
    }];
    entry.channels = vec![v1::Handle { service: "wechat".into(), value: "yizhan".into() }];
    entry.state = 3;
    (entry.paused_from, entry.paused_to) = (day(7, 1), day(8, 1));
    entry.cover = "GB-LON".into();
    let wish = points::Wish { point: entry, detail: None, notes: None };
    // Whose word both the entry and its areas are.
    let both = also(admin(FOUNDER), Role::ProvincialAdmin, FOUNDER);
    assert!(matches!(points::update(app, &both, wish).await, Ok(points::Answer::Done(_))));

    let all = || taken(&node, &province, asked(ExportKind::Point));
    let (columns, rows) = all().await.unwrap();
    let report = node.import(&[("points.csv", &file(&columns, &rows))], Order::default()).await;
    assert_eq!(report.rejected, []);
    assert_eq!((report.accepted, report.unchanged), (0, rows.len() as u64));

    // A file without a column says nothing of it, and areas are the province's word.
    let kept = ["point_id", "short", "kind", "status", "region_code", "tz", "areas", "name_en"];
    let at: Vec<usize> =
        kept.iter().map(|name| columns.iter().position(|known| known == name).unwrap()).collect();
    let narrow = |row: &Vec<String>| at.iter().map(|at| row[*at].clone()).collect::<Vec<_>>();
    let mut few: Vec<Vec<String>> =
        rows.iter().filter(|row| row[0] == FOUNDER).map(narrow).collect();
    (few[0][6], few[0][7]) = ("GB".into(), "Guangdong".into());
    let report = node.import(&[("points.csv", &file(&kept, &few))], Order::default()).await;
    assert_eq!((report.accepted, report.rejected_rows), (1, 0), "{report:?}");
    let remark = report.remarks.iter().find(|remark| remark.reason == "needs_approval").unwrap();
    assert_eq!((remark.row, &*remark.field), (1, "areas"));
    let mut renamed = rows.clone();
    let row = renamed.iter_mut().find(|row| row[0] == FOUNDER).unwrap();
    let name = columns.iter().position(|known| *known == "name_en").unwrap();
    row[name] = "Guangdong".into();
    assert_eq!(all().await.unwrap().1, renamed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_is_in_the_audit_and_has_a_budget_of_the_day() {
    let node = founder().await;
    node.import(&FILES, Order::default()).await;
    let staff = admin(FOUNDER);
    let members = || taken(&node, &staff, asked(ExportKind::Member));
    let exports = (audit::EXPORT_ROWS_PER_DAY / 1_200) as usize;
    for _ in 0..exports {
        assert_eq!(members().await.unwrap().1.len(), 1_200);
    }
    let refused = members().await.unwrap_err();
    assert_eq!(refused.kind().1, "EXPORT_BUDGET");
    // Nobody's secret has no budget.
    assert!(taken(&node, &staff, asked(ExportKind::Event)).await.is_ok());
    let asked = audit::Asked { page_size: 100, ..audit::Asked::default() };
    let page = audit::list(&node.app, &account(Role::Auditor, FOUNDER), asked).await.unwrap();
    let mut lines = page.lines.iter().filter(|line| line.operation == "export");
    assert!(lines.any(|line| line.outcome.starts_with("event rows=")), "{:?}", page.lines);
}
