//! Places by code: GB/T 2260 on the mainland, ISO 3166-1 for areas, UN/LOCODE for cities abroad.
//!
//! The table is shipped, not typed: a code that is not in it is refused.

use std::{collections::HashMap, fmt, sync::LazyLock};

use super::{
    id::PointCode,
    text::{self, Invalid},
};

/// State of 2023-06-30 for the mainland; UN/LOCODE 2023-1.
const TABLE: &str = include_str!("../../data/regions.csv");

/// How large a place is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    Province,
    Prefecture,
    /// Holds counties together and is no place of its own: `110100`.
    Grouping,
    /// A county directly under its province: `429004`.
    CountyDirect,
    /// An ISO 3166-1 entry.
    Area,
    /// A city abroad.
    City,
}

/// A row of the table.
#[derive(Debug)]
pub struct Entry {
    pub code: &'static str,
    pub level: Level,
    pub name_zh: &'static str,
    pub name_en: &'static str,
    pub parent: Option<&'static str>,
    /// IANA zone, where there is exactly one.
    pub time_zone: Option<&'static str>,
    /// In the order in which they are shown.
    pub emergency_numbers: Vec<&'static str>,
    pub in_bay_area: bool,
}

/// A place in the table. Copies are cheap, and two are equal if their codes are.
#[derive(Clone, Copy)]
pub struct Region(&'static Entry);

impl Region {
    /// Reads a code or one of its other spellings: `CN-HK` and `810000` are `HK`.
    pub fn parse(text: &str, field: &str) -> Result<Region, Invalid> {
        find(&text::seen(text)).ok_or_else(|| Invalid::new(field, "unknown_region_code"))
    }

    pub fn code(self) -> &'static str {
        self.0.code
    }

    pub fn entry(self) -> &'static Entry {
        self.0
    }

    /// The shortest prefix that means this place: `44`, `4401`, `429004`, `GB`, `GBLON`.
    pub fn prefix(self) -> &'static str {
        shortest(self.0.code)
    }

    /// This place and all that it lies in, smallest first, as prefixes: `4401`, `44`, `CN`.
    pub fn prefixes(self) -> impl Iterator<Item = &'static str> {
        let code = self.0.code;
        let digits = code.as_bytes()[0].is_ascii_digit();
        let county = (digits && !code.ends_with("00")).then_some(code);
        let prefecture = (digits && &code[2..4] != "00").then(|| &code[..4]);
        let province = digits.then(|| &code[..2]);
        let city = (!digits && code.len() == 5).then_some(code);
        let country = if digits { "CN" } else { &code[..2] };
        // Hong Kong, Macao and Taiwan are areas of ISO 3166-1 under CN.
        let above = if digits || city.is_some() { None } else { self.0.parent };
        [county, prefecture, province, city, Some(country), above].into_iter().flatten()
    }

    pub fn jurisdiction(self) -> Jurisdiction {
        let code = self.0.code;
        if code.as_bytes()[0].is_ascii_digit() {
            Jurisdiction("CN")
        } else {
            Jurisdiction(&code[..2])
        }
    }
}

impl PartialEq for Region {
    fn eq(&self, other: &Region) -> bool {
        self.0.code == other.0.code
    }
}

impl Eq for Region {}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.code)
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.code)
    }
}

/// Whose law a place is under: `CN` is the mainland alone; HK and MO stand for themselves, and so
/// does every country.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Jurisdiction(&'static str);

impl Jurisdiction {
    pub fn code(self) -> &'static str {
        self.0
    }
}

/// A prefix of region codes in its shortest form, as areas of points and filters use it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RegionPrefix(&'static str);

