//! A point: `v1::Point` <-> `Point`, and what points and it alone know of it. Output-only fields are not read.

use yizhan_proto::v1;

use super::value::{
    at_most, date, date_message, handles, handles_message, languages_message, optional,
    optional_point, point_code, point_message, texts, texts_message,
};
use crate::domain::{
    calendar::ZoneName,
    code::{codes, source},
    contact::{Email, Phone},
    hours::{CLOSURES_MAX, Closure, HOURS_MAX, Hours},
    language::languages,
    point::{
        AREAS_MAX, Area, CONTACTS_MAX, DeskContact, FORMER_SHORTS_MAX, PRIORITY_MAX, Point,
        PointDetail, PointKind, PointNotes, PointState, SERVICES_MAX, short_name,
    },
    region::{Region, RegionPrefix},
    text::{Invalid, LINE_MAX, line},
};

impl TryFrom<v1::Point> for Point {
    type Error = Invalid;

    fn try_from(point: v1::Point) -> Result<Point, Invalid> {
        at_most(&point.areas, AREAS_MAX, "areas")?;
        at_most(&point.hours, HOURS_MAX, "hours")?;
        at_most(&point.closures, CLOSURES_MAX, "closures")?;
        Point {
            code: point_code(&point.code, "code")?,
            short: short_name(&point.short, "short")?,
            kind: PointKind::from_number(point.kind, "kind")?,
            state: PointState::from_number(point.state, "state")?,
            names: texts(point.names, "names", LINE_MAX)?,
            region: Region::parse(&point.region_code, "region_code")?,
            registered_region: Region::parse(&point.registered_region, "registered_region")?,
            parent: optional_point(&point.parent, "parent")?,
            node: point_code(&point.node, "node")?,
            time_zone: ZoneName::parse(&point.time_zone, "time_zone")?,
            languages: languages(strings(&point.languages), "languages")?,
            services: codes(strings(&point.services), "services", SERVICES_MAX)?,
            areas: point.areas.iter().map(area).collect::<Result<_, _>>()?,
            hours: point.hours.into_iter().map(hours).collect::<Result<_, _>>()?,
            closures: point.closures.into_iter().map(closure).collect::<Result<_, _>>()?,
            phone: optional(&point.phone, |text| Phone::parse(text, "phone"))?,
            email: optional(&point.email, |text| Email::parse(text, "email"))?,
            channels: handles(point.channels, "channels")?,
            opened_on: date(point.opened_on, "opened_on")?,
            verified_on: date(point.verified_on, "verified_on")?,
            paused_from: date(point.paused_from, "paused_from")?,
            paused_to: date(point.paused_to, "paused_to")?,
            cover: optional_point(&point.cover, "cover")?,
            closed_on: date(point.closed_on, "closed_on")?,
            successor: optional_point(&point.successor, "successor")?,
            source: source(&point.source, "source")?,
            asserted_by: line(&point.asserted_by, "asserted_by", LINE_MAX)?,
            former_shorts: {
                at_most(&point.former_shorts, FORMER_SHORTS_MAX, "former_shorts")?;
                let former = point.former_shorts.iter();
                former.map(|short| short_name(short, "former_shorts")).collect::<Result<_, _>>()?
            },
        }
        .checked()
    }
}

