//! Files made of an export: CSV and XLSX for spreadsheets, vCard for address books, iCalendar for
//! calendars, JSON lines for programs.
//!
//! No cell can run as a formula: in CSV it is marked, in XLSX it is typed as text.

use std::{collections::HashMap, io::Write, path::Path};

use clap::ValueEnum;
use rust_xlsxwriter::{Format as CellFormat, Workbook};
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// What opens a formula in a spreadsheet (OWASP, "CSV Injection").
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];
/// Longest line of a vCard or a calendar, in bytes (RFC 6350 3.2, RFC 5545 3.1).
const LINE_MAX: usize = 75;
/// Rows of one XLSX sheet, the header apart.
const XLSX_ROWS_MAX: usize = 1_048_575;

/// The form of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Format {
    Csv,
    Xlsx,
    Vcard,
    Ics,
    Jsonl,
}

/// A file under way.
pub struct Writer<W: Write> {
    out: W,
    columns: Vec<String>,
    form: Form,
}

enum Form {
    Csv,
    Jsonl,
    Vcard,
    Ics,
    /// Written in one piece at the end.
    Xlsx {
        book: Box<Workbook>,
        row: u32,
    },
}

impl<W: Write> Writer<W> {
    /// Begins a file of these columns.
    pub fn new(format: Format, columns: Vec<String>, mut out: W) -> Result<Writer<W>> {
        let has = |name: &str| columns.iter().any(|column| column == name);
        let form = match format {
            Format::Csv => {
                out.write_all("\u{feff}".as_bytes()).map_err(unwritten)?;
                out.write_all(&line(&columns)).map_err(unwritten)?;
                Form::Csv
            }
            Format::Jsonl => Form::Jsonl,
            Format::Vcard if has("name_zh_hans") => Form::Vcard,
            Format::Vcard => return Err(Error::usage("--format vcard is for members")),
            Format::Ics if has("starts_at") => {
                let head = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Yizhan//Yizhan//ZH\r\n";
                out.write_all(head.as_bytes()).map_err(unwritten)?;
                Form::Ics
            }
            Format::Ics => return Err(Error::usage("--format ics is for events")),
            Format::Xlsx => {
                let mut book = Box::new(Workbook::new());
                let sheet = book.add_worksheet();
                let bold = CellFormat::new().set_bold();
                for (at, column) in columns.iter().enumerate() {
                    sheet
                        .write_string_with_format(0, at as u16, column, &bold)
                        .map_err(|error| unwritten(error.into_io()))?;
                }
                Form::Xlsx { book, row: 0 }
            }
        };
        Ok(Writer { out, columns, form })
    }

    /// Adds one row.
    pub fn row(&mut self, cells: &[String]) -> Result<()> {
        let text: Vec<u8> = match &mut self.form {
            Form::Csv => line(&cells.iter().map(|cell| neutral(cell)).collect::<Vec<_>>()),
            Form::Jsonl => {
                let pairs = self.columns.iter().zip(cells);
                let object: Map<String, Value> =
                    pairs.map(|(column, cell)| (column.clone(), cell.clone().into())).collect();
                format!("{}\n", Value::Object(object)).into_bytes()
            }
            Form::Vcard => vcard(&named(&self.columns, cells)).into_bytes(),
            Form::Ics => calendar_event(&named(&self.columns, cells)).into_bytes(),
            Form::Xlsx { book, row } => {
                *row += 1;
                if *row as usize > XLSX_ROWS_MAX {
                    return Err(Error::failed("TOO_MANY", "a sheet has no room for more rows")
                        .advice("take it out as CSV"));
                }
                let sheet =
                    book.worksheet_from_index(0).map_err(|error| unwritten(error.into_io()))?;
                for (at, cell) in cells.iter().enumerate().filter(|(_, cell)| !cell.is_empty()) {
                    // Typed as text: nothing in it is ever a formula, a number or a day.
                    sheet
                        .write_string(*row, at as u16, cell)
                        .map_err(|error| unwritten(error.into_io()))?;
                }
                return Ok(());
            }
        };
        self.out.write_all(&text).map_err(unwritten)
    }

    /// Ends the file.
    pub fn end(mut self) -> Result<()> {
        match &mut self.form {
            Form::Ics => self.out.write_all(b"END:VCALENDAR\r\n").map_err(unwritten)?,
            Form::Xlsx { book, .. } => {
                let bytes = book.save_to_buffer().map_err(|error| unwritten(error.into_io()))?;
                self.out.write_all(&bytes).map_err(unwritten)?;
            }
            Form::Csv | Form::Jsonl | Form::Vcard => (),
        }
        self.out.flush().map_err(unwritten)
    }
}

/// What the library says, as what it is: a file that cannot be written.
trait IntoIo {
    fn into_io(self) -> std::io::Error;
}

