//! The audit on a real database: what is noted, who may read it, what a check finds.

use crate::{
    app::{
        audit::{Asked, list, verify},
        error::Error,
        samples::{FOUNDER, account, admin, code, founder},
    },
    domain::{
        audience::{Audience, FeedId},
        id::RecordId,
        kind::Kind,
        policy::{Operation, Role},
    },
    feed::change::Change,
};

const PERSON: RecordId = RecordId([5; 16]);

fn asked(record: Option<RecordId>) -> Asked {
    Asked { record, ..Asked::default() }
}

#[tokio::test]
async fn every_write_has_a_line_of_its_author() {
    let node = founder().await;
    let feed = FeedId::new(code(FOUNDER), Audience::Home);
    let staff = account(Role::Staff, FOUNDER);
    let change = Change::new()
        .put(feed.clone(), Kind(99), PERSON, b"x".to_vec())
        .by(staff.deed(Operation::EditMember));
    node.app.writer.commit(change.clone()).await.unwrap();
    // Written again it changes nothing, and there is nothing to note.
    node.app.writer.commit(change).await.unwrap();
    let lines = list(&node.app, &admin(FOUNDER), asked(Some(PERSON))).await.unwrap().lines;
    assert_eq!(lines.len(), 1);
    assert_eq!((lines[0].actor.as_str(), lines[0].operation.as_str()), ("somebody", "edit_member"));
    assert_eq!(lines[0].outcome, "put");

    // A change that names nobody is the node's own.
    let own = Change::new().put(feed, Kind(99), RecordId([6; 16]), b"x".to_vec());
    node.app.writer.commit(own).await.unwrap();
    let lines = list(&node.app, &admin(FOUNDER), asked(Some(RecordId([6; 16])))).await.unwrap();
    assert_eq!(lines.lines[0].actor, "node");
    assert_eq!(verify(&node.app, &admin(FOUNDER)).await.unwrap().faults, 0);
}

#[tokio::test]
async fn staff_read_their_own_acts_and_an_auditor_all() {
    let node = founder().await;
    let (staff, boss) = (account(Role::Staff, FOUNDER), admin(FOUNDER));
    let audit = &node.app.audit;
    audit.looked(&staff, Operation::ReadMember, [(Kind::MEMBER, PERSON)]).await.unwrap();
    audit.refused(&boss, Operation::ReadMember, Some(PERSON), "not_found").await.unwrap();
    let everything = list(&node.app, &boss, asked(None)).await.unwrap().lines;
    let auditor = list(&node.app, &account(Role::Auditor, FOUNDER), asked(None)).await.unwrap();
    assert_eq!(everything, auditor.lines);
    let own = list(&node.app, &staff, asked(None)).await.unwrap().lines;
    // Both samples go by one name: what is cut is by actor, not by role.
    assert!(own.iter().all(|line| line.actor == "somebody"));
    let others = Asked { actor: "boss".into(), ..Asked::default() };
    assert_eq!(list(&node.app, &staff, others).await.unwrap().lines, []);
    for role in [Role::Client, Role::Volunteer, Role::Peer] {
        assert_eq!(
            crate::domain::policy::reach(role, Operation::ReadAudit),
            crate::domain::policy::Reach::Nothing
        );
    }
    let stranger = account(Role::PointAdmin, "HK");
    assert_eq!(list(&node.app, &stranger, asked(None)).await.unwrap().lines, []);
    let staff_checks = verify(&node.app, &staff).await;
    assert!(matches!(staff_checks, Err(Error::Denied)));
}

#[tokio::test]
async fn pages_of_the_audit_follow_each_other() {
    let node = founder().await;
    let staff = account(Role::Staff, FOUNDER);
    for n in 0..7 {
        let shown = [(Kind::CARD, RecordId([n + 1; 16]))];
        node.app.audit.looked(&staff, Operation::ReadCard, shown).await.unwrap();
    }
    let mut token = String::new();
    let mut numbers = Vec::new();
    loop {
        let page = Asked { page_size: 3, page_token: token, ..Asked::default() };
        let page = list(&node.app, &admin(FOUNDER), page).await.unwrap();
        numbers.extend(page.lines.iter().map(|line| line.number));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert!(numbers.len() >= 7 && numbers.is_sorted_by(|a, b| a == &(b + 1)), "{numbers:?}");
}

#[tokio::test]
async fn what_the_province_looks_at_is_noted_and_others_do_not_fill_the_log() {
    let node = founder().await;
    let app = &node.app;
    let province = account(Role::ProvincialAdmin, FOUNDER);
    for caller in [&province, &admin(FOUNDER)] {
        list(app, caller, Asked::default()).await.unwrap();
        crate::app::peers::list(app, caller, 0, "").await.unwrap();
        crate::app::desk::figures(app, caller, None).await.unwrap();
    }
    let lines = list(app, &admin(FOUNDER), Asked::default()).await.unwrap().lines;
    let looks = lines.iter().filter(|line| line.outcome == "network_metadata");
    let mut looks: Vec<_> = looks.map(|line| (&*line.role, &*line.operation)).collect();
    looks.sort_unstable();
    let of = |operation| ("provincial_admin", operation);
    assert_eq!(looks, [of("read_audit"), of("read_desk_figures"), of("read_peers")]);
}

#[tokio::test]
async fn a_day_of_exports_has_an_end() {
    let node = founder().await;
    let (audit, staff) = (&node.app.audit, account(Role::Staff, FOUNDER));
    let now = node.app.outside.now();
    audit.spend(&staff, 9_999, now).await.unwrap();
    assert!(matches!(audit.spend(&staff, 2, now).await, Err(Error::Precondition { .. })));
    audit.spend(&staff, 1, now).await.unwrap();
    let tomorrow = crate::domain::time::Time(now.0 + 24 * 60 * 60 * 1_000_000);
    audit.spend(&staff, 10_000, tomorrow).await.unwrap();
}
