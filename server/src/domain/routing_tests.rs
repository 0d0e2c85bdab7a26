use super::*;
use crate::domain::{calendar::ZoneName, region::RegionPrefix};

fn desk(code: &str, areas: &[&str], languages: &[&str], zone: &str) -> Desk {
    let code: PointCode = code.parse().unwrap();
    let zone = ZoneName::parse(zone, "tz").unwrap().zone();
    let hours = vec![Hours::parse("mon-fri 09:00-17:00", "hours").unwrap()];
    let area = |text: &&str| Area {
        prefix: RegionPrefix::parse(text, "areas").unwrap(),
        languages: Vec::new(),
        priority: 0,
    };
    Desk {
        short: "X".into(),
        former_shorts: Vec::new(),
        names: LocalTexts::default(),
        state: PointState::Active,
        areas: areas.iter().map(area).collect(),
        services: vec!["medical_advice".into(), "documents".into()],
        languages: languages.iter().map(|tag| Language::parse(tag, "l").unwrap()).collect(),
        working: Desk::working_time(&code, &zone, &hours, &[]),
        zone,
        hours,
        closures: Vec::new(),
        paused: None,
        cover: None,
        closed_on: None,
        code,
    }
}

fn network() -> Vec<Desk> {
    vec![
        desk("CN-440000", &["44", "CN"], &["zh-Hans", "en"], "Asia/Shanghai"),
        desk("CN-440100", &["4401"], &["zh-Hans"], "Asia/Shanghai"),
        desk("GB-LON", &["GB", "IE"], &["zh-Hans", "en"], "Europe/London"),
        desk("AU-SYD", &["AU"], &["zh-Hans", "en"], "Australia/Sydney"),
    ]
}

fn duty() -> PointCode {
    "CN-440000".parse().unwrap()
}

fn ask(region: &str, language: &str, at: &str) -> Ask {
    Ask {
        region: Region::parse(region, "region").unwrap(),
        category: HelpCategory::MedicalAdvice,
        language: Language::parse(language, "lang").unwrap(),
        urgency: Urgency::Normal,
        at: Time(at.parse::<jiff::Timestamp>().unwrap().as_microsecond()),
    }
}

const NOON: &str = "2023-03-14T12:00:00Z";

#[test]
fn the_smallest_area_decides_and_says_why() {
    let decided = route(&network(), &duty(), &ask("GBLON", "zh-Hans", NOON));
    assert_eq!(decided.owner.as_str(), "GB-LON");
    assert_eq!(decided.route.rule, "area=GB category=medical_advice lang=zh-Hans");
    assert!(decided.route.reason.starts_with("because area GB + category + zh"));
    assert!(decided.route.reason.contains("依据地区"));
    let decided = route(&network(), &duty(), &ask("440100", "en", NOON));
    assert_eq!(decided.owner.as_str(), "CN-440100");
    assert_eq!(decided.route.reason, "because area 4401 + category");
    assert_eq!(decided.route.alternatives[0].point, "CN-440000");
    let decided = route(&network(), &duty(), &ask("445300", "zh-Hans", NOON));
    assert_eq!(decided.owner.as_str(), "CN-440000");
}

#[test]
fn what_nobody_covers_goes_to_the_duty_desk() {
    let decided = route(&network(), &duty(), &ask("KE", "en", NOON));
    assert_eq!(decided.owner, duty());
    assert!(decided.is_fallback);
    assert_eq!(decided.route.rule, "fallback: no area covers KE");
    assert!(decided.route.reason.starts_with("no point covers KE"));
    assert_eq!(route(&[], &duty(), &ask("GB", "en", NOON)).owner, duty());
}

#[test]
fn a_closed_point_hands_over_to_its_cover() {
    let mut desks = network();
    desks[2].closures = vec![Closure::parse("2023-12-25..2023-12-29 AU-SYD", "closures").unwrap()];
    let christmas = ask("GB", "zh-Hans", "2023-12-26T12:00:00Z");
    let decided = route(&desks, &duty(), &christmas);
    assert_eq!(decided.owner.as_str(), "AU-SYD");
    assert!(decided.route.reason.contains("GB-LON is closed until 2023-12-29, AU-SYD covers"));
    assert_eq!(route(&desks, &duty(), &ask("GB", "zh-Hans", NOON)).owner.as_str(), "GB-LON");
    // Two that cover each other cover nothing: the duty desk does.
    desks[3].closures = vec![Closure::parse("2023-12-25..2023-12-29 GB-LON", "closures").unwrap()];
    assert_eq!(route(&desks, &duty(), &christmas).owner, duty());
}

#[test]
fn a_pause_lasts_as_long_as_it_says() {
    let mut desks = network();
    desks[2].state = PointState::Paused;
    desks[2].cover = Some("AU-SYD".parse().unwrap());
    assert_eq!(route(&desks, &duty(), &ask("GB", "en", NOON)).owner.as_str(), "AU-SYD");
    let day = |text| crate::domain::calendar::date(text, "d").unwrap();
    desks[2].paused = Some((day("2023-10-16"), day("2023-11-15")));
    assert_eq!(route(&desks, &duty(), &ask("GB", "en", NOON)).owner.as_str(), "GB-LON");
}

#[test]
fn a_closed_point_is_asked_no_more_and_a_language_can_bind_an_area() {
    let mut desks = network();
    desks[2].state = PointState::Closed;
    assert_eq!(route(&desks, &duty(), &ask("GB", "en", NOON)).owner, duty());
    let mut desks = network();
    desks[2].areas[0].languages = vec![Language::parse("zh-Hans", "l").unwrap()];
    assert_eq!(route(&desks, &duty(), &ask("GB", "en", NOON)).owner, duty());
    assert_eq!(route(&desks, &duty(), &ask("GB", "zh-Hant", NOON)).owner.as_str(), "GB-LON");
}

#[test]
fn where_it_is_pressing_and_the_owner_sleeps_open_points_are_named() {
    let mut night = ask("GB", "zh-Hans", "2023-03-14T01:30:00Z");
    night.urgency = Urgency::Urgent;
    let decided = route(&network(), &duty(), &night);
    assert_eq!(decided.owner.as_str(), "GB-LON");
    let open: Vec<_> =
        decided.route.alternatives.iter().filter(|one| one.note == "open_now").collect();
    assert!(open.iter().any(|one| one.point == "AU-SYD"));
}

#[test]
fn who_is_chosen_by_a_client_has_to_take_requests_or_be_covered() {
    let at = ask("GB", "en", NOON).at;
    let by_choice = |desks: &[Desk], wish: &str| {
        let (desk, reason) = chosen(desks, &wish.parse().unwrap(), at)?;
        Some((desk.code.to_string(), reason))
    };
    let mut desks = network();
    let (owner, reason) = by_choice(&desks, "GB-LON").unwrap();
    assert_eq!((&*owner, &*reason), ("GB-LON", "because the client chose GB-LON"));
    assert_eq!(by_choice(&desks, "FR-PAR"), None, "nobody");
    desks[2].state = PointState::Paused;
    assert_eq!(by_choice(&desks, "GB-LON"), None, "nobody stands in");
    desks[2].cover = Some("AU-SYD".parse().unwrap());
    let (owner, reason) = by_choice(&desks, "GB-LON").unwrap();
    assert_eq!(owner, "AU-SYD");
    assert_eq!(reason, "because the client chose GB-LON; GB-LON is closed, AU-SYD covers");
    for state in [PointState::Proposed, PointState::Closed] {
        desks[2].state = state;
        assert_eq!(by_choice(&desks, "GB-LON"), None, "{state:?}");
    }
}
