//! points.csv, orgs.csv and org_figures.csv.

use super::row::{Column, Row, columns};
use crate::domain::{
    calendar::{self, ZoneName},
    code::{code, codes, source},
    contact::{Email, HANDLES_MAX, Handle, Phone},
    event::url,
    hours::{CLOSURES_MAX, Closure, HOURS_MAX, Hours},
    id::PointCode,
    language::languages,
    org::{Figure, Org, OrgType, sector},
    point::{AREAS_MAX, Area, Point, PointKind, PointState, SERVICES_MAX, short_name},
    region::Region,
    text::{Invalid, LINE_MAX, line},
};

columns!(PointColumns {
    point_id, short, kind, region_code, tz, status;
    name_zh_hans, name_zh_hant, name_en, registered_region, parent_id, languages, hours, closures,
    services, areas, public_phone, public_email, channels, opened_on, verified_on, paused_from,
    paused_to, cover_id, closed_on, successor_id, asserted_by,
});

/// Reads one point. Its node is filled in once all points are known.
pub fn point(row: &Row<'_>, columns: &PointColumns) -> Result<Point, Invalid> {
    let c = columns;
    let own_code: PointCode = row.read(c.point_id, point_code)?;
    let region = row.read(c.region_code, Region::parse)?;
    Point {
        short: row.read(c.short, short_name)?,
        kind: row.read(c.kind, PointKind::parse)?,
        state: row.read(c.status, PointState::parse)?,
        names: row.texts(
            &[("zh-Hans", c.name_zh_hans), ("zh-Hant", c.name_zh_hant), ("en", c.name_en)],
            LINE_MAX,
        )?,
        region,
        registered_region: row.optional(c.registered_region, Region::parse)?.unwrap_or(region),
        parent: row.optional(c.parent_id, point_code)?,
        node: own_code.clone(),
        time_zone: row.read(c.tz, ZoneName::parse)?,
        languages: languages(row.list(c.languages), c.languages.name)?,
        services: codes(row.list(c.services), c.services.name, SERVICES_MAX)?,
        areas: bounded(
            row.list(c.areas).map(|text| Area::parse(text, c.areas.name)),
            AREAS_MAX,
            c.areas.name,
        )?,
        hours: bounded(
            row.list(c.hours).map(|text| Hours::parse(text, c.hours.name)),
            HOURS_MAX,
            c.hours.name,
        )?,
        closures: bounded(
            row.list(c.closures).map(|text| Closure::parse(text, c.closures.name)),
            CLOSURES_MAX,
            c.closures.name,
        )?,
        phone: row.optional(c.public_phone, Phone::tidy)?,
        email: row.optional(c.public_email, Email::parse)?,
        channels: bounded(
            row.list(c.channels).map(|text| Handle::parse(text, c.channels.name)),
            HANDLES_MAX,
            c.channels.name,
        )?,
        opened_on: row.date(c.opened_on)?,
        verified_on: row.date(c.verified_on)?,
        paused_from: row.date(c.paused_from)?,
        paused_to: row.date(c.paused_to)?,
        cover: row.optional(c.cover_id, point_code)?,
        closed_on: row.date(c.closed_on)?,
        successor: row.optional(c.successor_id, point_code)?,
        source: source(own_code.as_str(), c.point_id.name)?,
        asserted_by: line(row.text(c.asserted_by), c.asserted_by.name, LINE_MAX)?,
        former_shorts: Vec::new(),
        code: own_code,
    }
    .checked()
}