impl RegionPrefix {
    /// Reads `44`, `4401`, `440000`, `GB`, `GBLON` and the other spellings of `Region::parse`.
    pub fn parse(text: &str, field: &str) -> Result<RegionPrefix, Invalid> {
        let entry = match text.len() {
            2 | 4 if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                let mut code = *b"000000";
                code[..text.len()].copy_from_slice(text.as_bytes());
                std::str::from_utf8(&code).ok().and_then(find)
            }
            _ => find(text),
        };
        entry
            .map(|region| RegionPrefix(region.prefix()))
            .ok_or_else(|| Invalid::new(field, "unknown_region_code"))
    }

    pub fn as_str(&self) -> &'static str {
        self.0
    }

    /// Does the place lie in it, or is it the place?
    pub fn covers(&self, region: Region) -> bool {
        region.prefixes().any(|prefix| prefix == self.0)
    }
}

/// Looks a code up, or an alias of it.
pub fn find(code: &str) -> Option<Region> {
    REGIONS.get(code).copied()
}

/// Looks a Chinese or English name up, with or without 市: places that bear it alone. A name of
/// several places says nothing.
pub fn named(name: &str) -> Option<Region> {
    NAMES.get(name).copied().flatten()
}

/// None: the name is that of several places.
static NAMES: LazyLock<HashMap<&'static str, Option<Region>>> = LazyLock::new(|| {
    let mut names: HashMap<&'static str, Option<Region>> = HashMap::new();
    for entry in ENTRIES.iter().filter(|entry| entry.level != Level::Grouping) {
        let region = REGIONS[entry.code];
        let short = entry.name_zh.strip_suffix('市');
        for name in [Some(entry.name_zh), Some(entry.name_en), short].into_iter().flatten() {
            names
                .entry(name)
                .and_modify(|known| {
                    if *known != Some(region) {
                        *known = None;
                    }
                })
                .or_insert(Some(region));
        }
    }
    names
});

/// Refuses a new point at a place that is not in the table. Of cities abroad it holds a few only, so
/// there the country decides.
pub fn place_of_point(point: &PointCode) -> Result<(), Invalid> {
    let mut parts = point.as_str().split('-');
    let country = parts.next().unwrap_or_default();
    let place = match country {
        "CN" => parts.next().unwrap_or_default(),
        country => country,
    };
    Region::parse(place, "point").map(|_| ())
}

/// Every place once, in the order of the table.
pub fn all() -> impl Iterator<Item = Region> {
    ENTRIES.iter().map(Region)
}

static ENTRIES: LazyLock<Vec<Entry>> =
    LazyLock::new(|| TABLE.lines().skip(1).filter_map(entry).collect());

static REGIONS: LazyLock<HashMap<&'static str, Region>> = LazyLock::new(|| {
    let mut regions = HashMap::with_capacity(ENTRIES.len() * 2);
    for entry in ENTRIES.iter() {
        regions.insert(entry.code, Region(entry));
    }
    // Aliases last: HK, MO and TW stand twice, and their ISO code is the one that is kept.
    for line in TABLE.lines().skip(1) {
        let cells = cells(line);
        let [code, scheme, aliases] = [0, 1, 6].map(|at| cells.get(at).copied().unwrap_or(""));
        if scheme == "GB2260" {
            continue;
        }
        let region = regions[code];
        for alias in aliases.split(' ').filter(|alias| !alias.is_empty()) {
            regions.insert(alias, region);
        }
    }
    regions
});

fn entry(line: &'static str) -> Option<Entry> {
    let cells = cells(line);
    let &[code, _, level, name_zh, name_en, parent, _, time_zone, numbers, tags] = &cells[..]
    else {
        return None;
    };
    let level = match level {
        "province" => Level::Province,
        "prefecture" => Level::Prefecture,
        "grouping" => Level::Grouping,
        "county_direct" => Level::CountyDirect,
        "area" => Level::Area,
        "city" => Level::City,
        _ => return None,
    };
    Some(Entry {
        code,
        level,
        name_zh,
        name_en,
        parent: (!parent.is_empty()).then_some(parent),
        time_zone: (!time_zone.is_empty()).then_some(time_zone),
        emergency_numbers: numbers.split(' ').filter(|number| !number.is_empty()).collect(),
        in_bay_area: tags.contains("bay_area"),
    })
}

