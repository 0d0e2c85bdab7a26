//! A contact point's public entry, and how it opens, pauses and closes.

use std::fmt;

use super::{
    calendar::{Date, ZoneName},
    code::named,
    contact::{Email, Handle, Phone},
    hours::{self, Closure, Hours},
    id::PointCode,
    language::{Language, LocalTexts, languages},
    region::{Region, RegionPrefix},
    text::Invalid,
};

pub const SERVICES_MAX: usize = 64;
pub const AREAS_MAX: usize = 256;
/// Highest priority number of an area.
pub const PRIORITY_MAX: u32 = 1_000;

named! {
    /// What sort of point it is.
    PointKind, "unknown_point_kind";
    Province = 1 "province",
    City = 2 "city",
    Partner = 3 "partner",
    Overseas = 4 "overseas",
}

named! {
    /// Where a point stands in its life.
    PointState, "unknown_point_state";
    Proposed = 1 "proposed",
    Active = 2 "active",
    Paused = 3 "paused",
    Closed = 4 "closed",
}

/// What can happen to a point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PointMove {
    Open,
    Pause,
    Resume,
    Close,
}

impl PointState {
    /// The only way a point moves on. A move not listed here is refused, with those that are.
    pub fn after(self, step: PointMove) -> Result<PointState, Invalid> {
        let refused = || Invalid::new("state", "move_refused").hint(self.ways());
        self.moved(step).ok_or_else(refused)
    }

    /// What a file may lead to: one move of the table, or none.
    pub fn moved_to(self, to: PointState) -> Result<PointState, Invalid> {
        use PointMove::*;
        let mut steps = [Open, Pause, Resume, Close].into_iter();
        if self == to || steps.any(|step| self.moved(step) == Some(to)) {
            return Ok(to);
        }
        Err(Invalid::new("state", "move_refused").hint(self.ways()))
    }

    fn moved(self, step: PointMove) -> Option<PointState> {
        use {PointMove::*, PointState::*};
        match (self, step) {
            (Proposed, Open) => Some(Active),
            (Active, Pause) => Some(Paused),
            (Paused, Resume) => Some(Active),
            (Proposed | Active | Paused, Close) => Some(Closed),
            _ => None,
        }
    }

    /// Where the state can go from here, for people.
    pub fn ways(self) -> String {
        use PointMove::*;
        let ways = [Open, Pause, Resume, Close].map(|step| self.moved(step));
        let ways: Vec<&str> = ways.into_iter().flatten().map(PointState::name).collect();
        let ways = if ways.is_empty() { "none".to_owned() } else { ways.join(", ") };
        format!("{} -> {ways}", self.name())
    }
}

/// One area that a point serves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Area {
    pub prefix: RegionPrefix,
    /// Only for these languages; empty: all.
    pub languages: Vec<Language>,
    /// Among equal prefixes the lowest goes first.
    pub priority: u32,
}

impl Area {
    /// Reads `44`, `GB:en+zh-Hans` for some languages only, and `GBLON@2` with a priority.
    pub fn parse(text: &str, field: &str) -> Result<Area, Invalid> {
        let (rest, priority) = text.split_once('@').unwrap_or((text, "0"));
        let (prefix, tags) = rest.split_once(':').unwrap_or((rest, ""));
        let priority: u32 = priority.parse().map_err(|_| Invalid::new(field, "not_a_number"))?;
        if priority > PRIORITY_MAX {
            return Err(Invalid::new(field, "too_large"));
        }
        let tags = tags.split('+').filter(|tag| !tag.is_empty());
        let languages = languages(tags, field)?;
        Ok(Area { prefix: RegionPrefix::parse(prefix, field)?, languages, priority })
    }
}

impl fmt::Display for Area {
    /// As `parse` reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.prefix.as_str())?;
        for (at, language) in self.languages.iter().enumerate() {
            write!(f, "{}{}", if at == 0 { ':' } else { '+' }, language.as_str())?;
        }
        if self.priority > 0 { write!(f, "@{}", self.priority) } else { Ok(()) }
    }
}

/// Most ways to a point's desk.
pub const CONTACTS_MAX: usize = 16;

/// A way to a point's desk for staff of other points: of an office, not of a person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeskContact {
    pub names: LocalTexts,
    pub phone: Option<Phone>,
    pub email: Option<Email>,
}

/// What points know of a point.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PointDetail {
    pub contacts: Vec<DeskContact>,
    /// Services that are for other points' staff, not for the public.
    pub services: Vec<String>,
}

impl PointDetail {
    pub fn checked(self) -> Result<PointDetail, Invalid> {
        for contact in &self.contacts {
            if contact.names.is_empty() {
                return Err(Invalid::new("contacts.names", "required"));
            }
            if contact.phone.is_none() && contact.email.is_none() {
                return Err(Invalid::new("contacts.phone", "required").hint("or an e-mail address"));
            }
        }
        Ok(self)
    }
}

/// What only the point itself knows of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PointNotes {
    pub capacity: LocalTexts,
}

/// The short name of a point in help references: two to five capitals or digits, a capital first.
pub fn short_name(text: &str, field: &str) -> Result<String, Invalid> {
    let good = (2..=5).contains(&text.len())
        && text.as_bytes()[0].is_ascii_uppercase()
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    if good { Ok(text.to_owned()) } else { Err(Invalid::new(field, "short_name_malformed")) }
}

