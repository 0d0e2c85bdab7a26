//! What a home counts of rows that do not leave it, and publishes as numbers.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use yizhan_proto::v1;

use crate::{
    app::{App, error::Result, records},
    domain::{
        analyzer::{Filter, Term, filter},
        audience::{Audience, FeedId},
        calendar::Date,
        group::{GroupKind, PlaceCard, PlaceRole, PlaceState},
        home_figures::{
            COHORT_SEATS, COHORTS, COMPANIES, Cell, HomeFigures, KEY_CONTACTS, SEAT_HOLDERS,
            SPEAKER_POOL,
        },
        id::{PointCode, RecordId},
        kind::Kind,
        member::{Member, Role},
        org::OrgDetail,
    },
    feed::change::{Change, CommitError},
};

/// What organisations report of how many companies they have.
const COMPANIES_METRIC: &str = "companies";

/// Counts a home of this node, from its rows.
pub async fn count(app: &App, home: &PointCode) -> Result<HomeFigures> {
    let mut cells = Vec::new();
    let mut counted = |metric: &str, value: usize| {
        let (metric, value) = (metric.to_owned(), value as u64);
        cells.push(Cell { metric, since: None, value, is_reported: false });
    };
    counted(SPEAKER_POOL, pool(app, home).await?);
    counted(SEAT_HOLDERS, members(app, home, Role::SeatHolder).await?);
    let (places, persons) = key_contacts(app, home).await?;
    counted(COHORT_SEATS, places);
    counted(KEY_CONTACTS, persons);
    counted(COHORTS, cohorts(app, home).await?);
    cells.extend(companies(app, home).await?);
    Ok(HomeFigures::new(cells)?)
}

/// Publishes the numbers of a home of this node, if they are others than before.
pub async fn refresh(app: &App, home: &PointCode) -> Result<()> {
    let figures = count(app, home).await?;
    let feed = FeedId::new(home.clone(), Audience::Public);
    let id = RecordId::of_source(&app.keys.network, Kind::HOME_FIGURES.0, home.as_str(), 0);
    let known = records::find(app, id).await?;
    let known = known.into_iter().find(|found| found.feed == feed);
    let before = match &known {
        Some(found) => found.value::<v1::HomeFigures, _>()?,
        None => HomeFigures::default(),
    };
    if before == figures || (known.is_none() && figures.is_empty()) {
        return Ok(());
    }
    let at = known.map(|found| found.row.sequence);
    let payload = v1::HomeFigures::from(figures).encode_to_vec();
    let change = Change::new().expect(feed.clone(), id, at);
    match app.writer.commit(change.put(feed, Kind::HOME_FIGURES, id, payload)).await {
        // Another node of the point was first, and has counted the same rows.
        Ok(_) | Err(CommitError::Stale) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn terms(all: &[(Filter, &str)]) -> Vec<Term> {
    all.iter().map(|(by, value)| Term { text: filter(*by, value), prefix: false }).collect()
}

/// Distinct members in the speaker pool, by their cards: who has opted out of the network's directory is
/// not told of as one of a pool either, not even as a number.
async fn pool(app: &App, home: &PointCode) -> Result<usize> {
    let kind = Kind::CARD.0.to_string();
    let terms = terms(&[(Filter::Kind, &kind), (Filter::Role, Role::Speaker.name())]);
    let mut count = 0;
    for audience in [Audience::Network, Audience::Domestic] {
        let feed = FeedId::new(home.clone(), audience);
        count += records::carrying_all(app, &feed, Kind::CARD, &terms).await?.len();
    }
    Ok(count)
}

/// Distinct members with a role: a member has one home.
async fn members(app: &App, home: &PointCode, role: Role) -> Result<usize> {
    let feed = FeedId::new(home.clone(), Audience::Home);
    let kind = Kind::MEMBER.0.to_string();
    let terms = terms(&[(Filter::Kind, &kind), (Filter::Role, role.name())]);
    let mut count = 0;
    for found in records::carrying_all(app, &feed, Kind::MEMBER, &terms).await? {
        let member: Member = found.value::<v1::Member, _>()?;
        count += usize::from(member.state.is_disclosable());
    }
    Ok(count)
}

/// Places of key contacts, and the distinct persons in them. A place is disclosed, with or without
/// its person, by the person's own home; so nobody is counted at two homes.
async fn key_contacts(app: &App, home: &PointCode) -> Result<(usize, usize)> {
    let feed = FeedId::new(home.clone(), Audience::Network);
    let kind = Kind::GROUP_CARD.0.to_string();
    let terms = terms(&[
        (Filter::Kind, &kind),
        (Filter::Role, PlaceRole::KeyContact.name()),
        (Filter::State, PlaceState::ActiveContact.name()),
    ]);
    let found = records::carrying_all(app, &feed, Kind::GROUP_CARD, &terms).await?;
    let mut persons = BTreeSet::new();
    for found in &found {
        let card: PlaceCard = found.value::<v1::GroupCard, _>()?;
        persons.insert(card.token);
    }
    Ok((found.len(), persons.len()))
}

async fn cohorts(app: &App, home: &PointCode) -> Result<usize> {
    let feed = FeedId::new(home.clone(), Audience::Network);
    let kind = Kind::GROUP.0.to_string();
    let terms = terms(&[(Filter::Kind, &kind), (Filter::Sort, GroupKind::Cohort.name())]);
    Ok(records::carrying_all(app, &feed, Kind::GROUP, &terms).await?.len())
}

/// The sum of what each organisation of the home has said last, for every day on which one spoke.
async fn companies(app: &App, home: &PointCode) -> Result<Vec<Cell>> {
    let feed = FeedId::new(home.clone(), Audience::Network);
    let kind = Kind::ORG_DETAIL.0.to_string();
    let terms = terms(&[(Filter::Kind, &kind), (Filter::Field, COMPANIES_METRIC)]);
    let mut details: Vec<OrgDetail> = Vec::new();
    for found in records::carrying_all(app, &feed, Kind::ORG_DETAIL, &terms).await? {
        details.push(found.value::<v1::OrgDetail, _>()?);
    }
    let figures = details.iter().flat_map(OrgDetail::figures);
    let days: BTreeSet<Date> =
        figures.filter(|one| one.metric == COMPANIES_METRIC).map(|one| one.as_of).collect();
    let sums: BTreeMap<Date, u64> = days
        .into_iter()
        .map(|day| {
            let latest = details.iter().filter_map(|one| one.latest(COMPANIES_METRIC, day));
            (day, latest.map(|figure| figure.value.unsigned_abs()).sum())
        })
        .collect();
    Ok(sums
        .into_iter()
        .map(|(day, value)| Cell {
            metric: COMPANIES.to_owned(),
            since: Some(day),
            value,
            is_reported: true,
        })
        .collect())
}
