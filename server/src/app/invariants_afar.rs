//! Invariants of what a node has of another home, as properties over two nodes with real tables and real
//! writers: whatever the home does and whatever a relay does to it on the way, a copy that is read is
//! exactly a state that its home has sealed, and nobody but the home changes a record. Each is seen to
//! fail once its promise is broken on purpose.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ed25519_dalek::SigningKey;
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestError, TestRunner},
};
use yizhan_proto::v1;

use super::{
    App,
    error::Error,
    members::{self, New, Wish},
    samples::{FOUNDER, Node, admin, code, founder, node_of},
};
use crate::{
    domain::{
        audience::{Audience, FeedId},
        id::RecordId,
        kind::Kind,
        position::{Row, Sequence},
    },
    feed::{
        digest::Elements,
        inflow::{self, Outcome},
        seal::{Seal, Statement},
    },
    outside::Outside,
    planted::{self, Fault},
    store::{CopyState, FeedStore},
};

/// Where members are at home; the founding node has copies.
const HOME: &str = "CN-440100";
/// Histories of one property. Each has two nodes of its own.
const CASES: u32 = 10;
const STEPS: usize = 6;
/// A copy that has arrived is readable soon.
const SHOWN_WITHIN: Duration = Duration::from_secs(10);
const ALL_ROWS: usize = 100_000;

/// What the home does.
#[derive(Clone, Copy, Debug)]
enum Deed {
    /// A member with a card.
    Join(u8),
    /// Another name on every card.
    Edit(u8),
    /// The last member takes the card back.
    Withdraw,
}

/// What becomes of it on the way.
#[derive(Clone, Copy, Debug)]
enum Relay {
    Faithful,
    /// Nothing comes.
    Away,
    /// One row is missing.
    Drop(usize),
    /// One row says something else.
    Alter(usize),
    /// The relay writes a newer version of a row, and seals it with a key of its own.
    Forge(usize),
    /// What came before comes again.
    Again,
}

fn histories() -> impl Strategy<Value = Vec<(Deed, Relay)>> {
    let deed = prop_oneof![
        2 => any::<u8>().prop_map(Deed::Join),
        2 => any::<u8>().prop_map(Deed::Edit),
        1 => Just(Deed::Withdraw),
    ];
    let relay = prop_oneof![
        2 => Just(Relay::Faithful),
        1 => Just(Relay::Away),
        1 => (0..4_usize).prop_map(Relay::Drop),
        1 => (0..4_usize).prop_map(Relay::Alter),
        1 => (0..4_usize).prop_map(Relay::Forge),
        1 => Just(Relay::Again),
    ];
    // Something is there first, and is tampered with in each way.
    vec((deed, relay), 1..=STEPS).prop_map(|rest| {
        let begun = [
            (Deed::Join(1), Relay::Faithful),
            (Deed::Edit(2), Relay::Alter(0)),
            (Deed::Edit(3), Relay::Forge(0)),
        ];
        [&begun[..], &rest].concat()
    })
}

fn hold(
    fault: Option<Fault>,
    property: impl AsyncFn(Vec<(Deed, Relay)>) -> Result<(), TestCaseError>,
) -> Result<(), TestError<Vec<(Deed, Relay)>>> {
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(Config { max_shrink_iters: 2, ..config });
    runner.run(&histories(), |history| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        planted::plant(fault);
        let outcome = runtime.block_on(property(history));
        planted::plant(None);
        outcome
    })
}

fn cards() -> FeedId {
    FeedId::new(code(HOME), Audience::Network)
}

/// A home, and the founding node that has copies of it.
struct Two {
    home: Node,
    other: Node,
    members: Vec<RecordId>,
    /// What the home has sealed, by the number of the seal: rows by their sequence.
    sealed: BTreeMap<u64, Vec<Row>>,
    /// What was delivered last.
    last: Option<(Vec<Row>, Seal)>,
}

impl Two {
    async fn new() -> Two {
        let other = founder().await;
        other.enrol(HOME).await;
        let home = node_of(HOME, tempfile::tempdir().unwrap(), Outside::real()).await;
        let two = Two { home, other, members: Vec::new(), sealed: BTreeMap::new(), last: None };
        let roster = two.other.app.keys.roster_feed();
        let (rows, seal) = state(&two.other.app, &roster).await.unwrap();
        let outcome = deliver(&two.home.app, &roster, (rows, seal)).await;
        assert_eq!(outcome, Some(Outcome::Reached), "the roster");
        two
    }

