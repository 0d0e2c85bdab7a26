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

/// Widest cell of a table, in terminal columns.
const CELL_MAX: usize = 48;

/// A command's answer.
#[derive(Debug)]
pub struct Answer {
    document: Value,
    columns: &'static [Column],
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
        Answer { document, columns: &[], missing: Vec::new(), failed: None }
    }

    /// All has been said already, or there is nothing to say.
    pub fn nothing() -> Answer {
        Answer::one(Value::Null)
    }

    /// One page of things, `{"items":[..],"next_page_token":".."}`.
    pub fn list(items: Vec<Value>, next_page_token: String, columns: &'static [Column]) -> Answer {
        let document = json!({"items": items, "next_page_token": next_page_token});
        Answer { document, columns, missing: Vec::new(), failed: None }
    }

    /// A document of its own shape, some of whose items make the table.
    pub fn shaped(document: Value, columns: &'static [Column]) -> Answer {
        Answer { document, columns, missing: Vec::new(), failed: None }
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

    fn rows(&self) -> (Vec<&str>, Vec<Vec<String>>) {
        let title = |column: &&'static str| column.rsplit('.').next().unwrap_or(column);
        match self.items() {
            Some(items) if !self.columns.is_empty() => {
                let row = |item: &Value| {
                    self.columns.iter().map(|column| cell(find(item, column))).collect()
                };
                let titles = self.columns.iter().map(title).collect();
                (titles, items.iter().map(row).collect())
            }
            _ => {
                let object = self.document.as_object().into_iter().flatten();
                let row = |(key, value): (&String, &Value)| vec![key.clone(), cell(value)];
                (vec!["key", "value"], object.map(row).collect())
            }
        }
    }

    fn items(&self) -> Option<&Vec<Value>> {
        ["items", "copies", "feeds", "rejected"]
            .iter()
            .find_map(|key| self.document[*key].as_array())
    }

    fn csv(&self) -> String {
        let (titles, rows) = self.rows();
        let mut writer = csv::Writer::from_writer(Vec::new());
        let written = writer.write_record(&titles).and_then(|()| {
            rows.iter().try_for_each(|row| writer.write_record(row.iter().map(|cell| guard(cell))))
        });
        written.expect("BUG: rows have as many cells as titles, and memory takes them");
        let bytes = writer.into_inner().expect("BUG: memory takes every write");
        String::from_utf8(bytes).expect("BUG: CSV of text is text")
    }

    fn table(&self) -> String {
        let (titles, mut rows) = self.rows();
        if self.columns.is_empty() {
            return pairs(&rows);
        }
        rows.insert(0, titles.into_iter().map(|title| title.replace('_', " ")).collect());
        for row in &mut rows {
            row.iter_mut().for_each(|cell| *cell = shorten(cell));
        }
        let widths: Vec<usize> = (0..self.columns.len())
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

    #[test]
    fn an_empty_list_has_its_titles() {
        assert_eq!(Answer::list(vec![], String::new(), &["id"]).csv(), "id\n");
    }
}
