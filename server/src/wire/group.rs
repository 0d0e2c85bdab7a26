//! Groups and places in them: `v1::Group` <-> `Group`, `v1::GroupMember` <-> `Place`,
//! `v1::GroupCard` <-> `PlaceCard`. Output-only fields are not read.

use yizhan_proto::v1;

use super::value::{
    at_most, date, date_message, optional, record_id, required, texts, texts_message,
};
use crate::domain::{
    code::{code, source},
    contact::Handle,
    group::{
        COHORT_MAX, Duty, GROUP_ORGS_MAX, Group, GroupKind, GroupState, Place, PlaceCard,
        PlaceRole, PlaceState, ROTA_MAX,
    },
    id::{GrantId, MemberId, RecordId},
    name::NAME_MAX,
    region::Region,
    text::{Invalid, LINE_MAX},
};

impl TryFrom<v1::Group> for Group {
    type Error = Invalid;

    fn try_from(group: v1::Group) -> Result<Group, Invalid> {
        at_most(&group.orgs, GROUP_ORGS_MAX, "orgs")?;
        at_most(&group.rota, ROTA_MAX, "rota")?;
        if group.issue_no > COHORT_MAX {
            return Err(Invalid::new("issue_no", "too_large"));
        }
        Group {
            kind: GroupKind::from_number(group.kind, "kind")?,
            topic: optional(&group.topic, |text| code(text, "topic"))?.unwrap_or_default(),
            issue_no: Some(group.issue_no).filter(|number| *number > 0),
            titles: texts(group.titles, "titles", LINE_MAX)?,
            scope_region: region(&group.scope_region, "scope_region")?,
            started_on: date(group.started_on, "started_on")?,
            ended_on: date(group.ended_on, "ended_on")?,
            state: GroupState::from_number(group.state, "state")?,
            orgs: group.orgs.iter().map(|org| source(org, "orgs")).collect::<Result<_, _>>()?,
            event: source(&group.event, "event")?,
            channel: group
                .channel
                .map(|handle| Handle::new(&handle.service, &handle.value, "channel"))
                .transpose()?,
            rota: group.rota.into_iter().map(Duty::try_from).collect::<Result<_, _>>()?,
            source: source(&group.source, "source")?,
        }
        .checked()
    }
}

impl From<Group> for v1::Group {
    fn from(group: Group) -> v1::Group {
        v1::Group {
            kind: group.kind.number(),
            topic: group.topic,
            issue_no: group.issue_no.unwrap_or(0),
            titles: texts_message(group.titles),
            scope_region: region_message(group.scope_region),
            started_on: group.started_on.map(date_message),
            ended_on: group.ended_on.map(date_message),
            state: group.state.number(),
            orgs: group.orgs,
            event: group.event,
            channel: group
                .channel
                .map(|handle| v1::Handle { service: handle.service, value: handle.value }),
            rota: group.rota.into_iter().map(v1::group::Duty::from).collect(),
            source: group.source,
            id: String::new(),
            home: String::new(),
            etag: String::new(),
        }
    }
}

impl TryFrom<v1::group::Duty> for Duty {
    type Error = Invalid;

    fn try_from(duty: v1::group::Duty) -> Result<Duty, Invalid> {
        Duty {
            region: Region::parse(&duty.region, "duty.region")?,
            from: required(date(duty.from, "duty.from")?, "duty.from")?,
            to: required(date(duty.to, "duty.to")?, "duty.to")?,
            contact: RecordId(record_id(&duty.contact, "duty.contact")?),
            cover: optional(&duty.cover, |text| record_id(text, "duty.cover"))?.map(RecordId),
        }
        .checked()
    }
}

impl From<Duty> for v1::group::Duty {
    fn from(duty: Duty) -> v1::group::Duty {
        v1::group::Duty {
            region: duty.region.to_string(),
            from: Some(date_message(duty.from)),
            to: Some(date_message(duty.to)),
            contact: duty.contact.to_string(),
            cover: duty.cover.map(|cover| cover.to_string()).unwrap_or_default(),
        }
    }
}

impl TryFrom<v1::GroupMember> for Place {
    type Error = Invalid;

    fn try_from(place: v1::GroupMember) -> Result<Place, Invalid> {
        Place {
            group: RecordId(record_id(&place.group, "group")?),
            member: optional(&place.member, |text| record_id(text, "member"))?.map(MemberId),
            token: token(&place.token)?,
            role: PlaceRole::from_number(place.role, "role")?,
            state: PlaceState::from_number(place.state, "state")?,
            from: date(place.from, "from")?,
            to: date(place.to, "to")?,
            duty_region: region(&place.duty_region, "duty_region")?,
            grant: optional(&place.grant, |text| record_id(text, "grant"))?.map(GrantId),
            display_names: texts(place.display_names, "display_names", NAME_MAX)?,
            source: source(&place.source, "source")?,
        }
        .checked()
    }
}

impl From<Place> for v1::GroupMember {
    fn from(place: Place) -> v1::GroupMember {
        v1::GroupMember {
            group: place.group.to_string(),
            member: place.member.map(|member| member.to_string()).unwrap_or_default(),
            token: place.token.to_vec(),
            role: place.role.number(),
            state: place.state.number(),
            from: place.from.map(date_message),
            to: place.to.map(date_message),
            duty_region: region_message(place.duty_region),
            grant: place.grant.map(|grant| grant.to_string()).unwrap_or_default(),
            display_names: texts_message(place.display_names),
            source: place.source,
            id: String::new(),
            home: String::new(),
            etag: String::new(),
        }
    }
}

impl TryFrom<v1::GroupCard> for PlaceCard {
    type Error = Invalid;

    fn try_from(card: v1::GroupCard) -> Result<PlaceCard, Invalid> {
        Ok(PlaceCard {
            group: RecordId(record_id(&card.group, "group")?),
            token: token(&card.token)?,
            role: PlaceRole::from_number(card.role, "role")?,
            state: PlaceState::from_number(card.state, "state")?,
            from: date(card.from, "from")?,
            to: date(card.to, "to")?,
            duty_region: region(&card.duty_region, "duty_region")?,
            member: optional(&card.member, |text| record_id(text, "member"))?.map(MemberId),
            display_names: texts(card.display_names, "display_names", NAME_MAX)?,
        })
    }
}

impl From<PlaceCard> for v1::GroupCard {
    fn from(card: PlaceCard) -> v1::GroupCard {
        v1::GroupCard {
            group: card.group.to_string(),
            token: card.token.to_vec(),
            role: card.role.number(),
            state: card.state.number(),
            from: card.from.map(date_message),
            to: card.to.map(date_message),
            duty_region: region_message(card.duty_region),
            member: card.member.map(|member| member.to_string()).unwrap_or_default(),
            display_names: texts_message(card.display_names),
            id: String::new(),
            home: String::new(),
        }
    }
}

fn token(bytes: &[u8]) -> Result<[u8; 16], Invalid> {
    bytes.try_into().map_err(|_| Invalid::new("token", "wrong_length"))
}

fn region(text: &str, field: &str) -> Result<Option<Region>, Invalid> {
    optional(text, |text| Region::parse(text, field))
}

fn region_message(region: Option<Region>) -> String {
    region.map(|region| region.to_string()).unwrap_or_default()
}
