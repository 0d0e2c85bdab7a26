//! Messages as JSON documents, and back: the keys that scripts rely on.
//!
//! A document reads as it is written: what `get` prints, `update --file` takes. Times are RFC 3339,
//! days are `2023-04-22`, enumerations are lower-case words, texts are keyed by language.

pub mod access;
pub mod account;
pub mod answers;
pub mod approval;
pub mod audit;
pub mod event;
pub mod group;
pub mod handoff;
pub mod help_request;
pub mod member;
pub mod member_move;
pub mod node;
pub mod org;
pub mod peer;
pub mod point;
pub mod report;
pub mod reports;
pub mod series;

use std::collections::BTreeMap;

use prost_types::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use yizhan_proto::v1::{self, LocalText};

use crate::error::{Error, Result};

/// RFC 3339 in UTC.
pub fn time(time: Option<&Timestamp>) -> Option<String> {
    let time = time?;
    jiff::Timestamp::new(time.seconds, time.nanos).ok().map(|time| time.to_string())
}

/// Reads RFC 3339, any offset.
pub fn parse_time(text: &str, field: &str) -> Result<Timestamp> {
    let time: jiff::Timestamp = text.parse().map_err(|_| {
        Error::field(field, "not_a_time", "is not a time", "不是有效的时间")
            .advice("RFC 3339, such as 2023-04-22T06:30:00Z")
    })?;
    Ok(Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() })
}

/// Reads a length of time such as `90s`, `10m` or `2h`.
pub fn duration(text: &str, field: &str) -> Result<prost_types::Duration> {
    let wrong = || {
        Error::field(
            field,
            "out_of_range",
            "is not a time such as 90s, 10m or 2h",
            "不是有效的时长",
        )
    };
    let length: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    if !length.is_positive() {
        return Err(wrong());
    }
    Ok(prost_types::Duration { seconds: length.as_secs(), nanos: length.subsec_nanos() })
}

fn parse_optional_time(text: &Option<String>, field: &str) -> Result<Option<Timestamp>> {
    text.as_deref().filter(|text| !text.is_empty()).map(|text| parse_time(text, field)).transpose()
}

/// A day as `2023-04-22`.
fn day(date: Option<&v1::Date>) -> Option<String> {
    date.map(|date| format!("{:04}-{:02}-{:02}", date.year, date.month, date.day))
}

/// Reads `2023-04-22`.
pub fn parse_day(text: &str, field: &str) -> Result<v1::Date> {
    let date: jiff::civil::Date = text.parse().map_err(|_| {
        Error::field(field, "not_a_date", "is not a day", "不是有效的日期")
            .advice("write it as 2023-04-22")
    })?;
    let (year, month, day) = (date.year().into(), date.month().into(), date.day().into());
    Ok(v1::Date { year, month, day })
}

fn parse_optional_day(text: &Option<String>, field: &str) -> Result<Option<v1::Date>> {
    text.as_deref().filter(|text| !text.is_empty()).map(|text| parse_day(text, field)).transpose()
}

/// The lower-case word of an enumeration's value; empty if unspecified. A value that this program
/// does not know shows as its number.
fn word<E: TryFrom<i32>>(value: i32, name: fn(&E) -> &'static str, prefix: &str) -> String {
    match E::try_from(value) {
        Err(_) => value.to_string(),
        Ok(_) if value == 0 => String::new(),
        Ok(known) => {
            let name = name(&known);
            name.strip_prefix(prefix).unwrap_or(name).to_lowercase()
        }
    }
}

/// The value of an enumeration's word; 0 if empty.
fn value_of<E: Into<i32>>(
    word: &str,
    find: fn(&str) -> Option<E>,
    prefix: &str,
    field: &str,
) -> Result<i32> {
    if word.is_empty() {
        return Ok(0);
    }
    let name = format!("{prefix}{}", word.to_uppercase().replace('-', "_"));
    find(&name).map(Into::into).ok_or_else(|| {
        Error::field(field, "unknown_word", &format!("is no known word: {word}"), "未知的取值")
    })
}

/// Texts by language.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(from = "AnyTexts")]
pub struct Texts(pub BTreeMap<String, String>);

/// Both spellings that are read: an object by language, or a list.
#[derive(Deserialize)]
#[serde(untagged, expecting = "texts are keyed by language, such as {\"zh-Hans\": \"..\"}")]
enum AnyTexts {
    ByLanguage(BTreeMap<String, String>),
    List(Vec<Text>),
}