impl IntoIo for rust_xlsxwriter::XlsxError {
    fn into_io(self) -> std::io::Error {
        std::io::Error::other(self)
    }
}

fn unwritten(error: std::io::Error) -> Error {
    Error::failed("FILE", format!("the file cannot be written: {error}"))
}

/// A path as people read it.
pub fn shown(path: Option<&Path>) -> String {
    path.map_or_else(|| "-".to_owned(), |path| path.display().to_string())
}

/// A cell that no spreadsheet runs.
fn neutral(cell: &str) -> String {
    if cell.starts_with(FORMULA) { format!("'{cell}") } else { cell.to_owned() }
}

/// A record of CSV with the line break that RFC 4180 wants.
fn line(cells: &[String]) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .has_headers(false)
        .from_writer(Vec::new());
    let written = writer.write_record(cells).is_ok();
    if written { writer.into_inner().unwrap_or_default() } else { Vec::new() }
}

type Named<'a> = HashMap<&'a str, &'a str>;

fn named<'a>(columns: &'a [String], cells: &'a [String]) -> Named<'a> {
    columns.iter().map(String::as_str).zip(cells.iter().map(String::as_str)).collect()
}

/// A member as a card of RFC 6350. Chinese and Latin forms of the name are alternatives of one name;
/// the Chinese one sorts by its pinyin.
fn vcard(member: &Named<'_>) -> String {
    let cell = |name: &str| member.get(name).copied().unwrap_or_default();
    let mut card = String::new();
    let mut add = |text: String| fold(&mut card, &text);
    add("BEGIN:VCARD".into());
    add("VERSION:4.0".into());
    add("KIND:individual".into());
    add(format!("UID:urn:uuid:{}", cell("id")));
    let key = cell("sort_key");
    let (family_key, given_key) = key.split_once(' ').unwrap_or((key, ""));
    let sort_as = match key {
        "" => String::new(),
        _ => format!(";SORT-AS=\"{family_key},{given_key}\""),
    };
    let [family, given] = [cell("family_zh"), cell("given_zh")].map(escaped);
    let names = [("name_zh_hans", "zh-Hans"), ("name_zh_hant", "zh-Hant")];
    for (column, language) in names.iter().filter(|(column, _)| !cell(column).is_empty()) {
        add(format!("FN;ALTID=1;LANGUAGE={language}:{}", escaped(cell(column))));
        // Without its parts the name stands whole in the place of the family's.
        let family = if family.is_empty() { escaped(cell(column)) } else { family.clone() };
        add(format!("N;ALTID=1;LANGUAGE={language}{sort_as}:{family};{given};;;"));
    }
    let latin = cell("name_latin");
    if !latin.is_empty() {
        let [family, given] = [cell("family_latin"), cell("given_latin")].map(escaped);
        let family = if family.is_empty() { escaped(latin) } else { family };
        add(format!("FN;ALTID=1;LANGUAGE=en:{}", escaped(latin)));
        add(format!("N;ALTID=1;LANGUAGE=en{sort_as}:{family};{given};;;"));
    }
    if [cell("name_zh_hans"), cell("name_zh_hant"), latin].iter().all(|name| name.is_empty()) {
        add(format!("FN:{}", escaped(cell("given_en"))));
    }
    for (property, column) in [("NICKNAME", "given_en"), ("EMAIL", "email")] {
        if !cell(column).is_empty() {
            add(format!("{property}:{}", escaped(cell(column))));
        }
    }
    if !cell("phone").is_empty() {
        add(format!("TEL;VALUE=uri:tel:{}", cell("phone")));
    }
    let languages = cell("languages").split(';').filter(|language| !language.is_empty());
    for (at, language) in languages.enumerate() {
        add(format!("LANG;PREF={}:{language}", at + 1));
    }
    let known: Vec<String> =
        cell("expertise").split(';').filter(|code| !code.is_empty()).map(escaped).collect();
    if !known.is_empty() {
        add(format!("CATEGORIES:{}", known.join(",")));
    }
    add("END:VCARD".into());
    card
}

