//! An organisation: `v1::Org` <-> `Org`, `v1::OrgDetail` <-> `OrgDetail`. Output-only fields are not
//! read.

use yizhan_proto::v1;

use super::value::{at_most, date, date_message, optional, required, texts, texts_message};
use crate::domain::{
    code::{code, source},
    contact::Email,
    event::url,
    org::{FIGURES_MAX, Figure, Org, OrgDetail, OrgType, sector},
    region::Region,
    text::{Invalid, LINE_MAX, line},
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
            asserted_by: line(&org.asserted_by, "asserted_by", LINE_MAX)?,
            verified_on: date(org.verified_on, "verified_on")?,
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
            asserted_by: org.asserted_by,
            verified_on: org.verified_on.map(date_message),
            id: String::new(),
            home: String::new(),
            etag: String::new(),
        }
    }
}

impl TryFrom<v1::OrgDetail> for OrgDetail {
    type Error = Invalid;

    fn try_from(message: v1::OrgDetail) -> Result<OrgDetail, Invalid> {
        at_most(&message.figures, FIGURES_MAX, "figures")?;
        let mut detail = OrgDetail::default();
        detail.contact_mailbox =
            optional(&message.contact_mailbox, |text| Email::parse(text, "contact_mailbox"))?;
        for figure in message.figures {
            let figure = Figure {
                metric: code(&figure.metric, "figures.metric")?,
                value: figure.value,
                unit: optional(&figure.unit, |text| code(text, "figures.unit"))?
                    .unwrap_or_default(),
                source: line(&figure.source, "figures.source", LINE_MAX)?,
                as_of: required(date(figure.as_of, "figures.as_of")?, "figures.as_of")?,
            };
            detail.report(figure.checked().map_err(|invalid| invalid.under("figures"))?)?;
        }
        Ok(detail)
    }
}

impl From<OrgDetail> for v1::OrgDetail {
    fn from(detail: OrgDetail) -> v1::OrgDetail {
        let figure = |figure: &Figure| v1::org_detail::Figure {
            metric: figure.metric.clone(),
            value: figure.value,
            unit: figure.unit.clone(),
            source: figure.source.clone(),
            as_of: Some(date_message(figure.as_of)),
        };
        v1::OrgDetail {
            figures: detail.figures().iter().map(figure).collect(),
            contact_mailbox: detail
                .contact_mailbox
                .as_ref()
                .map(|mailbox| mailbox.as_str().to_owned())
                .unwrap_or_default(),
        }
    }
}
