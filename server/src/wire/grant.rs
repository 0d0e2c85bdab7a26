//! A consent: `v1::Grant` <-> `Grant`, and the basis that a disclosed record carries.

use yizhan_proto::v1;

use super::value::{
    optional_point, optional_time, point_message, record_id, required, time, time_message,
};
use crate::domain::{
    code::source,
    disclosure::ConsentBasis,
    grant::{GivenVia, Grant, GrantState, Purpose, Scope, text_version},
    id::MemberId,
    language::Language,
    text::Invalid,
};

impl TryFrom<v1::Grant> for Grant {
    type Error = Invalid;

    fn try_from(grant: v1::Grant) -> Result<Grant, Invalid> {
        let purpose = Purpose::parse(&grant.purpose, "purpose")?;
        Grant {
            member: MemberId(record_id(&grant.member, "member")?),
            purpose,
            scope: Scope::parse(purpose, &grant.scope, "scope")?,
            text_version: text_version(&grant.text_version, "text_version")?,
            text_language: Language::parse(&grant.text_language, "text_language")?,
            given_via: GivenVia::from_number(grant.given_via, "given_via")?,
            given_time: time(required(grant.given_time, "given_time")?, "given_time")?,
            expire_time: optional_time(grant.expire_time, "expire_time")?,
            state: GrantState::from_number(grant.state, "state")?,
            end_time: optional_time(grant.end_time, "end_time")?,
            asserted_by: optional_point(&grant.asserted_by, "asserted_by")?,
            source: source(&grant.source, "source")?,
            text_hash: hash(&grant.text_hash, "text_hash")?,
            evidence_hash: hash(&grant.evidence_hash, "evidence_hash")?,
        }
        .checked()
    }
}

fn hash(bytes: &[u8], field: &str) -> Result<Option<[u8; 32]>, Invalid> {
    match bytes {
        [] => Ok(None),
        bytes => {
            bytes.try_into().map(Some).map_err(|_| Invalid::new(field, "wrong_length").hint(32))
        }
    }
}

impl From<Grant> for v1::Grant {
    fn from(grant: Grant) -> v1::Grant {
        v1::Grant {
            member: grant.member.to_string(),
            purpose: grant.purpose.name().to_owned(),
            scope: grant.scope.as_str().to_owned(),
            text_version: grant.text_version,
            text_language: grant.text_language.to_string(),
            given_via: grant.given_via.number(),
            given_time: Some(time_message(grant.given_time)),
            expire_time: grant.expire_time.map(time_message),
            state: grant.state.number(),
            end_time: grant.end_time.map(time_message),
            asserted_by: point_message(grant.asserted_by),
            source: grant.source,
            text_hash: grant.text_hash.map(|hash| hash.to_vec()).unwrap_or_default(),
            evidence_hash: grant.evidence_hash.map(|hash| hash.to_vec()).unwrap_or_default(),
            id: String::new(),
        }
    }
}

impl TryFrom<v1::ConsentBasis> for ConsentBasis {
    type Error = Invalid;

    fn try_from(basis: v1::ConsentBasis) -> Result<ConsentBasis, Invalid> {
        Ok(ConsentBasis {
            purpose: Purpose::parse(&basis.purpose, "basis.purpose")?,
            text_version: text_version(&basis.text_version, "basis.text_version")?,
            given_time: time(required(basis.given_time, "basis.given_time")?, "basis.given_time")?,
            expire_time: optional_time(basis.expire_time, "basis.expire_time")?,
        })
    }
}

impl From<ConsentBasis> for v1::ConsentBasis {
    fn from(basis: ConsentBasis) -> v1::ConsentBasis {
        v1::ConsentBasis {
            purpose: basis.purpose.name().to_owned(),
            text_version: basis.text_version,
            given_time: Some(time_message(basis.given_time)),
            expire_time: basis.expire_time.map(time_message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> v1::Grant {
        v1::Grant {
            member: "0192f0c1-2345-7abc-8def-0123456789ab".into(),
            purpose: "transfer.to".into(),
            scope: "HK".into(),
            text_version: "v2".into(),
            text_language: "zh-Hans".into(),
            given_via: 3,
            given_time: Some(prost_types::Timestamp { seconds: 1_600_000_000, nanos: 5_000 }),
            state: 1,
            asserted_by: "CN-440100".into(),
            ..Default::default()
        }
    }

    #[test]
    fn a_consent_survives_the_way_there_and_back() {
        assert_eq!(v1::Grant::from(Grant::try_from(message()).unwrap()), message());
    }

    #[test]
    fn paper_needs_the_point_that_states_it() {
        let refused = Grant::try_from(v1::Grant { asserted_by: String::new(), ..message() });
        assert_eq!(refused.unwrap_err().reason, "paper_needs_a_point");
        let refused = Grant::try_from(v1::Grant { purpose: "profile.all".into(), ..message() });
        assert_eq!(refused.unwrap_err(), Invalid::new("purpose", "unknown_purpose"));
    }
}