#[derive(Deserialize)]
struct Text {
    #[serde(alias = "lang")]
    language: String,
    text: String,
}

impl From<AnyTexts> for Texts {
    fn from(texts: AnyTexts) -> Texts {
        Texts(match texts {
            AnyTexts::ByLanguage(map) => map,
            AnyTexts::List(list) => {
                list.into_iter().map(|text| (text.language, text.text)).collect()
            }
        })
    }
}

impl From<&Vec<LocalText>> for Texts {
    fn from(texts: &Vec<LocalText>) -> Texts {
        Texts(texts.iter().map(|text| (text.language.clone(), text.text.clone())).collect())
    }
}

impl From<&Texts> for Vec<LocalText> {
    fn from(texts: &Texts) -> Vec<LocalText> {
        let text = |(language, text): (&String, &String)| LocalText {
            language: language.clone(),
            text: text.clone(),
        };
        texts.0.iter().map(text).collect()
    }
}

/// An account with a service.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handle {
    pub service: String,
    pub value: String,
}

impl From<&v1::Handle> for Handle {
    fn from(handle: &v1::Handle) -> Handle {
        Handle { service: handle.service.clone(), value: handle.value.clone() }
    }
}

impl From<&Handle> for v1::Handle {
    fn from(handle: &Handle) -> v1::Handle {
        v1::Handle { service: handle.service.clone(), value: handle.value.clone() }
    }
}

/// A document as JSON.
pub fn json<T: Serialize>(document: &T) -> Value {
    serde_json::to_value(document).expect("BUG: documents have text keys only")
}

/// A document from JSON; an unknown key is refused, because it is a mistyped one. The refusal names
/// the key.
pub fn read<T: for<'de> Deserialize<'de>>(value: Value) -> Result<T> {
    let Some(said) = refusal::<T>(&value) else {
        return serde_json::from_value(value).map_err(|error| unread("", &error.to_string()));
    };
    Err(unread(&culprit::<T>(&value, &said), &said))
}

fn unread(key: &str, said: &str) -> Error {
    let (reason, message_zh) = match said {
        said if said.starts_with("unknown field") => ("unknown_key", "不是该文件的键"),
        said if said.starts_with("missing field") => ("required", "缺少必填的键"),
        said if said.contains("integer `-") => ("negative", "不得为负数"),
        _ => ("wrong_type", "类型不符"),
    };
    let message = format!("cannot be read: {said}");
    Error::field(key, reason, message.trim(), message_zh)
        .advice("`get --output json` shows the keys")
}

/// Why a document cannot be read as `T`, in serde's words.
fn refusal<T: for<'de> Deserialize<'de>>(value: &Value) -> Option<String> {
    T::deserialize(value).err().map(|error| error.to_string())
}

/// One step into a document.
#[derive(Clone)]
enum Step {
    Key(String),
    Item,
}

/// The way to what is wrong: the smallest part that, alone in its document, is refused in the same
/// words. serde itself does not say where it was.
fn culprit<T: for<'de> Deserialize<'de>>(value: &Value, said: &str) -> String {
    let is_refused = |part: &Value| refusal::<T>(part).as_deref() == Some(said);
    let lacks = said.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    let mut path: Vec<Step> = Vec::new();
    let mut part = value;
    loop {
        let steps: Vec<(Step, &Value)> = match part {
            Value::Object(map) => {
                map.iter().map(|(key, value)| (Step::Key(key.clone()), value)).collect()
            }
            Value::Array(items) => items.iter().map(|value| (Step::Item, value)).collect(),
            _ => Vec::new(),
        };
        let further = steps.into_iter().find(|(step, value)| {
            // A key is missing in an object, whatever else it has: no other key is to blame.
            if lacks.is_some() && !value.is_object() && !value.is_array() {
                return false;
            }
            let path = [&path[..], std::slice::from_ref(step)].concat();
            is_refused(&alone(&path, (*value).clone()))
        });
        let Some((step, value)) = further else { break };
        path.push(step);
        part = value;
        // Whatever stands there: it is the key that is wrong.
        if is_refused(&alone(&path, Value::Null)) {
            break;
        }
    }
    let keys = path.iter().filter_map(|step| match step {
        Step::Key(key) => Some(key.as_str()),
        Step::Item => None,
    });
    keys.chain(lacks).collect::<Vec<_>>().join(".")
}

