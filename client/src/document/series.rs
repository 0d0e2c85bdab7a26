//! Series of events.

use serde::{Deserialize, Serialize};
use yizhan_proto::v1::{self, series::State};

use super::{Texts, day, parse_optional_day, value_of, word};
use crate::{
    answer::Column,
    error::{Error, Result},
};

pub const COLUMNS: &[Column] = &["code", "kind", "titles", "state", "started_on", "home"];

#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Series {
    pub id: String,
    pub home: String,
    pub etag: String,
    pub code: String,
    pub kind: String,
    pub titles: Texts,
    pub started_on: Option<String>,
    pub state: String,
    pub source: String,
}

impl From<&v1::Series> for Series {
    fn from(series: &v1::Series) -> Series {
        Series {
            id: series.id.clone(),
            home: series.home.clone(),
            etag: series.etag.clone(),
            code: series.code.clone(),
            kind: series.kind.clone(),
            titles: (&series.titles).into(),
            started_on: day(series.started_on.as_ref()),
            state: word(series.state, State::as_str_name, "STATE_"),
            source: series.source.clone(),
        }
    }
}

impl TryFrom<&Series> for v1::Series {
    type Error = Error;

    fn try_from(series: &Series) -> Result<v1::Series> {
        Ok(v1::Series {
            code: series.code.clone(),
            kind: series.kind.clone(),
            titles: (&series.titles).into(),
            started_on: parse_optional_day(&series.started_on, "started_on")?,
            state: value_of(&series.state, State::from_str_name, "STATE_", "state")?,
            source: series.source.clone(),
            id: series.id.clone(),
            home: series.home.clone(),
            etag: series.etag.clone(),
        })
    }
}
