//! Every point as routing and clocks see it: from the directory, and where a point has no entry there
//! from what its code says.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use yizhan_proto::v1;

use crate::{
    app::{App, error::Result, records},
    domain::{
        analyzer::{Filter, filter},
        audience::Audience,
        calendar::ZoneName,
        id::PointCode,
        kind::Kind,
        language::LocalTexts,
        point::{Area, Point, PointState},
        region::{self, Region, RegionPrefix},
        routing::Desk,
        working_time::WorkingTime,
    },
};

/// So long may a change of the directory stay unnoticed.
const FRESH: Duration = Duration::from_millis(100);
/// The zone of points whose place has none of its own.
const ZONE_DEFAULT: &str = "Asia/Shanghai";
/// Characters of a short name.
const SHORT_MAX: usize = 5;

/// All desks at a moment.
pub struct Desks {
    pub all: Vec<Desk>,
    /// The provincial duty desk.
    pub duty: PointCode,
    /// Of points that have left the network: clients have references of theirs.
    pub left: Vec<Desk>,
}

impl Desks {
    pub fn find(&self, code: &PointCode) -> Option<&Desk> {
        self.all.iter().find(|desk| desk.code == *code)
    }

    /// The calendar that a point's clocks run in.
    pub fn hours(&self, code: &PointCode) -> WorkingTime {
        match self.find(code) {
            Some(desk) => desk.working.clone(),
            None => of_code(code).working,
        }
    }
}

/// The newest desks, kept until the directory or the roster changes.
#[derive(Default)]
pub struct DeskCache(Mutex<Option<Cached>>);

struct Cached {
    desks: Arc<Desks>,
    looked: Instant,
    revision: u64,
}

impl DeskCache {
    pub async fn get(&self, app: &App) -> Result<Arc<Desks>> {
        if let Some(desks) = self.fresh(app) {
            return Ok(desks);
        }
        let (_, revision) = app.heads.since(u64::MAX);
        let desks = Arc::new(read(app).await?);
        let cached = Cached { desks: desks.clone(), looked: Instant::now(), revision };
        *self.lock() = Some(cached);
        Ok(desks)
    }

