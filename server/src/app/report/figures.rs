//! The figures, one line each: what is counted, said in both languages, and how.

use yizhan_proto::v1::{self, figure::Basis};

use super::counting::Counted;
use crate::app::records::Found;
use crate::domain::{
    calendar::Date,
    event::{AppearanceState, Event, EventMode, EventState, Host, HostState},
    home_figures::{self, HomeFigures},
    id::PointCode,
    kind::Kind,
    org::{Org, OrgType},
    point::{Point, PointKind, PointState},
    time::Time,
};

/// Series of talks and of walks.
const TALKS: &str = "TALK";
const WALKS: &str = "WALK";

/// One figure of the association report.
pub struct Figure {
    /// Stable: scripts rely on it.
    pub id: &'static str,
    /// Counted here, or stated by somebody.
    pub basis: Basis,
    /// The kind whose rows it counts.
    pub kind: Kind,
    pub en: &'static str,
    pub zh: &'static str,
    /// Adds what a row shows to what has been counted: each thing under a name of its own.
    pub count: fn(&Row, &mut Counted),
}

/// A live row that is not later than the report's day.
pub struct Row {
    id: Vec<u8>,
    record: Record,
}

enum Record {
    Event(Box<Event>),
    Org(Box<Org>),
    Point(Box<Point>),
    Home(HomeFigures, Date),
}

impl Row {
    /// None for what does not count yet on that day, and what this version cannot read.
    pub fn read(found: &Found, as_of: Date, until: Time) -> Option<Row> {
        let record = match found.row.kind {
            Kind::EVENT => {
                let event: Event = found.value::<v1::Event, _>().ok()?;
                (event.start_time < until).then_some(Record::Event(Box::new(event)))?
            }
            Kind::ORG => Record::Org(Box::new(found.value::<v1::Org, _>().ok()?)),
            Kind::POINT => {
                let point: Point = found.value::<v1::Point, _>().ok()?;
                let is_open = point.opened_on.is_none_or(|opened| opened <= as_of);
                is_open.then_some(Record::Point(Box::new(point)))?
            }
            Kind::HOME_FIGURES => {
                let figures = found.value::<v1::HomeFigures, _>().ok()?;
                return Some(Row::of_home(&found.feed.home, figures, as_of));
            }
            _ => return None,
        };
        Some(Row { id: found.row.id.0.to_vec(), record })
    }

    /// What a home has counted, by a day.
    pub fn of_home(home: &PointCode, figures: HomeFigures, as_of: Date) -> Row {
        Row { id: home.as_str().as_bytes().to_vec(), record: Record::Home(figures, as_of) }
    }

    /// Adds what the home has counted of a metric.
    fn add_of_home(&self, metric: &str, counted: &mut Counted) {
        if let Record::Home(figures, as_of) = &self.record {
            counted.add_value(self.id.clone(), figures.on(metric, *as_of));
        }
    }

    /// The event, if it took place.
    fn held(&self) -> Option<&Event> {
        match &self.record {
            Record::Event(event) => {
                matches!(event.state, EventState::Held | EventState::Archived).then_some(event)
            }
            Record::Org(_) | Record::Point(_) | Record::Home(..) => None,
        }
    }

    /// The event, if it took place in a series.
    fn held_in(&self, series: &str) -> Option<&Event> {
        self.held().filter(|event| event.issue.as_ref().is_some_and(|(code, _)| code == series))
    }

    fn cohosted_talk(&self) -> Option<&Event> {
        self.held_in(TALKS).filter(|event| accepted(event).count() > 1)
    }

    /// The point, if it serves people, be it with a pause.
    fn serving(&self) -> Option<&Point> {
        match &self.record {
            Record::Point(point) => {
                matches!(point.state, PointState::Active | PointState::Paused).then_some(point)
            }
            Record::Event(_) | Record::Org(_) | Record::Home(..) => None,
        }
    }

    fn add(&self, counted: &mut Counted) {
        counted.add(self.id.clone());
    }
}

fn accepted(event: &Event) -> impl Iterator<Item = &Host> {
    event.hosts.iter().filter(|host| host.state == HostState::Accepted)
}

/// A mainland point of a whole province: its code ends in four zeros (GB/T 2260).
fn is_province(point: &PointCode) -> bool {
    point.as_str().strip_prefix("CN-").is_some_and(|code| code.get(2..6) == Some("0000"))
}

