//! A row of a table: cells by the name of their column.

use std::collections::HashMap;

use super::{
    csv::Cells,
    persons::USUAL_COLUMNS,
    table::{FileHead, Table},
};
use crate::domain::{
    calendar::{self, Date},
    language::{Language, LocalTexts},
    text::{self, Invalid},
    time::Time,
};

/// Joins several values in one cell.
const SEPARATOR: char = ';';

/// Where a column is in a file, if it is there, and how it is called in verdicts.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub name: &'static str,
    pub(super) at: Option<usize>,
}

/// The header row of a file.
pub struct Header {
    /// As the table has them.
    names: Vec<String>,
    /// As the file has them.
    shown: Vec<String>,
    /// Column of the table, value of the file: value of the table.
    values: HashMap<(String, String), String>,
    /// Rows may lack their last cells, and whole rows may be blank.
    is_lenient: bool,
}

impl Header {
    /// Reads the header of a file. `file` says how its columns are called; of those that a person
    /// writes, `persons::USUAL_COLUMNS` knows the usual names.
    pub fn of(cells: &Cells, file: &FileHead, table: Table) -> Result<Header, Invalid> {
        let (text, ends) = cells.as_text().ok_or_else(|| Invalid::new("", "not_utf8"))?;
        let mut start = 0;
        let mut names: Vec<String> = Vec::with_capacity(ends.len());
        let mut shown: Vec<String> = Vec::with_capacity(ends.len());
        let is_lenient = table.is_of_persons();
        for end in ends {
            let here = text[start..*end].trim();
            start = *end;
            let named = file.columns.iter().find(|(known, _)| known == here);
            let usual = || {
                let mut all = USUAL_COLUMNS.iter().filter(|_| is_lenient);
                all.find(|(known, _)| *known == here).map(|(_, column)| *column)
            };
            let name = named.map(|(_, column)| column.as_str()).or_else(usual).unwrap_or(here);
            if names.iter().any(|known| known == name) && !(name.is_empty() && is_lenient) {
                return Err(Invalid::new(here, "column_twice"));
            }
            names.push(name.to_owned());
            shown.push(here.to_owned());
        }
        let values = file.values.iter();
        let values = values
            .map(|(column, here, value)| ((column.clone(), here.clone()), value.clone()))
            .collect();
        Ok(Header { names, shown, values, is_lenient })
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// A column as the file calls it.
    pub fn shown<'a>(&'a self, column: &'a str) -> &'a str {
        let at = self.names.iter().position(|known| known == column);
        at.map_or(column, |at| &self.shown[at])
    }

    /// Columns of the file that the table does not have.
    pub fn unread<'a>(&'a self, known: &'a [&'static str]) -> impl Iterator<Item = &'a str> {
        let columns = self.names.iter().zip(&self.shown);
        columns
            .filter(|(name, shown)| !known.contains(&name.as_str()) && !shown.is_empty())
            .map(|(_, shown)| shown.as_str())
    }

    pub fn column(&self, name: &'static str) -> Column {
        Column { name, at: self.names.iter().position(|known| known == name) }
    }

    /// A column without which a table means nothing.
    pub fn needed(&self, name: &'static str) -> Result<Column, Invalid> {
        let column = self.column(name);
        if column.at.is_none() { Err(Invalid::new(name, "column_missing")) } else { Ok(column) }
    }
}

/// Declares the columns of a table: those it needs, then those that may be missing.
macro_rules! columns {
    ($name:ident { $($needed:ident),* ; $($other:ident),* $(,)? }) => {
        pub struct $name {
            $($needed: $crate::app::import::row::Column,)*
            $($other: $crate::app::import::row::Column,)*
        }

        impl $name {
            /// Names of all columns.
            pub const NAMES: &[&str] = &[
                $($crate::app::import::row::plain(stringify!($needed)),)*
                $($crate::app::import::row::plain(stringify!($other)),)*
            ];

            pub fn of(
                header: &$crate::app::import::row::Header,
            ) -> Result<$name, $crate::domain::text::Invalid> {
                Ok($name {
                    $($needed: header.needed($crate::app::import::row::plain(stringify!($needed)))?,)*
                    $($other: header.column($crate::app::import::row::plain(stringify!($other))),)*
                })
            }
        }
    };
}

pub(super) use columns;

/// The name of a column that Rust has a meaning of its own for, without its mark.
pub const fn plain(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', ..] => name.split_at(2).1,
        _ => name,
    }
}

/// A record that has as many cells as the header.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    text: &'a str,
    ends: &'a [usize],
    header: &'a Header,
}

