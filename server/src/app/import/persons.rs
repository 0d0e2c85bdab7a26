//! key_contacts.csv and people.csv: persons as a point keeps them, without ids.
//!
//! What people write is put right where it has one meaning, and refused where it has none or
//! several. Putting right is told as a remark: a reason that begins with `ok`.

use super::row::{Column, Row, columns};
use crate::domain::{
    calendar::{self, Date},
    code::codes,
    contact::{Email, Phone},
    grant::Purpose,
    group::COHORT_MAX,
    language::Language,
    member::{EXPERTISE_MAX, SKILL_MAX, SKILLS_MAX, Study},
    name::{Name, Names, Order, Script, is_invisible},
    names::{compound_surname, sort_key},
    region::{self, Level, Region},
    text::{Invalid, LINE_MAX, line},
};

/// How columns are called in sheets that people keep, and in the table.
pub const USUAL_COLUMNS: &[(&str, &str)] = &[
    ("姓名", "name"),
    ("中文姓名", "name"),
    ("姓名拼音", "name_latin"),
    ("拼音", "name_latin"),
    ("英文姓名", "name_latin"),
    ("手机", "phone"),
    ("手机号", "phone"),
    ("手机号码", "phone"),
    ("电话", "phone"),
    ("邮箱", "email"),
    ("电子邮箱", "email"),
    ("留学国家", "study_country"),
    ("院校", "institution"),
    ("毕业院校", "institution"),
    ("学位", "degree"),
    ("学历", "degree"),
    ("专业", "subject"),
    ("现居城市", "city"),
    ("城市", "city"),
    ("专长", "skills"),
    ("语言", "preferred_lang"),
    ("同意网络展示", "network_consent"),
    ("同意日期", "consent_on"),
    ("期号", "cohort_no"),
];

/// How languages are called by people, and as tags.
const LANGUAGES: &[(&str, &str)] = &[
    ("中文", "zh-Hans"),
    ("简体中文", "zh-Hans"),
    ("简体", "zh-Hans"),
    ("普通话", "zh-Hans"),
    ("繁體中文", "zh-Hant"),
    ("繁体中文", "zh-Hant"),
    ("繁體", "zh-Hant"),
    ("粤语", "yue"),
    ("粵語", "yue"),
    ("英文", "en"),
    ("英语", "en"),
    ("英語", "en"),
    ("English", "en"),
];

/// How degrees are called by people, and their levels of ISCED 2011.
const DEGREES: &[(&str, u8)] = &[
    ("6", 6),
    ("7", 7),
    ("8", 8),
    ("学士", 6),
    ("學士", 6),
    ("本科", 6),
    ("硕士", 7),
    ("碩士", 7),
    ("研究生", 7),
    ("博士", 8),
];

const YES: &[&str] = &["是", "同意", "√", "✓", "yes", "Yes", "YES", "y", "Y"];
const NO: &[&str] = &["", "否", "不同意", "×", "no", "No", "NO", "n", "N"];
/// What a spreadsheet would take for the start of a formula.
const FORMULA: &[char] = &['=', '+', '-', '@'];

columns!(PersonColumns {
    name;
    name_latin, phone, email, region_code, city, cohort_no, expertise, skills, preferred_lang,
    consent, network_consent, consent_on, study_country, institution, degree, subject,
});

