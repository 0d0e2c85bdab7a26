//! A sheet of an XLSX file as records: the first one of the workbook, row by row.
//!
//! Read on this side, so that no node unpacks what somebody sends it. Cells become what a table
//! says: numbers without exponent, days as `2023-04-22`.

use std::{fs::File, io::BufReader, path::Path};

use calamine::{DataRef, Reader, Xlsx, open_workbook};

use crate::error::{Error, Result};

/// Largest workbook, in bytes.
pub const FILE_MAX: u64 = 64 * 1024 * 1024;
/// Most columns that are read.
pub const COLUMNS_MAX: u32 = 256;
/// Most rows that are read; a sheet of Excel has no more.
pub const ROWS_MAX: u32 = 1_048_576;

/// Hands the rows of the first sheet to `take`, header first, blank rows between as empty ones,
/// until it says no.
pub fn read(path: &Path, mut take: impl FnMut(Vec<String>) -> bool) -> Result<()> {
    let failed = |error: &dyn std::fmt::Display| {
        Error::failed("FILE", format!("{} is no readable XLSX: {error}", path.display()))
    };
    let size = std::fs::metadata(path).map_err(|error| failed(&error))?.len();
    if size > FILE_MAX {
        return Err(failed(&format!("larger than {} MiB", FILE_MAX / 1024 / 1024)));
    }
    let mut workbook: Xlsx<BufReader<File>> =
        open_workbook(path).map_err(|error: calamine::XlsxError| failed(&error))?;
    let first = workbook.sheet_names().first().cloned().ok_or_else(|| failed(&"no sheet in it"))?;
    let mut cells = workbook.worksheet_cells_reader(&first).map_err(|error| failed(&error))?;
    let mut row: Vec<String> = Vec::new();
    let mut number = 0;
    while let Some(cell) = cells.next_cell().map_err(|error| failed(&error))? {
        let (at, column) = cell.get_position();
        if at >= ROWS_MAX || column >= COLUMNS_MAX {
            return Err(failed(&format!("more than {ROWS_MAX} rows or {COLUMNS_MAX} columns")));
        }
        while number < at {
            if !take(std::mem::take(&mut row)) {
                return Ok(());
            }
            number += 1;
        }
        let column = column as usize;
        if row.len() <= column {
            row.resize(column + 1, String::new());
        }
        row[column] = text(cell.get_value());
    }
    take(row);
    Ok(())
}

/// A cell as a table writes it.
fn text(cell: &DataRef<'_>) -> String {
    match cell {
        DataRef::Empty => String::new(),
        DataRef::String(text) => text.clone(),
        DataRef::SharedString(text) => (*text).to_owned(),
        DataRef::Int(number) => number.to_string(),
        DataRef::Float(number) if number.fract() == 0.0 => format!("{number:.0}"),
        DataRef::Float(number) => number.to_string(),
        DataRef::Bool(is_so) => if *is_so { "yes" } else { "no" }.to_owned(),
        DataRef::DateTime(moment) => {
            let (year, month, day, hour, minute, second, _) = moment.to_ymd_hms_milli();
            let date = format!("{year:04}-{month:02}-{day:02}");
            match (hour, minute, second) {
                (0, 0, 0) => date,
                _ => format!("{date}T{hour:02}:{minute:02}:{second:02}"),
            }
        }
        DataRef::DateTimeIso(text) => match text.split_once('T') {
            Some((date, "00:00:00")) => date.to_owned(),
            _ => text.clone(),
        },
        DataRef::DurationIso(text) => text.clone(),
        DataRef::Error(error) => format!("{error:?}"),
    }
}