impl From<Point> for v1::Point {
    fn from(point: Point) -> v1::Point {
        v1::Point {
            code: point.code.to_string(),
            short: point.short,
            kind: point.kind.number(),
            state: point.state.number(),
            names: texts_message(point.names),
            region_code: point.region.to_string(),
            registered_region: point.registered_region.to_string(),
            parent: point_message(point.parent),
            node: point.node.to_string(),
            time_zone: point.time_zone.as_str().to_owned(),
            languages: languages_message(point.languages),
            services: point.services,
            areas: point.areas.into_iter().map(area_message).collect(),
            hours: point.hours.iter().map(hours_message).collect(),
            closures: point.closures.into_iter().map(closure_message).collect(),
            phone: point.phone.map(|phone| phone.as_str().to_owned()).unwrap_or_default(),
            email: point.email.map(|email| email.as_str().to_owned()).unwrap_or_default(),
            channels: handles_message(point.channels),
            opened_on: point.opened_on.map(date_message),
            verified_on: point.verified_on.map(date_message),
            paused_from: point.paused_from.map(date_message),
            paused_to: point.paused_to.map(date_message),
            cover: point_message(point.cover),
            closed_on: point.closed_on.map(date_message),
            successor: point_message(point.successor),
            source: point.source,
            asserted_by: point.asserted_by,
            former_shorts: point.former_shorts,
            id: String::new(),
            home: String::new(),
            etag: String::new(),
        }
    }
}

impl TryFrom<v1::PointDetail> for PointDetail {
    type Error = Invalid;

    fn try_from(detail: v1::PointDetail) -> Result<PointDetail, Invalid> {
        at_most(&detail.contacts, CONTACTS_MAX, "contacts")?;
        let contact = |contact: v1::point_detail::DeskContact| {
            Ok(DeskContact {
                names: texts(contact.names, "contacts.names", LINE_MAX)?,
                phone: optional(&contact.phone, |text| Phone::parse(text, "contacts.phone"))?,
                email: optional(&contact.email, |text| Email::parse(text, "contacts.email"))?,
            })
        };
        PointDetail {
            contacts: detail.contacts.into_iter().map(contact).collect::<Result<_, Invalid>>()?,
            services: codes(strings(&detail.services), "services", SERVICES_MAX)?,
        }
        .checked()
    }
}

impl From<PointDetail> for v1::PointDetail {
    fn from(detail: PointDetail) -> v1::PointDetail {
        let contact = |contact: DeskContact| v1::point_detail::DeskContact {
            names: texts_message(contact.names),
            phone: contact.phone.map(|phone| phone.as_str().to_owned()).unwrap_or_default(),
            email: contact.email.map(|email| email.as_str().to_owned()).unwrap_or_default(),
        };
        v1::PointDetail {
            contacts: detail.contacts.into_iter().map(contact).collect(),
            services: detail.services,
        }
    }
}

impl TryFrom<v1::PointNotes> for PointNotes {
    type Error = Invalid;

    fn try_from(notes: v1::PointNotes) -> Result<PointNotes, Invalid> {
        Ok(PointNotes { capacity: texts(notes.capacity, "capacity", LINE_MAX)? })
    }
}

impl From<PointNotes> for v1::PointNotes {
    fn from(notes: PointNotes) -> v1::PointNotes {
        v1::PointNotes { capacity: texts_message(notes.capacity) }
    }
}

fn strings(list: &[String]) -> impl Iterator<Item = &str> {
    list.iter().map(String::as_str)
}

fn area(area: &v1::point::Area) -> Result<Area, Invalid> {
    if area.priority > PRIORITY_MAX {
        return Err(Invalid::new("areas.priority", "too_large"));
    }
    Ok(Area {
        prefix: RegionPrefix::parse(&area.prefix, "areas.prefix")?,
        languages: languages(strings(&area.languages), "areas.languages")?,
        priority: area.priority,
    })
}

fn area_message(area: Area) -> v1::point::Area {
    v1::point::Area {
        prefix: area.prefix.as_str().to_owned(),
        languages: languages_message(area.languages),
        priority: area.priority,
    }
}

fn hours(one: v1::point::Hours) -> Result<Hours, Invalid> {
    let valid_from = date(one.valid_from, "hours.valid_from")?;
    let valid_to = date(one.valid_to, "hours.valid_to")?;
    Hours::new(one.days, one.opens_minute, one.closes_minute, "hours")?
        .during(valid_from, valid_to, "hours")
}

fn hours_message(hours: &Hours) -> v1::point::Hours {
    v1::point::Hours {
        days: hours.days().collect(),
        opens_minute: hours.opens_minute().into(),
        closes_minute: hours.closes_minute().into(),
        valid_from: hours.valid_from().map(date_message),
        valid_to: hours.valid_to().map(date_message),
    }
}

