//! An event and its plan: `v1::Event` <-> `Event`, `v1::EventPlan` <-> `EventPlan`. Output-only
//! fields are not read.

use yizhan_proto::v1;

use super::value::{
    at_most, optional, optional_time, point_code, record_id, required, texts, texts_message, time,
    time_message,
};
use crate::domain::{
    calendar::ZoneName,
    code::{code, codes, source},
    event::{
        APPEARANCE_MINUTES_MAX, APPEARANCES_MAX, Appearance, AppearanceState, CAPACITY_MAX, Event,
        EventKind, EventMode, EventPlan, EventState, HOSTS_MAX, Host, HostRole, HostState,
        ISSUE_MAX, ORGS_MAX, TAGS_MAX, url,
    },
    id::{GrantId, MemberId},
    name::NAME_MAX,
    region::Region,
    series::series_code,
    text::{BODY_MAX, Invalid, LINE_MAX, line},
};

impl TryFrom<v1::Event> for Event {
    type Error = Invalid;

    fn try_from(event: v1::Event) -> Result<Event, Invalid> {
        at_most(&event.hosts, HOSTS_MAX, "hosts")?;
        at_most(&event.appearances, APPEARANCES_MAX, "appearances")?;
        let created = required(event.create_time, "create_time")?;
        let updated = required(event.update_time, "update_time")?;
        Event {
            issue: issue(&event.series, event.issue)?,
            kind: EventKind::from_number(event.kind, "kind")?,
            mode: EventMode::from_number(event.mode, "mode")?,
            state: EventState::from_number(event.state, "state")?,
            format: code(&event.format, "format")?,
            tags: codes(event.tags.iter().map(String::as_str), "tags", TAGS_MAX)?,
            titles: texts(event.titles, "titles", LINE_MAX)?,
            abstracts: texts(event.abstracts, "abstracts", BODY_MAX)?,
            start_time: time(required(event.start_time, "start_time")?, "start_time")?,
            end_time: time(required(event.end_time, "end_time")?, "end_time")?,
            time_zone: ZoneName::parse(&event.time_zone, "time_zone")?,
            venue: line(&event.venue, "venue", LINE_MAX)?,
            region: optional(&event.region_code, |text| Region::parse(text, "region_code"))?,
            hosts: event.hosts.into_iter().map(host).collect::<Result<_, _>>()?,
            appearances: event.appearances.into_iter().map(appearance).collect::<Result<_, _>>()?,
            url: url(&event.url, "url")?,
            sequence: event.sequence,
            rescheduled_from_time: optional_time(
                event.rescheduled_from_time,
                "rescheduled_from_time",
            )?,
            capacity_onsite: capacity(event.capacity_onsite, "capacity_onsite")?,
            capacity_online: capacity(event.capacity_online, "capacity_online")?,
            registration_open_time: optional_time(
                event.registration_open_time,
                "registration_open_time",
            )?,
            registration_close_time: optional_time(
                event.registration_close_time,
                "registration_close_time",
            )?,
            create_time: time(created, "create_time")?,
            update_time: time(updated, "update_time")?,
        }
        .checked()
    }
}

impl From<Event> for v1::Event {
    fn from(event: Event) -> v1::Event {
        let (series, issue) = event.issue.unwrap_or_default();
        v1::Event {
            series,
            issue,
            kind: event.kind.number(),
            mode: event.mode.number(),
            state: event.state.number(),
            format: event.format,
            tags: event.tags,
            titles: texts_message(event.titles),
            abstracts: texts_message(event.abstracts),
            start_time: Some(time_message(event.start_time)),
            end_time: Some(time_message(event.end_time)),
            time_zone: event.time_zone.as_str().to_owned(),
            venue: event.venue,
            region_code: event.region.map(|region| region.to_string()).unwrap_or_default(),
            hosts: event.hosts.into_iter().map(host_message).collect(),
            appearances: event.appearances.into_iter().map(appearance_message).collect(),
            url: event.url,
            sequence: event.sequence,
            rescheduled_from_time: event.rescheduled_from_time.map(time_message),
            capacity_onsite: event.capacity_onsite.unwrap_or(0),
            capacity_online: event.capacity_online.unwrap_or(0),
            registration_open_time: event.registration_open_time.map(time_message),
            registration_close_time: event.registration_close_time.map(time_message),
            create_time: Some(time_message(event.create_time)),
            update_time: Some(time_message(event.update_time)),
            id: String::new(),
            home: String::new(),
            etag: String::new(),
        }
    }
}

