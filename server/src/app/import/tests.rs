//! The data set as every node reads it, and files with faults in them.

use std::collections::{BTreeMap, HashSet};

use super::*;
use crate::domain::{
    audience::Audience, disclosure, event::AppearanceState, id::PointCode, kind::Kind, time::Time,
};

const FILES: [(&str, &str); 13] = [
    ("points.csv", include_str!("../../../data/demo/points.csv")),
    ("orgs.csv", include_str!("../../../data/demo/orgs.csv")),
    ("org_figures.csv", include_str!("../../../data/demo/org_figures.csv")),
    ("speakers.csv", include_str!("../../../data/demo/speakers.csv")),
    ("seats.csv", include_str!("../../../data/demo/seats.csv")),
    ("members.csv", include_str!("../../../data/demo/members.csv")),
    ("grants.csv", include_str!("../../../data/demo/grants.csv")),
    ("series.csv", include_str!("../../../data/demo/series.csv")),
    ("events.csv", include_str!("../../../data/demo/events.csv")),
    ("event_hosts.csv", include_str!("../../../data/demo/event_hosts.csv")),
    ("appearances.csv", include_str!("../../../data/demo/appearances.csv")),
    ("groups.csv", include_str!("../../../data/demo/groups.csv")),
    ("group_members.csv", include_str!("../../../data/demo/group_members.csv")),
];

const MEMBERS: (&str, &str) = FILES[5];
const GRANTS: (&str, &str) = FILES[6];

fn code(text: &str) -> PointCode {
    text.parse().unwrap()
}

fn settings(own: &str, nodes: &[&str]) -> Settings {
    Settings {
        persons: true,
        network: "gd".into(),
        own: code(own),
        root: code("CN-440000"),
        nodes: nodes.iter().map(|text| code(text)).collect(),
        served: HashSet::from([code(own)]),
        kind: None,
        now: Time::parse("2023-10-20T00:00:00Z", "now").unwrap(),
        as_of: Time::parse("2023-10-20T00:00:00Z", "as_of").unwrap(),
        home: code(own),
        with_cells: false,
        token_key: [7; 32],
    }
}

/// Reads files in pieces and takes full batches, as a server does.
fn read(settings: Settings, files: &[(&str, &str)], piece: usize) -> Batch {
    let mut reading = Reading::new(settings);
    let mut all = Batch::default();
    let mut drain = |reading: &mut Reading| {
        while reading.read(&mut |_| Vec::new(), &mut all) == Step::Full {
            TAKEN.with_borrow_mut(|taken| taken.append(&mut all.items));
        }
    };
    for (name, text) in files {
        reading.file(*name);
        for bytes in text.as_bytes().chunks(piece) {
            reading.bytes(bytes);
            drain(&mut reading);
        }
    }
    reading.end();
    drain(&mut reading);
    let mut items = TAKEN.take();
    items.append(&mut all.items);
    Batch { items, ..all }
}

thread_local! {
    static TAKEN: std::cell::RefCell<Vec<Item>> = const { std::cell::RefCell::new(Vec::new()) };
}

fn kinds(batch: &Batch) -> BTreeMap<u32, usize> {
    let mut kinds = BTreeMap::new();
    for item in batch.items.iter().filter(|item| item.rows > 0) {
        *kinds.entry(item.value.kind().0).or_default() += 1;
    }
    kinds
}

fn rows_of(batch: &Batch) -> u64 {
    batch.items.iter().map(|item| u64::from(item.rows)).sum()
}

#[test]
fn a_node_alone_reads_every_row_of_the_data_set() {
    let batch = read(settings("CN-440000", &["CN-440000"]), &FILES, 64 * 1024);
    assert_eq!(batch.rejected, []);
    assert_eq!(batch.counts.skipped, 0);
    let lines: usize = FILES.iter().map(|(_, text)| text.lines().count() - 1).sum();
    assert_eq!((batch.counts.rows, rows_of(&batch)), (lines as u64, lines as u64));
    let expected = [
        (Kind::POINT, 13),
        (Kind::ORG, 210),
        (Kind::MEMBER, 1_203),
        (Kind::GRANT, 3_400),
        (Kind::SERIES, 8),
        (Kind::EVENT_PLAN, 60),
        (Kind::ORG_DETAIL, 4),
        (Kind::GROUP, 11),
        (Kind::GROUP_MEMBER, 363),
    ];
    assert_eq!(kinds(&batch), expected.map(|(kind, count)| (kind.0, count)).into());
}

