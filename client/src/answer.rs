//! What a command prints: one JSON document, CSV, or a table for people.
//!
//! Scripts read the document; tables and CSV show the columns that a command names.

use std::io::{self, Write};

use clap::ValueEnum;
use console::measure_text_width;
use serde_json::{Value, json};

use crate::error::{EXIT_DONE, EXIT_FAILED, EXIT_PARTIAL, Result};

/// The form of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Format {
    Table,
    Json,
    Csv,
}

/// A column: its key in the document, `.` between levels. The last part is its title.
pub type Column = &'static str;

/// A part of the document that is shown in rows: its key, and what is shown of its items.
#[derive(Clone, Copy, Debug)]
struct Part {
    key: &'static str,
    columns: &'static [Column],
}

/// Widest cell of a table, in terminal columns.
const CELL_MAX: usize = 48;

/// A command's answer.
#[derive(Debug)]
pub struct Answer {
    document: Value,
    /// What is shown in rows. CSV has the first part only: a file of rows has one header.
    parts: Vec<Part>,
    /// The rows are all there is to show: nothing stands above them.
    is_list: bool,
    /// What people want to hear besides rows, such as that all is well.
    said: Option<String>,
    /// Points that were asked and did not answer.
    pub missing: Vec<String>,
    /// What the answer says went wrong: it is printed, and the command has failed.
    pub failed: Option<String>,
}

/// Prints what came of a command, and says which exit code that is.
pub fn finish(program: &str, outcome: Result<Answer>, format: Format) -> u8 {
    match outcome {
        Ok(answer) => {
            if let Err(error) = answer.print(format) {
                eprintln!("{program}: the answer cannot be written: {error}");
                return EXIT_FAILED;
            }
            if let (Some(said), Format::Table | Format::Csv) = (&answer.said, format) {
                eprintln!("{said}");
            }
            if let Some(failed) = &answer.failed {
                eprintln!("{program}: {failed}");
                return EXIT_FAILED;
            }
            if !answer.missing.is_empty() {
                let missing = answer.missing.join(", ");
                eprintln!("{program}: partial answer: {missing} did not answer");
                return EXIT_PARTIAL;
            }
            EXIT_DONE
        }
        Err(error) => {
            eprintln!("{program}: {}", error.line());
            if format == Format::Json {
                println!("{}", error.document());
            }
            error.exit
        }
    }
}

impl Answer {
    /// One thing.
    pub fn one(document: Value) -> Answer {
        let (parts, is_list, said) = (Vec::new(), false, None);
        Answer { document, parts, is_list, said, missing: Vec::new(), failed: None }
    }

    /// All has been said already, or there is nothing to say.
    pub fn nothing() -> Answer {
        Answer::one(Value::Null)
    }

    /// One page of things, `{"items":[..],"next_page_token":".."}`.
    pub fn list(items: Vec<Value>, next_page_token: String, columns: &'static [Column]) -> Answer {
        let document = json!({"items": items, "next_page_token": next_page_token});
        Answer { is_list: true, ..Answer::shaped(document, "items", columns) }
    }

    /// A document of its own shape; the items under `key` are its rows.
    pub fn shaped(document: Value, key: &'static str, columns: &'static [Column]) -> Answer {
        let mut answer = Answer::one(document);
        answer.parts.push(Part { key, columns });
        answer
    }

    /// Shows the items under another key as well, below the rows of a table.
    pub fn and_rows(mut self, key: &'static str, columns: &'static [Column]) -> Answer {
        self.parts.push(Part { key, columns });
        self
    }

    /// Says something to people that a script reads from the document.
    pub fn saying(mut self, said: impl Into<String>) -> Answer {
        self.said = Some(said.into());
        self
    }

    /// Adds a top-level key to the document.
    pub fn with(mut self, key: &str, value: Value) -> Answer {
        self.document[key] = value;
        self
    }

    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Writes the answer. A reader who has seen enough and closed the pipe is no error.
    pub fn print(&self, format: Format) -> io::Result<()> {
        let text = match format {
            _ if self.document.is_null() => return Ok(()),
            Format::Json => format!("{}\n", self.document),
            Format::Csv => self.csv(),
            Format::Table => self.table(),
        };
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written,
        }
    }

    fn csv(&self) -> String {
        let (titles, rows) = match self.parts.first() {
            Some(part) => (part.titles(), self.rows(part)),
            None => (vec!["key".to_owned(), "value".to_owned()], self.pairs()),
        };
        let mut writer = csv::Writer::from_writer(Vec::new());
        let written = writer.write_record(&titles).and_then(|()| {
            rows.iter().try_for_each(|row| writer.write_record(row.iter().map(|cell| guard(cell))))
        });
        written.expect("BUG: rows have as many cells as titles, and memory takes them");
        let bytes = writer.into_inner().expect("BUG: memory takes every write");
        String::from_utf8(bytes).expect("BUG: CSV of text is text")
    }

    fn table(&self) -> String {
        let above = self.pairs();
        if let ([part], true) = (&self.parts[..], self.is_list || above.is_empty()) {
            return grid(part.titles(), self.rows(part));
        }
        let mut text = pairs(&above);
        for part in &self.parts {
            let rows = self.rows(part);
            if rows.is_empty() {
                continue;
            }
            text.push_str(&format!("\n{}\n", part.key.replace('_', " ")));
            text.push_str(&grid(part.titles(), rows));
        }
        text
    }

    fn rows(&self, part: &Part) -> Vec<Vec<String>> {
        let row = |item: &Value| {
            part.columns.iter().map(|column| cell(find(item, column))).collect::<Vec<_>>()
        };
        self.document[part.key].as_array().into_iter().flatten().map(row).collect()
    }

    /// What the document says beside its rows.
    fn pairs(&self) -> Vec<Vec<String>> {
        let is_shown = |key: &String| self.parts.iter().any(|part| part.key == key);
        let object = self.document.as_object().into_iter().flatten();
        object
            .filter(|(key, _)| !is_shown(key))
            .map(|(key, value)| vec![key.clone(), cell(value)])
            .collect()
    }
}

