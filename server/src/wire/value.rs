//! Small values that several nouns share: moments, days, texts, handles, codes.

use yizhan_proto::v1;

use crate::domain::{
    calendar::Date,
    contact::{HANDLES_MAX, Handle},
    id::{PointCode, RecordId},
    language::{Language, LocalTexts},
    text::{self, Invalid},
    time::Time,
};

/// A message field that has to be there.
pub fn required<T>(value: Option<T>, field: &str) -> Result<T, Invalid> {
    value.ok_or_else(|| Invalid::new(field, "required"))
}

/// Not more items than a record may have.
pub fn at_most<T>(list: &[T], max: usize, field: &str) -> Result<(), Invalid> {
    if list.len() > max {
        return Err(Invalid::new(field, "too_many").hint(format_args!("at most {max}")));
    }
    Ok(())
}

/// Reads a text with `read` unless it is empty.
pub fn optional<T>(
    text: &str,
    read: impl FnOnce(&str) -> Result<T, Invalid>,
) -> Result<Option<T>, Invalid> {
    if text.is_empty() { Ok(None) } else { read(text).map(Some) }
}

pub fn time(time: prost_types::Timestamp, field: &str) -> Result<Time, Invalid> {
    let nanos = (0..1_000_000_000).contains(&time.nanos).then_some(i64::from(time.nanos));
    let micros = time.seconds.checked_mul(1_000_000);
    nanos
        .zip(micros)
        .and_then(|(nanos, micros)| micros.checked_add(nanos / 1_000))
        .map(Time)
        .ok_or_else(|| Invalid::new(field, "not_a_time"))
}

pub fn optional_time(
    message: Option<prost_types::Timestamp>,
    field: &str,
) -> Result<Option<Time>, Invalid> {
    message.map(|message| time(message, field)).transpose()
}

pub fn time_message(time: Time) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.0.div_euclid(1_000_000),
        nanos: (time.0.rem_euclid(1_000_000) * 1_000) as i32,
    }
}

pub fn date(message: Option<v1::Date>, field: &str) -> Result<Option<Date>, Invalid> {
    let Some(message) = message else { return Ok(None) };
    let invalid = || Invalid::new(field, "date_invalid");
    let year = i16::try_from(message.year).map_err(|_| invalid())?;
    let month = i8::try_from(message.month).map_err(|_| invalid())?;
    let day = i8::try_from(message.day).map_err(|_| invalid())?;
    if year < 1 {
        return Err(invalid());
    }
    Date::new(year, month, day).map(Some).map_err(|_| invalid())
}

pub fn date_message(date: Date) -> v1::Date {
    v1::Date { year: date.year().into(), month: date.month().into(), day: date.day().into() }
}

/// Texts per language, each at most `max` characters; line breaks only where `max` is a body's.
pub fn texts(messages: Vec<v1::LocalText>, field: &str, max: usize) -> Result<LocalTexts, Invalid> {
    let mut texts = LocalTexts::default();
    for message in messages {
        let language = Language::parse(&message.language, field)?;
        let text = match max {
            text::LINE_MAX.. if max > text::LINE_MAX => text::body(&message.text, field, max)?,
            _ => text::line(&message.text, field, max)?,
        };
        texts.add(language, text, field)?;
    }
    Ok(texts)
}

pub fn texts_message(texts: LocalTexts) -> Vec<v1::LocalText> {
    texts
        .0
        .into_iter()
        .map(|(language, text)| v1::LocalText { language: language.to_string(), text })
        .collect()
}

pub fn handles(messages: Vec<v1::Handle>, field: &str) -> Result<Vec<Handle>, Invalid> {
    at_most(&messages, HANDLES_MAX, field)?;
    messages.iter().map(|handle| Handle::new(&handle.service, &handle.value, field)).collect()
}

pub fn handles_message(handles: Vec<Handle>) -> Vec<v1::Handle> {
    handles
        .into_iter()
        .map(|handle| v1::Handle { service: handle.service, value: handle.value })
        .collect()
}

pub fn point_code(text: &str, field: &str) -> Result<PointCode, Invalid> {
    text.parse().map_err(|_| Invalid::new(field, "not_a_point_code"))
}

pub fn optional_point(text: &str, field: &str) -> Result<Option<PointCode>, Invalid> {
    optional(text, |text| point_code(text, field))
}

pub fn point_message(code: Option<PointCode>) -> String {
    code.map(|code| code.as_str().to_owned()).unwrap_or_default()
}

/// A record's id in its hyphenated form.
pub fn record_id(text: &str, field: &'static str) -> Result<[u8; 16], Invalid> {
    RecordId::parse(text, field).map(|id| id.0)
}

pub fn languages_message(languages: Vec<Language>) -> Vec<String> {
    languages.into_iter().map(|language| language.to_string()).collect()
}
