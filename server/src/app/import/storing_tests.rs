//! Imports into a node: everything goes in once, and nothing that was done here is taken back.

use yizhan_proto::v1;

use super::Order;
use crate::{
    app::{
        App, events, members,
        records::{self, Found},
        samples::{FILES, FOUNDER, Node, admin, founder},
    },
    domain::{
        analyzer::{Filter, filter},
        id::RecordId,
        kind::Kind,
        member::MemberState,
        policy::Operation,
    },
    feed::heads::Heads,
    identity::caller::Caller,
};

/// Epoch, sequence and digest of every feed here.
fn states(heads: &Heads) -> Vec<String> {
    let digest = |held: crate::feed::heads::Held| held.seal.map(|seal| seal.statement().digest);
    let state = |(feed, view): (_, crate::feed::heads::View)| {
        let held = view.held?;
        Some(format!("{feed} {:?} {} {:?}", held.epoch, held.sequence.0, digest(held.clone())))
    };
    heads.all().into_iter().filter_map(state).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_import_changes_nothing() {
    let node = founder().await;
    let lines: usize = FILES.iter().map(|(_, text)| text.lines().count() - 1).sum();
    let dry = node.import(&FILES, Order { dry_run: true, ..Order::default() }).await;
    let first = node.import(&FILES, Order::default()).await;
    assert_eq!(first.rejected, []);
    assert_eq!((first.rows, first.skipped), (lines as u64, 0));
    assert_eq!(first.accepted + first.unchanged, lines as u64);
    // Three members of the data are no more, and were never here.
    assert_eq!(first.unchanged, 3);
    assert_eq!((dry.rows, dry.accepted, dry.unchanged), (first.rows, first.accepted, 3));

    let before = states(&node.app.heads);
    let second = node.import(&FILES, Order::default()).await;
    assert_eq!((second.accepted, second.unchanged), (0, lines as u64));
    assert_eq!(states(&node.app.heads), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_other_nodes_are_skipped() {
    let node = founder().await;
    node.enrol("GB-LON").await;
    let report = node.import(&FILES, Order::default()).await;
    assert!(report.skipped > 0);
    let sum = report.accepted + report.unchanged + report.skipped + report.rejected_rows;
    assert_eq!(sum + report.ambiguous_rows, report.rows);
    let homes: Vec<String> =
        node.app.heads.all().iter().map(|(feed, _)| feed.home.to_string()).collect();
    assert!(homes.contains(&"HK".to_owned()) && !homes.contains(&"GB-LON".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_done_here_stands_against_the_file() {
    let node = founder().await;
    let app = &node.app;
    node.import(&FILES, Order::default()).await;
    let staff = admin(FOUNDER);
    let with_public_card = {
        let page = members::search(app, &Caller::Anonymous, members::Search::default());
        page.await.unwrap().items
    };
    let withdrawn = RecordId::parse(&with_public_card[0].id, "id").unwrap();
    let erased = member_of(&node, "M-000001").await.row.id;
    members::withdraw(app, &staff, withdrawn, "profile.public", "").await.unwrap();
    let deed = staff.deed(Operation::EraseMember);
    let found = records::find(app, erased).await.unwrap();
    let home = found[0].feed.home.clone();
    assert!(members::execute_erasure(app, deed, &home, erased).await.unwrap().removed > 0);
    let draft = events::list(app, &staff, events::Asked::default()).await.unwrap().items;
    assert!(!draft.is_empty());

    let again = node.import(&FILES, Order::default()).await;
    assert_eq!((again.accepted, again.rejected_rows), (0, 0));
    assert!(members::get(app, &Caller::Anonymous, withdrawn).await.is_err());
    assert!(members::get(app, &staff, erased).await.is_err());
}

/// The header of the members' file, and the row of one member with changes.
fn row_of(member: &str, changes: &[(&str, &str)]) -> String {
    let (_, text) = FILES.iter().find(|(name, _)| *name == "members.csv").unwrap();
    let row = text.lines().find(|line| line.starts_with(member)).unwrap();
    let changed = changes.iter().fold(row.to_owned(), |row, (from, to)| row.replacen(from, to, 1));
    assert!(changes.is_empty() || changed != row);
    format!("{}\n{changed}\n", text.lines().next().unwrap())
}

/// The member that came from a row of the data set.
async fn member_of(node: &Node, source: &str) -> Found {
    let term = filter(Filter::Source, source);
    let found = records::carrying_anywhere(&node.app, term).await.unwrap();
    found.into_iter().find(|found| found.row.kind == Kind::MEMBER).unwrap()
}

/// How the states of the one row of a file stay as they are: field, reason and hint.
async fn refusal(node: &Node, files: &[(&str, &str)]) -> (String, String, String) {
    let report = node.import(files, Order::default()).await;
    assert_eq!((report.accepted, report.rejected_rows), (0, 1), "{report:?}");
    let refused = &report.rejected[0];
    (refused.field.clone(), refused.reason.clone(), refused.hint.clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_moves_nothing_other_than_by_one_step_of_its_table() {
    let node = founder().await;
    let (app, staff) = (&node.app, admin(FOUNDER));
    node.import(&FILES, Order::default()).await;
    let member = member_of(&node, "M-000001").await.row.id;
    let moving = row_of("M-000001,", &[(",active,", ",moving,")]);
    let refused = |field: &str, hint: &str| (field.into(), "move_refused".into(), hint.into());
    assert_eq!(
        refusal(&node, &[("members.csv", &moving)]).await,
        refused("state", "active -> resting, left")
    );
    members::leave(app, &staff, member, None, "").await.unwrap();
    let row = row_of("M-000001,", &[]);
    let updated = row.trim_end().rsplit(',').next().unwrap();
    let back = row.replace(updated, "2090-01-01T00:00:00Z");
    assert_eq!(refusal(&node, &[("members.csv", &back)]).await, refused("state", "left -> none"));
    let v1::get_member_response::Seen::Member(left) =
        members::get(app, &staff, member).await.unwrap().seen
    else {
        panic!("staff sees the home record")
    };
    assert_eq!(left.state, MemberState::Left.number());

    let (_, points) = FILES[0];
    let london = points.lines().find(|line| line.starts_with("GB-LON,")).unwrap();
    let header = points.lines().next().unwrap();
    let proposed = format!("{header}\n{}\n", london.replacen(",active,", ",proposed,", 1));
    assert_ne!(proposed, format!("{header}\n{london}\n"));
    assert_eq!(
        refusal(&node, &[("points.csv", &proposed)]).await,
        refused("status", "active -> paused, closed")
    );
}

/// A sheet of one person who has agreed on a day.
fn sheet(day: &str) -> String {
    format!(
        "name,phone,region_code,network_consent,consent_on\n欧阳若晴,+8615400009991,440100,是,{day}\n"
    )
}

/// The whole of a consents' file with one row.
fn consent(id: &str, member: &str, purpose: &str, given: &str) -> String {
    let (_, text) = FILES.iter().find(|(name, _)| *name == "grants.csv").unwrap();
    let header = text.lines().next().unwrap();
    format!("{header}\n{id},{member},{purpose},,v2,en,web,{given},,given,,\n")
}

async fn cards(app: &App, id: RecordId) -> usize {
    let found = records::find(app, id).await.unwrap();
    found.iter().filter(|found| found.feed.audience.is_shared()).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sheet_brings_back_no_consent_that_was_withdrawn() {
    let node = founder().await;
    let (app, staff) = (&node.app, admin(FOUNDER));
    let first = node.import(&[("people.csv", &sheet("2023-05-01"))], Order::default()).await;
    assert_eq!((first.accepted, first.rejected_rows), (1, 0), "{first:?}");
    let found = members::search(app, &staff, members::Search::default()).await.unwrap().items;
    let member = RecordId::parse(&found[0].id, "id").unwrap();
    assert_eq!(cards(app, member).await, 1);
    members::withdraw(app, &staff, member, "profile.network", "").await.unwrap();
    assert_eq!(cards(app, member).await, 0);

    let same = node.import(&[("people.csv", &sheet("2023-05-01"))], Order::default()).await;
    assert_eq!((same.unchanged, same.rejected_rows), (1, 0), "the same list says nothing new");
    let today = jiff::Timestamp::now().to_string();
    for (day, reason) in [("2023-04-01", "withdrawn_since"), (&today[..10], "withdrawn_since")] {
        let report = node.import(&[("people.csv", &sheet(day))], Order::default()).await;
        let refused = report.rejected.first().unwrap();
        let said = (refused.row, &*refused.field, &*refused.reason);
        assert_eq!(said, (1, "network_consent", reason));
        assert_eq!((report.accepted, cards(app, member).await), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_consents_brings_back_none_that_was_withdrawn() {
    let node = founder().await;
    let (app, staff) = (&node.app, admin(FOUNDER));
    node.import(&FILES, Order::default()).await;
    let Found { row, .. } = member_of(&node, "M-000001").await;
    members::withdraw(app, &staff, row.id, "profile.network", "").await.unwrap();
    let withdrawn_at = app.outside.now();
    assert_eq!(cards(app, row.id).await, 0);
    for (given, reason) in [
        ("2023-05-01T00:00:00Z".to_owned(), "withdrawn_since"),
        (
            jiff::Timestamp::from_microsecond(withdrawn_at.0 + 1).unwrap().to_string(),
            "withdrawn_lately",
        ),
    ] {
        let text = consent("C-999999", "M-000001", "profile.network", &given);
        let said = refusal(&node, &[("grants.csv", &text)]).await;
        assert_eq!(said, ("given_at".into(), reason.into(), String::new()));
        // Together with the member, as an old folder of files has them.
        let member = row_of("M-000001,", &[]);
        let files = [("members.csv", &*member), ("grants.csv", &*text)];
        assert_eq!(refusal(&node, &files).await, said);
        assert_eq!(cards(app, row.id).await, 0);
    }
    let other = consent("C-999999", "M-000001", "contact.by_members", "2023-05-01T00:00:00Z");
    let report = node.import(&[("grants.csv", &other)], Order::default()).await;
    assert_eq!((report.accepted, report.rejected_rows), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_erases_nobody_who_is_here() {
    let node = founder().await;
    let app = &node.app;
    node.import(&FILES, Order::default()).await;
    let member = member_of(&node, "M-000001").await;
    let before = states(&app.heads);
    let gone = row_of("M-000001,", &[(",active,", ",erased,")]);
    let settings = Order { with_cells: true, ..Order::default() };
    for _ in 0..2 {
        let report = node.import(&[("members.csv", &gone)], settings.clone()).await;
        let [refused] = &report.rejected[..] else { panic!("{report:?}") };
        assert_eq!((&*refused.file, refused.row, &*refused.field), ("members.csv", 1, "state"));
        assert_eq!(refused.reason, "two_persons_needed");
        assert_eq!(refused.hint, format!("yizhan member erase {}", member.row.id));
        assert_eq!(refused.cells[0], "M-000001");
        assert_eq!((report.accepted, report.rejected_rows), (0, 1));
        assert_eq!(states(&app.heads), before, "nothing of the person has gone");
    }

    let deed = admin(FOUNDER).deed(Operation::EraseMember);
    let home = &member.feed.home;
    members::execute_erasure(app, deed, home, member.row.id).await.unwrap();
    let report = node.import(&[("members.csv", &gone)], settings).await;
    assert_eq!((report.unchanged, report.rejected_rows), (1, 0), "that is how it is");
}
