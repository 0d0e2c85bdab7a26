//! Groups, places in them, and who is on duty.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use yizhan_proto::v1::{
    self,
    group::{Kind, State},
    group_member::{Role, State as PlaceState},
};

use super::{Handle, Texts, day, parse_optional_day, value_of, word};
use crate::{
    answer::Column,
    error::{Error, Result},
};

pub const COLUMNS: &[Column] =
    &["id", "kind", "issue_no", "titles", "state", "started_on", "ended_on", "home"];
pub const PLACE_COLUMNS: &[Column] =
    &["id", "home", "role", "state", "from", "to", "duty_region", "member", "names"];
pub const DUTY_COLUMNS: &[Column] =
    &["region", "contact.id", "contact.names", "cover.id", "contact_is_away"];

#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Duty {
    pub region: String,
    pub from: Option<String>,
    pub to: Option<String>,
    pub contact: String,
    pub cover: String,
}

#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Group {
    pub id: String,
    pub home: String,
    pub etag: String,
    pub kind: String,
    pub topic: String,
    pub issue_no: u32,
    pub titles: Texts,
    pub scope_region: String,
    pub started_on: Option<String>,
    pub ended_on: Option<String>,
    pub state: String,
    pub orgs: Vec<String>,
    pub event: String,
    pub channel: Option<Handle>,
    pub rota: Vec<Duty>,
    pub source: String,
}

impl From<&v1::Group> for Group {
    fn from(group: &v1::Group) -> Group {
        Group {
            id: group.id.clone(),
            home: group.home.clone(),
            etag: group.etag.clone(),
            kind: word(group.kind, Kind::as_str_name, "KIND_"),
            topic: group.topic.clone(),
            issue_no: group.issue_no,
            titles: (&group.titles).into(),
            scope_region: group.scope_region.clone(),
            started_on: day(group.started_on.as_ref()),
            ended_on: day(group.ended_on.as_ref()),
            state: word(group.state, State::as_str_name, "STATE_"),
            orgs: group.orgs.clone(),
            event: group.event.clone(),
            channel: group.channel.as_ref().map(Handle::from),
            rota: group.rota.iter().map(Duty::from).collect(),
            source: group.source.clone(),
        }
    }
}

impl TryFrom<&Group> for v1::Group {
    type Error = Error;

    fn try_from(group: &Group) -> Result<v1::Group> {
        Ok(v1::Group {
            kind: kind(&group.kind)?,
            topic: group.topic.clone(),
            issue_no: group.issue_no,
            titles: (&group.titles).into(),
            scope_region: group.scope_region.clone(),
            started_on: parse_optional_day(&group.started_on, "started_on")?,
            ended_on: parse_optional_day(&group.ended_on, "ended_on")?,
            state: state(&group.state)?,
            orgs: group.orgs.clone(),
            event: group.event.clone(),
            channel: group.channel.as_ref().map(v1::Handle::from),
            rota: group.rota.iter().map(v1::group::Duty::try_from).collect::<Result<_>>()?,
            source: group.source.clone(),
            id: group.id.clone(),
            home: group.home.clone(),
            etag: group.etag.clone(),
        })
    }
}

impl From<&v1::group::Duty> for Duty {
    fn from(duty: &v1::group::Duty) -> Duty {
        Duty {
            region: duty.region.clone(),
            from: day(duty.from.as_ref()),
            to: day(duty.to.as_ref()),
            contact: duty.contact.clone(),
            cover: duty.cover.clone(),
        }
    }
}

impl TryFrom<&Duty> for v1::group::Duty {
    type Error = Error;

    fn try_from(duty: &Duty) -> Result<v1::group::Duty> {
        Ok(v1::group::Duty {
            region: duty.region.clone(),
            from: parse_optional_day(&duty.from, "from")?,
            to: parse_optional_day(&duty.to, "to")?,
            contact: duty.contact.clone(),
            cover: duty.cover.clone(),
        })
    }
}

/// A place as its home knows it.
pub fn place(place: &v1::GroupMember) -> Value {
    json!({
        "id": place.id,
        "home": place.home,
        "etag": place.etag,
        "group": place.group,
        "member": place.member,
        "role": word(place.role, Role::as_str_name, "ROLE_"),
        "state": place_state_word(place.state),
        "from": day(place.from.as_ref()),
        "to": day(place.to.as_ref()),
        "duty_region": place.duty_region,
        "shown": !place.grant.is_empty(),
    })
}

/// A place as far as the caller may see it.
pub fn card(card: &v1::GroupCard) -> Value {
    json!({
        "id": card.id,
        "home": card.home,
        "group": card.group,
        "token": hex::encode(&card.token),
        "role": word(card.role, Role::as_str_name, "ROLE_"),
        "state": place_state_word(card.state),
        "from": day(card.from.as_ref()),
        "to": day(card.to.as_ref()),
        "duty_region": card.duty_region,
        "member": card.member,
        "names": Texts::from(&card.display_names),
    })
}

pub fn on_duty(item: &v1::list_group_duty_response::OnDuty) -> Value {
    json!({
        "region": item.region,
        "contact": item.contact.as_ref().map(card),
        "cover": item.cover.as_ref().map(card),
        "contact_is_away": item.contact_is_away,
    })
}

/// The number of a word; 0 if empty.
pub fn kind(word: &str) -> Result<i32> {
    value_of(word, Kind::from_str_name, "KIND_", "kind")
}

pub fn state(word: &str) -> Result<i32> {
    value_of(word, State::from_str_name, "STATE_", "state")
}

pub fn role(word: &str) -> Result<i32> {
    value_of(word, Role::from_str_name, "ROLE_", "role")
}

pub fn place_state(word: &str) -> Result<i32> {
    value_of(word, PlaceState::from_str_name, "STATE_", "state")
}

fn place_state_word(state: i32) -> String {
    word(state, PlaceState::as_str_name, "STATE_")
}
