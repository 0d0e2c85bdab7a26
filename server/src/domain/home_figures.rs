//! What a home counts of rows that do not leave it: numbers alone, so that every point can add them up.

use super::{calendar::Date, code::code, text::Invalid};

/// Most cells of one home.
pub const CELLS_MAX: usize = 1_000;

/// Distinct members whose part in the speaker pool is active, and whom the network may see.
pub const SPEAKER_POOL: &str = "speaker_pool";
/// Distinct members who hold a public office.
pub const SEAT_HOLDERS: &str = "seat_holders";
/// Distinct persons who are appointed as key contacts.
pub const KEY_CONTACTS: &str = "key_contacts_distinct";
/// Places of key contacts: somebody of two cohorts has two.
pub const COHORT_SEATS: &str = "cohort_seats";
/// Training cohorts that are planned, running or over.
pub const COHORTS: &str = "cohorts";
/// What organisations have reported last.
pub const COMPANIES: &str = "companies_reported";

/// One number of a home.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cell {
    pub metric: String,
    /// The day from which it holds; none: what is known today, whatever day is asked for.
    pub since: Option<Date>,
    pub value: u64,
    /// Somebody has stated it; it is not counted.
    pub is_reported: bool,
}

/// All numbers of a home: by metric and day.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct HomeFigures {
    cells: Vec<Cell>,
}

impl HomeFigures {
    /// Cells in any order; one per metric and day.
    pub fn new(mut cells: Vec<Cell>) -> Result<HomeFigures, Invalid> {
        if cells.len() > CELLS_MAX {
            return Err(Invalid::new("cells", "too_many"));
        }
        for cell in &cells {
            code(&cell.metric, "cells.metric")?;
        }
        let key = |cell: &Cell| (cell.metric.clone(), cell.since);
        cells.sort_by_key(key);
        if cells.windows(2).any(|pair| key(&pair[0]) == key(&pair[1])) {
            return Err(Invalid::new("cells", "twice"));
        }
        Ok(HomeFigures { cells })
    }

    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// Is there anything to say?
    pub fn is_empty(&self) -> bool {
        self.cells.iter().all(|cell| cell.value == 0)
    }

    /// The number on a day: the newest that holds by then.
    pub fn on(&self, metric: &str, day: Date) -> u64 {
        let holds =
            |cell: &&Cell| cell.metric == metric && cell.since.is_none_or(|since| since <= day);
        self.cells.iter().rfind(holds).map_or(0, |cell| cell.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::calendar::date;

    fn cell(metric: &str, since: Option<&str>, value: u64) -> Cell {
        let since = since.map(|day| date(day, "day").unwrap());
        Cell { metric: metric.into(), since, value, is_reported: false }
    }

    #[test]
    fn a_number_holds_from_its_day_on() {
        let figures = HomeFigures::new(vec![
            cell("companies", Some("2023-06-30"), 163),
            cell("pool", None, 7),
            cell("companies", Some("2021-06-30"), 138),
        ]);
        let figures = figures.unwrap();
        let on = |metric, day| figures.on(metric, date(day, "day").unwrap());
        assert_eq!(on("companies", "2021-06-29"), 0);
        assert_eq!(on("companies", "2023-06-29"), 138);
        assert_eq!(on("companies", "2023-06-30"), 163);
        assert_eq!(on("pool", "1999-01-01"), 7);
        assert_eq!(on("other", "2023-06-30"), 0);
    }

    #[test]
    fn a_metric_has_one_number_a_day() {
        let twice = HomeFigures::new(vec![cell("pool", None, 7), cell("pool", None, 8)]);
        assert_eq!(twice.unwrap_err().reason, "twice");
        assert_eq!(
            HomeFigures::new(vec![cell("Pool", None, 7)]).unwrap_err().field,
            "cells.metric"
        );
        assert!(HomeFigures::new(vec![cell("pool", None, 0)]).unwrap().is_empty());
    }
}
