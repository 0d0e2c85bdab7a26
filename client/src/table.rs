//! Tables of an import on this side: which one a file is, how its columns are called, and its rows
//! as CSV.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufReader, Read},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use yizhan_proto::v1::import_request;

use crate::{
    error::{Error, Result},
    sheet,
};

/// The tables that a node takes, in the order in which it needs them.
pub const TABLES: [&str; 16] = [
    "points",
    "orgs",
    "org_figures",
    "speakers",
    "seats",
    "members",
    "grants",
    "series",
    "events",
    "event_hosts",
    "appearances",
    "groups",
    "group_members",
    "requests",
    "key_contacts",
    "people",
];
/// Largest header row that is looked at, in bytes.
const HEADER_MAX: u64 = 64 * 1024;
/// Columns of an error file that say what was wrong; an import does not read them.
pub const ERROR_COLUMNS: [&str; 3] = ["import_field", "import_reason", "import_message"];

/// How a file's columns and values are called, as its keeper wrote it down.
#[derive(Default, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mapping {
    /// Table that the file is read as.
    pub table: String,
    /// Column of the file: column of the table.
    pub columns: BTreeMap<String, String>,
    /// Column of the table: value of the file: value of the table.
    pub values: BTreeMap<String, BTreeMap<String, String>>,
}

/// A file to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    pub path: PathBuf,
    /// Without folder.
    pub name: String,
    pub size: u64,
    pub is_sheet: bool,
    /// As the file has it.
    pub header: Vec<String>,
}

impl Table {
    pub fn open(path: &Path) -> Result<Table> {
        let unreadable = |error: std::io::Error| {
            Error::failed("FILE", format!("cannot read {}: {error}", path.display()))
        };
        let size = std::fs::metadata(path).map_err(unreadable)?.len();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_sheet = name.to_lowercase().ends_with(".xlsx");
        let header = match is_sheet {
            true => {
                let mut header = Vec::new();
                sheet::read(path, |row| {
                    header = row;
                    false
                })?;
                header
            }
            false => {
                let file = BufReader::new(File::open(path).map_err(unreadable)?).take(HEADER_MAX);
                let mut rows = csv::ReaderBuilder::new().has_headers(false).from_reader(file);
                let first = rows.records().next().and_then(|row| row.ok()).unwrap_or_default();
                let plain = |cell: &str| cell.trim_start_matches('\u{feff}').to_owned();
                first.iter().map(plain).collect()
            }
        };
        Ok(Table { path: path.to_owned(), name, size, is_sheet, header })
    }

    /// What is said of the file before its bytes.
    pub fn head(&self, mapping: &Mapping) -> import_request::File {
        let columns = mapping.columns.iter().map(|(here, column)| import_request::ColumnName {
            here: here.clone(),
            column: column.clone(),
        });
        let values = mapping.values.iter().flat_map(|(column, values)| {
            values.iter().map(|(here, value)| import_request::ValueName {
                column: column.clone(),
                here: here.clone(),
                value: value.clone(),
            })
        });
        import_request::File {
            name: self.name.clone(),
            size: self.size,
            table: self.table(mapping),
            is_sheet: self.is_sheet,
            columns: columns.collect(),
            values: values.collect(),
        }
    }

    /// The table that the file is read as; empty: its name says it, or nothing does.
    fn table(&self, mapping: &Mapping) -> String {
        let bare = self.name.strip_suffix(".csv").unwrap_or(&self.name);
        if !mapping.table.is_empty() || TABLES.contains(&bare) {
            return mapping.table.clone();
        }
        let has = |columns: &[&str]| {
            self.header.iter().any(|here| {
                let here = mapping.columns.get(here).unwrap_or(here);
                columns.contains(&here.as_str())
            })
        };
        match (has(&["name", "姓名", "中文姓名"]), has(&["cohort_no", "期号"])) {
            (true, true) => "key_contacts".to_owned(),
            (true, false) => "people".to_owned(),
            (false, _) => String::new(),
        }
    }
}

/// The tables in a folder, in the node's order, and the sheets behind them; or the one file that was
/// named.
pub fn tables(from: &Path) -> Result<Vec<Table>> {
    let unreadable = |error: std::io::Error| {
        Error::failed("FILE", format!("cannot read {}: {error}", from.display()))
    };
    if std::fs::metadata(from).map_err(unreadable)?.is_file() {
        return Ok(vec![Table::open(from)?]);
    }
    let named = TABLES.iter().map(|name| from.join(format!("{name}.csv")));
    let mut paths: Vec<PathBuf> = named.filter(|path| path.is_file()).collect();
    let mut sheets = Vec::new();
    for entry in std::fs::read_dir(from).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        // `~$` marks the lock of a program that has the file open.
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        if name.ends_with(".xlsx") && !name.starts_with("~$") && path.is_file() {
            sheets.push(path);
        }
    }
    sheets.sort();
    paths.append(&mut sheets);
    if paths.is_empty() {
        return Err(Error::failed("NO_TABLES", format!("no table in {}", from.display()))
            .advice(format!("tables are {}.csv, and sheets *.xlsx", TABLES.join(".csv, "))));
    }
    paths.iter().map(|path| Table::open(path)).collect()
}

/// Files of a folder that look like tables and are not among those that are sent, by name.
pub fn ignored(from: &Path, sent: &[Table]) -> Result<Vec<String>> {
    let unreadable = |error: std::io::Error| {
        Error::failed("FILE", format!("cannot read {}: {error}", from.display()))
    };
    if !from.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(from).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_table = [".csv", ".xlsx"].iter().any(|end| name.to_lowercase().ends_with(end));
        if is_table && !name.starts_with("~$") && sent.iter().all(|table| table.name != name) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// A record as a line of CSV.
pub fn line(cells: &[String]) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    let written = writer.write_record(cells).is_ok();
    if written { writer.into_inner().unwrap_or_default() } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn tables_are_sent_in_the_order_the_node_needs() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["members.csv", "points.csv", "handoffs.csv", "notes.txt"] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        let tables = tables(dir.path()).unwrap();
        let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
        assert_eq!(names, ["points.csv", "members.csv"]);
        assert_eq!(ignored(dir.path(), &tables).unwrap(), ["handoffs.csv"]);
        assert!(ignored(&dir.path().join("points.csv"), &tables).unwrap().is_empty());
    }

    #[test]
    fn a_folder_without_tables_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(tables(dir.path()).map(|_| ()).unwrap_err().reason, "NO_TABLES");
        assert_eq!(tables(&dir.path().join("x")).map(|_| ()).unwrap_err().reason, "FILE");
    }

    #[test]
    fn a_file_of_another_name_is_known_by_its_header() {
        let table = |header: &[&str]| Table {
            path: "x.csv".into(),
            name: "x.csv".into(),
            size: 1,
            is_sheet: false,
            header: header.iter().map(|text| (*text).to_owned()).collect(),
        };
        let plain = Mapping::default();
        assert_eq!(table(&["姓名", "手机"]).table(&plain), "people");
        assert_eq!(table(&["name", "cohort_no"]).table(&plain), "key_contacts");
        assert_eq!(table(&["member_id"]).table(&plain), "");
        let mapping = Mapping {
            columns: [("会员".to_owned(), "name".to_owned())].into(),
            ..Mapping::default()
        };
        assert_eq!(table(&["会员"]).table(&mapping), "people");
    }
}