impl TryFrom<v1::EventPlan> for EventPlan {
    type Error = Invalid;

    fn try_from(plan: v1::EventPlan) -> Result<EventPlan, Invalid> {
        at_most(&plan.orgs, ORGS_MAX, "orgs")?;
        let event: Result<Event, Invalid> = required(plan.event, "event")?.try_into();
        Ok(EventPlan {
            event: event.map_err(|invalid| invalid.under("event"))?,
            private_join_link: url(&plan.private_join_link, "private_join_link")?,
            orgs: plan.orgs.iter().map(|org| source(org, "orgs")).collect::<Result<_, _>>()?,
            group: source(&plan.group, "group")?,
            source: source(&plan.source, "source")?,
        })
    }
}

impl From<EventPlan> for v1::EventPlan {
    fn from(plan: EventPlan) -> v1::EventPlan {
        v1::EventPlan {
            event: Some(plan.event.into()),
            private_join_link: plan.private_join_link,
            orgs: plan.orgs,
            group: plan.group,
            source: plan.source,
        }
    }
}

fn issue(series: &str, number: u32) -> Result<Option<(String, u32)>, Invalid> {
    match (series, number) {
        ("", 0) => Ok(None),
        (series, 1..=ISSUE_MAX) => Ok(Some((series_code(series, "series")?, number))),
        _ => Err(Invalid::new("issue", "issue_without_series")),
    }
}

fn capacity(persons: u32, field: &str) -> Result<Option<u32>, Invalid> {
    match persons {
        0 => Ok(None),
        1..=CAPACITY_MAX => Ok(Some(persons)),
        _ => Err(Invalid::new(field, "too_large")),
    }
}

fn host(host: v1::EventHost) -> Result<Host, Invalid> {
    Ok(Host {
        point: point_code(&host.point, "hosts.point")?,
        role: HostRole::from_number(host.role, "hosts.role")?,
        state: HostState::from_number(host.state, "hosts.state")?,
        invite_time: optional_time(host.invite_time, "hosts.invite_time")?,
        decide_time: optional_time(host.decide_time, "hosts.decide_time")?,
    })
}

fn host_message(host: Host) -> v1::EventHost {
    v1::EventHost {
        point: host.point.to_string(),
        role: host.role.number(),
        state: host.state.number(),
        invite_time: host.invite_time.map(time_message),
        decide_time: host.decide_time.map(time_message),
    }
}

fn appearance(appearance: v1::Appearance) -> Result<Appearance, Invalid> {
    Ok(Appearance {
        position: appearance.position,
        topics: texts(appearance.topics, "appearances.topics", LINE_MAX)?,
        duration_minutes: match appearance.duration_minutes {
            0 => None,
            minutes @ 1..=APPEARANCE_MINUTES_MAX => Some(minutes),
            _ => return Err(Invalid::new("appearances.duration_minutes", "too_large")),
        },
        state: AppearanceState::from_number(appearance.state, "appearances.state")?,
        token: appearance.token[..]
            .try_into()
            .map_err(|_| Invalid::new("appearances.token", "wrong_length"))?,
        display_names: texts(appearance.display_names, "appearances.display_names", NAME_MAX)?,
        member: optional(&appearance.member, |id| record_id(id, "appearances.member"))?
            .map(MemberId),
        release: optional(&appearance.release, |id| record_id(id, "appearances.release"))?
            .map(GrantId),
        home: optional(&appearance.home, |code| point_code(code, "appearances.home"))?,
        source: source(&appearance.source, "appearances.source")?,
    })
}