/// The table quotes a cell only for its commas; nothing in it is escaped.
fn cells(line: &'static str) -> Vec<&'static str> {
    let mut cells = Vec::with_capacity(10);
    let mut rest = line;
    loop {
        let (cell, after) = match rest.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
            Some((cell, after)) => (cell, after.strip_prefix(',')),
            None => match rest.split_once(',') {
                Some((cell, after)) => (cell, Some(after)),
                None => (rest, None),
            },
        };
        cells.push(cell);
        match after {
            Some(after) => rest = after,
            None => return cells,
        }
    }
}

fn shortest(code: &'static str) -> &'static str {
    if !code.as_bytes()[0].is_ascii_digit() || !code.ends_with("00") {
        code
    } else if &code[2..] == "0000" {
        &code[..2]
    } else {
        &code[..4]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_lies_at_a_place_of_the_table() {
        let place = |code: &str| place_of_point(&code.parse().unwrap()).map_err(|no| no.reason);
        for code in ["CN-440000", "CN-440100-2", "HK", "MO-2", "GB-LON", "US-BOS-2", "IE-DUB"] {
            assert_eq!(place(code), Ok(()), "{code}");
        }
        for code in ["CN-999999", "CN-445500", "XX-LON"] {
            assert_eq!(place(code), Err("unknown_region_code"), "{code}");
        }
    }

    #[test]
    fn every_line_of_the_table_is_read() {
        assert_eq!(ENTRIES.len(), TABLE.lines().count() - 1);
        assert_eq!(find("445300").unwrap().entry().name_en, "Yunfu");
        assert_eq!(find("HK").unwrap().entry().name_en, "Hong Kong, China");
    }

    #[test]
    fn a_place_lies_in_its_province_and_its_country() {
        let prefixes = |code| find(code).unwrap().prefixes().collect::<Vec<_>>();
        assert_eq!(prefixes("440100"), ["4401", "44", "CN"]);
        assert_eq!(prefixes("440000"), ["44", "CN"]);
        assert_eq!(prefixes("429004"), ["429004", "4290", "42", "CN"]);
        assert_eq!(prefixes("GBLON"), ["GBLON", "GB"]);
        assert_eq!(prefixes("HK"), ["HK", "CN"]);
        assert_eq!(prefixes("CN"), ["CN"]);
    }

    #[test]
    fn other_spellings_mean_the_same_place() {
        assert_eq!(find("CN-HK"), find("HK"));
        assert_eq!(find("810000"), find("HK"));
        assert_eq!(find("GB-LON"), find("GBLON"));
        assert_eq!(RegionPrefix::parse("440000", "region").unwrap().as_str(), "44");
        assert_eq!(RegionPrefix::parse("4401", "region").unwrap().as_str(), "4401");
    }

    #[test]
    fn a_name_means_one_place_or_none() {
        let code = |name| named(name).map(Region::code);
        assert_eq!(code("广州市"), Some("440100"));
        assert_eq!(code("广州"), Some("440100"));
        assert_eq!(code("云浮市"), Some("445300"));
        assert_eq!(code("英国"), Some("GB"));
        assert_eq!([code("穗"), code("不列颠"), code("")], [None, None, None]);
    }

    #[test]
    fn unknown_codes_are_refused() {
        for code in ["", "999999", "445500", "99", "XX", "广州", "44010", "gb"] {
            assert_eq!(
                Region::parse(code, "region_code").unwrap_err().reason,
                "unknown_region_code"
            );
            assert!(RegionPrefix::parse(code, "region").is_err(), "{code}");
        }
    }

    #[test]
    fn hong_kong_is_not_under_the_law_of_the_mainland() {
        let of = |code| find(code).unwrap().jurisdiction().code();
        assert_eq!([of("440100"), of("HK"), of("MO"), of("GBLON")], ["CN", "HK", "MO", "GB"]);
        assert!(find("441200").unwrap().entry().in_bay_area);
        assert!(!find("445300").unwrap().entry().in_bay_area);
    }
}
