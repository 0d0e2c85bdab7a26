//! Contact points.

use serde::{Deserialize, Serialize};
use yizhan_proto::v1::{
    self,
    point::{Kind, State},
};

use super::{Handle, Texts, day, parse_optional_day, value_of, word};
use crate::{
    answer::Column,
    error::{Error, Result},
};

pub const COLUMNS: &[Column] =
    &["code", "kind", "state", "names", "region_code", "node", "tz", "verified_on"];

#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Point {
    pub id: String,
    pub home: String,
    pub etag: String,
    pub code: String,
    pub short: String,
    pub kind: String,
    pub state: String,
    pub names: Texts,
    #[serde(alias = "region")]
    pub region_code: String,
    pub registered_region: String,
    pub parent: String,
    pub node: String,
    #[serde(alias = "time_zone")]
    pub tz: String,
    pub languages: Vec<String>,
    pub services: Vec<String>,
    pub areas: Vec<Area>,
    pub hours: Vec<Hours>,
    pub closures: Vec<Closure>,
    pub phone: String,
    pub email: String,
    pub channels: Vec<Handle>,
    pub opened_on: Option<String>,
    pub verified_on: Option<String>,
    pub paused_from: Option<String>,
    pub paused_to: Option<String>,
    pub cover: String,
    pub closed_on: Option<String>,
    pub successor: String,
    /// Who vouches for the entry.
    pub asserted_by: String,
    pub former_shorts: Vec<String>,
    /// Missing for callers who do not work at a point.
    pub contacts: Option<Vec<DeskContact>>,
    pub network_services: Option<Vec<String>>,
    /// Missing for callers who do not work at this point.
    pub capacity: Option<Texts>,
    pub source: String,
}

#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeskContact {
    pub names: Texts,
    pub phone: String,
    pub email: String,
}

#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Area {
    pub prefix: String,
    pub languages: Vec<String>,
    pub priority: u32,
}

#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hours {
    /// 1 (Monday) to 7 (Sunday).
    pub days: Vec<u32>,
    /// `09:00`.
    pub open: String,
    pub close: String,
    /// First and last day on which they hold; missing: always.
    pub valid_from: Option<String>,
    pub valid_to: Option<String>,
}

#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Closure {
    pub from: Option<String>,
    pub to: Option<String>,
    pub cover: String,
    pub notes: Texts,
}

impl From<&v1::Point> for Point {
    fn from(point: &v1::Point) -> Point {
        let area = |area: &v1::point::Area| Area {
            prefix: area.prefix.clone(),
            languages: area.languages.clone(),
            priority: area.priority,
        };
        let hours = |hours: &v1::point::Hours| Hours {
            days: hours.days.clone(),
            open: clock(hours.opens_minute),
            close: clock(hours.closes_minute),
            valid_from: day(hours.valid_from.as_ref()),
            valid_to: day(hours.valid_to.as_ref()),
        };
        let closure = |closure: &v1::point::Closure| Closure {
            from: day(closure.from.as_ref()),
            to: day(closure.to.as_ref()),
            cover: closure.cover.clone(),
            notes: (&closure.notes).into(),
        };
        Point {
            id: point.id.clone(),
            home: point.home.clone(),
            etag: point.etag.clone(),
            code: point.code.clone(),
            short: point.short.clone(),
            kind: word(point.kind, Kind::as_str_name, "KIND_"),
            state: word(point.state, State::as_str_name, "STATE_"),
            names: (&point.names).into(),
            region_code: point.region_code.clone(),
            registered_region: point.registered_region.clone(),
            parent: point.parent.clone(),
            node: point.node.clone(),
            tz: point.time_zone.clone(),
            languages: point.languages.clone(),
            services: point.services.clone(),
            areas: point.areas.iter().map(area).collect(),
            hours: point.hours.iter().map(hours).collect(),
            closures: point.closures.iter().map(closure).collect(),
            phone: point.phone.clone(),
            email: point.email.clone(),
            channels: point.channels.iter().map(Handle::from).collect(),
            opened_on: day(point.opened_on.as_ref()),
            verified_on: day(point.verified_on.as_ref()),
            paused_from: day(point.paused_from.as_ref()),
            paused_to: day(point.paused_to.as_ref()),
            cover: point.cover.clone(),
            closed_on: day(point.closed_on.as_ref()),
            successor: point.successor.clone(),
            asserted_by: point.asserted_by.clone(),
            former_shorts: point.former_shorts.clone(),
            contacts: None,
            network_services: None,
            capacity: None,
            source: point.source.clone(),
        }
    }
}

impl Point {
    /// A point with what the caller may see beside its public entry.
    pub fn of(
        point: &v1::Point,
        detail: Option<&v1::PointDetail>,
        notes: Option<&v1::PointNotes>,
    ) -> Point {
        let contact = |contact: &v1::point_detail::DeskContact| DeskContact {
            names: (&contact.names).into(),
            phone: contact.phone.clone(),
            email: contact.email.clone(),
        };
        Point {
            contacts: detail.map(|detail| detail.contacts.iter().map(contact).collect()),
            network_services: detail.map(|detail| detail.services.clone()),
            capacity: notes.map(|notes| (&notes.capacity).into()),
            ..Point::from(point)
        }
    }

