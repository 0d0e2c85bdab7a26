//! Who speaks at an event: tokens that stand for persons, and names that a release allows.
//!
//! None of it is taken from the caller: a token leads nowhere, and a name is shown only with the
//! person's own consent.

use yizhan_proto::v1;

use super::{
    App,
    error::Result,
    events::put,
    groups,
    records::{self, Found},
    sight,
};
use crate::{
    domain::{
        analyzer::{Filter, filter},
        audience::{Audience, FeedId},
        disclosure,
        event::{Appearance, EventPlan},
        grant::{Grant, Purpose, Scope},
        group::Place,
        id::{GrantId, MemberId, PointCode, RecordId},
        kind::Kind,
        language::{Language, LocalTexts},
        member::Member,
        name::{Names, Script},
        policy::Operation,
    },
    feed::change::Change,
    identity::caller::Caller,
    wire::value::texts_message,
};

/// Stands for a person in counts; only who has the point's seal key can tell for whom.
pub fn token_key(app: &App) -> [u8; 32] {
    blake3::derive_key("yizhan 2026 tokens of persons", &app.keys.seal_key().to_bytes())
}

pub fn token(key: &[u8; 32], person: &[u8]) -> [u8; 16] {
    let mut token = [0; 16];
    token.copy_from_slice(&blake3::keyed_hash(key, person).as_bytes()[..16]);
    token
}

/// The token of a member at a home. One that its places and appearances there carry already is kept:
/// they came along when the point was handed over or the member moved, and the key did not.
pub async fn token_of(app: &App, home: &PointCode, member: RecordId) -> Result<[u8; 16]> {
    if let Some(found) = groups::places_of(app, home, member).await?.first() {
        return Ok(found.value::<v1::GroupMember, Place>()?.token);
    }
    for found in plans_of(app, home, member).await? {
        let plan: EventPlan = found.value::<v1::EventPlan, _>()?;
        let mine = |one: &&Appearance| one.member == Some(MemberId(member.0));
        if let Some(appearance) = plan.event.appearances.iter().find(mine) {
            return Ok(appearance.token);
        }
    }
    Ok(token(&token_key(app), &member.0))
}

/// What is shown of a person's names, per readers' language.
pub fn display_names(names: &Names) -> LocalTexts {
    let mut texts = LocalTexts::default();
    for (script, tag) in
        [(Script::Hans, "zh-Hans"), (Script::Hant, "zh-Hant"), (Script::Latin, "en")]
    {
        let language = Language::parse(tag, "names");
        if let (Some(name), Ok(language)) = (names.in_script(script), language) {
            texts.0.push((language, name.full.clone()));
        }
    }
    texts
}

/// Fills in what a plan says of its speakers. A speaker who is a member here is named by the home
/// record; of others, names stay as they are and wait for a release.
pub async fn identify(
    app: &App,
    caller: &Caller,
    home: &PointCode,
    event: RecordId,
    plan: &mut v1::EventPlan,
    before: Option<&EventPlan>,
) -> Result<()> {
    let source = before.map_or("", |plan| plan.source.as_str());
    let may_read = sight::homes(app, caller, Operation::ReadMember).contains(home);
    let Some(message) = &mut plan.event else { return Ok(()) };
    let of_token = |token: &[u8]| -> Option<&Appearance> {
        before.and_then(|plan| plan.event.appearances.iter().find(|known| known.token == token))
    };
    for appearance in &mut message.appearances {
        let known = of_token(&appearance.token);
        appearance.release.clear();
        appearance.home.clear();
        appearance.source = known.map(|known| known.source.clone()).unwrap_or_default();
        if appearance.member.is_empty() {
            let token = known.map_or_else(|| app.outside.random(), |known| known.token);
            appearance.token = token.to_vec();
            continue;
        }
        let id = RecordId::parse(&appearance.member, "plan.event.appearances.member")?;
        appearance.token = token_of(app, home, id).await?.to_vec();
        if !may_read {
            // Nobody learns a name by putting an id into a plan. What was known stays as it is.
            if let Some(known) = of_token(&appearance.token) {
                appearance.display_names = texts_message(known.display_names.clone());
                appearance.release =
                    known.release.map(|release| release.record().to_string()).unwrap_or_default();
                appearance.home = known.home.as_ref().map(PointCode::to_string).unwrap_or_default();
            }
            continue;
        }
        let found = records::find(app, id).await?;
        let Some(member) =
            found.iter().find(|at| at.is(Kind::MEMBER, Audience::Home) && at.feed.home == *home)
        else {
            // Another home's member: that home's consents are not known here.
            continue;
        };
        let member: Member = member.value::<v1::Member, _>()?;
        appearance.display_names = texts_message(display_names(&member.names));
        if let Some(release) = release(app, home, id, event, source).await? {
            appearance.release = release.to_string();
        }
    }
    Ok(())
}

