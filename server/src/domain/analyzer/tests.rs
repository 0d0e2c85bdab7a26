//! The names that go wrong in other systems.

use super::*;
use crate::domain::{
    kind::Kind,
    name::{Order, Script},
    region::find,
};

fn name<'a>(script: Script, family: &'a str, given: &'a str, full: &'a str) -> NameView<'a> {
    NameView { script, family, given, full, order: Order::FamilyFirst, sort_key: "" }
}

fn terms(names: &[NameView<'_>]) -> String {
    let mut out = String::new();
    Terms::new(&mut out).names(names);
    out
}

/// Would the index find a record with these names?
fn finds(names: &[NameView<'_>], words: &str) -> bool {
    let terms = terms(names);
    let query = Query::parse(words).unwrap();
    let carried = query.terms.iter().all(|asked| {
        terms.split(' ').any(|term| match asked.prefix {
            true => term.starts_with(&*asked.text),
            false => term == asked.text,
        })
    });
    !query.is_hopeless && carried && query.fits(names.iter().map(|name| name.full))
}

#[track_caller]
fn found(names: &[NameView<'_>], asked: &[&str]) {
    for words in asked {
        assert!(finds(names, words), "{words} in {}", terms(names));
    }
}

#[track_caller]
fn missed(names: &[NameView<'_>], asked: &[&str]) {
    for words in asked {
        assert!(!finds(names, words), "{words} in {}", terms(names));
    }
}

#[test]
fn a_name_of_two_characters_is_always_found() {
    let names =
        [name(Script::Hans, "张", "伟", "张伟"), name(Script::Latin, "Zhang", "Wei", "Zhang Wei")];
    found(
        &names,
        &["张伟", "张", "伟", "zhangwei", "weizhang", "Zhang Wei", "zhangw", "zw", "ZHA", "张 wei"],
    );
    missed(&names, &["伟张", "章伟", "zh", "zhangwen", "wz1", "!", "zhang伟明"]);
}

#[test]
fn a_name_without_a_latin_form_is_found_by_its_reading() {
    let names = [name(Script::Hans, "王", "承鹏", "王承鹏")];
    found(
        &names,
        &["wangchengpeng", "chengpeng", "chengpengwang", "wcp", "承鹏", "王承鹏", "wang"],
    );
}

#[test]
fn characters_outside_the_basic_plane_are_characters() {
    let names = [name(Script::Hans, "陈", "\u{20bb7}祥", "陈\u{20bb7}祥")];
    found(&names, &["\u{20bb7}", "陈\u{20bb7}", "\u{20bb7}祥", "陈\u{20bb7}祥"]);
    missed(&names, &["陈祥"]);
}

#[test]
fn a_middle_dot_is_no_gap() {
    let names = [
        name(Script::Hans, "奥康纳", "希沃恩", "希沃恩·奥康纳"),
        name(Script::Latin, "O'Connor-Lau", "Siobhán", "Siobhán O'Connor-Lau"),
    ];
    found(
        &names,
        &["希沃恩·奥康纳", "希沃恩奥康纳", "希沃恩・奥康纳", "恩奥", "siobhan", "Siobhán"],
    );
    found(&names, &["oconnor", "O’Connor", "lau", "oconnorlau", "o'connor-lau siobhan"]);
}

#[test]
fn a_compound_surname_has_the_initials_of_its_characters() {
    let names = [
        name(Script::Hans, "欧阳", "若晴", "欧阳若晴"),
        name(Script::Hant, "", "", "歐陽若晴"),
        name(Script::Latin, "Ouyang", "Ruoqing", "Ouyang Ruoqing"),
    ];
    found(&names, &["oyrq", "or", "ouyang", "欧阳", "歐陽", "若晴", "ouyangruoqing", "阳若"]);
}

#[test]
fn a_surname_is_found_by_its_own_reading() {
    let names = [
        name(Script::Hans, "单", "若彤", "单若彤"),
        name(Script::Latin, "Shan", "Ruotong", "Shan Ruotong"),
    ];
    found(&names, &["shanruotong", "srt", "shan"]);
}

#[test]
fn an_umlaut_is_found_however_it_is_typed() {
    let names = [
        name(Script::Hans, "吕", "清妍", "吕清妍"),
        name(Script::Latin, "Lyu", "Qingyan", "Lyu Qingyan"),
    ];
    found(
        &names,
        &["Lü", "lvqingyan", "luqingyan", "lyuqingyan", "lyu", "lv", "lqy", "Lǚ Qīngyán"],
    );
    let german = [name(Script::Latin, "Müller", "Jörg", "Jörg Müller")];
    found(&german, &["muller", "Müller", "jorg"]);
}

#[test]
fn a_surname_that_keeps_its_form_is_found_in_both_scripts() {
    let names = [
        name(Script::Hans, "于", "思远", "于思远"),
        name(Script::Hant, "", "", "于思遠"),
        name(Script::Latin, "Yu", "Siyuan", "Yu Siyuan"),
    ];
    found(&names, &["于思远", "于思遠", "思遠", "yusiyuan", "ysy"]);
    missed(&names, &["於思遠"]);
}

#[test]
fn hyphens_apostrophes_and_one_word_names_are_found() {
    let cantonese = [
        name(Script::Hant, "黃", "兆明", "黃兆明"),
        name(Script::Latin, "Wong", "Siu-ming", "Wong Siu-ming"),
        name(Script::Nickname, "", "", "Raymond"),
    ];
    found(
        &cantonese,
        &["siu-ming", "siuming", "wongsiuming", "wsm", "raymond wong", "huangzhaoming"],
    );
    let apostrophe = [name(Script::Latin, "Lin", "Xi'en", "Lin Xi'en")];
    found(&apostrophe, &["xien", "xi'en", "linxien", "Xi’en"]);
    found(&[name(Script::Latin, "", "Wulandari", "Wulandari")], &["wulan", "Wulandari"]);
}

#[test]
fn an_invisible_character_hides_nobody() {
    found(&[name(Script::Hans, "", "", "张\u{200b}伟")], &["张伟", "张\u{feff}伟"]);
}

#[test]
fn pairs_without_the_run_are_no_hit() {
    let names = [name(Script::Hans, "", "", "陈家家慧")];
    assert!(Query::parse("陈家慧").unwrap().needs_proof());
    missed(&names, &["陈家慧"]);
    found(&names, &["家家慧"]);
}

#[test]
fn no_text_can_write_a_filter() {
    let marked = filter(Filter::Home, "CN-440100");
    let mut out = String::new();
    Terms::new(&mut out).text(&marked);
    assert!(!out.split(' ').any(|term| term == marked), "{out}");
    assert!(!Query::parse(&marked).unwrap().terms.iter().any(|term| term.text == marked));
}

#[test]
fn every_term_is_one_token_and_none_comes_twice() {
    let mut out = String::from("before");
    {
        let mut terms = Terms::new(&mut out);
        terms.kind(Kind::PUBLIC_CARD);
        terms.region(find("440100").unwrap());
        terms.field_of_study("0912");
        terms.language("zh-Hans");
        terms.filter(Filter::Email, "a.b-c@x.org");
        terms.text("a a A ä 张张张 =HYPERLINK(\"x\")");
    }
    let terms: Vec<&str> = out["before".len()..].split(' ').collect();
    for (at, term) in terms.iter().enumerate() {
        assert!(!term.is_empty() && !terms[..at].contains(term), "{term:?}");
        assert!(term.chars().all(|c| c.is_ascii_alphanumeric() || !c.is_ascii()), "{term:?}");
    }
    assert!(terms.contains(&&*filter(Filter::Kind, "21")));
    assert!(terms.contains(&&*filter(Filter::Region, "4401")));
    assert!(terms.contains(&&*filter(Filter::Field, "091")));
    assert!(terms.contains(&&*filter(Filter::Language, "zh")));
    assert!(!terms.contains(&&*filter(Filter::Email, "ab-c@x.org")));
    assert_eq!(&terms[terms.len() - 4..], ["张", "张张", "hyperlink", "x"]);
}

#[test]
fn a_long_text_is_bounded_and_keeps_the_filters() {
    let long: String = ('\u{4e00}'..'\u{5e00}').collect();
    let mut out = String::new();
    {
        let mut terms = Terms::new(&mut out);
        terms.filter(Filter::Role, "speaker");
        terms.text(&long);
        terms.text(&"x".repeat(10_000));
    }
    assert_eq!(out.split(' ').count(), TERMS_MAX);
    assert!(out.starts_with(&filter(Filter::Role, "speaker")));
    assert_eq!(Query::parse(&"x".repeat(201)).unwrap_err().reason, "too_long");
}

#[test]
fn a_question_by_phone_or_mail_asks_for_exactly_that() {
    let terms = |words| Query::parse(words).unwrap().terms;
    assert_eq!(terms("+8615400000000")[0].text, filter(Filter::Phone, "+8615400000000"));
    assert_eq!(terms("梁承书@Example.org")[0].text, filter(Filter::Email, "梁承书@example.org"));
    assert!(Query::parse("  ").unwrap().terms.is_empty());
    assert!(!Query::parse("  ").unwrap().is_hopeless);
    assert!(Query::parse("？").unwrap().is_hopeless);
}

proptest::proptest! {
    #[test]
    fn any_text_is_found_by_any_of_its_pairs(text in "\\PC{0,40}") {
        let mut out = String::new();
        Terms::new(&mut out).text(&text);
        let query = Query::parse(&text).unwrap();
        for asked in query.terms.iter().filter(|term| !term.text.starts_with('\u{e000}')) {
            proptest::prop_assert!(out.split(' ').any(|term| term == asked.text), "{asked:?} in {out}");
        }
    }
}

#[test]
fn a_surname_with_several_readings_is_found_as_the_person_says_it() {
    for said in ["qin", "tan"] {
        let sort_key = format!("{said} xiaoming");
        let name =
            NameView { sort_key: &sort_key, ..name(Script::Hans, "覃", "晓明", "覃晓明") };
        let joined = format!("{said}xiaoming");
        let initials = format!("{}xm", &said[..1]);
        found(&[name], &[said, &joined, &sort_key, &initials, "覃晓明", "xiaoming"]);
    }
    // Where the reading is the usual one, nothing is added.
    let usual = name(Script::Hans, "王", "芳", "王芳");
    let keyed = NameView { sort_key: "wang fang", ..usual };
    assert_eq!(terms(&[usual]), terms(&[keyed]));
}