    /// None: nothing is said of it.
    pub fn detail(&self) -> Option<v1::PointDetail> {
        if self.contacts.is_none() && self.network_services.is_none() {
            return None;
        }
        let contact = |contact: &DeskContact| v1::point_detail::DeskContact {
            names: (&contact.names).into(),
            phone: contact.phone.clone(),
            email: contact.email.clone(),
        };
        Some(v1::PointDetail {
            contacts: self.contacts.iter().flatten().map(contact).collect(),
            services: self.network_services.clone().unwrap_or_default(),
        })
    }

    /// None: nothing is said of it.
    pub fn notes(&self) -> Option<v1::PointNotes> {
        self.capacity.as_ref().map(|capacity| v1::PointNotes { capacity: capacity.into() })
    }
}

impl TryFrom<&Point> for v1::Point {
    type Error = Error;

    fn try_from(point: &Point) -> Result<v1::Point> {
        let area = |area: &Area| v1::point::Area {
            prefix: area.prefix.clone(),
            languages: area.languages.clone(),
            priority: area.priority,
        };
        Ok(v1::Point {
            code: point.code.clone(),
            short: point.short.clone(),
            kind: value_of(&point.kind, Kind::from_str_name, "KIND_", "kind")?,
            state: state(&point.state)?,
            names: (&point.names).into(),
            region_code: point.region_code.clone(),
            registered_region: point.registered_region.clone(),
            parent: point.parent.clone(),
            node: point.node.clone(),
            time_zone: point.tz.clone(),
            languages: point.languages.clone(),
            services: point.services.clone(),
            areas: point.areas.iter().map(area).collect(),
            hours: point.hours.iter().map(hours).collect::<Result<_>>()?,
            closures: point.closures.iter().map(closure).collect::<Result<_>>()?,
            phone: point.phone.clone(),
            email: point.email.clone(),
            channels: point.channels.iter().map(v1::Handle::from).collect(),
            opened_on: parse_optional_day(&point.opened_on, "opened_on")?,
            verified_on: parse_optional_day(&point.verified_on, "verified_on")?,
            paused_from: parse_optional_day(&point.paused_from, "paused_from")?,
            paused_to: parse_optional_day(&point.paused_to, "paused_to")?,
            cover: point.cover.clone(),
            closed_on: parse_optional_day(&point.closed_on, "closed_on")?,
            successor: point.successor.clone(),
            source: point.source.clone(),
            asserted_by: point.asserted_by.clone(),
            former_shorts: point.former_shorts.clone(),
            id: point.id.clone(),
            home: point.home.clone(),
            etag: point.etag.clone(),
        })
    }
}

/// The number of a state's word.
pub fn state(word: &str) -> Result<i32> {
    value_of(word, State::from_str_name, "STATE_", "state")
}

fn hours(hours: &Hours) -> Result<v1::point::Hours> {
    Ok(v1::point::Hours {
        days: hours.days.clone(),
        opens_minute: minute(&hours.open, "hours.open")?,
        closes_minute: minute(&hours.close, "hours.close")?,
        valid_from: parse_optional_day(&hours.valid_from, "hours.valid_from")?,
        valid_to: parse_optional_day(&hours.valid_to, "hours.valid_to")?,
    })
}

fn closure(closure: &Closure) -> Result<v1::point::Closure> {
    Ok(v1::point::Closure {
        from: parse_optional_day(&closure.from, "closures.from")?,
        to: parse_optional_day(&closure.to, "closures.to")?,
        cover: closure.cover.clone(),
        notes: (&closure.notes).into(),
    })
}

/// Minutes since midnight as `09:00`; midnight at a day's end is `24:00`.
fn clock(minute: u32) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

fn minute(text: &str, field: &str) -> Result<u32> {
    let parts = text.split_once(':').and_then(|(hours, minutes)| {
        Some((hours.parse::<u32>().ok()?, minutes.parse::<u32>().ok()?))
    });
    match parts {
        Some((hours, minutes)) if minutes < 60 && (hours < 24 || (hours, minutes) == (24, 0)) => {
            Ok(hours * 60 + minutes)
        }
        _ => Err(Error::field(field, "not_a_clock_time", "is not a time of day", "不是有效的时刻")
            .advice("write it as 09:00")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_survives_its_document() {
        let message = v1::Point {
            code: "CN-440100".into(),
            kind: Kind::City.into(),
            state: State::Active.into(),
            hours: vec![v1::point::Hours {
                days: vec![1, 2],
                opens_minute: 540,
                closes_minute: 1_440,
                valid_from: Some(v1::Date { year: 2023, month: 6, day: 1 }),
                valid_to: None,
            }],
            opened_on: Some(v1::Date { year: 2018, month: 3, day: 1 }),
            ..v1::Point::default()
        };
        let document = Point::from(&message);
        assert_eq!((document.hours[0].open.as_str(), document.kind.as_str()), ("09:00", "city"));
        assert_eq!(v1::Point::try_from(&document).unwrap(), message);
    }

    #[test]
    fn a_clock_time_has_hours_and_minutes() {
        for text in ["", "9", "24:01", "10:60", "-1:00", "99999999:00"] {
            assert!(minute(text, "t").is_err(), "{text}");
        }
    }
}
