//! What is taken out is what the caller may see, and is in the audit.

use tokio::sync::mpsc;

use super::*;
use crate::{
    app::{
        audit,
        error::Result,
        import::Order,
        samples::{FILES, FOUNDER, Node, account, admin, founder},
    },
    domain::policy::Role,
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