fn closure(closure: v1::point::Closure) -> Result<Closure, Invalid> {
    let missing = |field: &str| Invalid::new(field, "required");
    let from = date(closure.from, "closures.from")?.ok_or_else(|| missing("closures.from"))?;
    let to = date(closure.to, "closures.to")?.ok_or_else(|| missing("closures.to"))?;
    let cover = optional_point(&closure.cover, "closures.cover")?;
    let notes = texts(closure.notes, "closures.notes", LINE_MAX)?;
    Ok(Closure { notes, ..Closure::new(from, to, cover, "closures")? })
}

fn closure_message(closure: Closure) -> v1::point::Closure {
    v1::point::Closure {
        from: Some(date_message(closure.from)),
        to: Some(date_message(closure.to)),
        cover: point_message(closure.cover),
        notes: texts_message(closure.notes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> v1::Point {
        v1::Point {
            code: "CN-440100".into(),
            short: "GZ".into(),
            kind: 2,
            state: 2,
            names: vec![v1::LocalText {
                language: "zh-Hans".into(), text: "广州联络点".into()
            }],
            region_code: "440100".into(),
            registered_region: "440100".into(),
            parent: "CN-440000".into(),
            node: "CN-440100".into(),
            time_zone: "Asia/Shanghai".into(),
            areas: vec![v1::point::Area { prefix: "4401".into(), ..Default::default() }],
            hours: vec![v1::point::Hours {
                days: vec![1, 2],
                opens_minute: 540,
                closes_minute: 720,
                valid_from: Some(v1::Date { year: 2023, month: 6, day: 1 }),
                valid_to: None,
            }],
            asserted_by: "CN-440000".into(),
            former_shorts: vec!["GUA".into()],
            opened_on: Some(v1::Date { year: 2018, month: 3, day: 1 }),
            ..Default::default()
        }
    }

    #[test]
    fn a_point_survives_the_way_there_and_back() {
        let value = Point::try_from(message()).unwrap();
        assert_eq!(v1::Point::from(value), message());
    }

    #[test]
    fn a_renamed_point_keeps_the_short_names_that_it_had() {
        let mut now = Point::try_from(message()).unwrap();
        let said = |point: &Point| (point.short.clone(), point.former_shorts.join(" "));
        for (short, former) in
            [("CAN", "GUA GZ"), ("CAN", "GUA GZ"), ("GZ", "GUA CAN"), ("GZ2", "GUA CAN GZ")]
        {
            // Whatever is sent, the home knows what it was called.
            let new =
                Point { short: short.into(), former_shorts: vec!["X1".into()], ..now.clone() };
            now = new.in_place_of(&now);
            assert_eq!(said(&now), (short.to_owned(), former.to_owned()));
        }
        for n in 0..40 {
            now = Point { short: format!("N{n}"), ..now.clone() }.in_place_of(&now);
        }
        assert_eq!(now.former_shorts.len(), FORMER_SHORTS_MAX);
        assert_eq!(now.former_shorts.last().map(String::as_str), Some("N38"));
    }

    #[test]
    fn a_bad_field_is_named() {
        let refused = |change: fn(&mut v1::Point)| {
            let mut point = message();
            change(&mut point);
            let invalid = Point::try_from(point).unwrap_err();
            (invalid.field, invalid.reason, invalid.hint)
        };
        assert_eq!(
            refused(|point| point.time_zone = "Asia/Beijing".into()),
            ("time_zone".into(), "unknown_time_zone", "Asia/Shanghai".into())
        );
        assert_eq!(refused(|point| point.kind = 0).1, "required");
        assert_eq!(refused(|point| point.kind = 99).1, "unknown_point_kind");
        assert_eq!(refused(|point| point.region_code = "445500".into()).0, "region_code");
        assert_eq!(refused(|point| point.names.clear()), ("names".into(), "required", "".into()));
    }
}
