//! Which point handles a help request, and why: a pure decision over what points say of themselves.
//!
//! The smallest area that covers the place decides; among equals, who offers the category, then who
//! speaks the language, then the area's priority. A point that is shut hands over to its cover. What
//! nobody covers goes to the duty desk, always.

use super::{
    calendar::Date,
    help_category::HelpCategory,
    help_state::Urgency,
    hours::{Closure, Hours},
    id::PointCode,
    language::{Language, LocalTexts},
    point::{Area, PointState},
    region::Region,
    time::Time,
    working_time::{WeeklyHours, WorkingTime},
};

/// Other points that a route names.
pub const ALTERNATIVES_MAX: usize = 8;
/// Covers of covers that are followed.
const COVERS_MAX: usize = 4;

/// A point as routing and clocks see it.
#[derive(Clone, Debug)]
pub struct Desk {
    pub code: PointCode,
    pub short: String,
    /// Short names that it had before.
    pub former_shorts: Vec<String>,
    pub names: LocalTexts,
    pub state: PointState,
    pub areas: Vec<Area>,
    /// Empty: whatever is asked.
    pub services: Vec<String>,
    /// Empty: any.
    pub languages: Vec<Language>,
    pub zone: jiff::tz::TimeZone,
    pub hours: Vec<Hours>,
    pub closures: Vec<Closure>,
    /// Days of a pause; none: as long as the state says so.
    pub paused: Option<(Date, Date)>,
    pub cover: Option<PointCode>,
    pub closed_on: Option<Date>,
    /// Its calendar.
    pub working: WorkingTime,
}

impl Desk {
    /// Working time from what else is known of the desk. A point without hours keeps those of an
    /// office.
    pub fn working_time(
        code: &PointCode,
        zone: &jiff::tz::TimeZone,
        hours: &[Hours],
        closures: &[Closure],
    ) -> WorkingTime {
        let closed = closures.iter().map(|closure| (closure.from, closure.to));
        if hours.is_empty() {
            let office = (1..=5).map(|day| (day, 9 * 60, 18 * 60));
            let week = WeeklyHours::new(office, "hours").unwrap_or_default();
            return WorkingTime::new(code, week, zone.clone(), closed);
        }
        let week = |holds: &dyn Fn(&Hours) -> bool| {
            let ranges = hours.iter().filter(|one| holds(one)).flat_map(|one| {
                one.days().map(|day| (day, one.opens_minute(), one.closes_minute()))
            });
            WeeklyHours::new(ranges, "hours").unwrap_or_default()
        };
        // On these days hours begin to hold, or have ceased to.
        let mut turns: Vec<Date> = hours.iter().filter_map(Hours::valid_from).collect();
        turns.extend(hours.iter().filter_map(|one| one.valid_to()?.tomorrow().ok()));
        turns.sort();
        turns.dedup();
        let seasons = turns.into_iter().map(|day| (day, week(&|one| one.holds_on(day)))).collect();
        let before = week(&|one| one.valid_from().is_none());
        WorkingTime::new(code, before, zone.clone(), closed).with_seasons(seasons)
    }

    fn day(&self, at: Time) -> Option<Date> {
        let at = jiff::Timestamp::from_microsecond(at.0).ok()?;
        Some(self.zone.to_datetime(at).date())
    }

    /// Does it take requests at all on that day?
    fn exists(&self, at: Time) -> bool {
        match (self.state, self.closed_on) {
            (PointState::Proposed, _) => false,
            (PointState::Closed, Some(on)) => self.day(at).is_some_and(|day| day < on),
            (PointState::Closed, None) => false,
            (PointState::Active | PointState::Paused, _) => true,
        }
    }

    /// The point that stands in, and until when, if this one is shut on that day.
    fn cover(&self, at: Time) -> Option<(Option<&PointCode>, Option<Date>)> {
        let day = self.day(at)?;
        match self.paused {
            Some((from, to)) if (from..=to).contains(&day) => {
                return Some((self.cover.as_ref(), Some(to)));
            }
            None if self.state == PointState::Paused => return Some((self.cover.as_ref(), None)),
            _ => (),
        }
        let closure = self.closures.iter().find(|one| (one.from..=one.to).contains(&day))?;
        Some((closure.cover.as_ref(), Some(closure.to)))
    }

