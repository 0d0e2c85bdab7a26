//! Live questions: the homes themselves name their newest seals, and the answer waits until this
//! node's copies are as new. It then rests on the local tables as every answer does.
//!
//! One deadline holds for asking and catching up together. A home that does not answer in time, or
//! whose rows do not arrive in time, is missing, and that is said.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt, stream};
use tokio::{sync::Semaphore, time::Instant};
use yizhan_proto::v1::{self, HeadsAnswer, HeadsQuestion, Letter, letter::Kind};

use super::{
    App,
    error::{Error, Result},
    report,
};
use crate::{
    domain::{
        audience::{Audience, FeedId},
        id::PointCode,
        policy::Operation,
    },
    feed::seal::Seal,
    identity::caller::Caller,
};

/// From the question to the answer, whatever the points do.
const DEADLINE: Duration = Duration::from_secs(10);
/// Points that are asked at the same time: a network's worth, so that silent ones hold up nobody.
const AT_ONCE: usize = 1_000;
/// Live questions of this node's callers at the same time: each one asks every point.
const ASKING_MAX: usize = 4;
/// Homes that one node speaks for.
const HOMES_MAX: usize = 1_000;
/// Seals that one home can have: one per audience.
const SEALS_MAX: usize = HOMES_MAX * 4;

/// Room for live questions. One per node.
#[derive(Clone)]
pub struct Live(Arc<Semaphore>);

impl Default for Live {
    fn default() -> Live {
        Live(Arc::new(Semaphore::new(ASKING_MAX)))
    }
}

/// The homes that have answered and whose rows are here, of those that were to be asked.
pub struct Answered(BTreeSet<PointCode>);

impl Answered {
    /// Says of every home that lacks that it does.
    pub fn mark(&self, points: &mut [v1::PointState]) {
        for point in points {
            let is_here = self.0.iter().any(|home| home.as_str() == point.point);
            point.answered &= is_here;
        }
    }
}

/// What an answer shows of the homes.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    pub audiences: &'a [Audience],
    /// Published figures as well.
    pub figures: bool,
}

/// Asks all homes and waits until their newest rows are here, or the deadline is over.
pub async fn ask(app: &App, caller: &Caller, wanted: Wanted<'_>) -> Result<Answered> {
    caller.may(Operation::AskHomes)?;
    let _room = app.live.0.try_acquire().map_err(|_| Error::Busy)?;
    let deadline = Instant::now() + DEADLINE;
    let roster = app.keys.roster();
    let mut answered: BTreeSet<PointCode> = app.keys.homes().into_iter().collect();
    let mut servers: BTreeSet<PointCode> = BTreeSet::new();
    for entry in roster.points().filter(|entry| entry.revoked.is_none()) {
        if !app.keys.is_home(&entry.code) {
            servers.extend(roster.server_of(&entry.code).cloned());
        }
    }
    let asked = stream::iter(servers).map(|server| async move {
        let answer = ask_one(app, &server, wanted, deadline).await?;
        Some(catch_up(app, &server, answer, wanted.audiences, deadline).await)
    });
    let mut asked = asked.buffer_unordered(AT_ONCE);
    while let Some(answer) = asked.next().await {
        answered.extend(answer.into_iter().flatten());
    }
    Ok(Answered(answered))
}

async fn ask_one(
    app: &App,
    server: &PointCode,
    wanted: Wanted<'_>,
    deadline: Instant,
) -> Option<HeadsAnswer> {
    let question = HeadsQuestion { figures: wanted.figures };
    let letter = Letter { kind: Some(Kind::HeadsQuestion(question)) };
    let wait = deadline.saturating_duration_since(Instant::now());
    match app.post.ask(server, letter, wait).await.ok()?.kind {
        Some(Kind::HeadsAnswer(answer)) => Some(answer),
        _ => None,
    }
}

/// Waits for the rows up to the seals that a node named, and says which of its homes are then here.
async fn catch_up(
    app: &App,
    server: &PointCode,
    answer: HeadsAnswer,
    audiences: &[Audience],
    deadline: Instant,
) -> Vec<PointCode> {
    let roster = app.keys.roster();
    // A node speaks for its own point and for those it hosts, and for nobody else.
    let mut lacking: BTreeMap<PointCode, Vec<Seal>> = answer
        .homes
        .iter()
        .take(HOMES_MAX)
        .filter_map(|home| home.parse().ok())
        .filter(|home| roster.server_of(home) == Some(server))
        .map(|home| (home, Vec::new()))
        .collect();
    for seal in answer.seals.into_iter().take(SEALS_MAX) {
        let Ok(seal) = Seal::read(seal) else { continue };
        let feed = &seal.statement().feed;
        let is_needed = audiences.contains(&feed.audience) && app.keys.may_hold(feed);
        if !is_needed || app.keys.verify(&seal).is_err() {
            continue;
        }
        if let Some(seals) = lacking.get_mut(&feed.home.clone()) {
            seals.push(seal);
        }
    }
    let mut here = Vec::new();
    let mut changes = app.heads.watch();
    loop {
        lacking.retain(|home, seals| {
            seals.retain(|seal| !is_here(app, seal));
            if seals.is_empty() {
                here.push(home.clone());
            }
            !seals.is_empty()
        });
        if lacking.is_empty() {
            return here;
        }
        if tokio::time::timeout_at(deadline, changes.changed()).await.is_err() {
            return here;
        }
    }
}

/// Is the copy that answers rest on as new as a seal?
fn is_here(app: &App, seal: &Seal) -> bool {
    let view = app.heads.find(&seal.statement().feed).unwrap_or_default();
    let held = view.readable().and_then(|held| held.seal.as_ref());
    held.is_some_and(|held| !seal.is_after(held))
}

/// Names this node's newest seals to a point, as far as its node may hold them.
pub async fn answer(app: &App, from: &PointCode, question: HeadsQuestion) -> HeadsAnswer {
    let mut answer = HeadsAnswer::default();
    // Own rows that neighbours still have are missing: that is no answer.
    if !app.writer.recovery().is_taken_back() {
        return answer;
    }
    let roster = app.keys.roster();
    for home in app.keys.homes().into_iter().take(HOMES_MAX) {
        if question.figures && report::refresh(app, &home).await.is_err() {
            continue;
        }
        for audience in [Audience::Public, Audience::Network, Audience::Domestic] {
            let feed = FeedId::new(home.clone(), audience);
            let held = app.heads.find(&feed).and_then(|view| view.held);
            let seal = held.and_then(|held| held.seal);
            if let Some(seal) = seal.filter(|_| roster.may_node_hold(from, &feed)) {
                answer.seals.push(seal.message().clone());
            }
        }
        answer.homes.push(home.to_string());
    }
    answer
}
