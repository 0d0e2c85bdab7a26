//! Invariants of the association's records as properties: whatever is done to members and consents, in
//! whatever order, they hold; and each is seen to fail once its promise is broken on purpose.
//!
//! Those of replication (a record is written only by its home, a copy is a sealed state) are in
//! `invariants_afar.rs`, and in the simulation in `tests/sim`.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestError, TestRunner},
};
use yizhan_proto::v1;

use super::{
    App,
    error::Error,
    events,
    groups::{self, Enrolment},
    members::{self, New, Search},
    records,
    samples::{FOUNDER, Node, account, admin, code, founder, founder_in, founder_with},
};
use crate::{
    domain::{
        audience::Audience,
        id::RecordId,
        kind::Kind,
        policy::{Operation, Role},
        time::Time,
    },
    identity::caller::Caller,
    notify::Ways,
    outside::Outside,
    planted::{self, Fault},
    store::database::Database,
    wire::value::time_message,
};

/// Histories of one property. Each has a node of its own.
const CASES: u32 = 12;
/// Longest history.
const STEPS: usize = 8;
/// Purposes that a history gives and withdraws; the first two are what cards rest on.
const PURPOSES: [&str; 4] =
    ["profile.network", "profile.public", "contact.by_points", "board.listing"];

/// Something that a point does to a member.
#[derive(Clone, Copy, Debug)]
enum Step {
    Give(usize),
    Withdraw(usize),
    /// Another name, and other home fields.
    Edit(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let purpose = 0..PURPOSES.len();
    let step = prop_oneof![
        3 => purpose.clone().prop_map(Step::Give),
        2 => purpose.prop_map(Step::Withdraw),
        1 => any::<u8>().prop_map(Step::Edit),
    ];
    vec(step, 1..=STEPS)
}

/// The same after a consent that a card rests on was given, and perhaps withdrawn again.
fn steps_after_a_card() -> impl Strategy<Value = Vec<Step>> {
    (0..2_usize, any::<bool>(), steps()).prop_map(|(purpose, is_withdrawn, rest)| {
        let begun = [Step::Give(purpose), Step::Withdraw(purpose)];
        let begun = &begun[..1 + usize::from(is_withdrawn)];
        [begun, &rest].concat()
    })
}

/// Holds a property against histories, with a defect or without.
fn hold<S: Strategy>(
    fault: Option<Fault>,
    histories: S,
    property: impl AsyncFn(S::Value) -> Result<(), TestCaseError>,
) -> Result<(), TestError<S::Value>> {
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(Config { max_shrink_iters: 4, ..config });
    runner.run(&histories, |history| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        planted::plant(fault);
        let outcome = runtime.block_on(property(history));
        planted::plant(None);
        outcome
    })
}

/// Letters that stand in no other field; what one of them is in has come from the field.
fn mark(field: &str, number: u8) -> String {
    format!("zq{field}{}", hex::encode([number, number ^ 0x5a]))
}

/// A member whose home fields carry a mark each.
fn person(number: u8) -> v1::Member {
    let study = v1::member::Study {
        country: "GB".into(),
        institution: mark("institution", number),
        subject: mark("subject", number),
        ..Default::default()
    };
    v1::Member {
        state: 2,
        names: vec![v1::PersonName {
            script: 3,
            full: format!("Person {}", hex::encode([number])),
            order: 2,
            ..Default::default()
        }],
        preferred_script: 3,
        preferred_language: "en".into(),
        city_code: "440100".into(),
        phone: format!("+86154{:08}", 7_000_000 + u32::from(number)),
        email: format!("{}@example.org", mark("mail", number)),
        handles: vec![v1::Handle { service: "wechat".into(), value: mark("handle", number) }],
        study: Some(study),
        skills: vec![mark("skill", number)],
        employer_org: mark("employer", number),
        expertise: vec!["battery".into()],
        ..Default::default()
    }
}

/// Every value of a member's that only its home may hold.
fn home_values(member: &v1::Member) -> Vec<String> {
    let study = member.study.clone().unwrap_or_default();
    let mut values = vec![
        member.phone.clone(),
        member.email.clone(),
        member.employer_org.clone(),
        study.institution,
        study.subject,
    ];
    values.extend(member.handles.iter().map(|handle| handle.value.clone()));
    values.extend(member.skills.iter().cloned());
    values
}