/// A document that has nothing but the value at the end of a path.
fn alone(path: &[Step], value: Value) -> Value {
    path.iter().rev().fold(value, |value, step| match step {
        Step::Key(key) => Value::Object([(key.clone(), value)].into_iter().collect()),
        Step::Item => Value::Array(vec![value]),
    })
}

/// The home that something new is for: the flag's, else the document's. They must not contradict.
pub fn new_home(flag: String, written: &str) -> Result<String> {
    if !flag.is_empty() && !written.is_empty() && flag != written {
        return Err(Error::field(
            "home",
            "contradicts_flag",
            &format!("is {written} in the file and {flag} on the command line"),
            "与命令行所给的归属点不一致",
        ));
    }
    Ok(if flag.is_empty() { written.to_owned() } else { flag })
}

/// Refuses a change of the home: that is no change of a record.
pub fn same_home(before: &Value, after: &str) -> Result<()> {
    if before["home"].as_str().unwrap_or_default() == after {
        return Ok(());
    }
    Err(Error::field("home", "read_only", "does not change by an update", "不能通过修改变更"))
}

/// `base` with the keys of `change` in place of its own.
pub fn overlay(mut base: Value, change: Value) -> Value {
    match (base.as_object_mut(), change) {
        (Some(base), Value::Object(change)) => base.extend(change),
        (_, change) => return change,
    }
    base
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_are_the_names_without_prefix() {
        let state =
            |value| word::<v1::EventState>(value, v1::EventState::as_str_name, "EVENT_STATE_");
        assert_eq!((state(0), state(8), state(99)), ("".into(), "cancelled".into(), "99".into()));
        let find = v1::EventState::from_str_name;
        assert_eq!(value_of(&state(8), find, "EVENT_STATE_", "state").unwrap(), 8);
        assert!(value_of("gone", find, "EVENT_STATE_", "state").is_err());
    }

    #[test]
    fn times_and_days_survive() {
        let read = parse_time("2023-04-22T14:30:00+08:00", "t").unwrap();
        assert_eq!(time(Some(&read)).unwrap(), "2023-04-22T06:30:00Z");
        assert_eq!(day(Some(&parse_day("2023-04-22", "d").unwrap())).unwrap(), "2023-04-22");
        for text in ["2023-02-29", "22.4.2023", ""] {
            assert!(parse_day(text, "d").is_err(), "{text}");
        }
    }

    #[test]
    fn texts_are_read_in_both_spellings() {
        let map: Texts = read(json!({"en": "a"})).unwrap();
        let list: Texts = read(json!([{"lang": "en", "text": "a"}])).unwrap();
        assert_eq!(map, list);
    }

    #[test]
    fn what_cannot_be_read_is_named_by_its_key() {
        #[derive(Default, Deserialize, Debug)]
        #[serde(default, deny_unknown_fields)]
        struct Sheet {
            _titles: Texts,
            _issue: u32,
            _hosts: Vec<Handle>,
        }
        let hosts = json!([{"service": "a", "value": "b"}, {"service": "a", "value": 5}]);
        for (document, key, reason) in [
            (json!({"_issue": 1, "colour": {"red": 1}}), "colour", "unknown_key"),
            (json!({"_issue": "one"}), "_issue", "wrong_type"),
            (json!({"_titles": {}, "_issue": -1}), "_issue", "negative"),
            (json!({"_titles": 7, "_issue": 1}), "_titles", "wrong_type"),
            (json!({"_hosts": hosts}), "_hosts.value", "wrong_type"),
            (json!({"_hosts": [{"service": "a"}]}), "_hosts.value", "required"),
            (json!(7), "", "wrong_type"),
        ] {
            let error = read::<Sheet>(document.clone()).map(|_| ()).unwrap_err();
            let named = (error.fields[0].field.as_str(), error.fields[0].reason.as_str());
            assert_eq!(named, (key, reason), "{document}");
        }
    }

    #[test]
    fn a_change_replaces_whole_keys() {
        let changed = overlay(json!({"a": 1, "b": {"x": 1}}), json!({"b": {"y": 2}}));
        assert_eq!(changed, json!({"a": 1, "b": {"y": 2}}));
    }
}