#[test]
fn the_nodes_of_a_network_read_every_row_once() {
    let nodes = ["CN-440000", "CN-440100", "GB-LON"];
    let batches = nodes.map(|own| read(settings(own, &nodes), &FILES, 1_000));
    let mut ids = HashSet::new();
    for batch in &batches {
        assert_eq!(batch.rejected, []);
        assert_eq!(batch.counts.rows, rows_of(batch) + batch.counts.skipped);
        for item in batch.items.iter().filter(|item| item.rows > 0) {
            assert!(ids.insert((item.value.kind(), item.id)), "{item:?} is read twice");
        }
    }
    let lines: usize = FILES.iter().map(|(_, text)| text.lines().count() - 1).sum();
    assert_eq!(batches.iter().map(rows_of).sum::<u64>(), lines as u64);
    assert_eq!(ids.len(), 13 + 210 + 1_203 + 3_400 + 8 + 60 + 4 + 11 + 363);
}

#[test]
fn what_is_read_does_not_depend_on_how_it_arrives() {
    let whole = read(settings("GB-LON", &["CN-440000", "GB-LON"]), &FILES, 64 * 1024);
    let pieces = read(settings("GB-LON", &["CN-440000", "GB-LON"]), &FILES, 97);
    let sorted = |batch: Batch| {
        let mut items = batch.items;
        items.sort_by_key(|item| (item.value.kind(), item.id));
        (items, batch.counts)
    };
    assert_eq!(sorted(whole), sorted(pieces));
}

#[test]
fn cards_rest_on_the_consents_of_living_members() {
    let batch = read(settings("CN-440000", &["CN-440000"]), &FILES, 64 * 1024);
    let mut network = 0;
    let mut public = 0;
    for item in &batch.items {
        if let Value::Disclosed(disclosed) = &item.value {
            network += usize::from(matches!(disclosed.card, Some((Audience::Network, _))));
            public += usize::from(disclosed.public_card.is_some());
        }
    }
    let holds = |purpose: &str| {
        let grants = GRANTS
            .1
            .lines()
            .filter(|line| line.contains(&format!(",{purpose},")) && line.contains(",given,"));
        let disclosable = |member: &str| {
            MEMBERS.1.lines().any(|line| {
                line.starts_with(&format!("{member},"))
                    && (line.contains(",active,") || line.contains(",resting,"))
            })
        };
        let members: HashSet<&str> = grants.filter_map(|line| line.split(',').nth(1)).collect();
        members.into_iter().filter(|member| disclosable(member)).count()
    };
    assert_eq!(network, holds("profile.network"));
    // Public profiles expire by the day of reading here and there.
    assert!(public > 0 && public <= holds("profile.public"));
}

#[test]
fn talks_carry_their_speakers_by_token_and_their_names_by_release() {
    let batch = read(settings("CN-440000", &["CN-440000"]), &FILES, 64 * 1024);
    let mut tokens = HashSet::new();
    let mut named = 0;
    for item in &batch.items {
        let Value::EventPlan(plan) = &item.value else { continue };
        let Some(public) = disclosure::event(plan) else { continue };
        for appearance in &public.appearances {
            assert_eq!(appearance.member, None);
            named += usize::from(!appearance.display_names.is_empty());
            if appearance.state == AppearanceState::Given {
                assert!(tokens.insert(appearance.token));
            }
        }
    }
    assert_eq!(tokens.len(), 39);
    // 36 released this talk, one all talks.
    assert_eq!(named, 37);
}

