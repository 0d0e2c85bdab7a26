//! Organisations, and what they report of themselves.

use serde::{Deserialize, Serialize};
use yizhan_proto::v1::{self, org::Type};

use super::{Texts, day, parse_optional_day, value_of, word};
use crate::{
    answer::Column,
    error::{Error, Result},
};

pub const COLUMNS: &[Column] =
    &["id", "type", "names", "region_code", "sector", "home", "verified_on"];

#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Figure {
    pub metric: String,
    pub value: i64,
    pub unit: String,
    pub source: String,
    pub as_of: Option<String>,
}

#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Org {
    pub id: String,
    pub home: String,
    pub etag: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub names: Texts,
    pub region_code: String,
    pub sector: String,
    pub url: String,
    /// Missing for callers who do not work at a point.
    pub figures: Option<Vec<Figure>>,
    pub contact_mailbox: Option<String>,
    pub asserted_by: String,
    pub verified_on: Option<String>,
    pub source: String,
}

impl Org {
    pub fn of(org: &v1::Org, detail: Option<&v1::OrgDetail>) -> Org {
        Org {
            id: org.id.clone(),
            home: org.home.clone(),
            etag: org.etag.clone(),
            kind: word(org.r#type, Type::as_str_name, "TYPE_"),
            names: (&org.names).into(),
            region_code: org.region_code.clone(),
            sector: org.sector.clone(),
            url: org.url.clone(),
            figures: detail.map(|detail| detail.figures.iter().map(figure).collect()),
            contact_mailbox: detail.map(|detail| detail.contact_mailbox.clone()),
            asserted_by: org.asserted_by.clone(),
            verified_on: day(org.verified_on.as_ref()),
            source: org.source.clone(),
        }
    }

    pub fn org(&self) -> Result<v1::Org> {
        Ok(v1::Org {
            r#type: kind(&self.kind)?,
            names: (&self.names).into(),
            region_code: self.region_code.clone(),
            sector: self.sector.clone(),
            url: self.url.clone(),
            source: self.source.clone(),
            asserted_by: self.asserted_by.clone(),
            verified_on: parse_optional_day(&self.verified_on, "verified_on")?,
            id: self.id.clone(),
            home: self.home.clone(),
            etag: self.etag.clone(),
        })
    }

    /// None: nothing is said of it.
    pub fn detail(&self) -> Result<Option<v1::OrgDetail>> {
        if self.figures.is_none() && self.contact_mailbox.is_none() {
            return Ok(None);
        }
        let figures = self.figures.iter().flatten().map(|figure| {
            Ok::<_, Error>(v1::org_detail::Figure {
                metric: figure.metric.clone(),
                value: figure.value,
                unit: figure.unit.clone(),
                source: figure.source.clone(),
                as_of: parse_optional_day(&figure.as_of, "figures.as_of")?,
            })
        });
        Ok(Some(v1::OrgDetail {
            figures: figures.collect::<Result<_>>()?,
            contact_mailbox: self.contact_mailbox.clone().unwrap_or_default(),
        }))
    }
}

/// The number of a type's word; 0 if empty.
pub fn kind(word: &str) -> Result<i32> {
    value_of(word, Type::from_str_name, "TYPE_", "type")
}

fn figure(figure: &v1::org_detail::Figure) -> Figure {
    Figure {
        metric: figure.metric.clone(),
        value: figure.value,
        unit: figure.unit.clone(),
        source: figure.source.clone(),
        as_of: day(figure.as_of.as_ref()),
    }
}