impl PersonColumns {
    /// The column that a row states consents in.
    pub fn consent_column(&self, row: &Row<'_>) -> &'static str {
        if row.text(self.consent).is_empty() {
            self.network_consent.name
        } else {
            self.consent.name
        }
    }
}

/// A person as a row says.
pub struct Person {
    pub names: Names,
    pub name: String,
    pub language: Language,
    pub city: Region,
    pub phone: Option<Phone>,
    pub email: Option<Email>,
    pub study: Option<Study>,
    pub expertise: Vec<String>,
    pub skills: Vec<String>,
    pub cohort: Option<u32>,
    pub consents: Vec<Purpose>,
    /// There if there are consents.
    pub consented_on: Option<Date>,
    /// Column and reason of what is worth saying.
    pub remarks: Vec<(&'static str, &'static str)>,
}

/// Reads one person. `needs_prefecture`: the place of residence has to be one.
pub fn person(
    row: &Row<'_>,
    c: &PersonColumns,
    needs_prefecture: bool,
    as_of: Date,
) -> Result<Person, Invalid> {
    let mut remarks = Vec::new();
    let language = match row.text(c.preferred_lang) {
        "" => Language::parse("zh-Hans", c.preferred_lang.name)?,
        text => {
            let tag = LANGUAGES.iter().find(|(known, _)| *known == text);
            Language::parse(tag.map_or(text, |(_, tag)| tag), c.preferred_lang.name)?
        }
    };
    let (names, name) = names(row, c, &language, &mut remarks)?;
    let phone = row.optional(c.phone, Phone::tidy)?;
    if let Some(phone) = &phone {
        // Eleven digits are how phones are written here; anything else was put right.
        let written = row.text(c.phone);
        if phone.as_str() != written && phone.as_str().strip_prefix("+86") != Some(written) {
            remarks.push((c.phone.name, "ok_phone_normalised"));
        }
    }
    let email = row.optional(c.email, Email::parse)?;
    let city = city(row, c, needs_prefecture, &mut remarks)?;
    let study = study(row, c)?;
    let (consents, consented_on) = consents(row, c, as_of, &mut remarks)?;
    if consents.is_empty() {
        let column = if c.network_consent.is_there() { c.network_consent } else { c.consent };
        remarks.push((column.name, "ok_without_consent"));
    }
    Ok(Person {
        names,
        name,
        language,
        city,
        phone,
        email,
        study,
        expertise: codes(row.list(c.expertise), c.expertise.name, EXPERTISE_MAX)?,
        skills: skills(row, c)?,
        cohort: row.number(c.cohort_no, COHORT_MAX)?,
        consents,
        consented_on,
        remarks,
    })
}

/// The names of a row, and the one that it is told from others by.
fn names(
    row: &Row<'_>,
    c: &PersonColumns,
    language: &Language,
    remarks: &mut Vec<(&'static str, &'static str)>,
) -> Result<(Names, String), Invalid> {
    let (written, latin) = (row.text(c.name), row.text(c.name_latin));
    if written.is_empty() {
        return Err(Invalid::new(c.name.name, "name_missing"));
    }
    let is_chinese = !written.is_ascii();
    // Blanks between the characters of a Chinese name are there for the eye.
    let blank = |character: char| matches!(character, ' ' | '\u{3000}' | '\u{a0}');
    let name = match is_chinese {
        true => written.replace(blank, ""),
        false => written.to_owned(),
    };
    if name != written {
        remarks.push((c.name.name, "ok_name_normalised"));
    }
    if name.starts_with(FORMULA) || name.chars().any(is_invisible) {
        remarks.push((c.name.name, "ok_name_flagged"));
    }
    let mut all = Vec::with_capacity(2);
    let script = match (latin.is_empty() && !is_chinese, language.as_str()) {
        (true, _) => Script::Latin,
        (false, "zh-Hant") => Script::Hant,
        (false, _) => Script::Hans,
    };
    let (family, given) = if is_chinese { cut(&name) } else { ("", "") };
    let key = if latin.is_empty() { sort_key(&name) } else { latin_key(latin) };
    let first = Name::new(script, [family, given, &name], Order::FamilyFirst, c.name.name)?;
    all.push(first.sorted_by(&key, c.name.name)?);
    if !latin.is_empty() {
        let (family, given) = latin.split_once(' ').unwrap_or((latin, ""));
        let parts = [family, given, latin];
        all.push(Name::new(Script::Latin, parts, Order::FamilyFirst, c.name_latin.name)?);
    }
    let (preferred, name) = (all[0].script, all[0].full.clone());
    Ok((Names::new(all, preferred, c.name.name)?, name))
}

/// Family and given name of a Chinese name.
fn cut(name: &str) -> (&str, &str) {
    let characters = if compound_surname(name) { 2 } else { 1 };
    let at = name.char_indices().nth(characters).map_or(name.len(), |(at, _)| at);
    name.split_at(at)
}

/// `Wu Yuan'an` sorts as `wu yuanan`.
fn latin_key(latin: &str) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || *c == ' ';
    latin.chars().map(|c| c.to_ascii_lowercase()).filter(plain).collect()
}

fn city(
    row: &Row<'_>,
    c: &PersonColumns,
    needs_prefecture: bool,
    remarks: &mut Vec<(&'static str, &'static str)>,
) -> Result<Region, Invalid> {
    let (column, city) = match row.text(c.region_code) {
        "" if c.city.is_there() => {
            let written = row.required(c.city)?;
            let city = region::find(written).or_else(|| region::named(written));
            let city = city.ok_or_else(|| Invalid::new(c.city.name, "unknown_region_name"))?;
            if city.entry().name_zh != written && region::find(written).is_none() {
                remarks.push((c.city.name, "ok_city_normalised"));
            }
            (c.city, city)
        }
        _ => (c.region_code, row.read(c.region_code, Region::parse)?),
    };
    if needs_prefecture && matches!(city.entry().level, Level::Province | Level::Grouping) {
        return Err(Invalid::new(column.name, "region_not_prefecture"));
    }
    Ok(city)
}