fn made(member: v1::Member) -> New {
    New { member, ..New::default() }
}

fn id(member: &v1::Member) -> RecordId {
    RecordId::parse(&member.id, "id").unwrap()
}

async fn create(app: &App, number: u8) -> v1::Member {
    members::create(app, &admin(FOUNDER), made(person(number))).await.unwrap()
}

/// Takes a step; gives the member as it is then, and what is consented to.
async fn take(
    app: &App,
    member: v1::Member,
    given: &mut BTreeSet<usize>,
    step: Step,
) -> v1::Member {
    let staff = admin(FOUNDER);
    match step {
        Step::Give(purpose) => {
            let grant = v1::Grant {
                member: member.id.clone(),
                purpose: PURPOSES[purpose].into(),
                text_version: "v2".into(),
                text_language: "en".into(),
                given_via: 2,
                ..Default::default()
            };
            match members::give(app, &staff, grant, "").await {
                Ok(_) => drop(given.insert(purpose)),
                // Nobody is asked again that soon.
                Err(Error::Precondition { reason: "WITHDRAWN_LATELY", .. }) => {}
                Err(error) => panic!("{error}"),
            }
            member
        }
        Step::Withdraw(purpose) => {
            let done = members::withdraw(app, &staff, id(&member), PURPOSES[purpose], "").await;
            assert!(done.is_ok() || !given.contains(&purpose), "{done:?}");
            given.remove(&purpose);
            member
        }
        Step::Edit(number) => {
            let seen = members::get(app, &staff, id(&member)).await.unwrap();
            let v1::get_member_response::Seen::Member(stored) = seen.seen else {
                panic!("staff sees the home record")
            };
            let etag = stored.etag.clone();
            let changed = v1::Member { id: stored.id, etag, ..person(number) };
            members::update(app, &staff, changed).await.unwrap()
        }
    }
}

/// What others than the home hold of a record: audience and bytes.
async fn shared(app: &App, id: RecordId) -> Vec<(Audience, Vec<u8>)> {
    let found = records::find_even_erased(app, id).await.unwrap();
    let shared = found.into_iter().filter(|found| found.feed.audience.is_shared());
    shared.map(|found| (found.feed.audience, found.row.payload.to_vec())).collect()
}