/// Everything that the report counts. A new figure is a line here.
pub const FIGURES: &[Figure] = &[
    Figure {
        id: "talks_held",
        basis: Basis::Counted,
        kind: Kind::EVENT,
        en: "Distinct events of the series TALK that were held, whoever leads; co-hosts never add",
        zh: "学长说系列中已举办的活动,不论由谁主办;联合主办不重复计数",
        count: |row, counted| {
            if row.held_in(TALKS).is_some() {
                row.add(counted);
            }
        },
    },
    Figure {
        id: "walks_held",
        basis: Basis::Counted,
        kind: Kind::EVENT,
        en: "Distinct events of the series WALK that were held, whoever leads; co-hosts never add",
        zh: "学长行系列中已举办的活动,不论由谁主办;联合主办不重复计数",
        count: |row, counted| {
            if row.held_in(WALKS).is_some() {
                row.add(counted);
            }
        },
    },
    Figure {
        id: "talks_online",
        basis: Basis::Counted,
        kind: Kind::EVENT,
        en: "Held talks of the series TALK that took place online only",
        zh: "学长说系列中以线上方式举办的活动",
        count: |row, counted| {
            if row.held_in(TALKS).is_some_and(|event| event.mode == EventMode::Online) {
                row.add(counted);
            }
        },
    },
    Figure {
        id: "overseas_health_sessions",
        basis: Basis::Counted,
        kind: Kind::EVENT,
        en: "Held events tagged overseas_health",
        zh: "标有 overseas_health(海外学子健康)的已举办活动",
        count: |row, counted| {
            let is_tagged = |event: &Event| event.tags.iter().any(|tag| tag == "overseas_health");
            if row.held().is_some_and(is_tagged) {
                row.add(counted);
            }
        },
    },
    Figure {
        id: "appearances",
        basis: Basis::Counted,
        kind: Kind::EVENT,
        en: "Appearances that were given at held talks of the series TALK",
        zh: "学长说系列已举办活动中实际完成的主讲人次",
        count: |row, counted| {
            for appearance in row.held_in(TALKS).into_iter().flat_map(|event| &event.appearances) {
                if appearance.state == AppearanceState::Given {
                    let place = appearance.position.to_be_bytes();
                    counted.add([&row.id[..], &place].concat());
                }
            }
        },
    },
    Figure {
        id: "speakers_distinct",
        basis: Basis::Counted,
        kind: Kind::EVENT,
        en: "Distinct persons among the appearances that were given at held talks, by token",
        zh: "学长说系列实际主讲的不同人数(按统计标识去重)",
        count: |row, counted| {
            for appearance in row.held_in(TALKS).into_iter().flat_map(|event| &event.appearances) {
                if appearance.state == AppearanceState::Given {
                    counted.add(appearance.token.to_vec());
                }
            }
        },
    },
    Figure {
        id: "talks_cohosted",
        basis: Basis::Counted,
        kind: Kind::EVENT,
        en: "Held talks of the series TALK with two or more accepted hosts",
        zh: "学长说系列中由两个或以上联络点联合主办的已举办活动",
        count: |row, counted| {
            if row.cohosted_talk().is_some() {
                row.add(counted);
            }
        },
    },
    Figure {
        id: "cohost_cities",
        basis: Basis::Counted,
        kind: Kind::EVENT,
        en: "Distinct accepted hosts of co-hosted talks, provincial points not counted",
        zh: "联合主办的学长说活动中已接受的不同主办点,不含省级联络点",
        count: |row, counted| {
            let hosts = row.cohosted_talk().into_iter().flat_map(accepted);
            for host in hosts.filter(|host| !is_province(&host.point)) {
                counted.add(host.point.as_str().as_bytes().to_vec());
            }
        },
    },
    Figure {
        id: "parks",
        basis: Basis::Counted,
        kind: Kind::ORG,
        en: "Organisations of type park",
        zh: "类型为园区的机构",
        count: |row, counted| {
            if matches!(&row.record, Record::Org(org) if org.kind == OrgType::Park) {
                row.add(counted);
            }
        },
    },
    Figure {
        id: "points",
        basis: Basis::Counted,
        kind: Kind::POINT,
        en: "Contact points that are active or paused",
        zh: "服务中或暂停服务的联络点",
        count: |row, counted| {
            if row.serving().is_some() {
                row.add(counted);
            }
        },
    },
    Figure {
        id: "points_overseas",
        basis: Basis::Counted,
        kind: Kind::POINT,
        en: "Overseas contact points that are active or paused",
        zh: "服务中或暂停服务的海外联络点",
        count: |row, counted| {
            if row.serving().is_some_and(|point| point.kind == PointKind::Overseas) {
                row.add(counted);
            }
        },
    },
    Figure {
        id: home_figures::SPEAKER_POOL,
        basis: Basis::Counted,
        kind: Kind::HOME_FIGURES,
        en: "Distinct members whose part in the speaker pool is active and who agreed to be seen in the network, as known today: each home counts its own; who opts out leaves the count",
        zh: "讲师库中状态为在库且同意在网络内展示的不同会员(现有记录,由各归属点统计;撤回展示者不再计入)",
        count: |row, counted| row.add_of_home(home_figures::SPEAKER_POOL, counted),
    },
    Figure {
        id: home_figures::SEAT_HOLDERS,
        basis: Basis::Counted,
        kind: Kind::HOME_FIGURES,
        en: "Distinct members who hold a public office, as known today: each home counts its own",
        zh: "现任公职的不同会员(现有记录,由各归属点统计)",
        count: |row, counted| row.add_of_home(home_figures::SEAT_HOLDERS, counted),
    },
    Figure {
        id: home_figures::COHORTS,
        basis: Basis::Counted,
        kind: Kind::HOME_FIGURES,
        en: "Training cohorts, each counted by its home",
        zh: "培训班期数(由各归属点统计)",
        count: |row, counted| row.add_of_home(home_figures::COHORTS, counted),
    },
    Figure {
        id: home_figures::COHORT_SEATS,
        basis: Basis::Counted,
        kind: Kind::HOME_FIGURES,
        en: "Places of appointed key contacts in cohorts: somebody of two cohorts counts twice",
        zh: "培训班中已聘重点联系人的席位,同一人参加两期计两次",
        count: |row, counted| row.add_of_home(home_figures::COHORT_SEATS, counted),
    },
    Figure {
        id: home_figures::KEY_CONTACTS,
        basis: Basis::Counted,
        kind: Kind::HOME_FIGURES,
        en: "Distinct persons appointed as key contacts, each counted by the person's home",
        zh: "已聘重点联系人的不同人数(由各归属点统计)",
        count: |row, counted| row.add_of_home(home_figures::KEY_CONTACTS, counted),
    },
    Figure {
        id: home_figures::COMPANIES,
        basis: Basis::Reported,
        kind: Kind::HOME_FIGURES,
        en: "Companies as the parks have reported them last by that day; reported, not counted",
        zh: "园区截至该日最近一次报告的企业数;为报告值,非统计值",
        count: |row, counted| row.add_of_home(home_figures::COMPANIES, counted),
    },
];
