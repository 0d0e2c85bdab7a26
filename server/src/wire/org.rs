//! An organisation: `v1::Org` <-> `Org`. Output-only fields are not read.

use yizhan_proto::v1;

use super::value::{texts, texts_message};
use crate::domain::{
    code::source,
    event::url,
    org::{Org, OrgType, sector},
    region::Region,
    text::{Invalid, LINE_MAX},
};

impl TryFrom<v1::Org> for Org {
    type Error = Invalid;

    fn try_from(org: v1::Org) -> Result<Org, Invalid> {
        Org {
            kind: OrgType::from_number(org.r#type, "type")?,
            names: texts(org.names, "names", LINE_MAX)?,
            region: Region::parse(&org.region_code, "region_code")?,
            sector: sector(&org.sector, "sector")?,
            url: url(&org.url, "url")?,
            source: source(&org.source, "source")?,
        }
        .checked()
    }
}

impl From<Org> for v1::Org {
    fn from(org: Org) -> v1::Org {
        v1::Org {
            r#type: org.kind.number(),
            names: texts_message(org.names),
            region_code: org.region.to_string(),
            sector: org.sector.map(String::from).unwrap_or_default(),
            url: org.url,
            source: org.source,
            id: String::new(),
            home: String::new(),
        }
    }
}
