//! An organisation that members and events have to do with, and what it reports of itself.

use super::{
    calendar::Date, code::named, contact::Email, language::LocalTexts, region::Region,
    text::Invalid,
};

/// Most reported figures of one organisation.
pub const FIGURES_MAX: usize = 500;
/// Largest reported value, either way.
pub const VALUE_MAX: i64 = 1_000_000_000_000_000;

named! {
    /// What sort of organisation it is.
    OrgType, "unknown_org_type";
    Park = 1 "park",
    University = 2 "university",
    Institute = 3 "institute",
    Department = 4 "department",
    Association = 5 "association",
    Company = 6 "company",
}

/// An organisation as anybody may see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Org {
    pub kind: OrgType,
    pub names: LocalTexts,
    pub region: Region,
    /// Section of ISIC Rev. 4.
    pub sector: Option<char>,
    pub url: String,
    pub source: String,
    /// Who vouches for the entry; empty: its home.
    pub asserted_by: String,
    pub verified_on: Option<Date>,
}

/// Checks a section of ISIC Rev. 4: `A` to `U`; empty is none.
pub fn sector(text: &str, field: &str) -> Result<Option<char>, Invalid> {
    match text.as_bytes() {
        [] => Ok(None),
        [letter @ b'A'..=b'U'] => Ok(Some(char::from(*letter))),
        _ => Err(Invalid::new(field, "unknown_sector")),
    }
}

impl Org {
    /// What no field can say alone.
    pub fn checked(self) -> Result<Org, Invalid> {
        if self.names.is_empty() {
            return Err(Invalid::new("names", "required"));
        }
        Ok(self)
    }
}

/// A number that somebody has reported; never counted by us.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Figure {
    /// Code of what is counted.
    pub metric: String,
    pub value: i64,
    /// Code of the unit; may be empty.
    pub unit: String,
    /// Who says so; never empty.
    pub source: String,
    pub as_of: Date,
}

impl Figure {
    pub fn checked(self) -> Result<Figure, Invalid> {
        if self.source.is_empty() {
            return Err(Invalid::new("source", "required"));
        }
        if !(0..=VALUE_MAX).contains(&self.value) {
            let reason = if self.value < 0 { "negative" } else { "too_large" };
            return Err(Invalid::new("value", reason));
        }
        Ok(self)
    }
}

/// What points know of an organisation.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OrgDetail {
    /// By metric, oldest first; one per metric and day.
    figures: Vec<Figure>,
    /// Of an office, not of a person.
    pub contact_mailbox: Option<Email>,
}

impl OrgDetail {
    pub fn figures(&self) -> &[Figure] {
        &self.figures
    }

    /// Enters a figure in place of what was said for the same day.
    pub fn report(&mut self, figure: Figure) -> Result<(), Invalid> {
        let key = |figure: &Figure| (figure.metric.clone(), figure.as_of);
        let place = self.figures.partition_point(|known| key(known) < key(&figure));
        if self.figures.get(place).is_some_and(|known| key(known) == key(&figure)) {
            self.figures[place] = figure;
        } else if self.figures.len() >= FIGURES_MAX {
            return Err(Invalid::new("figures", "too_many"));
        } else {
            self.figures.insert(place, figure);
        }
        Ok(())
    }

    /// What was reported last of a metric, up to a day.
    pub fn latest(&self, metric: &str, on: Date) -> Option<&Figure> {
        self.figures.iter().rfind(|figure| figure.metric == metric && figure.as_of <= on)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::calendar::date;

    #[test]
    fn the_latest_word_counts_and_the_same_day_is_said_once() {
        let figure = |value, day| Figure {
            metric: "companies".into(),
            value,
            unit: String::new(),
            source: "office".into(),
            as_of: date(day, "day").unwrap(),
        };
        let mut detail = OrgDetail::default();
        for (value, day) in [(163, "2023-06-30"), (138, "2021-06-30"), (150, "2022-06-30")] {
            detail.report(figure(value, day)).unwrap();
        }
        detail.report(figure(151, "2022-06-30")).unwrap();
        let latest = |day| detail.latest("companies", date(day, "day").unwrap()).map(|at| at.value);
        assert_eq!(latest("2023-10-20"), Some(163));
        assert_eq!(latest("2022-12-31"), Some(151));
        assert_eq!(latest("2020-12-31"), None);
        assert_eq!(detail.latest("jobs", date("2023-10-20", "day").unwrap()), None);
        assert_eq!(figure(-1, "2023-01-01").checked().unwrap_err().reason, "negative");
    }
}
