//! Checked strings, and what is said when a check fails.

use std::fmt;

/// What is wrong with one field. The reason is stable and machine-readable; `message` renders it
/// for people in Chinese and English.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct Invalid {
    /// Path of the field as the caller wrote it: `member.phone`, a CSV column.
    pub field: String,
    pub reason: &'static str,
    /// What to do instead, or the offending detail; empty if the reason says it all.
    pub hint: String,
}

impl Invalid {
    pub fn new(field: impl Into<String>, reason: &'static str) -> Invalid {
        Invalid { field: field.into(), reason, hint: String::new() }
    }

    pub fn hint(mut self, hint: impl fmt::Display) -> Invalid {
        self.hint = hint.to_string();
        self
    }

    /// The same complaint about a field further in.
    pub fn under(mut self, outer: &str) -> Invalid {
        self.field = format!("{outer}.{}", self.field);
        self
    }
}

/// Where a state can go from here, for people: `open -> given, expired`.
pub fn ways_of(state: &str, next: impl IntoIterator<Item = &'static str>) -> String {
    let mut ways: Vec<&str> = Vec::new();
    for way in next {
        if !ways.contains(&way) {
            ways.push(way);
        }
    }
    let ways = if ways.is_empty() { "none".to_owned() } else { ways.join(", ") };
    format!("{state} -> {ways}")
}

/// A code without characters that cannot be seen, which come along when it is copied from a page.
/// What is left is checked as a code; in names such characters are kept and flagged.
pub fn seen(code: &str) -> std::borrow::Cow<'_, str> {
    match code.is_ascii() {
        true => code.into(),
        false => code.chars().filter(|c| !super::name::is_invisible(*c)).collect::<String>().into(),
    }
}

/// Longest single-line text of a record, in characters.
pub const LINE_MAX: usize = 300;
/// Longest running text of a record, in characters.
pub const BODY_MAX: usize = 8_000;

/// Checks a single-line text: trimmed, no control characters, at most `max` characters.
pub fn line(text: &str, field: &str, max: usize) -> Result<String, Invalid> {
    let text = text.trim();
    if text.chars().any(char::is_control) {
        return Err(Invalid::new(field, "control_character"));
    }
    if text.chars().count() > max {
        return Err(Invalid::new(field, "too_long").hint(format_args!("at most {max} characters")));
    }
    Ok(text.to_owned())
}

/// Checks a running text: line breaks and tabs allowed, NUL and other controls not.
pub fn body(text: &str, field: &str, max: usize) -> Result<String, Invalid> {
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(Invalid::new(field, "control_character"));
    }
    if text.chars().count() > max {
        return Err(Invalid::new(field, "too_long").hint(format_args!("at most {max} characters")));
    }
    Ok(text.to_owned())
}

/// A text that has to be there.
pub fn required(text: String, field: &str) -> Result<String, Invalid> {
    if text.is_empty() { Err(Invalid::new(field, "required")) } else { Ok(text) }
}