/// A contact point as anybody may see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Point {
    pub code: PointCode,
    pub short: String,
    pub kind: PointKind,
    pub state: PointState,
    pub names: LocalTexts,
    pub region: Region,
    /// Decides which transfers are allowed, not the service area.
    pub registered_region: Region,
    pub parent: Option<PointCode>,
    /// The point whose node serves it.
    pub node: PointCode,
    pub time_zone: ZoneName,
    pub languages: Vec<Language>,
    pub services: Vec<String>,
    pub areas: Vec<Area>,
    pub hours: Vec<Hours>,
    pub closures: Vec<Closure>,
    pub phone: Option<Phone>,
    pub email: Option<Email>,
    pub channels: Vec<Handle>,
    pub opened_on: Option<Date>,
    pub verified_on: Option<Date>,
    pub paused_from: Option<Date>,
    pub paused_to: Option<Date>,
    pub cover: Option<PointCode>,
    pub closed_on: Option<Date>,
    pub successor: Option<PointCode>,
    pub source: String,
    /// Who vouches for the entry; empty: its home.
    pub asserted_by: String,
    /// Short names that it had before, the oldest first.
    pub former_shorts: Vec<String>,
}

/// Short names of one point's past that are kept.
pub const FORMER_SHORTS_MAX: usize = 16;

impl Point {
    /// The entry in place of an earlier one: references under a short name that it had lead here still.
    pub fn in_place_of(mut self, known: &Point) -> Point {
        let mut former = known.former_shorts.clone();
        former.push(known.short.clone());
        former.retain(|short| *short != self.short);
        former.dedup();
        self.former_shorts = former.split_off(former.len().saturating_sub(FORMER_SHORTS_MAX));
        self
    }

    /// The points that this one names to stand in for it, with the field that names each.
    pub fn named_points(&self) -> impl Iterator<Item = (&'static str, &PointCode)> {
        let closures = self.closures.iter().filter_map(|closure| closure.cover.as_ref());
        let cover = self.cover.iter().map(|code| ("cover", code));
        let successor = self.successor.iter().map(|code| ("successor", code));
        closures.map(|code| ("closures.cover", code)).chain(cover).chain(successor)
    }

    /// Whoever pauses names who stands in. Asked where an entry is written, not where one is read: older
    /// entries may lack it.
    pub fn check_cover(&self) -> Result<(), Invalid> {
        match self.state == PointState::Paused && self.cover.is_none() {
            true => Err(Invalid::new("cover", "required")),
            false => Ok(()),
        }
    }

    /// What no field can say alone.
    pub fn checked(self) -> Result<Point, Invalid> {
        let required = |missing: bool, field| match missing {
            true => Err(Invalid::new(field, "required")),
            false => Ok(()),
        };
        required(self.names.is_empty(), "names")?;
        required(self.state == PointState::Closed && self.closed_on.is_none(), "closed_on")?;
        if self.successor.as_ref() == Some(&self.code) {
            return Err(Invalid::new("successor", "is_itself"));
        }
        if self.parent.as_ref() == Some(&self.code) {
            return Err(Invalid::new("parent", "is_itself"));
        }
        if self.cover.as_ref() == Some(&self.code) {
            return Err(Invalid::new("cover", "is_itself"));
        }
        if self.closures.iter().any(|closure| closure.cover.as_ref() == Some(&self.code)) {
            return Err(Invalid::new("closures.cover", "is_itself"));
        }
        for (n, area) in self.areas.iter().enumerate() {
            let same =
                |other: &&Area| other.prefix == area.prefix && other.languages == area.languages;
            if let Some(other) = self.areas[..n].iter().find(same) {
                return Err(Invalid::new("areas", "twice").hint(other.prefix.as_str()));
            }
        }
        if let (Some(from), Some(to)) = (self.paused_from, self.paused_to)
            && to < from
        {
            return Err(Invalid::new("paused_to", "end_before_start"));
        }
        Ok(Point { hours: hours::checked(self.hours, "hours")?, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_area_is_written_as_it_is_read() {
        for text in ["44", "GB:en+zh-Hans", "GBLON@2", "4401:yue@7"] {
            assert_eq!(Area::parse(text, "areas").unwrap().to_string(), text);
        }
        for (text, reason) in [
            ("99", "unknown_region_code"),
            ("44@x", "not_a_number"),
            ("44@1001", "too_large"),
            ("44:xx-yy-zz-1", "unknown_language"),
        ] {
            assert_eq!(Area::parse(text, "areas").unwrap_err().reason, reason, "{text}");
        }
    }

    #[test]
    fn a_closed_point_stays_closed() {
        for step in [PointMove::Open, PointMove::Pause, PointMove::Resume, PointMove::Close] {
            assert_eq!(PointState::Closed.after(step).unwrap_err().reason, "move_refused");
        }
        assert_eq!(PointState::Active.after(PointMove::Pause), Ok(PointState::Paused));
        let refused = PointState::Active.after(PointMove::Open).unwrap_err();
        assert_eq!(refused.hint, "active -> paused, closed");
        assert_eq!(PointState::Closed.ways(), "closed -> none");
    }

    #[test]
    fn short_names_fit_into_a_reference() {
        assert!(short_name("LON2", "short").is_ok());
        for bad in ["", "G", "gz", "2GZ", "TOOLONG", "G-Z"] {
            assert!(short_name(bad, "short").is_err(), "{bad}");
        }
    }
}