    async fn act(&mut self, deed: Deed) {
        let (app, staff) = (&self.home.app, admin(HOME));
        match deed {
            Deed::Join(number) => {
                let new = New { member: person(number), ..New::default() };
                let made = members::create(app, &staff, new).await.unwrap();
                let grant = v1::Grant {
                    member: made.id.clone(),
                    purpose: "profile.network".into(),
                    text_version: "v2".into(),
                    text_language: "en".into(),
                    given_via: 2,
                    ..Default::default()
                };
                members::give(app, &staff, grant, "").await.unwrap();
                self.members.push(RecordId::parse(&made.id, "id").unwrap());
            }
            Deed::Edit(number) => {
                for id in &self.members {
                    let seen = members::get(app, &staff, *id).await.unwrap().seen;
                    let v1::get_member_response::Seen::Member(member) = seen else {
                        panic!("the home does not have its own member")
                    };
                    let names = person(number).names;
                    let changed = v1::Member { names, ..member };
                    members::update(app, &staff, changed).await.unwrap();
                }
            }
            Deed::Withdraw => {
                if let Some(id) = self.members.pop() {
                    members::withdraw(app, &staff, id, "profile.network", "").await.unwrap();
                }
            }
        }
        if let Some((rows, seal)) = state(app, &cards()).await {
            self.sealed.insert(seal.statement().number, rows);
        }
    }

    async fn relay(&mut self, relay: Relay) {
        let Some((mut rows, mut seal)) = state(&self.home.app, &cards()).await else { return };
        match relay {
            Relay::Faithful => {}
            Relay::Away => return,
            Relay::Drop(at) => {
                rows.remove(at % rows.len());
            }
            Relay::Alter(at) => alter(&mut rows, at),
            Relay::Forge(at) => {
                alter(&mut rows, at);
                seal = forged(&rows, &seal);
            }
            Relay::Again => match self.last.clone() {
                Some(last) => (rows, seal) = last,
                None => return,
            },
        }
        deliver(&self.other.app, &cards(), (rows.clone(), seal.clone())).await;
        if matches!(relay, Relay::Faithful) {
            self.last = Some((rows, seal));
        }
    }
}

fn person(number: u8) -> v1::Member {
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
        field_group: "health".into(),
        ..Default::default()
    }
}

/// One row says something else: of a card the name.
fn alter(rows: &mut [Row], at: usize) {
    let at = at % rows.len();
    let row = &mut rows[at];
    row.removed = false;
    row.kind = Kind::CARD;
    row.payload = [&row.payload[..], b"\x9a\x06\x03not"].concat().into();
}

/// As if these rows were the home's next state, by somebody who does not have its key.
fn forged(rows: &[Row], after: &Seal) -> Seal {
    let statement = after.statement();
    let next = Statement {
        number: statement.number + 1,
        live: rows.iter().filter(|row| !row.removed).count() as u64,
        digest: Elements::of(&statement.feed).sum(rows).digest(),
        previous: Some(after.hash()),
        ..statement.clone()
    };
    Seal::sign(next, &SigningKey::from_bytes(&[66; 32]))
}

/// Every row of a copy that may be read, and the seal of that state.
async fn state(app: &App, feed: &FeedId) -> Option<(Vec<Row>, Seal)> {
    let view = app.heads.find(feed)?;
    let held = view.readable()?.clone();
    let page = app.db.page(held.slot, Sequence(0), ALL_ROWS, usize::MAX >> 1).await.unwrap()?;
    let seal = held.seal?;
    Some((page.rows, seal.as_ref().clone()))
}