impl Part {
    fn titles(&self) -> Vec<String> {
        let title = |column: &Column| column.rsplit('.').next().unwrap_or(column).to_owned();
        self.columns.iter().map(title).collect()
    }
}

/// Rows under their titles, each column as wide as its widest cell.
fn grid(titles: Vec<String>, mut rows: Vec<Vec<String>>) -> String {
    rows.insert(0, titles.into_iter().map(|title| title.replace('_', " ")).collect());
    for row in &mut rows {
        row.iter_mut().for_each(|cell| *cell = shorten(cell));
    }
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|n| rows.iter().map(|row| measure_text_width(&row[n])).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.push_str(&" ".repeat(width - measure_text_width(cell) + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn pairs(rows: &[Vec<String>]) -> String {
    let width = rows.iter().map(|row| measure_text_width(&row[0])).max().unwrap_or(0);
    let line = |row: &Vec<String>| {
        let padding = " ".repeat(width - measure_text_width(&row[0]) + 2);
        format!("{}{padding}{}", row[0], printable(&row[1])).trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

fn find<'a>(item: &'a Value, column: &str) -> &'a Value {
    column.split('.').fold(item, |value, key| &value[key])
}

/// The text of a value in one cell. Of texts per language, the first there is in the network's
/// order of fallback.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            items.iter().map(cell).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ")
        }
        Value::Object(map) => {
            let local = ["zh-Hans", "zh-Hant", "en"].iter().find_map(|tag| map.get(*tag));
            match local.or_else(|| map.get("full")) {
                Some(text) => cell(text),
                None => map
                    .iter()
                    .map(|(key, value)| (key, cell(value)))
                    .filter(|(_, text)| !text.is_empty())
                    .map(|(key, text)| format!("{key}={text}"))
                    .collect::<Vec<_>>()
                    .join(" "),
            }
        }
        other => other.to_string(),
    }
}

/// Text of others may not move the cursor or change colours.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn shorten(cell: &str) -> String {
    console::truncate_str(&printable(cell), CELL_MAX, "…").into_owned()
}

/// A spreadsheet takes a cell that begins like this for a formula (OWASP: CSV injection).
fn guard(cell: &str) -> String {
    match cell.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r' | '＝' | '＋' | '－' | '＠') => {
            format!("'{cell}")
        }
        _ => cell.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Answer {
        let items = vec![
            json!({"id": "1", "names": {"zh-Hans": "欧阳若晴"}, "home": "HK"}),
            json!({"id": "22", "names": {"en": "=HYPERLINK(\"x\")"}, "home": null}),
        ];
        Answer::list(items, String::new(), &["id", "names", "home"])
    }

    #[test]
    fn columns_line_up_under_wide_characters() {
        let expected =
            "id  names            home\n1   欧阳若晴         HK\n22  =HYPERLINK(\"x\")\n";
        assert_eq!(names().table(), expected);
    }

    #[test]
    fn csv_neutralises_formulas() {
        let expected = "id,names,home\n1,欧阳若晴,HK\n22,\"'=HYPERLINK(\"\"x\"\")\",\n";
        assert_eq!(names().csv(), expected);
    }

    #[test]
    fn one_thing_is_shown_line_by_line_and_cannot_move_the_cursor() {
        let answer = Answer::one(json!({"id": "1", "long_key": "a\u{1b}[2Jb"}));
        assert_eq!(answer.table(), "id        1\nlong_key  a [2Jb\n");
    }

    fn report() -> Answer {
        let document = json!({
            "report": "association",
            "figures": [{"id": "talks_held", "value": 20}, {"id": "points", "value": 12}],
            "points": [{"point": "HK", "answered": true}],
        });
        Answer::shaped(document, "figures", &["id", "value", "basis"])
            .and_rows("points", &["point", "answered"])
    }

    #[test]
    fn a_report_is_shown_with_its_figures_row_by_row() {
        let expected = "report  association\n\nfigures\nid          value  basis\n\
                        talks_held  20\npoints      12\n\n\
                        points\npoint  answered\nHK     true\n";
        assert_eq!(report().table(), expected);
    }

    #[test]
    fn csv_of_a_report_has_a_row_per_figure() {
        assert_eq!(report().csv(), "id,value,basis\ntalks_held,20,\npoints,12,\n");
    }

    #[test]
    fn where_nothing_is_to_be_listed_the_rest_is_said() {
        let answer = Answer::shaped(json!({"rows": 3, "rejected": []}), "rejected", &["file"]);
        assert_eq!(answer.table(), "rows  3\n");
    }

    #[test]
    fn an_empty_list_has_its_titles() {
        assert_eq!(Answer::list(vec![], String::new(), &["id"]).csv(), "id\n");
    }
}
