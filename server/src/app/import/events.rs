//! events.csv, event_hosts.csv and appearances.csv: one plan each, put together at the end.

use super::{
    points::point_code,
    row::{Column, Row, columns},
};
use crate::domain::{
    calendar::ZoneName,
    code::{code, codes, source},
    event::{
        APPEARANCE_MINUTES_MAX, APPEARANCES_MAX, Appearance, AppearanceState, CAPACITY_MAX, Event,
        EventKind, EventMode, EventPlan, EventState, Host, HostRole, HostState, ISSUE_MAX,
        ORGS_MAX, TAGS_MAX, url,
    },
    id::PointCode,
    language::LocalTexts,
    region::Region,
    text::{BODY_MAX, Invalid, LINE_MAX, line},
};

/// Highest schedule revision that a file may state.
const SEQUENCE_MAX: u32 = 1_000_000;

columns!(EventColumns {
    event_id, home_point, kind, mode, status, starts_at, ends_at, tz, created_at;
    series_id, issue_no, format, tags, title_zh_hans, title_zh_hant, title_en, abstract_zh_hans,
    abstract_zh_hant, abstract_en, venue, region_code, capacity_onsite, capacity_online,
    registration_opens_at, registration_closes_at, org_ids, group_id, public_url,
    private_join_link, rescheduled_from, sequence, updated_at,
});

impl EventColumns {
    pub fn event(&self) -> Column {
        self.event_id
    }

    pub fn home(&self) -> Column {
        self.home_point
    }
}

/// Reads one event without hosts and appearances. `series_code` finds the code of a series by its
/// source id.
pub fn plan(
    row: &Row<'_>,
    c: &EventColumns,
    series_code: impl FnOnce(&str) -> Option<String>,
) -> Result<EventPlan, Invalid> {
    use crate::domain::time::Time;

    let create_time = row.read(c.created_at, Time::parse)?;
    let issue_no = row.number(c.issue_no, ISSUE_MAX)?;
    let issue = match (row.text(c.series_id), issue_no) {
        ("", None) => None,
        ("", Some(_)) | (_, None | Some(0)) => {
            return Err(Invalid::new(c.issue_no.name, "issue_without_series"));
        }
        (series, Some(number)) => {
            let unknown = || Invalid::new(c.series_id.name, "unknown_series");
            Some((series_code(series).ok_or_else(unknown)?, number))
        }
    };
    let titles = [("zh-Hans", c.title_zh_hans), ("zh-Hant", c.title_zh_hant), ("en", c.title_en)];
    let abstracts =
        [("zh-Hans", c.abstract_zh_hans), ("zh-Hant", c.abstract_zh_hant), ("en", c.abstract_en)];
    let event = Event {
        issue,
        kind: row.read(c.kind, EventKind::parse)?,
        mode: row.read(c.mode, EventMode::parse)?,
        state: row.read(c.status, EventState::parse)?,
        format: match row.text(c.format) {
            "" => "other".to_owned(),
            text => code(text, c.format.name)?,
        },
        tags: codes(row.list(c.tags), c.tags.name, TAGS_MAX)?,
        titles: row.texts(&titles, LINE_MAX)?,
        abstracts: row.texts(&abstracts, BODY_MAX)?,
        start_time: row.read(c.starts_at, Time::parse)?,
        end_time: row.read(c.ends_at, Time::parse)?,
        time_zone: row.read(c.tz, ZoneName::parse)?,
        venue: line(row.text(c.venue), c.venue.name, LINE_MAX)?,
        region: row.optional(c.region_code, Region::parse)?,
        hosts: Vec::new(),
        appearances: Vec::new(),
        url: url(row.text(c.public_url), c.public_url.name)?,
        sequence: row.number(c.sequence, SEQUENCE_MAX)?.unwrap_or(0),
        rescheduled_from_time: row.time(c.rescheduled_from)?,
        capacity_onsite: row.number(c.capacity_onsite, CAPACITY_MAX)?.filter(|n| *n > 0),
        capacity_online: row.number(c.capacity_online, CAPACITY_MAX)?.filter(|n| *n > 0),
        registration_open_time: row.time(c.registration_opens_at)?,
        registration_close_time: row.time(c.registration_closes_at)?,
        create_time,
        update_time: row.time(c.updated_at)?.unwrap_or(create_time),
    }
    .checked()
    .map_err(as_column)?;
    Ok(EventPlan {
        event,
        private_join_link: url(row.text(c.private_join_link), c.private_join_link.name)?,
        orgs: super::points::bounded(
            row.list(c.org_ids).map(|text| source(text, c.org_ids.name)),
            ORGS_MAX,
            c.org_ids.name,
        )?,
        group: source(row.text(c.group_id), c.group_id.name)?,
        source: row.read(c.event_id, source)?,
    })
}