#[test]
fn rows_with_faults_stay_out_and_good_ones_go_in() {
    let (name, members) = MEMBERS;
    let lines: Vec<&str> = members.lines().collect();
    let of = |id: &str| *lines.iter().find(|line| line.starts_with(id)).unwrap();
    let text = [
        lines[0].to_owned(),
        of("M-000001,").replace("+8615400000000", "13800"),
        of("M-000002,").replace("440600,+86", "999999,+86"),
        of("M-000003,").to_owned(),
        of("M-000003,").to_owned(),
        of("M-000004,").replace("张伟", "\"张伟"),
        of("M-000005,").to_owned(),
        "M-000006,CN-440100".to_owned(),
        of("M-000588,").to_owned(),
    ]
    .join("\r\n");
    let grants = GRANTS.1.lines().take(3).collect::<Vec<_>>().join("\n")
        + "\nC-9,M-000003,profile.all,,v1,en,web,2020-01-01T00:00:00Z,,given,,\n"
        + "C-10,M-000003,profile.network,,v1,en,web,2024-01-01T00:00:00Z,,given,,";
    let files = [FILES[0], (name, &text), ("grants.csv", &grants), ("notes.csv", "a\n1\n")];
    let batch = read(settings("CN-440000", &["CN-440000"]), &files, 100);
    let rejected: Vec<_> = batch
        .rejected
        .iter()
        .map(|verdict| {
            (&*verdict.file, verdict.row, &*verdict.invalid.field, verdict.invalid.reason)
        })
        .collect();
    assert_eq!(
        rejected,
        [
            ("members.csv", 1, "phone", "phone_malformed"),
            ("members.csv", 2, "city_code", "unknown_region_code"),
            ("members.csv", 4, "member_id", "duplicate_id"),
            ("members.csv", 5, "", "quote_malformed"),
            ("members.csv", 7, "", "too_few_cells"),
            ("grants.csv", 1, "member_id", "member_rejected"),
            ("grants.csv", 2, "member_id", "member_rejected"),
            ("grants.csv", 3, "purpose", "unknown_purpose"),
            ("grants.csv", 4, "given_at", "consent_in_future"),
            ("notes.csv", 0, "", "unknown_table"),
        ]
    );
    let members: Vec<_> = batch
        .items
        .iter()
        .filter_map(|item| match &item.value {
            Value::Member(member) => Some(member.source.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(members, ["M-000003", "M-000005", "M-000588"]);
}

#[test]
fn a_file_that_lacks_a_needed_column_is_not_read() {
    let files = [("members.csv", "member_id,state\nM-1,active\n"), ("points.csv", "point_id\n")];
    let batch = read(settings("CN-440000", &["CN-440000"]), &files, 100);
    let reasons: Vec<_> =
        batch.rejected.iter().map(|verdict| (verdict.row, verdict.invalid.reason)).collect();
    assert_eq!(reasons, [(0, "column_missing"), (0, "table_out_of_order")]);
    assert_eq!(batch.counts, Counts::default());
}

#[test]
fn members_without_their_consents_are_disclosed_from_what_is_stored() {
    let files = [FILES[0], MEMBERS];
    let batch = read(settings("CN-440000", &["CN-440000"]), &files, 64 * 1024);
    let again = batch.items.iter().filter(|item| item.value == Value::Redisclose).count();
    assert_eq!(again, 1_200);
}

#[test]
fn only_the_kind_that_is_asked_for_goes_in() {
    let asked = Settings { kind: Some("event".into()), ..settings("CN-440000", &["CN-440000"]) };
    let batch = read(asked, &FILES, 64 * 1024);
    assert_eq!(kinds(&batch), [(Kind::EVENT_PLAN.0, 60)].into());
    assert_eq!(batch.counts.rows, 60 + 94 + 41);
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]
    #[test]
    fn no_damage_to_a_file_makes_it_panic(at in 0usize..4_000, byte in 0u8..=255, cut in 0usize..3) {
        for (name, text) in FILES {
            let mut bytes = text.as_bytes()[..text.len().min(4_000)].to_vec();
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(bytes.len() - cut * 100);
            let mut reading = Reading::new(settings("CN-440000", &["CN-440000"]));
            let mut batch = Batch::default();
            for (points, text) in &FILES[..1] {
                if *points != name {
                    reading.file(*points);
                    reading.bytes(text.as_bytes());
                }
            }
            reading.file(name);
            reading.bytes(&bytes);
            reading.end();
            while reading.read(&mut |_| Vec::new(), &mut batch) == Step::Full {
                batch.items.clear();
            }
        }
    }
}
