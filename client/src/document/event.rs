//! Events; at their home with the plan.

use serde::{Deserialize, Serialize};
use yizhan_proto::v1::{self, EventKind, EventMode, EventState, appearance, event_host};

use super::{Texts, parse_optional_time, time, value_of, word};
use crate::{
    answer::Column,
    error::{Error, Result},
};

pub const COLUMNS: &[Column] =
    &["id", "series", "issue", "titles", "state", "starts_at", "tz", "mode", "home"];

#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Event {
    pub id: String,
    pub home: String,
    pub etag: String,
    pub series: String,
    pub issue: u32,
    pub kind: String,
    pub mode: String,
    pub state: String,
    pub format: String,
    pub tags: Vec<String>,
    pub titles: Texts,
    pub abstracts: Texts,
    pub starts_at: Option<String>,
    pub ends_at: Option<String>,
    #[serde(alias = "time_zone")]
    pub tz: String,
    pub venue: String,
    #[serde(alias = "region")]
    pub region_code: String,
    pub hosts: Vec<Host>,
    pub appearances: Vec<Appearance>,
    pub url: String,
    pub sequence: u32,
    pub rescheduled_from: Option<String>,
    pub capacity_onsite: u32,
    pub capacity_online: u32,
    pub registration_opens_at: Option<String>,
    pub registration_closes_at: Option<String>,
    pub created_at: Option<String>,
    pub updated_at: Option<String>,
    /// Known at the event's home only, like all that follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_join_link: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orgs: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Host {
    pub point: String,
    pub role: String,
    pub state: String,
    pub invited_at: Option<String>,
    pub decided_at: Option<String>,
}

#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Appearance {
    pub position: u32,
    pub topics: Texts,
    pub duration_minutes: u32,
    pub state: String,
    /// Hex.
    pub token: String,
    pub display_names: Texts,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub member: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub release: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
}

impl From<&v1::Event> for Event {
    fn from(event: &v1::Event) -> Event {
        Event {
            id: event.id.clone(),
            home: event.home.clone(),
            etag: event.etag.clone(),
            series: event.series.clone(),
            issue: event.issue,
            kind: word(event.kind, EventKind::as_str_name, "EVENT_KIND_"),
            mode: word(event.mode, EventMode::as_str_name, "EVENT_MODE_"),
            state: word(event.state, EventState::as_str_name, "EVENT_STATE_"),
            format: event.format.clone(),
            tags: event.tags.clone(),
            titles: (&event.titles).into(),
            abstracts: (&event.abstracts).into(),
            starts_at: time(event.start_time.as_ref()),
            ends_at: time(event.end_time.as_ref()),
            tz: event.time_zone.clone(),
            venue: event.venue.clone(),
            region_code: event.region_code.clone(),
            hosts: event.hosts.iter().map(Host::from).collect(),
            appearances: event.appearances.iter().map(Appearance::from).collect(),
            url: event.url.clone(),
            sequence: event.sequence,
            rescheduled_from: time(event.rescheduled_from_time.as_ref()),
            capacity_onsite: event.capacity_onsite,
            capacity_online: event.capacity_online,
            registration_opens_at: time(event.registration_open_time.as_ref()),
            registration_closes_at: time(event.registration_close_time.as_ref()),
            created_at: time(event.create_time.as_ref()),
            updated_at: time(event.update_time.as_ref()),
            private_join_link: None,
            orgs: None,
            group: None,
            source: None,
        }
    }
}

impl From<&v1::EventPlan> for Event {
    fn from(plan: &v1::EventPlan) -> Event {
        Event {
            private_join_link: Some(plan.private_join_link.clone()),
            orgs: Some(plan.orgs.clone()),
            group: Some(plan.group.clone()),
            source: Some(plan.source.clone()),
            ..plan.event.as_ref().map(Event::from).unwrap_or_default()
        }
    }
}

impl TryFrom<&Event> for v1::EventPlan {
    type Error = Error;

