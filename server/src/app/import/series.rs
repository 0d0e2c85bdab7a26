//! series.csv.

use super::row::{Row, columns, midnight_ms};
use crate::domain::{
    code::source,
    event::EventKind,
    id::PointCode,
    series::{Series, SeriesState, series_code},
    text::{Invalid, LINE_MAX},
};

columns!(SeriesColumns {
    series_id, code, kind, home_point, state;
    title_zh_hans, title_zh_hant, title_en, started_on,
});

/// Reads one series, its home, and the moment its id is made from.
pub fn series(row: &Row<'_>, columns: &SeriesColumns) -> Result<(PointCode, Series, u64), Invalid> {
    let c = columns;
    let home = row.read(c.home_point, super::points::point_code)?;
    let started_on = row.date(c.started_on)?;
    let series = Series {
        code: row.read(c.code, series_code)?,
        kind: row.read(c.kind, EventKind::parse)?,
        titles: row.texts(
            &[("zh-Hans", c.title_zh_hans), ("zh-Hant", c.title_zh_hant), ("en", c.title_en)],
            LINE_MAX,
        )?,
        started_on,
        state: row.read(c.state, SeriesState::parse)?,
        source: row.read(c.series_id, source)?,
    }
    .checked()?;
    Ok((home, series, started_on.map_or(0, midnight_ms)))
}
