//! The association's own numbers, from the reference data.

use yizhan_proto::v1;

use super::{ASSOCIATION, get};
use crate::{
    app::{
        error::Error,
        import::Order,
        samples::{FILES, FOUNDER, account, founder},
    },
    domain::{calendar::Date, policy::Role},
    identity::caller::Caller,
};

/// What the association has said in public, as far as it is counted from what is replicated.
const GOLDEN: [(&str, u64); 17] = [
    ("talks_held", 20),
    ("walks_held", 6),
    ("talks_online", 3),
    ("overseas_health_sessions", 2),
    ("appearances", 39),
    ("speakers_distinct", 39),
    ("talks_cohosted", 12),
    ("cohost_cities", 6),
    ("parks", 4),
    ("points", 12),
    ("points_overseas", 3),
    ("speaker_pool", 196),
    ("seat_holders", 44),
    ("cohorts", 4),
    ("cohort_seats", 209),
    ("key_contacts_distinct", 206),
    ("companies_reported", 163),
];

fn values(report: &v1::GetReportResponse) -> Vec<(&str, u64)> {
    report.figures.iter().map(|figure| (figure.id.as_str(), figure.value)).collect()
}

#[tokio::test]
async fn the_association_report_counts_what_the_association_has_said() {
    let node = founder().await;
    node.import(&FILES, Order::default()).await;
    let admin = account(Role::ProvincialAdmin, FOUNDER);
    let day = |text: &str| Some(text.parse::<Date>().unwrap());
    let ask = async |as_of| get(&node.app, &admin, ASSOCIATION, as_of, false).await.unwrap();
    let report = ask(day("2023-10-20")).await;
    assert_eq!(values(&report), GOLDEN);
    assert!(report.figures.iter().all(|figure| figure.definitions.len() == 2));
    assert_eq!(
        ask(day("2023-10-20")).await.digest,
        report.digest,
        "the same rows, the same digest"
    );
    // Talk 20 was held on 2023-04-22: the day before, it does not count, on the day it does.
    assert_eq!(ask(day("2023-04-21")).await.figures[0].value, 19);
    assert_eq!(ask(day("2023-04-22")).await.figures[0].value, 20);
    assert_ne!(ask(day("2023-04-21")).await.digest, report.digest);
    // The fourth cohort began on 2022-11-07, and its 52 were appointed on 2022-11-12.
    let before = ask(day("2022-11-06")).await;
    let figure = |id: &str| values(&before).into_iter().find(|(known, _)| *known == id);
    assert_eq!(figure("cohorts"), Some(("cohorts", 3)));
    assert_eq!(figure("cohort_seats"), Some(("cohort_seats", 157)));
    // Whoever asks, the public rows are the same.
    let anybody = get(&node.app, &Caller::Anonymous, ASSOCIATION, day("2023-10-20"), false);
    assert_eq!(values(&anybody.await.unwrap()), GOLDEN);
}

#[tokio::test]
async fn an_unknown_report_is_refused_by_name() {
    let node = founder().await;
    let refused = get(&node.app, &Caller::Anonymous, "everything", None, false).await;
    assert!(matches!(refused, Err(Error::Invalid(fields)) if fields[0].field == "name"));
}