    fn try_from(event: &Event) -> Result<v1::EventPlan> {
        let public = v1::Event {
            series: event.series.clone(),
            issue: event.issue,
            kind: value_of(&event.kind, EventKind::from_str_name, "EVENT_KIND_", "kind")?,
            mode: value_of(&event.mode, EventMode::from_str_name, "EVENT_MODE_", "mode")?,
            state: state(&event.state)?,
            format: event.format.clone(),
            tags: event.tags.clone(),
            titles: (&event.titles).into(),
            abstracts: (&event.abstracts).into(),
            start_time: parse_optional_time(&event.starts_at, "starts_at")?,
            end_time: parse_optional_time(&event.ends_at, "ends_at")?,
            time_zone: event.tz.clone(),
            venue: event.venue.clone(),
            region_code: event.region_code.clone(),
            hosts: event.hosts.iter().map(v1::EventHost::try_from).collect::<Result<_>>()?,
            appearances: event
                .appearances
                .iter()
                .map(v1::Appearance::try_from)
                .collect::<Result<_>>()?,
            url: event.url.clone(),
            sequence: event.sequence,
            rescheduled_from_time: parse_optional_time(
                &event.rescheduled_from,
                "rescheduled_from",
            )?,
            capacity_onsite: event.capacity_onsite,
            capacity_online: event.capacity_online,
            registration_open_time: parse_optional_time(
                &event.registration_opens_at,
                "registration_opens_at",
            )?,
            registration_close_time: parse_optional_time(
                &event.registration_closes_at,
                "registration_closes_at",
            )?,
            create_time: parse_optional_time(&event.created_at, "created_at")?,
            update_time: parse_optional_time(&event.updated_at, "updated_at")?,
            id: event.id.clone(),
            home: event.home.clone(),
            etag: event.etag.clone(),
        };
        Ok(v1::EventPlan {
            event: Some(public),
            private_join_link: event.private_join_link.clone().unwrap_or_default(),
            orgs: event.orgs.clone().unwrap_or_default(),
            group: event.group.clone().unwrap_or_default(),
            source: event.source.clone().unwrap_or_default(),
        })
    }
}

impl From<&v1::EventHost> for Host {
    fn from(host: &v1::EventHost) -> Host {
        Host {
            point: host.point.clone(),
            role: word(host.role, event_host::Role::as_str_name, "ROLE_"),
            state: word(host.state, event_host::State::as_str_name, "STATE_"),
            invited_at: time(host.invite_time.as_ref()),
            decided_at: time(host.decide_time.as_ref()),
        }
    }
}

impl TryFrom<&Host> for v1::EventHost {
    type Error = Error;

    fn try_from(host: &Host) -> Result<v1::EventHost> {
        let (role, state) = (event_host::Role::from_str_name, event_host::State::from_str_name);
        Ok(v1::EventHost {
            point: host.point.clone(),
            role: value_of(&host.role, role, "ROLE_", "hosts.role")?,
            state: value_of(&host.state, state, "STATE_", "hosts.state")?,
            invite_time: parse_optional_time(&host.invited_at, "hosts.invited_at")?,
            decide_time: parse_optional_time(&host.decided_at, "hosts.decided_at")?,
        })
    }
}

impl From<&v1::Appearance> for Appearance {
    fn from(appearance: &v1::Appearance) -> Appearance {
        Appearance {
            position: appearance.position,
            topics: (&appearance.topics).into(),
            duration_minutes: appearance.duration_minutes,
            state: word(appearance.state, appearance::State::as_str_name, "STATE_"),
            token: hex::encode(&appearance.token),
            display_names: (&appearance.display_names).into(),
            member: appearance.member.clone(),
            release: appearance.release.clone(),
            source: appearance.source.clone(),
        }
    }
}

impl TryFrom<&Appearance> for v1::Appearance {
    type Error = Error;

    fn try_from(appearance: &Appearance) -> Result<v1::Appearance> {
        let not_hex =
            |_| Error::field("appearances.token", "not_hex", "is not hex", "不是十六进制");
        Ok(v1::Appearance {
            position: appearance.position,
            topics: (&appearance.topics).into(),
            duration_minutes: appearance.duration_minutes,
            state: value_of(
                &appearance.state,
                appearance::State::from_str_name,
                "STATE_",
                "appearances.state",
            )?,
            token: hex::decode(&appearance.token).map_err(not_hex)?,
            display_names: (&appearance.display_names).into(),
            member: appearance.member.clone(),
            release: appearance.release.clone(),
            source: appearance.source.clone(),
            // The node knows.
            home: String::new(),
        })
    }
}

/// The number of a state's word.
pub fn state(word: &str) -> Result<i32> {
    value_of(word, EventState::from_str_name, "EVENT_STATE_", "state")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plan_survives_its_document() {
        let document: Event = super::super::read(json!({
            "series": "TALK", "issue": 21, "kind": "talk", "mode": "online", "state": "draft",
            "titles": {"zh-Hans": "学长说", "en": "Talk"},
            "starts_at": "2026-04-22T14:30:00+08:00", "ends_at": "2026-04-22T16:30:00+08:00",
            "time_zone": "Asia/Shanghai",
            "hosts": [{"point": "CN-440100", "role": "lead", "state": "accepted"}],
            "appearances": [{"position": 1, "topics": {"en": "Batteries"}, "token": "00ff"}],
            "private_join_link": "https://x", "orgs": ["O-1"],
        }))
        .unwrap();
        let plan = v1::EventPlan::try_from(&document).unwrap();
        let again = Event::from(&plan);
        assert_eq!(v1::EventPlan::try_from(&again).unwrap(), plan);
        assert_eq!(again.starts_at.unwrap(), "2026-04-22T06:30:00Z");
    }

    #[test]
    fn a_public_event_has_no_keys_of_the_plan() {
        let value = super::super::json(&Event::from(&v1::Event::default()));
        assert!(value.get("private_join_link").is_none());
    }
}
