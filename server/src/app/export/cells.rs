//! Records that are nobody's secret, as cells. Columns are named as an import takes them.

use yizhan_proto::v1;

use crate::{
    app::error::{Error, Result},
    domain::{
        event::{EventKind, EventMode, EventState, HostState},
        group::{GroupKind, GroupState},
        org::OrgType,
        point::{Point, PointKind, PointState},
        series::SeriesState,
        time::Time,
    },
    store::StoreError,
    wire::value::time,
};

/// A row.
pub type Cells = Vec<String>;

pub const EVENT: [&str; 22] = [
    "id",
    "home_point",
    "series",
    "issue_no",
    "kind",
    "mode",
    "status",
    "format",
    "tags",
    "title_zh_hans",
    "title_zh_hant",
    "title_en",
    "starts_at",
    "ends_at",
    "tz",
    "venue",
    "region_code",
    "hosts",
    "public_url",
    "sequence",
    "created_at",
    "updated_at",
];

pub fn event(event: v1::Event) -> Cells {
    let hosts = event.hosts.iter().filter(|host| host.state == HostState::Accepted.number());
    let hosts: Vec<String> = hosts.map(|host| host.point.clone()).collect();
    vec![
        event.id,
        event.home,
        event.series,
        number(event.issue),
        EventKind::from_number(event.kind, "").map_or("", EventKind::name).to_owned(),
        EventMode::from_number(event.mode, "").map_or("", EventMode::name).to_owned(),
        EventState::from_number(event.state, "").map_or("", EventState::name).to_owned(),
        event.format,
        joined(&event.tags),
        text(&event.titles, "zh-Hans"),
        text(&event.titles, "zh-Hant"),
        text(&event.titles, "en"),
        moment(event.start_time),
        moment(event.end_time),
        event.time_zone,
        event.venue,
        event.region_code,
        joined(&hosts),
        event.url,
        event.sequence.to_string(),
        moment(event.create_time),
        moment(event.update_time),
    ]
}

pub const POINT: [&str; 28] = [
    "point_id",
    "short",
    "kind",
    "status",
    "name_zh_hans",
    "name_zh_hant",
    "name_en",
    "region_code",
    "registered_region",
    "parent_id",
    "node_id",
    "tz",
    "languages",
    "hours",
    "closures",
    "services",
    "areas",
    "public_phone",
    "public_email",
    "channels",
    "opened_on",
    "verified_on",
    "paused_from",
    "paused_to",
    "cover_id",
    "closed_on",
    "successor_id",
    "asserted_by",
];

pub fn point(point: v1::Point) -> Result<Cells> {
    let damaged = |_| Error::Storage(StoreError::Damaged { what: "record" });
    let value: Point = point.clone().try_into().map_err(damaged)?;
    let channels = point.channels.iter().map(|one| format!("{}:{}", one.service, one.value));
    Ok(vec![
        point.code,
        point.short,
        PointKind::from_number(point.kind, "").map_or("", PointKind::name).to_owned(),
        PointState::from_number(point.state, "").map_or("", PointState::name).to_owned(),
        text(&point.names, "zh-Hans"),
        text(&point.names, "zh-Hant"),
        text(&point.names, "en"),
        point.region_code,
        point.registered_region,
        point.parent,
        point.node,
        point.time_zone,
        joined(&point.languages),
        written(&value.hours),
        written(&value.closures),
        joined(&point.services),
        written(&value.areas),
        point.phone,
        point.email,
        joined(&channels.collect::<Vec<_>>()),
        day(point.opened_on.as_ref()),
        day(point.verified_on.as_ref()),
        day(point.paused_from.as_ref()),
        day(point.paused_to.as_ref()),
        point.cover,
        day(point.closed_on.as_ref()),
        point.successor,
        point.asserted_by,
    ])
}

pub const ORG: [&str; 9] = [
    "id",
    "home_point",
    "type",
    "name_zh_hans",
    "name_zh_hant",
    "name_en",
    "region_code",
    "sector",
    "url",
];

pub fn org(org: v1::Org) -> Cells {
    vec![
        org.id,
        org.home,
        OrgType::from_number(org.r#type, "").map_or("", OrgType::name).to_owned(),
        text(&org.names, "zh-Hans"),
        text(&org.names, "zh-Hant"),
        text(&org.names, "en"),
        org.region_code,
        org.sector,
        org.url,
    ]
}

pub const GROUP: [&str; 16] = [
    "id",
    "group_id",
    "home_point",
    "kind",
    "topic",
    "issue_no",
    "title_zh_hans",
    "title_zh_hant",
    "title_en",
    "started_on",
    "ended_on",
    "state",
    "scope_region",
    "org_ids",
    "event_id",
    "channel",
];

pub fn group(group: v1::Group) -> Cells {
    let channel = group.channel.map(|one| format!("{}:{}", one.service, one.value));
    // What came from no file is called by the id of its record.
    let name = if group.source.is_empty() { group.id.clone() } else { group.source };
    vec![
        group.id,
        name,
        group.home,
        GroupKind::from_number(group.kind, "").map_or("", GroupKind::name).to_owned(),
        group.topic,
        number(group.issue_no),
        text(&group.titles, "zh-Hans"),
        text(&group.titles, "zh-Hant"),
        text(&group.titles, "en"),
        day(group.started_on.as_ref()),
        day(group.ended_on.as_ref()),
        GroupState::from_number(group.state, "").map_or("", GroupState::name).to_owned(),
        group.scope_region,
        joined(&group.orgs),
        group.event,
        channel.unwrap_or_default(),
    ]
}

pub const SERIES: [&str; 8] = [
    "code",
    "home_point",
    "kind",
    "title_zh_hans",
    "title_zh_hant",
    "title_en",
    "started_on",
    "state",
];

pub fn series(series: v1::Series) -> Cells {
    vec![
        series.code,
        series.home,
        series.kind,
        text(&series.titles, "zh-Hans"),
        text(&series.titles, "zh-Hant"),
        text(&series.titles, "en"),
        day(series.started_on.as_ref()),
        SeriesState::from_number(series.state, "").map_or("", SeriesState::name).to_owned(),
    ]
}

fn written(values: &[impl ToString]) -> String {
    joined(&values.iter().map(ToString::to_string).collect::<Vec<_>>())
}

pub fn joined(values: &[String]) -> String {
    values.join(";")
}

pub fn day(date: Option<&v1::Date>) -> String {
    date.map(|date| format!("{:04}-{:02}-{:02}", date.year, date.month, date.day))
        .unwrap_or_default()
}

fn text(texts: &[v1::LocalText], language: &str) -> String {
    let text = texts.iter().find(|text| text.language == language);
    text.map(|text| text.text.clone()).unwrap_or_default()
}

fn number(number: u32) -> String {
    Some(number).filter(|number| *number > 0).map(|number| number.to_string()).unwrap_or_default()
}

pub fn moment(message: Option<prost_types::Timestamp>) -> String {
    let read = message.and_then(|message| time(message, "").ok());
    read.map(|time: Time| time.to_string()).unwrap_or_default()
}