/// The release of a speaker for an event, if one is in force.
async fn release(
    app: &App,
    home: &PointCode,
    member: RecordId,
    event: RecordId,
    source: &str,
) -> Result<Option<GrantId>> {
    let now = app.outside.now();
    for found in records::grants_of(app, home, member).await? {
        let grant: Grant = found.value::<v1::Grant, _>()?;
        if releases(&grant, event, source) && grant.holds_at(now) {
            return Ok(Some(GrantId(found.row.id.0)));
        }
    }
    Ok(None)
}

/// Is it a release of the names in this event? `source` is the event's source id, if it has one.
fn releases(grant: &Grant, event: RecordId, source: &str) -> bool {
    let fits = match &grant.scope {
        Scope::Unlimited => true,
        Scope::Event(name) => *name == event.to_string() || (!source.is_empty() && name == source),
        Scope::Domestic | Scope::Point(_) => false,
    };
    grant.purpose == Purpose::MediaRelease && fits
}

/// Adds to a change which of a member's names in events a release covers from then on. `grants` are all
/// of the member's, as the change leaves them.
pub async fn follow_releases(
    app: &App,
    mut change: Change,
    home: &PointCode,
    member: RecordId,
    names: &Names,
    grants: &[(GrantId, Grant)],
) -> Result<Change> {
    let now = app.outside.now();
    for at in app.keys.homes() {
        change = revise_each(app, change, &at, member, |event, source, appearance| {
            let mut fits = grants
                .iter()
                .filter(|(_, grant)| releases(grant, event, source))
                .filter(|(_, grant)| disclosure::counts(grant, now))
                .map(|(id, _)| *id);
            let held = fits.clone().find(|id| appearance.release == Some(*id));
            // Another home's event names nobody anew: it is not known there what was agreed to.
            let is_open = appearance.release.is_some() || at == *home;
            appearance.release = held.or_else(|| fits.next().filter(|_| is_open));
            if appearance.release.is_some() && appearance.display_names.is_empty() {
                appearance.display_names = display_names(names);
            }
        })
        .await?;
    }
    Ok(change)
}

/// Adds to a change what becomes of the plans that a member speaks in: `part` changes each of the
/// member's appearances.
pub async fn revise(
    app: &App,
    change: Change,
    home: &PointCode,
    member: RecordId,
    part: impl Fn(&mut Appearance),
) -> Result<Change> {
    revise_each(app, change, home, member, |_, _, appearance| part(appearance)).await
}

/// The same; `part` is told the event, too, and its source id.
async fn revise_each(
    app: &App,
    mut change: Change,
    home: &PointCode,
    member: RecordId,
    part: impl Fn(RecordId, &str, &mut Appearance),
) -> Result<Change> {
    for found in plans_of(app, home, member).await? {
        let mut plan: EventPlan = found.value::<v1::EventPlan, _>()?;
        let before = plan.clone();
        let mine = |one: &&mut Appearance| one.member == Some(MemberId(member.0));
        let EventPlan { event, source, .. } = &mut plan;
        for appearance in event.appearances.iter_mut().filter(mine) {
            part(found.row.id, source, appearance);
        }
        if plan == before {
            continue;
        }
        change = put_revised(app, change, found, plan).await?;
    }
    Ok(change)
}

/// Adds a plan to a change in the place of the one that was found, and the public event with it.
pub async fn put_revised(
    app: &App,
    change: Change,
    found: Found,
    mut plan: EventPlan,
) -> Result<Change> {
    plan.event.update_time = app.outside.now();
    let public = records::find(app, found.row.id).await?;
    let was_public = public.iter().any(|at| at.is(Kind::EVENT, Audience::Public));
    let (id, at, home) = (found.row.id, Some(found.row.sequence), found.feed.home.clone());
    Ok(put(change.expect(found.feed, id, at), &home, id, plan, was_public))
}

/// Adds to a change that a member's home is another node's from now on: events of the other homes here
/// that name the member have to ask there whether they still may.
pub async fn gone_to(
    app: &App,
    mut change: Change,
    (home, to): (&PointCode, &PointCode),
    member: RecordId,
) -> Result<Change> {
    if app.keys.is_home(to) {
        return Ok(change);
    }
    for at in app.keys.homes().into_iter().filter(|at| at != home) {
        change = revise(app, change, &at, member, |appearance| {
            appearance.home = appearance.release.map(|_| to.clone());
        })
        .await?;
    }
    Ok(change)
}

/// The events of this node's homes that a member speaks in, each with the member's part.
pub async fn appearances(app: &App, member: RecordId) -> Result<Vec<(RecordId, EventPlan)>> {
    let mut all = Vec::new();
    for home in app.keys.homes() {
        for found in plans_of(app, &home, member).await? {
            all.push((found.row.id, found.value::<v1::EventPlan, _>()?));
        }
    }
    Ok(all)
}

async fn plans_of(app: &App, home: &PointCode, member: RecordId) -> Result<Vec<Found>> {
    let feed = FeedId::new(home.clone(), Audience::Home);
    let term = filter(Filter::Member, &hex::encode(member.0));
    records::carrying(app, &feed, Kind::EVENT_PLAN, term).await
}
