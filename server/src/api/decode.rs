//! What several services read from their requests.

use crate::{
    app::error::Error,
    domain::id::{PointCode, RecordId},
    wire::value,
};

pub fn record(text: &str, field: &'static str) -> Result<RecordId, Error> {
    Ok(RecordId::parse(text, field)?)
}

pub fn point(text: &str, field: &str) -> Result<PointCode, Error> {
    Ok(value::point_code(text, field)?)
}

pub fn optional_point(text: &str, field: &str) -> Result<Option<PointCode>, Error> {
    Ok(value::optional_point(text, field)?)
}
