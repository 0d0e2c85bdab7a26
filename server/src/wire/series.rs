//! A series: `v1::Series` <-> `Series`. Output-only fields are not read.

use yizhan_proto::v1;

use super::value::{date, date_message, texts, texts_message};
use crate::domain::{
    code::source,
    event::EventKind,
    series::{Series, SeriesState, series_code},
    text::{Invalid, LINE_MAX},
};

impl TryFrom<v1::Series> for Series {
    type Error = Invalid;

    fn try_from(series: v1::Series) -> Result<Series, Invalid> {
        Series {
            code: series_code(&series.code, "code")?,
            kind: EventKind::parse(&series.kind, "kind")?,
            titles: texts(series.titles, "titles", LINE_MAX)?,
            started_on: date(series.started_on, "started_on")?,
            state: SeriesState::from_number(series.state, "state")?,
            source: source(&series.source, "source")?,
        }
        .checked()
    }
}

impl From<Series> for v1::Series {
    fn from(series: Series) -> v1::Series {
        v1::Series {
            code: series.code,
            kind: series.kind.name().to_owned(),
            titles: texts_message(series.titles),
            started_on: series.started_on.map(date_message),
            state: series.state.number(),
            source: series.source,
            id: String::new(),
            home: String::new(),
            etag: String::new(),
        }
    }
}