fn study(row: &Row<'_>, c: &PersonColumns) -> Result<Option<Study>, Invalid> {
    let country = row.optional(c.study_country, |text, field| {
        let known = region::find(text).or_else(|| region::named(text));
        let country = known.filter(|region| region.entry().level == Level::Area);
        country.ok_or_else(|| Invalid::new(field, "unknown_country"))
    })?;
    let degree = row.optional(c.degree, |text, field| {
        let known = DEGREES.iter().find(|(known, _)| *known == text);
        known.map(|(_, level)| *level).ok_or_else(|| Invalid::new(field, "unknown_degree"))
    })?;
    Study {
        country,
        org: String::new(),
        from_year: None,
        to_year: None,
        degree,
        field: String::new(),
        institution: line(row.text(c.institution), c.institution.name, LINE_MAX)?,
        subject: line(row.text(c.subject), c.subject.name, LINE_MAX)?,
    }
    .checked()
}

fn skills(row: &Row<'_>, c: &PersonColumns) -> Result<Vec<String>, Invalid> {
    let mut skills = Vec::new();
    for text in row.text(c.skills).split([';', '；', '、']).filter(|text| !text.trim().is_empty())
    {
        skills.push(line(text, c.skills.name, SKILL_MAX)?);
    }
    if skills.len() > SKILLS_MAX {
        return Err(Invalid::new(c.skills.name, "too_many"));
    }
    Ok(skills)
}

/// What the person has agreed to, and when. Without a word there is no consent.
fn consents(
    row: &Row<'_>,
    c: &PersonColumns,
    as_of: Date,
    remarks: &mut Vec<(&'static str, &'static str)>,
) -> Result<(Vec<Purpose>, Option<Date>), Invalid> {
    let mut consents: Vec<Purpose> = row
        .list(c.consent)
        .map(|text| Purpose::parse(text, c.consent.name))
        .collect::<Result<_, _>>()?;
    match row.text(c.network_consent) {
        text if YES.contains(&text) => consents.push(Purpose::ProfileNetwork),
        text if NO.contains(&text) => (),
        _ => return Err(Invalid::new(c.network_consent.name, "consent_unclear")),
    }
    // A transfer names its destination, which no such column can.
    if consents.contains(&Purpose::TransferTo) {
        return Err(Invalid::new(c.consent.name, "unknown_purpose"));
    }
    consents.sort();
    consents.dedup();
    let written = row.text(c.consent_on);
    let day = row.optional(c.consent_on, written_day)?;
    if day.is_some() && calendar::date(written, "").is_err() {
        remarks.push((c.consent_on.name, "ok_date_normalised"));
    }
    if consents.is_empty() {
        return Ok((consents, None));
    }
    match day {
        None => Err(Invalid::new(c.consent_on.name, "required")),
        Some(day) if day > as_of => Err(Invalid::new(c.consent_on.name, "consent_in_future")),
        day => Ok((consents, day)),
    }
}

/// Reads `2023-09-01`, `2023/9/1`, `2023.9.1` and `2023年9月1日`.
fn written_day(text: &str, field: &str) -> Result<Date, Invalid> {
    let invalid = || Invalid::new(field, "date_invalid");
    if let Ok(day) = calendar::date(text, field) {
        return Ok(day);
    }
    let parts: Vec<&str> = text.split(['/', '.', '-', '年', '月', '日']).collect();
    let [year, month, day, rest @ ..] = &parts[..] else { return Err(invalid()) };
    let is_good = rest.iter().all(|part| part.is_empty())
        && year.len() == 4
        && [month, day].iter().all(|part| (1..=2).contains(&part.len()));
    if !is_good {
        return Err(invalid());
    }
    calendar::date(&format!("{year}-{month:0>2}-{day:0>2}"), field)
}

impl Column {
    /// Does the file have it?
    pub fn is_there(self) -> bool {
        self.at.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_as_people_write_them() {
        let expected = calendar::date("2023-09-01", "day").unwrap();
        for text in ["2023-09-01", "2023/9/1", "2023.9.1", "2023年9月1日", "2023-9-1"] {
            assert_eq!(written_day(text, "day"), Ok(expected), "{text}");
        }
        for bad in ["2023-02-29", "1.9.2023", "2023年9月", "soon", "2023/9/1/2", "23/9/1"] {
            assert!(written_day(bad, "day").is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_is_cut_behind_its_surname() {
        assert_eq!(cut("司徒雨晨"), ("司徒", "雨晨"));
        assert_eq!(cut("何𠮷宁"), ("何", "𠮷宁"));
        assert_eq!(cut("李"), ("李", ""));
        assert_eq!(latin_key("Wu Yuan'an"), "wu yuanan");
    }
}