    pub fn offers(&self, category: HelpCategory) -> bool {
        self.services.is_empty() || self.services.iter().any(|one| one == category.name())
    }

    pub fn speaks(&self, language: &Language) -> bool {
        self.languages.is_empty()
            || self
                .languages
                .iter()
                .any(|one| one == language || one.primary() == language.primary())
    }
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Ask {
    pub region: Region,
    pub category: HelpCategory,
    pub language: Language,
    pub urgency: Urgency,
    pub at: Time,
}

#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Alternative {
    pub point: String,
    pub note: String,
}

/// Why a request is where it is.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Route {
    pub rule: String,
    pub reason: String,
    pub alternatives: Vec<Alternative>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    pub owner: PointCode,
    pub route: Route,
    /// Nobody covers the place, or nobody who does can be reached.
    pub is_fallback: bool,
}

/// Decides. `duty` is the provincial desk.
pub fn route(desks: &[Desk], duty: &PointCode, ask: &Ask) -> Decision {
    let candidates = candidates(desks, ask);
    let rest = format!("category={} lang={}", ask.category.name(), ask.language);
    for (at, candidate) in candidates.iter().enumerate() {
        let Some((desk, shut)) = standing(desks, candidate.desk, ask.at) else { continue };
        let mut reason = candidate.reason(ask);
        reason.push_str(&covering(&shut, desk));
        let others = candidates.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, one)| one);
        return Decision {
            owner: desk.code.clone(),
            route: Route {
                rule: format!("area={} {rest}", candidate.prefix),
                reason: in_both_languages(reason, candidate, ask),
                alternatives: alternatives(desks, &desk.code, others, ask),
            },
            is_fallback: false,
        };
    }
    let place = ask.region.prefix();
    let mut reason = format!("no point covers {place}: the duty desk {duty} takes it");
    if ask.language.primary() != "en" {
        reason.push_str(&format!(" · 没有联络点覆盖 {place}，由值班台 {duty} 受理"));
    }
    Decision {
        owner: duty.clone(),
        route: Route {
            rule: format!("fallback: no area covers {place}"),
            reason,
            alternatives: alternatives(desks, duty, [].iter(), ask),
        },
        is_fallback: true,
    }
}

/// A point one of whose areas covers the place.
struct Candidate<'a> {
    desk: &'a Desk,
    prefix: &'static str,
    offers: bool,
    speaks: bool,
}

impl Candidate<'_> {
    fn reason(&self, ask: &Ask) -> String {
        let mut reason = format!("because area {}", self.prefix);
        if self.offers {
            reason.push_str(" + category");
        }
        if self.speaks {
            reason.push_str(&format!(" + {}", ask.language.primary()));
        }
        reason
    }
}

/// Best first.
fn candidates<'a>(desks: &'a [Desk], ask: &Ask) -> Vec<Candidate<'a>> {
    let mut found = Vec::new();
    for desk in desks.iter().filter(|desk| desk.exists(ask.at)) {
        let speaks_area = |area: &Area| {
            let alike = |one: &Language| one.primary() == ask.language.primary();
            area.languages.is_empty() || area.languages.iter().any(alike)
        };
        let places = ask.region.prefixes().enumerate().filter_map(|(size, prefix)| {
            let mut here = desk.areas.iter().filter(|area| area.prefix.as_str() == prefix);
            here.find(|area| speaks_area(area)).map(|area| (size, prefix, area.priority))
        });
        let Some((size, prefix, priority)) = places.min_by_key(|(size, ..)| *size) else {
            continue;
        };
        let (offers, speaks) = (desk.offers(ask.category), desk.speaks(&ask.language));
        let rank = (size, !offers, !speaks, priority, desk.code.clone());
        found.push((rank, Candidate { desk, prefix, offers, speaks }));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found.into_iter().map(|(_, candidate)| candidate).collect()
}