/// What a session does with a head and the pages that follow it, from whomever they come.
async fn deliver(app: &App, feed: &FeedId, (rows, seal): (Vec<Row>, Seal)) -> Option<Outcome> {
    app.keys.verify(&seal).ok()?;
    let seal = Arc::new(seal);
    app.heads.raise(&seal);
    app.writer.remember(seal.clone()).await;
    let granted = app.writer.open(seal.clone(), code(FOUNDER)).await?;
    let rows: Vec<Row> = rows.into_iter().filter(|row| row.sequence > granted.after).collect();
    let seal = seal.as_ref().clone();
    let page = inflow::delivery(granted.after, feed.clone(), granted.pull, rows, seal, true);
    let outcome = app.writer.deliver(page).await.await;
    app.writer.close(feed.clone(), granted.pull).await;
    // A first copy is shown once it is indexed.
    let settled =
        async {
            while app.heads.find(feed).and_then(|view| view.held.clone()).is_some_and(|held| {
                matches!(held.state, CopyState::Indexing | CopyState::CatchingUp)
            }) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
    tokio::time::timeout(SHOWN_WITHIN, settled).await.expect("what has arrived is shown");
    Some(outcome)
}

/// Invariant 2, and with it 1: what is read is what the home has sealed, byte for byte.
async fn copies_are_sealed_states(history: Vec<(Deed, Relay)>) -> Result<(), TestCaseError> {
    let mut two = Two::new().await;
    for (deed, relay) in history {
        two.act(deed).await;
        two.relay(relay).await;
        let Some((rows, seal)) = state(&two.other.app, &cards()).await else { continue };
        let known = two.sealed.get(&seal.statement().number);
        prop_assert_eq!(known, Some(&rows), "{:?} after {:?}", relay, deed);
        let seal_is_theirs = two.other.app.keys.verify(&seal).is_ok();
        prop_assert!(seal_is_theirs, "{:?}", relay);
    }
    Ok(())
}

/// Invariant 1: whoever has a copy changes nothing of it, by no use case.
async fn only_the_home_writes(history: Vec<(Deed, Relay)>) -> Result<(), TestCaseError> {
    let mut two = Two::new().await;
    for (deed, relay) in history {
        two.act(deed).await;
        two.relay(relay).await;
        let before = state(&two.other.app, &cards()).await.map(|(rows, _)| rows);
        let (app, staff) = (&two.other.app, admin(FOUNDER));
        for id in &two.members {
            let member = v1::Member {
                id: id.to_string(),
                home: HOME.into(),
                etag: "00".into(),
                ..person(9)
            };
            let grant = v1::Grant {
                member: id.to_string(),
                purpose: "profile.public".into(),
                text_version: "v2".into(),
                text_language: "en".into(),
                given_via: 2,
                ..Default::default()
            };
            let refused = [
                members::update(app, &staff, member).await.map(drop),
                members::give(app, &staff, grant, "").await.map(drop),
                members::withdraw(app, &staff, *id, "profile.network", "").await.map(drop),
                members::erase(app, &staff, *id, Wish::default()).await.map(drop),
                members::access(app, &staff, *id).await.map(drop),
            ];
            for (call, refused) in refused.into_iter().enumerate() {
                // By name where a card is seen. What was tampered with may be hidden meanwhile.
                let is_refused =
                    matches!(refused, Err(Error::NotHome { .. } | Error::NotFound { .. }));
                prop_assert!(is_refused, "{}: {:?}", call, refused);
            }
        }
        let after = state(app, &cards()).await.map(|(rows, _)| rows);
        prop_assert_eq!(before, after, "{:?}", relay);
        // And the home has what it has written, whatever the relay says.
        let own = state(&two.home.app, &cards()).await.map(|(rows, _)| rows);
        let newest = two.sealed.last_key_value().map(|(_, rows)| rows.clone());
        prop_assert_eq!(own, newest);
        if let Some((rows, seal)) = state(app, &cards()).await {
            let written = two.sealed.values().flatten();
            let is_theirs = |row: &Row| written.clone().any(|known| known == row);
            prop_assert!(rows.iter().all(is_theirs), "{:?} at {:?}", relay, seal);
        }
    }
    Ok(())
}

#[test]
fn invariant_1_a_record_is_written_by_its_home_alone() {
    hold(None, only_the_home_writes).unwrap();
}

#[test]
fn invariant_1_is_seen_to_fail_if_a_seal_counts_whoever_has_signed_it() {
    assert!(hold(Some(Fault::SkipRosterCheck), only_the_home_writes).is_err());
}

#[test]
fn invariant_2_a_copy_is_a_state_that_its_home_has_sealed() {
    hold(None, copies_are_sealed_states).unwrap();
}

#[test]
fn invariant_2_is_seen_to_fail_if_what_arrives_is_not_added_up() {
    assert!(hold(Some(Fault::ApplyBeforeVerify), copies_are_sealed_states).is_err());
}