/// The column that holds what a value's own check complains of.
fn as_column(mut invalid: Invalid) -> Invalid {
    let column = match &*invalid.field {
        "titles" => "title_zh_hans",
        "start_time" => "starts_at",
        "end_time" => "ends_at",
        "registration_close_time" => "registration_closes_at",
        _ => return invalid,
    };
    invalid.field = column.to_owned();
    invalid
}

columns!(HostColumns { event_id, point_id, role, state; invited_at, decided_at });

impl HostColumns {
    pub fn event(&self) -> Column {
        self.event_id
    }
}

/// Adds one host to its event, whose home is the lead.
pub fn add_host(
    row: &Row<'_>,
    c: &HostColumns,
    home: &PointCode,
    event: &mut Event,
) -> Result<(), Invalid> {
    let host = Host {
        point: row.read(c.point_id, point_code)?,
        role: row.read(c.role, HostRole::parse)?,
        state: row.read(c.state, HostState::parse)?,
        invite_time: row.time(c.invited_at)?,
        decide_time: row.time(c.decided_at)?,
    };
    if (host.role == HostRole::Lead) != (host.point == *home) {
        return Err(Invalid::new(c.role.name, "lead_is_not_home"));
    }
    if event.hosts.iter().any(|known| known.point == host.point) {
        return Err(Invalid::new(c.point_id.name, "duplicate_host"));
    }
    if event.hosts.len() >= crate::domain::event::HOSTS_MAX {
        return Err(Invalid::new(c.point_id.name, "too_many"));
    }
    event.hosts.push(host);
    Ok(())
}

columns!(AppearanceColumns {
    appearance_id, event_id, position, state;
    member_id, token, topic_zh_hans, topic_zh_hant, topic_en, duration_min,
});

impl AppearanceColumns {
    pub fn event(&self) -> Column {
        self.event_id
    }

    pub fn member(&self) -> Column {
        self.member_id
    }

    pub fn token(&self) -> Column {
        self.token
    }
}

/// Adds one appearance to its event; who it is is filled in by `identify`.
pub fn add_appearance(
    row: &Row<'_>,
    c: &AppearanceColumns,
    event: &mut Event,
    identify: impl FnOnce(&mut Appearance) -> Result<(), Invalid>,
) -> Result<(), Invalid> {
    let topics = [("zh-Hans", c.topic_zh_hans), ("zh-Hant", c.topic_zh_hant), ("en", c.topic_en)];
    let mut appearance = Appearance {
        position: row
            .number(c.position, APPEARANCES_MAX as u32)?
            .filter(|position| *position > 0)
            .ok_or_else(|| Invalid::new(c.position.name, "required"))?,
        topics: row.texts(&topics, LINE_MAX)?,
        duration_minutes: row
            .number(c.duration_min, APPEARANCE_MINUTES_MAX)?
            .filter(|minutes| *minutes > 0),
        state: row.read(c.state, AppearanceState::parse)?,
        token: [0; 16],
        display_names: LocalTexts::default(),
        member: None,
        release: None,
        home: None,
        source: row.read(c.appearance_id, source)?,
    };
    if event.appearances.iter().any(|known| known.source == appearance.source) {
        return Err(Invalid::new(c.appearance_id.name, "duplicate_id"));
    }
    if event.appearances.len() >= APPEARANCES_MAX {
        return Err(Invalid::new(c.appearance_id.name, "too_many"));
    }
    identify(&mut appearance)?;
    event.appearances.push(appearance);
    Ok(())
}