/// A point that a client has chosen, or who stands in for it while it is shut, and why. None: it takes
/// no requests.
pub fn chosen<'a>(desks: &'a [Desk], wish: &PointCode, at: Time) -> Option<(&'a Desk, String)> {
    let wished = desks.iter().find(|desk| desk.code == *wish && desk.exists(at))?;
    let (desk, shut) = standing(desks, wished, at)?;
    Some((desk, format!("because the client chose {wish}{}", covering(&shut, desk))))
}

fn covering(shut: &[Shut], cover: &Desk) -> String {
    let one = |(code, until): &Shut| {
        let until = until.map(|day| format!(" until {day}")).unwrap_or_default();
        format!("; {code} is closed{until}, {} covers", cover.code)
    };
    shut.iter().map(one).collect()
}

/// A point that is shut, and until when.
type Shut = (PointCode, Option<Date>);

/// The desk itself, or who stands in for it; none if nobody does. With those that are shut.
fn standing<'a>(desks: &'a [Desk], first: &'a Desk, at: Time) -> Option<(&'a Desk, Vec<Shut>)> {
    let (mut desk, mut shut) = (first, Vec::new());
    for _ in 0..=COVERS_MAX {
        match desk.cover(at) {
            None => return Some((desk, shut)),
            Some((None, until)) if shut.is_empty() && until.is_some() => {
                // Nobody covers a few days: the clock knows them.
                return desk.paused.is_none().then_some((desk, shut));
            }
            Some((None, _)) => return None,
            Some((Some(cover), until)) => {
                shut.push((desk.code.clone(), until));
                let next = desks.iter().find(|one| one.code == *cover && one.exists(at))?;
                desk = next;
            }
        }
    }
    None
}

/// Others who cover the place; and where it is pressing and the owner is shut, who is open now.
fn alternatives<'a>(
    desks: &[Desk],
    owner: &PointCode,
    others: impl Iterator<Item = &'a Candidate<'a>>,
    ask: &Ask,
) -> Vec<Alternative> {
    let is_open = |code: &PointCode| {
        desks.iter().any(|desk| desk.code == *code && desk.working.is_open(ask.at))
    };
    let mut found: Vec<Alternative> = Vec::new();
    let pressing = matches!(ask.urgency, Urgency::Emergency | Urgency::Urgent);
    if pressing && !is_open(owner) {
        let open = desks.iter().filter(|desk| {
            desk.exists(ask.at)
                && desk.code != *owner
                && desk.cover(ask.at).is_none()
                && desk.offers(ask.category)
                && desk.speaks(&ask.language)
                && desk.working.is_open(ask.at)
        });
        let note =
            |desk: &Desk| Alternative { point: desk.code.to_string(), note: "open_now".to_owned() };
        found.extend(open.take(ALTERNATIVES_MAX / 2).map(note));
    }
    for other in others {
        if other.desk.code == *owner
            || found.iter().any(|one| one.point == other.desk.code.as_str())
        {
            continue;
        }
        let mut note = format!("area={}", other.prefix);
        if !other.offers {
            note.push_str(" category=no");
        }
        if !other.speaks {
            note.push_str(" lang=no");
        }
        found.push(Alternative { point: other.desk.code.to_string(), note });
    }
    found.truncate(ALTERNATIVES_MAX);
    found
}

/// English first, as handlers everywhere read it; then the client's Chinese.
fn in_both_languages(reason: String, candidate: &Candidate<'_>, ask: &Ask) -> String {
    if !matches!(ask.language.primary(), "zh" | "yue" | "cmn") {
        return reason;
    }
    let mut zh = format!("依据地区 {}", candidate.prefix);
    if candidate.offers {
        zh.push_str("、类别");
    }
    if candidate.speaks {
        zh.push_str("、语言");
    }
    format!("{reason} · {zh}")
}

#[cfg(test)]
#[path = "routing_tests.rs"]
mod tests;
