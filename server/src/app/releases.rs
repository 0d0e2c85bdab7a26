//! Releases that another node's home has of its member, and an event here shows the name by.
//!
//! Who withdraws one says so at home. An event elsewhere was told of it by a file, or before the person
//! or the point went to a node of its own, and no feed carries consents: so whoever shows a name asks the
//! home of the person, again and again, whether the release has ended. A home answers for what it
//! knows; of what it has never heard of it says nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tracing::info;
use yizhan_proto::v1::{
    self, Letter, ReleasesAnswer, ReleasesQuestion, letter, releases_question::Noted,
};

use super::{
    App,
    error::{Error, Result},
    people,
    records::{self, Found},
};
use crate::{
    domain::{
        analyzer::{Filter, filter},
        audience::{Audience, FeedId},
        audit::Deed,
        event::EventPlan,
        grant::Grant,
        id::{GrantId, MemberId, PointCode, RecordId},
        kind::Kind,
    },
    feed::change::{Change, CommitError},
    store,
    wire::terms::NOTED_ELSEWHERE,
};

/// How long a home has to answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// Releases of one question.
const AT_ONCE: usize = 500;

/// What has become of releases, and of whom they were.
#[derive(Default)]
struct Ended {
    releases: BTreeSet<GrantId>,
    erased: BTreeSet<MemberId>,
}

/// Asks the homes of those whom events here name by a release of theirs, and takes off what has ended.
pub async fn follow(app: &App) -> Result<()> {
    let noted = noted(app).await?;
    let mut ended = Ended::default();
    for (home, releases) in &noted {
        let roster = app.keys.roster();
        let server = roster.server_of(home).filter(|_| !roster.is_revoked(home)).cloned();
        let Some(server) = server else {
            // Nobody will ever say when it ends.
            ended.releases.extend(releases.iter().map(|(_, release)| *release));
            continue;
        };
        let releases: Vec<_> = releases.iter().copied().collect();
        for some in releases.chunks(AT_ONCE) {
            if let Some(answer) = ask(app, &server, some).await {
                hear(some, &answer, &mut ended);
            }
        }
    }
    if ended.releases.is_empty() && ended.erased.is_empty() {
        return Ok(());
    }
    take_off(app, &ended).await
}

type Releases = BTreeSet<(MemberId, GrantId)>;

/// Releases by the home that knows whether they hold.
async fn noted(app: &App) -> Result<BTreeMap<PointCode, Releases>> {
    let mut noted: BTreeMap<PointCode, Releases> = BTreeMap::new();
    for found in plans(app).await? {
        let plan: EventPlan = found.value::<v1::EventPlan, _>()?;
        for appearance in plan.event.appearances {
            let Some(home) = appearance.home.filter(|home| !app.keys.is_home(home)) else {
                continue;
            };
            if let (Some(member), Some(release)) = (appearance.member, appearance.release) {
                noted.entry(home).or_default().insert((member, release));
            }
        }
    }
    Ok(noted)
}

/// The events of our homes that name somebody by another node's release.
async fn plans(app: &App) -> Result<Vec<Found>> {
    let mut all = Vec::new();
    for home in app.keys.homes() {
        let feed = FeedId::new(home, Audience::Home);
        let term = filter(Filter::Kind, NOTED_ELSEWHERE);
        all.extend(records::carrying(app, &feed, Kind::EVENT_PLAN, term).await?);
    }
    Ok(all)
}

async fn ask(
    app: &App,
    server: &PointCode,
    releases: &[(MemberId, GrantId)],
) -> Option<ReleasesAnswer> {
    let noted = releases
        .iter()
        .map(|(member, release)| Noted { member: member.0.to_vec(), release: release.0.to_vec() });
    let question = ReleasesQuestion { noted: noted.collect() };
    let letter = Letter { kind: Some(letter::Kind::ReleasesQuestion(question)) };
    match app.post.ask(server, letter, DEADLINE).await.ok()?.kind {
        Some(letter::Kind::ReleasesAnswer(answer)) => Some(answer),
        _ => None,
    }
}

/// Of an answer, what was asked about.
fn hear(asked: &[(MemberId, GrantId)], answer: &ReleasesAnswer, ended: &mut Ended) {
    for (member, release) in asked {
        if answer.ended.iter().any(|id| *id == release.0) {
            ended.releases.insert(*release);
        }
        if answer.erased.iter().any(|id| *id == member.0) {
            ended.erased.insert(*member);
        }
    }
}

async fn take_off(app: &App, ended: &Ended) -> Result<()> {
    // One person stays one in counts, at each home by a token of its own.
    let mut tokens: BTreeMap<(PointCode, MemberId), [u8; 16]> = BTreeMap::new();
    for found in plans(app).await? {
        let mut plan: EventPlan = found.value::<v1::EventPlan, _>()?;
        let before = plan.clone();
        for appearance in &mut plan.event.appearances {
            let erased = appearance.member.filter(|member| ended.erased.contains(member));
            let is_over = appearance.home.is_some()
                && appearance.release.is_some_and(|release| ended.releases.contains(&release));
            if !is_over && (erased.is_none() || appearance.home.is_none()) {
                continue;
            }
            appearance.release = None;
            appearance.home = None;
            appearance.display_names = Default::default();
            if let Some(member) = erased {
                let at = (found.feed.home.clone(), member);
                appearance.token = *tokens.entry(at).or_insert_with(|| app.outside.random());
                appearance.member = None;
            }
        }
        if plan != before {
            info!(home = %found.feed.home, "a name is taken off an event: its release has ended");
            let change = Change::new().by(Deed::of_node("follow_release"));
            let change = people::put_revised(app, change, found, plan).await?;
            match app.writer.commit(change).await {
                // Somebody changes the event: it is looked at again.
                Ok(_) | Err(CommitError::Stale) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// Says which of these releases of our members have ended, and who of them was erased.
pub async fn answer(app: &App, question: ReleasesQuestion) -> ReleasesAnswer {
    let mut answer = ReleasesAnswer::default();
    for noted in question.noted.into_iter().take(AT_ONCE) {
        let member = noted.member[..].try_into().map(RecordId);
        let release = noted.release[..].try_into().map(RecordId);
        let (Ok(member), Ok(release)) = (member, release) else { continue };
        if app.erasures.holds(member) {
            answer.ended.push(noted.release);
            answer.erased.push(noted.member);
        } else if has_ended(app, member, release).await.unwrap_or(false) {
            answer.ended.push(noted.release);
        }
    }
    answer
}

/// Has a release of a member of ours ended, or gone with the member? One that is not known has not.
async fn has_ended(app: &App, member: RecordId, release: RecordId) -> Result<bool> {
    let readable = app.heads.readable_slots();
    let stored = store::records::find(&mut *app.db.reader().await?, release).await?;
    let mut has_gone = false;
    for version in stored {
        let feed = readable.get(&version.slot);
        let is_own = feed
            .is_some_and(|feed| feed.audience == Audience::Home && app.keys.is_home(&feed.home));
        if !is_own || version.row.kind != Kind::GRANT {
            continue;
        }
        let Some(found) = Found::of(&readable, version) else {
            has_gone = true;
            continue;
        };
        let grant: Grant = found.value::<v1::Grant, _>().map_err(|_: Error| damaged())?;
        if grant.member.record() == member {
            return Ok(!grant.holds_at(app.outside.now()));
        }
    }
    Ok(has_gone)
}

fn damaged() -> Error {
    Error::Storage(store::StoreError::Damaged { what: "consent" })
}
