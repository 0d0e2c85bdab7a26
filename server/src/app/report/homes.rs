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
        group::{Group, GroupKind, PlaceCard, PlaceRole, PlaceState},
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
/// Days of one metric that are told apart: the newest. Earlier ones count like the oldest of these.
const DAYS_MAX: usize = 300;

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
    cells.extend(rising(COHORT_SEATS, places));
    cells.extend(rising(KEY_CONTACTS, persons));
    cells.extend(rising(COHORTS, cohorts(app, home).await?));
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

/// The first day of each thing that is counted; none: nobody has said it, and it counts always.
type Days = Vec<Option<Date>>;

/// A number that rises with every day on which something begins.
fn rising(metric: &str, mut days: Days) -> Vec<Cell> {
    days.sort();
    let mut cells: Vec<Cell> = Vec::new();
    for (before, since) in days.into_iter().enumerate() {
        let value = before as u64 + 1;
        match cells.last_mut().filter(|last| last.since == since) {
            Some(last) => last.value = value,
            None => {
                let metric = metric.to_owned();
                cells.push(Cell { metric, since, value, is_reported: false });
            }
        }
    }
    let surplus = cells.len().saturating_sub(DAYS_MAX);
    cells.drain(..surplus);
    if surplus > 0 {
        cells[0].since = None;
    }
    cells
}

/// When the places of key contacts were taken, and when each distinct person in them first took one.
/// A place is disclosed, with or without its person, by the person's own home; so nobody is counted
/// at two homes.
async fn key_contacts(app: &App, home: &PointCode) -> Result<(Days, Days)> {
    let feed = FeedId::new(home.clone(), Audience::Network);
    let kind = Kind::GROUP_CARD.0.to_string();
    let terms = terms(&[
        (Filter::Kind, &kind),
        (Filter::Role, PlaceRole::KeyContact.name()),
        (Filter::State, PlaceState::ActiveContact.name()),
    ]);
    let found = records::carrying_all(app, &feed, Kind::GROUP_CARD, &terms).await?;
    let mut places = Days::new();
    let mut persons: BTreeMap<[u8; 16], Option<Date>> = BTreeMap::new();
    for found in &found {
        let card: PlaceCard = found.value::<v1::GroupCard, _>()?;
        places.push(card.from);
        let first = persons.entry(card.token).or_insert(card.from);
        *first = (*first).min(card.from);
    }
    Ok((places, persons.into_values().collect()))
}

/// The days on which the home's cohorts began.
async fn cohorts(app: &App, home: &PointCode) -> Result<Days> {
    let feed = FeedId::new(home.clone(), Audience::Network);
    let kind = Kind::GROUP.0.to_string();
    let terms = terms(&[(Filter::Kind, &kind), (Filter::Sort, GroupKind::Cohort.name())]);
    let found = records::carrying_all(app, &feed, Kind::GROUP, &terms).await?;
    found.iter().map(|found| Ok(found.value::<v1::Group, Group>()?.started_on)).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::calendar::date;

    #[test]
    fn what_begins_later_does_not_count_on_a_day_before() {
        let day = |text: &str| date(text, "day").unwrap();
        let days = ["2021-04-17", "2018-09-15", "2021-04-17"].map(|text| Some(day(text)));
        let cells = rising(COHORT_SEATS, [&days[..], &[None]].concat());
        let figures = HomeFigures::new(cells).unwrap();
        let on = |text| figures.on(COHORT_SEATS, day(text));
        assert_eq!(["2018-09-14", "2018-09-15", "2021-04-16", "2021-04-17"].map(on), [1, 2, 2, 4]);
        assert!(rising(COHORTS, Days::new()).is_empty());
    }

    #[test]
    fn a_long_history_keeps_its_newest_days() {
        let first = date("2000-01-01", "day").unwrap();
        let days = (0..1_000).map(|n| first.checked_add(jiff::Span::new().days(n)).ok());
        let cells = rising(COHORT_SEATS, days.collect());
        assert_eq!((cells.len(), cells[0].since), (DAYS_MAX, None));
        assert_eq!((cells[0].value, cells[DAYS_MAX - 1].value), (701, 1_000));
    }
}