async fn home_fields_stay_at_home(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let node = founder().await;
    let mut given = BTreeSet::new();
    let mut member = create(&node.app, 1).await;
    for step in steps {
        member = take(&node.app, member, &mut given, step).await;
        let v1::get_member_response::Seen::Member(stored) =
            members::get(&node.app, &admin(FOUNDER), id(&member)).await.unwrap().seen
        else {
            panic!("staff sees the home record")
        };
        for (audience, bytes) in shared(&node.app, id(&member)).await {
            for value in home_values(&stored) {
                let leaks = bytes.windows(value.len()).any(|part| part == value.as_bytes());
                prop_assert!(!leaks, "{value} is in {audience:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn invariant_3_no_home_field_is_in_what_others_hold() {
    hold(None, steps_after_a_card(), home_fields_stay_at_home).unwrap();
}

#[test]
fn invariant_3_is_seen_to_fail_if_a_card_shows_a_home_field() {
    assert!(
        hold(Some(Fault::DiscloseHomeFields), steps_after_a_card(), home_fields_stay_at_home)
            .is_err()
    );
}

/// What an answer to a question is, without the moment at which it was given.
type Answered = (Vec<v1::FoundMember>, String, Vec<(String, u64)>);

async fn ask(app: &App, caller: &Caller, search: &Question) -> Result<Answered, String> {
    let search = Search {
        words: search.words.clone(),
        region: search.region.clone(),
        field: search.field.clone(),
        page_size: 1,
        ..Search::default()
    };
    let page = members::search(app, caller, search).await.map_err(|error| error.to_string())?;
    let points = page.points.into_iter().map(|point| (point.point, point.sequence)).collect();
    Ok((page.items, page.next_page_token, points))
}

#[derive(Clone, Debug)]
struct Question {
    words: String,
    region: String,
    field: String,
}

/// Words, places and fields that fit the hidden member, or nobody.
fn questions() -> impl Strategy<Value = Vec<Question>> {
    let hidden = person(9);
    let words = vec![
        String::new(),
        "Person".into(),
        "Person 09".into(),
        hidden.phone,
        hidden.email,
        hidden.skills[0].clone(),
        "nobody".into(),
    ];
    let words = proptest::sample::select(words);
    let region = proptest::sample::select(vec!["", "44", "4401", "GB"]);
    let field = proptest::sample::select(vec!["", "battery", "chemistry"]);
    let question = (words, region, field).prop_map(|(words, region, field)| Question {
        words,
        region: region.to_owned(),
        field: field.to_owned(),
    });
    vec(question, 1..=STEPS)
}

async fn hidden_is_like_absent(questions: Vec<Question>) -> Result<(), TestCaseError> {
    let node = founder().await;
    let app = &node.app;
    let mut given = BTreeSet::new();
    let shown = create(app, 1).await;
    take(app, shown, &mut given, Step::Give(0)).await;
    // Reads what is disclosed to points, and nothing that only a home knows.
    let caller = account(Role::ProvincialAdmin, FOUNDER);
    let mut before = Vec::new();
    for question in &questions {
        before.push(ask(app, &caller, question).await);
    }
    let hidden = create(app, 9).await;
    for (question, before) in questions.iter().zip(before) {
        prop_assert_eq!(ask(app, &caller, question).await, before, "{:?}", question);
    }
    let known = members::get(app, &caller, id(&hidden)).await.map(|_| ());
    let unknown = members::get(app, &caller, RecordId([7; 16])).await.map(|_| ());
    let said =
        |refused: Result<(), Error>| refused.map_err(|error| (error.kind(), error.to_string()));
    prop_assert_eq!(said(known), said(unknown));
    Ok(())
}

#[test]
fn invariant_4_answers_are_the_same_whether_a_hidden_member_exists() {
    hold(None, questions(), hidden_is_like_absent).unwrap();
}

#[test]
fn invariant_4_is_seen_to_fail_if_a_search_looks_at_what_is_hidden() {
    assert!(hold(Some(Fault::SearchHidden), questions(), hidden_is_like_absent).is_err());
}

/// What happens to one of a few people, before or after the backup.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Stays,
    ErasedBefore,
    ErasedAfter,
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![Just(Fate::Stays), Just(Fate::ErasedBefore), Just(Fate::ErasedAfter)];
    vec(fate, 1..=4)
}

async fn erase(app: &App, id: RecordId) {
    let deed = admin(FOUNDER).deed(Operation::EraseMember);
    members::execute_erasure(app, deed, &code(FOUNDER), id).await.unwrap();
}

/// The node after its tables were put back from a backup; the ledger was not.
async fn restored(node: &Node, backup: tempfile::TempDir) -> Node {
    let ledger = Arc::clone(&node.app.erasures);
    let restored = founder_in(backup, ledger, Outside::real(), Ways::default()).await;
    members::replay(&restored.app).await.unwrap();
    restored
}

async fn erased_stays_erased(fates: Vec<Fate>) -> Result<(), TestCaseError> {
    let node = founder().await;
    let mut people = Vec::new();
    for (number, fate) in fates.iter().enumerate() {
        let member = create(&node.app, number as u8).await;
        let shown = take(&node.app, member, &mut BTreeSet::new(), Step::Give(0)).await;
        people.push((id(&shown), *fate));
    }
    for (id, _) in people.iter().filter(|(_, fate)| matches!(fate, Fate::ErasedBefore)) {
        erase(&node.app, *id).await;
    }
    let backup = tempfile::tempdir().unwrap();
    let address = Database::address_in(backup.path());
    let file = address.strip_prefix("sqlite:").unwrap();
    node.app.db.copy_into(file.as_ref()).await.unwrap();
    for (id, _) in people.iter().filter(|(_, fate)| matches!(fate, Fate::ErasedAfter)) {
        erase(&node.app, *id).await;
    }
    let restored = restored(&node, backup).await;
    for (id, fate) in people {
        for app in [&node.app, &restored.app] {
            let found = records::find_even_erased(app, id).await.unwrap();
            let live = found.iter().any(|found| {
                matches!(found.row.kind, Kind::MEMBER | Kind::CARD | Kind::PUBLIC_CARD)
            });
            prop_assert_eq!(live, matches!(fate, Fate::Stays), "{:?}", fate);
            let grants = records::grants_of(app, &code(FOUNDER), id).await.unwrap();
            prop_assert!(matches!(fate, Fate::Stays) || grants.is_empty());
        }
    }
    let search = async |app: &App| {
        let asked = Search { words: "Person".into(), page_size: 1_000, ..Search::default() };
        let page = members::search(app, &admin(FOUNDER), asked).await.unwrap();
        page.items.into_iter().map(|item| item.id).collect::<BTreeSet<_>>()
    };
    prop_assert_eq!(search(&restored.app).await, search(&node.app).await);
    Ok(())
}

#[test]
fn invariant_7_a_restore_ends_in_the_same_state_without_the_erased() {
    hold(None, fates(), erased_stays_erased).unwrap();
}

#[test]
fn invariant_7_is_seen_to_fail_if_erasures_are_not_replayed() {
    assert!(hold(Some(Fault::SkipErasureReplay), fates(), erased_stays_erased).is_err());
}

async fn cards_follow_consents(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let node = founder().await;
    let mut given = BTreeSet::new();
    let mut member = create(&node.app, 1).await;
    for step in steps {
        member = take(&node.app, member, &mut given, step).await;
        let held: BTreeSet<Audience> = shared(&node.app, id(&member))
            .await
            .into_iter()
            .map(|(audience, _)| audience)
            .collect();
        let cards = [(0, Audience::Network), (1, Audience::Public)];
        let expected = cards.into_iter().filter(|(purpose, _)| given.contains(purpose));
        prop_assert_eq!(held, expected.map(|(_, audience)| audience).collect::<BTreeSet<_>>());
        let network = account(Role::ProvincialAdmin, FOUNDER);
        let is_read = members::get(&node.app, &network, id(&member)).await.is_ok();
        prop_assert_eq!(is_read, given.contains(&0) || given.contains(&1));
    }
    Ok(())
}

#[test]
fn invariant_10_a_card_is_gone_with_the_consent_that_it_rests_on() {
    hold(None, steps_after_a_card(), cards_follow_consents).unwrap();
}

/// Purposes that names beside the cards rest on: in an event, and in a group.
const NAMING: [&str; 2] = ["media.release", "contact.by_points"];
const HOUR_US: i64 = 3_600_000_000;

/// Something that happens to consents that names rest on.
#[derive(Clone, Copy, Debug)]
enum Naming {
    /// Until it is withdrawn, or for an hour. One that is in force is superseded.
    Give(usize, bool),
    Withdraw(usize),
    /// More than an hour.
    Pass,
}

fn namings() -> impl Strategy<Value = Vec<Naming>> {
    let purpose = 0..NAMING.len();
    let step = prop_oneof![
        3 => (purpose.clone(), any::<bool>()).prop_map(|(at, is_short)| Naming::Give(at, is_short)),
        2 => purpose.clone().prop_map(Naming::Withdraw),
        1 => Just(Naming::Pass),
    ];
    // One purpose at least is superseded, or ends.
    (purpose, any::<bool>(), vec(step, 1..=STEPS)).prop_map(|(at, is_short, rest)| {
        let end = if is_short { Naming::Pass } else { Naming::Withdraw(at) };
        [&[Naming::Give(at, false), Naming::Give(at, is_short), end][..], &rest].concat()
    })
}

/// A talk that the member gives, published, and a group that the member is in.
async fn shown_in(app: &App, member: &v1::Member) -> (RecordId, RecordId) {
    let staff = admin(FOUNDER);
    let text = |text: &str| vec![v1::LocalText { language: "en".into(), text: text.into() }];
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let speaker =
        v1::Appearance { position: 1, state: 1, member: member.id.clone(), ..Default::default() };
    let event = v1::Event {
        kind: 1,
        mode: 1,
        titles: text("Talk"),
        start_time: at(2_000_000_000),
        end_time: at(2_000_003_600),
        time_zone: "Asia/Shanghai".into(),
        region_code: "440100".into(),
        appearances: vec![speaker],
        ..Default::default()
    };
    let plan = v1::EventPlan { event: Some(event), ..Default::default() };
    let draft = events::create(app, &staff, plan, None, "").await.unwrap().event.unwrap();
    let event = RecordId::parse(&draft.id, "id").unwrap();
    events::advance(app, &staff, event, &draft.etag, events::Step::Publish).await.unwrap();
    let group = v1::Group { kind: 4, titles: text("Council"), state: 2, ..Default::default() };
    let group = groups::create(app, &staff, group, None, "").await.unwrap().id;
    let (member, role, from) = (id(member), None, None);
    let enrolment = Enrolment { group, member, role, from, duty_region: None };
    let place = groups::enrol(app, &staff, enrolment).await.unwrap();
    (event, RecordId::parse(&place.id, "id").unwrap())
}

/// Is the member named in the public event, and in what other points see of the group?
async fn named(app: &App, (event, place): (RecordId, RecordId)) -> [bool; 2] {
    let found = records::find_even_erased(app, event).await.unwrap();
    let event = found.iter().find(|at| at.is(Kind::EVENT, Audience::Public)).unwrap();
    let event: v1::Event = event.message().unwrap();
    let found = records::find_even_erased(app, place).await.unwrap();
    let card = found.iter().find(|at| at.is(Kind::GROUP_CARD, Audience::Network)).unwrap();
    let card: v1::GroupCard = card.message().unwrap();
    assert_eq!(card.member.is_empty(), card.display_names.is_empty());
    [!event.appearances[0].display_names.is_empty(), !card.member.is_empty()]
}

async fn names_follow_consents(steps: Vec<Naming>) -> Result<(), TestCaseError> {
    let clock = Arc::new(AtomicI64::new(Outside::real().now().0));
    let at = Arc::clone(&clock);
    let now = move || Time(at.fetch_add(1, Ordering::Relaxed));
    let outside = Outside::new(now, |bytes| rand::fill(bytes));
    let node = founder_with(outside, Ways::default()).await;
    let (app, staff) = (&node.app, admin(FOUNDER));
    let member = create(app, 1).await;
    let shown = shown_in(app, &member).await;
    // Until when each is agreed to.
    let mut given = [None; NAMING.len()];
    for step in steps {
        match step {
            Naming::Give(at, is_short) => {
                let ends = if is_short { app.outside.now().0 + HOUR_US } else { i64::MAX };
                let expire_time = is_short.then(|| time_message(Time(ends)));
                let grant = v1::Grant {
                    member: member.id.clone(),
                    purpose: NAMING[at].into(),
                    text_version: "v2".into(),
                    text_language: "en".into(),
                    given_via: 2,
                    expire_time,
                    ..Default::default()
                };
                match members::give(app, &staff, grant, "").await {
                    Ok(_) => given[at] = Some(ends),
                    Err(Error::Precondition { reason: "WITHDRAWN_LATELY", .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            Naming::Withdraw(at) => {
                members::withdraw(app, &staff, id(&member), NAMING[at], "").await.unwrap();
                given[at] = None;
            }
            Naming::Pass => {
                let now = clock.fetch_add(HOUR_US, Ordering::Relaxed) + HOUR_US;
                members::expire(app, &code(FOUNDER), id(&member)).await.unwrap();
                given = given.map(|ends| ends.filter(|ends| *ends > now));
            }
        }
        prop_assert_eq!(named(app, shown).await, given.map(|ends| ends.is_some()), "{:?}", step);
    }
    Ok(())
}

#[test]
fn invariant_10_names_in_events_and_groups_go_with_the_consent_that_they_rest_on() {
    hold(None, namings(), names_follow_consents).unwrap();
}

#[test]
fn invariant_10_is_seen_to_fail_if_names_rest_on_a_consent_that_has_ended() {
    assert!(hold(Some(Fault::CountWithdrawn), namings(), names_follow_consents).is_err());
}

#[test]
fn invariant_10_is_seen_to_fail_if_a_withdrawn_consent_counts() {
    assert!(
        hold(Some(Fault::CountWithdrawn), steps_after_a_card(), cards_follow_consents).is_err()
    );
}