impl<'a> Row<'a> {
    pub fn of(cells: &'a Cells, header: &'a Header) -> Result<Row<'a>, Invalid> {
        if cells.len() < header.len() && !header.is_lenient {
            return Err(Invalid::new("", "too_few_cells"));
        }
        if cells.len() > header.len() {
            return Err(Invalid::new("", "too_many_cells"));
        }
        let (text, ends) = cells.as_text().ok_or_else(|| Invalid::new("", "not_utf8"))?;
        // Cells end at commas, so a good text cannot be cut inside a character; a bad one can.
        if ends.iter().any(|end| !text.is_char_boundary(*end)) {
            return Err(Invalid::new("", "not_utf8"));
        }
        Ok(Row { text, ends, header })
    }

    /// Nothing stands in any cell.
    pub fn is_blank(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// A cell without blanks around it; a column that is missing is empty everywhere.
    pub fn text(&self, column: Column) -> &'a str {
        let Some(at) = column.at.filter(|at| *at < self.ends.len()) else { return "" };
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        let here = unmarked(self.text[start..self.ends[at]].trim());
        if self.header.values.is_empty() {
            return here;
        }
        let key = (column.name.to_owned(), here.to_owned());
        self.header.values.get(&key).map_or(here, String::as_str)
    }

    pub fn required(&self, column: Column) -> Result<&'a str, Invalid> {
        match self.text(column) {
            "" => Err(Invalid::new(column.name, "required")),
            text => Ok(text),
        }
    }

    /// Several values in one cell.
    pub fn list(&self, column: Column) -> impl Iterator<Item = &'a str> + use<'a> {
        self.text(column).split(SEPARATOR).map(str::trim).filter(|value| !value.is_empty())
    }

    /// Reads a cell with `read` unless it is empty.
    pub fn optional<T>(
        &self,
        column: Column,
        read: impl FnOnce(&str, &str) -> Result<T, Invalid>,
    ) -> Result<Option<T>, Invalid> {
        match self.text(column) {
            "" => Ok(None),
            text => read(text, column.name).map(Some),
        }
    }

    /// Reads a cell with `read`; it must not be empty.
    pub fn read<T>(
        &self,
        column: Column,
        read: impl FnOnce(&str, &str) -> Result<T, Invalid>,
    ) -> Result<T, Invalid> {
        read(self.required(column)?, column.name)
    }

    pub fn date(&self, column: Column) -> Result<Option<Date>, Invalid> {
        self.optional(column, calendar::date)
    }

    pub fn time(&self, column: Column) -> Result<Option<Time>, Invalid> {
        self.optional(column, Time::parse)
    }

    pub fn number(&self, column: Column, max: u32) -> Result<Option<u32>, Invalid> {
        self.optional(column, |text, field| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            let number = text.parse::<u32>().ok().filter(|_| digits);
            match number {
                Some(number) if number <= max => Ok(number),
                Some(_) => Err(Invalid::new(field, "too_large")),
                None => Err(Invalid::new(field, "not_a_number")),
            }
        })
    }

    /// Texts of one thing in the languages of their columns, each at most `max` characters.
    pub fn texts(
        &self,
        columns: &[(&'static str, Column)],
        max: usize,
    ) -> Result<LocalTexts, Invalid> {
        let mut texts = LocalTexts::default();
        for (tag, column) in columns {
            let cell = self.text(*column);
            if cell.is_empty() {
                continue;
            }
            let text = match max > text::LINE_MAX {
                true => text::body(cell, column.name, max)?,
                false => text::line(cell, column.name, max)?,
            };
            texts.add(Language::parse(tag, column.name)?, text, column.name)?;
        }
        Ok(texts)
    }
}

/// What a spreadsheet takes for the start of a formula (OWASP, "CSV Injection"), and an export marks.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// A cell without the mark that an export gave it.
fn unmarked(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|rest| rest.starts_with(FORMULA)).unwrap_or(cell)
}

/// The first moment of a day in UTC, milliseconds since 1970; 0 for days before.
pub fn midnight_ms(date: Date) -> u64 {
    let days = (date - jiff::civil::date(1970, 1, 1)).get_days();
    u64::try_from(i64::from(days) * 24 * 3_600_000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_of_an_export_is_taken_off_and_nothing_else() {
        assert_eq!(unmarked("'+8620"), "+8620");
        assert_eq!(unmarked("'=1+1"), "=1+1");
        for plain in ["'tis", "'", "", "+1", "O'Neil"] {
            assert_eq!(unmarked(plain), plain);
        }
    }
}
