//! grants.csv.

use super::{
    points::point_code,
    row::{Column, Row, columns},
};
use crate::domain::{
    calendar,
    code::source,
    grant::{GivenVia, Grant, GrantState, Purpose, Scope, text_version},
    id::MemberId,
    language::Language,
    text::Invalid,
    time::Time,
};

columns!(GrantColumns {
    grant_id, member_id, purpose, given_at, state;
    scope, text_version, text_lang, given_via, expires_at, ended_at, asserted_by,
});

impl GrantColumns {
    pub fn grant(&self) -> Column {
        self.grant_id
    }

    pub fn member(&self) -> Column {
        self.member_id
    }
}

/// Reads one consent of a member that the caller has found.
pub fn grant(
    row: &Row<'_>,
    c: &GrantColumns,
    member: MemberId,
    now: Time,
) -> Result<Grant, Invalid> {
    let purpose = row.read(c.purpose, Purpose::parse)?;
    let given_time = row.read(c.given_at, Time::parse)?;
    if given_time > now {
        return Err(Invalid::new(c.given_at.name, "consent_in_future"));
    }
    Grant {
        member,
        purpose,
        scope: Scope::parse(purpose, row.text(c.scope), c.scope.name)?,
        text_version: row.read(c.text_version, text_version)?,
        text_language: row.read(c.text_lang, Language::parse)?,
        given_via: row.read(c.given_via, GivenVia::parse)?,
        given_time,
        expire_time: row.optional(c.expires_at, day_or_time)?,
        state: row.read(c.state, GrantState::parse)?,
        end_time: row.time(c.ended_at)?,
        asserted_by: row.optional(c.asserted_by, point_code)?,
        source: row.read(c.grant_id, source)?,
        text_hash: None,
        evidence_hash: None,
    }
    .checked()
}

/// A moment, or a day: then its end in UTC, so that every node reads the same.
fn day_or_time(text: &str, field: &str) -> Result<Time, Invalid> {
    if text.contains('T') {
        return Time::parse(text, field);
    }
    let end =
        calendar::date(text, field)?.tomorrow().map_err(|_| Invalid::new(field, "date_invalid"))?;
    Ok(Time::from_millis(super::row::midnight_ms(end) as i64))
}
