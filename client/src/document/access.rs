//! Everything that is held about a person: JSON lines for programs, a page for the person.

use serde_json::{Value, json};
use yizhan_proto::v1::AccessMemberResponse;

use super::{Texts, account, audit, group, json, member, member_move, time};

/// One line per thing that is held, the kind of it first.
pub fn lines(held: &AccessMemberResponse) -> Vec<Value> {
    let mut lines = vec![json!({
        "kind": "about",
        "id": held.member.as_ref().map(|member| member.id.as_str()),
        "home": held.home,
        "created_at": time(held.create_time.as_ref()),
        "has_older_lines": held.has_older_lines,
    })];
    let mut add = |kind: &str, mut value: Value| {
        value["kind"] = kind.into();
        lines.push(value);
    };
    if let Some(member) = &held.member {
        add("member", json(&member::Member::from(member)));
    }
    held.grants.iter().for_each(|grant| add("consent", member::grant(grant)));
    held.copies.iter().for_each(|copy| add("copy", member::copy(copy)));
    for part in &held.appearances {
        let part = json!({
            "event": part.event,
            "titles": Texts::from(&part.titles),
            "starts_at": time(part.start_time.as_ref()),
            "state": part.state,
        });
        add("appearance", part);
    }
    for held in &held.places {
        let Some(place) = &held.place else { continue };
        let mut line = group::place(place);
        line["titles"] = json(&Texts::from(&held.titles));
        line["duties"] = held.duties.iter().map(|duty| json(&group::Duty::from(duty))).collect();
        add("place", line);
    }
    held.accounts.iter().for_each(|one| add("account", account::user(one)));
    held.moves.iter().for_each(|one| add("move", member_move::document(one)));
    for line in &held.lines {
        let mut line = audit::line(line);
        line["record_kind"] = line["kind"].take();
        add("look", line);
    }
    lines
}

/// Headings of the page: kind, zh-Hans, en.
const SECTIONS: [(&str, &str, &str); 9] = [
    ("about", "关于本文件", "About this document"),
    ("member", "本联络点保存的资料", "What your point holds"),
    ("consent", "您的同意", "Your consents"),
    ("copy", "其他联络点的副本", "Copies at other points"),
    ("appearance", "您参与的活动", "Events that you speak at"),
    ("place", "您所在的小组与值班", "Groups that you are in, and your duty"),
    ("account", "您的账号", "Your accounts"),
    ("move", "迁移", "Moves to another point"),
    ("look", "谁查阅或修改过、为何", "Who looked or wrote, and why"),
];

/// A page that needs nothing else: it can be kept, printed and sent.
pub fn html(held: &AccessMemberResponse) -> String {
    let lines = lines(held);
    let mut page = String::from(
        "<!doctype html>\n<html lang=\"zh-Hans\"><head><meta charset=\"utf-8\">\
         <title>驿站 · 您的资料 Your data</title>\
         <style>body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}\
         table{border-collapse:collapse;width:100%;margin:0 0 1em}\
         th,td{border:1px solid #999;padding:.3em .5em;text-align:left;vertical-align:top}\
         th{width:14em;font-weight:600}</style></head><body>\
         <h1>您的资料 · Your data</h1>\n",
    );
    for (kind, zh, en) in SECTIONS {
        page.push_str(&format!("<h2>{zh} · {en}</h2>\n"));
        let mut is_empty = true;
        for line in lines.iter().filter(|line| line["kind"] == kind) {
            is_empty = false;
            page.push_str("<table>\n");
            for (key, value) in line.as_object().into_iter().flatten() {
                let text = text(value);
                if key != "kind" && !text.is_empty() {
                    let (key, text) = (escaped(&key.replace('_', " ")), escaped(&text));
                    page.push_str(&format!("<tr><th>{key}</th><td>{text}</td></tr>\n"));
                }
            }
            page.push_str("</table>\n");
        }
        if is_empty {
            page.push_str("<p>无 · none</p>\n");
        }
    }
    page.push_str("</body></html>\n");
    page
}

fn text(value: &Value) -> String {
    let join = |texts: Vec<String>, by: &str| {
        texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(by)
    };
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => join(items.iter().map(text).collect(), "; "),
        Value::Object(map) => {
            let pair = |(key, value): (&String, &Value)| match text(value) {
                empty if empty.is_empty() => empty,
                text => format!("{}: {text}", key.replace('_', " ")),
            };
            join(map.iter().map(pair).collect(), ", ")
        }
        other => other.to_string(),
    }
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            letter if letter.is_control() => safe.push(' '),
            letter => safe.push(letter),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use yizhan_proto::v1::{Grant, Member, PersonName};

    use super::*;

    #[test]
    fn a_page_shows_what_is_held_and_runs_nothing() {
        let full = "<script>alert(1)</script>".to_owned();
        let name = PersonName { full, ..PersonName::default() };
        let held = AccessMemberResponse {
            home: "HK".into(),
            member: Some(Member { names: vec![name], ..Member::default() }),
            grants: vec![Grant { purpose: "profile.network".into(), ..Grant::default() }],
            ..AccessMemberResponse::default()
        };
        let page = html(&held);
        assert!(page.contains("profile.network") && page.contains("&lt;script&gt;"));
        assert!(!page.contains("<script>") && page.contains("<p>无 · none</p>"));
        let kinds: Vec<_> = lines(&held).into_iter().map(|mut line| line["kind"].take()).collect();
        assert_eq!(kinds, ["about", "member", "consent"]);
    }
}