/// An event as an entry of RFC 5545, named alike on every node and in every file.
fn calendar_event(event: &Named<'_>) -> String {
    let cell = |name: &str| event.get(name).copied().unwrap_or_default();
    let mut entry = String::new();
    let mut add = |text: String| fold(&mut entry, &text);
    let state = match cell("status") {
        "cancelled" => "CANCELLED",
        "draft" | "postponed" => "TENTATIVE",
        _ => "CONFIRMED",
    };
    add("BEGIN:VEVENT".into());
    add(format!("UID:{}@{}", cell("id"), cell("home_point")));
    add(format!("DTSTAMP:{}", moment(cell("updated_at"))));
    add(format!("LAST-MODIFIED:{}", moment(cell("updated_at"))));
    add(format!("SEQUENCE:{}", cell("sequence")));
    add(format!("STATUS:{state}"));
    add(format!("DTSTART:{}", moment(cell("starts_at"))));
    add(format!("DTEND:{}", moment(cell("ends_at"))));
    let titles = [("title_zh_hans", "zh-Hans"), ("title_zh_hant", "zh-Hant"), ("title_en", "en")];
    if let Some((column, language)) = titles.iter().find(|(column, _)| !cell(column).is_empty()) {
        add(format!("SUMMARY;LANGUAGE={language}:{}", escaped(cell(column))));
    }
    if !cell("venue").is_empty() {
        add(format!("LOCATION:{}", escaped(cell("venue"))));
    }
    if !cell("public_url").is_empty() {
        add(format!("URL:{}", cell("public_url")));
    }
    add("END:VEVENT".into());
    entry
}

/// `2023-04-22T06:30:00Z` as `20230422T063000Z`.
fn moment(time: &str) -> String {
    let whole = time.split('.').next().unwrap_or_default().trim_end_matches('Z');
    let plain: String = whole.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    if plain.is_empty() { plain } else { format!("{plain}Z") }
}

/// Text of a property: what would end it or a part of it is escaped.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | ',' | ';' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            c if c.is_control() => (),
            c => out.push(c),
        }
    }
    out
}

/// Adds a line, folded between characters so that no piece is too long.
fn fold(out: &mut String, text: &str) {
    let mut length = 0;
    for c in text.chars() {
        if length + c.len_utf8() > LINE_MAX {
            out.push_str("\r\n ");
            length = 1;
        }
        out.push(c);
        length += c.len_utf8();
    }
    out.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Vec<String> {
        let names =
            ["id", "name_zh_hans", "family_zh", "given_zh", "name_latin", "sort_key", "phone"];
        names.map(str::to_owned).to_vec()
    }

    fn cells() -> Vec<String> {
        let cells =
            ["7", "欧阳若晴", "欧阳", "若晴", "Ouyang Ruoqing", "ouyang ruoqing", "+8615408235760"];
        cells.map(str::to_owned).to_vec()
    }

    fn written(format: Format, rows: &[Vec<String>]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = Writer::new(format, columns(), &mut out).unwrap();
        rows.iter().for_each(|row| writer.row(row).unwrap());
        writer.end().unwrap();
        out
    }

    #[test]
    fn no_cell_of_a_spreadsheet_runs() {
        let mut evil = cells();
        evil[1] = "=HYPERLINK(\"x\")".into();
        let text = String::from_utf8(written(Format::Csv, &[evil.clone()])).unwrap();
        assert!(text.starts_with("\u{feff}id,name_zh_hans"), "{text}");
        assert!(text.contains("\"'=HYPERLINK(\"\"x\"\")\"") && text.contains("'+8615408235760"));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.xlsx");
        std::fs::write(&path, written(Format::Xlsx, &[evil.clone()])).unwrap();
        let mut rows = Vec::new();
        crate::sheet::read(&path, |row| {
            rows.push(row);
            true
        })
        .unwrap();
        assert_eq!(rows, [columns(), evil]);
    }

    #[test]
    fn a_card_names_a_person_in_both_scripts_and_sorts_by_pinyin() {
        let card = String::from_utf8(written(Format::Vcard, &[cells()])).unwrap();
        for line in [
            "UID:urn:uuid:7",
            "FN;ALTID=1;LANGUAGE=zh-Hans:欧阳若晴",
            "N;ALTID=1;LANGUAGE=zh-Hans;SORT-AS=\"ouyang,ruoqing\":欧阳;若晴;;;",
            "FN;ALTID=1;LANGUAGE=en:Ouyang Ruoqing",
            "TEL;VALUE=uri:tel:+8615408235760",
        ] {
            assert!(card.contains(&format!("{line}\r\n")), "{line} in {card}");
        }
        assert!(card.starts_with("BEGIN:VCARD\r\nVERSION:4.0\r\n"));
        let mut long = String::new();
        fold(&mut long, &"晴".repeat(60));
        assert!(long.lines().all(|line| line.len() <= LINE_MAX), "{long}");
        assert_eq!(long.replace("\r\n ", "").trim(), "晴".repeat(60));
    }

    #[test]
    fn a_form_that_does_not_fit_the_rows_is_refused() {
        assert!(Writer::new(Format::Ics, columns(), Vec::new()).is_err());
        assert!(Writer::new(Format::Vcard, vec!["code".into()], Vec::new()).is_err());
        assert_eq!(moment("2023-04-22T06:30:00Z"), "20230422T063000Z");
    }
}