    fn fresh(&self, app: &App) -> Option<Arc<Desks>> {
        let mut cached = self.lock();
        let known = cached.as_mut()?;
        if known.looked.elapsed() < FRESH {
            return Some(known.desks.clone());
        }
        let (changed, revision) = app.heads.since(known.revision);
        let concerns = |audience| matches!(audience, Audience::Public | Audience::Roster);
        if changed.iter().any(|(feed, _)| concerns(feed.audience)) {
            return None;
        }
        (known.looked, known.revision) = (Instant::now(), revision);
        Some(known.desks.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Cached>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

async fn read(app: &App) -> Result<Desks> {
    let term = filter(Filter::Kind, &Kind::POINT.0.to_string());
    let mut found = records::carrying_anywhere(app, term).await?;
    found.sort_by_key(|found| (found.feed.home.clone(), std::cmp::Reverse(found.row.sequence)));
    found.dedup_by_key(|found| found.feed.home.clone());
    let roster = app.keys.roster();
    let mut all = Vec::new();
    for found in found.iter().filter(|found| found.row.kind == Kind::POINT) {
        all.push(of_point(found.value::<v1::Point, _>()?));
    }
    for entry in roster.points() {
        if !all.iter().any(|desk| desk.code == entry.code) {
            all.push(of_code(&entry.code));
        }
    }
    // A node that has just been founded or has just joined stands in no roster that it has.
    for home in app.keys.homes() {
        if !all.iter().any(|desk| desk.code == home) {
            all.push(of_code(&home));
        }
    }
    // Named with those that have left: nobody gets another name, or the name of another, by that.
    name_apart(&mut all);
    let (left, all) = all.into_iter().partition(|desk| roster.is_revoked(&desk.code));
    Ok(Desks { all, duty: app.keys.founder.clone(), left })
}

/// No two points take references under one short name, nor under one that another had before. The
/// directory's stands; of two alike, that of the point that was named first in the alphabet of codes.
fn name_apart(all: &mut [Desk]) {
    all.sort_by(|a, b| (a.names.is_empty(), &a.code).cmp(&(b.names.is_empty(), &b.code)));
    for at in 1..all.len() {
        let (before, rest) = all.split_at_mut(at);
        let desk = &mut rest[0];
        let has_had =
            |one: &Desk, short: &String| one.short == *short || one.former_shorts.contains(short);
        let is_free = |short: &String| !before.iter().any(|one| has_had(one, short));
        if !is_free(&desk.short) {
            let own = short_of_code(&desk.code);
            let numbered = (2..).map(|n| format!("{}{n}", own.get(..3).unwrap_or(&own)));
            desk.short = std::iter::once(own.clone())
                .chain(numbered)
                .find(is_free)
                .expect("BUG: numbers do not end");
        }
    }
}

pub fn of_point(point: Point) -> Desk {
    let zone = point.time_zone.zone();
    Desk {
        working: Desk::working_time(&point.code, &zone, &point.hours, &point.closures),
        short: point.short,
        former_shorts: point.former_shorts,
        names: point.names,
        state: point.state,
        areas: point.areas,
        services: point.services,
        languages: point.languages,
        zone,
        hours: point.hours,
        closures: point.closures,
        paused: point.paused_from.zip(point.paused_to),
        cover: point.cover,
        closed_on: point.closed_on,
        code: point.code,
    }
}

/// A point that the directory does not know yet: `GB-LON` serves GB, `CN-440100` serves 4401, in
/// office hours, whatever is asked.
pub fn of_code(code: &PointCode) -> Desk {
    let (country, place) = code.as_str().split_once('-').unwrap_or((code.as_str(), ""));
    let is_mainland = country == "CN";
    let place = place.split('-').next().unwrap_or("");
    let served = if is_mainland { place } else { country };
    let mut areas: Vec<&str> = vec![served];
    if is_mainland && place.ends_with("0000") {
        areas.push("CN");
    }
    let area = |text: &&str| {
        let prefix = RegionPrefix::parse(text, "areas").ok()?;
        Some(Area { prefix, languages: Vec::new(), priority: 0 })
    };
    let zone = zone_name(code).zone();
    Desk {
        short: short_of_code(code),
        former_shorts: Vec::new(),
        names: LocalTexts::default(),
        state: PointState::Active,
        areas: areas.iter().filter_map(area).collect(),
        services: Vec::new(),
        languages: Vec::new(),
        working: Desk::working_time(code, &zone, &[], &[]),
        zone,
        hours: Vec::new(),
        closures: Vec::new(),
        paused: None,
        cover: None,
        closed_on: None,
        code: code.clone(),
    }
}

/// `LON` of GB-LON, `LON2` of GB-LON-2, `HK` of HK, `C4401` of CN-440100.
pub fn short_of_code(code: &PointCode) -> String {
    let mut parts = code.as_str().split('-');
    let country = parts.next().unwrap_or("");
    let (places, numbers): (Vec<&str>, Vec<&str>) =
        parts.partition(|part| part.len() == 3 || country == "CN");
    let place = places.first().copied().unwrap_or(country);
    let name = match country {
        "CN" => format!("C{}", place.get(..4).unwrap_or("")),
        _ => place.to_owned(),
    };
    let number = numbers.first().copied().unwrap_or("");
    format!("{name}{}", number.get(..SHORT_MAX - name.len()).unwrap_or(number))
}

fn zone_name(code: &PointCode) -> ZoneName {
    let text = code.as_str();
    let country = text.get(..2).unwrap_or("");
    let city = text.get(3..6).map(|place| format!("{country}{place}"));
    let zone = city.and_then(|city| zone_of(region::find(&city)?));
    let zone = zone.or_else(|| zone_of(region::find(country)?));
    zone.unwrap_or_else(|| {
        ZoneName::parse(ZONE_DEFAULT, "tz").expect("BUG: the default zone is a zone")
    })
}

/// The zone of a place, or of what it lies in.
pub fn zone_of(region: Region) -> Option<ZoneName> {
    let entry = region.entry();
    let own = entry.time_zone.or_else(|| {
        let mut above = region.prefixes().filter_map(region::find);
        above.find_map(|region| region.entry().time_zone)
    });
    let mainland = region.code().as_bytes()[0].is_ascii_digit().then_some(ZONE_DEFAULT);
    ZoneName::parse(own.or(mainland)?, "tz").ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shorts(codes: &[&str]) -> Vec<String> {
        let mut desks: Vec<Desk> =
            codes.iter().map(|code| of_code(&code.parse().unwrap())).collect();
        name_apart(&mut desks);
        desks.into_iter().map(|desk| desk.short).collect()
    }

    #[test]
    fn no_two_points_take_references_under_one_short_name() {
        let codes = ["GB-LON", "GB-LON-2", "HK", "HK-2", "CN-440100"];
        let mut told = shorts(&codes);
        told.sort();
        assert_eq!(told, ["C4401", "HK", "HK2", "LON", "LON2"]);
        let alike = shorts(&["CN-440100", "CN-440103", "CA-LON", "GB-LON"]);
        let mut apart = alike.clone();
        apart.sort();
        apart.dedup();
        assert_eq!(apart.len(), 4, "{alike:?}");
        for short in alike {
            assert!(crate::domain::point::short_name(&short, "short").is_ok(), "{short}");
        }
    }
}
