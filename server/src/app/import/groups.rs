//! groups.csv and group_members.csv.

use super::{
    points::bounded,
    row::{Column, Row, columns},
};
use crate::domain::{
    code::{code, source},
    contact::Handle,
    group::{
        COHORT_MAX, GROUP_ORGS_MAX, Group, GroupKind, GroupState, Place, PlaceRole, PlaceState,
    },
    id::{PointCode, RecordId},
    language::LocalTexts,
    region::Region,
    text::{Invalid, LINE_MAX},
};

columns!(GroupColumns {
    group_id, kind, home_point, state;
    topic, issue_no, title_zh_hans, title_zh_hant, title_en, scope_region, started_on, ended_on,
    org_ids, event_id, channel, id,
});

impl GroupColumns {
    /// The record's own id, as an export of this node writes it.
    pub fn id(&self) -> Column {
        self.id
    }
}

/// Reads one group, its home, and the moment its id is made from.
pub fn group(row: &Row<'_>, c: &GroupColumns) -> Result<(PointCode, Group, u64), Invalid> {
    let home = row.read(c.home_point, super::points::point_code)?;
    let started_on = row.date(c.started_on)?;
    let group = Group {
        kind: row.read(c.kind, GroupKind::parse)?,
        topic: row.optional(c.topic, code)?.unwrap_or_default(),
        issue_no: row.number(c.issue_no, COHORT_MAX)?.filter(|number| *number > 0),
        titles: row.texts(
            &[("zh-Hans", c.title_zh_hans), ("zh-Hant", c.title_zh_hant), ("en", c.title_en)],
            LINE_MAX,
        )?,
        scope_region: row.optional(c.scope_region, Region::parse)?,
        started_on,
        ended_on: row.date(c.ended_on)?,
        state: row.read(c.state, GroupState::parse)?,
        orgs: bounded(
            row.list(c.org_ids).map(|text| source(text, c.org_ids.name)),
            GROUP_ORGS_MAX,
            c.org_ids.name,
        )?,
        event: source(row.text(c.event_id), c.event_id.name)?,
        channel: row.optional(c.channel, Handle::parse)?,
        rota: Vec::new(),
        source: row.read(c.group_id, source)?,
    }
    .checked()?;
    Ok((home, group, started_on.map_or(0, super::row::midnight_ms)))
}

columns!(PlaceColumns {
    group_id, member_id, role, state;
    seat_no, from_on, to_on, duty_region, grant_id,
});

impl PlaceColumns {
    pub fn group(&self) -> Column {
        self.group_id
    }

    pub fn member(&self) -> Column {
        self.member_id
    }

    pub fn grant(&self) -> Column {
        self.grant_id
    }
}

/// Reads one place of a group that the caller has found; who holds it is filled in there too.
pub fn place(row: &Row<'_>, c: &PlaceColumns, group: RecordId) -> Result<Place, Invalid> {
    let name = row.read(c.group_id, source)?;
    // Where no seat is numbered, the place is told by its group and member.
    let source = match row.number(c.seat_no, u32::MAX)? {
        Some(number) => format!("{name}.{number}"),
        None => String::new(),
    };
    Place {
        group,
        member: None,
        token: [0; 16],
        role: row.read(c.role, PlaceRole::parse)?,
        state: row.read(c.state, PlaceState::parse)?,
        from: row.date(c.from_on)?,
        to: row.date(c.to_on)?,
        duty_region: row.optional(c.duty_region, Region::parse)?,
        grant: None,
        display_names: LocalTexts::default(),
        source,
    }
    .checked()
}