fn appearance_message(appearance: Appearance) -> v1::Appearance {
    v1::Appearance {
        position: appearance.position,
        topics: texts_message(appearance.topics),
        duration_minutes: appearance.duration_minutes.unwrap_or(0),
        state: appearance.state.number(),
        token: appearance.token.to_vec(),
        display_names: texts_message(appearance.display_names),
        member: appearance.member.map(|id| id.to_string()).unwrap_or_default(),
        release: appearance.release.map(|id| id.to_string()).unwrap_or_default(),
        home: appearance.home.map(|home| home.to_string()).unwrap_or_default(),
        source: appearance.source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::disclosure;

    fn text(language: &str, text: &str) -> v1::LocalText {
        v1::LocalText { language: language.into(), text: text.into() }
    }

    fn at(seconds: i64) -> Option<prost_types::Timestamp> {
        Some(prost_types::Timestamp { seconds, nanos: 0 })
    }

    fn message() -> v1::EventPlan {
        let speaker = |position, release: &str| v1::Appearance {
            position,
            state: 2,
            token: vec![position as u8; 16],
            display_names: vec![text("zh-Hans", "欧阳若晴")],
            member: "0192f0c1-2345-7abc-8def-0123456789ab".into(),
            release: release.into(),
            source: "A-0001".into(),
            ..Default::default()
        };
        let host = |point: &str, role, state| v1::EventHost {
            point: point.into(),
            role,
            state,
            ..Default::default()
        };
        v1::EventPlan {
            event: Some(v1::Event {
                series: "TALK".into(),
                issue: 20,
                kind: 1,
                mode: 1,
                state: 2,
                format: "indoor_reading".into(),
                titles: vec![text("zh-Hans", "学长说第20期")],
                start_time: at(1_682_146_800),
                end_time: at(1_682_154_000),
                time_zone: "Asia/Shanghai".into(),
                region_code: "440100".into(),
                hosts: vec![host("CN-440000", 1, 2), host("CN-440100", 2, 2), host("HK", 2, 1)],
                appearances: vec![
                    speaker(1, "0192f0c1-2345-7abc-8def-0123456789cd"),
                    speaker(2, ""),
                ],
                create_time: at(1_680_000_000),
                update_time: at(1_680_000_000),
                ..Default::default()
            }),
            private_join_link: "https://meet.example.org/secret".into(),
            orgs: vec!["O-0001".into()],
            source: "E-TALK-20".into(),
            ..Default::default()
        }
    }

    #[test]
    fn a_plan_survives_the_way_there_and_back() {
        assert_eq!(v1::EventPlan::from(EventPlan::try_from(message()).unwrap()), message());
    }

    #[test]
    fn a_draft_is_nobodys_business() {
        let mut plan = EventPlan::try_from(message()).unwrap();
        assert!(disclosure::event(&plan).is_some());
        plan.event.state = EventState::Draft;
        assert_eq!(disclosure::event(&plan), None);
    }

    #[test]
    fn the_public_sees_accepted_hosts_and_released_names_only() {
        let plan = EventPlan::try_from(message()).unwrap();
        let public = v1::Event::from(disclosure::event(&plan).unwrap());
        let hosts: Vec<&str> = public.hosts.iter().map(|host| &*host.point).collect();
        assert_eq!(hosts, ["CN-440000", "CN-440100"]);
        let shown: Vec<usize> =
            public.appearances.iter().map(|one| one.display_names.len()).collect();
        assert_eq!(shown, [1, 0]);
        assert!(
            public.appearances.iter().all(|one| one.member.is_empty() && one.token.len() == 16)
        );
    }

    #[test]
    fn a_bad_field_is_named_with_its_path() {
        let refused = |change: fn(&mut v1::Event)| {
            let mut plan = message();
            change(plan.event.as_mut().unwrap());
            let invalid = EventPlan::try_from(plan).unwrap_err();
            (invalid.field, invalid.reason)
        };
        assert_eq!(
            refused(|e| e.end_time = e.start_time),
            ("event.end_time".into(), "end_before_start")
        );
        assert_eq!(refused(|e| e.titles.clear()), ("event.titles".into(), "required"));
        assert_eq!(refused(|e| e.issue = 0), ("event.issue".into(), "issue_without_series"));
        assert_eq!(refused(|e| e.hosts[1].role = 1), ("event.hosts".into(), "duplicate_lead"));
        assert_eq!(
            refused(|e| e.appearances[0].token.clear()),
            ("event.appearances.token".into(), "wrong_length")
        );
        assert_eq!(
            refused(|e| e.start_time = at(-62_135_596_800)),
            ("event.start_time".into(), "time_out_of_range")
        );
    }
}