/// The point of a file as it is to be stored in place of the `known` one. What the file has no column
/// for (`untold`) stays, and so does what no column can say.
pub fn overlaid(mut told: Point, untold: &[&str], known: Point) -> Result<Point, Invalid> {
    macro_rules! keep {
        ($($field:ident: $column:literal),* $(,)?) => {
            $(if untold.contains(&$column) { told.$field = known.$field.clone(); })*
        };
    }
    keep! {
        registered_region: "registered_region", parent: "parent_id", languages: "languages",
        hours: "hours", closures: "closures", services: "services", areas: "areas",
        phone: "public_phone", email: "public_email", channels: "channels",
        opened_on: "opened_on", verified_on: "verified_on", paused_from: "paused_from",
        paused_to: "paused_to", cover: "cover_id", closed_on: "closed_on",
        successor: "successor_id", asserted_by: "asserted_by",
    }
    for closure in &mut told.closures {
        let days = |other: &&Closure| (other.from, other.to) == (closure.from, closure.to);
        if let Some(known) = known.closures.iter().find(days) {
            closure.notes.clone_from(&known.notes);
        }
    }
    const NAMES: [(&str, &str); 3] =
        [("zh-Hans", "name_zh_hans"), ("zh-Hant", "name_zh_hant"), ("en", "name_en")];
    // In the order that they are known in.
    let mut names = Vec::new();
    for (language, name) in known.names.0.clone() {
        let column = NAMES.iter().find(|(tag, _)| *tag == language.as_str());
        if let Some(at) = told.names.0.iter().position(|(told, _)| *told == language) {
            names.push(told.names.0.remove(at));
        } else if column.is_none_or(|(_, column)| untold.contains(column)) {
            names.push((language, name));
        }
    }
    names.append(&mut told.names.0);
    told.names.0 = names;
    if known.asserted_by.is_empty() && told.asserted_by == told.code.as_str() {
        // Where nobody is named the home vouches, and is shown to.
        told.asserted_by.clear();
    }
    told.source.clone_from(&known.source);
    told.in_place_of(&known).checked()
}

columns!(OrgColumns {
    org_id, r#type, region_code;
    name_zh_hans, name_zh_hant, name_en, sector, url, contact_mailbox, created_on, asserted_by,
    verified_on,
});

/// Reads one organisation, its mailbox, and the moment its id is made from.
pub fn org(row: &Row<'_>, columns: &OrgColumns) -> Result<(Org, Option<Email>, u64), Invalid> {
    let c = columns;
    let mailbox = row.optional(c.contact_mailbox, Email::parse)?;
    let created = row.date(c.created_on)?;
    let org = Org {
        kind: row.read(c.r#type, OrgType::parse)?,
        names: row.texts(
            &[("zh-Hans", c.name_zh_hans), ("zh-Hant", c.name_zh_hant), ("en", c.name_en)],
            LINE_MAX,
        )?,
        region: row.read(c.region_code, Region::parse)?,
        sector: sector(row.text(c.sector), c.sector.name)?,
        url: url(row.text(c.url), c.url.name)?,
        source: row.read(c.org_id, source)?,
        asserted_by: line(row.text(c.asserted_by), c.asserted_by.name, LINE_MAX)?,
        verified_on: row.date(c.verified_on)?,
    }
    .checked()?;
    Ok((org, mailbox, created.map_or(0, super::row::midnight_ms)))
}

pub fn point_code(text: &str, field: &str) -> Result<PointCode, Invalid> {
    text.parse().map_err(|_| Invalid::new(field, "not_a_point_code"))
}

/// Collects at most `max` values of one cell.
pub fn bounded<T>(
    values: impl Iterator<Item = Result<T, Invalid>>,
    max: usize,
    field: &str,
) -> Result<Vec<T>, Invalid> {
    let mut all = Vec::new();
    for value in values {
        all.push(value?);
        if all.len() > max {
            return Err(Invalid::new(field, "too_many"));
        }
    }
    Ok(all)
}

columns!(FigureColumns { org_id, metric, value, source, as_of; unit });

impl FigureColumns {
    pub fn org(&self) -> Column {
        self.org_id
    }
}

/// Reads one reported figure of an organisation that the caller has found.
pub fn figure(row: &Row<'_>, c: &FigureColumns) -> Result<Figure, Invalid> {
    let value = row.read(c.value, |text, field| {
        text.parse::<i64>().map_err(|_| Invalid::new(field, "not_a_number"))
    })?;
    Figure {
        metric: row.read(c.metric, code)?,
        value,
        unit: row.optional(c.unit, code)?.unwrap_or_default(),
        source: line(row.required(c.source)?, c.source.name, LINE_MAX)?,
        as_of: row.read(c.as_of, calendar::date)?,
    }
    .checked()
}
